//! What one record adds to its window, from its bytes.
//!
//! Readings are by far the most frequent records. Of them only the fields are read that are measured.

use std::borrow::Cow;
use std::fmt;

use limbic_domain::{
    ChallengerMode, Decision, DecisionResult, Deletion, Direction, Envelope, Hold, HoldCause, Moment,
    MomentKind, Outcome, OutcomeKind, PolicyRole, Reading, Record as _, TenantId, Utc, topics,
};
use limbic_stream::Record;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::names::{Name, name, of_emotion};
use crate::sums::{ALL, Entry, Fields};

/// What one record adds.
pub(crate) struct Measured {
    pub(crate) measurement: &'static str,
    pub(crate) tenant: TenantId,
    pub(crate) at: Utc,
    pub(crate) entry: Entry,
}

/// What `record` adds, with at most `most` groups in a window; or why it cannot be measured.
pub(crate) fn of(record: &Record, most: usize) -> Result<Vec<Measured>, String> {
    let decoded = |error: limbic_domain::DecodeError| error.to_string();
    Ok(match &*record.topic {
        // What was measured stays measured.
        topics::READINGS if Envelope::<Deletion>::is_type_of(&record.value) => Vec::new(),
        topics::READINGS => {
            let Some(reading) = sonic_rs::from_slice::<ReadingEnvelope<'_>>(&record.value)
                .ok()
                .filter(ReadingEnvelope::is_known)
            else {
                // The complete reader says what is wrong.
                return match Envelope::<Reading>::decode(&record.value) {
                    Err(error) => Err(error.to_string()),
                    Ok(_) => Err("the reading has a field that cannot be measured".to_owned()),
                };
            };
            // A post counts once, with its first version.
            if reading.data.revision > 0 {
                return Ok(Vec::new());
            }
            let entry = Entry {
                groups: reading.data.groups(),
                fields: reading.data.fields(),
                // The group of all readings is not one of the subjects.
                most: most + 1,
            };
            vec![Measured {
                measurement: "emotion",
                tenant: reading.tenant,
                at: reading.at,
                entry,
            }]
        }
        topics::MOMENTS => {
            let moment = Envelope::<Moment>::decode(&record.value).map_err(decoded)?;
            let way = match (moment.data.kind, moment.data.direction) {
                (MomentKind::Return, _) => "returns",
                (MomentKind::Change, Direction::Up) => "up",
                (MomentKind::Change, Direction::Down) => "down",
            };
            let change = &moment.data.change;
            let fields = Fields::new([
                one("count"),
                one(way),
                (name("valence_sum"), change.mood.valence),
                (name("posts"), change.posts as f64),
                (name("copied"), change.copied as f64),
                (name("automated"), change.automated as f64),
            ]);
            vec![Measured {
                measurement: "moments",
                tenant: moment.tenant,
                at: moment.at,
                entry: of_one_group(moment.data.audience.as_str(), fields, most),
            }]
        }
        topics::DECISIONS => {
            let decision = Envelope::<Decision>::decode(&record.value).map_err(decoded)?;
            let fields = of_decision(&decision.data);
            vec![Measured {
                measurement: "decisions",
                tenant: decision.tenant,
                at: decision.at,
                entry: of_one_group(decision.data.campaign.as_str(), fields, most),
            }]
        }
        topics::OUTCOMES => {
            let outcome = Envelope::<Outcome>::decode(&record.value).map_err(decoded)?;
            let campaign = Decision::campaign_of(&outcome.data.decision)
                .ok_or_else(|| format!("`{}` does not name a campaign", outcome.data.decision))?;
            let stated = of_statements(&outcome).into_iter().map(|(at, fields)| Measured {
                measurement: "outcomes",
                tenant: outcome.tenant.clone(),
                at,
                entry: of_one_group(campaign.as_str(), Fields::new(fields), most),
            });
            stated.collect()
        }
        topics::HOLDS => {
            let hold = Envelope::<Hold>::decode(&record.value).map_err(decoded)?;
            let what = match (&hold.data.released, hold.data.cause) {
                (Some(_), _) => "released",
                (None, HoldCause::SensitiveEvents) => "sensitive_events",
                (None, HoldCause::Unread) => "unread",
                (None, HoldCause::Suspected) => "suspected",
            };
            vec![Measured {
                measurement: "holds",
                tenant: hold.tenant,
                at: hold.at,
                entry: of_one_group(hold.data.subject.as_str(), Fields::new([one(what)]), most),
            }]
        }
        other => return Err(format!("topic `{other}` is not measured")),
    })
}

