//! The promises of the creative stage.

#![expect(
    clippy::unwrap_used,
    reason = "what a test sets up is right, or the test fails"
)]

use std::collections::BTreeSet;

use bytes::Bytes;
use limbic_creative::{
    Campaigns, CreativeStage, Occasion, Problem, Reviews, Settings, Template, Texts, Writer,
};
use limbic_domain::{
    AudienceId, Brief, Campaign, ConsentState, Direction, Draft, Envelope, IntentKind, Micros, Moment,
    MomentKind, Platform, Pseudonym, Recipient, Slug, TenantId, Utc, event_id, testing, topics,
};
use limbic_stream::testing::MemoryState;
use limbic_stream::{Batch, Effects, Headers, Outputs, Record, References, Stage, header};
use proptest::prelude::*;
use unicode_segmentation::UnicodeSegmentation;

fn slug(text: &str) -> Slug {
    Slug::new(text).unwrap()
}

fn platform(name: &str, headline: usize, body: usize) -> Platform {
    Platform {
        name: slug(name),
        headline,
        body,
    }
}

fn campaign(id: &str) -> Campaign {
    Campaign {
        brands: Vec::new(),
        id: slug(id),
        brief: Brief {
            product: "Acme Boots".into(),
            promise: "Warm feet in any weather".into(),
            call_to_action: "Try a pair".into(),
            link: "https://example.com/boots".into(),
            ..Brief::default()
        },
        subjects: Vec::new(),
        direction: None,
        platforms: vec![platform("webhook", 40, 120)],
        bid: Micros(250_000),
        declared: limbic_domain::Declaration::default(),
        review: None,
    }
}

fn alone(campaign: Campaign) -> Campaigns {
    Campaigns::new().with(TenantId::default(), campaign)
}

fn moment(subject: &str, direction: Direction) -> Envelope<Moment> {
    let person = Recipient {
        person: Pseudonym::new(&"a".repeat(32)).unwrap(),
        distress: 0.0,
        consent: ConsentState::Given,
        minor: false,
        valence: 0.0,
    };
    let audience = AudienceId::of(&slug("everyone"), &slug(subject));
    let data = testing::moment(audience, direction, vec![person]);
    Envelope::new(
        TenantId::default(),
        event_id("moment", &[subject]),
        Utc::from_millis(7_000),
        data,
    )
}

fn record(offset: u64, value: Vec<u8>) -> Record {
    Record {
        topic: topics::MOMENTS.into(),
        partition: 2,
        offset,
        key: Bytes::from_static(b"default/everyone:football"),
        value: value.into(),
        headers: Headers::new().with(header::TRACE_PARENT, &b"00-1-2-01"[..]),
        timestamp: Utc::from_millis(7_000),
    }
}

/// The table of the topic `campaigns`.
fn table(campaigns: &Campaigns) -> References {
    let records = campaigns.records(Utc::from_millis(5));
    References::new()
        .with(
            topics::CAMPAIGNS,
            records.map(|(key, envelope)| (key, envelope.encode())),
        )
        .with::<&str, &[u8]>(topics::REVIEWS, [])
        .with::<&str, &[u8]>(topics::TEXTS, [])
        .with::<&str, &[u8]>(topics::BACKGROUNDS, [])
}

fn process(stage: &mut CreativeStage, campaigns: &Campaigns, values: Vec<Vec<u8>>) -> Effects {
    let batch = Batch {
        records: values
            .into_iter()
            .zip(0..)
            .map(|(value, offset)| record(offset, value))
            .collect(),
    };
    let memory = MemoryState::default();
    let references = table(campaigns);
    let mut out = Outputs::with_references(&memory, &references);
    stage.process(&batch, &mut out).unwrap();
    out.into_effects()
}

fn drafts(effects: &Effects) -> Vec<Envelope<Draft>> {
    effects
        .records
        .iter()
        .map(|(_, record)| Envelope::decode(&record.value).unwrap())
        .collect()
}

fn problems(settings: &Settings, campaigns: &Campaigns) -> Vec<Problem> {
    settings
        .check(campaigns)
        .map_or_else(|error| error.problems, |()| Vec::new())
}

