//! The stage `moments`: feelings of an audience in, moments out.

use std::collections::BTreeMap;

use bytes::Bytes;
use limbic_domain::{Envelope, Utc, event_id, topics};
use limbic_stream::{Batch, EventTime, Forward, Outputs, Stage, StageError, StageSpec};

use crate::heard::Heard;
use crate::settings::{InvalidSetting, Settings};
use crate::{Audience, check, expiry};

/// Key of the last watermark that was announced for a partition number, 8 bytes.
const WATERMARK: &[u8] = b"w";
/// Key of the number of late feelings of a partition number, 8 bytes.
const LATE: &[u8] = b"l";
/// How many feelings are taken out of the waiting room at once.
const RELEASED_AT_ONCE: usize = 512;

/// Finds out when an audience has moved.
///
/// Reads [`topics::FEELINGS`], whose partitions mix what many senders write; writes [`topics::MOMENTS`]. What comes out does
/// not depend on how the senders' records interleave: each feeling waits in the state until the watermark has passed it, and is then
/// taken in the order of time and id. One that comes behind the watermark is taken at once, and counted
/// ([`MomentStage::late`]).
///
/// State, per partition number: an [`Audience`] each (1 to 12 KiB), dropped after its expiry, and whatever waits: as many
/// feelings as the fastest sender is ahead of the slowest. A sender that stands still holds everything back, until it goes on
/// or says that it is idle.
#[derive(Debug)]
pub struct MomentStage {
    settings: Settings,
}

impl MomentStage {
    /// The stage's name and group.
    pub const NAME: &'static str = "moments";
    /// Where the state of each partition number keeps how many feelings were late; see [`MomentStage::late`].
    pub const LATE_KEY: &'static [u8] = LATE;

    /// The stage; refuses settings that cannot work.
    pub fn new(settings: &Settings) -> Result<Self, InvalidSetting> {
        settings.validate()?;
        Ok(Self {
            settings: settings.clone(),
        })
    }

    /// What the runtime must know.
    pub fn spec() -> StageSpec {
        StageSpec::new(Self::NAME)
            .reads(topics::FEELINGS, EventTime::Sources)
            .writes(topics::MOMENTS, Forward::Nothing)
            .stateful()
    }

    /// How many feelings came late, from the state at [`MomentStage::LATE_KEY`].
    pub fn late(value: Option<&[u8]>) -> u64 {
        value
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u64::from_le_bytes)
    }
}

impl Stage for MomentStage {
    fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
        let mut audiences = Audiences::new(&self.settings);
        let mut clocks: BTreeMap<u32, Clock> = BTreeMap::new();
        for record in &batch.records {
            let heard = match check::feeling(&record.value) {
                Ok(envelope) => Heard::new(record, envelope),
                Err(rejected) => {
                    out.dead(record, rejected.reason, rejected.detail);
                    continue;
                }
            };
            let clock = match clocks.entry(record.partition) {
                std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::btree_map::Entry::Vacant(unknown) => {
                    unknown.insert(Clock::read(record.partition, out)?)
                }
            };
            if heard.at < clock.watermark {
                clock.late += 1;
                audiences.hear(&heard, out)?;
            } else {
                out.put(record.partition, heard.key(), heard.encode());
            }
        }
        audiences.keep(out);
        for (partition, clock) in clocks {
            clock.keep_late(partition, out)?;
        }
        Ok(())
    }

    fn watermark(&mut self, partition: u32, watermark: Utc, out: &mut Outputs<'_>) -> Result<(), StageError> {
        if watermark <= Clock::read(partition, out)?.watermark {
            return Ok(());
        }
        out.put(partition, WATERMARK, watermark.as_millis().to_le_bytes().to_vec());
        let mut audiences = Audiences::new(&self.settings);
        release(partition, watermark, &mut audiences, out)?;
        audiences.keep(out);
        let silence = self.settings.audience.expiry.as_millis();
        expiry::sweep(out, partition, watermark, silence, |out, key| {
            out.remove(partition, key.to_vec());
            Ok(())
        })
    }
}

