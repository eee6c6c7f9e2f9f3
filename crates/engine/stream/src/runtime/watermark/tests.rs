use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::input_time::{FormerClock, InputClock};
use super::super::tenant_time::{LookedAt, SilenceLimits};
use super::*;
use crate::testing::MemoryState;
use crate::{Control, Effects, Record};

const LIMITS: SilenceLimits = SilenceLimits {
    idle_after: Duration::from_secs(1),
    forget_after: Duration::from_hours(1),
};

fn at(millis: i64) -> Utc {
    Utc::from_millis(millis)
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

fn partition(topic: &str, partition: u32) -> TopicPartition {
    TopicPartition {
        topic: topic.into(),
        partition,
    }
}

/// A tracker with the progress of an instance that holds all partitions.
struct World {
    tracker: WatermarkTracker,
    progress: Progress,
    state: MemoryState,
    now: Instant,
}

impl World {
    /// Reads `a` and `b`, with two partitions each, and writes `out`, with three.
    fn new(time: EventTime, forward: Forward) -> Self {
        let spec = StageSpec::new("stage")
            .reads("a", time)
            .reads("b", time)
            .writes("out", forward);
        let partitions = [("a", 2), ("b", 2), ("out", 3)];
        let tracker = WatermarkTracker::new(&spec, &partitions.map(|(topic, n)| (topic.into(), n)).into());
        let mut progress = Progress::default();
        for topic in ["a", "b"] {
            for number in 0..2 {
                progress
                    .partitions
                    .insert(partition(topic, number), PartitionProgress::default());
            }
        }
        Self {
            tracker,
            progress,
            state: MemoryState::default(),
            now: Instant::now(),
        }
    }

    fn of_records(forward: Forward) -> Self {
        let disorder = Duration::from_millis(10);
        Self::new(EventTime::Records { disorder }, forward)
    }

    fn times(&mut self, number: u32) -> &mut Times {
        Arc::make_mut(self.progress.times.entry(number).or_default())
    }

    fn clock(&mut self, topic: &str, number: u32) -> &mut InputClock {
        let progress = self.progress.partitions.get_mut(&partition(topic, number));
        &mut progress.unwrap().clock
    }

    fn saw(&mut self, name: &str, topic: &str, number: u32, millis: i64) {
        self.times(number)
            .saw_record(&topic.into(), &tenant(name), at(millis));
    }

    fn advance(&mut self) -> Advance {
        let advance = self.tracker.advance(&mut self.progress, &Heartbeats::new());
        let mut effects = Effects::default();
        for (number, key, value) in &advance.state {
            let state = effects.state.entry(*number).or_default();
            state.insert(key.clone().into(), value.clone().map(Into::into));
        }
        self.state.commit(&effects);
        advance
    }

    fn watermarks(&mut self) -> Vec<(u32, String, i64)> {
        let advance = self.advance();
        let named =
            |(number, tenant, at): (u32, TenantId, Utc)| (number, tenant.as_str().to_owned(), at.as_millis());
        advance.watermarks.into_iter().map(named).collect()
    }

    /// Everything that was written is read, and `seconds` pass.
    fn wait(&mut self, seconds: u64) {
        let mut look = |now| {
            for (number, times) in &mut self.progress.times {
                let inputs: Vec<LookedAt<'_>> = of_number(*number, &self.progress.partitions)
                    .map(|(partition, progress)| LookedAt {
                        topic: &partition.topic,
                        time: self.tracker.time_of(&partition.topic),
                        clock: &progress.clock,
                        read_through: Some(now),
                    })
                    .collect();
                Arc::make_mut(times).look(&inputs, now, LIMITS);
            }
        };
        look(self.now);
        self.now += Duration::from_secs(seconds);
        look(self.now);
        for progress in self.progress.partitions.values_mut() {
            progress.clock.set_caught_up(true);
        }
    }

    /// Another instance takes over, with what was committed.
    fn move_to_another_instance(&mut self) {
        for progress in self.progress.partitions.values_mut() {
            *progress = PartitionProgress::from_metadata(&progress.to_metadata(0));
        }
        for number in 0..2 {
            let times = Times::load(&self.state, number).unwrap();
            self.progress.times.insert(number, Arc::new(times));
        }
    }

    fn saw_mark(&mut self, name: Option<&str>, source: u32, millis: i64, idle: bool) {
        let mark = WatermarkMark {
            source,
            of: 2,
            tenant: name.map(tenant),
            at: at(millis),
            idle,
        };
        let clock = &mut self
            .progress
            .partitions
            .get_mut(&partition("a", 0))
            .unwrap()
            .clock;
        clock.saw_number_of_senders(2);
        if let Some(tenant) = &mark.tenant {
            self.times(0)
                .saw_mark(&"a".into(), EventTime::Sources, tenant, &mark);
        } else {
            clock.saw_general_mark(&mark);
            self.times(0).touch_all();
        }
    }
}

/// Partition, tenant (`*` = those that are not named), time and idleness of each mark.
fn marks(records: &[NewRecord]) -> Vec<(u32, String, i64, bool)> {
    let mut decoded = Vec::new();
    for new in records {
        let record = Record {
            topic: Arc::clone(&new.topic),
            partition: new.partition.unwrap(),
            offset: 0,
            key: new.key.clone(),
            value: new.value.clone(),
            headers: new.headers.clone(),
            timestamp: new.timestamp,
        };
        let Some(Control::Watermarks(marks)) = Control::of(&record) else {
            panic!("{record:?}");
        };
        for mark in marks {
            let tenant = mark
                .tenant
                .map_or("*".to_owned(), |tenant| tenant.as_str().to_owned());
            decoded.push((record.partition, tenant, mark.at.as_millis(), mark.idle));
        }
    }
    decoded
}

fn general(source: u32, idle: bool) -> WatermarkMark {
    WatermarkMark {
        source,
        of: 2,
        tenant: None,
        at: Utc::MIN,
        idle,
    }
}

fn to_all(tenant: &str, at: i64, idle: bool) -> Vec<(u32, String, i64, bool)> {
    (0..3).map(|to| (to, tenant.to_owned(), at, idle)).collect()
}

fn one(number: u32, tenant: &str, at: i64) -> Vec<(u32, String, i64)> {
    vec![(number, tenant.to_owned(), at)]
}

#[test]
fn a_watermark_waits_for_the_slowest_input_and_is_announced_once() {
    let mut world = World::of_records(Forward::Nothing);
    world.saw("x", "a", 0, 100);
    assert_eq!(world.watermarks(), [], "`b` has not begun");
    world.saw("x", "b", 0, 50);
    assert_eq!(world.watermarks(), one(0, "x", 40));
    assert_eq!(world.advance(), Advance::default());
    world.saw("x", "b", 0, 500);
    assert_eq!(world.watermarks(), one(0, "x", 90));
}

#[test]
fn a_tenant_does_not_move_the_time_of_another() {
    let mut world = World::of_records(Forward::Nothing);
    for topic in ["a", "b"] {
        world.saw("live", topic, 0, 7_200_000);
    }
    assert_eq!(world.watermarks(), one(0, "live", 7_199_990));
    // Two hours behind.
    for topic in ["a", "b"] {
        world.saw("old", topic, 0, 100);
    }
    assert_eq!(world.watermarks(), one(0, "old", 90));
    // A heartbeat of one, a day ahead.
    let heartbeat = WatermarkMark {
        source: 0,
        of: 1,
        tenant: Some(tenant("live")),
        at: at(86_400_000),
        idle: false,
    };
    for topic in ["a", "b"] {
        let time = world.tracker.time_of(topic);
        world
            .times(0)
            .saw_mark(&topic.into(), time, &tenant("live"), &heartbeat);
    }
    assert_eq!(world.watermarks(), one(0, "live", 86_400_000));
    world.saw("old", "a", 0, 150);
    world.saw("old", "b", 0, 120);
    assert_eq!(world.watermarks(), one(0, "old", 110));
}

#[test]
fn silence_never_takes_time_past_the_stated_disorder_before_the_disorder_has_passed() {
    let disorder = Duration::from_secs(5);
    let mut world = World::new(EventTime::Records { disorder }, Forward::Nothing);
    world.saw("x", "a", 0, 60_000);
    world.wait(1);
    // `b` is silent and holds nothing back. A record of time 58 s may still be on its way.
    assert_eq!(world.watermarks(), one(0, "x", 55_000));
    world.wait(3);
    assert_eq!(world.watermarks(), []);
    world.wait(4);
    assert_eq!(world.watermarks(), one(0, "x", 60_001));
    // It goes on: time does not go back.
    world.saw("x", "a", 0, 60_000);
    assert_eq!(world.watermarks(), []);
}

#[test]
fn an_input_that_follows_holds_nothing_back_and_moves_time_when_the_others_are_idle() {
    let disorder = Duration::from_millis(10);
    let mut world = World::of_records(Forward::Nothing);
    world.tracker.inputs[1].time = EventTime::Following { disorder };
    world.saw("x", "a", 0, 100);
    assert_eq!(world.watermarks(), one(0, "x", 90), "`b` has no record yet");
    world.saw("x", "b", 0, 140);
    assert_eq!(world.watermarks(), []);
    world.wait(1);
    assert_eq!(world.watermarks(), one(0, "x", 141));
}

#[test]
fn a_tenant_falls_silent_while_another_goes_on() {
    let mut world = World::of_records(Forward::Nothing);
    world.saw("silent", "a", 0, 100);
    world.saw("busy", "a", 0, 100);
    world.wait(1);
    assert_eq!(world.watermarks().len(), 2);
    world.saw("busy", "a", 0, 200);
    world.wait(1);
    world.saw("busy", "a", 0, 300);
    assert_eq!(world.watermarks(), one(0, "busy", 290), "`silent` stands still");
    world.wait(1);
    assert_eq!(world.watermarks(), one(0, "busy", 301));
}

#[test]
fn a_broadcast_mark_reaches_every_partition_and_states_whether_the_sender_is_idle() {
    let mut world = World::of_records(Forward::Broadcast);
    for topic in ["a", "b"] {
        world.saw("x", topic, 1, 100);
    }
    let advance = world.advance();
    assert_eq!(
        marks(&advance.before),
        to_all("x", i64::MIN, false),
        "readers wait for the sender before they see its records"
    );
    assert_eq!(marks(&advance.after), to_all("x", 90, false));
    world.wait(1);
    let advance = world.advance();
    let expected = [
        // Number 0 has read everything, and so has number 1.
        to_all("*", i64::MIN, true),
        (0..3)
            .flat_map(|to| {
                [
                    (to, "x".to_owned(), 101, true),
                    (to, "*".to_owned(), i64::MIN, true),
                ]
            })
            .collect(),
    ];
    let sorted = |mut marks: Vec<(u32, String, i64, bool)>| {
        marks.sort();
        marks
    };
    assert_eq!(sorted(marks(&advance.after)), sorted(expected.concat()));
    world.saw("x", "a", 1, 105);
    let advance = world.advance();
    assert_eq!(marks(&advance.before), to_all("x", 101, false));
    assert_eq!(advance.watermarks, [], "time does not go back");
    // It has fallen behind: readers wait again for the tenants that it has not named.
    let progress = world.progress.partitions.get_mut(&partition("b", 1)).unwrap();
    progress.clock.set_caught_up(false);
    assert_eq!(marks(&world.advance().before), to_all("*", i64::MIN, false));
}

#[test]
fn an_aligned_output_gets_each_heartbeat_in_its_own_partition() {
    let mut world = World::of_records(Forward::Aligned);
    let heartbeats = Heartbeats::from([((1, Some(tenant("x"))), at(700)), ((0, None), at(5))]);
    let advance = world.tracker.advance(&mut world.progress, &heartbeats);
    assert_eq!(
        marks(&advance.after),
        [(0, "*".to_owned(), 5, false), (1, "x".to_owned(), 700, false)]
    );
    assert_eq!(world.advance(), Advance::default());
}

#[test]
fn an_aligned_output_is_told_in_its_own_partition_while_records_wait() {
    let mut world = World::new(EventTime::Ignored, Forward::Aligned);
    assert_eq!(world.advance(), Advance::default());
    world.wait(2);
    let told = |advance: &Advance| (marks(&advance.before), marks(&advance.after));
    let of_each = |idle| {
        let mark = |number| (number, "*".to_owned(), Utc::MIN.as_millis(), idle);
        vec![mark(0), mark(1)]
    };
    assert_eq!(told(&world.advance()), (vec![], of_each(true)));
    assert_eq!(world.advance(), Advance::default(), "once");
    world.clock("b", 1).set_caught_up(false);
    assert_eq!(told(&world.advance()), (of_each(false)[1..].to_vec(), vec![]));
    // So does what waits even before this stage.
    let waiting = general(0, false);
    world.clock("a", 0).saw_general_mark(&waiting);
    assert_eq!(told(&world.advance()), (of_each(false)[..1].to_vec(), vec![]));
    world.move_to_another_instance();
    world.clock("a", 0).saw_general_mark(&general(0, true));
    world.wait(2);
    assert_eq!(told(&world.advance()), (vec![], of_each(true)));
}

#[test]
fn silence_is_not_the_end_while_records_wait_before_the_sender() {
    let mut world = World::of_records(Forward::Broadcast);
    world.saw("x", "a", 0, 100);
    world.saw("x", "b", 0, 500);
    assert_eq!(world.watermarks(), one(0, "x", 90));
    world.wait(60);
    assert_eq!(world.watermarks(), one(0, "x", 501), "both have ended");
    // A burst: its first records come by `b`, and others are on their way to `a`.
    world.saw("x", "b", 0, 9_000);
    world.clock("a", 0).saw_general_mark(&general(0, false));
    world.times(0).saw_waiting_records(&"a".into());
    world.wait(60);
    assert_eq!(world.watermarks(), []);
    world.move_to_another_instance();
    world.wait(60);
    assert_eq!(world.watermarks(), [], "another instance knows it too");
    world.saw("x", "a", 0, 800);
    assert_eq!(world.watermarks(), one(0, "x", 790));
    world.clock("a", 0).saw_general_mark(&general(0, true));
    world.wait(60);
    assert_eq!(world.watermarks(), one(0, "x", 9_001));
}

#[test]
fn a_reader_waits_for_every_sender_of_a_tenant() {
    let mut world = World::new(EventTime::Sources, Forward::Nothing);
    world.progress.partitions.remove(&partition("b", 0));
    world.saw_mark(Some("x"), 0, 100, false);
    assert_eq!(world.watermarks(), []);
    world.saw_mark(Some("x"), 1, 40, false);
    assert_eq!(world.watermarks(), one(0, "x", 40));
    world.saw_mark(Some("x"), 1, 30, false);
    assert_eq!(world.watermarks(), [], "never backwards");
    // An idle sender does not hold the watermark back until it sends again.
    world.saw_mark(Some("x"), 1, 40, true);
    assert_eq!(world.watermarks(), one(0, "x", 100));
    world.saw_mark(Some("x"), 1, 120, false);
    world.saw_mark(Some("x"), 0, 100, true);
    assert_eq!(world.watermarks(), one(0, "x", 120));
}

#[test]
fn a_sender_that_has_read_everything_need_not_name_every_tenant() {
    let mut world = World::new(EventTime::Sources, Forward::Nothing);
    world.progress.partitions.remove(&partition("b", 0));
    world.saw_mark(None, 1, i64::MIN, true);
    world.saw_mark(Some("x"), 0, 100, false);
    assert_eq!(
        world.watermarks(),
        [],
        "its records may be on their way to the sender"
    );
    world.wait(1);
    assert_eq!(world.watermarks(), one(0, "x", 100));
    // The sender falls behind.
    world.saw_mark(None, 1, i64::MIN, false);
    world.saw_mark(Some("x"), 0, 200, false);
    assert_eq!(world.watermarks(), []);
    world.saw_mark(None, 1, i64::MIN, true);
    assert_eq!(world.watermarks(), one(0, "x", 200));
}

#[test]
fn marks_of_an_older_program_hold_for_every_tenant_that_a_sender_has_not_named() {
    let mut world = World::new(EventTime::Sources, Forward::Nothing);
    world.progress.partitions.remove(&partition("b", 0));
    world.saw_mark(None, 0, 100, false);
    world.saw_mark(None, 1, 300, false);
    world.saw_mark(Some("x"), 0, 200, false);
    assert_eq!(world.watermarks(), one(0, "x", 200));
}

#[test]
fn a_tenant_inherits_the_time_that_an_older_program_kept_for_all() {
    let mut world = World::of_records(Forward::Nothing);
    let former = FormerClock {
        latest: Some(100),
        heartbeat: None,
    };
    for topic in ["a", "b"] {
        world
            .times(0)
            .inherit(&topic.into(), &tenant("x"), former, Some(90));
    }
    assert_eq!(world.watermarks(), [], "it was announced before");
    world.wait(1);
    assert_eq!(world.watermarks(), one(0, "x", 101));
}

#[test]
fn a_tenant_that_is_silent_for_long_is_forgotten_and_begins_anew() {
    let mut world = World::of_records(Forward::Nothing);
    world.saw("x", "a", 0, 100);
    world.saw("y", "a", 0, 100);
    world.advance();
    assert_eq!(world.state.len(), 2);
    world.wait(1);
    world.wait(3_500);
    world.saw("y", "a", 0, 200);
    world.advance();
    assert_eq!(world.state.len(), 2, "not yet");
    world.wait(3_600);
    world.advance();
    assert_eq!(world.state.len(), 1);
    world.saw("x", "a", 0, 50);
    world.wait(1);
    assert_eq!(world.watermarks(), one(0, "x", 51));
}

proptest! {
    #[test]
    fn watermarks_only_grow_are_a_function_of_the_own_records_and_survive_a_commit(
        seen in proptest::collection::vec((0_u8..2, any::<bool>(), 0_u32..2, 0_i64..1_000), 0..60),
    ) {
        let mut together = World::of_records(Forward::Broadcast);
        let mut alone = [0, 1].map(|_| World::of_records(Forward::Broadcast));
        let mut last = BTreeMap::new();
        for (who, is_a, number, millis) in seen {
            let (name, topic) = (["x", "y"][usize::from(who)], if is_a { "a" } else { "b" });
            together.saw(name, topic, number, millis);
            let alone = &mut alone[usize::from(who)];
            alone.saw(name, topic, number, millis);
            let watermarks = together.watermarks();
            prop_assert_eq!(&watermarks, &alone.watermarks());
            for (number, tenant, watermark) in watermarks {
                let before = last.insert((number, tenant), watermark);
                prop_assert!(before.is_none_or(|before| before < watermark));
            }
            // Another instance takes over: it continues from what was committed.
            together.move_to_another_instance();
            prop_assert_eq!(together.watermarks(), []);
        }
    }
}
