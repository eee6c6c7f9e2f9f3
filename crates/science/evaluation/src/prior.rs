//! Reads Beta priors from a file: for each campaign, one `alpha` and one `beta` per item, in the order of the item
//! ids.
//!
//! The file is JSON, `{"all": {"alpha": [..], "beta": [..]}, ...}`, or the same in the block form of YAML that the
//! Open Bandit Dataset ships: nested keys, and lists of numbers with `- `. Any other YAML is an error with its line
//! number.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::EvaluateError;
use limbic_bandit::quadrature::Beta;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lists {
    #[serde(default)]
    alpha: Vec<f64>,
    #[serde(default)]
    beta: Vec<f64>,
}

/// The priors of `campaign`, in the order of the item ids. If the file has one campaign, `campaign` is ignored.
pub fn read(path: &Path, campaign: Option<&str>) -> Result<Vec<Beta>, EvaluateError> {
    let malformed = |reason: String| EvaluateError::malformed(path, reason);
    let text = std::fs::read_to_string(path).map_err(|e| EvaluateError::read(path, e))?;
    let mut campaigns: BTreeMap<String, Lists> = if text.trim_start().starts_with('{') {
        serde_json::from_str(&text).map_err(|e| malformed(e.to_string()))?
    } else {
        parse_block(&text).map_err(malformed)?
    };
    let names: Vec<String> = campaigns.keys().cloned().collect();
    let lists = match campaign.and_then(|name| campaigns.remove(name)) {
        Some(lists) => lists,
        None if campaigns.len() == 1 => campaigns.pop_first().map(|(_, lists)| lists).unwrap_or_default(),
        None => {
            return Err(malformed(format!(
                "no priors for campaign `{}`; it has {}",
                campaign.unwrap_or("(not given)"),
                names.join(", ")
            )));
        }
    };
    if lists.alpha.len() != lists.beta.len() || lists.alpha.is_empty() {
        return Err(malformed(format!(
            "{} values of alpha and {} of beta: there must be one of each per item",
            lists.alpha.len(),
            lists.beta.len()
        )));
    }
    let priors: Vec<Beta> = lists
        .alpha
        .iter()
        .zip(&lists.beta)
        .map(|(&alpha, &beta)| Beta { alpha, beta })
        .collect();
    let usable = |value: f64| value > 0.0 && value.is_finite();
    match priors.iter().position(|p| !usable(p.alpha) || !usable(p.beta)) {
        Some(item) => Err(malformed(format!("the prior of item {item} is not positive"))),
        None => Ok(priors),
    }
}

fn parse_block(text: &str) -> Result<BTreeMap<String, Lists>, String> {
    let mut campaigns: BTreeMap<String, Lists> = BTreeMap::new();
    let mut campaign = None;
    let mut is_alpha = None;
    for (number, line) in (1..).zip(text.lines()) {
        let content = line.trim();
        let unexpected =
            || format!("line {number}: `{content}` is not `campaign:`, `alpha:`, `beta:` or `- NUMBER`");
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        if let Some(value) = content.strip_prefix("- ") {
            let value = value.trim().parse().map_err(|_| unexpected())?;
            let lists = campaign
                .as_ref()
                .and_then(|name| campaigns.get_mut(name))
                .ok_or_else(unexpected)?;
            match is_alpha {
                Some(true) => lists.alpha.push(value),
                Some(false) => lists.beta.push(value),
                None => return Err(unexpected()),
            }
        } else if let Some(key) = content.strip_suffix(':') {
            if line.starts_with(char::is_whitespace) {
                is_alpha = match key {
                    "alpha" => Some(true),
                    "beta" => Some(false),
                    _ => return Err(unexpected()),
                };
            } else {
                campaigns.entry(key.to_owned()).or_default();
                campaign = Some(key.to_owned());
                is_alpha = None;
            }
        } else {
            return Err(unexpected());
        }
    }
    Ok(campaigns)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &str = "spring:\n  alpha:\n    - 2.0\n    - 3\n  beta:\n    - 5.0\n    - 7.5\nautumn:\n  alpha:\n  - 1\n  beta:\n  - 1\n";

    fn read_text(text: &str, campaign: Option<&str>) -> Result<Vec<Beta>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prior");
        std::fs::write(&path, text).unwrap();
        read(&path, campaign).map_err(|e| e.to_string())
    }

    #[test]
    fn both_forms_say_the_same() {
        let json = r#"{"spring": {"alpha": [2, 3], "beta": [5, 7.5]}}"#;
        assert_eq!(
            read_text(BLOCK, Some("spring")).unwrap(),
            read_text(json, None).unwrap()
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, campaign, expected) in [
            (BLOCK, Some("winter"), "it has autumn, spring"),
            (BLOCK, None, "(not given)"),
            ("a:\n  alpha:\n  - x\n", Some("a"), "line 3"),
            ("- 1\n", Some("a"), "line 1"),
            ("a:\n  gamma:\n", Some("a"), "line 2"),
            (
                "a:\n  alpha:\n  - 1\n",
                Some("a"),
                "1 values of alpha and 0 of beta",
            ),
            ("a:\n  alpha:\n  - 0\n  beta:\n  - 1\n", Some("a"), "item 0"),
        ] {
            let error = read_text(text, campaign).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
