//! The gate: one pure function.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use limbic_domain::{
    CampaignDraft, Creative, CreativeSet, Draft, Hold, Pseudonym, Recipient, Removal, Suppression, Utc,
};

use crate::Rules;
use crate::ad::Ad;
use crate::rule::{Check, Rule, RuleError};
use crate::rules::{self, MALFORMED, PEOPLE_LIMIT, RULE_FAILED, RULES};

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

/// What holds ads back, besides what the draft says: holds on subjects, and people who took something back.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Holds {
    subjects: BTreeMap<String, Hold>,
    withdrawn: BTreeSet<Pseudonym>,
}

impl Holds {
    /// No holds.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the hold on a subject.
    pub fn insert(&mut self, subject: String, hold: Hold) {
        self.subjects.insert(subject, hold);
    }

    /// Adds a person who took something back, as a [`Withdrawal`](limbic_domain::Withdrawal) says.
    pub fn withdraw(&mut self, person: Pseudonym) {
        self.withdrawn.insert(person);
    }
}

/// What a rule judges by, besides the draft.
pub(crate) struct Context<'a> {
    pub(crate) rules: &'a Rules,
    holds: &'a Holds,
    at: Utc,
}

impl Context<'_> {
    /// The hold that covers the moment, if there is one on `subject`.
    pub(crate) fn hold_on(&self, subject: &str) -> Option<&Hold> {
        self.holds
            .subjects
            .get(subject)
            .filter(|hold| hold.covers(self.at))
    }

    /// Whether the person took something back.
    pub(crate) fn has_withdrawn(&self, person: &Pseudonym) -> bool {
        self.holds.withdrawn.contains(person)
    }
}

/// Judges a draft: one verdict for each of its campaigns, in their order.
///
/// The verdicts are a function of the arguments. If a rule fails or panics, the verdict is a suppression with the rule
/// `rule_failed`. The people are judged once for all campaigns.
///
/// `at` is the moment's event time. `holds` has at least the holds on the audience's subject and on the campaigns' brands, and those of
/// the people who took something back.
pub fn gate(draft: &Draft, at: Utc, holds: &Holds, rules: &Rules) -> Vec<Verdict> {
    judge(draft, &Context { rules, holds, at }, &RULES)
}

fn judge(draft: &Draft, context: &Context<'_>, all: &[Rule]) -> Vec<Verdict> {
    let people = guarded(|| clear_people(&draft.people, context, all));
    let campaigns = draft.campaigns.iter();
    campaigns
        .map(|campaign| {
            let verdict = match &people {
                Ok(people) => pass(draft, campaign, people, context, all),
                Err(error) => Err(error.clone()),
            };
            verdict.unwrap_or_else(|error| Verdict::Suppressed {
                suppression: Suppression {
                    rule: RULE_FAILED.id.to_owned(),
                    reason: rules::cannot_be_judged(&error),
                },
                removals: campaign.removals.clone(),
            })
        })
        .collect()
}

/// What `rule` returns; a failure or a panic as text.
pub(crate) fn guarded<T>(rule: impl FnOnce() -> Result<T, RuleError>) -> Result<T, String> {
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
    all: &[Rule],
) -> Result<Verdict, String> {
    let rules = context.rules;
    let mut removals = campaign.removals.clone();
    for rule in all {
        if let Check::Campaign(check) = rule.check
            && let Some(reason) = guarded(|| check(draft, campaign, context))?
        {
            let suppression = Suppression {
                rule: rule.id.to_owned(),
                reason,
            };
            return Ok(Verdict::Suppressed {
                suppression,
                removals,
            });
        }
    }
    removals.extend_from_slice(&people.removals);
    if let Some(suppression) = rules::too_few(draft.people.len(), people.cleared.len(), rules) {
        return Ok(Verdict::Suppressed {
            suppression,
            removals,
        });
    }
    let creatives = clear_ads(draft, campaign, rules, all, &mut removals)?;
    if creatives.is_empty() {
        return Ok(Verdict::Suppressed {
            suppression: rules::no_creative(campaign.creatives.len()),
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
        in_negative_feeling: people.in_negative_feeling.clone(),
        creatives,
        removals,
        transparency: rules::transparency_record(draft, campaign),
        cleared_by: rules.version().to_owned(),
    })))
}

/// The people of a moment after the rules.
struct People {
    /// The people whom an ad may reach, in the order given, each once.
    cleared: Vec<Pseudonym>,
    /// Those of the cleared who are in a negative feeling.
    in_negative_feeling: Vec<Pseudonym>,
    /// The others.
    removals: Vec<Removal>,
}

