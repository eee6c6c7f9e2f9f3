//! `limbic check`.

use std::process::ExitCode;

use anyhow::Context as _;
use limbic_domain::{TenantId, Utc};
use limbic_ingest::SharedIds;
use limbic_metrics::{Influx, InfluxOptions, Query, SeriesStore as _};
use limbic_views::Store;

use crate::cli::Common;
use limbic_node as node;
use limbic_node::{Settings, registry};

/// One check and its result.
struct Finding {
    what: String,
    result: Result<String, anyhow::Error>,
}

pub fn run(common: &Common) -> anyhow::Result<ExitCode> {
    let mut findings = Vec::new();
    let settings = match common.settings(&[]) {
        Ok(settings) => {
            let of = format!(
                "{} campaigns, {} ad platforms",
                settings.campaigns.len(),
                settings.ad_platforms.len()
            );
            findings.push(Finding {
                what: "settings".into(),
                result: Ok(of),
            });
            settings
        }
        Err(error) => {
            report(&[Finding {
                what: "settings".into(),
                result: Err(error),
            }])?;
            return Ok(ExitCode::FAILURE);
        }
    };
    findings.extend(node::unshared(&settings).into_iter().map(|one| Finding {
        what: one.setting,
        result: Err(anyhow::anyhow!("{}: {}", one.problem, one.remedy)),
    }));
    findings.push(Finding {
        what: format!("log {}", settings.log),
        result: check_log(&settings),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    findings.push(Finding {
        what: format!("view {}", settings.view),
        result: runtime.block_on(check_view(&settings)),
    });
    findings.push(Finding {
        what: format!("series {}", settings.series),
        result: runtime.block_on(check_series(&settings)),
    });
    if !settings.seen.is_embedded() {
        let result = SharedIds::connect(settings.seen.reveal(), "limbic:check:", 1)
            .map(|_| "answers".to_owned())
            .map_err(|error| anyhow::anyhow!("{error}: is Redis running there?"));
        findings.push(Finding {
            what: format!("seen {}", settings.seen),
            result,
        });
    }
    for stage in registry::stages() {
        findings.push(Finding {
            what: format!("stage {}", stage.name),
            result: node::check_stage(stage, &settings).map(|()| "settings are valid".to_owned()),
        });
    }
    findings.push(Finding {
        what: "ad platforms".into(),
        result: limbic_ad_platforms::check(&settings.ad_platforms)
            .map(|()| "settings are valid".to_owned())
            .map_err(anyhow::Error::from),
    });
    let failed = findings.iter().any(|finding| finding.result.is_err());
    report(&findings)?;
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn check_log(settings: &Settings) -> anyhow::Result<String> {
    let log = node::connect(settings)?;
    let there = log.topics()?;
    // A check creates nothing: missing topics are left to `run`.
    let wanted: Vec<_> = node::topic_specs(settings)
        .into_iter()
        .filter(|spec| there.iter().any(|topic| topic.name == spec.name))
        .collect();
    let as_wanted = log.ensure_topics(&wanted);
    log.close()?;
    as_wanted.context("the topics differ from the settings")?;
    Ok(if there.is_empty() {
        "answers; no topics yet (`limbic run` and `limbic topics create` create them)".to_owned()
    } else {
        format!("answers; {} topics", there.len())
    })
}

async fn check_view(settings: &Settings) -> anyhow::Result<String> {
    if settings.view.is_embedded() {
        return Ok("a file in the data folder".to_owned());
    }
    Store::postgres(settings.view.reveal()).await?.ping().await?;
    Ok("answers".to_owned())
}

/// Asks for a second of 1970: an answer shows that address, token, organisation and bucket are right.
async fn check_series(settings: &Settings) -> anyhow::Result<String> {
    if matches!(settings.series.as_str(), "" | "embedded") {
        return Ok("a file in the data folder".to_owned());
    }
    let store = Influx::new(InfluxOptions {
        url: settings.series.clone(),
        org: settings.influxdb.org.clone(),
        bucket: settings.influxdb.bucket.clone(),
        token: settings.influxdb.token.reveal().to_owned(),
    })?;
    let query = Query {
        tenant: TenantId::default(),
        measurement: "emotion_all".to_owned(),
        tags: std::collections::BTreeMap::new(),
        fields: vec!["count".to_owned()],
        from: Utc::from_millis(0),
        to: Utc::from_millis(1_000),
        step: 1_000,
    };
    store.sums(&query).await?;
    Ok("answers".to_owned())
}

fn report(findings: &[Finding]) -> std::io::Result<()> {
    for finding in findings {
        match &finding.result {
            Ok(detail) => say!("  ok    {:<36} {detail}", finding.what)?,
            Err(error) => say!("  FAIL  {:<36} {error:#}", finding.what)?,
        }
    }
    Ok(())
}
