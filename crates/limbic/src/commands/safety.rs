//! `limbic safety`.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use limbic_domain::{Decision, DecisionResult, Slug, SuppressedBy, Transparency};
use limbic_safety::{AdText, Protection, RULES, Rule, Rules, SafetyStage, judge_ad, rule};
use serde::Serialize;
use serde_json::{Value, json};

use super::ask::Source;
use crate::cli::{Common, SafetyCommand, SafetyExplainArgs, SafetyTestArgs};

pub fn run(common: &Common, command: &SafetyCommand) -> anyhow::Result<ExitCode> {
    match command {
        SafetyCommand::Rules { json, markdown } => rules(*json, *markdown),
        SafetyCommand::Test(args) => test(common, args),
        SafetyCommand::Explain(args) => explain(common, args),
    }
}

/// Prints all rules.
fn rules(as_json: bool, as_markdown: bool) -> anyhow::Result<ExitCode> {
    if as_json {
        let all: Vec<Value> = RULES.iter().map(of_rule).collect();
        say!("{}", serde_json::to_string_pretty(&all)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    if as_markdown {
        say!("{}", limbic_safety::page().trim_end())?;
        return Ok(ExitCode::SUCCESS);
    }
    for protection in Protection::ALL {
        say!("{:<4} {}", protection.id(), protection.title())?;
        for rule in RULES.iter().filter(|rule| rule.protection == protection) {
            say!(
                "     {:<20} v{}  {:<9} {}",
                rule.id,
                rule.version,
                rule.removes(),
                rule.objects_when
            )?;
        }
    }
    say!("`limbic safety rules --markdown` prints the page with sources and regions")?;
    Ok(ExitCode::SUCCESS)
}

fn of_rule(rule: &Rule) -> Value {
    json!({
        "id": rule.id,
        "protection": rule.protection.id(),
        "version": rule.version,
        "removes": rule.removes(),
        "protects": rule.protects,
        "objects_when": rule.objects_when,
    })
}

/// The verdict on one text.
#[derive(Debug, Serialize)]
struct Judged<'a> {
    line: usize,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protection: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    text: &'a str,
}

/// Judges the texts of a file. The exit code is 1 if one is refused.
fn test(common: &Common, args: &SafetyTestArgs) -> anyhow::Result<ExitCode> {
    let settings = common.settings(&[])?;
    let rules = Rules::new(settings.section::<SafetyStage>())?;
    let text = read(&args.file)?;
    let texts = texts(&text).with_context(|| format!("{} cannot be judged", args.file.display()))?;
    let platform = args.platform.as_deref().map(Slug::new).transpose()?;
    let mut refused = 0;
    for (line, mut text) in texts {
        if text.platform.is_none() {
            text.platform.clone_from(&platform);
        }
        text.to_upset_people |= args.to_upset_people;
        let objection = judge_ad(&text, &rules);
        refused += usize::from(objection.is_some());
        let judged = Judged {
            line,
            verdict: if objection.is_some() { "refused" } else { "cleared" },
            rule: objection.as_ref().map(|objection| objection.rule.id),
            protection: objection.as_ref().map(|objection| objection.rule.protection.id()),
            reason: objection.map(|objection| objection.reason),
            text: &text.body,
        };
        if args.json {
            say!("{}", serde_json::to_string(&judged)?)?;
        } else {
            print(&judged)?;
        }
    }
    Ok(if refused > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn print(judged: &Judged<'_>) -> anyhow::Result<()> {
    let why = match (judged.protection, judged.rule, &judged.reason) {
        (Some(protection), Some(rule), Some(reason)) => format!("{protection} {rule}: {reason}"),
        _ => String::new(),
    };
    say!(
        "{:>5}  {}  {}",
        judged.line,
        judged.verdict,
        if why.is_empty() { judged.text } else { &why }
    )?;
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("standard input is not UTF-8 text: convert it")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| {
        format!(
            "{} cannot be read: name a file of UTF-8 text, or - for standard input",
            file.display()
        )
    })
}

/// The texts of a file with their lines: a JSON array, or lines of which each is a text or a JSON object.
fn texts(text: &str) -> anyhow::Result<Vec<(usize, AdText)>> {
    let text = text.trim_start_matches('\u{feff}');
    let texts = if text.trim_start().starts_with('[') {
        let values: Vec<Value> = serde_json::from_str(text)
            .context("it begins with `[` and is not a JSON array: correct it, or write one text a line")?;
        let numbered = values.into_iter().enumerate();
        numbered
            .map(|(at, value)| {
                Ok((
                    at + 1,
                    of_value(value).with_context(|| format!("entry {}", at + 1))?,
                ))
            })
            .collect::<anyhow::Result<Vec<_>>>()?
    } else {
        let lines = text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty());
        lines
            .map(|(at, line)| Ok((at + 1, of_line(line).with_context(|| format!("line {}", at + 1))?)))
            .collect::<anyhow::Result<Vec<_>>>()?
    };
    if texts.is_empty() {
        bail!("it has no texts: write one a line, or a JSON array");
    }
    Ok(texts)
}

fn of_line(line: &str) -> anyhow::Result<AdText> {
    if line.trim_start().starts_with('{') {
        of_value(serde_json::from_str(line).context("it begins with `{` and is not a JSON object")?)
    } else {
        Ok(AdText::new(line))
    }
}

fn of_value(value: Value) -> anyhow::Result<AdText> {
    match value {
        Value::String(text) => Ok(AdText::new(text)),
        value => serde_json::from_value(value).context(
            "it is not an ad: give `body`, and `headline`, `link`, `platform` and the like if there are any",
        ),
    }
}

/// Why a decision is what it is, with the rules that had a part in it.
fn explain(common: &Common, args: &SafetyExplainArgs) -> anyhow::Result<ExitCode> {
    if Decision::campaign_of(&args.decision).is_none() {
        bail!(
            "`{}` is not the id of a decision: give CAMPAIGN.HASH, as `limbic explain AUDIENCE` and GET /v1/decisions print it; \
             `limbic explain` explains audiences and posts",
            args.decision
        );
    }
    let explanation = Source::open(common, &args.ask)?.explain(&args.decision)?;
    let decision: Decision = serde_json::from_value(explanation.facts["decision"].clone())
        .context("the decision cannot be read: is the node of another version?")?;
    let rules = rules_of(&decision);
    if args.ask.json {
        let rules: Vec<Value> = rules
            .iter()
            .map(|id| rule(id).map_or_else(|| json!({"id": id}), of_rule))
            .collect();
        let answer = json!({
            "of": explanation.of,
            "sentences": explanation.sentences,
            "rules": rules,
            "judged_by": judged_by(&decision),
            "transparency": decision.chosen().and_then(|chosen| chosen.transparency.as_ref()),
            "decision": explanation.facts["decision"],
        });
        say!("{}", serde_json::to_string_pretty(&answer)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    for sentence in &explanation.sentences {
        say!("{sentence}")?;
    }
    for id in rules {
        match rule(&id) {
            Some(rule) => say!(
                "{} {}. The rule `{}` (version {}) protects {}. It objects when {}.",
                rule.protection.id(),
                rule.protection.title(),
                rule.id,
                rule.version,
                rule.protects,
                rule.objects_when
            )?,
            None => say!("`{id}` is not a rule of the safety gate: a guardrail or a template objected.")?,
        }
    }
    if let Some(version) = judged_by(&decision) {
        say!("The rules had the version `{version}`.")?;
    }
    match &decision.result {
        DecisionResult::Chosen(chosen) => match &chosen.transparency {
            Some(record) => transparency(record)?,
            None => say!("The campaign does not say who advertises.")?,
        },
        DecisionResult::Suppressed(_) | DecisionResult::HeldOut(_) => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn transparency(record: &Transparency) -> anyhow::Result<()> {
    say!("Advertiser: {}. Paid by: {}.", record.advertiser, record.payer)?;
    for parameter in &record.parameters {
        say!("{parameter}")?;
    }
    say!(
        "Emotions that were read from posts {} used.",
        if record.emotion_used { "were" } else { "were not" }
    )?;
    Ok(())
}

/// The rules that suppressed something or removed something, each once.
fn rules_of(decision: &Decision) -> Vec<String> {
    let suppressed = decision.suppressed().map(|suppressed| suppressed.rule.clone());
    let removed = decision.removals.iter().map(|removal| removal.rule.clone());
    let mut seen = BTreeSet::new();
    let all = suppressed.into_iter().chain(removed);
    all.filter(|rule| seen.insert(rule.clone())).collect()
}

/// The version of the safety rules, if they suppressed the decision.
fn judged_by(decision: &Decision) -> Option<&str> {
    match &decision.suppressed()?.by {
        SuppressedBy::SafetyGate(version) => Some(version),
        SuppressedBy::Policy(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_objects_and_arrays_are_read_with_their_places() {
        let read = |text: &str| -> Vec<(usize, String)> {
            let texts = texts(text).unwrap().into_iter();
            texts.map(|(line, text)| (line, text.body)).collect()
        };
        let one = |line, body: &str| (line, body.to_owned());
        assert_eq!(read("a\n\nb\n"), [one(1, "a"), one(3, "b")]);
        assert_eq!(read("\u{feff}a\r\nb"), [one(1, "a"), one(2, "b")]);
        assert_eq!(read("{\"body\": \"a\"}\nb"), [one(1, "a"), one(2, "b")]);
        assert_eq!(read(" [\"a\", {\"body\": \"b\"}]"), [one(1, "a"), one(2, "b")]);
    }

    #[test]
    fn a_file_that_cannot_be_judged_says_where_and_why() {
        for (text, expected) in [
            ("", "no texts"),
            (" \n", "no texts"),
            ("[]", "no texts"),
            ("[\"a\"", "not a JSON array"),
            ("a\n{\"body\": 1}", "line 2"),
            ("a\n{\"body\"", "not a JSON object"),
            ("[{\"text\": \"a\"}]", "entry 1"),
            ("{\"body\": \"a\", \"hedline\": \"b\"}", "hedline"),
        ] {
            let error = format!("{:#}", texts(text).unwrap_err());
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
