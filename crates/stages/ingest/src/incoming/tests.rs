use serde_json::json;

use super::problem::{CONSENT, Field, META};
use super::*;

fn now() -> Utc {
    "2026-11-21T09:00:00Z".parse().unwrap()
}

fn good() -> Value {
    json!({"network": "bluesky", "id": "3k", "author": "ada", "text": "What a goal!",
           "created_at": "2026-11-21T08:59:00Z"})
}

fn with(field: &str, value: Value) -> Result<IncomingPost, Problem> {
    let mut body = good();
    body[field] = value;
    post(body, &Settings::default(), now())
}

fn says_what_to_do(problem: &Problem) {
    let verbs = ["give", "remove", "shorten", "leave", "check", "send"];
    let is_said = verbs
        .iter()
        .any(|verb| problem.problem.contains(&format!(": {verb} ")))
        || problem.problem.ends_with(": shorten it")
        || problem.problem.ends_with(": remove it");
    assert!(is_said, "{problem}");
}

#[test]
fn consent_strings_and_the_privacy_control_count_like_words() {
    // No purpose is agreed to, and nobody opted out.
    const REFUSED: &str = "CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA";
    let consent = |field: &str, value: Value| with(field, value).unwrap().consent;
    assert_eq!(consent("consent", json!(REFUSED)), Some(ConsentState::Denied));
    assert_eq!(consent("consent", json!("1YY-")), Some(ConsentState::Denied));
    assert_eq!(consent("consent", json!("1YN-")), None);
    assert_eq!(consent("gpc", json!(true)), Some(ConsentState::Denied));
    assert_eq!(consent("gpc", json!(false)), None);
}

#[test]
fn the_example_of_every_field_is_a_valid_value() {
    let examples = |fields: &[Field]| -> Value {
        let fields = fields.iter().map(|field| {
            let example = serde_json::from_str(field.example).unwrap();
            (field.name.to_owned(), example)
        });
        Value::Object(fields.collect())
    };
    let now = "2026-11-29T12:00:00Z".parse().unwrap();
    let of_post = [
        NETWORK, POST_ID, AUTHOR, TEXT, CREATED_AT, LANG, REPLY_TO, REPOST_OF, URL, SUBJECTS, CONSENT, MINOR,
        META,
    ];
    post(examples(&of_post), &Settings::default(), now).unwrap();
    let of_outcome = [
        DECISION, KIND, VALUE, AT, OUTCOME_ID, COUNT, PERSON, WITHDRAWN, REVISION, STATED_AT,
    ];
    outcome(examples(&of_outcome), &Settings::default(), now).unwrap();
}

#[test]
fn former_field_names_are_accepted() {
    let value = json!({"platform": "bluesky", "topics": ["football"], "id": "3k", "author": "ada", "text": "What a goal!",
        "created_at": "2026-03-01T10:00:00Z"});
    let now = "2026-03-02T00:00:00Z".parse().unwrap();
    let post = post(value, &Settings::default(), now).unwrap();
    assert_eq!(post.post.network.as_str(), "bluesky");
    assert_eq!(post.subjects, [Slug::new("football").unwrap()]);
    assert!(post.meta.is_empty());
}

