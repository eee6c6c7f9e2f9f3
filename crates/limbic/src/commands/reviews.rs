//! `limbic reviews`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{anyhow, bail};
use serde_json::{Value, json};

use super::ask::Source;
use super::render;
use crate::cli::{AskArgs, Common, RenderArgs, ReviewsCommand};

pub fn run(common: &Common, command: &ReviewsCommand) -> anyhow::Result<ExitCode> {
    match command {
        ReviewsCommand::List { state, campaign, ask } => list(common, ask, state, campaign.as_deref())?,
        ReviewsCommand::Show {
            id,
            picture,
            size,
            ask,
        } => {
            let source = Source::running_node(common, ask)?;
            let review = find(&source, id)?;
            show(&review, ask.json)?;
            if let Some(file) = picture {
                return render::run(&card(&review, size, file));
            }
        }
        ReviewsCommand::Approve { id, replace, ask } => {
            decide(common, ask, (id, *replace), |_| json!({"verdict": "approve"}))?;
        }
        ReviewsCommand::Edit {
            id,
            headline,
            body,
            replace,
            ask,
        } => {
            if headline.is_none() && body.is_none() {
                bail!("nothing would change: give --headline TEXT, --body TEXT or both");
            }
            decide(common, ask, (id, *replace), |review| {
                let kept = |text: &Option<String>, name: &str| {
                    let written = &review["creative"]["rendering"][name];
                    text.as_ref().map_or_else(|| written.clone(), |text| json!(text))
                };
                json!({"verdict": "edit", "headline": kept(headline, "headline"), "body": kept(body, "body")})
            })?;
        }
        ReviewsCommand::Reject {
            id,
            reason,
            replace,
            ask,
        } => decide(
            common,
            ask,
            (id, *replace),
            |_| json!({"verdict": "reject", "reason": reason}),
        )?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(common: &Common, ask: &AskArgs, state: &str, campaign: Option<&str>) -> anyhow::Result<()> {
    let reviews = Source::running_node(common, ask)?.reviews(state, campaign)?;
    if ask.json {
        return Ok(say!("{}", serde_json::to_string_pretty(&reviews)?)?);
    }
    if reviews.is_empty() {
        return Ok(match state {
            "waiting" => say!("no ad waits for a person"),
            _ => say!("there are no such reviews"),
        }?);
    }
    say!(
        "{:<12} {:<9} {:<20} {:<12} {:<24} text",
        "id",
        "state",
        "campaign",
        "platform",
        "written by"
    )?;
    for one in &reviews {
        let creative = &one["creative"];
        let rendering = &creative["rendering"];
        say!(
            "{:<12} {:<9} {:<20} {:<12} {:<24} {} | {}",
            text(&one["id"]).chars().take(12).collect::<String>(),
            text(&one["state"]),
            text(&one["campaign"]),
            text(&rendering["platform"]),
            text(&creative["generator"]),
            text(&rendering["headline"]),
            text(&rendering["body"])
        )?;
    }
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

/// The only review whose id begins so.
fn find(source: &Source, id: &str) -> anyhow::Result<Value> {
    let reviews = source.reviews("all", None)?;
    let mut found = reviews
        .into_iter()
        .filter(|review| review["id"].as_str().is_some_and(|known| known.starts_with(id)));
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(anyhow!(
            "no ad has an id that begins with `{id}`: `limbic reviews list --state all` lists the ads"
        )),
        _ => Err(anyhow!(
            "several ads have an id that begins with `{id}`: give more digits of it"
        )),
    }
}

/// The card of an ad, with the texts that it may run with.
fn card(review: &Value, size: &str, out: &Path) -> RenderArgs {
    let line = |name: &str| {
        let edited = review["decision"][name].as_str();
        let written = review["creative"]["rendering"][name].as_str();
        edited.or(written).unwrap_or_default().to_owned()
    };
    RenderArgs {
        text: line("headline"),
        body: line("body"),
        button: String::new(),
        brand: String::new(),
        size: size.to_owned(),
        colours: None,
        strict_colours: false,
        backdrop: None,
        language: "en".to_owned(),
        fonts: None,
        out: out.to_owned(),
    }
}

fn decide(
    common: &Common,
    ask: &AskArgs,
    (id, replace): (&str, bool),
    decision: impl FnOnce(&Value) -> Value,
) -> anyhow::Result<()> {
    let source = Source::running_node(common, ask)?;
    let review = find(&source, id)?;
    let mut decision = decision(&review);
    let known = &review["decision"];
    if replace {
        decision["replaces"] = review["decision_id"].clone();
    } else if known.is_object() {
        bail!(
            "{} decided `{}` about this ad at {}: give --replace to replace this decision",
            text(&known["by"]),
            text(&known["verdict"]),
            text(&known["at"])
        );
    }
    let decided = source.decide(text(&review["id"]), &decision)?;
    show(&decided, ask.json)
}

fn show(review: &Value, is_json: bool) -> anyhow::Result<()> {
    if is_json {
        return Ok(say!("{}", serde_json::to_string_pretty(review)?)?);
    }
    let creative = &review["creative"];
    let rendering = &creative["rendering"];
    say!("ad         {}", text(&review["id"]))?;
    say!("state      {}", text(&review["state"]))?;
    say!(
        "campaign   {} on {}",
        text(&review["campaign"]),
        text(&rendering["platform"])
    )?;
    let mark = if creative["ai_generated"] == true {
        ", an AI model"
    } else {
        ""
    };
    say!("written by {}{mark}", text(&creative["generator"]))?;
    say!("since      {}", text(&review["requested_at"]))?;
    say!("headline   {}", text(&rendering["headline"]))?;
    say!("body       {}", text(&rendering["body"]))?;
    say!("link       {}", text(&rendering["link"]))?;
    let decision = &review["decision"];
    if decision.is_object() {
        let reason = decision["reason"]
            .as_str()
            .map_or(String::new(), |reason| format!(": {reason}"));
        say!(
            "decision   {} by {} at {}{reason}",
            text(&decision["verdict"]),
            text(&decision["by"]),
            text(&decision["at"])
        )?;
        let earlier = decision["earlier"].as_array().into_iter().flatten();
        for one in earlier {
            say!(
                "before     {} by {} at {}",
                text(&one["verdict"]),
                text(&one["by"]),
                text(&one["at"])
            )?;
        }
    }
    let change = &review["change"];
    if change.is_object() {
        say!(
            "changed since {}, removed in [-…-], added in {{+…+}}:",
            text(&change["from"])
        )?;
        for part in ["headline", "body"] {
            say!("{part:<10} {}", marked(&change[part]))?;
        }
    }
    Ok(())
}

/// The pieces of a changed text in one line.
fn marked(pieces: &Value) -> String {
    let pieces = pieces.as_array().into_iter().flatten();
    pieces
        .map(|piece| {
            let of = |kind: &str| piece[kind].as_str();
            match (of("same"), of("removed"), of("added")) {
                (Some(same), ..) => same.to_owned(),
                (_, Some(removed), _) => format!("[-{removed}-]"),
                (.., Some(added)) => format!("{{+{added}+}}"),
                _ => String::new(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_has_the_texts_of_the_person_who_edited_the_ad() {
        let mut review = json!({"creative": {"rendering": {"headline": "Boots", "body": "Try a pair."}}});
        let texts = |review: &Value| {
            let card = card(review, "1200x628", Path::new("ad.png"));
            format!("{} | {}", card.text, card.body)
        };
        assert_eq!(texts(&review), "Boots | Try a pair.");
        review["decision"] = json!({"verdict": "edit", "headline": "Shoes", "body": "Try one."});
        assert_eq!(texts(&review), "Shoes | Try one.");
    }

    #[test]
    fn what_changed_is_marked_in_one_line() {
        let pieces = json!([{"same": "Acme "}, {"removed": "Boots"}, {"added": "Shoes"}]);
        assert_eq!(marked(&pieces), "Acme [-Boots-]{+Shoes+}");
        assert_eq!(marked(&Value::Null), "");
    }
}
