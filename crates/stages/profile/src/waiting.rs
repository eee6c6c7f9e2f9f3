//! Feelings that wait until the watermark has passed them.

use bytes::Bytes;
use limbic_domain::{
    AudienceId, ConsentState, Emotions, Envelope, Feeling, IntentKind, PostRef, Probability, Pseudonym, Slug,
    TenantId, TextFingerprint, Utc,
};
use limbic_stream::{Cause, DecodeProblem, Decoder, Encoder, Headers, Record, StateValue, Timers};

use crate::intents;

/// The feelings of each tenant that wait until its watermark has passed them, sorted by time and id. So the order of release is
/// a function of the feelings alone.
pub(crate) const WAITING: Timers<WaitingFeeling> = Timers::new("waiting feelings", b"f");
/// The feelings that waited for the one watermark of all tenants, in programs that had only one.
pub(crate) const FORMER: Timers<WaitingFeeling> = Timers::new("waiting feelings of all tenants", b"b");

/// A feeling, with the part of its record that is passed on.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, as in the record"
)]
pub(crate) struct WaitingFeeling {
    pub(crate) at: Utc,
    pub(crate) id: String,
    pub(crate) tenant: TenantId,
    pub(crate) audience: AudienceId,
    pub(crate) post: PostRef,
    pub(crate) person: Pseudonym,
    pub(crate) person_distress: f64,
    pub(crate) person_valence: f64,
    pub(crate) consent: ConsentState,
    pub(crate) minor: bool,
    pub(crate) valence: f64,
    pub(crate) arousal: f64,
    pub(crate) distress: f64,
    pub(crate) emotions: Emotions,
    pub(crate) sensitive_event: f64,
    pub(crate) unread: bool,
    /// `None` if it is not read, as is `hate`.
    pub(crate) offence: Option<f64>,
    pub(crate) hate: Option<f64>,
    pub(crate) intent: Option<IntentKind>,
    pub(crate) brands: Vec<String>,
    pub(crate) ironic: bool,
    pub(crate) fingerprint: Option<TextFingerprint>,
    pub(crate) automated: bool,
    /// The post belongs to another audience. Only what protects the person counts here.
    pub(crate) protects: bool,
    /// Trace context and acceptance time. A moment continues the trace of the post that caused it, even after a long
    /// wait.
    pub(crate) cause: Cause,
}

impl WaitingFeeling {
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
            person_valence: feeling.person.valence,
            consent: feeling.person.consent,
            minor: feeling.person.minor,
            valence: feeling.valence,
            arousal: feeling.arousal,
            distress: feeling.distress,
            emotions: feeling.emotions,
            sensitive_event: feeling.sensitive_event.get(),
            unread: feeling.unread,
            offence: feeling.offence.map(Probability::get),
            hate: feeling.hate.map(Probability::get),
            intent: feeling.intent,
            brands: feeling.brands,
            ironic: feeling.ironic,
            fingerprint: feeling.fingerprint,
            automated: feeling.person.automated,
            protects: feeling.protects,
            cause: record.cause(),
        }
    }
}

impl StateValue for WaitingFeeling {
    const VERSION: u8 = 4;

    fn size_hint(&self) -> usize {
        512
    }

    fn encode(&self, to: &mut Encoder) {
        to.time(self.at);
        to.text(&self.id);
        to.text(self.tenant.as_str());
        to.text(self.audience.as_str());
        to.text(self.post.network.as_str());
        to.text(&self.post.id);
        to.pseudonym(&self.person);
        to.number(self.person_distress);
        to.consent(self.consent);
        to.flag(self.minor);
        to.flag(self.protects);
        to.number(self.sensitive_event);
        to.flag(self.unread);
        to.flag(self.ironic);
        to.flag(self.automated);
        to.flag(self.fingerprint.is_some());
        if let Some(fingerprint) = self.fingerprint {
            to.unsigned(fingerprint.bits());
        }
        for number in [self.valence, self.arousal, self.distress] {
            to.number(number);
        }
        to.length(self.emotions.len());
        for (name, score) in &self.emotions {
            to.text(name);
            to.number(*score);
        }
        for probability in [self.offence, self.hate] {
            to.flag(probability.is_some());
            if let Some(probability) = probability {
                to.number(probability);
            }
        }
        to.flag(self.intent.is_some());
        if let Some(intent) = self.intent {
            intents::write(intent, to);
        }
        to.length(self.brands.len());
        for brand in &self.brands {
            to.text(brand);
        }
        to.length(self.cause.headers.len());
        for (name, value) in self.cause.headers.iter() {
            to.text(name);
            to.bytes(value);
        }
        to.number(self.person_valence);
    }

