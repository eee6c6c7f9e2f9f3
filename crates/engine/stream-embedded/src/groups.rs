//! Consumer groups: members, epochs, the assignment of partition numbers, and the committed offsets of each group.
//!
//! One member at a time holds a number. If the number is due to another member, its holder learns this at its next poll
//! ([`AssignmentChange::Revoked`]), and the poll after that confirms the release. A number with a running commit moves only after the
//! commit.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use limbic_stream::{Committed, Error, Result, TopicPartition};

use crate::clock::monotonic;

/// Identifies a member. A member that joins again has a new epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Membership {
    pub(super) group: Arc<str>,
    pub(super) instance: Arc<str>,
    pub(super) epoch: u64,
}

/// The change of assignments that a poll returns.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AssignmentChange {
    /// The assignments have not changed.
    Unchanged,
    /// The member now holds these numbers.
    Assigned(Vec<u32>),
    /// The member must release these numbers.
    Revoked(Vec<u32>),
}

/// All groups.
#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: HashMap<Arc<str>, Group>,
}

#[derive(Debug, Default)]
struct Group {
    epoch: u64,
    topics: Vec<Arc<str>>,
    members: BTreeMap<Arc<str>, Member>,
    /// The holder of each partition number.
    holders: BTreeMap<u32, Holder>,
    numbers: u32,
    progress: BTreeMap<TopicPartition, (u64, String)>,
}

#[derive(Debug)]
struct Member {
    epoch: u64,
    /// The time since which the member processes a batch. `None` while it waits in a poll.
    busy_since: Option<Instant>,
}

#[derive(Debug, Clone)]
struct Holder {
    instance: Arc<str>,
    epoch: u64,
    /// The member has been asked to release the number.
    revoked: bool,
    /// A commit for this number is running.
    committing: bool,
}

impl Groups {
    /// The groups after a restart: without members, with the stored offsets and epochs.
    pub(super) fn recover(offsets: Vec<(String, Committed)>, epochs: HashMap<String, u64>) -> Self {
        let mut groups = Self::default();
        for (group, committed) in offsets {
            groups.record(&group.into(), committed);
        }
        for (group, epoch) in epochs {
            groups.groups.entry(group.into()).or_default().epoch = epoch;
        }
        groups
    }

    /// Adds a member. An earlier member of the same name is fenced.
    pub(super) fn join(
        &mut self,
        group: &Arc<str>,
        instance: &Arc<str>,
        topics: &[Arc<str>],
        numbers: u32,
    ) -> Result<Membership> {
        let state = self.groups.entry(group.clone()).or_default();
        let mut topics = topics.to_vec();
        topics.sort();
        if state.members.keys().any(|other| other != instance) && state.topics != topics {
            return Err(Error::Settings(format!(
                "members of group `{group}` read {:?}, so `{instance}` cannot join it to read {topics:?}",
                state.topics
            )));
        }
        state.topics = topics;
        state.numbers = numbers;
        state.epoch += 1;
        let epoch = state.epoch;
        let member = Member {
            epoch,
            busy_since: Some(monotonic()),
        };
        if state.members.insert(instance.clone(), member).is_some() {
            state.free(instance);
        }
        Ok(Membership {
            group: group.clone(),
            instance: instance.clone(),
            epoch,
        })
    }

    /// Removes the member and frees its numbers.
    pub(super) fn leave(&mut self, member: &Membership) {
        if let Some(group) = self.groups.get_mut(&member.group)
            && group.is_current(member)
        {
            group.members.remove(&member.instance);
            group.free(&member.instance);
        }
    }

    /// The change of assignments for a member that polls. `acknowledged` = the member has stopped reading the numbers
    /// that were revoked.
    pub(super) fn poll(
        &mut self,
        member: &Membership,
        acknowledged: bool,
        max_poll_interval: Duration,
    ) -> Result<AssignmentChange> {
        let group = self.current(member)?;
        group.set_busy(&member.instance, None);
        if acknowledged {
            group
                .holders
                .retain(|_, holder| !(holder.revoked && holder.is(member)));
        }
        let due = group.due(&member.instance);
        let revoked: Vec<u32> = group
            .holders
            .iter_mut()
            .filter(|(number, holder)| holder.is(member) && !due.contains(number))
            .map(|(number, holder)| {
                holder.revoked = true;
                *number
            })
            .collect();
        if !revoked.is_empty() {
            return Ok(AssignmentChange::Revoked(revoked));
        }
        group.remove_stuck(member, &due, max_poll_interval);
        // Removing that member may have made more numbers due.
        let due = group.due(&member.instance);
        let mut assigned = Vec::new();
        for number in due {
            if group.holders.contains_key(&number) {
                continue;
            }
            let holder = Holder {
                instance: member.instance.clone(),
                epoch: member.epoch,
                revoked: false,
                committing: false,
            };
            group.holders.insert(number, holder);
            assigned.push(number);
        }
        Ok(if assigned.is_empty() {
            AssignmentChange::Unchanged
        } else {
            AssignmentChange::Assigned(assigned)
        })
    }

