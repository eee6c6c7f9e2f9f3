//! The stage `profile`: reads readings, and writes the feelings of people for audiences.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use limbic_domain::{
    AudienceId, Deletion, Entity, EntityKind, Envelope, Feeling, Reading, Slug, TenantId, Utc, event_id,
    topics,
};
use limbic_stream::progress::{self, ReadProgress};
use limbic_stream::{Batch, EventTime, Forward, Outputs, Record, Stage, StageError, StageSpec};

use crate::settings::{InvalidSetting, PersonSettings, Segment, Settings};
use crate::{PEOPLE, Person, check, expiry, withdrawals};

/// Keeps a state for each person, and sends each audience the feelings of its people.
///
/// Reads [`topics::READINGS`]. Writes [`topics::FEELINGS`] and its watermark. A post counts for the audiences of its
/// subjects, or for the subject `all` if it has no subject. For each subject it counts for the segment `everyone` and for
/// every segment of the settings whose conditions hold.
///
/// State of each partition number: a [`Person`] for each author (100 to 2,000 bytes). It is removed after
/// [`PersonSettings::expiry`], unless the person denied consent or may be a minor.
///
/// Who deletes a post gets no ads for an hour: the stage publishes a [`limbic_domain::Withdrawal`].
///
/// It publishes how far it has read ([`limbic_domain::Progress`]), so that `deliver` notices posts that wait unread.
#[derive(Debug)]
pub struct ProfileStage {
    name: Slug,
    person: PersonSettings,
    everyone: Slug,
    all: Slug,
    segments: Vec<Segment>,
    /// A moment of an audience may reach a person for this long after the person's last post in it.
    reach_millis: i64,
    irony_from: f64,
}

impl ProfileStage {
    /// The name of the stage and of its consumer group.
    pub const NAME: &'static str = "profile";

    /// Builds the stage. Returns an error if a setting is not valid.
    pub fn new(settings: &Settings) -> Result<Self, InvalidSetting> {
        settings.validate()?;
        Ok(Self {
            name: Slug::new(Self::NAME).expect("it is a slug"),
            person: settings.person.clone(),
            everyone: Slug::new("everyone").expect("it is a slug"),
            all: Slug::new("all").expect("it is a slug"),
            segments: settings.segments.clone(),
            reach_millis: settings.audience.reach.as_millis(),
            irony_from: settings.audience.irony_from,
        })
    }

    /// The stage's topics and requirements, for the runtime.
    pub fn spec(settings: &Settings) -> StageSpec {
        let disorder = settings.person.disorder.get();
        StageSpec::new(Self::NAME)
            .reads(topics::READINGS, EventTime::Records { disorder })
            .writes(topics::FEELINGS, Forward::Broadcast)
            .writes(topics::PROGRESS, Forward::Nothing)
            .writes(topics::WITHDRAWALS, Forward::Nothing)
            .stateful()
            .ticks(std::time::Duration::from_secs(1))
    }

    fn read(
        &self,
        record: &Record,
        envelope: Envelope<Reading>,
        people: &mut People,
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        let person = people.author(record.partition, &envelope, out)?;
        let was_addressable = person.may_be_addressed();
        let ironic = self.is_ironic(&envelope.data) || !envelope.data.affect.has_mood();
        person.read(&envelope, &self.person, ironic);
        let audiences = self.audiences(&envelope.data, person);
        let others = person.note_post_in(&audiences, envelope.at, self.reach_millis);
        // A cue of distress, a denied consent or a suspected minor protects the person in every audience in which they
        // posted.
        let cue = envelope.data.affect.distress.score.get() > 0.0;
        let protects = cue || (was_addressable && !person.may_be_addressed());
        let others = if protects { others } else { Vec::new() };
        write_feelings(record, envelope, person, ironic, (&audiences, &others), out);
        Ok(())
    }

    /// Whether a reading that sounds pleasant is most likely not meant so.
    fn is_ironic(&self, reading: &Reading) -> bool {
        let irony = reading.affect.irony.map_or(0.0, limbic_domain::Probability::get);
        reading.affect.valence > 0.0 && irony >= self.irony_from
    }

