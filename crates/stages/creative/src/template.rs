//! Templates of ads.

use limbic_domain::{Direction, IntentKind, Moment, Slug, TenantId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A template of an ad, in the syntax of minijinja.
///
/// A template can use `product`, `promise`, `call_to_action`, `subject`, `platform` and `values` (the brief's further
/// values). It can also use what the audience writes about: `intent`, the intention that most posts since the change have (`churn`,
/// `complaint`, `purchase`, `praise`, `question`, or `none`), and `brands`, a list of the brands of `affect.brands` that these posts
/// name, most often named first. It can use the filter `sentence`, which adds a full stop if the text does not end like a sentence. An
/// undefined name is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// The template's name, unique. A creative's generator is `template/NAME`.
    pub name: Slug,
    /// The tone of its ads.
    pub tone: Slug,
    /// The direction of the moments that it suits. Absent = both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// The intentions that it suits, of which one is the most frequent in the posts since the change. Empty = all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub intents: Vec<IntentKind>,
    /// The tenant that may use it. Absent = every tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// The campaigns that may use it. Empty = all. A template with `values` names the campaigns that have them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub campaigns: Vec<Slug>,
    /// The platforms that may use it. Empty = all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<Slug>,
    /// The template of the headline.
    pub headline: String,
    /// The template of the body.
    pub body: String,
}

impl Template {
    /// Whether this campaign of this tenant may use the template, on this platform and on this occasion.
    pub(crate) fn suits(
        &self,
        tenant: &TenantId,
        campaign: &Slug,
        platform: &Slug,
        occasion: &Occasion<'_>,
    ) -> bool {
        let among = |names: &[Slug], name: &Slug| names.is_empty() || names.contains(name);
        self.tenant.as_ref().is_none_or(|owner| owner == tenant)
            && among(&self.campaigns, campaign)
            && among(&self.platforms, platform)
            && self.direction.is_none_or(|suited| suited == occasion.direction)
            && (self.intents.is_empty() || self.intents.contains(&occasion.intent))
    }
}

/// What ads are written for.
#[derive(Debug, Clone)]
pub struct Occasion<'a> {
    /// The audience's subject.
    pub subject: &'a str,
    /// The direction of the moment.
    pub direction: Direction,
    /// The intention that most posts since the change have.
    pub intent: IntentKind,
    /// The brands that these posts name, most often named first.
    pub brands: Vec<&'a str>,
}

impl<'a> Occasion<'a> {
    /// An occasion of which only subject and direction are known.
    pub const fn new(subject: &'a str, direction: Direction) -> Self {
        Self {
            subject,
            direction,
            intent: IntentKind::None,
            brands: Vec::new(),
        }
    }

    /// The occasion of a moment.
    pub fn of(moment: &'a Moment) -> Self {
        let counted = moment.change.brands.iter();
        let mut brands: Vec<(&str, u64)> = counted.map(|(name, count)| (name.as_str(), *count)).collect();
        // Stable: of equal counts, the names are in order.
        brands.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        Self {
            intent: moment.change.intent(),
            brands: brands.into_iter().map(|(name, _)| name).collect(),
            ..Self::new(moment.audience.subject(), moment.direction)
        }
    }
}

/// Name, tone, direction, headline, body. The longest of each tone comes first.
///
/// No template mentions a person's feelings. Templates for a good moment are cheerful, templates for a bad one are quiet.
const BUILT_IN: [(&str, &str, Option<Direction>, &str, &str); 10] = [
    (
        "celebrate-1",
        "celebrate",
        Some(Direction::Up),
        "What a day for {{ product }}!",
        "{{ promise|sentence }} {{ call_to_action|sentence }}",
    ),
    (
        "celebrate-2",
        "celebrate",
        Some(Direction::Up),
        "Here's to this one: {{ product }}",
        "{{ call_to_action|sentence }} {{ promise|sentence }}",
    ),
    (
        "celebrate-short",
        "celebrate",
        Some(Direction::Up),
        "{{ product }}!",
        "{{ call_to_action|sentence }}",
    ),
    (
        "bright-1",
        "bright",
        Some(Direction::Up),
        "Say hello to {{ product }}",
        "{{ promise|sentence }} {{ call_to_action|sentence }}",
    ),
    (
        "calm-1",
        "calm",
        Some(Direction::Down),
        "{{ product }}, whenever it suits",
        "{{ promise|sentence }} In your own time: {{ call_to_action|sentence }}",
    ),
    (
        "calm-2",
        "calm",
        Some(Direction::Down),
        "{{ product }}, at your own pace",
        "{{ promise|sentence }}",
    ),
    (
        "practical-1",
        "practical",
        Some(Direction::Down),
        "What {{ product }} is for",
        "{{ promise|sentence }} {{ call_to_action|sentence }}",
    ),
    (
        "plain-1",
        "plain",
        None,
        "{{ product }}",
        "{{ promise|sentence }} {{ call_to_action|sentence }}",
    ),
    (
        "plain-2",
        "plain",
        None,
        "{{ product }}",
        "{{ promise|sentence }}",
    ),
    (
        "plain-short",
        "plain",
        None,
        "{{ product }}",
        "{{ call_to_action|sentence }}",
    ),
];

/// The built-in templates. [`crate::Settings::built_in`] can switch them off.
pub fn built_in() -> Vec<Template> {
    let slug = |text: &str| Slug::new(text).expect("a built-in name is a slug");
    BUILT_IN
        .iter()
        .map(|&(name, tone, direction, headline, body)| Template {
            name: slug(name),
            tone: slug(tone),
            direction,
            intents: Vec::new(),
            tenant: None,
            campaigns: Vec::new(),
            platforms: Vec::new(),
            headline: headline.to_owned(),
            body: body.to_owned(),
        })
        .collect()
}