    /// The member's poll returns. The member counts as busy until its next poll.
    pub(super) fn set_processing(&mut self, member: &Membership) {
        if let Ok(group) = self.current(member) {
            group.set_busy(&member.instance, Some(monotonic()));
        }
    }

    /// Fails if the member does not hold the numbers. Otherwise they stay with the member until [`Groups::settled`].
    pub(super) fn committing(&mut self, member: &Membership, numbers: &BTreeSet<u32>) -> Result<()> {
        let group = self.current(member)?;
        for number in numbers {
            match group.holders.get(number) {
                Some(holder) if holder.is(member) && !holder.revoked => {}
                _ => {
                    return Err(Error::Fenced(format!(
                        "partition {number} of group `{}` no longer belongs to `{}`",
                        member.group, member.instance
                    )));
                }
            }
        }
        group.set_busy(&member.instance, Some(monotonic()));
        for number in numbers {
            if let Some(holder) = group.holders.get_mut(number) {
                holder.committing = true;
            }
        }
        Ok(())
    }

    /// The commit is durable, or has failed.
    pub(super) fn settled(&mut self, member: &Membership, numbers: &BTreeSet<u32>) {
        let Some(group) = self.groups.get_mut(&member.group) else {
            return;
        };
        for number in numbers {
            if let Some(holder) = group.holders.get_mut(number)
                && holder.is(member)
            {
                holder.committing = false;
            }
        }
        group.drop_departed();
    }

    /// Records the committed offset of a group.
    pub(super) fn record(&mut self, group: &Arc<str>, committed: Committed) {
        self.groups
            .entry(group.clone())
            .or_default()
            .progress
            .insert(committed.partition, (committed.next, committed.metadata));
    }

    /// The committed offset of a group in a partition.
    pub(super) fn committed(&self, group: &str, partition: &TopicPartition) -> Option<Committed> {
        let (next, metadata) = self.groups.get(group)?.progress.get(partition)?;
        Some(Committed {
            partition: partition.clone(),
            next: *next,
            metadata: metadata.clone(),
        })
    }

    /// For each group with a commit in this partition: its name, and the next offset.
    pub(super) fn readers(&self, partition: &TopicPartition) -> Vec<(Arc<str>, u64)> {
        let read = |(name, group): (&Arc<str>, &Group)| {
            let (next, _) = group.progress.get(partition)?;
            Some((Arc::clone(name), *next))
        };
        self.groups.iter().filter_map(read).collect()
    }

    /// The group's epoch: how often a member has joined it.
    pub(super) fn epoch(&self, group: &str) -> u64 {
        self.groups.get(group).map_or(0, |group| group.epoch)
    }

    fn current(&mut self, member: &Membership) -> Result<&mut Group> {
        self.groups
            .get_mut(&member.group)
            .filter(|group| group.is_current(member))
            .ok_or_else(|| {
                Error::Fenced(format!(
                    "`{}` of group `{}` has joined again, or did not poll for too long",
                    member.instance, member.group
                ))
            })
    }
}

impl Holder {
    fn is(&self, member: &Membership) -> bool {
        self.instance == member.instance && self.epoch == member.epoch
    }
}

impl Group {
    fn is_current(&self, member: &Membership) -> bool {
        self.members
            .get(&member.instance)
            .is_some_and(|known| known.epoch == member.epoch)
    }

    fn set_busy(&mut self, instance: &Arc<str>, since: Option<Instant>) {
        if let Some(member) = self.members.get_mut(instance) {
            member.busy_since = since;
        }
    }

    /// Frees all numbers of `instance`, also those of an earlier epoch.
    fn free(&mut self, instance: &Arc<str>) {
        for holder in self.holders.values_mut() {
            if holder.instance == *instance {
                holder.revoked = true;
            }
        }
        self.drop_departed();
    }

    /// Frees the numbers of members that have left, except those with a running commit.
    fn drop_departed(&mut self) {
        let members = &self.members;
        self.holders.retain(|_, holder| {
            let there = members
                .get(&holder.instance)
                .is_some_and(|member| member.epoch == holder.epoch);
            there || holder.committing
        });
    }

    /// The numbers that a member should hold: a contiguous range, in the order of the instances' names.
    fn due(&self, instance: &Arc<str>) -> BTreeSet<u32> {
        let members = self.members.len() as u32;
        let Some(place) = self.members.keys().position(|name| name == instance) else {
            return BTreeSet::new();
        };
        let place = place as u32;
        let (share, left_over) = (self.numbers / members, self.numbers % members);
        let start = place * share + place.min(left_over);
        let length = share + u32::from(place < left_over);
        (start..start + length).collect()
    }