#[test]
fn a_moment_becomes_one_draft_with_every_campaign_that_wants_it() {
    let mut football_up = campaign("football-up");
    football_up.subjects = vec![slug("football")];
    football_up.direction = Some(Direction::Up);
    let mut down = campaign("down");
    down.direction = Some(Direction::Down);
    let mut tennis = campaign("tennis");
    tennis.subjects = vec![slug("tennis")];
    let campaigns = [football_up, down, tennis, campaign("all")]
        .into_iter()
        .fold(Campaigns::new(), |all, one| all.with(TenantId::default(), one))
        .with(TenantId::new("other").unwrap(), campaign("theirs"));

    let mut stage = CreativeStage::new(&Settings::default()).unwrap();
    let moment = moment("football", Direction::Up);
    let effects = process(&mut stage, &campaigns, vec![moment.encode()]);

    let keys: Vec<_> = effects
        .records
        .iter()
        .map(|(_, record)| record.key.clone())
        .collect();
    assert_eq!(keys, ["default/everyone:football"]);
    let (partition, written) = &effects.records[0];
    assert_eq!((*partition, &*written.topic), (2, topics::DRAFTS));
    assert_eq!(written.headers.text(header::TRACE_PARENT), Some("00-1-2-01"));
    let draft = &drafts(&effects)[0];
    assert_eq!(draft.id, event_id("draft", &[&moment.id, "all"]));
    assert_eq!((draft.at, &draft.tenant), (moment.at, &moment.tenant));
    assert_eq!(draft.data.people, moment.data.people);
    assert_eq!(draft.data.mood, moment.data.mood);
    let campaigns: Vec<_> = draft
        .data
        .campaigns
        .iter()
        .map(|one| (one.campaign.as_str(), one.bid))
        .collect();
    assert_eq!(
        campaigns,
        [("all", Micros(250_000)), ("football-up", Micros(250_000))]
    );
    assert!(draft.data.campaigns.iter().all(|one| !one.creatives.is_empty()));
}

#[test]
fn many_campaigns_are_divided_into_drafts_below_the_brokers_limit() {
    const CAMPAIGNS: usize = 150;
    let all = (0..CAMPAIGNS)
        .map(|n| {
            let mut one = campaign(&format!("campaign-{n}"));
            one.platforms = vec![platform("webhook", 40, 2_000), platform("file", 40, 2_000)];
            one.brief.promise = "warm feet ".repeat(100);
            one
        })
        .fold(Campaigns::new(), |all, one| all.with(TenantId::default(), one));
    let mut stage = CreativeStage::new(&Settings::default()).unwrap();
    let effects = process(&mut stage, &all, vec![moment("football", Direction::Up).encode()]);
    let largest = effects.records.iter().map(|(_, record)| record.value.len()).max();
    assert!(largest.unwrap() < 500_000, "{largest:?}");
    let drafts = drafts(&effects);
    let ids: BTreeSet<_> = drafts.iter().map(|draft| draft.id.as_str()).collect();
    assert_eq!(ids.len(), drafts.len());
    assert!((2..CAMPAIGNS / 2).contains(&drafts.len()), "{}", drafts.len());
    let campaigns = drafts.iter().flat_map(|draft| &draft.data.campaigns);
    let campaigns: Vec<_> = campaigns.map(|one| one.campaign.to_string()).collect();
    let expected: BTreeSet<_> = (0..CAMPAIGNS).map(|n| format!("campaign-{n}")).collect();
    assert!(
        campaigns.iter().eq(&expected),
        "each once, in the order of their keys"
    );
}

#[test]
fn the_same_moment_gives_the_same_drafts_byte_for_byte() {
    let stage = CreativeStage::new(&Settings::default()).unwrap();
    let value = moment("football", Direction::Down).encode();
    let once = process(
        &mut stage.another(),
        &alone(campaign("spring")),
        vec![value.clone()],
    );
    let again = process(&mut stage.another(), &alone(campaign("spring")), vec![value]);
    assert_eq!(once.records, again.records);
}