fn of_one_group(group: &str, fields: Fields, most: usize) -> Entry {
    Entry {
        groups: vec![name(group)],
        fields,
        most,
    }
}

fn one(field: &str) -> (Name, f64) {
    (name(field), 1.0)
}

fn of_decision(decision: &Decision) -> Fields {
    let mut fields = vec![one("count")];
    match &decision.result {
        DecisionResult::Chosen(chosen) => {
            // `Micros` are millionths of the campaign's currency.
            let price = chosen.price.0 as f64 / 1e6;
            fields.extend([one("chosen"), (name("price"), price)]);
        }
        DecisionResult::Suppressed(suppressed) => {
            fields.extend([one("suppressed"), one(&format!("suppressed.{}", suppressed.rule))]);
        }
        DecisionResult::HeldOut(_) => fields.push(one("held_out")),
    }
    let chosen = decision.chosen();
    if let Some(test) = chosen.and_then(|chosen| chosen.champion_challenger.as_ref()) {
        fields.push(one(match test.mode {
            ChallengerMode::Shadow => "challenger.shadow",
            ChallengerMode::Live => "challenger.live",
            ChallengerMode::RolledBack => "challenger.rolled_back",
        }));
        if test.by == PolicyRole::Challenger {
            fields.push(one("challenger.decisions"));
        }
        if test.ratio_alarm {
            fields.push(one("challenger.ratio_alarm"));
        }
    }
    Fields::new(fields)
}

/// What an outcome adds, and under which time: its statement, and the statement that it replaces with the opposite sign.
///
/// A correction of what is not known any more is not added: nobody knows whether it was counted, and when.
fn of_statements(outcome: &Envelope<Outcome>) -> Vec<(Utc, Vec<(Name, f64)>)> {
    let replaced = outcome.data.replaces.map(|replaced| (replaced, -1.0));
    let is_known = replaced.is_some() || !outcome.data.is_correction();
    let said = outcome.data.statement(outcome.at).replaced(outcome.at);
    let statements = replaced.into_iter().chain(is_known.then_some((said, 1.0)));
    statements
        .filter(|(said, _)| said.count > 0)
        .map(|(said, sign)| {
            let mut fields = vec![(name(field_of(said.kind)), sign * said.count as f64)];
            fields.extend(said.value.map(|value| (name("value"), sign * value)));
            (said.at, fields)
        })
        .collect()
}

const fn field_of(kind: OutcomeKind) -> &'static str {
    match kind {
        OutcomeKind::Delivered => "delivered",
        OutcomeKind::Refused => "refused",
        OutcomeKind::Withdrawn => "withdrawn",
        OutcomeKind::Paused => "paused",
        OutcomeKind::Impression => "impressions",
        OutcomeKind::Click => "clicks",
        OutcomeKind::Conversion => "conversions",
        OutcomeKind::Dismissal => "dismissals",
    }
}

/// The measured part of an [`Envelope`] of a [`Reading`].
#[derive(Deserialize)]
struct ReadingEnvelope<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    v: u32,
    tenant: TenantId,
    at: Utc,
    data: MeasuredReading,
}

impl ReadingEnvelope<'_> {
    fn is_known(&self) -> bool {
        self.kind == Reading::TYPE && self.v <= Reading::VERSION
    }
}

/// The measured fields of a [`Reading`].
#[derive(Deserialize)]
struct MeasuredReading {
    emotions: Emotions,
    valence: f64,
    arousal: f64,
    distress: Distress,
    #[serde(default)]
    subjects: Subjects,
    #[serde(default)]
    revision: u64,
}

#[derive(Deserialize)]
struct Distress {
    score: f64,
    cues: Vec<IgnoredAny>,
}

impl MeasuredReading {
    /// The subjects, or `none`; and the group of all readings.
    fn groups(&self) -> Vec<Name> {
        let mut groups = self.subjects.0.clone();
        groups.sort_unstable();
        groups.dedup();
        if groups.is_empty() {
            groups.push(name("none"));
        }
        groups.push(name(ALL));
        groups
    }

