//! What the built-in templates say, and what the advertiser's brand kit and the ad platform leave of it.

#![expect(
    clippy::unwrap_used,
    reason = "what a test sets up is right, or the test fails"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use limbic_creative::{Campaigns, Occasion, Problem, Reviews, Settings, Template, Texts, Writer, built_in};
use limbic_domain::{
    Brief, Campaign, CampaignDraft, Creative, Direction, IntentKind, Micros, Platform, Slug, TenantId,
    testing,
};

fn slug(text: &str) -> Slug {
    Slug::new(text).unwrap()
}

fn campaign() -> Campaign {
    Campaign {
        brands: Vec::new(),
        id: slug("spring"),
        brief: Brief {
            product: "Acme Boots".into(),
            promise: "Warm feet in any weather".into(),
            call_to_action: "Try a pair".into(),
            link: "https://example.com/boots".into(),
            ..Brief::default()
        },
        subjects: Vec::new(),
        direction: None,
        platforms: vec![Platform {
            name: slug("file"),
            headline: 60,
            body: 180,
        }],
        bid: Micros(1_000),
        declared: limbic_domain::Declaration::default(),
        review: None,
    }
}

fn written(settings: &Settings, campaign: &Campaign, occasion: &Occasion<'_>) -> CampaignDraft {
    Writer::new(settings).unwrap().write(
        &TenantId::default(),
        campaign,
        occasion,
        (&Reviews::default(), &Texts::default()),
    )
}

fn many() -> Settings {
    Settings {
        variants: 100,
        ..Settings::default()
    }
}

fn names(draft: &CampaignDraft) -> BTreeSet<&str> {
    let names = draft.creatives.iter();
    names
        .map(|one| one.generator.strip_prefix("template/").unwrap())
        .collect()
}

fn problems(settings: &Settings, campaign: &Campaign) -> Vec<String> {
    let campaigns = Campaigns::new().with(TenantId::default(), campaign.clone());
    let checked = settings.check(&campaigns);
    checked.map_or_else(
        |error| error.problems.iter().map(Problem::to_string).collect(),
        |()| Vec::new(),
    )
}

/// Every sentence that people can see is looked at in this snapshot: does it sound right for the feeling?
#[test]
fn what_the_built_in_templates_say() {
    let mut offer = campaign();
    offer.brief.offer = "10 % off until Sunday".into();
    let plain = campaign();
    let up = || Occasion::new("football", Direction::Up);
    let down = || Occasion::new("football", Direction::Down);
    let occasions = [
        ("up", &plain, up()),
        (
            "up, joy",
            &plain,
            Occasion {
                emotion: Some("joy"),
                ..up()
            },
        ),
        (
            "up, pride",
            &plain,
            Occasion {
                emotion: Some("pride"),
                ..up()
            },
        ),
        (
            "up, gratitude",
            &plain,
            Occasion {
                emotion: Some("gratitude"),
                ..up()
            },
        ),
        (
            "up, curiosity, with an offer",
            &offer,
            Occasion {
                emotion: Some("curiosity"),
                ..up()
            },
        ),
        (
            "up, all subjects together",
            &plain,
            Occasion::new("all", Direction::Up),
        ),
        (
            "up, the own product, questions",
            &plain,
            Occasion {
                intent: IntentKind::Question,
                ..Occasion::new("acme-boots", Direction::Up)
            },
        ),
        ("down", &plain, down()),
        (
            "down, sadness",
            &plain,
            Occasion {
                emotion: Some("sadness"),
                ..down()
            },
        ),
        ("down, with an offer", &offer, down()),
        (
            "down, posts name the product and want to buy",
            &plain,
            Occasion {
                intent: IntentKind::Purchase,
                brands: vec!["Acme Boots"],
                ..down()
            },
        ),
    ];
    let mut said = String::new();
    for (name, campaign, occasion) in occasions {
        let draft = written(&many(), campaign, &occasion);
        writeln!(said, "{name}").unwrap();
        for Creative {
            generator,
            tone,
            factors,
            rendering,
            ..
        } in &draft.creatives
        {
            let factors: Vec<String> = factors
                .pairs()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            writeln!(said, "  {generator} [{tone}, {}]", factors.join(", ")).unwrap();
            writeln!(said, "    {} | {}", rendering.headline, rendering.body).unwrap();
        }
    }
    insta::assert_snapshot!(said);
}