#[test]
fn a_changed_table_is_seen_from_the_next_call_on_and_named_in_the_draft() {
    let mut stage = CreativeStage::new(&Settings::default()).unwrap();
    let value = moment("football", Direction::Up).encode();
    let two = alone(campaign("spring")).with(TenantId::default(), campaign("summer"));
    for (campaigns, version, drafts) in [
        (Campaigns::new(), "backgrounds@0,campaigns@0,reviews@0,texts@0", 0),
        (
            alone(campaign("spring")),
            "backgrounds@0,campaigns@1,reviews@0,texts@0",
            1,
        ),
        (two, "backgrounds@0,campaigns@2,reviews@0,texts@0", 2),
    ] {
        let effects = process(&mut stage, &campaigns, vec![value.clone()]);
        let written: usize = self::drafts(&effects)
            .iter()
            .map(|draft| draft.data.campaigns.len())
            .sum();
        assert_eq!(written, drafts, "{version}");
        for (_, record) in &effects.records {
            assert_eq!(record.headers.text(header::REFERENCES), Some(version));
        }
    }
}

#[test]
fn the_tones_follow_the_direction() {
    let campaign = campaign("spring");
    let writer = Writer::new(&Settings::default()).unwrap();
    let tones = |direction| -> BTreeSet<String> {
        let draft = writer.write(
            &TenantId::default(),
            &campaign,
            &Occasion::new("football", direction),
            (&Reviews::default(), &Texts::default()),
        );
        assert!(draft.removals.is_empty());
        draft
            .creatives
            .iter()
            .map(|creative| creative.tone.to_string())
            .collect()
    };
    assert_eq!(
        tones(Direction::Up),
        ["bright", "celebrate", "plain"].map(String::from).into()
    );
    assert_eq!(
        tones(Direction::Down),
        ["calm", "plain", "practical"].map(String::from).into()
    );
}

#[test]
fn a_malformed_moment_is_a_dead_letter_and_the_others_are_processed() {
    let mut stage = CreativeStage::new(&Settings::default()).unwrap();
    let good = moment("football", Direction::Up).encode();
    let truncated = good[..good.len() / 2].to_vec();
    let later = br#"{"type":"moment","v":99,"data":{}}"#.to_vec();
    let other = br#"{"type":"post","v":1,"data":{}}"#.to_vec();
    let effects = process(
        &mut stage,
        &alone(campaign("spring")),
        vec![truncated, b"\xff\xfe".to_vec(), good, later, other, Vec::new()],
    );
    assert_eq!(effects.records.len(), 1);
    let dead: Vec<_> = effects
        .dead
        .iter()
        .map(|dead| (dead.record.offset, dead.reason))
        .collect();
    assert_eq!(dead, [0, 1, 3, 4, 5].map(|offset| (offset, "malformed")));
    assert!(
        effects.dead[2].detail.contains("version 99"),
        "{}",
        effects.dead[2].detail
    );
}

#[test]
fn a_creatives_id_changes_with_its_copy_and_with_nothing_else() {
    let tenant = TenantId::default();
    let ids = |tenant: &TenantId, campaign: &Campaign, subject: &str| -> BTreeSet<String> {
        let writer = Writer::new(&Settings::default()).unwrap();
        let draft = writer.write(
            tenant,
            campaign,
            &Occasion::new(subject, Direction::Up),
            (&Reviews::default(), &Texts::default()),
        );
        let ids: BTreeSet<_> = draft
            .creatives
            .iter()
            .map(|creative| creative.id.clone())
            .collect();
        assert_eq!(ids.len(), draft.creatives.len(), "ids are unique");
        ids
    };
    let spring = campaign("spring");
    let base = ids(&tenant, &spring, "football");
    let tennis = ids(&tenant, &spring, "tennis");
    assert!(
        base.intersection(&tennis).count() >= 5,
        "another subject, the same copy"
    );
    assert!(base != tennis, "but for the ads that name it");
    let mut dearer = spring.clone();
    dearer.bid = Micros(1);
    assert_eq!(
        base,
        ids(&tenant, &dearer, "football"),
        "another price, the same copy"
    );

    let mut renamed = spring.clone();
    renamed.brief.product = "Acme Shoes".into();
    assert!(base.is_disjoint(&ids(&tenant, &renamed, "football")));
    let mut elsewhere = spring.clone();
    elsewhere.brief.link = "https://example.com/other".into();
    assert!(base.is_disjoint(&ids(&tenant, &elsewhere, "football")));
    assert!(base.is_disjoint(&ids(&tenant, &campaign("autumn"), "football")));
    assert!(base.is_disjoint(&ids(&TenantId::new("other").unwrap(), &spring, "football")));
}

