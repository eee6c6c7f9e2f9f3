//! The gate: one pure function.

use std::panic::{AssertUnwindSafe, catch_unwind};

use limbic_domain::{CreativeSet, Removal, Suppression};

use crate::Rules;
use crate::rules::{self, RuleError};

/// What the gate says of a draft.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It may be decided on: `cleared_by` is set, and only who and what may run is in it.
    Cleared(Box<CreativeSet>),
    /// Nothing may run.
    Suppressed {
        /// Which rule, and why.
        suppression: Suppression,
        /// What was taken out before it came to that.
        removals: Vec<Removal>,
    },
}

/// A rule about the whole draft: the suppression, if there is to be one.
pub(crate) type AudienceRule = fn(&CreativeSet, &Rules) -> Result<Option<Suppression>, RuleError>;

/// Judges a draft. A function of its arguments; whatever fails on the way is a suppression.
pub fn gate(draft: &CreativeSet, rules: &Rules) -> Verdict {
    judge(draft, rules, rules::AUDIENCE)
}

fn judge(draft: &CreativeSet, rules: &Rules, audience_rules: &[AudienceRule]) -> Verdict {
    let failed = |error: String| Verdict::Suppressed {
        suppression: Suppression {
            rule: "rule_failed".to_owned(),
            reason: format!("What cannot be judged does not run: {error}."),
        },
        removals: draft.removals.clone(),
    };
    match catch_unwind(AssertUnwindSafe(|| pass(draft, rules, audience_rules))) {
        Ok(Ok(verdict)) => verdict,
        Ok(Err(error)) => failed(error.to_string()),
        Err(_) => failed("a rule of the gate broke".to_owned()),
    }
}

fn pass(draft: &CreativeSet, rules: &Rules, audience_rules: &[AudienceRule]) -> Result<Verdict, RuleError> {
    let mut removals = draft.removals.clone();
    for rule in audience_rules {
        if let Some(suppression) = rule(draft, rules)? {
            return Ok(Verdict::Suppressed {
                suppression,
                removals,
            });
        }
    }
    let people = rules::people::clear(&draft.people, rules, &mut removals);
    if let Some(suppression) = rules::people::too_few(draft.people.len(), people.len(), rules) {
        return Ok(Verdict::Suppressed {
            suppression,
            removals,
        });
    }
    let creatives = rules::creatives::clear(&draft.creatives, rules, &mut removals);
    if creatives.is_empty() {
        let suppression = Suppression {
            rule: "no_creative_left".to_owned(),
            reason: match draft.creatives.len() {
                0 => "There was no ad to choose from.".to_owned(),
                1 => "The one ad there was had to be taken out.".to_owned(),
                count => format!("All {count} ads had to be taken out."),
            },
        };
        return Ok(Verdict::Suppressed {
            suppression,
            removals,
        });
    }
    Ok(Verdict::Cleared(Box::new(CreativeSet {
        people,
        creatives,
        removals,
        cleared_by: Some(rules.version().to_owned()),
        ..draft.clone()
    })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    fn draft() -> CreativeSet {
        serde_json::from_value(serde_json::json!({
            "moment": "m", "campaign": "spring", "bid": 1, "audience": "everyone:football", "direction": "up",
            "mood": {"valence": 0.5, "arousal": 0.5, "emotions": {}, "distress": 0.0, "weight": 30.0},
            "people": [{"person": "a".repeat(32), "distress": 0.0, "consent": "given", "minor": false}],
            "creatives": [{"id": "c", "generator": "template/plain-1", "tone": "plain", "rendering":
                {"platform": "file", "headline": "Acme Boots", "body": "Try a pair.", "link": "https://example.com"}}],
        }))
        .unwrap()
    }

    #[test]
    fn a_rule_that_fails_holds_everything_back() {
        let rules = Rules::new(&Settings::default()).unwrap();
        assert!(matches!(
            judge(&draft(), &rules, rules::AUDIENCE),
            Verdict::Cleared(_)
        ));
        let fails: AudienceRule = |_, _| Err(RuleError::Unreadable("a test's number"));
        let breaks: AudienceRule = |_, _| panic!("a test's rule");
        for broken in [fails, breaks] {
            let Verdict::Suppressed { suppression, .. } = judge(&draft(), &rules, &[broken]) else {
                panic!("cleared by a broken rule");
            };
            assert_eq!(suppression.rule, "rule_failed");
            assert!(
                suppression
                    .reason
                    .starts_with("What cannot be judged does not run")
            );
        }
    }
}