    /// The audiences that a reading counts for, without duplicates. At least one.
    fn audiences(&self, reading: &Reading, person: &Person) -> Vec<AudienceId> {
        let mut about: Vec<&Slug> = reading.subjects.iter().collect();
        about.sort_unstable();
        about.dedup();
        if about.is_empty() {
            about.push(&self.all);
        }
        let holds = |segment: &&Segment| segment.holds(reading, person);
        let named = self.segments.iter().filter(holds).map(|segment| &segment.name);
        std::iter::once(&self.everyone)
            .chain(named)
            .flat_map(|segment| about.iter().map(move |subject| AudienceId::of(segment, subject)))
            .collect()
    }
}

/// The people of one call, read once and written once.
#[derive(Default)]
struct People {
    open: BTreeMap<(u32, Vec<u8>), Open>,
}

struct Open {
    person: Person,
    /// The time of the person's newest post in the state, if the state has the person.
    before: Option<Utc>,
}

impl People {
    /// The author of a reading.
    fn author(
        &mut self,
        partition: u32,
        envelope: &Envelope<Reading>,
        out: &Outputs<'_>,
    ) -> Result<&mut Person, StageError> {
        let key = PEOPLE.key(&(&envelope.tenant, &envelope.data.author));
        let open = match self.open.entry((partition, key)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let known = PEOPLE.get_at(out, partition, &unknown.key().1)?;
                unknown.insert(Open {
                    before: known.as_ref().map(Person::at),
                    person: known.unwrap_or_else(Person::new),
                })
            }
        };
        Ok(&mut open.person)
    }

    /// Whether the author of what was deleted has a state.
    fn knows(
        &self,
        partition: u32,
        deletion: &Envelope<Deletion>,
        out: &Outputs<'_>,
    ) -> Result<bool, StageError> {
        let key = PEOPLE.key(&(&deletion.tenant, &deletion.data.author));
        if out.get(partition, &key)?.is_some() {
            return Ok(true);
        }
        Ok(self.open.contains_key(&(partition, key)))
    }

    /// Forgets a person whose account is gone, unless they are protected: the account may come back. A deleted post stays part of
    /// the person's mood, which fades.
    fn delete(
        &mut self,
        partition: u32,
        deletion: &Envelope<Deletion>,
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        if deletion.data.id.is_some() {
            return Ok(());
        }
        let key = PEOPLE.key(&(&deletion.tenant, &deletion.data.author));
        let known = match self.open.remove(&(partition, key.clone())) {
            Some(open) => Some(open),
            None => PEOPLE.get_at(out, partition, &key)?.map(|person| Open {
                before: Some(person.at()),
                person,
            }),
        };
        let Some(open) = known else {
            return Ok(());
        };
        if open.person.is_protected() {
            self.open.insert((partition, key), open);
            return Ok(());
        }
        if let Some(before) = open.before {
            expiry::cancel(out, partition, &key, before)?;
            out.remove(partition, key);
        }
        Ok(())
    }

    fn keep(self, out: &mut Outputs<'_>) -> Result<(), StageError> {
        for ((partition, key), Open { person, before }) in self.open {
            expiry::moved(out, partition, &key, before, person.at())?;
            PEOPLE.put_at(out, partition, key, &person);
        }
        Ok(())
    }
}

/// Writes the feeling of a reading to its audiences. Also writes a protection to the other audiences in which the author
/// posted, if there is one.
fn write_feelings(
    record: &Record,
    envelope: Envelope<Reading>,
    person: &Person,
    ironic: bool,
    audiences: (&[AudienceId], &[AudienceId]),
    out: &mut Outputs<'_>,
) {
    let Envelope {
        tenant,
        id: reading_id,
        at,
        data: reading,
        ..
    } = envelope;
    let cause = record.cause();
    let (audiences, others) = audiences;
    let brands = reading.affect.brands();
    let mut feeling = Envelope::new(
        tenant,
        String::new(),
        at,
        Feeling {
            audience: audiences[0].clone(),
            person: person.state(reading.author),
            valence: reading.affect.valence,
            arousal: reading.affect.arousal,
            emotions: reading.affect.emotions,
            distress: reading.affect.distress.score.get(),
            sensitive_event: reading.affect.distress.sensitive_event,
            unread: reading.affect.distress.unread,
            offence: reading.affect.offence,
            hate: reading.affect.hate,
            intent: reading.affect.intent.map(|intent| intent.kind),
            brands,
            ironic,
            fingerprint: reading.affect.fingerprint,
            post: reading.post,
            protects: false,
        },
    );
    for (audience, protects) in audiences
        .iter()
        .map(|audience| (audience, false))
        .chain(others.iter().map(|audience| (audience, true)))
    {
        feeling.id = event_id(
            "feeling",
            &[feeling.tenant.as_str(), audience.as_str(), &reading_id],
        );
        let key = format!("{}/{audience}", feeling.tenant);
        feeling.data.audience = audience.clone();
        feeling.data.protects = protects;
        out.emit(&cause, topics::FEELINGS, &key, &feeling);
    }
}

