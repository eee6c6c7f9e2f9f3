//! The stage that orders texts and pictures.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use limbic_domain::{
    Campaign, Decision, DecisionResult, Envelope, Slug, TenantId, Utc, WrittenTexts, brief_id, event_id,
    topics,
};
use limbic_stream::outbox::{Conclusion, Enqueue, Enqueued, Finished, Limits, Outbox, OutboxMeters};
use limbic_stream::{
    Batch, EventTime, Forward, Outputs, Record, Reference, Stage, StageError, StageSpec, StateSchema,
    TopicPartition,
};

use super::background::{self, Backgrounds, PictureModels, PictureOrder};
use super::index::{AdIndexes, PastAd};
use super::model::{Destination, TextModels, TextOrder};
use super::past::{self, Embedders, Retrieval, SharedRetrieval};
use super::{GenerateSettings, Strategies, reply};
use crate::{Campaigns, Settings, SettingsError, Writer};

/// The stage's name, and that of its consumer group.
pub const TEXTS_STAGE: &str = "texts";

/// The outbox's name, and that of its destination.
const OUTBOX: &str = "texts";
const MODEL: &str = "model";

/// Maximum bytes of the table of statuses, which has those of audiences too.
const STATUSES: usize = 512 << 20;

/// How often answers are collected.
const TICK: Duration = Duration::from_millis(500);

/// Reads `decisions` and the tables of `campaigns`, `texts` and `backgrounds`, and writes `texts` and `backgrounds`. Its state is two
/// outboxes.
///
/// A decision says that a campaign is in use. If texts of one of its [orders](TextOrder) are neither in the table nor on their way, they
/// are ordered. All decisions of a campaign are in one partition, so an order is in one outbox. Texts of orders that a campaign no
/// longer has are removed from the topic.
pub struct TextsStage {
    writer: Arc<Writer>,
    settings: GenerateSettings,
    outbox: Outbox<TextOrder>,
    backgrounds: Backgrounds,
    retrieval: SharedRetrieval,
    /// The campaigns with the orders that have been computed, for a version of the table.
    known: Option<Known>,
}

struct Known {
    version: String,
    campaigns: Campaigns,
    orders: HashMap<(TenantId, Slug), Orders>,
}

/// What a campaign orders.
#[derive(Clone)]
struct Orders {
    texts: Arc<[TextOrder]>,
    pictures: Arc<[PictureOrder]>,
}

impl TextsStage {
    /// A stage that orders texts of these models.
    pub fn new(settings: &Settings, models: TextModels) -> Result<Self, SettingsError> {
        let writer = Arc::new(Writer::new(settings)?);
        let limits = Limits {
            concurrency: 4,
            deadline: settings.generate.deadline.get(),
            attempts: 12,
            give_up_after: Duration::from_hours(1),
            waiting: 10_000,
            ..Limits::default()
        };
        let retrieval = SharedRetrieval::default();
        let outbox = match models {
            Some(model) => {
                let retrieval = Arc::clone(&retrieval);
                Outbox::new(OUTBOX).destination(MODEL, limits, Destination { model, retrieval })
            }
            None => Outbox::new(OUTBOX),
        };
        Ok(Self {
            writer,
            settings: settings.generate.clone(),
            outbox,
            backgrounds: Backgrounds::new(&settings.paint),
            retrieval,
            known: None,
        })
    }

    /// Finds earlier ads that did well with this embedder, in this index or in one of the process.
    #[must_use]
    pub fn embedding(self, embedder: Embedders, index: AdIndexes) -> Self {
        if let Some(embedder) = embedder.filter(|_| self.settings.past > 0) {
            let retrieval = Retrieval::new(embedder, index, self.settings.past);
            // A second one would be a mistake of the program, and the first one stays.
            let _ = self.retrieval.set(retrieval);
        }
        self
    }

    /// Orders pictures of this model.
    #[must_use]
    pub fn painting(mut self, models: PictureModels) -> Self {
        if let Some(model) = models {
            self.backgrounds = self.backgrounds.painted_by(model);
        }
        self
    }

    /// Reports to these metrics.
    #[must_use]
    pub fn metered(mut self, meters: OutboxMeters) -> Self {
        self.backgrounds = self.backgrounds.metered(meters.clone());
        self.outbox = self.outbox.metered(meters);
        self
    }

    /// How long a tick waits for answers. Default: 100 ms.
    #[must_use]
    pub fn answer_wait(mut self, wait: Duration) -> Self {
        self.backgrounds = self.backgrounds.answer_wait(wait);
        self.outbox = self.outbox.answer_wait(wait);
        self
    }

