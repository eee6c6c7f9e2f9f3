//! A batch, done by the stage as far as it can be done: what fails in it stands alone in the end, and is given up on.

use std::panic::{AssertUnwindSafe, catch_unwind};

use limbic_domain::{Fault, Retry};

use crate::{Batch, Outputs, Stage, StageError};

/// The largest value a stage may write: what a broker takes by default, less room for key and headers.
const LARGEST_OUTPUT: usize = 1_000_000 - 16_384;

/// Has the stage process `batch`; what it cannot do is isolated and given up on.
pub(crate) fn process_isolated(
    stage: &mut dyn Stage,
    batch: &Batch,
    out: &mut Outputs<'_>,
) -> Result<(), StageError> {
    let untouched = out.effects.clone();
    let failure = match guarded(stage, batch, out) {
        Ok(()) => return Ok(()),
        Err(failure) => failure,
    };
    out.effects = untouched;
    match failure {
        Failure::Stage(error) if error.retry == Retry::WithBackoff => Err(error),
        Failure::Stage(error) if error.fault == Fault::Internal => Err(error),
        Failure::Stage(error) => isolate(stage, batch, error.reason, &error.message, out),
        Failure::Panic(message) => isolate(stage, batch, "panic", &message, out),
    }
}

/// `batch` failed as a whole: gives up on it if it is one record, otherwise tries each half.
fn isolate(
    stage: &mut dyn Stage,
    batch: &Batch,
    reason: &'static str,
    message: &str,
    out: &mut Outputs<'_>,
) -> Result<(), StageError> {
    if let [record] = &batch.records[..] {
        out.dead(record, reason, message);
        return Ok(());
    }
    for half in batch.records.chunks(batch.records.len().div_ceil(2).max(1)) {
        let half = Batch {
            records: half.to_vec(),
        };
        process_isolated(stage, &half, out)?;
    }
    Ok(())
}

enum Failure {
    Stage(StageError),
    Panic(String),
}

fn guarded(stage: &mut dyn Stage, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), Failure> {
    // A stage's own fields hold only what can be rebuilt, so that a panic leaves nothing half-done behind.
    match catch_unwind(AssertUnwindSafe(|| stage.process(batch, out))) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(Failure::Stage(error)),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            return Err(Failure::Panic(text.unwrap_or_else(|| "panicked".to_owned())));
        }
    }
    match out
        .effects
        .records
        .iter()
        .find(|(_, record)| record.value.len() > LARGEST_OUTPUT)
    {
        None => Ok(()),
        Some((_, record)) => Err(Failure::Stage(StageError::poison(
            "output_too_large",
            format!(
                "it leads to a record of {} bytes for `{}`",
                record.value.len(),
                record.topic
            ),
        ))),
    }
}
