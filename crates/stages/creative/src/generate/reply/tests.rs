//! The tests of [`reply`](super).

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
