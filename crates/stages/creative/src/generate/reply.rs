//! From a model's reply to texts that may become ads: read, repaired, checked.

use std::collections::BTreeSet;

use limbic_domain::{BrandKit, Brief, CallToAction, Direction, Slug, WrittenText};
use serde::Deserialize;
use serde_json::Value;

use super::TextOrder;
use crate::brand::objection;
use crate::copy::{Room, fit_texts};
use crate::text::{hidden_character, one_line};

/// Texts of a reply beyond these are not looked at.
const MOST: usize = 20;

/// Problems that are kept of one reply.
const MOST_PROBLEMS: usize = 10;

/// A text in a reply: the form that the order's schema demands.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplyText {
    headline: String,
    body: String,
    tone: Slug,
    appeal: Slug,
    call_to_action: CallToAction,
}

/// The texts of a reply that pass every check, and why the others do not. A function of the arguments.
pub(super) fn read(reply: &str, order: &TextOrder, room: Room<'_>) -> (Vec<WrittenText>, Vec<String>) {
    let items = match items(reply) {
        Ok(items) => items,
        Err(problem) => return (Vec::new(), vec![problem]),
    };
    let mut texts: Vec<WrittenText> = Vec::new();
    let mut problems = Vec::new();
    for (place, item) in items.into_iter().take(MOST).enumerate() {
        match check(item, order, room) {
            Ok(text) if texts.contains(&text) => {}
            Ok(text) => texts.push(text),
            Err(problem) => problems.push(format!("text {}: {problem}", place + 1)),
        }
    }
    if texts.is_empty() && problems.is_empty() {
        problems.push("the reply has no texts".to_owned());
    }
    problems.truncate(MOST_PROBLEMS);
    (texts, problems)
}

/// The list of texts. Models put JSON between marks or words, or forget the outer object.
fn items(reply: &str) -> Result<Vec<Value>, String> {
    let document = |text: &str| serde_json::from_str::<Value>(text).ok();
    let between = |open: char, close: char| {
        let (start, end) = (reply.find(open)?, reply.rfind(close)?);
        reply.get(start..=end).and_then(document)
    };
    let is_list = reply.find('[') < reply.find('{') && reply.contains('[');
    let (first, second) = if is_list {
        (('[', ']'), ('{', '}'))
    } else {
        (('{', '}'), ('[', ']'))
    };
    let value = document(reply)
        .or_else(|| between(first.0, first.1))
        .or_else(|| between(second.0, second.1))
        .ok_or("the reply is not JSON")?;
    match value {
        Value::Array(items) => Ok(items),
        Value::Object(mut fields) => match fields.remove("texts") {
            Some(Value::Array(items)) => Ok(items),
            _ => Err("the reply has no list `texts`".to_owned()),
        },
        _ => Err("the reply is not an object".to_owned()),
    }
}

/// A text that follows the order's schema. A test compares this with what a validator of JSON Schema says.
fn of_schema(item: Value, order: &TextOrder) -> Result<ReplyText, String> {
    let text: ReplyText =
        serde_json::from_value(item).map_err(|error| format!("it does not follow the schema: {error}"))?;
    for (field, value, known) in [
        ("tone", &text.tone, &order.tones),
        ("appeal", &text.appeal, &order.appeals),
    ] {
        if !known.contains(value) {
            return Err(format!("its {field} `{value}` is not one that the schema lists"));
        }
    }
    Ok(text)
}

fn check(item: Value, order: &TextOrder, room: Room<'_>) -> Result<WrittenText, String> {
    let text = of_schema(item, order)?;
    let (headline, body) = (repaired(&text.headline), repaired(&text.body));
    let brief = &order.campaign.brief;
    for (field, line) in [("headline", &headline), ("body", &body)] {
        if line.is_empty() {
            return Err(format!("its {field} is empty"));
        }
        let lower = line.to_lowercase();
        if ["http:", "https:", "www."]
            .iter()
            .any(|link| lower.contains(link))
        {
            return Err(format!("its {field} has a link"));
        }
        if order.direction == Some(Direction::Down) && line.contains('!') {
            return Err(format!(
                "its {field} has an exclamation mark, which no ad has after a fall of the mood"
            ));
        }
        if let Some(number) = numbers(line).difference(&numbers_of(brief)).next() {
            return Err(format!(
                "its {field} has the number {number}, which is not in the brief"
            ));
        }
        if let Some(reason) = objection(&kit_of(brief), line) {
            return Err(format!("its {field} is not allowed: {reason}"));
        }
    }
    let names_product = |line: &str| line.to_lowercase().contains(&brief.product.to_lowercase());
    if !names_product(&headline) && !names_product(&body) {
        return Err(format!("it does not name {}", brief.product));
    }
    let (headline, body) = fit_texts(&headline, &body, room, false)
        .or_else(|| fit_texts(&headline, &body, room, true))
        .ok_or_else(|| format!("it does not fit {}", order.platform.name))?;
    Ok(WrittenText {
        headline,
        body,
        tone: text.tone,
        appeal: text.appeal,
        call_to_action: text.call_to_action,
    })
}

/// The brand kit with the claims of the brief as proven ones, if it names none: a model must not add claims.
fn kit_of(brief: &Brief) -> BrandKit {
    let own = || {
        let texts = [
            &brief.product,
            &brief.promise,
            &brief.call_to_action,
            &brief.offer,
        ];
        texts.into_iter().chain(brief.values.values()).cloned().collect()
    };
    BrandKit {
        claims: Some(brief.brand.claims.clone().unwrap_or_else(own)),
        ..brief.brand.clone()
    }
}

/// A line without what models put around texts: marks of Markdown, a label, quotation marks, characters that nobody sees.
fn repaired(text: &str) -> String {
    let visible: String = one_line(text)
        .chars()
        .filter(|c| hidden_character(c.encode_utf8(&mut [0; 4])).is_none())
        .collect();
    let mut line = visible.replace("**", "").replace("__", "").replace('`', "");
    for label in ["headline:", "body:"] {
        if line
            .get(..label.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(label))
        {
            line.drain(..label.len());
        }
    }
    let mut line = line.trim().trim_start_matches(['#', '-', '*']).trim();
    for (open, close) in [('"', '"'), ('“', '”'), ('\'', '\''), ('«', '»'), ('„', '“')] {
        let inner = line.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
        if let Some(inner) = inner.filter(|inner| !inner.contains([open, close])) {
            line = inner.trim();
        }
    }
    one_line(line)
}

/// The runs of digits in a text.
fn numbers(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_numeric())
        .filter(|run| !run.is_empty())
        .map(str::to_owned)
        .collect()
}

fn numbers_of(brief: &Brief) -> BTreeSet<String> {
    let texts = [
        &brief.product,
        &brief.promise,
        &brief.call_to_action,
        &brief.offer,
    ];
    let claims = brief.brand.claims.iter().flatten();
    let all = texts.into_iter().chain(brief.values.values()).chain(claims);
    all.flat_map(|text| numbers(text)).collect()
}

#[cfg(test)]
mod tests;
