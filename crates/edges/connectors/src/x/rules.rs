//! The rules of the filtered stream, kept in step with the settings.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Api, NAME};
use crate::http::{refused, unavailable};
use crate::{ConnectorError, Failure};

/// The most rules of one change.
const MOST_AT_ONCE: usize = 100;

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    data: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    id: String,
    value: String,
    #[serde(default)]
    tag: String,
}

/// Adds the rules that are missing, and removes those with this tag that are not wanted any more. Rules with other tags stay.
pub(super) fn keep_in_step(api: &mut Api, wanted: &[String], tag: &str) -> Result<(), ConnectorError> {
    let answer = api.rules(None)?;
    let listed: Listed = serde_json::from_slice(&answer.body).map_err(|error| {
        let detail = format!("its answer is not a list of rules: {error}");
        unavailable(NAME, detail, Failure::Server, None)
    })?;
    let own: Vec<&Rule> = listed.data.iter().filter(|rule| rule.tag == tag).collect();
    let surplus: Vec<&str> = own
        .iter()
        .filter(|rule| !wanted.contains(&rule.value))
        .map(|rule| &*rule.id)
        .collect();
    let missing: Vec<Value> = wanted
        .iter()
        .filter(|wanted| !own.iter().any(|rule| rule.value == **wanted))
        .map(|wanted| json!({"value": wanted, "tag": tag}))
        .collect();
    // First room for the new ones: the number of rules has a limit.
    for ids in surplus.chunks(MOST_AT_ONCE) {
        change(api, &json!({"delete": {"ids": ids}}))?;
    }
    for rules in missing.chunks(MOST_AT_ONCE) {
        change(api, &json!({"add": rules}))?;
    }
    Ok(())
}

fn change(api: &mut Api, change: &Value) -> Result<(), ConnectorError> {
    let answer = api.rules(Some(change))?;
    let answer: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    // A rule that another connector has added since is there.
    let wrong = answer["errors"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|error| error["title"] != "DuplicateRule");
    let Some(wrong) = wrong else {
        return Ok(());
    };
    let text = |name: &str| wrong[name].as_str().unwrap_or_default();
    let reason = wrong["details"][0].as_str().unwrap_or_else(|| text("detail"));
    let reason: String = reason.chars().take(200).collect();
    let value: String = text("value").chars().take(100).collect();
    let title = text("title");
    Err(refused(
        NAME,
        format!("it does not take the rule `{value}`: {title}: {reason}: change `rules`"),
    ))
}
