//! Ads that wait for a person.

use limbic_domain::{Envelope, ReviewMode, ReviewRequest, Utc};
use limbic_safety::Verdict;

use crate::kit::{
    Warnings, approved, cleared, draft, enveloped, process_with, reviews, rules, suppressed, unreviewed,
    verdict, with_reviews,
};

#[test]
fn an_ad_that_nobody_approved_does_not_run() {
    let Verdict::Suppressed {
        suppression,
        removals,
    } = verdict(&unreviewed(), &rules())
    else {
        panic!("an ad runs that nobody approved");
    };
    assert_eq!(suppression.rule, "no_creative_left");
    assert_eq!(removals[0].rule, "awaits_review");
    assert_eq!(removals[0].removed, ["creative/c1", "creative/c2"]);
    let mut one = unreviewed();
    approved(&mut one, 1);
    let Verdict::Cleared(set) = verdict(&one, &rules()) else {
        panic!("an approved ad does not run");
    };
    assert_eq!(set.creatives.len(), 1);
    assert_eq!(set.creatives[0].id, "c2");
    assert!(
        set.creatives[0].approval.is_some(),
        "a decision says who approved its ad"
    );
}

#[test]
fn only_texts_of_a_model_wait_if_the_mode_says_so() {
    let mut draft = draft();
    draft.campaigns[0].review = ReviewMode::AiTexts;
    draft.campaigns[0].creatives[0].ai_generated = true;
    let Verdict::Cleared(set) = verdict(&draft, &rules()) else {
        panic!("nothing runs");
    };
    let ids: Vec<&str> = set.creatives.iter().map(|ad| ad.id.as_str()).collect();
    assert_eq!(ids, ["c2"]);
}

#[test]
fn an_approval_outweighs_no_other_rule() {
    let mut draft = unreviewed();
    approved(&mut draft, 0);
    draft.campaigns[0].creatives[0].rendering.headline = "Feeling sad?".into();
    let Verdict::Suppressed { removals, .. } = verdict(&draft, &rules()) else {
        panic!("an approved ad about feelings runs");
    };
    assert!(removals.iter().any(|removal| removal.rule == "feeling"));
}

#[test]
fn a_person_is_asked_once_about_each_ad_that_only_waits_for_them() {
    let mut draft = unreviewed();
    draft.campaigns[0].creatives[1].rendering.headline = "Feeling sad?".into();
    let first = process_with(with_reviews(Vec::new()), vec![enveloped(draft.clone())]);
    let asked = reviews(&first);
    let [(key, value)] = &asked[..] else {
        panic!("one of the two ads only waits: {asked:?}");
    };
    assert_eq!(key, "mine/spring/c1/request");
    let request = Envelope::<ReviewRequest>::decode(value).unwrap();
    assert_eq!(request.data.creative.id, "c1");
    assert_eq!(
        (request.data.moment.as_str(), request.at),
        ("m1", Utc::from_millis(5))
    );
    let again = process_with(with_reviews(asked), vec![enveloped(draft.clone())]);
    assert_eq!(reviews(&again), [], "the request is known");
    // Another instance, or the same one after a kill, has not seen the request: it writes the same one.
    let repeated = process_with(with_reviews(Vec::new()), vec![enveloped(draft)]);
    assert_eq!(reviews(&repeated), reviews(&first));
}

#[test]
fn a_suppressed_campaign_asks_nobody() {
    let mut draft = unreviewed();
    draft.mood.distress = 0.9;
    let effects = process_with(with_reviews(Vec::new()), vec![enveloped(draft)]);
    assert_eq!(reviews(&effects), []);
}

#[test]
fn the_log_warns_of_ads_about_which_nobody_is_asked_and_of_no_others() {
    let model = draft().campaigns[0].creatives[0].clone();
    let warnings = |ads: usize| {
        let mut draft = unreviewed();
        draft.campaigns[0].creatives = (0..ads)
            .map(|number| limbic_domain::Creative {
                id: format!("n{number:03}"),
                ..model.clone()
            })
            .collect();
        let counted = Warnings::default();
        let count = std::sync::Arc::clone(&counted.0);
        tracing::subscriber::with_default(counted, || {
            process_with(with_reviews(Vec::new()), vec![enveloped(draft)]);
        });
        count.load(std::sync::atomic::Ordering::Relaxed) > 0
    };
    assert!(!warnings(1));
    assert!(!warnings(500), "so many may wait");
    assert!(warnings(501));
}

