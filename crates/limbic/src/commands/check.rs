//! `limbic check`.

use std::process::ExitCode;

use limbic_node::{Finding, Settings};

use crate::cli::Common;

pub fn run(common: &Common) -> anyhow::Result<ExitCode> {
    let mut findings = Vec::new();
    match common.settings(&[]) {
        Err(error) => findings.push(Finding {
            what: "settings".into(),
            result: Err(error),
        }),
        Ok(settings) => {
            findings.push(Finding {
                what: "settings".into(),
                result: Ok(summary(&settings)),
            });
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()?;
            findings.extend(limbic_node::check(&settings, runtime.handle()));
        }
    }
    report(&findings)?;
    let has_failed = findings.iter().any(|finding| finding.result.is_err());
    Ok(if has_failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn summary(settings: &Settings) -> String {
    format!(
        "{} campaigns, {} ad platforms",
        settings.campaigns.len(),
        settings.entries.of("ad_platforms").count()
    )
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
