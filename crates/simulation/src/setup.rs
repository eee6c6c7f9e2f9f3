//! The settings of a simulation's node, with two campaigns.

use std::path::Path;

use limbic_ad_platforms::{FilePlatform, FileSettings};
use limbic_affect::{BuiltInModel, Engine};
use limbic_affect_stage::AffectStage;
use limbic_deliver::DeliverStage;
use limbic_domain::{Brief, Campaign, Declaration, HumanDuration, Micros, Platform, Secret, Slug, TenantId};

use limbic_metrics::MetricsStage;
use limbic_node::settings::{Settings, Tenant, TenantCampaign};
use limbic_optimize::OptimizeStage;
use limbic_profile::ProfileStage;

/// The secret for pseudonyms. It is public, because no simulated person is real.
pub const SECRET: &str = "simulated people are not real";
/// The file for deliveries, in the data folder.
pub const DELIVERIES: &str = "deliveries.jsonl";

/// The settings of a simulation's node with its data in `folder`. They differ from the defaults because the simulation has
/// an event every nine minutes. [`DIFFERENCES`] lists the differences for the user.
pub fn settings(folder: &Path) -> anyhow::Result<Settings> {
    let mut settings = Settings::default();
    folder.clone_into(&mut settings.data_dir);
    settings.tenants.insert(
        TenantId::default(),
        Tenant {
            pseudonym_secret: Secret::new(SECRET),
            api_keys: Vec::new(),
            reviewer_keys: Vec::new(),
        },
    );
    // A program that contains the model selects it.
    settings.section_mut::<AffectStage>().engine = if BuiltInModel::provided().is_some() {
        Engine::Model
    } else {
        Engine::Lexicon
    };
    let change = &mut settings.section_mut::<ProfileStage>().change;
    change.alpha = 1e-2;
    change.false_moments = 10_000.0;
    change.window = HumanDuration::from_mins(5);
    change.baseline_risk = 0.05;
    change.least_posts = 40;
    change.baseline_half_life = HumanDuration::from_hours(1);
    change.cooldown = HumanDuration::from_mins(1);
    settings.section_mut::<ProfileStage>().person.disorder = HumanDuration::from_secs(2);
    let optimize = settings.section_mut::<OptimizeStage>();
    optimize.rewards.click_window = HumanDuration::from_mins(5);
    optimize.disorder = HumanDuration::from_secs(10);
    // One round covers minutes of simulated time, so its results are late by the clock of the next round.
    settings.section_mut::<MetricsStage>().lateness = HumanDuration::from_days(1);
    settings.stream.idle_after = HumanDuration::from_millis(250);
    let deliver = settings.section_mut::<DeliverStage>();
    deliver.tick = HumanDuration::from_millis(20);
    // Two seconds of the wall clock are minutes of the simulation.
    deliver.second_look = HumanDuration::ZERO;
    let deliveries = FileSettings {
        path: folder.join(DELIVERIES),
        ..FileSettings::default()
    };
    settings
        .entries
        .insert::<FilePlatform>(Slug::new("file")?, deliveries);
    for (id, product, promise, call, subjects) in [
        (
            "corner-bakery",
            "Corner Bakery",
            "Bread that is warm when you come home.",
            "Reserve a loaf",
            &["football", "weather", "market"][..],
        ),
        (
            "night-ferry",
            "Night Ferry",
            "Across the river until two in the morning.",
            "Book a seat",
            &["football", "music", "weather"][..],
        ),
    ] {
        settings.campaigns.push(TenantCampaign {
            tenant: TenantId::default(),
            campaign: Campaign {
                brands: Vec::new(),
                id: Slug::new(id)?,
                brief: Brief {
                    product: product.to_owned(),
                    promise: promise.to_owned(),
                    call_to_action: call.to_owned(),
                    link: format!("https://{id}.example/"),
                    ..Brief::default()
                },
                subjects: subjects
                    .iter()
                    .map(|subject| Slug::new(subject))
                    .collect::<Result<_, _>>()?,
                direction: None,
                platforms: vec![Platform {
                    name: Slug::new("file")?,
                    headline: 60,
                    body: 180,
                }],
                bid: Micros(200_000),
                review: None,
                declared: Declaration {
                    advertiser: Some(product.to_owned()),
                    ..Declaration::default()
                },
            },
        });
    }
    Ok(settings)
}

/// The values in [`settings`] that differ from the defaults, in one line.
pub const DIFFERENCES: &str = "profile.change.alpha = 0.01, false_moments = 10000, window 5 min, baseline_risk = 0.05, least_posts = 40, baseline half-life 1 h, cooldown 60 s; \
     rewards.click_window 5 min";
