//! Pictures behind the texts of cards, by models that paint: ordered for a campaign, once for each shape of its cards.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use limbic_domain::{
    Background, Campaign, Envelope, GeneratorVersion, HumanDuration, PaintedBackground, Slug, TenantId, Utc,
    background_id, event_id, topics,
};
use limbic_stream::outbox::{
    Answer, Call, Conclusion, Enqueue, Enqueued, Finished, Limits, Outbox, OutboxMeters, Request, Sender,
};
use limbic_stream::{Cause, Outputs, Reference, StageError, StateSchema};
use minijinja::{AutoEscape, Environment, UndefinedBehavior, context};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Writer;
use crate::text::one_line;

/// The outbox's name, and that of its destination.
const OUTBOX: &str = "backgrounds";
const MODEL: &str = "model";

/// Pictures by models: `[creative.paint]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PaintSettings {
    /// The model that paints what `background` of a campaign's brief says, behind the texts of its cards: the name of a route of `[llm]`, or
    /// `PROVIDER/MODEL`. Empty (default) = no model is asked. It needs `creative.pictures`. The budgets of `[llm]` hold.
    pub model: String,
    /// How much work the model does: `low`, `medium` (default) or `high`. More costs more.
    pub quality: PaintQuality,
    /// For how many ads of a platform in one draft there is a second one with the picture, which waits for a person unless
    /// `creative.review.mode` is `none`. 1 to 8; default 2.
    pub ads: usize,
    /// After how long a picture is ordered again if none came. At least 1min; default 6h.
    pub retry: HumanDuration,
    /// Maximum duration of one call. At least 1s; default 3min.
    pub deadline: HumanDuration,
}

/// How much work a model does for a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaintQuality {
    /// Little.
    Low,
    /// As is usual.
    #[default]
    Medium,
    /// Much.
    High,
}

impl PaintQuality {
    const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

impl Default for PaintSettings {
    fn default() -> Self {
        Self {
            model: String::new(),
            quality: PaintQuality::default(),
            ads: 2,
            retry: HumanDuration::from_hours(6),
            deadline: HumanDuration::from_mins(3),
        }
    }
}

impl PaintSettings {
    /// The settings that are outside their ranges, each with its range.
    pub(crate) fn problems(&self, has_pictures: bool) -> impl Iterator<Item = (&'static str, String)> {
        let checks = [
            (
                self.model.is_empty() || has_pictures,
                "model",
                format!(
                    "{}: there are no cards to paint for: set creative.pictures",
                    self.model
                ),
            ),
            (
                (1..=8).contains(&self.ads),
                "ads",
                format!("{}: choose 1 to 8", self.ads),
            ),
            (
                self.retry >= HumanDuration::from_mins(1),
                "retry",
                format!("{}: must be at least 1min", self.retry),
            ),
            (
                self.deadline >= HumanDuration::from_secs(1),
                "deadline",
                format!("{}: must be at least 1s", self.deadline),
            ),
        ];
        checks
            .into_iter()
            .filter_map(|(holds, name, problem)| (!holds).then_some((name, problem)))
    }
}

/// A request for the picture of a campaign in one shape. Like a [`TextOrder`](super::TextOrder), it has nothing of a moment, a post or a
/// person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PictureOrder {
    /// A function of tenant, campaign, image, strategy, model, quality and prompt.
    pub id: String,
    /// Who pays.
    pub tenant: TenantId,
    /// The campaign.
    pub campaign: Slug,
    /// The image that it is for, as `PLATFORM/FORMAT/IMAGE`.
    pub image: String,
    /// Pixels of the image. The picture has its proportions as nearly as the model can.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// The [`background_id`] of the brief.
    pub brief: String,
    /// The prompt strategy.
    pub strategy: Slug,
    /// The strategy's version, and the hash of the prompt.
    pub prompt_version: GeneratorVersion,
    /// The model: a route of the gateway.
    pub model: String,
    /// How much work it does.
    pub quality: PaintQuality,
    /// What it is told.
    pub prompt: String,
    /// How many times the picture was ordered before.
    pub round: u32,
}

impl PictureOrder {
    /// The idempotency key: a function of order and round, in at most 200 visible ASCII characters.
    pub fn key(&self) -> String {
        format!("background-{}-{}", self.id, self.round)
    }
}

impl Request for PictureOrder {
    const VERSION: u32 = 1;
    type Reply = PictureReply;
}

