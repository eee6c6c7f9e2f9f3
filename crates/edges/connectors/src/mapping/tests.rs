//! The tests of [`mapping`](super).

use serde_json::json;

use super::*;

fn settings(change: impl FnOnce(&mut JsonMappingSettings)) -> JsonMappingSettings {
    let fields = [
        ("id", "id"),
        ("author", "user.id"),
        ("text", "body"),
        ("created_at", "at"),
    ];
    let mut settings = JsonMappingSettings {
        fields: fields
            .map(|(field, path)| (field.to_owned(), path.to_owned()))
            .into(),
        ..JsonMappingSettings::default()
    };
    change(&mut settings);
    settings
}

fn items(change: impl FnOnce(&mut JsonMappingSettings), message: &Value) -> Vec<Item> {
    let mapping = JsonMapping::new(&settings(change)).unwrap();
    mapping.items(message.to_string().as_bytes())
}

#[test]
fn fields_come_from_where_the_expressions_say() {
    let message = json!({"posts": [
        {"id": 9_007_199_254_740_993_u64, "user": {"id": "ann"}, "body": "<p>a &lt;3</p>", "at": 1_780_000_000, "tags": ["x", "y"]},
        {"id": "2", "user": {"id": 7}, "body": "gone", "at": "2026-05-28T20:26:40Z", "state": "removed"},
    ]});
    let found = items(
        |settings| {
            settings.items = "posts[]".to_owned();
            settings.deleted = "state == 'removed'".to_owned();
            settings.html = true;
            settings
                .fields
                .insert("meta".to_owned(), "{tags: tags}".to_owned());
        },
        &message,
    );
    assert_eq!(
        found[0],
        Item::Post(
            json!({"network": "other", "id": "9007199254740993", "author": "ann", "text": "a <3",
                "created_at": "2026-05-28T20:26:40.000Z", "meta": {"tags": ["x", "y"]}})
        )
    );
    let Item::Deletion(deletion) = &found[1] else {
        panic!("{found:?}")
    };
    assert_eq!((&deletion["id"], &deletion["author"]), (&json!("2"), &json!("7")));
    assert!(
        deletion["deleted_at"].is_string() && deletion.get("text").is_none(),
        "{deletion}"
    );
}

#[test]
fn features_of_a_voice_reach_the_edge_although_no_expression_names_them() {
    let message = json!({"id": "1", "user": {"id": "ann"}, "body": "a", "at": 1_780_000_000,
            "likes": 3, "media": [{"voice": {"pitch": 120}}]});
    let ingest = limbic_ingest::Settings::default();
    let now = Utc::from_millis(1_780_000_001_000);
    let refused = |items: Vec<Item>| match &items[..] {
        [Item::Post(post)] => limbic_ingest::incoming::post(post.clone(), &ingest, now).err(),
        other => panic!("{other:?}"),
    };
    let problem = refused(items(|_| {}, &message)).unwrap();
    assert!(problem.biometric.is_some(), "{problem}");
    assert!(problem.problem.contains("`media.voice.pitch`"), "{problem}");
    let also_meta = |settings: &mut JsonMappingSettings| {
        settings
            .fields
            .insert("meta".to_owned(), "{likes: likes}".to_owned());
    };
    assert!(refused(items(also_meta, &message)).unwrap().biometric.is_some());
    // The expression for the items can leave them out.
    let without = |settings: &mut JsonMappingSettings| {
        settings.items = "{id: id, user: user, body: body, at: at}".to_owned();
    };
    assert_eq!(refused(items(without, &message)), None);
}

