//! What must be true at the end of a schedule.

use std::collections::BTreeMap;
use std::sync::Arc;

use limbic_stream::runtime::count_stages;
use limbic_stream::{Control, Log, Record, Result, TopicPartition};

use super::files::world;
use super::log::Handle;
use super::schedule::{Answer, Posts, story};
use super::stages::{Fate, Pass, View, fate, id_of};

/// After a start: each group is where its last acknowledged commit was, or where a commit with an unknown outcome was.
pub(super) fn check_offsets(log: &Handle) -> Result<()> {
    for (group, topic) in [("pass", "in"), ("view", "out")] {
        for progress in log.progress(group, &[topic.into()])? {
            let at = progress.committed;
            story(|story| {
                let key = (Arc::from(group), at.partition.clone());
                let Some((last, perhaps)) = story.offsets.get(&key) else {
                    return;
                };
                // Before its first commit, a group is at the earliest record.
                let is_new = last.is_none() && at.metadata.is_empty();
                if !is_new && *last != Some(at.next) && !perhaps.contains(&at.next) {
                    story.violation(format!(
                        "{group} is at {} of {}, not at {last:?} or one of {perhaps:?}",
                        at.next, at.partition
                    ));
                }
            });
        }
    }
    Ok(())
}

/// Where everything is: it changes as long as something moves.
pub(super) fn position(log: &Handle) -> Option<Vec<u64>> {
    let mut all = Vec::new();
    for topic in log.topics().ok()? {
        all.extend(topic.offsets.iter().flat_map(|(first, end)| [*first, *end]));
    }
    for (group, topic) in [("pass", "in"), ("view", "out")] {
        let progress = log.progress(group, &[topic.into()]).ok()?;
        all.extend(progress.iter().map(|progress| progress.committed.next));
    }
    all.push(story(|story| story.database.rows.len() as u64));
    Some(all)
}

fn all_of(log: &Handle, topic: &str) -> Result<Vec<Record>> {
    let name: Arc<str> = topic.into();
    let mut found = Vec::new();
    for (partition, (first, _)) in log.topic(&name)?.offsets.into_iter().enumerate() {
        let partition = TopicPartition {
            topic: name.clone(),
            partition: partition as u32,
        };
        let records = log.read(&partition, first, usize::MAX)?;
        story(|story| records.iter().for_each(|record| story.observe(record)));
        found.extend(records.into_iter().filter(|record| Control::of(record).is_none()));
    }
    Ok(found)
}