/// A picture that a model painted, which is a file of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureReply {
    /// The name of the file among the node's pictures.
    pub file: String,
    /// The model that painted it, as `PROVIDER/MODEL`.
    pub model: String,
}

/// Fills orders of pictures: the node's gateway.
pub trait PictureModel: Send + Sync {
    /// Sends an order, and blocks until the reply or the deadline. An order that is sent again with the same key gets the picture of the
    /// first one, and is paid once, as far as the gateway can know.
    fn paint(&self, key: &str, order: &PictureOrder, deadline: Duration) -> Answer<PictureReply>;
}

/// The models that paint of a node. `None` = it has none.
pub type PictureModels = Option<Arc<dyn PictureModel>>;

struct Destination(Arc<dyn PictureModel>);

impl Sender<PictureOrder> for Destination {
    fn send(&self, calls: &[Call<PictureOrder>]) -> Vec<Answer<PictureReply>> {
        let answers = calls
            .iter()
            .map(|call| self.0.paint(&call.key, &call.request, call.deadline));
        answers.collect()
    }
}

/// A strategy of prompts for pictures.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Strategy {
    /// The name, unique.
    name: Slug,
    /// The version, which its author raises with each change.
    version: u32,
    /// The prompt, in the syntax of minijinja.
    prompt: String,
}

static STRATEGY: LazyLock<Strategy> = LazyLock::new(|| {
    toml::from_str(include_str!("../../strategies/backdrop.toml"))
        .expect("the built-in strategy is valid: a test reads it")
});

/// The prompt of a campaign.
fn prompt(campaign: &Campaign) -> String {
    let brief = &campaign.brief;
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    let words = context! {
        background => one_line(&brief.background),
        product => one_line(&brief.product),
        promise => one_line(&brief.promise),
        colours => brief.brand.colours.join(", "),
    };
    let rendered = environment.render_str(&STRATEGY.prompt, words);
    rendered
        .expect("the built-in prompt uses known names: a test renders it")
        .trim()
        .to_owned()
}

/// The orders of a campaign: one for each image that its ad platforms have. None if no model is set up, or the campaign asks for none.
pub(super) fn orders(
    writer: &Writer,
    settings: &PaintSettings,
    tenant: &TenantId,
    campaign: &Campaign,
) -> Vec<PictureOrder> {
    if settings.model.is_empty() || campaign.brief.background.trim().is_empty() {
        return Vec::new();
    }
    let prompt = prompt(campaign);
    let hash = blake3::hash(prompt.as_bytes()).to_hex()[..16].to_owned();
    let mut known = BTreeSet::new();
    let formats = campaign.platforms.iter();
    let formats = formats.filter_map(|platform| writer.room(platform).picture);
    formats
        .filter(|format| known.insert(&format.image))
        .map(|format| {
            let causes = [
                tenant.as_str(),
                campaign.id.as_str(),
                &format.image,
                STRATEGY.name.as_str(),
                &settings.model,
                settings.quality.name(),
                &hash,
            ];
            PictureOrder {
                id: event_id("picture_order", &causes),
                tenant: tenant.clone(),
                campaign: campaign.id.clone(),
                image: format.image.clone(),
                width: format.width,
                height: format.height,
                brief: background_id(&campaign.brief),
                strategy: STRATEGY.name.clone(),
                prompt_version: GeneratorVersion {
                    version: STRATEGY.version,
                    hash: hash.clone(),
                },
                model: settings.model.clone(),
                quality: settings.quality,
                prompt: prompt.clone(),
                round: 0,
            }
        })
        .collect()
}

/// The orders of pictures of a stage, in an outbox.
pub(super) struct Backgrounds {
    outbox: Outbox<PictureOrder>,
    settings: PaintSettings,
}

impl Backgrounds {
    pub(super) fn new(settings: &PaintSettings) -> Self {
        Self {
            outbox: Outbox::new(OUTBOX),
            settings: settings.clone(),
        }
    }

    /// Asks this model.
    pub(super) fn painted_by(mut self, model: Arc<dyn PictureModel>) -> Self {
        let limits = Limits {
            concurrency: 2,
            deadline: self.settings.deadline.get(),
            attempts: 12,
            give_up_after: Duration::from_hours(1),
            waiting: 10_000,
            ..Limits::default()
        };
        self.outbox = Outbox::new(OUTBOX).destination(MODEL, limits, Destination(model));
        self
    }

    pub(super) fn metered(mut self, meters: OutboxMeters) -> Self {
        self.outbox = self.outbox.metered(meters);
        self
    }

