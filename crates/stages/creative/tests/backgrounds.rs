//! Pictures by models that paint: ordered once for a campaign, and behind the texts of ads that wait for a person.

#![expect(
    clippy::unwrap_used,
    reason = "what a test sets up is right, or the test fails"
)]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use limbic_creative::{
    Campaigns, Occasion, PaintSettings, PictureModel, PictureOrder, PictureReply, Reviews, Settings, Texts,
    TextsStage, Writer,
};
use limbic_domain::{
    Brief, Campaign, CampaignDraft, Creative, Decision, Direction, Envelope, Micros, PaintedBackground,
    Platform, ReviewMode, ReviewVerdict, Slug, TenantId, Utc, background_id, text_id, topics,
};
use limbic_stream::References;
use limbic_stream::outbox::Answer;
use limbic_stream::testing::{Harness, RecordBuilder, record};
use serde_json::json;

fn slug(text: &str) -> Slug {
    Slug::new(text).unwrap()
}

fn campaign() -> Campaign {
    let platform = |name: &str| Platform {
        name: slug(name),
        headline: 60,
        body: 120,
    };
    Campaign {
        id: slug("spring"),
        brief: Brief {
            product: "Acme Boots".into(),
            promise: "Warm feet in any weather".into(),
            call_to_action: "Try a pair".into(),
            link: "https://example.com/boots".into(),
            background: "A wet street in the morning".into(),
            ..Brief::default()
        },
        subjects: Vec::new(),
        brands: Vec::new(),
        direction: Some(Direction::Up),
        platforms: vec![platform("social"), platform("other"), platform("plain")],
        bid: Micros(1),
        declared: limbic_domain::Declaration::default(),
        review: None,
    }
}

/// Two platforms have the same shape, one has no pictures.
fn settings() -> Settings {
    let names = [slug("social"), slug("other")];
    Settings {
        formats: names.clone().map(|name| (name, "x/post".to_owned())).into(),
        pictures: names.map(|name| (name, "landscape".to_owned())).into(),
        paint: PaintSettings {
            model: "backgrounds".into(),
            ..PaintSettings::default()
        },
        ..Settings::default()
    }
}

/// A model that answers as it is told. Like the gateway, it gives one key one reply.
#[derive(Default)]
struct Scripted {
    answers: Mutex<VecDeque<Answer<PictureReply>>>,
    calls: Mutex<Vec<(String, PictureOrder, Answer<PictureReply>)>>,
}

impl PictureModel for Scripted {
    fn paint(&self, key: &str, order: &PictureOrder, _: Duration) -> Answer<PictureReply> {
        let mut calls = self.calls.lock().unwrap();
        if let Some((_, _, answer)) = calls.iter().find(|(known, ..)| known == key) {
            return answer.clone();
        }
        let answer = self.answers.lock().unwrap().pop_front();
        let answer = answer.unwrap_or_else(|| {
            Answer::Applied(PictureReply {
                file: format!("{}.png", "ab".repeat(32)),
                model: "own/small-1".into(),
            })
        });
        calls.push((key.to_owned(), order.clone(), answer.clone()));
        answer
    }
}

struct Scene {
    stage: Harness<TextsStage>,
    campaigns: Campaigns,
    painted: Vec<(String, Vec<u8>)>,
    model: Arc<Scripted>,
}

impl Scene {
    fn new(campaign: Campaign) -> Self {
        let model = Arc::new(Scripted::default());
        let painter = Arc::clone(&model);
        let build = move || {
            let painter = Arc::clone(&painter) as Arc<dyn PictureModel>;
            TextsStage::new(&settings(), None)
                .unwrap()
                .painting(Some(painter))
                .answer_wait(Duration::from_mins(1))
        };
        let mut scene = Self {
            stage: Harness::new(build)
                .once()
                .described_by(TextsStage::spec(&settings().generate)),
            campaigns: Campaigns::new().with(TenantId::default(), campaign),
            painted: Vec::new(),
            model,
        };
        scene.refresh();
        scene
    }

    /// The tables become what was published.
    fn refresh(&mut self) {
        self.painted.clear();
        for (_, written) in self.stage.outputs() {
            assert_eq!(&*written.topic, topics::BACKGROUNDS);
            let key = String::from_utf8(written.key.to_vec()).unwrap();
            self.painted.retain(|(known, _)| *known != key);
            if !written.value.is_empty() {
                self.painted.push((key, written.value.to_vec()));
            }
        }
        let campaigns = self.campaigns.records(Utc::from_millis(1));
        let references = References::new()
            .with(
                topics::CAMPAIGNS,
                campaigns.map(|(key, envelope)| (key, envelope.encode())),
            )
            .with::<&str, &[u8]>(topics::TEXTS, [])
            .with(topics::BACKGROUNDS, self.painted.clone());
        self.stage.set_references(references);
    }