    /// The orders of a campaign with these settings. None if no model is set up.
    pub fn orders_of(settings: &Settings, tenant: &TenantId, campaign: &Campaign) -> Vec<TextOrder> {
        Strategies::built_in().orders(tenant, campaign, &settings.generate)
    }

    /// The stage's topics.
    pub fn spec(settings: &GenerateSettings) -> StageSpec {
        let spec = StageSpec::new(TEXTS_STAGE)
            .reads(topics::DECISIONS, EventTime::Ignored)
            .broadcasts(topics::CAMPAIGNS)
            .broadcasts(topics::TEXTS)
            .broadcasts(topics::BACKGROUNDS);
        let looks_back = !settings.model.is_empty() && settings.past > 0;
        let spec = if looks_back {
            spec.broadcasts_within(topics::STATUS, STATUSES)
        } else {
            spec
        };
        spec.writes(topics::TEXTS, Forward::Nothing)
            .writes(topics::BACKGROUNDS, Forward::Nothing)
            .stateful()
            .ticks(TICK)
    }

    /// The tables of its state.
    pub(super) fn schema() -> StateSchema {
        Backgrounds::schema(Outbox::<TextOrder>::described_in(OUTBOX, StateSchema::new()))
    }

    /// The orders of a campaign, as the table of campaigns has it. `None` = there is no such campaign.
    fn orders(&mut self, table: Reference<'_>, tenant: &TenantId, campaign: &Slug) -> Option<Orders> {
        if self
            .known
            .as_ref()
            .is_none_or(|known| known.version != table.version())
        {
            self.known = Some(Known {
                version: table.version().to_owned(),
                campaigns: Campaigns::read(table),
                orders: HashMap::new(),
            });
        }
        let known = self.known.as_mut()?;
        let key = (tenant.clone(), campaign.clone());
        if let Some(orders) = known.orders.get(&key) {
            return Some(orders.clone());
        }
        let found = known
            .campaigns
            .of(tenant)
            .iter()
            .find(|one| one.id == *campaign)?;
        let texts = Strategies::built_in().orders(tenant, found, &self.settings);
        let pictures = background::orders(&self.writer, self.backgrounds.settings(), tenant, found);
        let orders = Orders {
            texts: texts.into(),
            pictures: pictures.into(),
        };
        known.orders.insert(key, orders.clone());
        Some(orders)
    }

    fn order(&mut self, record: &Record, out: &mut Outputs<'_>) -> Result<(), StageError> {
        let decided = match Envelope::<Decision>::decode(&record.value) {
            Ok(decided) => decided,
            Err(error) => {
                out.dead(record, "malformed", error);
                return Ok(());
            }
        };
        if !is_in_use(&decided.data.result) {
            return Ok(());
        }
        let (tenant, campaign) = (&decided.tenant, &decided.data.campaign);
        let campaigns = out.reference(topics::CAMPAIGNS)?;
        let Some(orders) = self.orders(campaigns, tenant, campaign) else {
            return Ok(());
        };
        let by = (&record.cause(), decided.at);
        if !self.backgrounds.settings().model.is_empty() {
            self.backgrounds
                .order((tenant, campaign), &orders.pictures, by, out)?;
        }
        if self.settings.model.is_empty() {
            return Ok(());
        }
        let orders = orders.texts;
        let table = out.reference(topics::TEXTS)?;
        let obsolete = obsolete(table, tenant, campaign, &orders);
        let due: Vec<TextOrder> = orders
            .iter()
            .filter_map(|order| self.due(order, table, decided.at))
            .collect();
        for key in obsolete {
            out.emit_bytes(&record.cause(), topics::TEXTS, &key, decided.at, Vec::new());
        }
        let past = if due.is_empty() {
            Vec::new()
        } else {
            self.past(tenant, out)?
        };
        for order in due {
            let order = TextOrder {
                past: past.clone(),
                ..order
            };
            let new = Enqueue {
                destination: MODEL,
                key: &order.key(),
                order: None,
                at: decided.at,
            };
            match self.outbox.enqueue(out, &record.cause(), &new, &order)? {
                Enqueued::Accepted | Enqueued::AlreadyWaiting => {}
                // The next decision of the campaign orders them.
                Enqueued::Full | Enqueued::UnknownDestination => {
                    tracing::warn!(%tenant, %campaign, "texts were not ordered: too many orders wait, or this node has no language model");
                }
            }
        }
        Ok(())
    }

