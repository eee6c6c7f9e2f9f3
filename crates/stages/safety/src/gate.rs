//! The gate: one pure function.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use limbic_domain::{CampaignDraft, CreativeSet, Draft, Hold, Removal, Suppression, Utc};

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

/// The holds on subjects, by subject.
pub type Holds = BTreeMap<String, Hold>;

/// What a rule judges by, besides the draft.
pub(crate) struct Context<'a> {
    pub(crate) rules: &'a Rules,
    holds: &'a Holds,
    at: Utc,
}

impl Context<'_> {
    /// The hold that covers the moment, if there is one on `subject`.
    pub(crate) fn hold_on(&self, subject: &str) -> Option<&Hold> {
        self.holds.get(subject).filter(|hold| hold.covers(self.at))
    }
}

/// A rule about a whole campaign of a draft: the suppression, if nothing may run.
pub(crate) type AudienceRule =
    fn(&Draft, &CampaignDraft, &Context<'_>) -> Result<Option<Suppression>, RuleError>;

/// Judges a draft: one verdict for each of its campaigns, in their order.
///
/// The verdicts are a function of the arguments. If a rule fails or panics, the verdict is a suppression with the rule
/// `rule_failed`. The people are judged once for all campaigns.
///
/// `at` is the moment's event time. `holds` has at least the holds on the audience's subject and on the campaigns' brands.
pub fn gate(draft: &Draft, at: Utc, holds: &Holds, rules: &Rules) -> Vec<Verdict> {
    judge(draft, &Context { rules, holds, at }, rules::AUDIENCE)
}

fn judge(draft: &Draft, context: &Context<'_>, audience_rules: &[AudienceRule]) -> Vec<Verdict> {
    let rules = context.rules;
    let people = guarded(|| Ok(rules::people::clear(&draft.people, rules)));
    let campaigns = draft.campaigns.iter();
    campaigns
        .map(|campaign| {
            let verdict = match &people {
                Ok(people) => guarded(|| pass(draft, campaign, people, context, audience_rules)),
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
    context: &Context<'_>,
    audience_rules: &[AudienceRule],
) -> Result<Verdict, RuleError> {
    let rules = context.rules;
    let mut removals = campaign.removals.clone();
    for rule in audience_rules {
        if let Some(suppression) = rule(draft, campaign, context)? {
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
        mood: draft.change.mood.clone(),
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
            "change": {"since": "2026-01-01T00:00:00Z", "posts": 30, "distressed": 0, "sensitive_events": 0, "unread": 0, "valence_error": 0.1,
                "mood": {"valence": 0.5, "arousal": 0.5, "emotions": {}, "distress": 0.0, "weight": 30.0}},
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
        let holds = Holds::new();
        let context = Context {
            rules: &rules,
            holds: &holds,
            at: Utc::from_millis(0),
        };
        let cleared = judge(&draft(), &context, rules::AUDIENCE);
        assert!(matches!(cleared[..], [Verdict::Cleared(_)]));
        let fails: AudienceRule = |_, _, _| Err(RuleError::Unreadable("a test's number"));
        let panics: AudienceRule = |_, _, _| panic!("a test's rule");
        for broken in [fails, panics] {
            let verdicts = judge(&draft(), &context, &[broken]);
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
        let holds = Holds::new();
        let context = Context {
            rules: &rules,
            holds: &holds,
            at: Utc::from_millis(0),
        };
        let mut two = draft();
        two.campaigns.push(CampaignDraft {
            campaign: "autumn".parse().unwrap(),
            ..two.campaigns[0].clone()
        });
        let fails: AudienceRule = |_, campaign, _| match campaign.campaign.as_str() {
            "spring" => panic!("a test's rule"),
            _ => Ok(None),
        };
        let verdicts = judge(&two, &context, &[fails]);
        assert!(matches!(
            verdicts[..],
            [Verdict::Suppressed { .. }, Verdict::Cleared(_)]
        ));
    }
}