/// Takes in what has waited for `watermark`, in the order of time and id.
fn release(
    partition: u32,
    watermark: Utc,
    audiences: &mut Audiences<'_>,
    out: &mut Outputs<'_>,
) -> Result<(), StageError> {
    let mut from = vec![Heard::PREFIX];
    loop {
        let waiting = out.scan(partition, &[Heard::PREFIX], &from, RELEASED_AT_ONCE)?;
        for (key, value) in &waiting {
            let at = Heard::time_of(key)
                .ok_or_else(|| StageError::internal("state", "the key of a waiting feeling is damaged"))?;
            if at >= watermark {
                return Ok(());
            }
            let heard = Heard::decode(partition, value)?;
            audiences.hear(&heard, out)?;
            out.remove(partition, key.clone());
        }
        let Some((last, _)) = waiting.last().filter(|_| waiting.len() == RELEASED_AT_ONCE) else {
            return Ok(());
        };
        // The least key after the last one.
        from.clear();
        from.extend_from_slice(last);
        from.push(0);
    }
}

/// How far a partition number is.
struct Clock {
    watermark: Utc,
    late: u64,
}

impl Clock {
    /// The watermark that was announced, kept in the state: after a restart it must not be forgotten, or what is late would wait
    /// as if it were not.
    fn read(partition: u32, out: &Outputs<'_>) -> Result<Self, StageError> {
        let watermark = match out.get(partition, WATERMARK)? {
            None => Utc::MIN,
            Some(bytes) => bytes
                .as_ref()
                .try_into()
                .map(|bytes| Utc::from_millis(i64::from_le_bytes(bytes)))
                .map_err(|_| StageError::internal("state", "the watermark in the state is damaged"))?,
        };
        Ok(Self { watermark, late: 0 })
    }

    fn keep_late(&self, partition: u32, out: &mut Outputs<'_>) -> Result<(), StageError> {
        if self.late > 0 {
            tracing::warn!(partition, late = self.late, watermark = %self.watermark, "feelings came behind the watermark");
            let before = MomentStage::late(out.get(partition, LATE)?.as_deref());
            out.put(partition, LATE, (before + self.late).to_le_bytes().to_vec());
        }
        Ok(())
    }
}

/// The audiences of one call, read once and written once.
struct Audiences<'a> {
    settings: &'a Settings,
    open: BTreeMap<(u32, Vec<u8>), Open>,
}

struct Open {
    audience: Audience,
    /// The time of its newest post in the state, if it was there.
    before: Option<Utc>,
}

impl<'a> Audiences<'a> {
    const fn new(settings: &'a Settings) -> Self {
        Self {
            settings,
            open: BTreeMap::new(),
        }
    }

    fn hear(&mut self, heard: &Heard, out: &mut Outputs<'_>) -> Result<(), StageError> {
        let partition = heard.cause.partition;
        let key = (partition, Audience::state_key(&heard.tenant, &heard.audience));
        let open = match self.open.entry(key) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(unknown) => {
                let bytes: Option<Bytes> = out.get(partition, &unknown.key().1)?;
                let known = bytes.map(|bytes| Audience::decode(&bytes)).transpose()?;
                if known.is_none() && heard.protects {
                    return Ok(());
                }
                let before = known.as_ref().map(Audience::at);
                let audience = known.unwrap_or_else(Audience::new);
                unknown.insert(Open { audience, before })
            }
        };
        if heard.protects {
            open.audience.warn(heard, self.settings);
        } else if let Some(moment) = open.audience.hear(heard, self.settings) {
            let trigger = heard.post.to_string();
            let causes = [heard.tenant.as_str(), heard.audience.as_str(), &trigger];
            let id = event_id("moment", &causes);
            let envelope = Envelope::new(heard.tenant.clone(), id, heard.at, moment);
            let key = format!("{}/{}", heard.tenant, heard.audience);
            out.emit(&heard.cause, topics::MOMENTS, &key, &envelope);
        }
        Ok(())
    }

    fn keep(self, out: &mut Outputs<'_>) {
        for ((partition, key), open) in self.open {
            expiry::moved(out, partition, &key, open.before, open.audience.at());
            out.put(partition, key, open.audience.encode());
        }
    }
}
