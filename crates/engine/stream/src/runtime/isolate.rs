//! Processes a batch. If the stage fails, bisects the batch until the failing record is isolated, and makes it a dead
//! letter.

use std::panic::{AssertUnwindSafe, catch_unwind};

use limbic_domain::{Fault, Retry};

use crate::{Batch, Outputs, Stage, StageError};

/// The maximum bytes of a value that a stage may write: the default limit of brokers, minus space for key and headers.
const LARGEST_OUTPUT: usize = 1_000_000 - 16_384;

/// Processes `batch`. A record that fails permanently becomes a dead letter. An error means that the whole batch must be
/// retried, or that the stage must stop.
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

/// Handles a `batch` that failed as a whole. If it is one record, the record becomes a dead letter. Otherwise each half
/// is processed.
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
    // The fields of a stage hold only data that can be rebuilt, so a panic leaves nothing inconsistent.
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

/// Calls a stage outside a batch. There, no record can be isolated. So a panic is an internal error, which stops the
/// stage.
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

/// The message of a panic.
pub(super) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "it gave no message".to_owned())
}