    /// A decision for which only ads were missing, at this time, and the answers to what it orders.
    fn decide(&mut self, moment: &str, at: Utc) {
        self.stage.process([decision(moment, at)]);
        self.stage.tick(at);
        self.refresh();
    }

    fn table(&self) -> Vec<Envelope<PaintedBackground>> {
        let values = self.painted.iter();
        values
            .map(|(_, value)| Envelope::decode(value).unwrap())
            .collect()
    }

    fn calls(&self) -> Vec<(String, PictureOrder)> {
        let calls = self.model.calls.lock().unwrap();
        calls
            .iter()
            .map(|(key, order, _)| (key.clone(), order.clone()))
            .collect()
    }

    fn texts(&self) -> Texts {
        self.table().into_iter().fold(Texts::default(), |texts, painted| {
            texts.with_background(painted.tenant, painted.data)
        })
    }
}

fn decision(moment: &str, at: Utc) -> RecordBuilder {
    let decision: Decision = serde_json::from_value(json!({
        "moment": moment, "campaign": "spring", "audience": "everyone:football", "context": {},
        "result": {"suppressed": {"rule": "no_creative_left", "reason": "r", "by": {"safety_gate": "gate-4/0"}}}
    }))
    .unwrap();
    let id = Decision::id_of(&slug("spring"), moment);
    let envelope = Envelope::new(TenantId::default(), id, at, decision);
    record(topics::DECISIONS)
        .key("default/spring")
        .value(envelope.encode())
}

fn write(settings: &Settings, campaign: &Campaign, reviews: &Reviews, texts: &Texts) -> CampaignDraft {
    let occasion = Occasion::new("football", Direction::Up);
    Writer::new(settings)
        .unwrap()
        .write(&TenantId::default(), campaign, &occasion, (reviews, texts))
}

fn has_background(ad: &Creative) -> bool {
    ad.picture
        .as_ref()
        .is_some_and(|picture| picture.background.is_some())
}

const NOON: Utc = Utc::from_millis(1_764_504_000_000);

#[test]
fn a_picture_is_ordered_once_for_each_shape_and_never_again() {
    let mut scene = Scene::new(campaign());
    scene.decide("m1", NOON);
    scene.decide("m2", NOON);
    let calls = scene.calls();
    assert_eq!(
        calls.len(),
        1,
        "two platforms share a shape, the third has no pictures"
    );
    let order = &calls[0].1;
    assert_eq!(
        (order.width, order.height, &*order.image),
        (1200, 628, "x/post/landscape")
    );
    let table = scene.table();
    assert_eq!(table.len(), 1);
    let painted = &table[0].data;
    let background = painted.background.as_ref().unwrap();
    assert_eq!(background.model, "own/small-1");
    assert_eq!(background.prompt, order.prompt_version);
    assert_eq!(painted.brief, background_id(&campaign().brief));
}

#[test]
fn a_process_that_ends_before_the_answer_asks_again_with_the_same_key() {
    let mut scene = Scene::new(campaign());
    let lost = Answer::Unknown {
        detail: "the connection broke".into(),
    };
    scene.model.answers.lock().unwrap().push_back(lost);
    scene.stage.process([decision("m1", NOON)]);
    scene.stage.tick(NOON);
    let first = scene.calls();
    scene.model.calls.lock().unwrap().clear();
    scene.stage.restart();
    scene.stage.tick(NOON.plus_millis(600_000));
    scene.refresh();
    assert_eq!(scene.calls(), first);
    assert!(scene.table()[0].data.background.is_some());
}

#[test]
fn the_prompt_has_the_brief_and_nothing_of_a_moment() {
    let mut campaign = campaign();
    campaign.brief.brand.colours = vec!["#102030".into()];
    let mut scene = Scene::new(campaign);
    scene.decide("m1", NOON);
    insta::assert_snapshot!(scene.calls()[0].1.prompt);
}

#[test]
fn a_campaign_that_asks_for_no_picture_gets_none_and_loses_the_one_it_had() {
    let mut scene = Scene::new(campaign());
    scene.decide("m1", NOON);
    assert_eq!(scene.table().len(), 1);
    let mut without = campaign();
    without.brief.background = " ".into();
    let texts = scene.texts();
    let draft = write(&settings(), &without, &Reviews::default(), &texts);
    assert!(!draft.creatives.iter().any(has_background));
    scene.campaigns = Campaigns::new().with(TenantId::default(), without);
    scene.refresh();
    // A table of a test has the number of its entries as its version, and that has not changed.
    scene.stage.restart();
    scene.decide("m2", NOON);
    assert_eq!((scene.table().len(), scene.calls().len()), (0, 1));
}

