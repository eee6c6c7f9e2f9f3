//! A panic of a stage outside a batch stops the stage visibly, on the embedded log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use limbic_domain::{TenantId, Utc};
use limbic_stream::runtime::{Health, RunOptions, StageMeters, spawn};
use limbic_stream::{
    Batch, EventTime, Headers, Log, NewRecord, Outputs, Stage, StageError, StageSpec, TopicPartition,
    TopicSpec,
};
use limbic_stream_embedded::{EmbeddedLog, EmbeddedOptions};

#[derive(Clone, Copy, Debug)]
enum Call {
    Assigned,
    Watermark,
    Tick,
}

struct Panics(Call);

impl Stage for Panics {
    fn process(&mut self, _: &Batch, _: &mut Outputs<'_>) -> Result<(), StageError> {
        Ok(())
    }

    fn watermark(&mut self, _: u32, _: &TenantId, _: Utc, _: &mut Outputs<'_>) -> Result<(), StageError> {
        assert!(!matches!(self.0, Call::Watermark), "asked to panic");
        Ok(())
    }

    fn tick(&mut self, _: &[u32], _: Utc, _: &mut Outputs<'_>) -> Result<(), StageError> {
        assert!(!matches!(self.0, Call::Tick), "asked to panic");
        Ok(())
    }

    fn assigned(&mut self, _: &[TopicPartition]) -> Result<Vec<(TopicPartition, u64)>, StageError> {
        assert!(!matches!(self.0, Call::Assigned), "asked to panic");
        Ok(Vec::new())
    }
}

#[test]
fn a_stage_that_panics_outside_a_batch_has_failed_and_says_where() {
    for (call, named) in [
        (Call::Assigned, "`assigned`"),
        (Call::Watermark, "`watermark`"),
        (Call::Tick, "`tick`"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(folder.path(), EmbeddedOptions::default()).unwrap();
        log.ensure_topics(&[TopicSpec::new("in", 1)]).unwrap();
        let record = NewRecord {
            topic: "in".into(),
            partition: None,
            key: "default/k".into(),
            value: "v".into(),
            headers: Headers::new(),
            timestamp: Utc::from_millis(5),
        };
        log.publish(vec![record]).unwrap();
        let time = EventTime::Records {
            disorder: Duration::ZERO,
        };
        let spec = StageSpec::new("panics")
            .reads("in", time)
            .stateful()
            .ticks(Duration::from_millis(1));
        let meters = StageMeters::register(&prometheus::Registry::new()).unwrap();
        let log: Arc<dyn Log> = Arc::new(log);
        let mut stage = spawn(log, Box::new(Panics(call)), spec, RunOptions::default(), &meters).unwrap();
        // It is not asked to stop. It ends because it has failed.
        assert!(stage.join_by(Instant::now() + Duration::from_mins(1)), "{call:?}");
        match stage.status().health {
            Health::Failed(message) => {
                assert!(
                    message.contains(named) && message.contains("asked to panic"),
                    "{message}"
                );
            }
            other => panic!("{call:?}: {other:?}"),
        }
    }
}