#[test]
fn a_template_carries_its_version_and_a_hash_of_what_it_says() {
    let of = |template: Template| {
        let settings = Settings {
            built_in: false,
            templates: vec![template],
            ..Settings::default()
        };
        let draft = written(&settings, &campaign(), &Occasion::new("football", Direction::Up));
        draft.creatives[0].generator_version.clone().unwrap()
    };
    let first = built_in().into_iter().next().unwrap();
    let mut other = first.clone();
    other.headline.push('?');
    let (one, two) = (of(first.clone()), of(other));
    assert_eq!(one, of(first.clone()), "the same text, the same hash");
    assert_eq!((one.version, two.version), (first.version, first.version));
    assert_ne!(
        one.hash, two.hash,
        "a changed text is seen although its version was forgotten"
    );
    assert_eq!(one.hash.len(), 16);
}

#[test]
fn every_built_in_template_declares_its_factors_and_names_no_feeling() {
    let templates = built_in();
    let names: BTreeSet<&str> = templates.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names.len(), templates.len());
    let feelings = [
        "feel", "mood", "happy", "sad", "joy", "angry", "afraid", "upset", "excited", "love",
    ];
    for template in &templates {
        assert!(
            template.appeal.is_some() && template.call_to_action.is_some(),
            "{}",
            template.name
        );
        let text = format!("{} {}", template.headline, template.body).to_lowercase();
        assert!(!feelings.iter().any(|word| text.contains(word)), "{text}");
        let prints = |name: &str| text.contains(&format!("{{{{ {name}"));
        assert_eq!(prints("subject"), template.names_subject, "{}", template.name);
        assert_eq!(prints("offer"), template.needs_offer, "{}", template.name);
        let for_all_moods = template.direction != Some(Direction::Up);
        assert!(
            !for_all_moods || (!text.contains('!') && !template.names_subject),
            "{text}"
        );
    }
}

#[test]
fn an_emotion_chooses_a_template_if_it_is_the_strongest_and_pleasant() {
    let mut moment = testing::moment("everyone:football".parse().unwrap(), Direction::Up, Vec::new());
    let with = |emotions: &[(&str, f64)], moment: &mut limbic_domain::Moment| {
        let emotions = emotions.iter().map(|&(name, value)| (name.to_owned(), value));
        moment.change.mood.emotions = emotions.collect();
        let draft = written(&many(), &campaign(), &Occasion::of(moment));
        names(&draft)
            .into_iter()
            .map(str::to_owned)
            .collect::<BTreeSet<_>>()
    };
    let none = with(&[], &mut moment);
    assert_eq!(with(&[("joy", 0.05)], &mut moment), none, "faint");
    let joy = with(&[("joy", 0.6), ("pride", 0.5)], &mut moment);
    assert_eq!(joy.difference(&none).collect::<Vec<_>>(), ["celebrate-remember"]);
    let pride = with(&[("joy", 0.4), ("pride", 0.5)], &mut moment);
    assert_eq!(pride.difference(&none).collect::<Vec<_>>(), ["celebrate-earned"]);
    for unpleasant in ["grief", "fear", "sadness", "anger", "disgust"] {
        assert_eq!(
            with(&[(unpleasant, 0.9), ("joy", 0.6)], &mut moment),
            none,
            "{unpleasant}"
        );
    }

    let mut template = built_in().into_iter().next().unwrap();
    template.name = slug("mine");
    template.emotions = vec![slug("grief")];
    let settings = Settings {
        templates: vec![template],
        ..Settings::default()
    };
    let error = Writer::new(&settings).unwrap_err().to_string();
    assert!(
        error.contains("`grief`") && error.contains("unpleasant") && error.contains("joy"),
        "{error}"
    );
}