    /// The tenant's ads that have run, if earlier ads are looked for.
    fn past(&self, tenant: &TenantId, out: &Outputs<'_>) -> Result<Vec<PastAd>, StageError> {
        if self.retrieval.get().is_none() {
            return Ok(Vec::new());
        }
        Ok(past::ads_of(out.reference(topics::STATUS)?, tenant))
    }

    /// The order, if its texts are missing at the time `at`.
    fn due(&self, order: &TextOrder, table: Reference<'_>, at: Utc) -> Option<TextOrder> {
        let key = WrittenTexts::key(&order.tenant, &order.campaign.id, &order.id);
        match table.get::<WrittenTexts>(&key) {
            Ok(None) => Some(order.clone()),
            Ok(Some(written)) => {
                let is_over = at.millis_since(written.at) >= self.settings.retry.as_millis();
                let is_missing = written.data.texts.is_empty() && is_over;
                // A prompt has not every field of a brief, for instance not the link.
                let is_of_another = written.data.brief != brief_id(&order.campaign.brief);
                (is_missing || is_of_another).then(|| TextOrder {
                    round: written.data.round.saturating_add(1),
                    ..order.clone()
                })
            }
            Err(error) => {
                tracing::warn!(key, %error, "texts of a language model cannot be read, and are not ordered again: upgrade this program");
                None
            }
        }
    }
}

/// Whether a decision shows that ads of the campaign can run: one was chosen, or only ads are missing.
fn is_in_use(result: &DecisionResult) -> bool {
    match result {
        DecisionResult::Chosen(_) | DecisionResult::HeldOut(_) => true,
        DecisionResult::Suppressed(suppressed) => suppressed.rule == "no_creative_left",
    }
}

/// The keys of texts that none of the orders has.
fn obsolete(table: Reference<'_>, tenant: &TenantId, campaign: &Slug, orders: &[TextOrder]) -> Vec<String> {
    let prefix = WrittenTexts::key(tenant, campaign, "");
    let keys = table.values(&prefix).map(|(key, _)| String::from_utf8_lossy(key));
    keys.filter(|key| {
        let id = key.strip_prefix(&prefix).unwrap_or_default();
        orders.iter().all(|order| order.id != id)
    })
    .map(std::borrow::Cow::into_owned)
    .collect()
}

/// Writes what came of an order. Its id is a function of order and round.
fn conclude(writer: &Writer, out: &mut Outputs<'_>, finished: &Finished<'_, TextOrder>) {
    let order = finished.request;
    let mut prompt = order.prompt_version.clone();
    let (texts, problems, model) = match finished.conclusion {
        Conclusion::Applied((reply, asked)) => {
            prompt.hash.clone_from(asked);
            let (texts, problems) = reply::read(&reply.text, order, writer.room(&order.platform));
            (texts, problems, Some(reply.model.clone()))
        }
        Conclusion::Rejected { detail }
        | Conclusion::Withdrawn { detail }
        | Conclusion::GaveUp { detail, .. } => (Vec::new(), vec![detail.to_owned()], None),
    };
    let (tenant, campaign) = (&order.tenant, &order.campaign.id);
    if texts.is_empty() {
        tracing::warn!(%tenant, %campaign, platform = %order.platform.name, strategy = %order.strategy, ?problems, "no texts came of an order");
    }
    let written = WrittenTexts {
        campaign: campaign.clone(),
        platform: order.platform.name.clone(),
        direction: order.direction,
        brief: brief_id(&order.campaign.brief),
        strategy: order.strategy.clone(),
        prompt,
        model,
        round: order.round,
        texts,
        problems,
    };
    let id = event_id("written_texts", &[&order.key()]);
    let envelope = Envelope::new(tenant.clone(), id, finished.at, written);
    let key = WrittenTexts::key(tenant, campaign, &order.id);
    out.emit(&finished.cause, topics::TEXTS, &key, &envelope);
}

impl Stage for TextsStage {
    fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
        if self.settings.model.is_empty() && self.backgrounds.settings().model.is_empty() {
            return Ok(());
        }
        for record in &batch.records {
            self.order(record, out)?;
        }
        Ok(())
    }

    fn tick(&mut self, partitions: &[u32], now: Utc, out: &mut Outputs<'_>) -> Result<(), StageError> {
        let writer = Arc::clone(&self.writer);
        self.outbox.drive(partitions, now, out, |out, finished| {
            conclude(&writer, out, finished);
        })?;
        self.backgrounds.drive(partitions, now, out)
    }

    fn revoked(&mut self, partitions: &[TopicPartition]) {
        self.outbox.revoked(partitions);
        self.backgrounds.revoked(partitions);
    }
}
