//! Who reads what: members, epochs, the dealing out of partition numbers, and how far each group has come.
//!
//! A number is held by one member at a time. When another should have it, its holder is told at its next poll
//! ([`Turn::Revoked`]) and has let go of it at the poll after that. A number whose commit is on its way to the disk
//! changes hands only after.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use limbic_stream::{Committed, Error, Result, TopicPartition};

/// Which member, and which of its lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Membership {
    pub(super) group: Arc<str>,
    pub(super) instance: Arc<str>,
    pub(super) epoch: u64,
}

/// What a member finds when its turn comes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing has changed hands.
    Nothing,
    /// It now holds these numbers.
    Assigned(Vec<u32>),
    /// It must let go of these numbers.
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
    /// By partition number.
    holders: BTreeMap<u32, Holder>,
    numbers: u32,
    progress: BTreeMap<TopicPartition, (u64, String)>,
}

#[derive(Debug)]
struct Member {
    epoch: u64,
    /// Since when it has been at work; `None` while it waits in a poll.
    busy_since: Option<Instant>,
}

#[derive(Debug, Clone)]
struct Holder {
    instance: Arc<str>,
    epoch: u64,
    /// It was told that the number is no longer its own.
    told: bool,
    /// A commit of it is on its way to the disk.
    committing: bool,
}

impl Groups {
    /// As they were when the log was closed: nobody is there, progress and epochs are.
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

    /// Lets a member in. One of the same name is fenced from here on.
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
            busy_since: Some(Instant::now()),
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

    /// The member is gone; its numbers are free.
    pub(super) fn leave(&mut self, member: &Membership) {
        if let Some(group) = self.groups.get_mut(&member.group)
            && group.is_current(member)
        {
            group.members.remove(&member.instance);
            group.free(&member.instance);
        }
    }

    /// What has changed for a member that polls. `acknowledged` = it has dropped what it was told to.
    pub(super) fn turn(
        &mut self,
        member: &Membership,
        acknowledged: bool,
        patience: Duration,
    ) -> Result<Turn> {
        let group = self.current(member)?;
        group.set_busy(&member.instance, None);
        if acknowledged {
            group
                .holders
                .retain(|_, holder| !(holder.told && holder.is(member)));
        }
        let due = group.due(&member.instance);
        let revoked: Vec<u32> = group
            .holders
            .iter_mut()
            .filter(|(number, holder)| holder.is(member) && !due.contains(number))
            .map(|(number, holder)| {
                holder.told = true;
                *number
            })
            .collect();
        if !revoked.is_empty() {
            return Ok(Turn::Revoked(revoked));
        }
        group.expel_the_stuck(member, &due, patience);
        // The expelled member may have made more numbers due.
        let due = group.due(&member.instance);
        let mut assigned = Vec::new();
        for number in due {
            if group.holders.contains_key(&number) {
                continue;
            }
            let holder = Holder {
                instance: member.instance.clone(),
                epoch: member.epoch,
                told: false,
                committing: false,
            };
            group.holders.insert(number, holder);
            assigned.push(number);
        }
        Ok(if assigned.is_empty() {
            Turn::Nothing
        } else {
            Turn::Assigned(assigned)
        })
    }

    /// The member's poll answers: from now on it works.
    pub(super) fn works(&mut self, member: &Membership) {
        if let Ok(group) = self.current(member) {
            group.set_busy(&member.instance, Some(Instant::now()));
        }
    }

    /// Whether a member may commit for these numbers. Until [`Groups::settled`] they do not change hands.
    pub(super) fn committing(&mut self, member: &Membership, numbers: &BTreeSet<u32>) -> Result<()> {
        let group = self.current(member)?;
        for number in numbers {
            match group.holders.get(number) {
                Some(holder) if holder.is(member) && !holder.told => {}
                _ => {
                    return Err(Error::Fenced(format!(
                        "partition {number} of group `{}` is no longer that of `{}`",
                        member.group, member.instance
                    )));
                }
            }
        }
        group.set_busy(&member.instance, Some(Instant::now()));
        for number in numbers {
            if let Some(holder) = group.holders.get_mut(number) {
                holder.committing = true;
            }
        }
        Ok(())
    }

