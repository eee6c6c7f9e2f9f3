//! Why an audience got an ad, or none.

use limbic_domain::{
    AudienceId, AudiencePhase, AudienceStatus, Campaign, Decision, DecisionResult, Direction, LastMoment,
    MomentKind, TenantId, Utc,
};
use limbic_views::{Kind, Store};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::decision::{self, DeliveryView};
use super::words::{clock, percent, plural, signed, up_or_down};
use super::{ExplainError, Explanation, Tables};

/// What a campaign made of the last moment of an audience.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WantedBy {
    /// The campaign.
    pub campaign: String,
    /// Why it did not want the moment. Absent if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_wanted: Option<String>,
    /// The id of its decision, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// The headline of the ad that was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<String>,
    /// The rule that withheld every ad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withheld_by: Option<String>,
    /// The rule's reason, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What became of the ad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeliveryView>,
}

/// An audience as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AudienceView {
    /// The time of its newest post.
    pub at: Utc,
    /// Its state.
    #[serde(flatten)]
    pub status: AudienceStatus,
    /// Why no ad runs for its subject, if it is on hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<String>,
    /// What each campaign made of the last moment.
    pub campaigns: Vec<WantedBy>,
    /// All this in sentences.
    pub sentences: Vec<String>,
}

/// The view of a row of the kind [`Kind::AudienceStatus`]. `None` if the row cannot be read.
pub(crate) async fn audience_view(
    store: &Store,
    tables: &Tables,
    tenant: &TenantId,
    row: Value,
) -> Result<Option<AudienceView>, ExplainError> {
    let at = row["at"].as_str().and_then(|at| at.parse().ok());
    let (Some(at), Ok(status)) = (at, serde_json::from_value::<AudienceStatus>(row)) else {
        return Ok(None);
    };
    let mut campaigns = Vec::new();
    if let Some(moment) = &status.last_moment {
        for campaign in &tables.campaigns {
            campaigns.push(wanted_by(store, tenant, campaign, &status.audience, moment).await?);
        }
    }
    let hold = tables.hold_on(status.audience.subject());
    let hold = hold
        .filter(|hold| hold.covers(at))
        .map(limbic_domain::Hold::reason);
    let mut view = AudienceView {
        at,
        status,
        hold,
        campaigns,
        sentences: Vec::new(),
    };
    view.sentences = sentences(&view, tables.campaigns.is_empty());
    Ok(Some(view))
}

pub(super) async fn explain(
    store: &Store,
    tables: &Tables,
    tenant: &TenantId,
    audience: &AudienceId,
) -> Result<Explanation, ExplainError> {
    let row = store
        .by_id(tenant, Kind::AudienceStatus, audience.as_str())
        .await?;
    let view = match row {
        Some(row) => audience_view(store, tables, tenant, row).await?,
        None => None,
    };
    let view = view.ok_or_else(|| {
        let subject = audience.subject();
        ExplainError::NotFound(format!(
            "no post counted for the audience `{audience}` yet. A post counts if it names the subject `{subject}` \
             (`subjects` of the post, or a word of [affect.subjects] {subject} = […]), and its author is in the segment \
             `{}`. A post counts once event time has passed it: a later post, or POST /v1/watermark, moves event time",
            audience.segment()
        ))
    })?;
    Ok(Explanation {
        of: audience.to_string(),
        kind: "audience".to_owned(),
        sentences: view.sentences.clone(),
        facts: json!(view),
    })
}

/// Why a campaign does not want a moment in this direction; `None` if it does.
fn not_wanted(campaign: &Campaign, audience: &AudienceId, moment: &LastMoment) -> Option<String> {
    if moment.kind == MomentKind::Return {
        return Some("the mood came back to usual, and no ad is made for that".to_owned());
    }
    let subject = audience.subject();
    if !campaign.subjects.is_empty() && campaign.subjects.iter().all(|wanted| wanted.as_str() != subject) {
        let wanted: Vec<&str> = campaign
            .subjects
            .iter()
            .map(limbic_domain::Slug::as_str)
            .collect();
        return Some(format!(
            "it wants the subjects {}, and not {subject}",
            wanted.join(", ")
        ));
    }
    let wanted = campaign.direction.filter(|wanted| *wanted != moment.direction)?;
    Some(format!(
        "it wants moods that go {}, and this one went {}",
        up_or_down(wanted),
        up_or_down(moment.direction)
    ))
}