pub(super) fn judge(log: &Handle) -> Result<()> {
    let posts = all_of(log, "in")?;
    let passed = all_of(log, "out")?;
    let dead = all_of(log, "in.dead")?;
    let table = all_of(log, "table")?;
    let (pass, view) = (
        count_stages(log, &Pass::spec())?,
        count_stages(log, &View::spec())?,
    );
    let mut faults = Vec::new();
    let mut check = |holds: bool, message: &dyn Fn() -> String| {
        if !holds {
            faults.push(message());
        }
    };
    check(pass.lag == 0 && view.lag == 0, &|| {
        format!("unread records are left: {} and {}", pass.lag, view.lag)
    });

    // Every post that was accepted has had its effect once, and no other one.
    let mut effects: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for record in &passed {
        effects.entry(id_of(record)).or_default().0 += 1;
    }
    for record in &dead {
        effects.entry(id_of(record)).or_default().1 += 1;
    }
    let stored = effects.len() as u64;
    story(|story| {
        for (id, answer) in &story.posts {
            let found = effects.remove(id).unwrap_or_default();
            let once = match fate(*id) {
                Fate::PassedOn | Fate::Waits => (1, 0),
                Fate::Refused | Fate::FailsBatch | Fate::Panics => (0, 1),
            };
            let fits = match answer {
                Answer::Accepted => found == once || (story.shape.posts == Posts::Many && found == (0, 0)),
                Answer::Refused => found == (0, 0),
                Answer::Unknown => found == once || found == (0, 0),
            };
            check(fits, &|| {
                format!(
                    "post {id} ({answer:?}) was passed on {} times and has {} dead letters",
                    found.0, found.1
                )
            });
        }
        if story.shape.posts == Posts::Never {
            let mut ids: Vec<u64> = posts.iter().map(id_of).collect();
            ids.sort_unstable();
            let before = ids.len();
            ids.dedup();
            check(before == ids.len() && before as u64 == stored, &|| {
                format!(
                    "{before} posts are stored, {} of them different; {stored} had an effect",
                    ids.len()
                )
            });
        }
    });
    check(effects.is_empty(), &|| format!("nobody has sent {effects:?}"));

    // State and outputs belong together.
    let mut numbers: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for record in &passed {
        let text = std::str::from_utf8(&record.value).expect("a text");
        let mut parts = text.split(':').skip(1);
        let (partition, number) = (
            parts.next().expect("a partition"),
            parts.next().expect("a number"),
        );
        numbers
            .entry(partition)
            .or_default()
            .push(number.parse().expect("a number"));
    }
    for (partition, mut numbers) in numbers {
        numbers.sort_unstable();
        check(numbers.iter().copied().eq(1..=numbers.len() as u64), &|| {
            format!("partition {partition} has numbered its posts {numbers:?}")
        });
    }

    // The counts are exact.
    check(pass.consumed == stored, &|| {
        format!("{} posts are counted of {stored}", pass.consumed)
    });
    let produced = pass.produced.get("out").copied().unwrap_or(0);
    check(produced == passed.len() as u64, &|| {
        format!("{produced} outputs are counted of {}", passed.len())
    });
    let letters: u64 = pass.dead.values().flat_map(BTreeMap::values).sum();
    check(letters == dead.len() as u64, &|| {
        format!("{letters} dead letters are counted of {}", dead.len())
    });
    check(view.consumed == passed.len() as u64, &|| {
        format!("the view counts {} of {}", view.consumed, passed.len())
    });
    // What was deleted unread is counted, and nothing else is.
    let skipped = pass.skipped.get("in").copied().unwrap_or(0);
    let ends: u64 = log.topic(&"in".into())?.offsets.iter().map(|(_, end)| end).sum();
    story(|story| {
        let starts: Option<Vec<u64>> = story.starts.values().copied().collect();
        if let Some(starts) = starts {
            let expected = ends - starts.iter().sum::<u64>();
            check(pass.consumed + skipped == expected, &|| {
                format!(
                    "{} posts and {skipped} skipped ones are not the {expected} of the log",
                    pass.consumed
                )
            });
        }
        check(story.shape.posts == Posts::Many || skipped == 0, &|| {
            format!("{skipped} posts were skipped")
        });
    });
    if skipped > 0 {
        world(|world| world.note("posts deleted unread"));
    }
    check(view.skipped.is_empty(), &|| {
        format!("the view has skipped {:?}", view.skipped)
    });

    // The database has every record once.
    let rows: BTreeMap<(u32, u64), u64> = passed
        .iter()
        .map(|record| ((record.partition, record.offset), id_of(record)))
        .collect();
    story(|story| {
        check(story.database.rows == rows, &|| {
            format!(
                "the view has {} rows, the log {} records",
                story.database.rows.len(),
                rows.len()
            )
        });
    });

    // Each key of the compacted topic has its latest value.
    let mut latest: BTreeMap<String, String> = BTreeMap::new();
    for record in &table {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        latest.insert(text(&record.key), text(&record.value));
    }
    story(|story| {
        for (key, sent) in &story.values {
            let found = latest.get(key).cloned().unwrap_or_default();
            let mut possible = sent.iter().filter(|(_, answer)| *answer != Answer::Refused);
            let fits = possible.any(|(value, _)| *value == found)
                // No value was ever accepted.
                || (found.is_empty() && sent.iter().all(|(_, answer)| *answer != Answer::Accepted));
            check(fits, &|| {
                format!("key {key} has the value `{found}`, and {sent:?} were sent")
            });
        }
    });
    if let Some(first) = faults.into_iter().next() {
        story(|story| story.violation(first));
    }
    Ok(())
}
