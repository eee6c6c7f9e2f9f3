//! `limbic check`.

use std::path::Path;
use std::process::ExitCode;

use limbic_node::{Finding, Settings, Verdict};

use crate::cli::Common;

pub fn run(common: &Common, deep: bool) -> anyhow::Result<ExitCode> {
    let mut findings = Vec::new();
    match common.settings(&[]) {
        Err(error) => findings.push(Finding::new("settings", Err(error))),
        Ok(settings) => {
            let file = common.overrides().file();
            findings.push(Finding::new("settings", Ok(summary(&settings, file.as_deref()))));
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()?;
            findings.extend(limbic_node::check(&settings, runtime.handle()));
            if deep {
                findings.extend(limbic_node::check_deep(&settings, runtime.handle()));
            }
        }
    }
    report(&findings)?;
    let has_failed = findings
        .iter()
        .any(|finding| matches!(finding.verdict, Verdict::Wrong(_)));
    Ok(if has_failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn summary(settings: &Settings, file: Option<&Path>) -> String {
    let file = file.map_or_else(
        || "no settings file (--config FILE or LIMBIC_CONFIG names one)".to_owned(),
        |file| file.display().to_string(),
    );
    format!(
        "{file}; {} campaigns, {} ad platforms",
        settings.campaigns.len(),
        settings.entries.of("ad_platforms").count()
    )
}

fn report(findings: &[Finding]) -> std::io::Result<()> {
    for finding in findings {
        match &finding.verdict {
            Verdict::Fine(detail) => say!("  ok    {:<36} {detail}", finding.what)?,
            Verdict::Note(detail) => say!("  note  {:<36} {detail}", finding.what)?,
            Verdict::Wrong(error) => say!("  FAIL  {:<36} {error:#}", finding.what)?,
        }
    }
    Ok(())
}
