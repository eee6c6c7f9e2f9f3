//! No ad runs into a tragedy: whole evenings through every stage, with posts that no word list and no classifier was made from.
//!
//! The texts are the held-out half of `tests/data/evenings.tsv`. A crowd is calm, then its mood rises, and a moment with its ad is on
//! the way. Somewhere there the goalkeeper dies, the stand collapses, the river comes (*tragedy*), or the team concedes and loses
//! (*bad evening*), or nothing spoils it (*good evening*). The stages run in lock-step, each post to its end before the next one, in
//! event time.
//!
//! `LIMBIC_EVENINGS=1000 cargo test --release -p limbic-simulation --test evenings -- --nocapture` runs as many of each kind. With
//! `LIMBIC_EVENINGS_TEXTS=evenings-fresh.tsv`, the texts are all those of that file in `tests/data`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and its figures are to be read"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};

use limbic_affect::{AffectEngine, ModelOptions, ModelReader};
use limbic_creative::{Campaigns, CreativeStage};
use limbic_deliver::{AdPlatform, Answer, DeliverStage, Delivery, Pause};
use limbic_domain::random::Random;
use limbic_domain::{
    Affect, Campaign, ConsentState, Envelope, Hold, HoldCause, HumanDuration, Moment, PostRef, Pseudonym,
    Reading, Slug, TenantId, Utc, event_id, topics,
};
use limbic_optimize::{OptimizeSettings, OptimizeStage};
use limbic_profile::{MomentStage, ProfileStage, Settings};
use limbic_safety::{Rules, SafetyStage};
use limbic_stream::testing::{Harness, record};
use limbic_stream::{Effects, References, Stage};

/// Evenings of each kind, unless `LIMBIC_EVENINGS` says otherwise.
const EVENINGS: usize = 60;
/// Posts of the calm crowd, most posts of the crowd whose mood rises, posts after the event.
const CALM: usize = 250;
const RISING: usize = 60;
const AFTER: usize = 150;
/// An ad delivered after so many grieving posts ran into the tragedy.
const GRIEVING: usize = 10;
/// How far the watermark is behind the newest post.
const DISORDER_MILLIS: i64 = 30_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tragedy,
    Bad,
    Good,
}

/// The readings of the held-out texts, by kind, event and language.
type Pools = BTreeMap<(String, String, String), Vec<Affect>>;

static POOLS: LazyLock<Pools> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let reader = ModelReader::open(&root.join("models/affect-l6"), &ModelOptions::default()).unwrap();
    let other = std::env::var("LIMBIC_EVENINGS_TEXTS");
    let name = other.as_deref().unwrap_or("evenings.tsv");
    let text = std::fs::read_to_string(root.join("tests/data").join(name)).unwrap();
    let rows: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>())
        .filter(|row| other.is_ok() || row[0] == "held_out")
        .collect();
    let texts: Vec<&str> = rows.iter().map(|row| row[4]).collect();
    let mut pools = Pools::new();
    for (row, affect) in rows.iter().zip(reader.read(&texts)) {
        let key = (row[1].to_owned(), row[2].to_owned(), row[3].to_owned());
        pools.entry(key).or_default().push(affect);
    }
    pools
});

/// The readings of a kind, whatever the event if there are too few of this one, and in English if there are none in the language.
fn pool(kind: &str, event: &str, language: &str) -> Vec<&'static Affect> {
    let of = |any_event: bool| -> Vec<&'static Affect> {
        let pools = POOLS.iter();
        pools
            .filter(|((k, e, l), _)| k == kind && l == language && (any_event || e == event))
            .flat_map(|(_, affects)| affects)
            .collect()
    };
    let exact = of(false);
    if exact.len() >= 8 {
        return exact;
    }
    let any = of(true);
    if any.is_empty() && language != "en" {
        return pool(kind, event, "en");
    }
    any
}

/// A platform that writes down what reaches it.
#[derive(Clone, Default)]
struct Recorder {
    delivered: Arc<Mutex<Vec<String>>>,
    paused: Arc<Mutex<Vec<String>>>,
}

impl AdPlatform for Recorder {
    fn deliver(&self, deliveries: &[&Delivery], _: Utc) -> Vec<Answer> {
        let mut delivered = self.delivered.lock().unwrap();
        delivered.extend(deliveries.iter().map(|delivery| delivery.decision.clone()));
        vec![Answer::Applied(()); deliveries.len()]
    }

