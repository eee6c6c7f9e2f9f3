//! The optimize stage, driven record by record over a state in memory.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::collections::BTreeMap;

use bytes::Bytes;
use limbic_domain::{
    AudienceId, Creative, CreativeSet, Decision, Direction, Emotions, Envelope, Micros, MoodSummary, Outcome,
    OutcomeKind, Rendering, Slug, Target, TenantId, Utc, topics,
};
use limbic_optimize::brakes::frequency::FrequencyCap;
use limbic_optimize::brakes::holdout::HoldoutConfig;
use limbic_optimize::brakes::pacing::PacingConfig;
use limbic_optimize::{OptimizeSettings, OptimizeStage};
use limbic_stream::{Batch, DeadLetter, Headers, Outputs, Record, Result, Stage, StateReader};

const MINUTE: i64 = 60_000;

#[derive(Default)]
struct Memory(BTreeMap<(u32, Bytes), Bytes>);

impl StateReader for Memory {
    fn get(&self, partition: u32, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.0.get(&(partition, Bytes::copy_from_slice(key))).cloned())
    }

    fn scan(&self, partition: u32, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>> {
        let start = (partition, Bytes::copy_from_slice(from.max(prefix)));
        let found = self.0.range(start..);
        Ok(found
            .take_while(|((number, key), _)| *number == partition && key.starts_with(prefix))
            .take(limit)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect())
    }
}

/// A stage and everything it has done.
struct House {
    stage: OptimizeStage,
    state: Memory,
    decisions: Vec<Envelope<Decision>>,
    dead: Vec<DeadLetter>,
    offset: u64,
}

impl House {
    fn new(settings: OptimizeSettings) -> Self {
        Self {
            stage: OptimizeStage::new(settings).unwrap(),
            state: Memory::default(),
            decisions: Vec::new(),
            dead: Vec::new(),
            offset: 0,
        }
    }

    fn record(&mut self, topic: &str, value: Vec<u8>) -> Record {
        self.offset += 1;
        Record {
            topic: topic.into(),
            partition: 0,
            offset: self.offset,
            key: Bytes::from_static(b"default/spring"),
            value: value.into(),
            headers: Headers::new(),
            timestamp: Utc::from_millis(0),
        }
    }

