//! Why a decision is what it is, and what became of its ad.

use std::collections::BTreeMap;

use limbic_domain::{
    Decision, DecisionResult, Outcome, OutcomeKind, PlatformProblem, PlatformStatus, Removal, Slug, TenantId,
    Utc,
};
use limbic_views::{Kind, Store};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::words::{clock, percent, plural};
use super::{ExplainError, Explanation};

/// Most outcomes of a decision that are read.
const MOST: u32 = 1_000;

/// What became of an ad that was chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum DeliveryView {
    /// It waits for its platform.
    Waiting {
        /// The ad platform.
        platform: String,
        /// What the platform answered last, if it does not accept deliveries now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        problem: Option<String>,
    },
    /// The platform has it.
    Delivered {
        /// The ad platform.
        platform: String,
        /// When, by the node's clock.
        at: Utc,
    },
    /// The platform refused it, or it was given up.
    Refused {
        /// The ad platform.
        platform: String,
        /// Why.
        reason: String,
    },
    /// It was not sent, because its subject was put on hold.
    Withdrawn {
        /// The ad platform.
        platform: String,
        /// Why.
        reason: String,
    },
    /// The platform had it and was told to stop showing it.
    Paused {
        /// The ad platform.
        platform: String,
        /// Why.
        reason: String,
    },
}

impl DeliveryView {
    pub(super) fn sentence(&self) -> String {
        match self {
            Self::Waiting {
                platform,
                problem: None,
            } => format!("The ad waits for `{platform}`."),
            Self::Waiting {
                platform,
                problem: Some(problem),
            } => {
                format!("The ad waits for `{platform}`, which answered: {problem}.")
            }
            Self::Delivered { platform, at } => {
                format!("It was delivered to `{platform}` at {}.", clock(*at))
            }
            Self::Refused { platform, reason } => format!("`{platform}` refused it: {reason}."),
            Self::Withdrawn { reason, .. } => format!("It was withdrawn before it was sent: {reason}"),
            Self::Paused { platform, reason } => {
                format!("`{platform}` was told to stop showing it: {reason}")
            }
        }
    }
}

/// The deliveries of a tenant to one ad platform, over all partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlatformView {
    /// The ad platform.
    pub platform: String,
    /// When these numbers last changed, by the node's clock.
    pub at: Utc,
    /// As in [`PlatformStatus::waiting`].
    pub waiting: u64,
    /// As in [`PlatformStatus::delivered`].
    pub delivered: u64,
    /// As in [`PlatformStatus::refused`].
    pub refused: u64,
    /// As in [`PlatformStatus::withdrawn`].
    pub withdrawn: u64,
    /// As in [`PlatformStatus::dead`].
    pub dead: u64,
    /// The latest problem of a partition whose deliveries wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<PlatformProblem>,
    /// The last refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_refusal: Option<PlatformProblem>,
}

/// The deliveries of a tenant, by ad platform.
pub type PlatformViews = BTreeMap<String, PlatformView>;

/// The deliveries to every ad platform, or to one.
pub async fn platform_views(
    store: &Store,
    tenant: &TenantId,
    platform: Option<&str>,
) -> Result<PlatformViews, ExplainError> {
    let mut views = PlatformViews::new();
    let mut after = None;
    loop {
        let page = store
            .list(tenant, Kind::PlatformStatus, platform, after, 1_000)
            .await?;
        for row in page.items {
            let at = row["at"].as_str().and_then(|at| at.parse().ok());
            if let (Some(at), Ok(status)) = (at, serde_json::from_value::<PlatformStatus>(row)) {
                add(&mut views, at, status);
            }
        }
        after = match page.next {
            Some(next) => Some(next.parse()?),
            None => return Ok(views),
        };
    }
}

fn add(views: &mut PlatformViews, at: Utc, status: PlatformStatus) {
    let name = status.platform.to_string();
    let view = views.entry(name.clone()).or_insert_with(|| PlatformView {
        platform: name,
        at,
        waiting: 0,
        delivered: 0,
        refused: 0,
        withdrawn: 0,
        dead: 0,
        problem: None,
        last_refusal: None,
    });
    view.at = view.at.max(at);
    view.waiting += status.waiting;
    view.delivered += status.delivered;
    view.refused += status.refused;
    view.withdrawn += status.withdrawn;
    view.dead += status.dead;
    let latest = |known: &mut Option<PlatformProblem>, new: Option<PlatformProblem>| {
        if let Some(new) = new
            && known.as_ref().is_none_or(|known| known.at < new.at)
        {
            *known = Some(new);
        }
    };
    latest(&mut view.problem, status.problem.filter(|_| status.waiting > 0));
    latest(&mut view.last_refusal, status.last_refusal);
}

