//! An LLM provider in one page, called by a stage through an outbox.

use std::io::Write as _;
use std::time::Duration;

use limbic_domain::Utc;
use limbic_llm::{Generate, Generated, Provider, Providing};
use limbic_stream::outbox::{Answer, Call, Conclusion, Enqueue, Limits, Outbox};
use limbic_stream::testing::{Harness, record};
use limbic_stream::{Batch, Outputs, Stage, StageError};

/// The provider. It is busy at first. A real one calls a server here.
struct Poet;

impl Provider for Poet {
    fn generate(&self, call: &Call<Generate>) -> Answer<Generated> {
        if call.attempt == 1 {
            return Answer::RetryAfter {
                wait: Some(Duration::from_secs(2)),
                detail: "the poet is thinking".to_owned(),
            };
        }
        Answer::Applied(Generated::text(format!("O {}!", call.request.prompt)))
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
                temperature: 0.0,
                seed: None,
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
fn run() -> Vec<String> {
    let outbox = || {
        Outbox::new("llm")
            .destination("poet", Limits::default(), Providing(Poet))
            .answer_wait(Duration::from_mins(1))
    };
    let mut harness = Harness::new(move || Writer(outbox())).once();
    harness.process([record("moments").value("warm bread")]);
    harness.tick(Utc::from_millis(0));
    harness.restart();
    harness.tick(Utc::from_millis(2_000));
    let values = harness.outputs().iter().map(|(_, written)| &written.value);
    values
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .collect()
}

fn main() -> std::io::Result<()> {
    run()
        .iter()
        .try_for_each(|line| writeln!(std::io::stdout(), "{line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_requested_again_after_a_restart_and_written_once() {
        assert_eq!(run(), ["O warm bread!"]);
    }
}