#[test]
fn a_shorter_template_is_preferred_to_a_cut() {
    let mut small = campaign("spring");
    small.platforms = vec![platform("file", 12, 12)];
    let writer = Writer::new(&Settings::default()).unwrap();
    let draft = writer.write(
        &TenantId::default(),
        &small,
        &Occasion::new("football", Direction::Up),
        (&Reviews::default(), &Texts::default()),
    );
    let said: Vec<_> = draft
        .creatives
        .iter()
        .map(|creative| (&*creative.rendering.headline, &*creative.rendering.body))
        .collect();
    assert_eq!(
        said,
        [("Acme Boots!", "Try a pair.")],
        "the one without a mark is nearly the same"
    );
}

#[test]
fn a_body_is_cut_between_words_only_if_no_template_fits_whole() {
    let mut small = campaign("spring");
    small.brief.call_to_action = "Come and try a pair of them on in our shop".into();
    small.platforms = vec![platform("file", 12, 24)];
    let writer = Writer::new(&Settings::default()).unwrap();
    let draft = writer.write(
        &TenantId::default(),
        &small,
        &Occasion::new("football", Direction::Down),
        (&Reviews::default(), &Texts::default()),
    );
    let bodies: BTreeSet<_> = draft
        .creatives
        .iter()
        .map(|creative| creative.rendering.body.as_str())
        .collect();
    assert_eq!(bodies, ["Warm feet in any…"].into_iter().collect());
}

#[test]
fn a_brief_that_cannot_fit_is_an_error_at_start_up_that_says_what_to_do() {
    let mut tiny = campaign("spring");
    tiny.platforms = vec![platform("webhook", 40, 120), platform("banner", 5, 100)];
    let error = Settings::default().check(&alone(tiny)).unwrap_err();
    assert_eq!(error.problems.len(), 2, "{error}");
    let text = error.to_string();
    for said in [
        "default/spring",
        "`banner`",
        "goes up",
        "goes down",
        "headline of 5",
        "needs 10 and",
        "shorten the brief",
    ] {
        assert!(text.contains(said), "`{said}` is not in: {text}");
    }
}

#[test]
fn hidden_characters_in_a_brief_are_refused_with_the_name_of_the_field() {
    for hidden in [
        "Acme\u{202E}Boots",
        "Acme\u{200B}Boots",
        "Acme\nBoots",
        "Acme\u{0}",
    ] {
        let mut bad = campaign("spring");
        bad.brief.product = hidden.into();
        bad.brief.values = [("colour".to_owned(), hidden.to_owned())].into();
        let found = problems(&Settings::default(), &alone(bad));
        let fields: Vec<_> = found
            .iter()
            .map(|problem| match problem {
                Problem::Field { field, problem, .. } => {
                    assert!(problem.contains("U+"), "{problem}");
                    field.as_str()
                }
                other => panic!("{other}"),
            })
            .collect();
        assert_eq!(fields, ["brief.product", "brief.values.colour"]);
    }
}

#[test]
fn all_problems_of_a_campaign_are_reported_together() {
    let mut bad = campaign("spring");
    bad.brief.promise = " ".into();
    bad.brief.link = "javascript:alert(1)".into();
    bad.platforms = vec![platform("file", 0, 10), platform("file", 10, 10)];
    bad.brief.call_to_action = "x".repeat(3_000);
    let twice = Campaigns::new()
        .with(TenantId::default(), bad)
        .with(TenantId::default(), campaign("spring"));
    let found = problems(&Settings::default(), &twice);
    assert_eq!(found.len(), 6, "{found:#?}");
    assert!(
        found
            .iter()
            .any(|problem| matches!(problem, Problem::CampaignTwice { .. }))
    );
    for bad_link in [
        "http://",
        "ftp://example.com",
        "https://user@example.com/",
        "https://example.com/a b",
    ] {
        let mut wrong = campaign("spring");
        wrong.brief.link = bad_link.into();
        assert_eq!(
            problems(&Settings::default(), &alone(wrong)).len(),
            1,
            "{bad_link}"
        );
    }
}

