//! A broker that is killed in the middle of a transaction and restarts.

use std::path::PathBuf;
use std::process::Command;

use limbic_stream::{Consumer, Error, Log, Polled};

use crate::cluster::{self, limits, log, offsets, options, record, sorted, subscription, take, values};

/// A broker for this test only.
struct Broker {
    folder: tempfile::TempDir,
}

impl Broker {
    fn start() -> Self {
        let broker = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        broker.services("up");
        broker
    }

    fn services(&self, command: &str) -> String {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../scripts/services");
        let output = Command::new(script)
            .args([command, "kafka"])
            .env("LIMBIC_SERVICES_RUN", self.folder.path().join("run"))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    fn address(&self) -> String {
        let env = self.services("env");
        let line = env
            .lines()
            .find_map(|line| line.strip_prefix("export LIMBIC_TEST_KAFKA="));
        format!("kafka://{}", line.unwrap())
    }

    /// Kills the broker, like a power failure.
    fn kill(&self) {
        let pid = std::fs::read_to_string(self.folder.path().join("run/kafka/pid")).unwrap();
        let pid = pid.split_whitespace().next().unwrap();
        assert!(Command::new("kill").args(["-9", pid]).status().unwrap().success());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.services("down");
    }
}

/// One step: passes the available records on. If `disturb` is set, the broker is killed in the middle.
fn step(consumer: &mut dyn Consumer, disturb: &mut dyn FnMut()) -> Result<(), Error> {
    let Polled::Records(records) = consumer.poll(&limits())? else {
        return Ok(());
    };
    let mut transaction = consumer.begin()?;
    let half = records.len() / 2;
    for (index, read) in records.iter().enumerate() {
        if index == half {
            disturb();
        }
        let value = std::str::from_utf8(&read.value).unwrap();
        transaction.append(record("out", "k", value))?;
    }
    for committed in offsets(&records) {
        transaction.commit_offset(committed)?;
    }
    match transaction.commit() {
        Err(Error::Aborted(_)) => consumer.rewind(),
        decided => decided,
    }
}

#[test]
fn a_broker_killed_during_a_transaction_loses_and_doubles_nothing() {
    if cluster::address().is_none() {
        return;
    }
    let broker = Broker::start();
    let log = log(&broker.address(), &options(), 1);
    log.publish((0..200).map(|n| record("in", "k", n)).collect())
        .unwrap();
    let mut consumer = log.subscribe(subscription("a")).unwrap();
    // The first of them is read, so that the kill certainly happens while records are being processed.
    take(&mut *consumer, 1);
    consumer.rewind().unwrap();

    std::thread::scope(|scope| {
        let mut kills = 0;
        let mut disturb = || {
            kills += 1;
            if kills == 1 {
                broker.kill();
                scope.spawn(|| broker.services("up"));
            }
        };
        let deadline = std::time::Instant::now() + cluster::PATIENCE * 3;
        let mut done = false;
        while !done {
            assert!(std::time::Instant::now() < deadline);
            match step(&mut *consumer, &mut disturb) {
                Ok(()) => {}
                Err(error) if error.retry() == limbic_domain::Retry::Never => panic!("{error}"),
                // The member is fenced. A new subscription shows what was committed.
                Err(_) => match log.subscribe(subscription("a")) {
                    Ok(again) => consumer = again,
                    Err(Error::Unavailable { .. }) => continue,
                    Err(error) => panic!("{error}"),
                },
            }
            let progress = log.progress("stage", &["in".into()]).unwrap_or_default();
            done = progress.iter().any(|progress| progress.committed.next == 200);
        }
        assert!(kills > 0);
    });
    consumer.close().unwrap();
    let expected: Vec<String> = (0..200).map(|n| n.to_string()).collect();
    assert_eq!(sorted(values(&log, "out", 1)), expected);
    log.close().unwrap();
}
