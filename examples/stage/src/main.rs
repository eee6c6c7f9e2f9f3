//! A stage in one page: it counts the posts of each author and reports every third one.

use std::io::Write as _;

use limbic_stream::testing::{Harness, record};
use limbic_stream::{Batch, EventTime, Forward, Outputs, Stage, StageError, StageSpec};

/// The stage. It has no fields: everything that it must remember is state, which commits with the output.
struct Milestones;

fn spec() -> StageSpec {
    StageSpec::new("milestones")
        .reads("posts", EventTime::Ignored)
        .writes("milestones", Forward::Nothing)
        .stateful()
}

impl Stage for Milestones {
    fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
        for post in &batch.records {
            let Ok(author) = std::str::from_utf8(&post.key) else {
                out.dead(post, "malformed", "the author is not UTF-8");
                continue;
            };
            let before = out.get(post.partition, &post.key)?;
            let count = before.map_or(0, |bytes| bytes[0]) + 1;
            out.put(post.partition, post.key.clone(), vec![count % 3]);
            if count == 3 {
                let text = format!("{author} wrote three more posts");
                out.emit_bytes(&post.cause(), "milestones", author, post.timestamp, text);
            }
        }
        Ok(())
    }
}

/// Feeds the stage seven posts of two authors, with a restart between them. Returns its output.
fn run() -> Vec<String> {
    let mut harness = Harness::new(|| Milestones).described_by(spec());
    harness.process(["ada", "ada", "bob", "ada"].map(|author| record("posts").key(author)));
    harness.restart();
    harness.process(["ada", "bob", "bob"].map(|author| record("posts").key(author)));
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
    fn every_third_post_of_an_author_is_reported_also_after_a_restart() {
        assert_eq!(
            run(),
            ["ada wrote three more posts", "bob wrote three more posts"]
        );
    }

    #[test]
    fn an_author_that_is_not_text_is_a_dead_letter() {
        let mut harness = Harness::new(|| Milestones).described_by(spec());
        harness.process([record("posts").key(&b"\xff"[..])]);
        assert_eq!(harness.dead_letters()[0].reason, "malformed");
    }
}
