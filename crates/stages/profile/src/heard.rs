//! A feeling as it waits for its turn.

use bytes::Bytes;
use limbic_domain::{
    AudienceId, ConsentState, Emotions, Envelope, Feeling, PostRef, Pseudonym, Slug, TenantId, Utc,
};
use limbic_stream::{Cause, Headers, Record};

use crate::codec::{Reader, StateError, Writer, time_key, time_of_key};

const VERSION: u8 = 1;
const WHAT: &str = "waiting feeling";

/// A feeling, with what of its record travels on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Heard {
    pub(crate) at: Utc,
    pub(crate) id: String,
    pub(crate) tenant: TenantId,
    pub(crate) audience: AudienceId,
    pub(crate) post: PostRef,
    pub(crate) person: Pseudonym,
    pub(crate) person_distress: f64,
    pub(crate) consent: ConsentState,
    pub(crate) minor: bool,
    pub(crate) valence: f64,
    pub(crate) arousal: f64,
    pub(crate) distress: f64,
    pub(crate) emotions: Emotions,
    /// Said elsewhere: only what is known of the person counts here.
    pub(crate) protects: bool,
    /// Trace context and acceptance time: a moment continues the trace of the post that tipped it, however long that waited.
    pub(crate) cause: Cause,
}

impl Heard {
    /// The first byte of the keys of all that wait.
    pub(crate) const PREFIX: u8 = b'b';

    pub(crate) fn new(record: &Record, envelope: Envelope<Feeling>) -> Self {
        let feeling = envelope.data;
        Self {
            at: envelope.at,
            id: envelope.id,
            tenant: envelope.tenant,
            audience: feeling.audience,
            post: feeling.post,
            person: feeling.person.person,
            person_distress: feeling.person.distress,
            consent: feeling.person.consent,
            minor: feeling.person.minor,
            valence: feeling.valence,
            arousal: feeling.arousal,
            distress: feeling.distress,
            emotions: feeling.emotions,
            protects: feeling.protects,
            cause: record.cause(),
        }
    }

    /// Where it waits: keys sort by time, then by id, so that the order of release is a function of the feelings alone.
    pub(crate) fn key(&self) -> Vec<u8> {
        let mut key = Vec::with_capacity(9 + self.id.len());
        key.push(Self::PREFIX);
        key.extend_from_slice(&time_key(self.at));
        key.extend_from_slice(self.id.as_bytes());
        key
    }

    /// The time in a key.
    pub(crate) fn time_of(key: &[u8]) -> Option<Utc> {
        key.get(1..)?.first_chunk().copied().map(time_of_key)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new(VERSION, 512);
        writer.time(self.at);
        writer.text(&self.id);
        writer.text(self.tenant.as_str());
        writer.text(self.audience.as_str());
        writer.text(self.post.network.as_str());
        writer.text(&self.post.id);
        writer.pseudonym(&self.person);
        writer.number(self.person_distress);
        writer.consent(self.consent);
        writer.byte(u8::from(self.minor));
        writer.byte(u8::from(self.protects));
        for number in [self.valence, self.arousal, self.distress] {
            writer.number(number);
        }
        writer.length(self.emotions.len());
        for (name, score) in &self.emotions {
            writer.text(name);
            writer.number(*score);
        }
        writer.length(self.cause.headers.len());
        for (name, value) in self.cause.headers.iter() {
            writer.text(name);
            writer.bytes(value);
        }
        writer.finish()
    }

    /// Reads what waited in `partition`.
    pub(crate) fn decode(partition: u32, bytes: &[u8]) -> Result<Self, StateError> {
        let mut reader = Reader::new(WHAT, VERSION, bytes)?;
        let heard = Self {
            at: reader.time()?,
            id: reader.text()?.to_owned(),
            tenant: reader.id()?,
            audience: reader.id()?,
            post: PostRef {
                network: reader.id::<Slug>()?,
                id: reader.text()?.to_owned(),
            },
            person: reader.pseudonym()?,
            person_distress: reader.number()?,
            consent: reader.consent()?,
            minor: reader.flag()?,
            protects: reader.flag()?,
            valence: reader.number()?,
            arousal: reader.number()?,
            distress: reader.number()?,
            emotions: emotions(&mut reader)?,
            cause: Cause {
                partition,
                headers: headers(&mut reader)?,
            },
        };
        reader.finish()?;
        Ok(heard)
    }
}

fn emotions(reader: &mut Reader<'_>) -> Result<Emotions, StateError> {
    (0..reader.length()?)
        .map(|_| Ok((reader.text()?.to_owned(), reader.number()?)))
        .collect()
}

fn headers(reader: &mut Reader<'_>) -> Result<Headers, StateError> {
    let mut headers = Headers::new();
    for _ in 0..reader.length()? {
        let name = reader.text()?;
        headers.push(name, Bytes::copy_from_slice(reader.bytes()?));
    }
    Ok(headers)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The post of number `post`, by its own author, at `at` milliseconds, in `everyone:football`.
    pub(crate) fn heard(post: i64, at: i64, valence: f64) -> Heard {
        Heard {
            at: Utc::from_millis(at),
            id: format!("{post:032x}"),
            tenant: TenantId::default(),
            audience: "everyone:football".parse().unwrap(),
            post: PostRef {
                network: "town".parse().unwrap(),
                id: post.to_string(),
            },
            person: format!("{post:032x}").parse().unwrap(),
            person_distress: 0.1,
            consent: ConsentState::Given,
            minor: false,
            valence,
            arousal: 0.5,
            distress: 0.0,
            emotions: Emotions::from([("joy".to_owned(), 0.25)]),
            protects: false,
            cause: Cause {
                partition: 2,
                headers: Headers::new().with("traceparent", "00-ab-cd-01"),
            },
        }
    }

    #[test]
    fn what_waits_comes_back_with_its_headers() {
        let waiting = heard(7, 12_345, -0.5);
        assert_eq!(Heard::decode(2, &waiting.encode()), Ok(waiting.clone()));
        assert_eq!(Heard::time_of(&waiting.key()), Some(waiting.at));
    }
}
