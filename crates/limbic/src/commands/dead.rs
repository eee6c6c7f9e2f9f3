//! `limbic dead`.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use limbic_domain::{Utc, topics};
use limbic_stream::runtime::revive;
use limbic_stream::{Headers, Log, NewRecord, Record, TopicPartition, header};
use serde_json::json;

use crate::cli::{Common, DeadCommand};
use crate::printable::line;
use limbic_node as node;

/// Number of records in one read.
const READ: usize = 500;

/// A record of a dead-letter topic with this header is not a letter. It marks the letters of its partition that a replay has
/// sent: the header's value is their offsets, separated by blanks.
const SENT: &str = "limbic-dead-sent";

pub fn run(common: &Common, command: &DeadCommand) -> anyhow::Result<ExitCode> {
    let settings = common.settings(&[])?;
    let log = node::connect(&settings)?;
    let done = match command {
        DeadCommand::List { topic, limit, json } => list(&log, topic.as_deref(), *limit, *json),
        DeadCommand::Show { letter } => show(&log, letter),
        DeadCommand::Replay {
            topic,
            reason,
            again,
            dry_run,
        } => replay(&log, topic, reason.as_deref(), *again, *dry_run),
    };
    log.close()?;
    done?;
    Ok(ExitCode::SUCCESS)
}

/// All dead-letter topics, or the requested one.
fn dead_topics(log: &Arc<dyn Log>, topic: Option<&str>) -> anyhow::Result<Vec<(String, u32)>> {
    let mut found: Vec<(String, u32)> = log
        .topics()?
        .iter()
        .filter_map(|info| {
            Some((
                info.name.strip_suffix(".dead")?.to_owned(),
                info.offsets.len() as u32,
            ))
        })
        .filter(|(name, _)| topic.is_none_or(|wanted| wanted.strip_suffix(".dead").unwrap_or(wanted) == name))
        .collect();
    found.sort();
    if let (true, Some(topic)) = (found.is_empty(), topic) {
        bail!(
            "there is no topic `{topic}` with dead letters; the topics are {}",
            topics::ALL.join(", ")
        );
    }
    Ok(found)
}

/// Visits the letters that exist now, each with whether a replay has sent it. Letters that are added meanwhile are left out.
fn letters(
    log: &Arc<dyn Log>,
    topic: &str,
    partition: u32,
    mut each: impl FnMut(&Record, bool) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let partition = TopicPartition {
        topic: topics::dead(topic).into(),
        partition,
    };
    let mut sent = BTreeSet::new();
    records(log, &partition, |record| {
        let offsets = record.headers.text(SENT).unwrap_or_default().split(' ');
        sent.extend(offsets.filter_map(|offset| offset.parse::<u64>().ok()));
        Ok(true)
    })?;
    records(log, &partition, |record| {
        if record.headers.get(SENT).is_some() {
            return Ok(true);
        }
        each(record, sent.contains(&record.offset))
    })
}