#[test]
fn the_ads_that_wait_are_bounded() {
    let mut draft = unreviewed();
    let model = draft.campaigns[0].creatives[0].clone();
    draft.campaigns[0].creatives = (0..502)
        .map(|number| limbic_domain::Creative {
            id: format!("n{number:03}"),
            ..model.clone()
        })
        .collect();
    let first = process_with(with_reviews(Vec::new()), vec![enveloped(draft.clone())]);
    let mut table = reviews(&first);
    assert_eq!(table.len(), 500);
    let full = process_with(with_reviews(table.clone()), vec![enveloped(draft.clone())]);
    assert_eq!(reviews(&full), []);
    table.push(("mine/spring/n000/verdict".to_owned(), b"{}".to_vec()));
    let freed = process_with(with_reviews(table), vec![enveloped(draft)]);
    let asked: Vec<String> = reviews(&freed).into_iter().map(|(key, _)| key).collect();
    assert_eq!(
        asked,
        ["mine/spring/n500/request"],
        "a verdict makes room for one more"
    );
}

#[test]
fn what_is_on_the_picture_is_judged_too() {
    let with = |brand: &str, button: &str| {
        let mut draft = draft();
        draft.campaigns[0].creatives.truncate(1);
        draft.campaigns[0].creatives[0].picture = Some(limbic_domain::Picture {
            image: "x/post/landscape".into(),
            width: 1200,
            height: 628,
            brand: brand.into(),
            button: button.into(),
            colours: Vec::new(),
            background: None,
        });
        draft
    };
    let set = cleared(&with("Acme Boots", "Try a pair"), &rules());
    assert!(set.creatives[0].picture.is_some());
    cleared(&with("", ""), &rules());
    for (brand, button, rule) in [
        ("Acme Cancer Care", "Try a pair", "sensitive_word"),
        ("Acme Boots", "Take out a loan", "undeclared_category"),
        ("Acme Boots", "Bo\u{200b}ots", "malformed"),
        ("Ботинки", "Try a pair", "unreadable"),
        (
            "Acme Boots",
            "Probieren Sie die Stiefel jetzt an",
            "unknown_language",
        ),
    ] {
        let (suppression, removals) = suppressed(&with(brand, button), &rules());
        assert_eq!(suppression.rule, "no_creative_left");
        assert_eq!(removals[0].rule, rule, "{brand} {button}");
    }
}

#[test]
fn a_card_over_a_picture_of_a_model_needs_the_mark_and_then_a_person() {
    let with = |is_marked: bool, approval: serde_json::Value| {
        let mut draft = draft();
        draft.campaigns[0].creatives.truncate(1);
        draft.campaigns[0].review = ReviewMode::AiTexts;
        let ad = &mut draft.campaigns[0].creatives[0];
        ad.ai_generated = is_marked;
        ad.approval = serde_json::from_value(approval).unwrap();
        let picture = serde_json::json!({
            "image": "x/post/landscape", "width": 1200, "height": 628, "brand": "Acme Boots", "button": "Try a pair",
            "background": {"file": "ab.png", "model": "own/small-1", "strategy": "backdrop", "prompt": {"version": 1, "hash": "00"}},
        });
        ad.picture = serde_json::from_value(picture).unwrap();
        draft
    };
    let approved = serde_json::json!({"rule": "person", "by": "key-1", "at": "2026-11-30T12:00:00Z"});
    for (draft, rule) in [
        (with(false, approved.clone()), "ai_mark"),
        (with(true, serde_json::Value::Null), "awaits_review"),
    ] {
        let (suppression, removals) = suppressed(&draft, &rules());
        assert_eq!(suppression.rule, "no_creative_left");
        assert_eq!(removals[0].rule, rule);
    }
    let set = cleared(&with(true, approved), &rules());
    assert!(set.creatives[0].picture.as_ref().unwrap().background.is_some());
}