#[test]
fn every_wrong_field_is_named() {
    for (field, value, hint) in [
        ("network", json!("Blue Sky"), "a-z"),
        (
            "network",
            Value::Null,
            "is missing: give the social network, for instance \"bluesky\"",
        ),
        (
            "id",
            Value::Null,
            "is missing: give the network's id of the post, for instance \"",
        ),
        ("author", Value::Null, "is missing: give the author's name"),
        ("text", Value::Null, "is missing: give the text of the post"),
        (
            "created_at",
            Value::Null,
            "is missing: give the time of writing in RFC 3339, for instance \"2026-11-29T12:00:00Z\"",
        ),
        ("id", json!(123), "expected a string, found a number"),
        ("id", json!(""), "empty"),
        ("id", json!("a\nb"), "control"),
        ("author", json!("x".repeat(513)), "512"),
        ("text", json!(""), "empty"),
        ("text", json!(" \u{200b}\u{202e}\u{feff} "), "empty"),
        ("text", json!("a\0b"), "U+0000"),
        ("text", json!("x".repeat(1_000_000)), "1000000 bytes"),
        ("text", json!(["a"]), "found an array"),
        ("created_at", json!("yesterday"), "RFC 3339"),
        ("created_at", json!("2026-03-01T10:00:00"), "RFC 3339"),
        ("created_at", json!("1970-01-01T00:00:00Z"), "before"),
        ("created_at", json!("2027-01-01T00:00:00Z"), "in the future"),
        ("created_at", json!(1_700_000_000), "expected a string"),
        ("lang", json!("english language"), "BCP 47"),
        ("consent", json!("yes"), "not one of"),
        ("consent", json!("gven"), "did you mean `given`"),
        ("consent", json!("DBACNY~1YNN"), "names 2 sections and has 1"),
        ("consent", json!(format!("C{}", "A".repeat(40))), "ends too early"),
        (
            "consent",
            json!(format!("B{}", "A".repeat(40))),
            "version 2 is read",
        ),
        ("consent", json!("Denied"), "did you mean `denied`"),
        ("gpc", json!("1"), "boolean"),
        ("consent", json!("1YES"), "not one of"),
        ("minor", json!("no"), "boolean"),
        ("subjects", json!("football"), "expected an array"),
        ("subjects", json!(["Foot Ball"]), "a-z"),
        ("meta", json!("x"), "expected an object"),
    ] {
        let problem = with(field, value.clone()).expect_err(&format!("{field}: {value}"));
        assert_eq!(problem.field, field, "{problem}");
        assert!(
            problem.problem.contains(hint),
            "{problem} should mention `{hint}`"
        );
        says_what_to_do(&problem);
    }
    assert_eq!(
        post(json!([1]), &Settings::default(), now()).unwrap_err().field,
        "body"
    );
}

/// So many arrays in each other.
fn nested(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, _| json!([inner]))
}

#[test]
fn what_is_kept_of_meta_has_at_most_sixteen_levels_and_16_kib() {
    let settings = Settings {
        keep_fields: [("*".to_owned(), vec!["x".to_owned()])].into(),
        ..Settings::default()
    };
    let with = |x: Value| {
        let mut body = good();
        body["meta"] = json!({"x": x});
        post(body, &settings, now())
    };
    with(nested(15)).unwrap();
    for (value, hint) in [(nested(16), "16 levels"), (json!("y".repeat(20_000)), "limit")] {
        let problem = with(value).unwrap_err();
        assert_eq!(problem.field, "meta", "{problem}");
        assert!(problem.problem.contains(hint), "{problem}");
        says_what_to_do(&problem);
    }
}

#[test]
fn emoji_and_bidi_are_kept_unchanged() {
    assert_eq!(with("text", json!("😂😂")).unwrap().text, "😂😂");
    let text = "\u{202e}shalom\u{202c} שלום\u{200d}";
    assert_eq!(with("text", json!(text)).unwrap().text, text);
}

#[test]
fn only_the_fields_that_the_settings_name_are_kept_and_none_by_default() {
    let mut body = good();
    body["url"] = json!("https://social.example/@ada/3k");
    body["meta"] = json!({"likes": 3, "display_name": "Ada L."});
    let bare = post(body.clone(), &Settings::default(), now()).unwrap();
    assert!(bare.meta.is_empty() && bare.url.is_none(), "{bare:?}");
    let keeping = |network: &str, fields: &[&str]| Settings {
        keep_fields: [(
            network.to_owned(),
            fields.iter().map(|field| (*field).to_owned()).collect(),
        )]
        .into(),
        ..Settings::default()
    };
    for network in ["bluesky", "*"] {
        let kept = post(body.clone(), &keeping(network, &["likes", "url"]), now()).unwrap();
        assert_eq!(json!(kept.meta), json!({"likes": 3}));
        assert_eq!(kept.url.as_deref(), Some("https://social.example/@ada/3k"));
    }
    let other = post(body, &keeping("reddit", &["likes", "url"]), now()).unwrap();
    assert!(other.meta.is_empty() && other.url.is_none());
}

#[test]
fn an_unknown_field_of_a_post_is_refused_like_one_of_an_outcome() {
    let problem = with("subject", json!(["football"])).unwrap_err();
    assert_eq!(problem.field, "post");
    assert!(
        problem.problem.contains("`subject`, did you mean `subjects`?"),
        "{problem}"
    );
    assert!(problem.problem.contains("put it in `meta`"), "{problem}");
    says_what_to_do(&problem);
    let problem = with("likes", json!(3)).unwrap_err();
    assert!(!problem.problem.contains("did you mean"), "{problem}");
}

