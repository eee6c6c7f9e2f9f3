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
mod tests {
    use limbic_domain::{Campaign, Platform, TenantId};
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::{GenerateSettings, Strategies};
    use super::*;

    fn order() -> TextOrder {
        let campaign: Campaign = serde_json::from_value(json!({
            "id": "spring", "direction": "up",
            "platforms": [{"name": "file", "headline": 40, "body": 90}],
            "brief": {"product": "Alpine Tea", "promise": "Ready in 2 minutes", "call_to_action": "Try it today",
                "link": "https://example.com/", "brand": {"banned_words": ["cheap"]}}
        }))
        .unwrap();
        let settings = GenerateSettings {
            model: "ads".into(),
            ..GenerateSettings::default()
        };
        let mut orders = Strategies::built_in().orders(&TenantId::default(), &campaign, &settings);
        assert_eq!(orders.len(), 1);
        orders.remove(0)
    }

    fn read_with(order: &TextOrder, reply: &str) -> (Vec<WrittenText>, Vec<String>) {
        let platform: &Platform = &order.platform;
        let room = Room {
            platform,
            format: None,
            picture: None,
        };
        read(reply, order, room)
    }

    fn text(headline: &str, body: &str) -> Value {
        json!({"headline": headline, "body": body, "tone": "bright", "appeal": "benefit", "call_to_action": "direct"})
    }

    fn lines(reply: &str) -> Vec<String> {
        let (texts, problems) = read_with(&order(), reply);
        assert_eq!(problems, [] as [String; 0]);
        texts
            .into_iter()
            .map(|text| format!("{} | {}", text.headline, text.body))
            .collect()
    }

    #[test]
    fn a_reply_of_the_schema_becomes_texts() {
        let good = text("Alpine Tea, ready in 2 minutes", "Try it today.");
        let reply = json!({"texts": [good, good]}).to_string();
        assert_eq!(lines(&reply), ["Alpine Tea, ready in 2 minutes | Try it today."]);
    }

    #[test]
    fn what_models_put_around_texts_is_removed() {
        let messy = text("**Headline: \"Alpine  Tea\"**", "“Try\n it\u{200b} today.”");
        let whole = json!({"texts": [messy.clone()]}).to_string();
        let bare = json!([messy]).to_string();
        for reply in [
            &whole,
            &format!("```json\n{whole}\n```"),
            &format!("Here you are: {bare} Enjoy"),
        ] {
            assert_eq!(lines(reply), ["Alpine Tea | Try it today."], "{reply}");
        }
    }

    #[test]
    fn each_check_names_its_reason() {
        let no_tone = json!({"headline": "Alpine Tea", "body": "b", "tone": "sad", "appeal": "benefit", "call_to_action": "none"});
        let more = json!({"headline": "Alpine Tea", "body": "b", "tone": "bright", "appeal": "benefit", "call_to_action": "none", "x": 1});
        for (item, reason) in [
            (text("Alpine Tea", " "), "its body is empty"),
            (text("Alpine Tea", "See www.example.com"), "its body has a link"),
            (
                text("Alpine Tea", "50 % off"),
                "its body has the number 50, which is not in the brief",
            ),
            (text("Cheap Alpine Tea", "Try it"), "banned word “cheap”"),
            (text("Alpine Tea", "The best tea"), "which is not part of a claim"),
            (text("A warm cup", "Try it today."), "it does not name Alpine Tea"),
            (
                text("Alpine Tea in a headline that is much too long", "Try it"),
                "it does not fit file",
            ),
            (no_tone, "its tone `sad` is not one that the schema lists"),
            (more, "it does not follow the schema: unknown field `x`"),
            (json!("text"), "it does not follow the schema"),
        ] {
            let (texts, problems) = read_with(&order(), &json!({"texts": [item.clone()]}).to_string());
            assert_eq!(texts, [], "{item}");
            assert!(problems[0].starts_with("text 1: "), "{problems:?}");
            assert!(problems[0].contains(reason), "{problems:?}");
        }
        for (reply, reason) in [
            ("Sorry, I cannot do that.", "the reply is not JSON"),
            ("{}", "the reply has no list `texts`"),
            ("7", "the reply is not an object"),
            ("{\"texts\": []}", "the reply has no texts"),
        ] {
            assert_eq!(read_with(&order(), reply), (Vec::new(), vec![reason.to_owned()]));
        }
    }

