//! The gate: one pure function.

use std::panic::{AssertUnwindSafe, catch_unwind};

use limbic_domain::{CampaignDraft, CreativeSet, Draft, Removal, Suppression};

use crate::Rules;
use crate::rules::people::People;
use crate::rules::{self, RuleError};

/// What the gate decides about one campaign of a draft.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// A policy may choose from this set. It holds only the people and the ads that passed.
    Cleared(Box<CreativeSet>),
    /// Nothing may run.
    Suppressed {
        /// The rule, with its reason.
        suppression: Suppression,
        /// What was removed before the suppression.
        removals: Vec<Removal>,
    },
}

/// A rule about a whole campaign of a draft: the suppression, if nothing may run.
pub(crate) type AudienceRule = fn(&Draft, &CampaignDraft, &Rules) -> Result<Option<Suppression>, RuleError>;

/// Judges a draft: one verdict for each of its campaigns, in their order.
///
/// The verdicts are a function of the arguments. If a rule fails or panics, the verdict is a suppression with the rule
/// `rule_failed`. The people are judged once for all campaigns.
pub fn gate(draft: &Draft, rules: &Rules) -> Vec<Verdict> {
    judge(draft, rules, rules::AUDIENCE)
}

fn judge(draft: &Draft, rules: &Rules, audience_rules: &[AudienceRule]) -> Vec<Verdict> {
    let people = guarded(|| Ok(rules::people::clear(&draft.people, rules)));
    let campaigns = draft.campaigns.iter();
    campaigns
        .map(|campaign| {
            let verdict = match &people {
                Ok(people) => guarded(|| pass(draft, campaign, people, rules, audience_rules)),
                Err(error) => Err(error.clone()),
            };
            verdict.unwrap_or_else(|error| Verdict::Suppressed {
                suppression: Suppression {
                    rule: "rule_failed".to_owned(),
                    reason: format!("An ad that cannot be judged does not run: {error}."),
                },
                removals: campaign.removals.clone(),
            })
        })
        .collect()
}

/// What `rule` returns; a failure or a panic as text.
fn guarded<T>(rule: impl FnOnce() -> Result<T, RuleError>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(rule)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("a rule of the gate panicked".to_owned()),
    }
}

fn pass(
    draft: &Draft,
    campaign: &CampaignDraft,
    people: &People,
    rules: &Rules,
    audience_rules: &[AudienceRule],
) -> Result<Verdict, RuleError> {
    let mut removals = campaign.removals.clone();
    for rule in audience_rules {
        if let Some(suppression) = rule(draft, campaign, rules)? {
            return Ok(Verdict::Suppressed {
                suppression,
                removals,
            });
        }
    }
    removals.extend_from_slice(&people.removals);
    if let Some(suppression) = rules::people::too_few(draft.people.len(), people.cleared.len(), rules) {
        return Ok(Verdict::Suppressed {
            suppression,
            removals,
        });
    }
    let creatives = rules::creatives::clear(&campaign.creatives, rules, &mut removals);
    if creatives.is_empty() {
        let suppression = Suppression {
            rule: "no_creative_left".to_owned(),
            reason: match campaign.creatives.len() {
                0 => "There was no ad to choose from.".to_owned(),
                1 => "The only ad had to be removed.".to_owned(),
                count => format!("All {count} ads had to be removed."),
            },
        };
        return Ok(Verdict::Suppressed {
            suppression,
            removals,
        });
    }
    Ok(Verdict::Cleared(Box::new(CreativeSet {
        moment: draft.moment.clone(),
        campaign: campaign.campaign.clone(),
        bid: campaign.bid,
        audience: draft.audience.clone(),
        direction: draft.direction,
        mood: draft.mood.clone(),
        people: people.cleared.clone(),
        creatives,
        removals,
        cleared_by: rules.version().to_owned(),
    })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    fn draft() -> Draft {
        serde_json::from_value(serde_json::json!({
            "moment": "m", "audience": "everyone:football", "direction": "up",
            "mood": {"valence": 0.5, "arousal": 0.5, "emotions": {}, "distress": 0.0, "weight": 30.0},
            "people": [{"person": "a".repeat(32), "distress": 0.0, "consent": "given", "minor": false}],
            "campaigns": [{"campaign": "spring", "bid": 1, "creatives": [
                {"id": "c", "generator": "template/plain-1", "tone": "plain", "rendering":
                    {"platform": "file", "headline": "Acme Boots", "body": "Try a pair.", "link": "https://example.com"}}]}],
        }))
        .unwrap()
    }

    #[test]
    fn a_rule_that_fails_holds_everything_back() {
        let rules = Rules::new(&Settings::default()).unwrap();
        let cleared = judge(&draft(), &rules, rules::AUDIENCE);
        assert!(matches!(cleared[..], [Verdict::Cleared(_)]));
        let fails: AudienceRule = |_, _, _| Err(RuleError::Unreadable("a test's number"));
        let panics: AudienceRule = |_, _, _| panic!("a test's rule");
        for broken in [fails, panics] {
            let verdicts = judge(&draft(), &rules, &[broken]);
            let [Verdict::Suppressed { suppression, .. }] = &verdicts[..] else {
                panic!("cleared by a broken rule");
            };
            assert_eq!(suppression.rule, "rule_failed");
            assert!(
                suppression
                    .reason
                    .starts_with("An ad that cannot be judged does not run")
            );
        }
    }

    #[test]
    fn a_rule_that_fails_on_one_campaign_suppresses_that_one_alone() {
        let rules = Rules::new(&Settings::default()).unwrap();
        let mut two = draft();
        two.campaigns.push(CampaignDraft {
            campaign: "autumn".parse().unwrap(),
            ..two.campaigns[0].clone()
        });
        let fails: AudienceRule = |_, campaign, _| match campaign.campaign.as_str() {
            "spring" => panic!("a test's rule"),
            _ => Ok(None),
        };
        let verdicts = judge(&two, &rules, &[fails]);
        assert!(matches!(
            verdicts[..],
            [Verdict::Suppressed { .. }, Verdict::Cleared(_)]
        ));
    }
}