/// Visits the records that exist now, until `each` answers `false`.
fn records(
    log: &Arc<dyn Log>,
    partition: &TopicPartition,
    mut each: impl FnMut(&Record) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let (mut from, end) = log.topic(&partition.topic)?.offsets[partition.partition as usize];
    while from < end {
        let records = log.read(partition, from, READ)?;
        let Some(last) = records.last() else { return Ok(()) };
        from = last.offset + 1;
        for record in records.iter().take_while(|record| record.offset < end) {
            if !each(record)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The record that marks letters of a partition as sent.
fn mark(topic: &str, partition: u32, offsets: &[u64]) -> NewRecord {
    let offsets: Vec<String> = offsets.iter().map(u64::to_string).collect();
    NewRecord {
        topic: topics::dead(topic).into(),
        partition: Some(partition),
        key: Bytes::new(),
        value: Bytes::new(),
        headers: Headers::new().with(SENT, offsets.join(" ").into_bytes()),
        timestamp: Utc::now(),
    }
}

fn list(log: &Arc<dyn Log>, topic: Option<&str>, limit: usize, as_json: bool) -> anyhow::Result<()> {
    let mut total = 0;
    for (topic, partitions) in dead_topics(log, topic)? {
        for partition in 0..partitions {
            let mut left = limit;
            letters(log, &topic, partition, |letter, is_sent| {
                if left == 0 {
                    return Ok(false);
                }
                left -= 1;
                total += 1;
                let text = |name: &str| letter.headers.text(name).unwrap_or("").to_owned();
                let id = format!("{topic}/{partition}/{}", letter.offset);
                let (stage, reason, detail) = (
                    text(header::DEAD_STAGE),
                    text(header::DEAD_REASON),
                    text(header::DEAD_DETAIL),
                );
                if as_json {
                    let from = format!(
                        "{topic}/{}/{}",
                        text(header::DEAD_PARTITION),
                        text(header::DEAD_OFFSET)
                    );
                    say!(
                        "{}",
                        json!({"letter": id, "from": from, "stage": stage, "reason": reason, "detail": detail, "sent": is_sent})
                    )?;
                } else {
                    if total == 1 {
                        say!(
                            "{:<24} {:<10} {:<18} {:<4} detail",
                            "letter",
                            "stage",
                            "reason",
                            "sent"
                        )?;
                    }
                    say!(
                        "{id:<24} {stage:<10} {reason:<18} {:<4} {}",
                        if is_sent { "yes" } else { "no" },
                        line(&detail, 100)
                    )?;
                }
                Ok(true)
            })?;
        }
    }
    if total == 0 && !as_json {
        say!("no dead letters")?;
    }
    Ok(())
}

fn show(log: &Arc<dyn Log>, id: &str) -> anyhow::Result<()> {
    let form = "expected TOPIC/PARTITION/OFFSET as `limbic dead list` prints it, for instance posts/0/17";
    let mut parts = id.rsplitn(3, '/');
    let offset: u64 = parts.next().and_then(|text| text.parse().ok()).context(form)?;
    let partition: u32 = parts.next().and_then(|text| text.parse().ok()).context(form)?;
    let topic = parts.next().context(form)?;
    let place = TopicPartition {
        topic: topics::dead(topic).into(),
        partition,
    };
    let found = log
        .read(&place, offset, 1)?
        .into_iter()
        .find(|record| record.offset == offset);
    let letter =
        found.with_context(|| format!("there is no dead letter {id}: `limbic dead list` lists them"))?;
    say!("key      {}", String::from_utf8_lossy(&letter.key))?;
    say!("time     {}", letter.timestamp)?;
    for (name, value) in letter.headers.iter() {
        let shown = std::str::from_utf8(value).map_or_else(|_| format!("{value:02x?}"), str::to_owned);
        say!("{name:<24} {shown}")?;
    }
    say!("\n{}", String::from_utf8_lossy(&letter.value))?;
    Ok(())
}

fn replay(
    log: &Arc<dyn Log>,
    topic: &str,
    reason: Option<&str>,
    again: bool,
    dry_run: bool,
) -> anyhow::Result<()> {
    let mut found = Vec::new();
    let mut sent_before = 0;
    // All are read before the first is sent: what dies again is not sent again.
    for (topic, partitions) in dead_topics(log, Some(topic))? {
        for partition in 0..partitions {
            letters(log, &topic, partition, |letter, is_sent| {
                let wanted =
                    reason.is_none_or(|reason| letter.headers.text(header::DEAD_REASON) == Some(reason));
                if wanted && is_sent && !again {
                    sent_before += 1;
                } else if wanted && let Some(record) = revive(letter) {
                    found.push((partition, letter.offset, record));
                }
                Ok(true)
            })?;
        }
    }
    if !dry_run {
        for chunk in found.chunks(READ) {
            let mut records: Vec<NewRecord> = chunk.iter().map(|(_, _, record)| record.clone()).collect();
            for of_partition in chunk.chunk_by(|a, b| a.0 == b.0) {
                let offsets: Vec<u64> = of_partition.iter().map(|(_, offset, _)| *offset).collect();
                records.push(mark(
                    topic.strip_suffix(".dead").unwrap_or(topic),
                    of_partition[0].0,
                    &offsets,
                ));
            }
            log.publish(records)?;
        }
    }
    let sent = found.len();
    let word = if dry_run { "would be sent" } else { "sent" };
    say!("{sent} dead letters {word} to {topic}")?;
    if sent_before > 0 {
        say!("{sent_before} were sent before and are left out: --again sends them too")?;
    }
    if sent > 0 && !dry_run {
        say!(
            "each is processed by the stage that gave up on it, and by no other; they stay in the dead-letter topic, marked as sent"
        )?;
    }
    Ok(())
}
