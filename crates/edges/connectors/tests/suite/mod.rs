//! What every connector that reads a network promises, over a local server of this network.
//!
//! The clock of the runner is simulated, so waits take no time. The servers are real, on the loopback device.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use limbic_connectors::{
    Accepted, Connector, Cursor, Item, Next, Phase, Runner, Status, Target, TargetError, Terms,
};
use limbic_domain::Utc;
use limbic_domain::random::Random;
use parking_lot::Mutex;
use serde_json::Value;

/// What happens to a connection.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Closed in order after this number of events.
    CloseAfter(usize),
    /// Cut within a message, after this number of events.
    CutInFrame(usize),
    /// After this number of events, signs of life only.
    Silent(usize),
    /// Not opened: the status of the answer, and the seconds to wait.
    Status(u16, Option<u64>),
}

/// What people do on the network.
#[allow(dead_code, reason = "not every network has edits and deletions")]
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    Post(u32),
    Edit(u32),
    Delete(u32),
}

/// A local server of a network.
pub(crate) trait Network {
    /// A connector that reads from it.
    fn connector(&self) -> Box<dyn Connector>;
    /// Publishes a change. Returns the key of its item, as [`key`] has it.
    fn publish(&self, change: Change) -> String;
    /// The next connection has this fault.
    fn plan(&self, fault: Fault);
    /// The number of connections so far.
    fn connections(&self) -> usize;
    /// Whether a connection gets the edits and deletions from before it.
    fn keeps_history(&self) -> bool {
        true
    }
    /// Whether the connector asks, instead of holding a connection.
    fn is_polled(&self) -> bool {
        false
    }
    /// Whether the connector learns of deletions by asking, so that they come after everything else.
    fn asks_for_deletions(&self) -> bool {
        self.is_polled()
    }
    /// Whether the network states deletions.
    fn has_deletions(&self) -> bool {
        true
    }
    /// A number of posts that fills the buffers of both sides, and that the network still has when it is asked.
    fn burst(&self) -> u32 {
        4_000
    }
    /// The connector's manifest.
    fn terms(&self) -> &'static str;
}

/// How many faults the tests of faults have: `LIMBIC_CONNECTOR_FAULTS`, or 40.
pub(crate) fn faults() -> u32 {
    std::env::var("LIMBIC_CONNECTOR_FAULTS").map_or(40, |faults| faults.parse().unwrap())
}