    /// Removes a member that holds numbers in `due` and has not polled for longer than `max_poll_interval`.
    fn remove_stuck(&mut self, waiting: &Membership, due: &BTreeSet<u32>, max_poll_interval: Duration) {
        let stuck: Vec<Arc<str>> = due
            .iter()
            .filter_map(|number| self.holders.get(number))
            .filter(|holder| !holder.is(waiting))
            .filter(|holder| {
                self.members
                    .get(&holder.instance)
                    .and_then(|member| member.busy_since)
                    .is_some_and(|since| monotonic().duration_since(since) >= max_poll_interval)
            })
            .map(|holder| holder.instance.clone())
            .collect();
        for instance in stuck {
            tracing::warn!(%instance, "a member of the group did not poll for too long: its partitions go to other members");
            self.members.remove(&instance);
            self.free(&instance);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLL_INTERVAL: Duration = Duration::from_hours(1);

    fn join(groups: &mut Groups, instance: &str, numbers: u32) -> Membership {
        groups
            .join(&"g".into(), &instance.into(), &["t".into()], numbers)
            .unwrap()
    }

    #[test]
    fn a_partition_number_moves_only_after_its_holder_has_released_it() {
        let mut groups = Groups::default();
        let a = join(&mut groups, "a", 3);
        assert_eq!(
            groups.poll(&a, false, POLL_INTERVAL).unwrap(),
            AssignmentChange::Assigned(vec![0, 1, 2])
        );
        let b = join(&mut groups, "b", 3);
        assert_eq!(
            groups.poll(&b, false, POLL_INTERVAL).unwrap(),
            AssignmentChange::Unchanged
        );
        assert_eq!(
            groups.poll(&a, false, POLL_INTERVAL).unwrap(),
            AssignmentChange::Revoked(vec![2])
        );
        assert_eq!(
            groups.poll(&b, false, POLL_INTERVAL).unwrap(),
            AssignmentChange::Unchanged
        );
        assert!(groups.committing(&a, &[2].into()).unwrap_err().is_fenced());
        assert_eq!(
            groups.poll(&a, true, POLL_INTERVAL).unwrap(),
            AssignmentChange::Unchanged
        );
        assert_eq!(
            groups.poll(&b, false, POLL_INTERVAL).unwrap(),
            AssignmentChange::Assigned(vec![2])
        );
    }

    #[test]
    fn a_partition_number_with_a_running_commit_moves_only_after_the_commit() {
        let mut groups = Groups::default();
        let old = join(&mut groups, "a", 1);
        groups.poll(&old, false, POLL_INTERVAL).unwrap();
        groups.committing(&old, &[0].into()).unwrap();
        let new = join(&mut groups, "a", 1);
        assert_eq!(
            groups.poll(&new, false, POLL_INTERVAL).unwrap(),
            AssignmentChange::Unchanged
        );
        groups.settled(&old, &[0].into());
        assert_eq!(
            groups.poll(&new, false, POLL_INTERVAL).unwrap(),
            AssignmentChange::Assigned(vec![0])
        );
        assert!(groups.poll(&old, false, POLL_INTERVAL).unwrap_err().is_fenced());
    }

    #[test]
    fn a_member_that_does_not_poll_loses_its_partitions_when_others_wait() {
        let mut groups = Groups::default();
        let stuck = join(&mut groups, "a", 1);
        groups.poll(&stuck, false, POLL_INTERVAL).unwrap();
        groups.set_processing(&stuck);
        let b = join(&mut groups, "b", 2);
        assert_eq!(
            groups.poll(&b, false, POLL_INTERVAL).unwrap(),
            AssignmentChange::Assigned(vec![1])
        );
        let waiting = join(&mut groups, "0", 2);
        assert_eq!(
            groups.poll(&waiting, false, Duration::ZERO).unwrap(),
            AssignmentChange::Assigned(vec![0])
        );
        assert!(groups.committing(&stuck, &[0].into()).unwrap_err().is_fenced());
    }

    #[test]
    fn every_partition_number_is_assigned_to_exactly_one_member() {
        for members in 1..7_u32 {
            for numbers in 1..9 {
                let mut groups = Groups::default();
                let all: Vec<_> = (0..members)
                    .map(|i| join(&mut groups, &format!("m{i}"), numbers))
                    .collect();
                let mut dealt: Vec<u32> = all
                    .iter()
                    .flat_map(|member| groups.groups["g"].due(&member.instance))
                    .collect();
                dealt.sort_unstable();
                assert_eq!(dealt, (0..numbers).collect::<Vec<_>>());
            }
        }
    }
}