    fn pause(&self, pauses: &[&Pause], _: Utc) -> Vec<Answer> {
        let mut stopped = self.paused.lock().unwrap();
        stopped.extend(pauses.iter().map(|pause| pause.decision.clone()));
        vec![Answer::Applied(()); pauses.len()]
    }
}

/// All stages, joined as the node joins them.
struct Chain {
    profile: Harness<ProfileStage>,
    moments: Harness<MomentStage>,
    creative: Harness<CreativeStage>,
    safety: Harness<SafetyStage>,
    optimize: Harness<OptimizeStage>,
    deliver: Harness<DeliverStage>,
    platform: Recorder,
    /// Every record of the topic: a newer one of the same subject replaces the older, and the version of the table changes.
    holds: Vec<(String, Vec<u8>)>,
    /// The subject was put on hold, and not only because an event was suspected.
    is_held: bool,
    seen: Seen,
}

/// What happened in an evening.
#[derive(Debug, Default)]
struct Seen {
    moments: Vec<Envelope<Moment>>,
    /// The rules that suppressed something.
    suppressed: Vec<String>,
    /// Times that an event was suspected.
    suspected: usize,
}

fn campaign() -> Campaign {
    serde_json::from_value(serde_json::json!({
        "id": "popcorn", "bid": 1_000,
        "brief": {"product": "Popcorn", "promise": "Crisp and salty", "call_to_action": "Order now", "link": "https://example.com"},
        "platforms": [{"name": "file", "headline": 60, "body": 180}],
        "declared": {"advertiser": "Popcorn"},
    }))
    .unwrap()
}

/// Built once: the word lists take a while.
static RULES: LazyLock<Rules> = LazyLock::new(|| Rules::new(&limbic_safety::Settings::default()).unwrap());

impl Chain {
    fn new() -> Self {
        let settings = Settings::default();
        let (of_profile, of_moments) = (settings.clone(), settings);
        let platform = Recorder::default();
        let recorder = platform.clone();
        let deliver = move || {
            let settings = limbic_deliver::Settings {
                // A tick waits for every answer.
                answer_wait: HumanDuration::from_mins(1),
                ..limbic_deliver::Settings::default()
            };
            let name = Slug::new("file").unwrap();
            let platform: Box<dyn AdPlatform> = Box::new(recorder.clone());
            DeliverStage::new(&settings, BTreeMap::from([(name, platform)])).unwrap()
        };
        let mut chain = Self {
            profile: Harness::new(move || ProfileStage::new(&of_profile).unwrap()).once(),
            moments: Harness::new(move || MomentStage::new(&of_moments).unwrap()).once(),
            creative: Harness::new(|| CreativeStage::new(&limbic_creative::Settings::default()).unwrap())
                .once(),
            safety: Harness::new(|| SafetyStage::new(RULES.clone())).once(),
            optimize: Harness::new(|| OptimizeStage::new(OptimizeSettings::default()).unwrap()).once(),
            deliver: Harness::new(deliver).once(),
            platform,
            holds: Vec::new(),
            is_held: false,
            seen: Seen::default(),
        };
        let campaigns = Campaigns::new().with(TenantId::default(), campaign());
        let records = campaigns.records(Utc::from_millis(0));
        let records = records.map(|(key, envelope)| (key, envelope.encode()));
        chain.creative.set_references(
            References::new()
                .with(topics::CAMPAIGNS, records)
                .with::<&str, &[u8]>(topics::REVIEWS, [])
                .with::<&str, &[u8]>(topics::TEXTS, [])
                .with::<&str, &[u8]>(topics::BACKGROUNDS, []),
        );
        chain.publish_holds();
        chain.deliver.assign(topics::DECISIONS, 0);
        chain
    }

    fn publish_holds(&mut self) {
        let table = || {
            References::new()
                .with(topics::HOLDS, self.holds.clone())
                .with::<&str, &[u8]>(topics::WITHDRAWALS, [])
        };
        let campaigns = Campaigns::new().with(TenantId::default(), campaign());
        let campaigns = campaigns.records(Utc::from_millis(0));
        let campaigns = campaigns.map(|(key, envelope)| (key, envelope.encode()));
        self.moments.set_references(table());
        self.safety.set_references(table());
        self.deliver.set_references(
            table()
                .with(topics::CAMPAIGNS, campaigns)
                .with::<&str, &[u8]>(topics::PROGRESS, []),
        );
    }