#[test]
fn an_ad_for_a_bad_moment_names_no_subject_and_does_not_press() {
    let draft = written(&many(), &campaign(), &Occasion::new("football", Direction::Down));
    assert!(draft.creatives.len() >= 4);
    for creative in draft.creatives {
        let text = format!("{} {}", creative.rendering.headline, creative.rendering.body).to_lowercase();
        assert!(!text.contains("football") && !text.contains('!'), "{text}");
    }
}

#[test]
fn the_own_brand_is_not_named_as_the_subject() {
    let subjects = |subject| {
        let draft = written(&many(), &campaign(), &Occasion::new(subject, Direction::Up));
        names(&draft).iter().any(|name| name.ends_with("-subject"))
    };
    assert!(subjects("football"));
    assert!(!subjects("acme-boots") && !subjects("all"));
}

#[test]
fn tones_take_turns_when_there_are_more_ads_than_are_wanted() {
    let settings = Settings {
        variants: 3,
        ..Settings::default()
    };
    let draft = written(&settings, &campaign(), &Occasion::new("football", Direction::Up));
    let tones: Vec<&str> = draft.creatives.iter().map(|one| one.tone.as_str()).collect();
    assert_eq!(tones, ["celebrate", "bright", "plain"]);
}

#[test]
fn a_brand_kit_limits_tones_words_and_claims() {
    let occasion = Occasion::new("football", Direction::Up);
    let mut quiet = campaign();
    quiet.brief.brand.tones = vec![slug("plain")];
    let draft = written(&many(), &quiet, &occasion);
    assert!(draft.creatives.iter().all(|one| one.tone.as_str() == "plain") && !draft.creatives.is_empty());
    let mut odd = campaign();
    odd.brief.brand.tones = vec![slug("shrill")];
    assert!(
        problems(&many(), &odd)
            .iter()
            .any(|problem| problem.contains("none of 0 templates"))
    );

    let mut modest = campaign();
    modest.brief.brand.banned_words = vec!["hello".into(), "good moments".into()];
    let draft = written(&many(), &modest, &occasion);
    let left: BTreeSet<&str> = names(&draft);
    assert!(!left.contains("bright-1") && !left.contains("celebrate-1") && left.contains("plain-1"));
    let removed: Vec<_> = draft
        .removals
        .iter()
        .map(|one| (&*one.rule, &*one.removed[0]))
        .collect();
    assert_eq!(
        removed,
        [("brand", "template/celebrate-1"), ("brand", "template/bright-1")]
    );
    assert!(
        draft.removals[0].reason.contains("“good moments”"),
        "{}",
        draft.removals[0].reason
    );

    let mut proud = campaign();
    proud.brief.promise = "The best boots in town".into();
    assert!(
        problems(&many(), &proud).is_empty(),
        "claims are checked on request"
    );
    proud.brief.brand.claims = Some(Vec::new());
    let found = problems(&many(), &proud);
    assert!(
        found[0].contains("brief.promise") && found[0].contains("“best”"),
        "{found:?}"
    );
    proud.brief.brand.claims = Some(vec!["best boots in town".into()]);
    assert!(problems(&many(), &proud).is_empty());

    let mut colours = campaign();
    colours.brief.brand.colours = vec!["#102030".into(), "navy".into()];
    let found = problems(&many(), &colours);
    assert!(
        found.len() == 1 && found[0].contains("`navy`") && found[0].contains("#1a2b3c"),
        "{found:?}"
    );
}

