//! Recording and replay.

use std::sync::Arc;
use std::time::Duration;

use limbic_domain::Utc;
use limbic_llm::gateway::{Recording, Replay, ReplayError};
use limbic_llm::{Attempt, FailureKind, Generate, Provider};

use crate::openai::OpenAi;
use crate::server::{Act, End, Fault, Server, request};

#[test]
fn a_replay_gives_the_recorded_pieces_results_and_failures_in_their_order_and_has_no_key() {
    let server = Server::<OpenAi>::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("attempts.jsonl");
    let recording = Recording::new(server.provider(), &file).unwrap();
    let minute = Duration::from_mins(1);
    server.will(Act::Error(Fault::Throttled));
    server.will(Act::Break(vec!["Wa"]));
    server.will(Act::Text(vec!["Warm ", "bread."], End::Complete));
    let recorded: Vec<_> = (0..3).map(|_| server.ask(&recording, minute)).collect();
    assert!(
        Recording::new(server.provider(), &file).is_err(),
        "a recording is not overwritten"
    );

    let replay = Arc::new(Replay::open(&file).unwrap());
    let replayed: Vec<_> = (0..3).map(|_| server.ask(&*replay, minute)).collect();
    assert_eq!(replayed, recorded);
    assert_eq!(server.ask(&*replay, minute), recorded[2], "the last one again");
    assert_eq!(server.requests().len(), 3, "the replay does not ask the server");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains("sk-hidden"), "{text}");

    let other = Generate {
        seed: Some(8),
        ..request()
    };
    let attempt = Attempt {
        key: "k",
        request: &other,
        now: Utc::from_millis(0),
        deadline: minute,
    };
    let failure = server
        .runtime
        .block_on(replay.generate(attempt, &mut |_: &str| {}))
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::Rejected);

    std::fs::write(&file, format!("{text}{{}}\n")).unwrap();
    let error = Replay::open(&file).unwrap_err();
    assert!(matches!(&error, ReplayError::Line { line: 4, .. }), "{error}");
}