    /// Posts, to their ends.
    fn post(&mut self, readings: &[Envelope<Reading>]) {
        let records = readings.iter().map(|reading| {
            let key = format!("{}/{}", reading.tenant, reading.data.author);
            record(topics::READINGS).key(key).event(reading)
        });
        let effects = self.profile.process(records);
        let effects = feed(&mut self.moments, topics::FEELINGS, &effects);
        self.after_moments(&effects);
        if let Some(newest) = readings.iter().map(|reading| reading.at).max() {
            self.time(newest.plus_millis(-DISORDER_MILLIS), newest);
        }
    }

    /// Event time goes on to `watermark`, and the wall clock to `now`.
    fn time(&mut self, watermark: Utc, now: Utc) {
        let effects = self.moments.watermark(0, watermark);
        self.after_moments(&effects);
        self.deliver.tick(now);
    }

    fn after_moments(&mut self, effects: &Effects) {
        let holds = effects
            .records
            .iter()
            .filter(|(_, record)| &*record.topic == topics::HOLDS);
        let holds: Vec<_> = holds
            .map(|(_, record)| {
                (
                    String::from_utf8(record.key.to_vec()).unwrap(),
                    record.value.to_vec(),
                )
            })
            .collect();
        if !holds.is_empty() {
            for (_, value) in &holds {
                let hold = Envelope::<Hold>::decode(value).unwrap().data;
                let is_suspected = hold.cause == HoldCause::Suspected;
                self.is_held |= !is_suspected;
                self.seen.suspected += usize::from(is_suspected);
            }
            self.holds.extend(holds);
            self.publish_holds();
        }
        let moments = effects
            .records
            .iter()
            .filter(|(_, record)| &*record.topic == topics::MOMENTS);
        let moments = moments.map(|(_, record)| Envelope::decode(&record.value).unwrap());
        self.seen.moments.extend(moments);
        let drafts = feed(&mut self.creative, topics::MOMENTS, effects);
        let judged = feed(&mut self.safety, topics::DRAFTS, &drafts);
        let decided = feed(&mut self.optimize, topics::CREATIVES, &judged);
        for effects in [&judged, &decided] {
            for (_, record) in effects
                .records
                .iter()
                .filter(|(_, record)| &*record.topic == topics::DECISIONS)
            {
                let decision = Envelope::<limbic_domain::Decision>::decode(&record.value).unwrap();
                let rule = decision
                    .data
                    .suppressed()
                    .map(|suppressed| suppressed.rule.clone());
                self.seen.suppressed.extend(rule);
            }
            feed(&mut self.deliver, topics::DECISIONS, effects);
        }
    }

    fn delivered(&self) -> usize {
        self.platform.delivered.lock().unwrap().len()
    }
}

/// Feeds what was written to `topic` to the next stage.
fn feed<S: Stage>(stage: &mut Harness<S>, topic: &str, effects: &Effects) -> Effects {
    let records = effects
        .records
        .iter()
        .filter(|(_, record)| &*record.topic == topic);
    let records: Vec<_> = records
        .map(|(_, written)| {
            record(topic)
                .key(written.key.clone())
                .value(written.value.clone())
                .at(written.timestamp)
        })
        .collect();
    if records.is_empty() {
        return Effects::default();
    }
    stage.process(records)
}

/// An evening: what is written, and when.
struct Evening {
    kind: Kind,
    event: &'static str,
    language: &'static str,
    random: Random,
    at: i64,
    millis_apart: f64,
    posts: u64,
}

/// Languages of the grieving posts; English most often.
const LANGUAGES: [&str; 15] = [
    "es", "fr", "de", "pt", "it", "nl", "sv", "pl", "tr", "id", "ja", "ar", "el", "ro", "fi",
];