async fn outcomes(
    store: &Store,
    tenant: &TenantId,
    decision: &str,
) -> Result<Vec<(Utc, Outcome)>, ExplainError> {
    let page = store
        .list(tenant, Kind::Outcome, Some(decision), None, MOST)
        .await?;
    let read = |row: serde_json::Value| {
        let at = row["at"].as_str()?.parse().ok()?;
        Some((at, serde_json::from_value(row).ok()?))
    };
    Ok(page.items.into_iter().filter_map(read).collect())
}

/// What became of the ad of a decision.
pub(super) async fn delivery(
    store: &Store,
    tenant: &TenantId,
    decision: &str,
    platform: &Slug,
) -> Result<DeliveryView, ExplainError> {
    let outcomes = outcomes(store, tenant, decision).await?;
    if let Some(ended) = ended(&outcomes, platform) {
        return Ok(ended);
    }
    let views = platform_views(store, tenant, Some(platform.as_str())).await?;
    let problem = views.get(platform.as_str()).and_then(|view| view.problem.clone());
    Ok(DeliveryView::Waiting {
        platform: platform.to_string(),
        problem: problem.map(|problem| problem.detail),
    })
}

/// What the outcomes say of the delivery; `None` while it waits.
fn ended(outcomes: &[(Utc, Outcome)], platform: &Slug) -> Option<DeliveryView> {
    let of_kind = |kind| outcomes.iter().find(move |(_, outcome)| outcome.kind == kind);
    let platform = platform.to_string();
    let reason = |outcome: &Outcome| outcome.detail.clone().unwrap_or_default();
    if let Some((_, outcome)) = of_kind(OutcomeKind::Paused) {
        return Some(DeliveryView::Paused {
            platform,
            reason: reason(outcome),
        });
    }
    if let Some((_, outcome)) = of_kind(OutcomeKind::Withdrawn) {
        return Some(DeliveryView::Withdrawn {
            platform,
            reason: reason(outcome),
        });
    }
    if let Some((_, outcome)) = of_kind(OutcomeKind::Refused) {
        return Some(DeliveryView::Refused {
            platform,
            reason: reason(outcome),
        });
    }
    let (at, outcome) = of_kind(OutcomeKind::Delivered)?;
    let at = outcome.stated_at.unwrap_or(*at);
    Some(DeliveryView::Delivered { platform, at })
}

pub(super) async fn explain(store: &Store, tenant: &TenantId, id: &str) -> Result<Explanation, ExplainError> {
    let row = store.by_id(tenant, Kind::Decision, id).await?;
    let row = row.ok_or_else(|| {
        ExplainError::NotFound(format!(
            "there is no decision `{id}`: a new decision appears after about a second, and views.keep.decisions may have deleted an old one"
        ))
    })?;
    let at: Option<Utc> = row["at"].as_str().and_then(|at| at.parse().ok());
    let decision: Decision = serde_json::from_value(row.clone())
        .map_err(|error| ExplainError::NotFound(format!("the decision `{id}` cannot be read: {error}")))?;
    let when = at.map_or(String::new(), |at| format!(" of {}", clock(at)));
    let mut sentences = vec![format!(
        "The decision of campaign `{}` about the audience `{}`, after its moment{when}.",
        decision.campaign, decision.audience
    )];
    let mut delivery_facts = None;
    match &decision.result {
        DecisionResult::Suppressed(suppressed) => {
            sentences.push(format!(
                "No ad runs: rule `{}`. {}",
                suppressed.rule, suppressed.reason
            ));
        }
        DecisionResult::HeldOut(held_out) => sentences.push(format!(
            "{} no ad, so that what ads add can be measured. The decision beside it is `{}`.",
            plural(held_out.people.len() as u64, "person gets", "people get"),
            held_out.beside
        )),
        DecisionResult::Chosen(chosen) => {
            let rendering = &chosen.creative.rendering;
            sentences.push(format!(
                "It chose “{}” (tone {}) with a probability of {}, one of {}, for {}.",
                rendering.headline,
                chosen.creative.tone,
                percent(chosen.propensity.get()),
                plural(chosen.candidates.len() as u64, "ad", "ads"),
                plural(chosen.people.len() as u64, "person", "people")
            ));
            sentences.push(format!("The policy `{}` chose.", chosen.policy.name));
            let outcomes = outcomes(store, tenant, id).await?;
            let delivery = delivery(store, tenant, id, &rendering.platform).await?;
            sentences.push(delivery.sentence());
            sentences.push(of_outcomes(&outcomes));
            delivery_facts = Some(delivery);
        }
    }
    sentences.extend(decision.removals.iter().map(of_removal));
    Ok(Explanation {
        of: id.to_owned(),
        kind: "decision".to_owned(),
        sentences,
        facts: json!({"decision": row, "delivery": delivery_facts}),
    })
}