#[test]
fn a_refused_picture_is_ordered_again_only_after_a_while_and_with_another_key() {
    let mut scene = Scene::new(campaign());
    let refused = Answer::Rejected {
        detail: "own refuses the request".into(),
    };
    scene.model.answers.lock().unwrap().push_back(refused);
    scene.decide("m1", NOON);
    let table = scene.table();
    assert_eq!(table[0].data.background, None);
    assert_eq!(table[0].data.problem.as_deref(), Some("own refuses the request"));
    scene.decide("m2", NOON.plus_millis(3_600_000));
    assert_eq!(scene.calls().len(), 1);
    scene.decide("m3", NOON.plus_millis(6 * 3_600_000));
    let calls = scene.calls();
    assert_eq!(calls.len(), 2);
    assert_ne!(calls[0].0, calls[1].0);
    assert!(scene.table()[0].data.background.is_some());
}

#[test]
fn ads_over_a_picture_are_further_ads_that_are_marked_and_wait_for_a_person() {
    let mut scene = Scene::new(campaign());
    let campaign = campaign();
    let before = write(&settings(), &campaign, &Reviews::default(), &Texts::default());
    assert!(!before.creatives.is_empty());
    scene.decide("m1", NOON);
    let draft = write(&settings(), &campaign, &Reviews::default(), &scene.texts());
    let (over, plain): (Vec<Creative>, Vec<Creative>) =
        draft.creatives.iter().cloned().partition(has_background);
    assert_eq!(plain, before.creatives, "the ads as they are today stay");
    let platforms: Vec<&str> = over.iter().map(|ad| ad.rendering.platform.as_str()).collect();
    assert_eq!(platforms, ["social", "social", "other", "other"]);
    assert_eq!(draft.review, ReviewMode::AiTexts);
    for ad in &over {
        assert!(ad.ai_generated && ad.approval.is_none());
        assert!(draft.review.demands_review(ad.ai_generated));
        assert_eq!(ad.factors.image, Some(slug("landscape-painted")));
        let twin = plain
            .iter()
            .find(|plain| plain.rendering == ad.rendering)
            .unwrap();
        assert_ne!(twin.id, ad.id);
    }
}

#[test]
fn a_person_who_approved_the_texts_has_not_approved_the_picture() {
    let mut scene = Scene::new(campaign());
    let campaign = campaign();
    scene.decide("m1", NOON);
    let texts = scene.texts();
    let draft = write(&settings(), &campaign, &Reviews::default(), &texts);
    let over = draft.creatives.iter().find(|ad| has_background(ad)).unwrap();
    let plain = draft
        .creatives
        .iter()
        .find(|ad| ad.rendering == over.rendering && !has_background(ad))
        .unwrap();
    let approve = |ad: &Creative| -> ReviewVerdict {
        serde_json::from_value(json!({
            "campaign": "spring", "creative": ad.id, "text": text_id(&ad.rendering), "verdict": "approve",
            "by": "key-1", "at": NOON, "before": [],
        }))
        .unwrap()
    };
    let approved = |reviews: &Reviews, id: &str| {
        let draft = write(&settings(), &campaign, reviews, &texts);
        let ad = draft.creatives.into_iter().find(|ad| ad.id == id).unwrap();
        ad.approval.is_some()
    };
    let of_text = Reviews::default().with(&TenantId::default(), approve(plain));
    assert!(!approved(&of_text, &over.id));
    let of_picture = Reviews::default().with(&TenantId::default(), approve(over));
    assert!(approved(&of_picture, &over.id));
}

#[test]
fn a_picture_of_another_brief_is_not_used() {
    let mut scene = Scene::new(campaign());
    scene.decide("m1", NOON);
    let mut changed = campaign();
    changed.brief.background = "A dry street at noon".into();
    let draft = write(&settings(), &changed, &Reviews::default(), &scene.texts());
    assert!(!draft.creatives.is_empty());
    assert!(!draft.creatives.iter().any(has_background));
}

#[test]
fn settings_that_paint_for_nothing_are_refused() {
    let mut settings = settings();
    settings.pictures.clear();
    settings.paint.ads = 0;
    let error = settings.check(&Campaigns::new()).unwrap_err().to_string();
    for said in [
        "creative.paint.model = backgrounds: ",
        "set creative.pictures",
        "creative.paint.ads = 0: choose 1 to 8",
    ] {
        assert!(error.contains(said), "{error}");
    }
}