fn template(name: &str, headline: &str, body: &str) -> Template {
    Template {
        name: slug(name),
        version: 1,
        tone: slug("odd"),
        appeal: None,
        call_to_action: None,
        direction: None,
        intents: Vec::new(),
        emotions: Vec::new(),
        own_brand: false,
        names_subject: false,
        needs_offer: false,
        tenant: None,
        campaigns: Vec::new(),
        platforms: Vec::new(),
        headline: headline.into(),
        body: body.into(),
    }
}

#[test]
fn a_template_can_use_the_intention_and_the_brands_of_the_posts() {
    let mut template = template(
        "answer",
        "{{ product }}: a question?",
        "{% if brands %}Not {{ brands[0] }}, {{ product }}. {% endif %}For a {{ intent }}.",
    );
    template.intents = vec![IntentKind::Question];
    let settings = Settings {
        built_in: false,
        templates: vec![template],
        ..Settings::default()
    };
    assert_eq!(settings.check(&alone(campaign("spring"))), Ok(()));
    let writer = Writer::new(&settings).unwrap();
    let mut moment = testing::moment("everyone:football".parse().unwrap(), Direction::Up, Vec::new());
    let written = |moment: &Moment| {
        let draft = writer.write(
            &TenantId::default(),
            &campaign("spring"),
            &Occasion::of(moment),
            (&Reviews::default(), &Texts::default()),
        );
        assert_eq!(draft.removals, []);
        let bodies = draft
            .creatives
            .into_iter()
            .map(|creative| creative.rendering.body);
        bodies.collect::<BTreeSet<_>>()
    };
    assert!(written(&moment).is_empty(), "nobody asks");
    moment.change.intents = [
        (IntentKind::None, 30),
        (IntentKind::Question, 3),
        (IntentKind::Praise, 1),
    ]
    .into();
    assert!(written(&moment).iter().all(|body| body == "For a question."));
    moment.change.brands = [("Acme".to_owned(), 2), ("Zeta".to_owned(), 5)].into();
    let bodies = written(&moment);
    assert!(
        !bodies.is_empty() && bodies.iter().all(|body| body.starts_with("Not Zeta,")),
        "{bodies:?}"
    );
}

#[test]
fn a_template_is_checked_against_every_brief_before_it_is_used() {
    let with = |template: Template| Settings {
        templates: vec![template],
        ..Settings::default()
    };
    let campaigns = alone(campaign("spring")).with(TenantId::default(), campaign("autumn"));
    let undefined = problems(&with(template("t", "{{ values.colour }}", "x")), &campaigns);
    assert_eq!(undefined.len(), 2, "one for each campaign: {undefined:#?}");
    assert!(
        undefined[0].to_string().contains("not defined"),
        "{}",
        undefined[0]
    );
    let typo = problems(&with(template("t", "{{ prodct }}", "x")), &campaigns);
    assert!(matches!(typo[0], Problem::Render { .. }), "{typo:?}");
    let syntax = problems(&with(template("t", "{{ product", "x")), &campaigns);
    assert!(
        matches!(syntax[0], Problem::Syntax { part: "headline", .. }),
        "{syntax:?}"
    );
    let forever = problems(
        &with(template(
            "t",
            "x",
            "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
        )),
        &campaigns,
    );
    assert!(forever[0].to_string().contains("steps"), "{}", forever[0]);
    let twice = problems(&with(template("plain-1", "x", "x")), &campaigns);
    assert_eq!(twice, [Problem::TemplateTwice(slug("plain-1"))]);
    let hidden = problems(&with(template("t", "{{ product }}\u{202E}", "x")), &campaigns);
    assert!(hidden[0].to_string().contains("U+202E"), "{}", hidden[0]);

    let mut nobodys = template("t", "x", "x");
    nobodys.campaigns = vec![slug("winter")];
    assert!(matches!(
        problems(&with(nobodys), &campaigns)[..],
        [Problem::UnknownCampaign { .. }]
    ));
}

