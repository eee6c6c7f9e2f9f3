//! `limbic topics`.

use std::process::ExitCode;

use serde_json::json;

use crate::cli::{Common, TopicsCommand};
use limbic_node as node;

pub fn run(common: &Common, command: &TopicsCommand) -> anyhow::Result<ExitCode> {
    let settings = common.settings(&[])?;
    match command {
        TopicsCommand::Create => {
            let log = node::open_log(&settings)?;
            say!(
                "{} topics exist, with {} partitions each",
                log.topics()?.len(),
                settings.partitions
            )?;
            log.close()?;
        }
        TopicsCommand::List { json } => {
            let log = node::connect(&settings)?;
            let mut topics = log.topics()?;
            topics.sort_by(|a, b| a.name.cmp(&b.name));
            if *json {
                let rows: Vec<_> = topics
                    .iter()
                    .map(|topic| json!({"topic": &*topic.name, "partitions": topic.offsets.len(), "offsets": topic.offsets}))
                    .collect();
                say!("{}", serde_json::to_string_pretty(&rows)?)?;
            } else if topics.is_empty() {
                say!("no topics yet: `limbic topics create` creates them")?;
            } else {
                say!("{:<20} {:>10}  offsets (earliest–end)", "topic", "partitions")?;
                for topic in topics {
                    let offsets: Vec<String> = topic
                        .offsets
                        .iter()
                        .map(|(low, high)| format!("{low}–{high}"))
                        .collect();
                    say!(
                        "{:<20} {:>10}  {}",
                        topic.name,
                        topic.offsets.len(),
                        offsets.join("  ")
                    )?;
                }
            }
            log.close()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