impl Segment {
    fn holds(&self, reading: &Reading, person: &Person) -> bool {
        let language = primary_subtag(&reading.affect.language);
        let intent = reading.affect.intent;
        let speaks = |wanted: &String| primary_subtag(wanted).eq_ignore_ascii_case(language);
        (self.networks.is_empty() || self.networks.contains(&reading.post.network))
            && (self.languages.is_empty() || self.languages.iter().any(speaks))
            && (self.intents.is_empty() || intent.is_some_and(|intent| self.intents.contains(&intent.kind)))
            && (self.entities.is_empty() || self.names(&reading.affect.entities))
            && person.posts() >= self.least_posts
    }

    /// Whether a post with these entities names one of the segment's.
    fn names(&self, entities: &[Entity]) -> bool {
        let is_named = |wanted: &String| {
            entities.iter().any(|Entity { kind, text, name, .. }| {
                let is_of_people = matches!(kind, EntityKind::Mention | EntityKind::Person);
                let names = [name.as_deref(), Some(text)].into_iter().flatten();
                !is_of_people && names.into_iter().any(|name| is_same_name(name, wanted))
            })
        };
        self.entities.iter().any(is_named)
    }
}

/// Case does not count, and neither does the `#` of a hashtag.
fn is_same_name(text: &str, wanted: &str) -> bool {
    let name = |text: &str| text.trim_start_matches('#').to_lowercase();
    name(text) == name(wanted)
}

fn primary_subtag(tag: &str) -> &str {
    tag.split_once('-').map_or(tag, |(primary, _)| primary)
}

impl Stage for ProfileStage {
    fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
        let mut people = People::default();
        let mut progress = ReadProgress::default();
        for record in &batch.records {
            if Envelope::<Deletion>::is_type_of(&record.value) {
                match Envelope::<Deletion>::decode(&record.value) {
                    Ok(deletion) => {
                        // Nobody else is in an audience.
                        if people.knows(record.partition, &deletion, out)? {
                            withdrawals::publish(&record.cause(), &deletion, out)?;
                        }
                        people.delete(record.partition, &deletion, out)?;
                    }
                    Err(error) => out.dead(record, "malformed", error),
                }
                progress.note(record);
                continue;
            }
            match check::reading(&record.value) {
                // A post counts once, with its first version.
                Ok(envelope) if envelope.data.revision > 0 => {}
                Ok(envelope) => self.read(record, envelope, &mut people, out)?,
                Err(rejected) => out.dead(record, rejected.reason, rejected.detail),
            }
            progress.note(record);
        }
        people.keep(out)?;
        progress.keep(out)?;
        Ok(())
    }

    fn tick(&mut self, partitions: &[u32], _: Utc, out: &mut Outputs<'_>) -> Result<(), StageError> {
        Ok(progress::publish(&self.name, partitions, out)?)
    }

    fn watermark(
        &mut self,
        partition: u32,
        tenant: &TenantId,
        watermark: Utc,
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        withdrawals::sweep(partition, tenant, watermark, out)?;
        let silence = self.person.expiry.as_millis();
        expiry::sweep(out, partition, tenant, watermark, silence, |out, key| {
            let person = PEOPLE.get_at(out, partition, key)?;
            if person.is_some_and(|person| !person.is_protected()) {
                out.remove(partition, key.to_vec());
            }
            Ok(())
        })
    }
}