#[test]
fn a_heartbeat_far_in_the_future_is_refused() {
    let settings = Settings::default();
    assert!(heartbeat(now(), &settings, now()).is_ok());
    let problem = heartbeat(now().plus_millis(86_400_000), &settings, now()).unwrap_err();
    assert!(
        problem.field == "at" && problem.problem.contains("in the future"),
        "{problem}"
    );
}

#[test]
fn an_outcome_names_its_decision_and_kind() {
    let id = limbic_domain::Decision::id_of(&Slug::new("acme").unwrap(), "m");
    let body = json!({"decision": id, "kind": "click", "at": "2026-11-21T08:00:00Z", "id": "k"});
    assert!(outcome(body.clone(), &Settings::default(), now()).is_ok());
    for (field, value) in [
        ("decision", json!("nope")),
        ("kind", json!("clik")),
        ("kind", json!("delivered")),
        ("value", json!(-1)),
        ("value", json!(1.7e308)),
        ("count", json!(1_u64 << 60)),
        ("value", json!("1")),
        ("at", json!("soon")),
        ("id", json!("")),
        ("decision", Value::Null),
        ("kind", Value::Null),
        ("at", Value::Null),
        ("id", Value::Null),
    ] {
        let mut wrong = body.clone();
        wrong[field] = value;
        let problem = outcome(wrong, &Settings::default(), now()).unwrap_err();
        assert_eq!(problem.field, field);
        says_what_to_do(&problem);
    }
    let mut wrong = body;
    wrong["likes"] = json!(3);
    says_what_to_do(&outcome(wrong, &Settings::default(), now()).unwrap_err());
}

#[test]
fn features_of_a_voice_a_face_and_typing_are_refused_wherever_they_are() {
    let all_kept = Settings {
        keep_fields: [("*".to_owned(), vec!["voice_pitch".to_owned()])].into(),
        ..Settings::default()
    };
    for (of, place, value) in [
        (Trait::Voice, "meta", json!({"voice_pitch": 120.5})),
        (
            Trait::Face,
            "meta",
            json!({"media": [{"face": {"landmarks": [[1, 2]]}}]}),
        ),
        (Trait::Typing, "meta", json!({"keystroke_dwell_ms": [81, 90]})),
        (Trait::Voice, "post", json!({"voice_embedding": [0.1, 0.2]})),
        (Trait::Face, "post", json!({"likes": 1, "face_embedding": [0.1]})),
    ] {
        let mut body = good();
        if place == "meta" {
            body["meta"] = value.clone();
        } else {
            body.as_object_mut()
                .unwrap()
                .extend(value.as_object().unwrap().clone());
        }
        for settings in [&Settings::default(), &all_kept] {
            let problem = post(body.clone(), settings, now()).unwrap_err();
            assert_eq!((problem.field, problem.biometric), (place, Some(of)), "{problem}");
            assert!(
                problem.problem.contains("emotion is read from text only"),
                "{problem}"
            );
            says_what_to_do(&problem);
        }
    }
}

#[test]
fn a_post_about_voices_and_faces_and_one_with_a_picture_are_accepted() {
    let mut body = good();
    body["text"] = json!("Her voice_embedding and face landmarks: {\"keystroke_dwell\": 81}");
    body["subjects"] = json!(["voice-pitch", "face-embedding"]);
    body["url"] = json!("https://social.example/voice_embedding/face_landmarks");
    body["meta"] = json!({"tags": ["voice pitch", "keystrokes"], "voice": {"file": "a.ogg", "duration": 3},
        "media": [{"kind": "image", "url": "https://media.example/face.png", "alt": "a face"}]});
    assert!(post(body, &Settings::default(), now()).is_ok());
}

#[test]
fn a_feature_in_an_outcome_is_refused_for_what_it_is() {
    let id = limbic_domain::Decision::id_of(&Slug::new("acme").unwrap(), "m");
    let body =
        json!({"decision": id, "kind": "click", "at": "2026-11-21T08:00:00Z", "id": "k", "typing_speed": 4});
    let problem = outcome(body, &Settings::default(), now()).unwrap_err();
    assert_eq!(
        (problem.field, problem.biometric),
        ("outcome", Some(Trait::Typing))
    );
}