async fn wanted_by(
    store: &Store,
    tenant: &TenantId,
    campaign: &Campaign,
    audience: &AudienceId,
    moment: &LastMoment,
) -> Result<WantedBy, ExplainError> {
    let mut wanted = WantedBy {
        campaign: campaign.id.to_string(),
        not_wanted: not_wanted(campaign, audience, moment),
        decision: None,
        chosen: None,
        withheld_by: None,
        reason: None,
        delivery: None,
    };
    let id = Decision::id_of(&campaign.id, &moment.id);
    let Some(row) = store.by_id(tenant, Kind::Decision, &id).await? else {
        return Ok(wanted);
    };
    // The campaign may have been another one when it was decided.
    wanted.not_wanted = None;
    wanted.decision = Some(id.clone());
    let Ok(decided) = serde_json::from_value::<Decision>(row) else {
        return Ok(wanted);
    };
    match decided.result {
        DecisionResult::Chosen(chosen) => {
            let platform = chosen.creative.rendering.platform.clone();
            wanted.chosen = Some(chosen.creative.rendering.headline);
            wanted.delivery = Some(decision::delivery(store, tenant, &id, &platform).await?);
        }
        DecisionResult::Suppressed(suppressed) => {
            wanted.withheld_by = Some(suppressed.rule);
            wanted.reason = Some(suppressed.reason);
        }
        DecisionResult::HeldOut(held_out) => {
            wanted.withheld_by = Some("hold_out".to_owned());
            let people = plural(held_out.people.len() as u64, "person gets", "people get");
            wanted.reason = Some(format!("{people} no ad, for comparison."));
        }
    }
    Ok(wanted)
}

/// The sentences about an audience.
fn sentences(view: &AudienceView, is_without_campaigns: bool) -> Vec<String> {
    let status = &view.status;
    let mut said = vec![format!(
        "{} since {}, the newest of {}.",
        plural(status.posts, "post", "posts"),
        clock(status.since),
        clock(view.at)
    )];
    said.extend(of_phase(status));
    said.extend(of_hostility(status));
    match &status.last_moment {
        None => said.push("There was no moment yet, so no campaign was asked.".to_owned()),
        Some(moment) => {
            said.push(of_moment(moment));
            said.extend(view.campaigns.iter().map(of_campaign));
        }
    }
    if is_without_campaigns {
        said.push("There is no campaign: add [[campaigns]] to the settings file.".to_owned());
    }
    said.extend(of_repeats(status));
    if let Some(hold) = &view.hold {
        said.push(format!("The subject is on hold. {hold}"));
    }
    said
}

/// The shares of copies and of posts by programs, if one of them is at least one in a hundred.
fn of_repeats(status: &AudienceStatus) -> Option<String> {
    let AudienceStatus {
        copied, automated, ..
    } = *status;
    (copied >= 0.01 || automated >= 0.01).then(|| {
        format!(
            "Of its recent posts, {} nearly repeat another text and {} are by accounts that post like programs: a text counts once, and \
             such an account a quarter.",
            percent(copied),
            percent(automated)
        )
    })
}

fn of_phase(status: &AudienceStatus) -> Vec<String> {
    let now = format!(
        "Its mean valence is {}, and {} is usual.",
        signed(status.mood.valence),
        signed(status.baseline)
    );
    let evidence = |what: &str| {
        format!(
            "The evidence for {what} is {} of what a moment needs, after {}; it points {}.",
            percent(status.evidence),
            plural(status.compared, "compared post", "compared posts"),
            up_or_down(status.direction)
        )
    };
    match status.phase {
        AudiencePhase::Learning { posts, needed } => vec![format!(
            "It is not known yet what is usual: {posts} of {needed} posts are there. Until then no moment can be found \
             (profile.change.least_posts). Copies, and further posts of one person within profile.change.window, do not count."
        )],
        AudiencePhase::Quiet { until } => vec![
            now,
            format!(
                "A change was found just before: no further one is looked for until {} (profile.change.cooldown).",
                clock(until)
            ),
        ],
        AudiencePhase::Watching => vec![now, evidence("a change")],
        AudiencePhase::Changed { since } => vec![
            now,
            format!("Since {} its mood is another than the usual one.", clock(since)),
            evidence("a further change"),
        ],
    }
}

fn of_hostility(status: &AudienceStatus) -> Option<String> {
    let (offence, hate) = (status.mood.offence, status.mood.hate);
    (offence > 0.0 || hate > 0.0).then(|| {
        format!(
            "Of its posts lately, {} were read as offensive and {} as hateful (safety.offence and safety.hate say from where on no ad runs).",
            percent(offence),
            percent(hate)
        )
    })
}

fn of_moment(moment: &LastMoment) -> String {
    let how = match (moment.kind, moment.direction) {
        (MomentKind::Return, _) => "the mood came back to usual",
        (MomentKind::Change, Direction::Up) => "the mood went up",
        (MomentKind::Change, Direction::Down) => "the mood went down",
    };
    format!(
        "The last moment was at {}: {how}, from {} to {} ({}).",
        clock(moment.at),
        signed(moment.before),
        signed(moment.after),
        plural(moment.posts, "post", "posts")
    )
}