impl Evening {
    fn new(kind: Kind, number: usize) -> Self {
        let mut random = Random::for_name(number as u64, "evening");
        let rate = 0.05 * 1_000.0_f64.powf(random.unit());
        let is_english = random.happens(0.6);
        let foreign = match kind {
            Kind::Tragedy => &LANGUAGES[..],
            // There are posts about bad evenings in these.
            Kind::Bad => &["es", "fr", "de", "pt", "it", "nl"][..],
            Kind::Good => &["en"][..],
        };
        let language = if is_english {
            "en"
        } else {
            *random.one_of::<&'static str>(foreign)
        };
        let events = ["match", "concert", "town"];
        Self {
            kind,
            event: *random.one_of::<&'static str>(&events),
            language,
            at: 1_767_225_600_000,
            millis_apart: 1_000.0 / rate,
            posts: 0,
            random,
        }
    }

    fn reading(&mut self, affect: &Affect) -> Envelope<Reading> {
        // Posts come at random times, on average so far apart.
        let apart = -(1.0 - self.random.unit()).ln() * self.millis_apart;
        self.at += apart as i64 + 1;
        self.posts += 1;
        let network = Slug::new("bluesky").unwrap();
        let author = Pseudonym::of(&[7; 32], &network, &self.random.below(500).to_string());
        let post = PostRef {
            network,
            id: self.posts.to_string(),
        };
        let id = event_id("reading", &[&post.id]);
        let data = Reading {
            post,
            author,
            affect: affect.clone(),
            subjects: vec![Slug::new("evening").unwrap()],
            consent: ConsentState::NotRequired,
            minor: false,
            revision: 0,
        };
        Envelope::new(TenantId::default(), id, Utc::from_millis(self.at), data)
    }

    /// A post of the cheerful crowd: of the calmer or of the happier half.
    fn cheerful(&mut self, happier: bool) -> Envelope<Reading> {
        let mut cheer = pool("cheer", self.event, "en");
        cheer.sort_by(|a, b| a.valence.total_cmp(&b.valence));
        let half = cheer.len() / 2;
        let cheer = if happier { &cheer[half..] } else { &cheer[..half] };
        let affect = *self.random.one_of(cheer);
        self.reading(affect)
    }

    /// After the event; whether the post is about it.
    fn after(&mut self, number: usize) -> (Envelope<Reading>, bool) {
        // News spreads: at first some do not know.
        if !self.random.happens((0.4 + 0.1 * number as f64).min(1.0)) {
            return (self.cheerful(true), false);
        }
        let kind = match self.kind {
            Kind::Tragedy => "grief",
            Kind::Bad => "lost",
            Kind::Good => return (self.cheerful(true), true),
        };
        let is_native = self.language == "en" || self.random.happens(0.8);
        let language = if is_native { self.language } else { "en" };
        let texts = pool(kind, self.event, language);
        let affect = *self.random.one_of(&texts);
        (self.reading(affect), true)
    }
}

/// The figures of one evening.
#[derive(Debug, Default)]
struct Figures {
    /// Event, language and posts per second.
    about: String,
    /// Ads delivered after the tenth post about the event.
    late_ads: usize,
    /// Ads that were delivered at all.
    ads: usize,
    paused: usize,
    /// The subject was held before the event.
    held_before: bool,
    /// Posts about the event until the subject was held.
    held_after: Option<usize>,
    moments: usize,
    /// Moments after the event whose decayed state alone the gate would have cleared.
    hidden: usize,
    /// Moments after the event whose decayed state shows less than half of the distress of the posts since the change.
    stale: usize,
    /// Times that an event was suspected.
    suspected: usize,
    suppressed: Vec<String>,
}

fn run(mut evening: Evening) -> Figures {
    let mut chain = Chain::new();
    for _ in 0..CALM / 10 {
        let posts: Vec<_> = (0..10).map(|_| evening.cheerful(false)).collect();
        chain.post(&posts);
    }
    for _ in 0..evening.random.below(RISING) {
        let post = evening.cheerful(true);
        chain.post(&[post]);
    }
    let moments_before = chain.seen.moments.len();
    let mut figures = Figures {
        about: format!(
            "{} in {}, {:.2} posts/s",
            evening.event,
            evening.language,
            1_000.0 / evening.millis_apart
        ),
        held_before: chain.is_held,
        ..Figures::default()
    };
    let (mut about, mut at_tenth) = (0, None);
    for number in 0..AFTER {
        let (post, is_about) = evening.after(number);
        about += usize::from(is_about);
        chain.post(&[post]);
        if about == GRIEVING && at_tenth.is_none() {
            at_tenth = Some(chain.delivered());
        }
        if chain.is_held && figures.held_after.is_none() {
            figures.held_after = Some(about);
        }
    }
    // Silence: everything that waits comes to its end.
    for minutes in 1..=10 {
        let now = Utc::from_millis(evening.at + minutes * 60_000);
        chain.time(now, now);
    }
    figures.ads = chain.delivered();
    figures.late_ads = figures.ads - at_tenth.unwrap_or(figures.ads);
    figures.paused = chain.platform.paused.lock().unwrap().len();
    figures.moments = chain.seen.moments.len() - moments_before;
    let limit = limbic_safety::Settings::default().audience_distress;
    let after = &chain.seen.moments[moments_before..];
    figures.hidden = after
        .iter()
        .filter(|moment| moment.data.mood.distress < limit)
        .count();
    figures.stale = after
        .iter()
        .filter(|moment| 2.0 * moment.data.mood.distress < moment.data.change.mood.distress)
        .count();
    figures.suspected = chain.seen.suspected;
    figures.suppressed = chain.seen.suppressed;
    figures
}

