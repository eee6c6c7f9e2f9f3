//! An LLM provider in one page, called by a stage through an outbox.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use limbic_domain::Utc;
use limbic_llm::{Attempt, Failure, FailureKind, Generate, Generated, OnText, Pending, Provider, Providing};
use limbic_stream::outbox::{Conclusion, Enqueue, Limits, Outbox};
use limbic_stream::testing::{Harness, record};
use limbic_stream::{Batch, Outputs, Stage, StageError};

/// The provider. It is busy at first. A real one calls a server here.
#[derive(Default)]
struct Poet {
    was_asked: AtomicBool,
}

impl Provider for Poet {
    fn generate<'a>(&'a self, attempt: Attempt<'a>, on_text: &'a mut OnText<'_>) -> Pending<'a> {
        Box::pin(async move {
            if !self.was_asked.swap(true, Ordering::Relaxed) {
                let wait = Some(Duration::from_secs(2));
                return Err(Failure::new(FailureKind::Throttled(wait), "the poet is thinking"));
            }
            on_text("O ");
            on_text(&attempt.request.prompt);
            on_text("!");
            Ok(Generated::text(format!("O {}!", attempt.request.prompt)))
        })
    }
}

/// A stage: every moment becomes a request, and every text becomes a draft.
struct Writer(Outbox<Generate>);

impl Stage for Writer {
    fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
        for moment in &batch.records {
            let request = Generate {
                model: "poet-1".to_owned(),
                system: None,
                prompt: String::from_utf8_lossy(&moment.value).into_owned(),
                max_tokens: 40,
                temperature: Some(0.0),
                seed: None,
                schema: None,
            };
            let key = format!("draft-{}", request.prompt);
            let new = Enqueue {
                destination: "poet",
                key: &key,
                order: None,
                at: moment.timestamp,
            };
            self.0.enqueue(out, &moment.cause(), &new, &request)?;
        }
        Ok(())
    }

    fn tick(&mut self, partitions: &[u32], now: Utc, out: &mut Outputs<'_>) -> Result<(), StageError> {
        self.0.drive(partitions, now, out, |out, finished| {
            let text = match &finished.conclusion {
                Conclusion::Applied(generated) => generated.text.clone(),
                unfinished => format!("no draft: {unfinished:?}"),
            };
            out.emit_bytes(&finished.cause, "drafts", finished.key, finished.at, text);
        })
    }
}

/// Requests one text, and restarts the stage during the request. Returns what was written.
fn run() -> std::io::Result<Vec<String>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let handle = runtime.handle().clone();
    let poet: Arc<dyn Provider> = Arc::new(Poet::default());
    let outbox = move || {
        let poet = Providing::new(Arc::clone(&poet), handle.clone());
        Outbox::new("llm")
            .destination("poet", Limits::default(), poet)
            .answer_wait(Duration::from_mins(1))
    };
    let mut harness = Harness::new(move || Writer(outbox())).once();
    harness.process([record("moments").value("warm bread")]);
    harness.tick(Utc::from_millis(0));
    harness.restart();
    harness.tick(Utc::from_millis(2_000));
    let values = harness.outputs().iter().map(|(_, written)| &written.value);
    Ok(values
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .collect())
}

fn main() -> std::io::Result<()> {
    run()?
        .iter()
        .try_for_each(|line| writeln!(std::io::stdout(), "{line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_requested_again_after_a_restart_and_written_once() {
        assert_eq!(run().unwrap(), ["O warm bread!"]);
    }
}