    fn commit(&mut self, act: impl FnOnce(&mut OptimizeStage, &mut Outputs<'_>)) {
        let mut out = Outputs::new(&self.state);
        act(&mut self.stage, &mut out);
        let effects = out.into_effects();
        for (partition, changes) in effects.state {
            for (key, change) in changes {
                match change {
                    Some(value) => self.state.0.insert((partition, key), value),
                    None => self.state.0.remove(&(partition, key)),
                };
            }
        }
        let decisions = effects.records.iter();
        self.decisions
            .extend(decisions.map(|(_, record)| Envelope::decode(&record.value).unwrap()));
        self.dead.extend(effects.dead);
    }

    fn feed(&mut self, values: Vec<(&str, Vec<u8>)>) {
        let records = values.into_iter().map(|(topic, value)| self.record(topic, value));
        let batch = Batch {
            records: records.collect::<Vec<_>>(),
        };
        self.commit(|stage, out| stage.process(&batch, out).unwrap());
    }

    fn watermark(&mut self, at: Utc) {
        self.commit(|stage, out| stage.watermark(0, at, out).unwrap());
    }

    fn posterior(&self) -> Option<Bytes> {
        self.state.get(0, b"policy/default/spring").unwrap()
    }
}

fn at(minutes: i64) -> Utc {
    Utc::from_millis(minutes * MINUTE)
}

fn creatives(moment: &str, minutes: i64) -> Envelope<CreativeSet> {
    let creative = |tone: &str| Creative {
        id: format!("{tone}-1"),
        generator: format!("template/{tone}-1"),
        tone: Slug::new(tone).unwrap(),
        rendering: Rendering {
            platform: Slug::new("webhook").unwrap(),
            headline: tone.into(),
            body: "b".into(),
            link: "https://example.invalid".into(),
        },
    };
    let person = limbic_domain::Pseudonym::new("9f86d081884c7d659a2feaa0c55ad015").unwrap();
    let set = CreativeSet {
        moment: moment.into(),
        campaign: Slug::new("spring").unwrap(),
        bid: Micros(5),
        audience: AudienceId::new("everyone:football").unwrap(),
        direction: Direction::Up,
        mood: MoodSummary {
            valence: 0.6,
            arousal: 0.7,
            emotions: Emotions::default(),
            distress: 0.0,
            weight: 30.0,
        },
        people: vec![Target {
            person,
            distress: 0.0,
            consent: limbic_domain::ConsentState::Given,
            minor: false,
        }],
        creatives: vec![creative("celebrate"), creative("calm"), creative("plain")],
        removals: Vec::new(),
        cleared_by: Some("rules-1".into()),
    };
    Envelope::new(TenantId::default(), format!("set-{moment}"), at(minutes), set)
}

fn outcome(decision: &str, kind: OutcomeKind, key: &str, minutes: i64) -> (&'static str, Vec<u8>) {
    let outcome = Outcome {
        decision: decision.into(),
        kind,
        value: None,
        key: key.into(),
        detail: None,
    };
    let envelope = Envelope::new(TenantId::default(), key.into(), at(minutes), outcome);
    (topics::OUTCOMES, envelope.encode())
}

fn decided(house: &mut House, moment: &str, minutes: i64) -> String {
    house.feed(vec![(topics::CREATIVES, creatives(moment, minutes).encode())]);
    house.decisions.last().unwrap().id.clone()
}

#[test]
fn cleared_creatives_become_a_decision_with_exact_propensities() {
    let mut house = House::new(OptimizeSettings::default());
    let id = decided(&mut house, "m", 1);
    let decision = &house.decisions[0];
    assert_eq!(id, Decision::id_of(&Slug::new("spring").unwrap(), "m"));
    assert_eq!(decision.at, at(1));
    let total: f64 = decision
        .data
        .candidates
        .iter()
        .map(|candidate| candidate.propensity.get())
        .sum();
    assert!((total - 1.0).abs() < 1e-9);
    let choice = decision.data.choice.as_ref().unwrap();
    assert_eq!(
        decision.data.candidates[choice.position].creative,
        choice.creative.id
    );
    assert_eq!(
        decision.data.candidates[choice.position].propensity,
        choice.propensity
    );
    assert_eq!(choice.price, Micros(5));
    assert!(decision.data.context.contains_key("direction=up"));
}

#[test]
fn what_no_gate_has_cleared_is_never_decided() {
    let mut house = House::new(OptimizeSettings::default());
    let mut set = creatives("m", 1);
    set.data.cleared_by = None;
    house.feed(vec![
        (topics::CREATIVES, set.encode()),
        (topics::CREATIVES, b"{".to_vec()),
    ]);
    assert!(house.decisions.is_empty());
    let reasons: Vec<_> = house.dead.iter().map(|dead| dead.reason).collect();
    assert_eq!(reasons, ["not_cleared", "malformed"]);
}

#[test]
fn nothing_to_choose_or_nobody_to_reach_is_a_stated_decision() {
    let mut house = House::new(OptimizeSettings::default());
    let mut set = creatives("m", 1);
    set.data.creatives.clear();
    house.feed(vec![(topics::CREATIVES, set.encode())]);
    let mut set = creatives("n", 1);
    set.data.people.clear();
    house.feed(vec![(topics::CREATIVES, set.encode())]);
    let rules: Vec<_> = house
        .decisions
        .iter()
        .map(|decision| decision.data.suppression.clone().unwrap().rule)
        .collect();
    assert_eq!(rules, ["no_eligible_candidate", "no_person_left"]);
}

#[test]
fn the_same_creatives_twice_are_decided_once() {
    let mut house = House::new(OptimizeSettings::default());
    let set = (topics::CREATIVES, creatives("m", 1).encode());
    house.feed(vec![set.clone(), set.clone()]);
    house.feed(vec![set]);
    assert_eq!(house.decisions.len(), 1);
}

#[test]
fn a_click_moves_the_posterior_and_its_duplicate_changes_nothing() {
    let mut house = House::new(OptimizeSettings::default());
    let id = decided(&mut house, "m", 1);
    assert_eq!(house.posterior(), None);
    house.feed(vec![outcome(&id, OutcomeKind::Click, "c", 2)]);
    let (posterior, state) = (house.posterior(), house.state.0.clone());
    assert!(posterior.is_some());
    house.feed(vec![
        outcome(&id, OutcomeKind::Click, "c", 2),
        outcome(&id, OutcomeKind::Click, "c", 2),
    ]);
    assert_eq!(house.state.0, state);
    decided(&mut house, "n", 3);
    let [first, second] = &house.decisions[..] else {
        panic!("two decisions")
    };
    let liked = &first.data.choice.as_ref().unwrap().creative.id;
    let of = |decision: &Envelope<Decision>| {
        let mut candidates = decision.data.candidates.iter();
        candidates
            .find(|candidate| candidate.creative == *liked)
            .unwrap()
            .propensity
            .get()
    };
    assert!((of(first) - 1.0 / 3.0).abs() < 1e-9);
    // Beta(2, 1) against two Beta(1, 1): the maximum of 4 uniforms, one pair of which is its own, with probability 1/2.
    assert!((of(second) - 0.5).abs() < 1e-9, "{}", of(second));
}

#[test]
fn silence_is_believed_when_event_time_has_passed_the_window() {
    let mut house = House::new(OptimizeSettings::default());
    let id = decided(&mut house, "m", 0);
    house.feed(vec![outcome(&id, OutcomeKind::Impression, "i", 1)]);
    house.watermark(at(31));
    assert_eq!(house.posterior(), None, "the window is still open");
    house.watermark(at(32));
    let text = house
        .posterior()
        .map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
    assert!(text.unwrap().contains("failures"));
}

#[test]
fn what_cannot_be_joined_goes_to_the_dead_letters() {
    let mut house = House::new(OptimizeSettings::default());
    let id = decided(&mut house, "m", 10);
    house.feed(vec![
        outcome(
            "spring.0123456789abcdef0123456789abcdef",
            OutcomeKind::Click,
            "a",
            11,
        ),
        outcome(&id, OutcomeKind::Click, "b", 9),
    ]);
    let reasons: Vec<_> = house.dead.iter().map(|dead| dead.reason).collect();
    assert_eq!(reasons, ["unknown_decision", "outcome_before_decision"]);
}

#[test]
fn an_account_is_closed_when_nothing_can_change_it_any_more() {
    let mut house = House::new(OptimizeSettings::default());
    let id = decided(&mut house, "m", 0);
    house.feed(vec![outcome(&id, OutcomeKind::Click, "c", 1)]);
    house.watermark(at(40 * 24 * 60));
    assert!(
        house
            .state
            .0
            .keys()
            .all(|(_, key)| !key.starts_with(b"open/") && !key.starts_with(b"due/"))
    );
    house.feed(vec![outcome(&id, OutcomeKind::Click, "d", 2)]);
    assert_eq!(house.dead[0].reason, "unknown_decision");
}

#[test]
fn open_decisions_are_bounded() {
    let mut house = House::new(OptimizeSettings {
        most_open: 10,
        ..OptimizeSettings::default()
    });
    for moment in 0..50 {
        decided(&mut house, &format!("m{moment}"), moment);
    }
    let open = house
        .state
        .0
        .keys()
        .filter(|(_, key)| key.starts_with(b"open/"))
        .count();
    let due = house
        .state
        .0
        .keys()
        .filter(|(_, key)| key.starts_with(b"due/"))
        .count();
    assert_eq!((open, due), (10, 10));
}

#[test]
fn a_person_is_reached_no_oftener_than_the_cap_allows() {
    let mut house = House::new(OptimizeSettings {
        caps: vec![FrequencyCap {
            times: 2,
            window_ms: 60 * MINUTE,
        }],
        ..OptimizeSettings::default()
    });
    for (moment, minutes) in [("a", 0), ("b", 10), ("c", 20), ("d", 61)] {
        decided(&mut house, moment, minutes);
    }
    let suppressed: Vec<_> = house
        .decisions
        .iter()
        .map(|decision| decision.data.suppression.is_some())
        .collect();
    assert_eq!(suppressed, [false, false, true, false]);
    let capped = &house.decisions[2].data;
    assert_eq!(capped.suppression.as_ref().unwrap().rule, "frequency_cap");
    assert!(capped.removals[0].removed.starts_with("person/") && capped.people.is_empty());
    house.watermark(at(200));
    assert!(
        house.state.0.keys().all(|(_, key)| !key.starts_with(b"reached/")),
        "forgotten in time"
    );
}

#[test]
fn a_budget_is_reserved_before_it_is_spent_and_free_again_after_a_refusal() {
    let budget = PacingConfig::daily(Micros(10));
    let mut house = House::new(OptimizeSettings {
        budgets: [("spring".to_owned(), budget)].into(),
        ..OptimizeSettings::default()
    });
    let first = decided(&mut house, "a", 0);
    decided(&mut house, "b", 0);
    decided(&mut house, "c", 0);
    let rule = house.decisions[2].data.suppression.as_ref().unwrap().rule.clone();
    assert_eq!(rule, "budget_exhausted");
    house.feed(vec![outcome(&first, OutcomeKind::Refused, "r", 0)]);
    decided(&mut house, "d", 0);
    assert!(house.decisions[3].data.choice.is_some());
}

#[test]
fn who_is_held_out_is_never_reached() {
    let mut house = House::new(OptimizeSettings {
        holdout: HoldoutConfig {
            share: 1.0,
            ..HoldoutConfig::default()
        },
        ..OptimizeSettings::default()
    });
    decided(&mut house, "a", 0);
    assert_eq!(
        house.decisions[0].data.suppression.as_ref().unwrap().rule,
        "hold_out"
    );
}

#[test]
fn replay_gives_the_same_bits_however_the_records_are_batched() {
    let script = |house: &mut House, together: bool| {
        let id = |moment: i64| Decision::id_of(&Slug::new("spring").unwrap(), &format!("m{moment}"));
        let mut records = Vec::new();
        for moment in 0..60 {
            records.push((
                topics::CREATIVES,
                creatives(&format!("m{moment}"), moment).encode(),
            ));
            records.push(outcome(
                &id(moment),
                OutcomeKind::Impression,
                &format!("i{moment}"),
                moment,
            ));
            if moment % 3 == 0 {
                records.push(outcome(
                    &id(moment),
                    OutcomeKind::Click,
                    &format!("c{moment}"),
                    moment + 1,
                ));
            }
        }
        if together {
            house.feed(records);
        } else {
            for record in records {
                house.feed(vec![record]);
            }
        }
    };
    let (mut one, mut two) = (
        House::new(OptimizeSettings::default()),
        House::new(OptimizeSettings::default()),
    );
    script(&mut one, true);
    script(&mut two, false);
    assert_eq!(one.decisions, two.decisions);
    assert_eq!(one.state.0, two.state.0);
    assert!(one.posterior().is_some());
}