    /// The partition of the cause is 0, because the reader of the value knows the partition.
    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
        let knows_offence = from.version() >= 3;
        Ok(Self {
            at: from.time()?,
            id: from.text()?.to_owned(),
            tenant: from.id()?,
            audience: from.id()?,
            post: PostRef {
                network: from.id::<Slug>()?,
                id: from.text()?.to_owned(),
            },
            person: from.pseudonym()?,
            person_distress: from.number()?,
            consent: from.consent()?,
            minor: from.flag()?,
            protects: from.flag()?,
            sensitive_event: from.number()?,
            unread: from.flag()?,
            ironic: from.flag()?,
            // The first version knew neither.
            automated: from.version() >= 2 && from.flag()?,
            fingerprint: if from.version() >= 2 && from.flag()? {
                Some(TextFingerprint::from_bits(from.unsigned()?))
            } else {
                None
            },
            valence: from.number()?,
            arousal: from.number()?,
            distress: from.number()?,
            emotions: emotions(from)?,
            offence: probability(from, knows_offence)?,
            hate: probability(from, knows_offence)?,
            intent: if knows_offence && from.flag()? {
                Some(intents::read(from)?)
            } else {
                None
            },
            brands: if knows_offence { brands(from)? } else { Vec::new() },
            cause: Cause {
                partition: 0,
                headers: headers(from)?,
            },
            person_valence: if from.version() >= 4 { from.number()? } else { 0.0 },
        })
    }
}

fn emotions(from: &mut Decoder<'_>) -> Result<Emotions, DecodeProblem> {
    (0..from.length()?)
        .map(|_| Ok((from.text()?.to_owned(), from.number()?)))
        .collect()
}

/// Absent in the versions that did not know it.
fn probability(from: &mut Decoder<'_>, is_known: bool) -> Result<Option<f64>, DecodeProblem> {
    if is_known && from.flag()? {
        from.number().map(Some)
    } else {
        Ok(None)
    }
}

fn brands(from: &mut Decoder<'_>) -> Result<Vec<String>, DecodeProblem> {
    (0..from.length()?).map(|_| Ok(from.text()?.to_owned())).collect()
}

fn headers(from: &mut Decoder<'_>) -> Result<Headers, DecodeProblem> {
    let mut headers = Headers::new();
    for _ in 0..from.length()? {
        let name = from.text()?;
        headers.push(name, Bytes::copy_from_slice(from.bytes()?));
    }
    Ok(headers)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Post number `post`, by its own author, at `at` milliseconds, in `everyone:football`.
    pub(crate) fn feeling(post: i64, at: i64, valence: f64) -> WaitingFeeling {
        WaitingFeeling {
            at: Utc::from_millis(at),
            id: format!("{post:032x}"),
            tenant: TenantId::default(),
            audience: "everyone:football".parse().unwrap(),
            post: PostRef {
                network: "bluesky".parse().unwrap(),
                id: post.to_string(),
            },
            person: format!("{post:032x}").parse().unwrap(),
            person_distress: 0.1,
            person_valence: valence,
            consent: ConsentState::Given,
            minor: false,
            valence,
            arousal: 0.5,
            distress: 0.0,
            emotions: Emotions::from([("joy".to_owned(), 0.25)]),
            sensitive_event: 0.0,
            unread: false,
            offence: Some(0.1),
            hate: Some(0.0),
            intent: None,
            brands: Vec::new(),
            ironic: false,
            fingerprint: None,
            automated: false,
            protects: false,
            cause: Cause {
                partition: 2,
                headers: Headers::new().with("traceparent", "00-ab-cd-01"),
            },
        }
    }

    #[test]
    fn a_waiting_feeling_comes_back_with_its_headers() {
        let mut waiting = feeling(7, 12_345, -0.5);
        waiting.cause.partition = 0;
        waiting.fingerprint = Some(TextFingerprint::from_bits(u64::MAX));
        waiting.automated = true;
        for intent in IntentKind::ALL {
            waiting.intent = Some(intent);
            waiting.brands.push(intent.name().to_owned());
            assert_eq!(
                WaitingFeeling::from_bytes(&waiting.to_bytes()),
                Ok(waiting.clone())
            );
        }
        waiting.offence = None;
        assert_eq!(WaitingFeeling::from_bytes(&waiting.to_bytes()), Ok(waiting));
    }

    /// The bytes of the second version are those of the third without what it did not know, between emotions and headers.
    #[test]
    fn a_feeling_that_waited_before_offence_was_known_has_none() {
        let mut waiting = feeling(7, 12_345, -0.5);
        waiting.cause = Cause {
            partition: 0,
            headers: Headers::new(),
        };
        let bytes = waiting.to_bytes();
        // Flags and numbers of offence and hate, no intention, no brand; then no header, and the person's valence.
        let added = bytes.len() - (1 + 8 + 1 + 8 + 1 + 1) - 1 - 8;
        let mut old = bytes[..added].to_vec();
        old.push(0);
        old[0] = 2;
        let read = WaitingFeeling::from_bytes(&old).unwrap();
        assert_eq!((read.offence, read.hate), (None, None));
        waiting.person_valence = 0.0;
        let mut third = bytes[..bytes.len() - 8].to_vec();
        third[0] = 3;
        assert_eq!(WaitingFeeling::from_bytes(&third), Ok(waiting.clone()));
        waiting.offence = None;
        waiting.hate = None;
        assert_eq!(read, waiting);
    }
}