/// What people did, in a sentence.
fn of_outcomes(outcomes: &[(Utc, Outcome)]) -> String {
    let count = |kind| {
        let of_kind = outcomes
            .iter()
            .filter(|(_, outcome)| outcome.kind == kind && !outcome.withdrawn);
        of_kind.map(|(_, outcome)| outcome.count).sum::<u64>()
    };
    let said = [
        (OutcomeKind::Impression, "impression", "impressions"),
        (OutcomeKind::Click, "click", "clicks"),
        (OutcomeKind::Conversion, "conversion", "conversions"),
        (OutcomeKind::Dismissal, "dismissal", "dismissals"),
    ];
    let said: Vec<String> = said
        .into_iter()
        .map(|(kind, one, many)| (count(kind), one, many))
        .filter(|(count, ..)| *count > 0)
        .map(|(count, one, many)| plural(count, one, many))
        .collect();
    if said.is_empty() {
        "No impression or click was reported yet.".to_owned()
    } else {
        format!("Reported so far: {}.", said.join(", "))
    }
}

/// What a rule removed, in a sentence without the names of people.
fn of_removal(removal: &Removal) -> String {
    let count = |prefix: &str| {
        removal
            .removed
            .iter()
            .filter(|removed| removed.starts_with(prefix))
            .count() as u64
    };
    let (people, ads) = (count("person/"), count("creative/"));
    let templates = count("template/");
    let mut what = Vec::new();
    for (count, one, many) in [
        (people, "person", "people"),
        (ads, "ad", "ads"),
        (templates, "template", "templates"),
    ] {
        if count > 0 {
            what.push(plural(count, one, many));
        }
    }
    format!(
        "The rule `{}` removed {}: {}",
        removal.rule,
        what.join(" and "),
        removal.reason
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(partition: u32, waiting: u64, problem: Option<i64>) -> PlatformStatus {
        PlatformStatus {
            platform: "shop".parse().unwrap(),
            partition,
            waiting,
            delivered: 10,
            refused: 1,
            withdrawn: 0,
            dead: 2,
            problem: problem.map(|at| PlatformProblem {
                at: Utc::from_millis(at),
                blocked: true,
                detail: format!("401 at {at}"),
            }),
            last_refusal: None,
        }
    }

    #[test]
    fn the_numbers_of_partitions_add_up_and_only_waiting_deliveries_have_a_problem() {
        let mut views = PlatformViews::new();
        add(&mut views, Utc::from_millis(5), status(0, 3, Some(4)));
        add(&mut views, Utc::from_millis(7), status(1, 2, Some(6)));
        add(&mut views, Utc::from_millis(6), status(2, 0, Some(9)));
        let view = &views["shop"];
        assert_eq!(
            (view.waiting, view.delivered, view.refused, view.dead),
            (5, 30, 3, 6)
        );
        assert_eq!(view.at, Utc::from_millis(7));
        assert_eq!(view.problem.as_ref().unwrap().detail, "401 at 6");
    }

    #[test]
    fn a_delivery_says_when_it_was_delivered_and_a_later_pause_counts_more() {
        let shop: Slug = "shop".parse().unwrap();
        let delivered = Outcome {
            stated_at: Some(Utc::from_millis(90)),
            ..Outcome::new("d", OutcomeKind::Delivered, "deliver/shop")
        };
        let mut outcomes = vec![(Utc::from_millis(5), delivered)];
        let at = Utc::from_millis(90);
        assert_eq!(
            ended(&outcomes, &shop),
            Some(DeliveryView::Delivered {
                platform: "shop".into(),
                at
            })
        );
        let paused = Outcome {
            detail: Some("on hold".into()),
            ..Outcome::new("d", OutcomeKind::Paused, "pause/shop")
        };
        outcomes.push((Utc::from_millis(6), paused));
        assert!(matches!(
            ended(&outcomes, &shop),
            Some(DeliveryView::Paused { .. })
        ));
        assert_eq!(ended(&[], &shop), None);
    }

    #[test]
    fn a_removal_names_no_person() {
        let removal = Removal {
            rule: "consent".into(),
            reason: "They did not consent.".into(),
            removed: vec!["person/0123".into(), "person/4567".into(), "creative/c".into()],
        };
        let said = of_removal(&removal);
        assert_eq!(
            said,
            "The rule `consent` removed 2 people and 1 ad: They did not consent."
        );
    }
}
