//! From a brief to the ads that the gate has cleared: how long a new campaign's moment takes in `creative` and `safety`.
//!
//! ```text
//! cargo bench --workspace --bench variants               # 5,000 briefs
//! cargo bench --workspace --bench variants -- 500
//! ```
//!
//! Each brief is a new version of the campaign, so nothing of an earlier one helps. The moment has 256 people. The templates write for
//! two platforms; every ad is fitted, and judged by every rule. The log between the stages is left out, and so are the model's texts,
//! which are ordered before a moment needs them.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::time::{Duration, Instant};

use limbic_creative::{Campaigns, CreativeStage};
use limbic_domain::{
    AudienceId, Campaign, ConsentState, CreativeSet, Direction, Envelope, Pseudonym, Recipient, Slug,
    TenantId, Utc, event_id, testing, topics,
};
use limbic_safety::{Rules, SafetyStage};
use limbic_stream::testing::{MemoryState, record};
use limbic_stream::{Batch, NewRecord, Outputs, Record, References, Stage};
use serde_json::json;

/// People of a moment.
const PEOPLE: usize = 256;
const SUBJECTS: [&str; 6] = ["football", "tennis", "music", "coffee", "cinema", "trains"];

fn campaign(number: usize) -> Campaign {
    serde_json::from_value(json!({
        "id": "spring", "bid": 1_000,
        "brief": {"product": format!("Acme Boots {number}"), "promise": "Warm feet in any weather", "call_to_action": "Try a pair",
            "link": format!("https://example.com/boots/{number}")},
        "platforms": [{"name": "x", "headline": 60, "body": 180}, {"name": "webhook", "headline": 40, "body": 120}],
        "declared": {"advertiser": "Acme"},
    }))
    .unwrap()
}

fn moment(number: usize) -> Record {
    let subject = SUBJECTS[number % SUBJECTS.len()];
    let network = Slug::new("bluesky").unwrap();
    let people = (0..PEOPLE).map(|person| Recipient {
        person: Pseudonym::of(&[1; 32], &network, &format!("{number}-{person}")),
        distress: 0.0,
        consent: ConsentState::Given,
        minor: false,
        valence: 0.2,
    });
    let everyone = Slug::new("everyone").unwrap();
    let audience = AudienceId::of(&everyone, &Slug::new(subject).unwrap());
    let direction = if number.is_multiple_of(5) {
        Direction::Down
    } else {
        Direction::Up
    };
    let moment = testing::moment(audience, direction, people.collect());
    let at = Utc::from_millis(7_000);
    let envelope = Envelope::new(
        TenantId::default(),
        event_id("moment", &[&number.to_string()]),
        at,
        moment,
    );
    record(topics::MOMENTS)
        .key(format!("default/everyone:{subject}"))
        .at(at)
        .value(envelope.encode())
        .into()
}

fn tables(number: usize) -> (References, References) {
    let campaigns = Campaigns::new().with(TenantId::default(), campaign(number));
    let records = campaigns.records(Utc::from_millis(5));
    let campaigns_table = References::new()
        .with(
            topics::CAMPAIGNS,
            records.map(|(key, envelope)| (key, envelope.encode())),
        )
        .with::<&str, &[u8]>(topics::REVIEWS, [])
        .with::<&str, &[u8]>(topics::TEXTS, []);
    let holds_table = References::new()
        .with::<&str, &[u8]>(topics::HOLDS, [])
        .with::<&str, &[u8]>(topics::WITHDRAWALS, []);
    (campaigns_table, holds_table)
}

fn process(stage: &mut dyn Stage, references: &References, record: Record) -> Vec<NewRecord> {
    let memory = MemoryState::default();
    let mut out = Outputs::with_references(&memory, references);
    let batch = Batch {
        records: vec![record],
    };
    stage.process(&batch, &mut out).unwrap();
    let effects = out.into_effects();
    assert!(effects.dead.is_empty());
    effects.records.into_iter().map(|(_, record)| record).collect()
}

fn main() {
    let given = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok());
    let is_test = !std::env::args().any(|argument| argument == "--bench");
    let briefs: usize = given.unwrap_or(if is_test { 20 } else { 5_000 });
    let mut creative = CreativeStage::new(&limbic_creative::Settings::default()).unwrap();
    let mut safety = SafetyStage::new(Rules::new(&limbic_safety::Settings::default()).unwrap());
    let (mut times, mut cleared) = (Vec::with_capacity(briefs), 0);
    for number in 0..briefs {
        let occasion = moment(number);
        let (campaigns_table, holds_table) = tables(number);
        let start = Instant::now();
        let drafts = process(&mut creative, &campaigns_table, occasion);
        let mut sets = Vec::new();
        for draft in drafts {
            if &*draft.topic == topics::DRAFTS {
                let draft = record(topics::DRAFTS)
                    .key(draft.key)
                    .at(draft.timestamp)
                    .value(draft.value);
                sets.extend(process(&mut safety, &holds_table, draft.into()));
            }
        }
        times.push(start.elapsed());
        for set in sets.iter().filter(|set| &*set.topic == topics::CREATIVES) {
            cleared += Envelope::<CreativeSet>::decode(&set.value)
                .unwrap()
                .data
                .creatives
                .len();
        }
    }
    assert!(cleared >= briefs, "{cleared} ads of {briefs} briefs were cleared");
    times.sort_unstable();
    let at = |share: f64| -> Duration { times[((times.len() - 1) as f64 * share) as usize] };
    println!(
        "{briefs} briefs, {cleared} ads cleared: p50 {:?}, p99 {:?}, most {:?} from the brief to the cleared ads",
        at(0.5),
        at(0.99),
        at(1.0)
    );
}
