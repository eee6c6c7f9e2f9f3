//! The creative stage: a moment in, a draft for every campaign that wants it out.

use std::sync::Arc;

use limbic_domain::{CreativeSet, Envelope, Moment, event_id, topics};
use limbic_stream::{Batch, EventTime, Forward, Outputs, Record, Stage, StageError, StageSpec};

use crate::{Campaigns, Settings, SettingsError, Writer};

/// The stage's name.
pub const STAGE: &str = "creative";

/// Reads `moments`, writes `drafts`. Stateless: what it writes is a function of the moment, the campaigns and the
/// templates.
#[derive(Debug)]
pub struct CreativeStage {
    campaigns: Arc<Campaigns>,
    writer: Arc<Writer>,
}

impl CreativeStage {
    /// A stage over these campaigns; fails where [`Settings::check`] does.
    pub fn new(settings: &Settings, campaigns: Arc<Campaigns>) -> Result<Self, SettingsError> {
        let writer = Arc::new(Writer::new(settings, &campaigns)?);
        Ok(Self { campaigns, writer })
    }

    /// Another instance of the same stage.
    #[must_use]
    pub fn another(&self) -> Self {
        Self {
            campaigns: self.campaigns.clone(),
            writer: self.writer.clone(),
        }
    }

    /// What the runtime must know of it.
    pub fn spec() -> StageSpec {
        StageSpec::new(STAGE)
            .reads(topics::MOMENTS, EventTime::Ignored)
            .writes(topics::DRAFTS, Forward::Nothing)
    }

    fn draft(&self, record: &Record, moment: &Envelope<Moment>, out: &mut Outputs<'_>) {
        let Moment {
            audience,
            direction,
            mood,
            people,
            ..
        } = &moment.data;
        let cause = record.cause();
        for campaign in self.campaigns.wanting(&moment.tenant, audience, *direction) {
            let draft = self
                .writer
                .write(&moment.tenant, campaign, audience.subject(), *direction);
            let set = CreativeSet {
                moment: moment.id.clone(),
                campaign: campaign.id.clone(),
                bid: campaign.bid,
                audience: audience.clone(),
                direction: *direction,
                mood: mood.clone(),
                people: people.clone(),
                creatives: draft.creatives,
                removals: draft.removals,
                cleared_by: None,
            };
            let id = event_id("draft", &[&moment.id, campaign.id.as_str()]);
            let key = format!("{}/{}", moment.tenant, campaign.id);
            let envelope = Envelope::new(moment.tenant.clone(), id, moment.at, set);
            out.emit(&cause, topics::DRAFTS, &key, &envelope);
        }
    }
}

impl Stage for CreativeStage {
    fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
        for record in &batch.records {
            match Envelope::<Moment>::decode(&record.value) {
                Ok(moment) => self.draft(record, &moment, out),
                Err(error) => out.dead(record, "malformed", error),
            }
        }
        Ok(())
    }
}
