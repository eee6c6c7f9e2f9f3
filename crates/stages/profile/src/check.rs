//! Checks records before they change any state, because one wrong number would stay in a mean permanently.

use limbic_domain::{DecodeError, Emotions, Envelope, Feeling, Reading};

use crate::mood::MOST_EMOTIONS;

/// Why a record goes to the dead-letter topic.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rejected {
    /// The reason in one word.
    pub(crate) reason: &'static str,
    /// The reason in a sentence.
    pub(crate) detail: String,
}

impl From<DecodeError> for Rejected {
    fn from(error: DecodeError) -> Self {
        Self {
            reason: match &error {
                DecodeError::Malformed { .. } => "malformed",
                DecodeError::WrongType { .. } => "wrong_type",
                DecodeError::TooNew { .. } => "too_new",
            },
            detail: error.to_string(),
        }
    }
}

fn out_of_range(detail: String) -> Rejected {
    Rejected {
        reason: "out_of_range",
        detail,
    }
}

/// Maximum bytes of an envelope's id and of an emotion's name.
const LONGEST_NAME: usize = 64;
/// Maximum bytes of the id of a post.
const LONGEST_POST_ID: usize = 512;
/// Maximum number of subjects of a post.
const MOST_SUBJECTS: usize = 16;

pub(crate) fn reading(bytes: &[u8]) -> Result<Envelope<Reading>, Rejected> {
    let envelope = Envelope::<Reading>::decode(bytes)?;
    let reading = &envelope.data;
    names(&envelope.id, &reading.post.id)?;
    affect(
        reading.affect.valence,
        reading.affect.arousal,
        &reading.affect.emotions,
    )?;
    let subjects = reading.subjects.len();
    if subjects > MOST_SUBJECTS {
        return Err(out_of_range(format!(
            "{subjects} subjects, a post has at most {MOST_SUBJECTS}"
        )));
    }
    Ok(envelope)
}

pub(crate) fn feeling(bytes: &[u8]) -> Result<Envelope<Feeling>, Rejected> {
    let envelope = Envelope::<Feeling>::decode(bytes)?;
    let feeling = &envelope.data;
    names(&envelope.id, &feeling.post.id)?;
    affect(feeling.valence, feeling.arousal, &feeling.emotions)?;
    within("distress", feeling.distress, 0.0)?;
    within("person.distress", feeling.person.distress, 0.0)?;
    Ok(envelope)
}

fn names(id: &str, post: &str) -> Result<(), Rejected> {
    if id.is_empty() || id.len() > LONGEST_NAME {
        return Err(out_of_range(format!(
            "id has {} bytes, must have 1 to {LONGEST_NAME}",
            id.len()
        )));
    }
    if post.is_empty() || post.len() > LONGEST_POST_ID {
        return Err(out_of_range(format!(
            "post.id has {} bytes, must have 1 to {LONGEST_POST_ID}",
            post.len()
        )));
    }
    Ok(())
}

fn affect(valence: f64, arousal: f64, emotions: &Emotions) -> Result<(), Rejected> {
    within("valence", valence, -1.0)?;
    within("arousal", arousal, 0.0)?;
    if emotions.len() > MOST_EMOTIONS {
        return Err(out_of_range(format!(
            "{} emotions, a reading has at most {MOST_EMOTIONS}",
            emotions.len()
        )));
    }
    for (name, &score) in emotions {
        if name.is_empty() || name.len() > LONGEST_NAME {
            return Err(out_of_range(format!(
                "an emotion's name has {} bytes, must have 1 to {LONGEST_NAME}",
                name.len()
            )));
        }
        within(name, score, 0.0)?;
    }
    Ok(())
}

fn within(what: &str, value: f64, low: f64) -> Result<(), Rejected> {
    if (low..=1.0).contains(&value) {
        Ok(())
    } else {
        Err(out_of_range(format!("{what} is {value}, must be in [{low}, 1]")))
    }
}