    /// The commit is on the disk, or failed.
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
        group.drop_the_gone();
    }

    /// Notes how far a group has come.
    pub(super) fn record(&mut self, group: &Arc<str>, committed: Committed) {
        self.groups
            .entry(group.clone())
            .or_default()
            .progress
            .insert(committed.partition, (committed.next, committed.metadata));
    }

    /// How far a group has come in a partition.
    pub(super) fn committed(&self, group: &str, partition: &TopicPartition) -> Option<Committed> {
        let (next, metadata) = self.groups.get(group)?.progress.get(partition)?;
        Some(Committed {
            partition: partition.clone(),
            next: *next,
            metadata: metadata.clone(),
        })
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
                    "`{}` of group `{}` joined again, or did not poll for too long",
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

    /// Takes all numbers from `instance` (an earlier life of it, if it has joined again).
    fn free(&mut self, instance: &Arc<str>) {
        for holder in self.holders.values_mut() {
            if holder.instance == *instance {
                holder.told = true;
            }
        }
        self.drop_the_gone();
    }

    /// Numbers of members that are no longer there are free, unless a commit of theirs is under way.
    fn drop_the_gone(&mut self) {
        let members = &self.members;
        self.holders.retain(|_, holder| {
            let there = members
                .get(&holder.instance)
                .is_some_and(|member| member.epoch == holder.epoch);
            there || holder.committing
        });
    }

    /// The numbers that a member should have: ranges, in the order of the instances' names.
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

    /// A member that has not polled for longer than `patience` loses its membership to the member that waits for its numbers.
    fn expel_the_stuck(&mut self, waiting: &Membership, due: &BTreeSet<u32>, patience: Duration) {
        let stuck: Vec<Arc<str>> = due
            .iter()
            .filter_map(|number| self.holders.get(number))
            .filter(|holder| !holder.is(waiting))
            .filter(|holder| {
                self.members
                    .get(&holder.instance)
                    .and_then(|member| member.busy_since)
                    .is_some_and(|since| since.elapsed() >= patience)
            })
            .map(|holder| holder.instance.clone())
            .collect();
        for instance in stuck {
            tracing::warn!(%instance, "a member of the group has not polled for too long: its partitions go to others");
            self.members.remove(&instance);
            self.free(&instance);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_hours(1);

    fn join(groups: &mut Groups, instance: &str, numbers: u32) -> Membership {
        groups
            .join(&"g".into(), &instance.into(), &["t".into()], numbers)
            .unwrap()
    }

    #[test]
    fn numbers_change_hands_only_after_the_hand_shake() {
        let mut groups = Groups::default();
        let a = join(&mut groups, "a", 3);
        assert_eq!(
            groups.turn(&a, false, PATIENCE).unwrap(),
            Turn::Assigned(vec![0, 1, 2])
        );
        let b = join(&mut groups, "b", 3);
        assert_eq!(groups.turn(&b, false, PATIENCE).unwrap(), Turn::Nothing);
        assert_eq!(groups.turn(&a, false, PATIENCE).unwrap(), Turn::Revoked(vec![2]));
        assert_eq!(groups.turn(&b, false, PATIENCE).unwrap(), Turn::Nothing);
        assert!(groups.committing(&a, &[2].into()).unwrap_err().is_fenced());
        assert_eq!(groups.turn(&a, true, PATIENCE).unwrap(), Turn::Nothing);
        assert_eq!(groups.turn(&b, false, PATIENCE).unwrap(), Turn::Assigned(vec![2]));
    }

    #[test]
    fn a_number_whose_commit_is_under_way_stays_until_it_is_settled() {
        let mut groups = Groups::default();
        let old = join(&mut groups, "a", 1);
        groups.turn(&old, false, PATIENCE).unwrap();
        groups.committing(&old, &[0].into()).unwrap();
        let new = join(&mut groups, "a", 1);
        assert_eq!(groups.turn(&new, false, PATIENCE).unwrap(), Turn::Nothing);
        groups.settled(&old, &[0].into());
        assert_eq!(
            groups.turn(&new, false, PATIENCE).unwrap(),
            Turn::Assigned(vec![0])
        );
        assert!(groups.turn(&old, false, PATIENCE).unwrap_err().is_fenced());
    }

    #[test]
    fn a_member_that_does_not_poll_is_expelled_when_others_wait() {
        let mut groups = Groups::default();
        let stuck = join(&mut groups, "a", 1);
        groups.turn(&stuck, false, PATIENCE).unwrap();
        groups.works(&stuck);
        let b = join(&mut groups, "b", 2);
        assert_eq!(groups.turn(&b, false, PATIENCE).unwrap(), Turn::Assigned(vec![1]));
        let waiting = join(&mut groups, "0", 2);
        assert_eq!(
            groups.turn(&waiting, false, Duration::ZERO).unwrap(),
            Turn::Assigned(vec![0])
        );
        assert!(groups.committing(&stuck, &[0].into()).unwrap_err().is_fenced());
    }

    #[test]
    fn every_number_is_due_to_one_member() {
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
