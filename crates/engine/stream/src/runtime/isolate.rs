//! Processes a batch; bisects it to isolate a record on which the stage fails, and gives up on that record.

use std::panic::{AssertUnwindSafe, catch_unwind};

use limbic_domain::{Fault, Retry};

use crate::{Batch, Outputs, Stage, StageError};

/// The largest value a stage may write: what a broker takes by default, less room for key and headers.
const LARGEST_OUTPUT: usize = 1_000_000 - 16_384;

/// Processes `batch`. A record on which the stage fails for good becomes a dead letter; an error means that the whole batch is
/// to be tried again, or that the stage must stop.
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

/// `batch` failed as a whole. If it is one record, gives up on it; otherwise processes each half.
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
    // The fields of a stage hold only what can be rebuilt, so a panic leaves nothing inconsistent behind.
    match catch_unwind(AssertUnwindSafe(|| stage.process(batch, out))) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(Failure::Stage(error)),
        Err(panic) => return Err(Failure::Panic(panic_message(&*panic))),
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

/// Calls a stage for something that is not a batch. No record can be isolated there: a panic is an internal error, which stops
/// the stage.
pub(super) fn guard<T>(
    call: &'static str,
    act: impl FnOnce() -> Result<T, StageError>,
) -> Result<T, StageError> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| {
        let message = panic_message(&*panic);
        Err(StageError::internal(
            "panic",
            format!("the stage panicked in `{call}`: {message}. Nothing of that call is kept; restart the node, and report the panic"),
        ))
    })
}

/// What a panic says.
pub(super) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "it gave no message".to_owned())
}
