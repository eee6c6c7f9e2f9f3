//! What becomes of an ad that a person has approved, edited or rejected.

#![expect(
    clippy::unwrap_used,
    reason = "what a test sets up is right, or the test fails"
)]

use limbic_creative::{Occasion, ReviewSettings, Reviews, Settings, Texts, Writer};
use limbic_domain::{
    Approval, ApprovalRule, Brief, Campaign, CampaignDraft, Creative, Direction, Micros, Platform,
    ReviewMode, ReviewVerdict, Slug, TenantId, Utc, Verdict, text_id,
};

fn slug(text: &str) -> Slug {
    Slug::new(text).unwrap()
}

fn campaign(id: &str) -> Campaign {
    Campaign {
        id: slug(id),
        brief: Brief {
            product: "Acme Boots".into(),
            promise: "Warm feet in any weather".into(),
            call_to_action: "Try a pair".into(),
            link: "https://example.com/boots".into(),
            ..Brief::default()
        },
        subjects: Vec::new(),
        brands: Vec::new(),
        direction: None,
        platforms: vec![Platform {
            name: slug("webhook"),
            headline: 40,
            body: 120,
        }],
        bid: Micros(1),
        declared: limbic_domain::Declaration::default(),
        review: None,
    }
}

fn settings(mode: ReviewMode) -> Settings {
    Settings {
        review: ReviewSettings {
            mode,
            ..ReviewSettings::default()
        },
        ..Settings::default()
    }
}

fn write(settings: &Settings, campaign: &Campaign, reviews: &Reviews) -> CampaignDraft {
    let occasion = Occasion::new("football", Direction::Up);
    Writer::new(settings).unwrap().write(
        &TenantId::default(),
        campaign,
        &occasion,
        (reviews, &Texts::default()),
    )
}

fn verdict(campaign: &Campaign, ad: &Creative, verdict: Verdict) -> ReviewVerdict {
    let mut rendering = ad.rendering.clone();
    if let Verdict::Edit { headline, body } = &verdict {
        rendering.headline.clone_from(headline);
        rendering.body.clone_from(body);
    }
    ReviewVerdict {
        campaign: campaign.id.clone(),
        creative: ad.id.clone(),
        text: text_id(&rendering),
        verdict,
        by: "key:0011aabb".into(),
        at: Utc::from_millis(7),
        earlier: Vec::new(),
    }
}

fn decided(campaign: &Campaign, ad: &Creative, what: Verdict) -> Reviews {
    Reviews::default().with(&TenantId::default(), verdict(campaign, ad, what))
}

fn edit(headline: &str, body: &str) -> Verdict {
    Verdict::Edit {
        headline: headline.into(),
        body: body.into(),
    }
}

fn reject() -> Verdict {
    Verdict::Reject {
        reason: "too loud".into(),
    }
}

fn find<'a>(draft: &'a CampaignDraft, id: &str) -> Option<&'a Creative> {
    draft.creatives.iter().find(|ad| ad.id == id)
}

/// The rule and the approval's origin of the ad with this headline.
fn rule_of(draft: &CampaignDraft, ad: &Creative) -> Option<ApprovalRule> {
    let found = draft.creatives.iter().find(|found| {
        found.rendering.headline == ad.rendering.headline && found.rendering.body == ad.rendering.body
    });
    found.unwrap().approval.as_ref().map(|approval| approval.rule)
}

#[test]
fn the_strictest_of_node_tenant_and_campaign_holds() {
    let tenant = TenantId::default();
    let modes = [
        ReviewMode::None,
        ReviewMode::AiTexts,
        ReviewMode::NewTexts,
        ReviewMode::All,
    ];
    for node in modes {
        for of_tenant in modes {
            for of_campaign in modes {
                let review = ReviewSettings {
                    mode: node,
                    tenants: [(tenant.clone(), of_tenant)].into(),
                    ..ReviewSettings::default()
                };
                let campaign = Campaign {
                    review: Some(of_campaign),
                    ..campaign("spring")
                };
                let strictest = node.max(of_tenant).max(of_campaign);
                assert_eq!(review.mode_of(&tenant, &campaign), strictest);
                let other = review.mode_of(&TenantId::new("other").unwrap(), &campaign);
                assert_eq!(other, node.max(of_campaign), "a tenant's setting is its own");
            }
        }
    }
}

#[test]
fn a_draft_says_which_ads_wait_and_an_approved_ad_says_who_approved_it() {
    let campaign = campaign("spring");
    let all = settings(ReviewMode::All);
    let before = write(&all, &campaign, &Reviews::default());
    assert_eq!(before.review, ReviewMode::All);
    assert!(before.creatives.iter().all(|ad| ad.approval.is_none()));
    let ad = &before.creatives[0];
    let after = write(&all, &campaign, &decided(&campaign, ad, Verdict::Approve));
    let approval = Approval {
        rule: ApprovalRule::Person,
        by: Some("key:0011aabb".into()),
        at: Some(Utc::from_millis(7)),
        edited_from: None,
    };
    assert_eq!(find(&after, &ad.id).unwrap().approval, Some(approval));
    let approved = after.creatives.iter().filter(|ad| ad.approval.is_some());
    assert_eq!(approved.count(), 1, "the others still wait");
}