#[test]
fn a_message_of_another_kind_has_no_items_and_one_that_does_not_fit_says_where() {
    assert_eq!(
        items(
            |settings| settings.items = "posts".to_owned(),
            &json!({"ping": 1})
        ),
        []
    );
    let unreadable = |change: fn(&mut JsonMappingSettings), message: &Value| match &items(change, message)[..]
    {
        [Item::Unreadable(problem)] => problem.clone(),
        other => panic!("{other:?}"),
    };
    let problem = unreadable(|_| {}, &json!({"id": 1.5, "body": "x"}));
    assert!(problem.contains("map.fields.id"), "{problem}");
    let problem = unreadable(|settings| settings.items = "n".to_owned(), &json!({"n": 3}));
    assert!(problem.contains("map.items gives a number"), "{problem}");
    let problem = unreadable(|_| {}, &json!({"at": 12}));
    assert!(problem.contains("RFC 3339"), "{problem}");
    let mapping = JsonMapping::new(&settings(|_| {})).unwrap();
    assert!(matches!(&mapping.items(b"{")[..], [Item::Unreadable(problem)] if problem.contains("not JSON")));
}

#[test]
fn a_mapping_that_cannot_work_is_refused_with_what_to_do() {
    let problem = |change: fn(&mut JsonMappingSettings)| match JsonMapping::new(&settings(change)) {
        Ok(_) => panic!("it is accepted"),
        Err(error) => error.to_string(),
    };
    let said = problem(|settings| settings.items = "posts[".to_owned());
    assert!(said.contains("map.items: `posts[`"), "{said}");
    let said = problem(|settings| drop(settings.fields.remove("text")));
    assert!(said.contains("text = \"data.text\""), "{said}");
    let said = problem(|settings| drop(settings.fields.insert("consent".to_owned(), "x".to_owned())));
    assert!(said.contains("choose from id"), "{said}");
}

#[test]
fn times_in_three_units_are_one_time() {
    for number in [
        json!(1_780_000_000),
        json!(1_780_000_000_000_u64),
        json!(1_780_000_000_000_000_u64),
    ] {
        let number = number.as_number().unwrap();
        assert_eq!(time(number).unwrap().to_string(), "2026-05-28T20:26:40.000Z");
    }
    assert!(time(&5.into()).is_err());
}

/// The examples of the `JMESPath` tutorial and specification (jmespath.org, read 2026-11-30), in other words.
#[test]
fn the_language_is_that_of_its_specification() {
    let data = json!({
        "people": [{"name": "ann", "age": 30, "state": "up"}, {"name": "bob", "age": 20, "state": "down"}, {"name": "eve", "age": 25}],
        "ops": {"a": {"n": 1}, "b": {"n": 2}, "c": {"other": 3}}, "a": {"b": {"c": [{"d": [0, [1, 2]]}]}},
    });
    for (expression, expected) in [
        ("a.b.c[0].d[1][0]", json!(1)),
        ("people[*].name", json!(["ann", "bob", "eve"])),
        ("people[-1].name", json!("eve")),
        ("people[:2].age", json!([30, 20])),
        ("people[?state=='up'].name", json!(["ann"])),
        ("people[?age > `22`].name | [0]", json!("ann")),
        (
            "people[].[name, state]",
            json!([["ann", "up"], ["bob", "down"], ["eve", null]]),
        ),
        // An index after a projection is taken of each of its elements, and these are objects.
        ("people[].{n: name}[0]", json!([])),
        ("ops.*.n", json!([1, 2])),
        ("length(people)", json!(3)),
        ("sort_by(people, &age)[0].name", json!("bob")),
        ("missing || people[0].name", json!("ann")),
        ("join(', ', people[].name)", json!("ann, bob, eve")),
        ("to_string(people[0].age)", json!("30")),
        ("missing.b.c", json!(null)),
        ("contains(people[0].name, 'nn')", json!(true)),
        ("max_by(people, &age).name", json!("ann")),
    ] {
        let compiled = compile("x", expression).unwrap();
        let found = search(&compiled, &data).unwrap();
        let is_same = match (&found, &expected) {
            (Value::Number(found), Value::Number(expected)) => found.as_f64() == expected.as_f64(),
            (found, expected) => found == expected,
        };
        assert!(is_same, "{expression}: {found} instead of {expected}");
    }
    for wrong in ["a.", "[", "people[?", "a b", "&"] {
        assert!(compile("x", wrong).is_err() || wrong == "&", "{wrong}");
    }
    assert!(search(&compile("x", "length(`1`)").unwrap(), &data).is_err());
}