    fn fields(&self) -> Fields {
        let is_in_distress = !self.distress.cues.is_empty() || self.distress.score >= 0.5;
        // In the order of their names, so that they need not be sorted.
        let mut fields = Vec::with_capacity(4 + 2 * self.emotions.0.len());
        fields.push((name("arousal_sum"), self.arousal));
        fields.push(one("count"));
        fields.push((name("distress"), f64::from(u8::from(is_in_distress))));
        for ((count, sum), score) in &self.emotions.0 {
            fields.push((count.clone(), 1.0));
            fields.push((sum.clone(), *score));
        }
        fields.push((name("valence_sum"), self.valence));
        Fields::new(fields)
    }
}

/// For each emotion the names of its count and its sum, and its score.
struct Emotions(Vec<((Name, Name), f64)>);

impl<'de> Deserialize<'de> for Emotions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Emotions;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("emotions with their scores")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Emotions, A::Error> {
                let mut emotions = Vec::with_capacity(12);
                while let Some(emotion) = map.next_key::<Text<'_>>()? {
                    emotions.push((of_emotion(&emotion.0), map.next_value()?));
                }
                Ok(Emotions(emotions))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

#[derive(Default)]
struct Subjects(Vec<Name>);

impl<'de> Deserialize<'de> for Subjects {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Subjects;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("subjects")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Subjects, A::Error> {
                let mut subjects = Vec::with_capacity(2);
                while let Some(subject) = list.next_element::<Text<'_>>()? {
                    subjects.push(name(&subject.0));
                }
                Ok(Subjects(subjects))
            }
        }
        deserializer.deserialize_seq(Reader)
    }
}

/// A text that is borrowed from the record if it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use limbic_domain::{Affect, Emotions, PostRef, Pseudonym, Slug};
    use limbic_stream::testing::record as build;

    use super::*;

    fn reading() -> Envelope<Reading> {
        let network = Slug::new("bluesky").unwrap();
        let reading = Reading {
            author: Pseudonym::of(&[1; 32], &network, "ada"),
            post: PostRef {
                network,
                id: "1".into(),
            },
            affect: Affect {
                emotions: Emotions::from([("joy".to_owned(), 0.25), ("of \"tea\"".to_owned(), 1.0)]),
                valence: -0.5,
                arousal: 0.75,
                ..Affect::default()
            },
            subjects: vec![Slug::new("tea").unwrap(), Slug::new("rain").unwrap()],
            consent: limbic_domain::ConsentState::Given,
            minor: false,
            revision: 0,
        };
        Envelope::new(TenantId::default(), "id".into(), Utc::from_millis(5), reading)
    }

    fn measure(value: impl Into<Bytes>) -> Result<Measured, String> {
        let record = build(topics::READINGS).value(value).build();
        let mut all = of(&record, 9)?;
        assert_eq!(all.len(), 1);
        Ok(all.remove(0))
    }

    #[test]
    fn a_reading_counts_for_each_subject_and_once_for_all() {
        let measured = measure(reading().encode()).unwrap();
        assert_eq!(
            (measured.measurement, measured.at),
            ("emotion", Utc::from_millis(5))
        );
        assert_eq!(measured.tenant, TenantId::default());
        let groups: Vec<&str> = measured.entry.groups.iter().map(Name::as_str).collect();
        assert_eq!(groups, ["rain", "tea", "*"]);
        let expected = Fields::new(
            [
                ("valence_sum", -0.5),
                ("arousal_sum", 0.75),
                ("count", 1.0),
                ("distress", 0.0),
                ("emotion.joy_sum", 0.25),
                ("emotion.joy_count", 1.0),
                ("emotion.of \"tea\"_sum", 1.0),
                ("emotion.of \"tea\"_count", 1.0),
            ]
            .map(|(field, value)| (name(field), value)),
        );
        assert_eq!(measured.entry.fields, expected);

        let mut without = reading();
        without.data.subjects.clear();
        let groups = measure(without.encode()).unwrap().entry.groups;
        assert_eq!(groups.iter().map(Name::as_str).collect::<Vec<_>>(), ["none", "*"]);
    }

    #[test]
    fn what_is_not_a_reading_says_why() {
        let text = String::from_utf8(reading().encode()).unwrap();
        let refused = |from: &str, to: &str| measure(text.replace(from, to).into_bytes()).err().unwrap();
        assert!(refused("\"reading\"", "\"post\"").contains("found `post`"));
        assert!(refused("\"v\":1", "\"v\":7").contains("version 7"));
        assert!(refused("-0.5", "\"low\"").contains("not a valid `reading`"));
        assert!(measure("{\"").err().unwrap().contains("not a valid `reading`"));
    }
}