    #[test]
    fn after_a_fall_of_the_mood_no_text_is_loud() {
        let mut quiet = order();
        let loud = json!({"texts": [text("Alpine Tea!", "Try it today.")]}).to_string();
        assert_eq!(read_with(&quiet, &loud).0.len(), 1);
        quiet.direction = Some(Direction::Down);
        let (texts, problems) = read_with(&quiet, &loud);
        assert_eq!(texts, []);
        assert!(
            problems[0].contains("its headline has an exclamation mark"),
            "{problems:?}"
        );
    }

    #[test]
    fn one_bad_text_does_not_spoil_the_others() {
        let reply = json!({"texts": [text("A cup", "x"), text("Alpine Tea", "Try it today.")]}).to_string();
        let (texts, problems) = read_with(&order(), &reply);
        assert_eq!((texts.len(), problems.len()), (1, 1));
    }

    /// JSON that is a text of the schema, or nearly one.
    fn nearly_a_text() -> impl Strategy<Value = Value> {
        let odd = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-z ]{0,12}".prop_map(Value::from),
            Just(json!([])),
            Just(json!({})),
            Just(json!("bright")),
            Just(json!("benefit")),
            Just(json!("direct")),
            Just(json!("Direct")),
        ];
        let field = prop::sample::select(vec![
            "headline",
            "body",
            "tone",
            "appeal",
            "call_to_action",
            "Headline",
            "link",
        ]);
        let changes = prop::collection::vec((field, prop::option::of(odd.clone())), 0..3);
        let nearly_right = changes.prop_map(|changes| {
            let mut item = text("Alpine Tea", "Try it today.");
            for (field, value) in changes {
                let fields = item.as_object_mut().unwrap();
                match value {
                    Some(value) => fields.insert(field.to_owned(), value),
                    None => fields.remove(field),
                };
            }
            item
        });
        prop_oneof![9 => nearly_right, 1 => odd]
    }

    /// Whether a document follows a schema of the keywords that orders use: JSON Schema, draft 2020-12, *Validation*, section 6, and
    /// *Core*, section 10.3. Another keyword fails the test.
    fn follows(document: &Value, schema: &Value) -> bool {
        let rules = schema.as_object().unwrap();
        rules.iter().all(|(keyword, rule)| match keyword.as_str() {
            "type" => match rule.as_str().unwrap() {
                "object" => document.is_object(),
                "array" => document.is_array(),
                "string" => document.is_string(),
                other => panic!("the type {other}"),
            },
            "enum" => rule.as_array().unwrap().contains(document),
            "required" => document.as_object().is_none_or(|fields| {
                let names = rule.as_array().unwrap().iter();
                names
                    .map(|name| name.as_str().unwrap())
                    .all(|name| fields.contains_key(name))
            }),
            "properties" => document.as_object().is_none_or(|fields| {
                let mut known = rule.as_object().unwrap().iter();
                known.all(|(name, schema)| fields.get(name).is_none_or(|value| follows(value, schema)))
            }),
            "additionalProperties" => {
                assert_eq!(rule, &json!(false));
                let known = schema["properties"].as_object().unwrap();
                let fields = document.as_object();
                fields.is_none_or(|fields| fields.keys().all(|name| known.contains_key(name)))
            }
            "items" => {
                let items = document.as_array();
                items.is_none_or(|items| items.iter().all(|item| follows(item, rule)))
            }
            other => panic!("the keyword {other}"),
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// The type is the check of the schema that the model was given: what it takes, the schema takes, and nothing else.
        #[test]
        fn a_text_is_taken_exactly_if_it_follows_the_schema(item in nearly_a_text()) {
            let order = order();
            let is_valid = follows(&json!({"texts": [item.clone()]}), &order.schema);
            prop_assert_eq!(of_schema(item.clone(), &order).is_ok(), is_valid, "{}", item);
        }
    }

    proptest! {
        #[test]
        fn whatever_a_model_replies_its_texts_fit_and_have_no_foreign_number(
            headline in "(Alpine Tea )?\\PC{0,40}", body in "(Alpine Tea )?\\PC{0,120}", broken in any::<bool>()
        ) {
            let mut reply = json!({"texts": [text(&headline, &body)]}).to_string();
            if broken {
                let cut = reply.len() / 2;
                let cut = (cut..=reply.len()).find(|at| reply.is_char_boundary(*at)).unwrap();
                reply.truncate(cut);
            }
            let (texts, _) = read_with(&order(), &reply);
            for text in texts {
                prop_assert!(crate::text::graphemes(&text.headline) <= 40);
                prop_assert!(crate::text::graphemes(&text.body) <= 90);
                for line in [&text.headline, &text.body] {
                    prop_assert!(!line.is_empty() && hidden_character(line).is_none());
                    prop_assert!(numbers(line).iter().all(|number| number == "2"));
                }
            }
        }
    }
}
