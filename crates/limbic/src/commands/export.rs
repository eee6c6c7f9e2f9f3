//! `limbic export`, and the events that `limbic evaluate` reads from a log.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use limbic_domain::{TenantId, Utc};
use limbic_stream::{Log, TopicPartition, header};
use serde::Deserialize;

use super::check_writable;
use crate::cli::{Common, ExportArgs};
use limbic_node as node;

/// Records in one read.
const AT_ONCE: usize = 1_000;

/// Which events are exported.
#[derive(Debug, Default)]
pub struct Selection {
    /// Only events of this tenant.
    pub tenant: Option<TenantId>,
    /// Only events at or after this time.
    pub from: Option<Utc>,
    /// Only events before this time.
    pub to: Option<Utc>,
}

/// The fields of an envelope that select it.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    tenant: std::borrow::Cow<'a, str>,
    at: Utc,
}

impl Selection {
    fn takes(&self, value: &[u8]) -> bool {
        // A record that is not an event is in the dead letters of the stages that read it.
        let Ok(head) = serde_json::from_slice::<Head<'_>>(value) else {
            return false;
        };
        self.tenant
            .as_ref()
            .is_none_or(|tenant| tenant.as_str() == head.tenant)
            && self.from.is_none_or(|from| head.at >= from)
            && self.to.is_none_or(|to| head.at < to)
    }
}

pub fn run(common: &Common, args: &ExportArgs) -> anyhow::Result<ExitCode> {
    if let Some(file) = &args.output {
        check_writable(file)?;
    }
    let selection = Selection {
        tenant: args.tenant.as_deref().map(TenantId::new).transpose()?,
        from: args
            .from
            .as_deref()
            .map(|text| time("--from", text))
            .transpose()?,
        to: args
            .until
            .as_deref()
            .map(|text| time("--until", text))
            .transpose()?,
    };
    let settings = common.settings(&[])?;
    let log = node::connect(&settings)?;
    let topics: BTreeSet<&str> = args.events.iter().map(String::as_str).collect();
    let count = match &args.output {
        None => export(&log, &topics, &selection, &mut std::io::stdout().lock()),
        Some(file) => {
            let made = File::create(file).with_context(|| format!("cannot write {}", file.display()))?;
            let mut writer = BufWriter::new(made);
            export(&log, &topics, &selection, &mut writer).and_then(|count| {
                writer.flush()?;
                Ok(count)
            })
        }
    };
    log.close()?;
    let count = count?;
    if let Some(file) = &args.output {
        say!("{count} events in {}", file.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the events of these topics that exist now, one envelope a line, in the order of each partition. Returns how many.
pub fn export(
    log: &Arc<dyn Log>,
    topics: &BTreeSet<&str>,
    selection: &Selection,
    to: &mut dyn Write,
) -> anyhow::Result<u64> {
    let mut count = 0;
    for topic in log.topics()? {
        if !topics.contains(&*topic.name) {
            continue;
        }
        for (partition, &(earliest, end)) in (0..).zip(&topic.offsets) {
            let partition = TopicPartition {
                topic: Arc::clone(&topic.name),
                partition,
            };
            let mut from = earliest;
            while from < end {
                let records = log.read(&partition, from, AT_ONCE)?;
                let Some(last) = records.last() else { break };
                from = last.offset + 1;
                for record in records.iter().take_while(|record| record.offset < end) {
                    if record.headers.get(header::CONTROL).is_none() && selection.takes(&record.value) {
                        to.write_all(&record.value)?;
                        to.write_all(b"\n")?;
                        count += 1;
                    }
                }
            }
        }
    }
    Ok(count)
}

/// A time in RFC 3339, or a day, which begins at midnight UTC.
fn time(option: &str, text: &str) -> anyhow::Result<Utc> {
    let whole = if text.len() == "2026-01-31".len() {
        format!("{text}T00:00:00Z")
    } else {
        text.to_owned()
    };
    match whole.parse() {
        Ok(time) => Ok(time),
        Err(error) => {
            bail!("{option} {text}: {error}: write for instance 2026-01-31 or 2026-01-31T18:00:00Z")
        }
    }
}