#[test]
fn an_edited_ad_has_the_persons_texts_and_another_id() {
    let campaign = campaign("spring");
    let all = settings(ReviewMode::All);
    let ad = write(&all, &campaign, &Reviews::default()).creatives[0].clone();
    let reviews = decided(&campaign, &ad, edit("Acme Boots, made to last", "Have a look."));
    let draft = write(&all, &campaign, &reviews);
    assert_eq!(find(&draft, &ad.id), None);
    let edited = draft
        .creatives
        .iter()
        .find(|found| found.rendering.headline == "Acme Boots, made to last")
        .unwrap();
    assert_ne!(edited.id, ad.id);
    assert_eq!(edited.rendering.body, "Have a look.");
    assert_eq!((&edited.generator, &edited.tone), (&ad.generator, &ad.tone));
    let from = edited.approval.as_ref().unwrap().edited_from.as_deref();
    assert_eq!(from, Some(ad.id.as_str()));
}

#[test]
fn an_edited_ad_that_does_not_fit_or_is_not_allowed_is_left_out_with_the_reason() {
    let mut campaign = campaign("spring");
    campaign.brief.brand.banned_words = vec!["cheap".into()];
    let none = settings(ReviewMode::None);
    let ad = write(&none, &campaign, &Reviews::default()).creatives[0].clone();
    for (headline, body, rule, reason) in [
        (
            &*"w".repeat(41),
            "Have a look.",
            "fit",
            "The headline has 41 graphemes, and webhook takes 40.",
        ),
        ("Boots", " ", "fit", "The body is not one line of text."),
        (
            "Two\nlines",
            "Have a look.",
            "fit",
            "The headline is not one line of text.",
        ),
        (
            "Bo\u{200b}ots",
            "Have a look.",
            "fit",
            "The headline contains the hidden character U+200B.",
        ),
        (
            "Cheap boots",
            "Have a look.",
            "brand",
            "contains the banned word “cheap”.",
        ),
    ] {
        let reviews = decided(&campaign, &ad, edit(headline, body));
        let draft = write(&none, &campaign, &reviews);
        let removal = draft.removals.iter().find(|removal| removal.rule == rule);
        let removal = removal.unwrap_or_else(|| panic!("{headline}: {:?}", draft.removals));
        assert!(removal.reason.contains(reason), "{}", removal.reason);
        assert_eq!(removal.removed, [format!("creative/{}", ad.id)]);
        assert!(
            draft
                .creatives
                .iter()
                .all(|kept| kept.rendering.headline != headline && kept.id != ad.id),
            "neither the old text nor the new one"
        );
    }
}

#[test]
fn a_rejected_ad_is_left_out_in_every_mode() {
    let campaign = campaign("spring");
    for mode in [
        ReviewMode::None,
        ReviewMode::AiTexts,
        ReviewMode::NewTexts,
        ReviewMode::All,
    ] {
        let settings = settings(mode);
        let ad = write(&settings, &campaign, &Reviews::default()).creatives[0].clone();
        let draft = write(&settings, &campaign, &decided(&campaign, &ad, reject()));
        assert_eq!(find(&draft, &ad.id), None, "{mode:?}");
        let removal = &draft.removals[0];
        assert_eq!(removal.rule, "rejected");
        assert_eq!(
            removal.reason,
            "key:0011aabb rejected the ad at 1970-01-01T00:00:00.007Z: too loud"
        );
    }
}

#[test]
fn a_text_that_a_person_approved_needs_no_second_look_except_in_the_mode_all() {
    let (spring, autumn) = (campaign("spring"), campaign("autumn"));
    let new_texts = settings(ReviewMode::NewTexts);
    let ad = write(&new_texts, &spring, &Reviews::default()).creatives[0].clone();
    let reviews = decided(&spring, &ad, Verdict::Approve);
    assert_eq!(
        rule_of(&write(&new_texts, &autumn, &reviews), &ad),
        Some(ApprovalRule::SameText)
    );
    assert_eq!(
        rule_of(&write(&settings(ReviewMode::All), &autumn, &reviews), &ad),
        None
    );
    let mut off = new_texts.clone();
    off.review.same_text = false;
    assert_eq!(rule_of(&write(&off, &autumn, &reviews), &ad), None);
    let elsewhere = write(&new_texts, &campaign("winter"), &Reviews::default()).creatives[0].clone();
    let disputed = reviews.with(
        &TenantId::default(),
        verdict(&campaign("winter"), &elsewhere, reject()),
    );
    assert_eq!(
        rule_of(&write(&new_texts, &autumn, &disputed), &ad),
        None,
        "another person rejected it"
    );
    let other = TenantId::new("other").unwrap();
    let foreign = Reviews::default().with(&other, verdict(&spring, &ad, Verdict::Approve));
    assert_eq!(
        rule_of(&write(&new_texts, &spring, &foreign), &ad),
        None,
        "a tenant's approval is its own"
    );
}

#[test]
fn templates_of_the_settings_need_no_person_except_in_the_mode_all() {
    let campaign = campaign("spring");
    let mut trusting = settings(ReviewMode::NewTexts);
    trusting.review.templates = vec![slug("plain-1")];
    let draft = write(&trusting, &campaign, &Reviews::default());
    for ad in &draft.creatives {
        let rule = ad.approval.as_ref().map(|approval| approval.rule);
        let is_trusted = ad.generator == "template/plain-1";
        assert_eq!(
            rule,
            is_trusted.then_some(ApprovalRule::Template),
            "{}",
            ad.generator
        );
    }
    trusting.review.mode = ReviewMode::All;
    let draft = write(&trusting, &campaign, &Reviews::default());
    assert!(draft.creatives.iter().all(|ad| ad.approval.is_none()));
    trusting.review.templates = vec![slug("plain-one")];
    let error = Writer::new(&trusting).unwrap_err().to_string();
    assert!(error.contains("there is no template `plain-one`"), "{error}");
}
