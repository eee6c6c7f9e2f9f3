//! A provider behind the outbox of a stage.

use std::sync::Arc;
use std::time::Duration;

use limbic_domain::Utc;
use limbic_llm::{Generate, Providing};
use limbic_stream::outbox::{Answer, Call, Conclusion, Enqueue, Limits, Outbox, Request as _, Sender as _};
use limbic_stream::testing::{Harness, record};
use limbic_stream::{Batch, Outputs, Stage, StageError};
use serde_json::json;

use crate::openai::OpenAi;
use crate::server::{Act, End, Fault, Form as _, KEY, Server, request};

/// Every record becomes a request; the text is the result.
struct Writing(Outbox<Generate>);

impl Stage for Writing {
    fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
        for record in &batch.records {
            let new = Enqueue {
                destination: "model",
                key: "draft-1",
                order: None,
                at: record.timestamp,
            };
            self.0.enqueue(out, &record.cause(), &new, &request())?;
        }
        Ok(())
    }

    fn tick(&mut self, partitions: &[u32], now: Utc, out: &mut Outputs<'_>) -> Result<(), StageError> {
        self.0.drive(partitions, now, out, |out, finished| {
            if let Conclusion::Applied(generated) = &finished.conclusion {
                out.emit_bytes(
                    &finished.cause,
                    "drafts",
                    finished.key,
                    finished.at,
                    generated.text.clone(),
                );
            }
        })
    }
}

#[test]
fn an_outbox_retries_failures_with_the_same_key() {
    let server = Server::<OpenAi>::start();
    server.will(Act::Error(Fault::Throttled));
    server.will(Act::Error(Fault::Server));
    server.will(Act::Break(vec!["Warm "]));
    let (base, handle) = (server.base.clone(), server.runtime.handle().clone());
    let build = move || {
        let providing = Providing::new(OpenAi::provider(&base, KEY).unwrap(), handle.clone());
        let limits = Limits {
            deadline: Duration::from_mins(1),
            ..Limits::default()
        };
        let outbox = Outbox::new("llm").destination("model", limits, providing);
        Writing(outbox.answer_wait(Duration::from_mins(1)))
    };
    let mut stage = Harness::new(build).once();
    stage.process([record("moments")]);
    for now in 0..4 {
        stage.tick(Utc::from_millis(now * 100_000));
    }
    assert_eq!(&stage.outputs()[0].1.value[..], b"Warm bread.");
    let requests = server.requests();
    let keys = requests
        .iter()
        .map(|(headers, _)| headers["idempotency-key"].to_str().unwrap());
    assert_eq!(keys.collect::<Vec<_>>(), ["draft-1"; 4]);
}

#[test]
fn each_failure_has_one_meaning_for_an_outbox() {
    let server = Server::<OpenAi>::start();
    let providing = Providing::new(server.provider(), server.runtime.handle().clone());
    let answer = |act: Act| {
        server.will(act);
        let call = Call {
            key: "draft-1".into(),
            request: Arc::new(request()),
            attempt: 1,
            now: Utc::from_millis(0),
            deadline: Duration::from_mins(1),
        };
        providing.send(&[call]).remove(0)
    };
    assert!(matches!(
        answer(Act::Text(vec!["x"], End::Complete)),
        Answer::Applied(_)
    ));
    let wait = Some(Duration::from_secs(20));
    assert!(
        matches!(answer(Act::Error(Fault::Throttled)), Answer::RetryAfter { wait: asked, .. } if asked == wait)
    );
    assert!(matches!(
        answer(Act::Error(Fault::Exhausted)),
        Answer::Blocked { .. }
    ));
    assert!(matches!(
        answer(Act::Error(Fault::NoModel)),
        Answer::Blocked { .. }
    ));
    assert!(matches!(
        answer(Act::Error(Fault::Invalid)),
        Answer::Rejected { .. }
    ));
    assert!(matches!(
        answer(Act::Text(vec![], End::Refused)),
        Answer::Rejected { .. }
    ));
    assert!(matches!(
        answer(Act::Error(Fault::Server)),
        Answer::Unknown { .. }
    ));
}

#[test]
fn a_request_of_version_1_is_still_read() {
    let stored = json!({"model": "small", "prompt": "An ad.", "max_tokens": 40, "temperature": 0.5});
    let request = Generate::migrate(1, stored).unwrap();
    assert_eq!((request.temperature, request.schema), (Some(0.5), None));
    assert!(Generate::migrate(3, json!({})).unwrap_err().contains("version 3"));
}