/// What identifies an item behind the edge: network, id and revision. The end of a key can be `edited`: any revision above 0.
pub(crate) fn key(item: &Item) -> String {
    match item {
        Item::Post(post) => {
            let revision = &post["revision"].as_u64().unwrap_or(0);
            format!("{} {} v{revision}", text(&post["network"]), text(&post["id"]))
        }
        Item::Deletion(post) => format!("{} {} deleted", text(&post["network"]), text(&post["id"])),
        Item::Unreadable(problem) => panic!("{problem}"),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("everything")
}

/// The items of pulls until one brings nothing and moves nothing.
#[allow(dead_code, reason = "not every network is polled")]
pub(crate) fn poll(connector: &mut dyn Connector, cursor: &mut Option<Cursor>) -> Vec<Item> {
    let mut found = Vec::new();
    loop {
        let page = connector.pull(cursor.as_ref(), 100).unwrap();
        let is_idle = page.items.is_empty() && page.next == *cursor;
        found.extend(page.items);
        *cursor = page.next;
        if is_idle {
            return found;
        }
    }
}

/// The log and the stored cursor. They survive a runner.
#[derive(Default)]
pub(crate) struct Disk {
    /// The keys of accepted items, in order, each once.
    pub(crate) log: Vec<String>,
    known: BTreeSet<String>,
    cursor: Option<Cursor>,
    /// How many of the next calls of `accept` fail.
    refusals: u32,
    /// Whether storing a cursor fails.
    is_cursor_lost: bool,
    /// Duplicates that the edge removed.
    duplicates: u64,
}

impl Disk {
    /// The next calls of `accept` fail.
    #[allow(dead_code, reason = "for sources without a server")]
    pub(crate) fn refuse(&mut self, calls: u32) {
        self.refusals = calls;
    }

    /// Whether storing a cursor fails from now on. Returns whether it failed until now.
    #[allow(dead_code, reason = "for sources without a server")]
    pub(crate) fn lose_cursor(&mut self, is_lost: bool) -> bool {
        std::mem::replace(&mut self.is_cursor_lost, is_lost)
    }

    /// Duplicates that the edge removed.
    #[allow(dead_code, reason = "for sources without a server")]
    pub(crate) fn duplicates(&self) -> u64 {
        self.duplicates
    }
}

#[derive(Clone, Default)]
pub(crate) struct Memory(pub(crate) Arc<Mutex<Disk>>);

impl Target for Memory {
    fn accept(&mut self, items: &[Item]) -> Result<Accepted, TargetError> {
        let mut disk = self.0.lock();
        if disk.refusals > 0 {
            disk.refusals -= 1;
            return Err(TargetError {
                detail: "the log is full".to_owned(),
                retry_after: None,
            });
        }
        let mut accepted = Accepted::default();
        for key in items.iter().map(key) {
            if disk.known.insert(key.clone()) {
                disk.log.push(key);
                accepted.accepted += 1;
            } else {
                disk.duplicates += 1;
                accepted.duplicates += 1;
            }
        }
        Ok(accepted)
    }

    fn load(&mut self) -> Result<Option<Cursor>, TargetError> {
        Ok(self.0.lock().cursor.clone())
    }

    fn store(&mut self, cursor: &Cursor) -> Result<(), TargetError> {
        let mut disk = self.0.lock();
        if disk.is_cursor_lost {
            return Err(TargetError {
                detail: "the disk is full".to_owned(),
                retry_after: None,
            });
        }
        disk.cursor = Some(cursor.clone());
        Ok(())
    }
}

/// A runner with a simulated clock.
pub(crate) struct Driver {
    pub(crate) runner: Runner<Memory>,
    pub(crate) memory: Memory,
    now: Instant,
    /// The waits that the runner has asked for.
    pub(crate) waits: Vec<Duration>,
}

/// More steps than any scene takes.
const MOST_STEPS: usize = 20_000;

impl Driver {
    pub(crate) fn new(connector: Box<dyn Connector>, memory: Memory) -> Self {
        Self {
            runner: Runner::new(connector, memory.clone(), 7),
            memory,
            now: Instant::now(),
            waits: Vec::new(),
        }
    }

    /// One step; the clock moves by two seconds, and by the wait.
    pub(crate) fn step(&mut self) -> Next {
        self.now += Duration::from_secs(2);
        let next = self.runner.step(self.now, Utc::now());
        if let Next::After(wait) | Next::Idle(wait) = next {
            self.waits.push(wait);
            self.now += wait;
        }
        next
    }

    pub(crate) fn until(&mut self, what: &str, is_done: impl Fn(&Disk, &Status) -> bool) {
        for _ in 0..MOST_STEPS {
            if is_done(&self.memory.0.lock(), self.runner.status()) {
                return;
            }
            self.step();
        }
        panic!("{what}: {:?}", self.runner.status());
    }

    /// Steps until the connection is open.
    fn connect(&mut self, network: &dyn Network) {
        let before = network.connections();
        for _ in 0..MOST_STEPS {
            self.step();
            if network.connections() > before {
                return;
            }
        }
        panic!("not connected: {:?}", self.runner.status());
    }

    /// Steps until `keys` are in the log, and checks that the log has nothing else and nothing twice.
    fn expect(&mut self, keys: &[String]) {
        self.until("items are missing", |disk, _| disk.log.len() >= keys.len());
        let disk = self.memory.0.lock();
        assert_eq!(disk.log.len(), keys.len());
        for (found, key) in disk.log.iter().zip(keys) {
            let is_edit = key.strip_suffix("edited").is_some_and(|post| {
                let version = found.strip_prefix(post).and_then(|rest| rest.strip_prefix('v'));
                version.is_some_and(|version| version != "0")
            });
            assert!(found == key || is_edit, "{found} instead of {key}");
        }
    }
}

/// Everything of this file.
pub(crate) fn check(start: &dyn Fn() -> Box<dyn Network>) {
    terms_are_complete(&*start());
    posts_edits_and_deletions_arrive_once_and_in_order(&*start());
    nothing_is_lost_or_doubled_under_faults(start);
    a_page_that_is_not_accepted_stops_reading(&*start());
    if !start().is_polled() {
        silence_is_noticed(&*start());
    }
    a_pause_loses_nothing(&*start());
    a_stated_wait_is_kept(&*start());
}

fn terms_are_complete(network: &dyn Network) {
    let terms = Terms::parse(network.terms()).unwrap();
    assert!(terms.notes.len() > 20);
}

fn posts_edits_and_deletions_arrive_once_and_in_order(network: &dyn Network) {
    let mut driver = Driver::new(network.connector(), Memory::default());
    driver.connect(network);
    let changes = [
        Change::Post(1),
        Change::Post(2),
        Change::Edit(1),
        Change::Delete(2),
        Change::Edit(1),
        Change::Delete(1),
    ];
    let mut keys = Vec::new();
    for change in changes {
        if matches!(change, Change::Delete(_)) && !network.has_deletions() {
            continue;
        }
        keys.push(network.publish(change));
        if network.is_polled() || network.asks_for_deletions() {
            // A polled source shows only the latest version, and an answer about deletions has no place among posts.
            driver.expect(&keys);
        }
    }
    driver.expect(&keys);
    assert_eq!(driver.runner.status().phase, Phase::Running);
    assert_eq!(driver.runner.status().accepted, keys.len() as u64);
    assert!(driver.runner.status().lag_seconds.is_some());
}

/// The most faults of one server of a polled network. Each of its turns reads all posts again, so that one long history would cost the
/// square of its faults, and have more posts than a turn reads.
const FAULTS_OF_A_POLLED_SERVER: u32 = 40;

fn nothing_is_lost_or_doubled_under_faults(start: &dyn Fn() -> Box<dyn Network>) {
    let faults = faults();
    let most = if start().is_polled() {
        FAULTS_OF_A_POLLED_SERVER
    } else {
        faults
    };
    let (mut done, mut connections, mut items, mut duplicates) = (0, 0, 0, 0);
    for seed in 3.. {
        let next = most.min(faults - done);
        let network = start();
        let found = nothing_is_lost_or_doubled_on_one_server(&*network, next, seed);
        connections += network.connections();
        items += found.items;
        duplicates += found.duplicates;
        done += next;
        if done == faults {
            break;
        }
    }
    println!("{done} faults, {connections} connections, {items} items, {duplicates} duplicates removed");
    assert!(duplicates > 0, "no connection overlapped the one before");
}

struct Found {
    items: usize,
    duplicates: u64,
}

fn nothing_is_lost_or_doubled_on_one_server(network: &dyn Network, faults: u32, seed: u64) -> Found {
    let mut random = Random::new(seed);
    let mut below = |most: usize| random.below(most);
    let memory = Memory::default();
    let mut driver = Driver::new(network.connector(), memory.clone());
    driver.connect(network);
    let mut keys = Vec::new();
    for number in 0..faults {
        for step in 0..below(20) as u32 {
            let id = number * 100 + step;
            keys.push(network.publish(Change::Post(id)));
            match below(6) {
                _ if !network.keeps_history() => {}
                0 => keys.push(network.publish(Change::Edit(id))),
                1 => keys.push(network.publish(Change::Delete(id))),
                _ => {}
            }
        }
        let events = below(12);
        match below(7) {
            0 => network.plan(Fault::CloseAfter(events)),
            1 => network.plan(Fault::CutInFrame(events)),
            2 => network.plan(Fault::Silent(events)),
            3 => network.plan(Fault::Status(503, None)),
            4 => memory.0.lock().refusals = 3,
            // Killed at any step, with or without a chance to store the cursor.
            5 => driver = Driver::new(network.connector(), memory.clone()),
            _ => memory.0.lock().is_cursor_lost = true,
        }
        if below(3) == 0 {
            // The connection is lost: the next one has the planned fault.
            driver.runner.pause();
        }
        for _ in 0..below(8) {
            driver.step();
        }
        if memory.0.lock().is_cursor_lost {
            // Killed between the log and the cursor.
            driver = Driver::new(network.connector(), memory.clone());
            memory.0.lock().is_cursor_lost = false;
        }
    }
    keys.push(network.publish(Change::Post(u32::MAX)));
    driver.expect(&keys);
    assert!(network.connections() > faults as usize / 4, "too few connections");
    let duplicates = memory.0.lock().duplicates;
    Found {
        items: keys.len(),
        duplicates,
    }
}

fn a_page_that_is_not_accepted_stops_reading(network: &dyn Network) {
    let memory = Memory::default();
    let mut driver = Driver::new(network.connector(), memory.clone());
    driver.connect(network);
    let first = network.publish(Change::Post(0));
    driver.expect(std::slice::from_ref(&first));
    memory.0.lock().refusals = 50;
    let mut keys = vec![first];
    // More than the buffers of both sides.
    keys.extend((1..network.burst()).map(|id| network.publish(Change::Post(id))));
    driver.until("no refusal", |_, status| status.phase == Phase::Waiting);
    let held = driver.runner.status().cursor.clone();
    driver.waits.clear();
    for _ in 0..40 {
        driver.step();
    }
    assert_eq!(driver.runner.status().cursor, held);
    assert_eq!(driver.memory.0.lock().log.len(), 1);
    assert_eq!(driver.runner.status().stalls, 0, "nothing was read meanwhile");
    // The waits grow, and have a limit.
    assert!(driver.waits.iter().max() <= Some(&Duration::from_secs(10)));
    driver.expect(&keys);
}

fn silence_is_noticed(network: &dyn Network) {
    let mut driver = Driver::new(network.connector(), Memory::default());
    network.plan(Fault::Silent(1));
    driver.connect(network);
    let mut keys = vec![network.publish(Change::Post(1)), network.publish(Change::Post(2))];
    driver.until("no stall", |_, status| status.stalls == 1);
    assert_eq!(driver.runner.status().phase, Phase::Waiting);
    let problem = driver.runner.status().problem.clone().unwrap();
    assert!(problem.contains("brought nothing"), "{problem}");
    let last = if network.keeps_history() {
        Change::Delete(1)
    } else {
        Change::Post(3)
    };
    keys.push(network.publish(last));
    driver.expect(&keys);
    assert_eq!(driver.runner.status().phase, Phase::Running);
}

fn a_pause_loses_nothing(network: &dyn Network) {
    let memory = Memory::default();
    let mut driver = Driver::new(network.connector(), memory.clone());
    driver.connect(network);
    let mut keys = vec![network.publish(Change::Post(1))];
    driver.expect(&keys);
    driver.runner.pause();
    assert_eq!(driver.runner.status().phase, Phase::Paused);
    let cursor = memory.0.lock().cursor.clone();
    assert_eq!(cursor.map(|cursor| cursor.0), driver.runner.status().cursor);
    keys.extend((2..50).map(|id| network.publish(Change::Post(id))));
    driver.expect(&keys);
    // Another process continues at the stored cursor.
    driver.runner.pause();
    let mut next = Driver::new(network.connector(), memory);
    keys.push(network.publish(Change::Post(50)));
    next.expect(&keys);
}

fn a_stated_wait_is_kept(network: &dyn Network) {
    let mut driver = Driver::new(network.connector(), Memory::default());
    network.plan(Fault::Status(429, Some(1_800)));
    assert_eq!(driver.step(), Next::After(Duration::from_mins(30)));
    network.plan(Fault::Status(401, None));
    driver.step();
    assert_eq!(driver.runner.status().phase, Phase::Refused);
    assert!(driver.waits[1] >= Duration::from_secs(15), "{:?}", driver.waits);
    for _ in 0..6 {
        network.plan(Fault::Status(503, None));
        driver.step();
    }
    let (first, last) = (driver.waits[2], driver.waits[7]);
    assert!(first < last, "{:?}", driver.waits);
    driver.connect(network);
}