fn evenings(kind: Kind) -> Vec<Figures> {
    let count = std::env::var("LIMBIC_EVENINGS").map_or(EVENINGS, |count| count.parse().unwrap());
    let numbers: Vec<usize> = (0..count).collect();
    std::thread::scope(|scope| {
        let halves = numbers.chunks(count.div_ceil(2).max(1)).map(|half| {
            scope.spawn(move || {
                half.iter()
                    .map(|&number| run(Evening::new(kind, number)))
                    .collect::<Vec<_>>()
            })
        });
        let halves: Vec<_> = halves.collect();
        halves.into_iter().flat_map(|half| half.join().unwrap()).collect()
    })
}

fn print(name: &str, figures: &[Figures]) {
    let count = |is: fn(&Figures) -> bool| figures.iter().filter(|one| is(one)).count();
    let mut held: Vec<usize> = figures.iter().filter_map(|one| one.held_after).collect();
    held.sort_unstable();
    let median = held.get(held.len() / 2);
    let mut rules: BTreeMap<&str, usize> = BTreeMap::new();
    for rule in figures.iter().flat_map(|one| &one.suppressed) {
        *rules.entry(rule).or_default() += 1;
    }
    println!(
        "{} {name}: {} with an ad, {} with an ad after the tenth post about the event; {} held (median after {median:?} such posts); \
         {} before the event; {} where an event was suspected; {} with a moment after it; {} ads paused; suppressed by {rules:?}",
        figures.len(),
        count(|one| one.ads > 0),
        count(|one| one.late_ads > 0),
        held.len(),
        count(|one| one.held_before),
        count(|one| one.suspected > 0),
        count(|one| one.moments > 0),
        figures.iter().map(|one| one.paused).sum::<usize>(),
    );
}

#[test]
fn no_ad_runs_into_a_tragedy() {
    let figures = evenings(Kind::Tragedy);
    print("tragedies", &figures);
    let hidden: usize = figures.iter().map(|one| one.hidden).sum();
    let stale: usize = figures.iter().map(|one| one.stale).sum();
    println!(
        "moments whose decayed state alone would have passed: {hidden}; with less than half of the distress of the change: {stale}"
    );
    assert!(
        stale > 0,
        "the decayed state follows every tragedy: the test shows nothing"
    );
    let late = figures.iter().filter(|one| one.late_ads > 0);
    let late: Vec<_> = late.map(|one| (&one.about, one.held_after)).collect();
    assert!(late.is_empty(), "{late:#?}");
}

#[test]
fn a_bad_evening_is_seldom_taken_for_a_tragedy() {
    let figures = evenings(Kind::Bad);
    print("bad evenings", &figures);
    let held = figures.iter().filter(|one| one.held_after.is_some()).count();
    assert!(
        held * 100 <= figures.len() * MOST_FALSE_HOLDS,
        "{held} of {} are held",
        figures.len()
    );
}

/// In percent of bad evenings.
const MOST_FALSE_HOLDS: usize = 15;

#[test]
fn a_good_evening_has_its_ad() {
    let figures = evenings(Kind::Good);
    print("good evenings", &figures);
    let with_ad = figures.iter().filter(|one| one.ads > 0).count();
    assert!(
        with_ad * 2 > figures.len(),
        "{with_ad} of {} have an ad",
        figures.len()
    );
}
