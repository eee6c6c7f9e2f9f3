//! What the tests of the gate share.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use limbic_domain::{
    Approval, ApprovalRule, ConsentState, CreativeSet, Direction, Draft, Envelope, Hold, HoldCause, PostRef,
    Pseudonym, Recipient, Removal, ReviewMode, Slug, Suppression, TenantId, Utc, topics,
};
use limbic_safety::{Holds, Rules, SafetyStage, Settings, Verdict, gate};
use limbic_stream::testing::{Harness, record};
use limbic_stream::{Effects, References};
use proptest::prelude::*;
use serde_json::json;

pub(crate) fn person(n: usize) -> Recipient {
    Recipient {
        person: Pseudonym::new(&format!("{n:032x}")).unwrap(),
        distress: 0.0,
        consent: ConsentState::Given,
        minor: false,
        valence: 0.0,
    }
}

pub(crate) fn draft() -> Draft {
    let creative = |id: &str, headline: &str| {
        json!({"id": id, "generator": "template/plain-1", "tone": "plain", "rendering":
            {"platform": "file", "headline": headline, "body": "Try a pair.", "link": "https://example.com/boots"}})
    };
    serde_json::from_value(json!({
        "moment": "m1", "audience": "everyone:football", "direction": "up",
        "change": {"since": "2026-01-01T00:00:00Z", "posts": 30, "distressed": 0, "sensitive_events": 0, "unread": 0, "valence_error": 0.1,
            "mood": {"valence": 0.5, "arousal": 0.5, "emotions": {}, "distress": 0.0, "weight": 30.0}},
        "mood": {"valence": 0.5, "arousal": 0.5, "emotions": {"joy": 0.7, "fear": 0.1}, "distress": 0.02, "weight": 30.0},
        "people": [person(1), person(2), person(3)],
        "campaigns": [{"campaign": "spring", "bid": 1, "declared": {"advertiser": "Acme"},
            "creatives": [creative("c1", "Acme Boots"), creative("c2", "Acme Boots!")]}],
    }))
    .unwrap()
}

/// Made once: the word lists take a while without optimisation.
pub(crate) fn rules() -> Rules {
    static RULES: LazyLock<Rules> = LazyLock::new(|| Rules::new(&Settings::default()).unwrap());
    RULES.clone()
}

/// The verdicts without any hold.
pub(crate) fn judge(draft: &Draft) -> Vec<Verdict> {
    gate(draft, Utc::from_millis(0), &Holds::new(), &rules())
}

/// The verdict on the only campaign of a draft.
pub(crate) fn verdict(draft: &Draft, rules: &Rules) -> Verdict {
    let mut verdicts = gate(draft, Utc::from_millis(0), &Holds::new(), rules);
    assert_eq!(verdicts.len(), 1);
    verdicts.remove(0)
}

pub(crate) fn cleared(draft: &Draft, rules: &Rules) -> CreativeSet {
    match verdict(draft, rules) {
        Verdict::Cleared(set) => *set,
        Verdict::Suppressed {
            suppression,
            removals,
        } => panic!("suppressed: {suppression:?}, {removals:?}"),
    }
}

pub(crate) fn suppressed(draft: &Draft, rules: &Rules) -> (Suppression, Vec<Removal>) {
    match verdict(draft, rules) {
        Verdict::Suppressed {
            suppression,
            removals,
        } => (suppression, removals),
        Verdict::Cleared(set) => panic!("cleared: {set:?}"),
    }
}

pub(crate) fn process(values: Vec<Vec<u8>>) -> Effects {
    process_with(References::new().with::<&str, &str>(topics::HOLDS, []), values)
}

pub(crate) fn process_with(references: References, values: Vec<Vec<u8>>) -> Effects {
    let records = values.into_iter().map(|value| {
        record(topics::DRAFTS)
            .partition(1)
            .key("mine/everyone:football")
            .at(Utc::from_millis(5))
            .value(value)
    });
    let mut harness = Harness::new(|| SafetyStage::new(rules())).described_by(SafetyStage::spec());
    let references = if references.get(topics::WITHDRAWALS).is_some() {
        references
    } else {
        references.with::<&str, &str>(topics::WITHDRAWALS, [])
    };
    harness.set_references(references);
    harness.process(records)
}