fn of_campaign(wanted: &WantedBy) -> String {
    let campaign = &wanted.campaign;
    if let Some(why) = &wanted.not_wanted {
        return format!("Campaign `{campaign}` did not want it: {why}.");
    }
    if let (Some(rule), Some(reason)) = (&wanted.withheld_by, &wanted.reason) {
        return format!("Campaign `{campaign}` wanted it, and the rule `{rule}` withheld its ads: {reason}");
    }
    match (&wanted.chosen, &wanted.delivery) {
        (Some(headline), Some(delivery)) => {
            format!(
                "Campaign `{campaign}` wanted it and chose “{headline}”. {}",
                delivery.sentence()
            )
        }
        _ => {
            format!("Campaign `{campaign}` wanted it. There is no decision yet: it may still be on its way.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(phase: AudiencePhase, last_moment: Option<LastMoment>) -> AudienceView {
        AudienceView {
            at: Utc::from_millis(60_000),
            status: AudienceStatus {
                audience: "everyone:football".parse().unwrap(),
                posts: 1_200,
                since: Utc::from_millis(0),
                mood: limbic_domain::MoodSummary {
                    valence: 0.31,
                    arousal: 0.5,
                    emotions: limbic_domain::Emotions::new(),
                    distress: 0.0,
                    offence: 0.0,
                    hate: 0.0,
                    weight: 9.0,
                },
                copied: 0.4,
                automated: 0.004,
                baseline: -0.02,
                phase,
                evidence: 0.001_2,
                direction: Direction::Up,
                compared: 40,
                last_moment,
            },
            hold: None,
            campaigns: Vec::new(),
            sentences: Vec::new(),
        }
    }

    fn moment(kind: MomentKind) -> LastMoment {
        LastMoment {
            id: "m".into(),
            at: Utc::from_millis(50_000),
            kind,
            direction: Direction::Up,
            before: -0.02,
            after: 0.4,
            posts: 31,
        }
    }

    fn campaign(value: &Value) -> Campaign {
        let mut all = json!({"id": "spring", "platforms": [],
            "brief": {"product": "p", "promise": "", "call_to_action": "", "link": ""}});
        for (name, value) in value.as_object().unwrap() {
            all[name] = value.clone();
        }
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn an_audience_without_a_moment_says_what_is_missing() {
        let learning = view(
            AudiencePhase::Learning {
                posts: 12,
                needed: 100,
            },
            None,
        );
        let said = sentences(&learning, true).join(" ");
        assert!(said.contains("12 of 100 posts"), "{said}");
        assert!(
            said.contains("no campaign was asked") && said.contains("[[campaigns]]"),
            "{said}"
        );
        let watching = view(AudiencePhase::Watching, None);
        let said = sentences(&watching, false).join(" ");
        assert!(
            said.contains("mean valence is +0.31, and −0.02 is usual"),
            "{said}"
        );
        assert!(
            said.contains("0.12 % of what a moment needs, after 40 compared posts; it points up"),
            "{said}"
        );
        assert!(
            !said.contains("[[campaigns]]") && !said.contains("offensive"),
            "{said}"
        );
        assert!(
            said.contains(
                "40 % nearly repeat another text and 0.40 % are by accounts that post like programs"
            ),
            "{said}"
        );
        let mut hostile = watching;
        hostile.status.mood.offence = 0.25;
        let said = sentences(&hostile, false).join(" ");
        assert!(
            said.contains("25 % were read as offensive and 0 % as hateful"),
            "{said}"
        );
    }

    #[test]
    fn a_moment_says_its_means_and_what_each_campaign_made_of_it() {
        let mut view = view(
            AudiencePhase::Changed {
                since: Utc::from_millis(50_000),
            },
            Some(moment(MomentKind::Change)),
        );
        let wanted = |campaign: &str| WantedBy {
            campaign: campaign.into(),
            not_wanted: None,
            decision: None,
            chosen: None,
            withheld_by: None,
            reason: None,
            delivery: None,
        };
        view.campaigns = vec![
            WantedBy {
                not_wanted: Some("it wants the subjects music, and not football".into()),
                ..wanted("a")
            },
            WantedBy {
                withheld_by: Some("no_person_left".into()),
                reason: Some("Nobody consented.".into()),
                ..wanted("b")
            },
            WantedBy {
                chosen: Some("Hot popcorn".into()),
                delivery: Some(DeliveryView::Waiting {
                    platform: "shop".into(),
                    problem: Some("401: no".into()),
                }),
                ..wanted("c")
            },
            wanted("d"),
        ];
        let said = sentences(&view, false).join(" ");
        for part in [
            "the mood went up, from −0.02 to +0.40 (31 posts)",
            "`a` did not want it: it wants the subjects music",
            "the rule `no_person_left` withheld its ads: Nobody consented.",
            "chose “Hot popcorn”. The ad waits for `shop`, which answered: 401: no.",
            "`d` wanted it. There is no decision yet",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }

    #[test]
    fn a_campaign_wants_its_subjects_and_its_direction() {
        let football: AudienceId = "everyone:football".parse().unwrap();
        let up = moment(MomentKind::Change);
        let why = |fields: Value| not_wanted(&campaign(&fields), &football, &up);
        assert_eq!(why(json!({})), None);
        assert_eq!(why(json!({"subjects": ["football"], "direction": "up"})), None);
        assert!(why(json!({"subjects": ["music"]})).unwrap().contains("music"));
        assert!(why(json!({"direction": "down"})).unwrap().contains("go down"));
        let back = moment(MomentKind::Return);
        assert!(
            not_wanted(&campaign(&json!({})), &football, &back)
                .unwrap()
                .contains("came back")
        );
    }
}
