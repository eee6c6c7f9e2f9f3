//! `limbic campaigns`.

use std::process::ExitCode;

use serde_json::Value;

use super::ask::Source;
use crate::cli::{CampaignsCommand, Common};

/// Eighths of a bar.
const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

pub fn run(common: &Common, command: &CampaignsCommand) -> anyhow::Result<ExitCode> {
    let CampaignsCommand::Show { id, ask } = command;
    let source = Source::open(common, ask)?;
    let campaigns = source.campaigns(id.as_deref())?;
    if ask.json {
        say!("{}", serde_json::to_string_pretty(&campaigns)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    if campaigns.is_empty() {
        say!("there are no campaigns: add [[campaigns]] to the settings file")?;
    }
    for (place, campaign) in campaigns.iter().enumerate() {
        if place > 0 {
            say!("")?;
        }
        show(campaign)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(campaign: &Value) -> anyhow::Result<()> {
    let newest = &campaign["newest_decisions"];
    say!(
        "campaign {}: of its newest {} decisions, {} chose an ad and {} held people out",
        campaign["campaign"].as_str().unwrap_or("?"),
        newest["counted"],
        newest["chosen"],
        newest["held_out"]
    )?;
    for (rule, count) in newest["withheld"].as_object().into_iter().flatten() {
        say!("  {count} withheld by the rule {rule}")?;
    }
    let creatives = campaign["creatives"].as_array().map_or(&[][..], Vec::as_slice);
    if creatives.is_empty() {
        say!("  no decision chose an ad yet: `limbic explain` says why")?;
        return Ok(());
    }
    say!(
        "  {:<10} {:<56} {:>8} {:>8} {:>11} {:>7}  {:<24} share over time",
        "tone",
        "ad",
        "chosen",
        "offered",
        "impressions",
        "clicks",
        "clicks/impression (95 %)"
    )?;
    let periods = campaign["periods"].as_array().map_or(&[][..], Vec::as_slice);
    for creative in creatives {
        let text = |name: &str| creative[name].as_str().unwrap_or("?");
        let ad = match creative["body"].as_str() {
            Some(body) => format!("{} · {body}", text("headline")),
            None => text("headline").to_owned(),
        };
        say!(
            "  {:<10} {:<56} {:>8} {:>8} {:>11} {:>7}  {:<24} {}",
            text("tone"),
            shortened(&ad, 56),
            creative["chosen"].to_string(),
            creative["offered"].to_string(),
            creative["impressions"].to_string(),
            creative["clicks"].to_string(),
            interval(&creative["clicks_per_impression"]),
            share_over_time(periods, text("creative"))
        )?;
    }
    if let (Some(first), Some(last)) = (periods.first(), periods.last()) {
        say!(
            "  shares from {} to {}, the mean probability of each ad over {} decisions a period",
            first["since"].as_str().unwrap_or("?"),
            last["since"].as_str().unwrap_or("?"),
            first["decisions"]
        )?;
    }
    Ok(())
}

fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most - 1).collect();
    format!("{kept}…")
}

fn interval(value: &Value) -> String {
    let part = |name: &str| value[name].as_f64().map(|share| 100.0 * share);
    match (part("estimate"), part("at_least"), part("at_most")) {
        (Some(estimate), Some(low), Some(high)) => format!("{estimate:.1} % ({low:.1} to {high:.1} %)"),
        _ => "no impressions".to_owned(),
    }
}

/// The share of a creative in each period as a bar, and the last one as a number.
fn share_over_time(periods: &[Value], creative: &str) -> String {
    let shares: Vec<f64> = periods
        .iter()
        .map(|period| period["shares"][creative].as_f64().unwrap_or(0.0))
        .collect();
    let bars: String = shares
        .iter()
        .map(|share| BARS[((share * 8.0).ceil() as usize).min(8)])
        .collect();
    format!("{bars} {:.0} %", 100.0 * shares.last().copied().unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_share_over_time_is_a_bar_for_each_period_and_the_last_share() {
        let periods = [
            json!({"shares": {"a": 0.1}}),
            json!({"shares": {"b": 1.0}}),
            json!({"shares": {"a": 0.5}}),
        ];
        assert_eq!(share_over_time(&periods, "a"), "▁ ▄ 50 %");
        assert_eq!(share_over_time(&periods, "b"), " █  0 %");
    }

    #[test]
    fn an_interval_without_impressions_is_absent() {
        assert_eq!(interval(&Value::Null), "no impressions");
        let value = json!({"estimate": 0.1, "at_least": 0.055, "at_most": 0.174});
        assert_eq!(interval(&value), "10.0 % (5.5 to 17.4 %)");
    }
}