pub(crate) fn enveloped(draft: Draft) -> Vec<u8> {
    Envelope::new(
        TenantId::new("mine").unwrap(),
        "d".into(),
        Utc::from_millis(5),
        draft,
    )
    .encode()
}

pub(crate) fn any_recipient() -> impl Strategy<Value = Recipient> {
    let consent = prop_oneof![
        Just(ConsentState::NotRequired),
        Just(ConsentState::Given),
        Just(ConsentState::Denied),
        Just(ConsentState::Unknown)
    ];
    (0usize..6, 0.0f64..1.0, consent, prop::bool::weighted(0.2)).prop_map(|(n, distress, consent, minor)| {
        Recipient {
            distress,
            consent,
            minor,
            ..person(n)
        }
    })
}

pub(crate) fn any_draft() -> impl Strategy<Value = Draft> {
    let headline = prop_oneof![
        Just("Acme Boots".to_owned()),
        Just("Feeling sad?".to_owned()),
        Just("Losers!".to_owned()),
        "\\PC{0,30}"
    ];
    (
        prop::collection::vec(any_recipient(), 0..8),
        prop::collection::vec(headline, 0..4),
        0.0f64..0.3,
        prop::collection::btree_map("(fear|sadness|joy|grief)", 0.0f64..0.7, 0..3),
        any::<bool>(),
        "(football|cancer|coffee|islam)",
    )
        .prop_map(|(people, headlines, distress, emotions, falls, subject)| {
            let mut set = draft();
            let template = set.campaigns[0].creatives[0].clone();
            set.campaigns[0].creatives = headlines
                .into_iter()
                .enumerate()
                .map(|(n, headline)| {
                    let mut creative = template.clone();
                    creative.id = format!("c{n}");
                    creative.rendering.headline = headline;
                    creative
                })
                .collect();
            set.people = people;
            set.mood.distress = distress;
            set.mood.emotions = emotions;
            set.direction = if falls { Direction::Down } else { Direction::Up };
            set.audience = format!("everyone:{subject}").parse().unwrap();
            set
        })
}

/// Who and what may run: nothing, or the people and ads of the cleared set.
pub(crate) fn allowed(verdict: &Verdict) -> (BTreeSet<Pseudonym>, BTreeSet<String>) {
    match verdict {
        Verdict::Suppressed { .. } => Default::default(),
        Verdict::Cleared(set) => (
            set.people.iter().cloned().collect(),
            set.creatives.iter().map(|creative| creative.id.clone()).collect(),
        ),
    }
}

pub(crate) fn hold(subject: &str) -> Hold {
    Hold {
        subject: Slug::new(subject).unwrap(),
        since: Utc::from_millis(0),
        until: Utc::from_millis(86_400_000),
        posts: 9,
        sensitive_events: 5,
        unread: 0,
        trigger: PostRef {
            network: Slug::new("bluesky").unwrap(),
            id: "1".into(),
        },
        cause: HoldCause::default(),
        released: None,
    }
}

/// A draft of which every ad waits for a person.
pub(crate) fn unreviewed() -> Draft {
    let mut draft = draft();
    draft.campaigns[0].review = ReviewMode::All;
    draft
}

pub(crate) fn approved(draft: &mut Draft, ad: usize) {
    draft.campaigns[0].creatives[ad].approval = Some(Approval {
        rule: ApprovalRule::Person,
        by: Some("key:0011aabb".into()),
        at: Some(Utc::from_millis(3)),
        edited_from: None,
    });
}

/// The table of reviews after these effects.
pub(crate) fn reviews(effects: &Effects) -> Vec<(String, Vec<u8>)> {
    let written = effects.records.iter().map(|(_, record)| record);
    written
        .filter(|record| &*record.topic == topics::REVIEWS)
        .map(|record| {
            (
                String::from_utf8(record.key.to_vec()).unwrap(),
                record.value.to_vec(),
            )
        })
        .collect()
}

pub(crate) fn with_reviews(reviews: Vec<(String, Vec<u8>)>) -> References {
    References::new()
        .with::<&str, &str>(topics::HOLDS, [])
        .with(topics::REVIEWS, reviews)
}

/// Counts warnings of the log.
#[derive(Default)]
pub(crate) struct Warnings(pub(crate) std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}