#[test]
fn a_tenants_template_is_used_for_that_tenant_only() {
    let mine = TenantId::new("mine").unwrap();
    let mut own = template(
        "own",
        "{{ product }} only here",
        "Nothing is escaped: <{{ product }}> & co",
    );
    own.tenant = Some(mine.clone());
    let settings = Settings {
        templates: vec![own],
        variants: 20,
        ..Settings::default()
    };
    let campaigns = alone(campaign("spring")).with(mine.clone(), campaign("spring"));
    settings.check(&campaigns).unwrap();
    let writer = Writer::new(&settings).unwrap();
    let written = |tenant: &TenantId| -> Vec<String> {
        let draft = writer.write(
            tenant,
            &campaign("spring"),
            &Occasion::new("football", Direction::Up),
            (&Reviews::default(), &Texts::default()),
        );
        draft
            .creatives
            .into_iter()
            .filter(|c| c.generator == "template/own")
            .map(|c| c.rendering.body)
            .collect()
    };
    assert_eq!(written(&mine), ["Nothing is escaped: <Acme Boots> & co"]);
    assert!(written(&TenantId::default()).is_empty());
}

#[test]
fn a_template_that_fails_on_a_subject_is_named_in_the_draft() {
    let odd = template(
        "odd",
        "{% if subject == 'football' %}{{ missing }}{% endif %}x",
        "x",
    );
    let settings = Settings {
        templates: vec![odd],
        ..Settings::default()
    };
    let campaign = campaign("spring");
    let writer = Writer::new(&settings).unwrap();
    let draft = writer.write(
        &TenantId::default(),
        &campaign,
        &Occasion::new("football", Direction::Up),
        (&Reviews::default(), &Texts::default()),
    );
    assert!(!draft.creatives.is_empty());
    assert_eq!(draft.removals.len(), 1);
    assert_eq!(
        (&*draft.removals[0].rule, &*draft.removals[0].removed),
        ("render", &["template/odd".to_owned()][..])
    );
}

#[test]
fn settings_are_read_from_toml_and_unknown_keys_are_refused() {
    let settings: Settings = toml::from_str(
        "variants = 3\n[[templates]]\nname = \"a\"\ntone = \"dry\"\ndirection = \"down\"\nheadline = \"h\"\nbody = \"b\"\n",
    )
    .unwrap();
    assert_eq!(
        (settings.variants, settings.built_in, settings.templates.len()),
        (3, true, 1)
    );
    assert!(toml::from_str::<Settings>("varients = 3").is_err());
    let zero = Settings {
        variants: 0,
        ..Settings::default()
    };
    assert_eq!(problems(&zero, &Campaigns::new()).len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// For every brief and limit: the brief is refused at start-up, or every ad fits and each platform has one.
    #[test]
    fn a_brief_that_passes_the_check_fits_every_platform(
        product in "[\\PC&&[^\u{200B}]]{1,30}",
        promise in "\\PC{1,60}",
        call_to_action in "([a-zé👨‍👩‍👧 ]){1,40}",
        headline in 1usize..40,
        body in 1usize..90,
        subject in "[a-z][a-z-]{0,20}",
    ) {
        let mut any = campaign("any");
        any.brief.product = product;
        any.brief.promise = promise;
        any.brief.call_to_action = call_to_action;
        any.platforms = vec![platform("one", headline, body)];
        if Settings::default().check(&alone(any.clone())).is_ok() {
            let writer = Writer::new(&Settings::default()).unwrap();
            for direction in [Direction::Up, Direction::Down] {
                let draft = writer.write(&TenantId::default(), &any, &Occasion::new(&subject, direction), (&Reviews::default(), &Texts::default()));
                prop_assert!(!draft.creatives.is_empty());
                for creative in draft.creatives {
                    prop_assert!(creative.rendering.headline.graphemes(true).count() <= headline);
                    prop_assert!(creative.rendering.body.graphemes(true).count() <= body);
                }
            }
        }
    }
}

#[test]
fn a_return_to_the_usual_mood_makes_no_ad() {
    let mut back = moment("football", Direction::Down);
    let campaigns = alone(campaign("boots"));
    let mut stage = CreativeStage::new(&Settings::default()).unwrap();
    assert_eq!(
        process(&mut stage, &campaigns, vec![back.encode()]).records.len(),
        1
    );
    back.data.kind = MomentKind::Return;
    let effects = process(&mut stage, &campaigns, vec![back.encode()]);
    assert_eq!((effects.records.len(), effects.dead.len()), (0, 0));
}
