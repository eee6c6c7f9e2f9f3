//! The gate as a stage of the stream.

use limbic_domain::{CreativeSet, Decision, Envelope, Slug, SuppressedBy, TenantId, Utc, Withdrawal, topics};
use limbic_stream::{Effects, References};

use crate::kit::{draft, enveloped, hold, process, process_with, rules};

#[test]
fn the_stage_writes_cleared_creatives_and_decisions_about_what_it_suppresses() {
    let mut grieving = draft();
    grieving.mood.distress = 0.9;
    let effects = process(vec![
        enveloped(draft()),
        enveloped(grieving),
        b"{\"type\":\"draft\"".to_vec(),
    ]);
    let written: Vec<_> = effects
        .records
        .iter()
        .map(|(partition, record)| (*partition, &*record.topic, &record.key[..]))
        .collect();
    assert_eq!(
        written,
        [
            (1, topics::CREATIVES, &b"mine/spring"[..]),
            (1, topics::DECISIONS, &b"mine/spring"[..])
        ]
    );

    let set = Envelope::<CreativeSet>::decode(&effects.records[0].1.value).unwrap();
    assert_eq!(set.data.cleared_by, rules().version());
    let decision = Envelope::<Decision>::decode(&effects.records[1].1.value).unwrap();
    assert_eq!(decision.id, Decision::id_of(&Slug::new("spring").unwrap(), "m1"));
    assert_eq!(decision.at, Utc::from_millis(5));
    let suppressed = decision.data.suppressed().unwrap();
    assert_eq!(suppressed.rule, "audience_distress");
    assert_eq!(
        suppressed.by,
        SuppressedBy::SafetyGate(rules().version().to_owned())
    );

    assert_eq!(effects.dead.len(), 1);
    assert_eq!(
        (effects.dead[0].record.offset, effects.dead[0].reason),
        (2, "malformed")
    );
}

#[test]
fn the_stage_reads_the_holds_of_the_draft_s_tenant_and_clears_nothing_it_cannot_read() {
    let envelope = |tenant: &str| {
        let tenant = TenantId::new(tenant).unwrap();
        Envelope::new(tenant, "h".into(), Utc::from_millis(1), hold("football")).encode()
    };
    let rule = |key: &'static str, value: Vec<u8>| {
        let references = References::new().with(topics::HOLDS, [(key, value)]);
        let effects = process_with(references, vec![enveloped(draft())]);
        match effects.dead.first() {
            Some(letter) => letter.reason.to_owned(),
            None if *effects.records[0].1.topic == *topics::CREATIVES => "cleared".to_owned(),
            None => {
                let decision = Envelope::<Decision>::decode(&effects.records[0].1.value).unwrap();
                decision.data.suppressed().unwrap().rule.clone()
            }
        }
    };
    assert_eq!(rule("mine/football", envelope("mine")), "hold");
    assert_eq!(rule("other/football", envelope("other")), "cleared");
    assert_eq!(rule("mine/football", b"{}".to_vec()), "hold_unreadable");
}

#[test]
fn a_person_who_took_a_post_back_is_left_out_and_what_cannot_be_read_clears_nothing() {
    let draft = draft();
    let person = draft.people[0].person.clone();
    let process = |key: String, value: Vec<u8>| {
        let references = References::new()
            .with::<&str, &str>(topics::HOLDS, [])
            .with(topics::WITHDRAWALS, [(key, value)]);
        process_with(references, vec![enveloped(draft.clone())])
    };
    let written = |tenant: &str| {
        let tenant = TenantId::new(tenant).unwrap();
        let deleted_at = Utc::from_millis(1);
        let key = Withdrawal::key(&tenant, &person);
        let withdrawal = Withdrawal {
            person: person.clone(),
            deleted_at,
        };
        (
            key,
            Envelope::new(tenant, "w".into(), deleted_at, withdrawal).encode(),
        )
    };
    let cleared = |effects: &Effects| {
        let record = &effects.records[0].1;
        assert_eq!(&*record.topic, topics::CREATIVES);
        Envelope::<CreativeSet>::decode(&record.value).unwrap().data
    };
    let (key, value) = written("mine");
    let set = cleared(&process(key.clone(), value));
    assert!(!set.people.contains(&person) && set.people.len() == draft.people.len() - 1);
    assert!(
        set.removals.iter().any(|removal| removal.rule == "withdrawn"),
        "{:?}",
        set.removals
    );
    let (of_another, value) = written("other");
    assert!(cleared(&process(of_another, value)).people.contains(&person));
    let unreadable = process(key, b"{}".to_vec());
    assert_eq!(unreadable.dead[0].reason, "hold_unreadable");
}