/// Judges the people of a moment. A person who is named twice is judged by the worst that is known of them.
fn clear_people(people: &[Recipient], context: &Context<'_>, all: &[Rule]) -> Result<People, RuleError> {
    let mut against: HashMap<&Pseudonym, (&'static str, String)> = HashMap::new();
    let mut negative = HashSet::new();
    for recipient in people {
        if is_in_negative_feeling(recipient) {
            negative.insert(&recipient.person);
        }
        if let Some(objection) = objection_to(recipient, context, all)? {
            against.entry(&recipient.person).or_insert(objection);
        }
    }
    let most = context.rules.people;
    let mut seen = HashSet::new();
    let (mut cleared, mut removals) = (Vec::new(), Vec::new());
    for Recipient { person, .. } in people {
        if !seen.insert(person) {
            continue;
        }
        let objection = against.remove(person).or_else(|| {
            (cleared.len() >= most).then(|| {
                let reason = format!("One decision reaches at most {most} people, those who posted last.");
                (PEOPLE_LIMIT.id, reason)
            })
        });
        match objection {
            Some((rule, reason)) => {
                Removal::note(&mut removals, rule, &reason, format!("person/{person}"));
            }
            None => cleared.push(person.clone()),
        }
    }
    let in_negative_feeling = cleared.iter().filter(|person| negative.contains(person));
    Ok(People {
        in_negative_feeling: in_negative_feeling.cloned().collect(),
        cleared,
        removals,
    })
}

/// Whether a person's posts have a negative valence on average. NaN counts as negative.
fn is_in_negative_feeling(recipient: &Recipient) -> bool {
    let is_pleasant = recipient.valence >= 0.0;
    !is_pleasant
}

/// The first objection to a person.
fn objection_to(
    recipient: &Recipient,
    context: &Context<'_>,
    all: &[Rule],
) -> Result<Option<(&'static str, String)>, RuleError> {
    for rule in all {
        if let Check::Person(check) = rule.check
            && let Some(reason) = check(recipient, context)?
        {
            return Ok(Some((rule.id, reason)));
        }
    }
    Ok(None)
}

/// The ads that may run, in the order given.
fn clear_ads(
    draft: &Draft,
    campaign: &CampaignDraft,
    rules: &Rules,
    all: &[Rule],
    removals: &mut Vec<Removal>,
) -> Result<Vec<Creative>, String> {
    let is_to_upset_people = rules::is_upset(draft, rules);
    let mut seen = HashSet::new();
    let mut cleared = Vec::new();
    for creative in &campaign.creatives {
        let objection = if seen.insert(&creative.id) {
            Ad::of(creative, campaign, is_to_upset_people, rules).objection(all)?
        } else {
            let reason = "Another ad of this draft has the same id.";
            Some((&MALFORMED, reason.to_owned()))
        };
        match objection {
            Some((rule, reason)) => {
                Removal::note(removals, rule.id, &reason, format!("creative/{}", creative.id));
            }
            None => cleared.push(creative.clone()),
        }
    }
    Ok(cleared)
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
            "people": [{"person": "a".repeat(32), "distress": 0.0, "consent": "given", "minor": false, "valence": 0.1}],
            "campaigns": [{"campaign": "spring", "bid": 1, "declared": {"advertiser": "Acme"}, "creatives": [
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
        let cleared = judge(&draft(), &context, &RULES);
        assert!(matches!(cleared[..], [Verdict::Cleared(_)]));
        for check in [
            Check::Campaign(|_, _, _| Err(RuleError::Unreadable("a test's number"))),
            Check::Campaign(|_, _, _| panic!("a test's rule")),
            Check::Person(|_, _| Err(RuleError::Unreadable("a test's number"))),
            Check::Person(|_, _| panic!("a test's rule")),
            Check::Ad(|_| Err(RuleError::Unreadable("a test's number"))),
            Check::Ad(|_| panic!("a test's rule")),
        ] {
            let verdicts = judge(&draft(), &context, &[Rule { check, ..RULE_FAILED }]);
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
        let check = Check::Campaign(|_, campaign, _| match campaign.campaign.as_str() {
            "spring" => panic!("a test's rule"),
            _ => Ok(None),
        });
        let verdicts = judge(&two, &context, &[Rule { check, ..RULE_FAILED }]);
        assert!(matches!(
            verdicts[..],
            [Verdict::Suppressed { .. }, Verdict::Cleared(_)]
        ));
    }
}
