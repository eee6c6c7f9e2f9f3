//! The creative stage: reads a moment and writes a draft with the ads of every campaign that wants it.

use std::sync::Arc;

use limbic_domain::{CampaignDraft, Creative, Draft, Envelope, Moment, MomentKind, event_id, topics};
use limbic_stream::{
    Batch, Cause, EventTime, Forward, Outputs, Record, Reference, Stage, StageError, StageSpec,
};

use crate::{Campaigns, Occasion, Reviews, Settings, SettingsError, Texts, Writer};

/// The stage's name, and that of its consumer group.
pub const STAGE: &str = "creative";

/// A draft with about this many bytes of ads accepts no further campaign. Brokers refuse records above 1 MB by default,
/// and the people of a moment take up to 30 kB.
const FULL: usize = 256 * 1024;

/// Maximum bytes of the table of reviews, as of the safety stage, which bounds it.
const REVIEWS: usize = 512 << 20;

/// Reads `moments` and the tables of `campaigns`, `reviews`, `texts` and `backgrounds`, and writes `drafts`. It has no state. Its output is a function of the
/// moment, the templates, and the versions of the tables that the record names.
#[derive(Debug)]
pub struct CreativeStage {
    writer: Arc<Writer>,
    /// The decoded campaigns, with the version of the table.
    known: Option<(String, Campaigns)>,
    /// The same for what people decided.
    reviews: Option<(String, Reviews)>,
    /// The same for what models wrote.
    texts: Option<(String, Texts)>,
}

impl CreativeStage {
    /// A stage with these templates. Fails if a template is not valid. [`Settings::check`] also checks campaigns.
    pub fn new(settings: &Settings) -> Result<Self, SettingsError> {
        Ok(Self {
            writer: Arc::new(Writer::new(settings)?),
            known: None,
            reviews: None,
            texts: None,
        })
    }

    /// Another instance that shares the compiled templates.
    #[must_use]
    pub fn another(&self) -> Self {
        Self {
            writer: self.writer.clone(),
            known: None,
            reviews: None,
            texts: None,
        }
    }

    /// The stage's topics.
    pub fn spec() -> StageSpec {
        StageSpec::new(STAGE)
            .reads(topics::MOMENTS, EventTime::Ignored)
            .broadcasts(topics::CAMPAIGNS)
            .broadcasts_within(topics::REVIEWS, REVIEWS)
            .broadcasts(topics::TEXTS)
            .broadcasts(topics::BACKGROUNDS)
            .writes(topics::DRAFTS, Forward::Nothing)
    }

    /// The campaigns of the current table. Each version is decoded once.
    fn campaigns(&mut self, out: &Outputs<'_>) -> Result<Campaigns, StageError> {
        let table = out.reference(topics::CAMPAIGNS)?;
        match self.known.take() {
            Some((version, campaigns)) if version == table.version() => Ok(campaigns),
            _ => Ok(Campaigns::read(table)),
        }
    }

    /// The verdicts of the current table. Each version is decoded once.
    fn reviews(&mut self, out: &Outputs<'_>) -> Result<Reviews, StageError> {
        let table = out.reference(topics::REVIEWS)?;
        match self.reviews.take() {
            Some((version, reviews)) if version == table.version() => Ok(reviews),
            _ => Ok(Reviews::read(table)),
        }
    }

    /// The texts of the current table. Each version is decoded once.
    fn texts(&mut self, out: &Outputs<'_>) -> Result<Texts, StageError> {
        let (written, painted) = (out.reference(topics::TEXTS)?, out.reference(topics::BACKGROUNDS)?);
        match self.texts.take() {
            Some((version, texts)) if version == both(written, painted) => Ok(texts),
            _ => Ok(Texts::read(written, painted)),
        }
    }

    fn draft(
        &self,
        (campaigns, reviews, texts): (&Campaigns, &Reviews, &Texts),
        record: &Record,
        moment: &Envelope<Moment>,
        out: &mut Outputs<'_>,
    ) {
        let Moment {
            audience,
            kind,
            direction,
            ..
        } = &moment.data;
        if *kind == MomentKind::Return {
            return;
        }
        let cause = record.cause();
        let mut drafts = Vec::new();
        let mut size = 0;
        let occasion = Occasion::of(&moment.data);
        for campaign in campaigns.wanting(&moment.tenant, audience, *direction) {
            let draft = self
                .writer
                .write(&moment.tenant, campaign, &occasion, (reviews, texts));
            size += size_of_texts(&draft);
            drafts.push(draft);
            if size >= FULL {
                emit(&cause, moment, std::mem::take(&mut drafts), out);
                size = 0;
            }
        }
        if !drafts.is_empty() {
            emit(&cause, moment, drafts, out);
        }
    }
}

/// The versions of two tables, as one.
fn both(one: Reference<'_>, other: Reference<'_>) -> String {
    format!("{} {}", one.version(), other.version())
}

/// Writes one draft. Its id is a function of the moment and the draft's first campaign.
fn emit(cause: &Cause, moment: &Envelope<Moment>, campaigns: Vec<CampaignDraft>, out: &mut Outputs<'_>) {
    let Moment {
        audience,
        direction,
        change,
        mood,
        people,
        ..
    } = &moment.data;
    let id = event_id("draft", &[&moment.id, campaigns[0].campaign.as_str()]);
    let draft = Draft {
        moment: moment.id.clone(),
        audience: audience.clone(),
        direction: *direction,
        change: change.clone(),
        mood: mood.clone(),
        people: people.clone(),
        campaigns,
    };
    let key = format!("{}/{audience}", moment.tenant);
    let envelope = Envelope::new(moment.tenant.clone(), id, moment.at, draft);
    out.emit(cause, topics::DRAFTS, &key, &envelope);
}

/// The approximate bytes that a campaign's ads take in a record.
fn size_of_texts(draft: &CampaignDraft) -> usize {
    /// Ids, names of fields and punctuation of one ad.
    const REST: usize = 450;
    let creatives = draft.creatives.iter();
    creatives
        .map(|Creative { rendering, .. }| {
            rendering.headline.len() + rendering.body.len() + rendering.link.len() + REST
        })
        .sum()
}

impl Stage for CreativeStage {
    fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
        let campaigns = self.campaigns(out)?;
        let reviews = self.reviews(out)?;
        let texts = self.texts(out)?;
        for record in &batch.records {
            match Envelope::<Moment>::decode(&record.value) {
                Ok(moment) => self.draft((&campaigns, &reviews, &texts), record, &moment, out),
                Err(error) => out.dead(record, "malformed", error),
            }
        }
        let version = out.reference(topics::CAMPAIGNS)?.version();
        self.known = Some((version.to_owned(), campaigns));
        let version = out.reference(topics::REVIEWS)?.version();
        self.reviews = Some((version.to_owned(), reviews));
        let (written, painted) = (out.reference(topics::TEXTS)?, out.reference(topics::BACKGROUNDS)?);
        self.texts = Some((both(written, painted), texts));
        Ok(())
    }
}