#[test]
fn an_ad_fits_the_format_of_its_platform_as_the_platform_counts() {
    let with = |format: &str| Settings {
        formats: BTreeMap::from([(slug("file"), format.to_owned())]),
        variants: 100,
        ..Settings::default()
    };
    let mut japanese = campaign();
    japanese.brief.product = "アクメの長靴".into();
    japanese.brief.promise = "どんな天気でも足が温かい。".into();
    japanese.brief.call_to_action = "今日お試しください。".into();
    japanese.platforms[0].headline = 30;
    japanese.platforms[0].body = 90;
    let occasion = Occasion::new("football", Direction::Up);
    let format = limbic_fit::format("google-ads", "responsive-search").unwrap();
    let fits = |creative: &Creative| {
        let body = format.field("body").unwrap();
        let headline = format.field("headline").unwrap();
        headline.excess(&creative.rendering.headline).is_none()
            && body.excess(&creative.rendering.body).is_none()
    };
    let anyhow = written(&many(), &japanese, &occasion);
    assert!(
        !anyhow.creatives.iter().all(fits),
        "30 graphemes can be more than 30 columns"
    );
    let fitted = written(&with("google-ads/responsive-search"), &japanese, &occasion);
    assert!(fitted.creatives.iter().all(fits) && !fitted.creatives.is_empty());
    let marks = fitted
        .creatives
        .iter()
        .any(|one| one.rendering.headline.contains('!'));
    assert!(!marks, "Google Ads takes no exclamation mark in a headline");

    let unknown = Writer::new(&with("google-ads/banner")).unwrap_err().to_string();
    assert!(
        unknown.contains("creative.formats.file") && unknown.contains("google-ads/responsive-search"),
        "{unknown}"
    );
}

#[test]
fn an_ad_has_the_picture_of_its_platform() {
    let with = |image: &str| Settings {
        formats: BTreeMap::from([(slug("file"), "x/post".to_owned())]),
        pictures: BTreeMap::from([(slug("file"), image.to_owned())]),
        ..many()
    };
    let mut campaign = campaign();
    campaign.brief.brand.colours = vec!["#102030".into()];
    let occasion = Occasion::new("football", Direction::Up);
    let plain = Settings {
        pictures: BTreeMap::new(),
        ..with("landscape")
    };
    let plain = written(&plain, &campaign, &occasion).creatives;
    let shown = written(&with("landscape"), &campaign, &occasion).creatives;
    assert_eq!(plain.len(), shown.len());
    for (plain, shown) in plain.iter().zip(&shown) {
        assert_eq!((&plain.picture, &plain.factors.image), (&None, &None));
        let picture = shown.picture.as_ref().unwrap();
        assert_eq!(
            (&*picture.image, picture.width, picture.height),
            ("x/post/landscape", 1200, 628)
        );
        assert_eq!((&*picture.brand, &*picture.button), ("Acme Boots", "Try a pair"));
        assert_eq!(picture.colours, ["#102030"]);
        assert_eq!(shown.factors.image, Some(slug("landscape")));
        assert!(shown.factors.pairs().any(|pair| pair == ("image", "landscape")));
        assert_eq!(shown.rendering, plain.rendering);
        assert_ne!(shown.id, plain.id, "another picture is another ad");
    }
    campaign.brief.call_to_action = "Come and try".into();
    let changed = written(&with("landscape"), &campaign, &occasion).creatives;
    assert!(
        shown
            .iter()
            .all(|one| changed.iter().all(|other| one.id != other.id))
    );
}

#[test]
fn a_picture_that_the_platform_does_not_take_is_an_error_that_says_which_it_takes() {
    let problem = |format: Option<&str>, image: &str| {
        let formats = format.map(|format| (slug("file"), format.to_owned()));
        let settings = Settings {
            formats: formats.into_iter().collect(),
            pictures: BTreeMap::from([(slug("file"), image.to_owned())]),
            ..Settings::default()
        };
        Writer::new(&settings).unwrap_err().to_string()
    };
    let unknown = problem(Some("x/post"), "round");
    assert_eq!(
        unknown,
        "creative.pictures.file: x/post has no image `round`: use one of landscape, square"
    );
    let none = problem(Some("google-ads/responsive-search"), "landscape");
    assert_eq!(
        none,
        "creative.pictures.file: google-ads/responsive-search takes no picture"
    );
    let formatless = problem(None, "landscape");
    assert_eq!(
        formatless,
        "creative.pictures.file: name the format of the platform in `creative.formats.file` too"
    );
}