    pub(super) fn answer_wait(mut self, wait: Duration) -> Self {
        self.outbox = self.outbox.answer_wait(wait);
        self
    }

    pub(super) const fn settings(&self) -> &PaintSettings {
        &self.settings
    }

    pub(super) fn schema(schema: StateSchema) -> StateSchema {
        Outbox::<PictureOrder>::described_in(OUTBOX, schema)
    }

    /// Orders what is missing, and removes what the campaign no longer has.
    pub(super) fn order(
        &self,
        (tenant, campaign): (&TenantId, &Slug),
        orders: &[PictureOrder],
        (cause, at): (&Cause, Utc),
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        let table = out.reference(topics::BACKGROUNDS)?;
        let prefix = PaintedBackground::key(tenant, campaign, "");
        let is_obsolete = |key: &String| {
            let id = key.strip_prefix(&prefix).unwrap_or_default();
            orders.iter().all(|order| order.id != id)
        };
        let keys = table.values(&prefix);
        let keys = keys.map(|(key, _)| String::from_utf8_lossy(key).into_owned());
        let obsolete: Vec<String> = keys.filter(is_obsolete).collect();
        let due: Vec<PictureOrder> = orders
            .iter()
            .filter_map(|order| self.due(order, table, at))
            .collect();
        for key in obsolete {
            out.emit_bytes(cause, topics::BACKGROUNDS, &key, at, Vec::new());
        }
        for order in due {
            let new = Enqueue {
                destination: MODEL,
                key: &order.key(),
                order: None,
                at,
            };
            match self.outbox.enqueue(out, cause, &new, &order)? {
                Enqueued::Accepted | Enqueued::AlreadyWaiting => {}
                // The next decision of the campaign orders it.
                Enqueued::Full | Enqueued::UnknownDestination => {
                    tracing::warn!(%tenant, %campaign, "a picture was not ordered: too many orders wait, or this node has no model that paints");
                }
            }
        }
        Ok(())
    }

    /// The order, if its picture is missing at the time `at`.
    fn due(&self, order: &PictureOrder, table: Reference<'_>, at: Utc) -> Option<PictureOrder> {
        let key = PaintedBackground::key(&order.tenant, &order.campaign, &order.id);
        match table.get::<PaintedBackground>(&key) {
            Ok(None) => Some(order.clone()),
            Ok(Some(painted)) => {
                let is_over = at.millis_since(painted.at) >= self.settings.retry.as_millis();
                (painted.data.background.is_none() && is_over).then(|| PictureOrder {
                    round: painted.data.round.saturating_add(1),
                    ..order.clone()
                })
            }
            Err(error) => {
                tracing::warn!(key, %error, "a picture of a model cannot be read, and is not ordered again: upgrade this program");
                None
            }
        }
    }

    pub(super) fn drive(
        &mut self,
        partitions: &[u32],
        now: Utc,
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        self.outbox.drive(partitions, now, out, conclude)
    }

    pub(super) fn revoked(&mut self, partitions: &[limbic_stream::TopicPartition]) {
        self.outbox.revoked(partitions);
    }
}

/// Writes what came of an order. Its id is a function of order and round.
fn conclude(out: &mut Outputs<'_>, finished: &Finished<'_, PictureOrder>) {
    let order = finished.request;
    let (tenant, campaign) = (&order.tenant, &order.campaign);
    let (background, problem) = match finished.conclusion {
        Conclusion::Applied(reply) => {
            let background = Background {
                file: reply.file.clone(),
                model: reply.model.clone(),
                strategy: order.strategy.clone(),
                prompt: order.prompt_version.clone(),
            };
            (Some(background), None)
        }
        Conclusion::Rejected { detail }
        | Conclusion::Withdrawn { detail }
        | Conclusion::GaveUp { detail, .. } => {
            tracing::warn!(%tenant, %campaign, image = order.image, detail, "no picture came of an order");
            (None, Some(detail.to_owned()))
        }
    };
    let painted = PaintedBackground {
        campaign: campaign.clone(),
        image: order.image.clone(),
        brief: order.brief.clone(),
        round: order.round,
        background,
        problem,
    };
    let id = event_id("painted_background", &[&order.key()]);
    let envelope = Envelope::new(tenant.clone(), id, finished.at, painted);
    let key = PaintedBackground::key(tenant, campaign, &order.id);
    out.emit(&finished.cause, topics::BACKGROUNDS, &key, &envelope);
}
