use limbic_domain::Brief;
use limbic_stream::TopicSpec;
use limbic_stream_embedded::{EmbeddedLog, EmbeddedOptions};

use super::*;

/// Refuses texts with the word `bad`.
struct NoBad;

impl JudgeEdits for NoBad {
    fn judge(&self, _: &TenantId, _: &Campaign, edited: &Creative) -> Result<(), String> {
        if edited.rendering.headline.contains("bad") {
            Err("it is bad".to_owned())
        } else {
            Ok(())
        }
    }
}

fn slug(text: &str) -> Slug {
    Slug::new(text).unwrap()
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

fn open(folder: &std::path::Path) -> Arc<dyn Log> {
    let log = EmbeddedLog::open(folder, EmbeddedOptions::default()).unwrap();
    log.ensure_topics(&[
        TopicSpec::new(topics::REVIEWS, 2).compacted(),
        TopicSpec::new(topics::CAMPAIGNS, 2).compacted(),
    ])
    .unwrap();
    Arc::new(log)
}

fn request(owner: &str, id: &str, at: i64, headline: &str) -> NewRecord {
    let creative: Creative = serde_json::from_value(serde_json::json!({
        "id": id, "generator": "template/plain-1", "tone": "plain",
        "rendering": {"platform": "file", "headline": headline, "body": "Try a pair.", "link": "https://example.com"}
    }))
    .unwrap();
    let request = ReviewRequest {
        campaign: slug("spring"),
        creative,
        moment: "m".into(),
    };
    let at = Utc::from_millis(at);
    let key = ReviewRequest::key(&tenant(owner), &slug("spring"), id);
    let value = Envelope::new(tenant(owner), format!("r-{id}"), at, request).encode();
    record(key, value.into(), at)
}

fn campaign() -> NewRecord {
    let campaign: Campaign = serde_json::from_value(serde_json::json!({
        "id": "spring", "platforms": [], "brief": Brief::default()
    }))
    .unwrap();
    let value = Envelope::new(tenant("mine"), "c".into(), Utc::from_millis(0), campaign).encode();
    NewRecord {
        topic: topics::CAMPAIGNS.into(),
        ..record("mine/spring".into(), value.into(), Utc::from_millis(0))
    }
}

fn decision(by: &str, verdict: Verdict, replaces: Option<&str>) -> Decision {
    Decision {
        verdict,
        replaces: replaces.map(str::to_owned),
        by: by.to_owned(),
        at: Utc::from_millis(7),
    }
}

fn edit(headline: &str) -> Verdict {
    Verdict::Edit {
        headline: headline.into(),
        body: "Try a pair today.".into(),
    }
}

fn status(result: Result<ReviewView, Problem>) -> (u16, String) {
    let problem = result.unwrap_err();
    (problem.status.as_u16(), problem.detail)
}

#[test]
fn a_verdict_says_who_and_when_is_the_tenants_own_and_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    log.publish(vec![
        request("mine", "a", 1, "Boots"),
        request("other", "b", 1, "Boots"),
    ])
    .unwrap();
    let approve = || decision("key:00000001", Verdict::Approve, None);
    let (code, _) = status(write_verdict(&log, &NoBad, &tenant("mine"), "b", approve()));
    assert_eq!(code, 404, "the ad of another tenant");
    let view = write_verdict(&log, &NoBad, &tenant("mine"), "a", approve()).unwrap();
    assert_eq!(view.state, ReviewState::Approved);
    log.close().unwrap();
    drop(log);
    let log = open(folder.path());
    let kept = Reviews::read(&log, &tenant("mine")).unwrap();
    let kept = kept.view(kept.find("a").unwrap());
    assert_eq!(kept, view);
    let decided = kept.decision.unwrap();
    assert_eq!(
        (decided.by.as_str(), decided.at),
        ("key:00000001", Utc::from_millis(7))
    );
    let again = write_verdict(&log, &NoBad, &tenant("mine"), "a", approve()).unwrap();
    assert_eq!(
        again.decision_id, view.decision_id,
        "a repeated request changes nothing"
    );
    let other = Reviews::read(&log, &tenant("other")).unwrap();
    assert_eq!(other.view(other.find("b").unwrap()).state, ReviewState::Waiting);
    log.close().unwrap();
}

#[test]
fn a_decision_is_replaced_only_by_one_that_names_it_and_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    log.publish(vec![request("mine", "a", 1, "Boots")]).unwrap();
    let mine = tenant("mine");
    let write = |decision| write_verdict(&log, &NoBad, &mine, "a", decision);
    let (code, detail) = status(write(decision("key:1", Verdict::Approve, Some("x"))));
    assert_eq!((code, detail.contains("nobody has decided")), (409, true));
    let first = write(decision("key:1", Verdict::Approve, None)).unwrap();
    let reject = Verdict::Reject {
        reason: "too loud".into(),
    };
    let (code, detail) = status(write(decision("key:2", reject.clone(), None)));
    let id = first.decision_id.unwrap();
    assert_eq!((code, detail.contains(&id)), (409, true), "{detail}");
    let second = write(decision("key:2", reject, Some(&id))).unwrap();
    assert_eq!(second.state, ReviewState::Rejected);
    let decided = second.decision.unwrap();
    assert_eq!(decided.by, "key:2");
    let [earlier] = &decided.earlier[..] else {
        panic!("{decided:?}");
    };
    assert_eq!(
        (earlier.by.as_str(), &earlier.verdict),
        ("key:1", &Verdict::Approve)
    );
    log.close().unwrap();
}

#[test]
fn an_edit_is_judged_and_shows_what_changed() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    log.publish(vec![request("mine", "a", 1, "Acme Boots")]).unwrap();
    let mine = tenant("mine");
    let write = |verdict| write_verdict(&log, &NoBad, &mine, "a", decision("key:1", verdict, None));
    let (code, detail) = status(write(edit("Acme Shoes")));
    assert_eq!(
        (code, detail.contains("does not exist any more")),
        (409, true),
        "{detail}"
    );
    log.publish(vec![campaign()]).unwrap();
    let (code, detail) = status(write(edit("bad")));
    assert_eq!(
        (code, detail.as_str()),
        (422, "these texts may not run: it is bad")
    );
    for reason in [" ", &*"x".repeat(501)] {
        let reason = reason.to_owned();
        let (code, detail) = status(write(Verdict::Reject { reason }));
        assert_eq!((code, detail.contains("1 to 500")), (422, true), "{detail}");
    }
    let view = write(edit("Acme Shoes")).unwrap();
    assert_eq!(view.state, ReviewState::Edited);
    let change = view.change.unwrap();
    assert_eq!(
        change.headline,
        [
            DiffPiece::Same("Acme ".into()),
            DiffPiece::Removed("Boots".into()),
            DiffPiece::Added("Shoes".into())
        ]
    );
    let edited = Rendering {
        headline: "Acme Shoes".into(),
        body: "Try a pair today.".into(),
        ..view.request.creative.rendering
    };
    assert_eq!(
        view.decision.unwrap().text,
        text_id(&edited),
        "the approved text is the edited one"
    );
    log.close().unwrap();
}

#[test]
fn a_new_text_is_compared_with_the_last_approved_one_of_its_generator() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    log.publish(vec![
        request("mine", "a", 1, "Acme Boots"),
        request("mine", "b", 2, "New Acme Boots"),
    ])
    .unwrap();
    let mine = tenant("mine");
    let before = Reviews::read(&log, &mine).unwrap();
    assert_eq!(before.view(before.find("b").unwrap()).change, None);
    write_verdict(
        &log,
        &NoBad,
        &mine,
        "a",
        decision("key:1", Verdict::Approve, None),
    )
    .unwrap();
    let after = Reviews::read(&log, &mine).unwrap();
    let change = after.view(after.find("b").unwrap()).change.unwrap();
    assert_eq!(change.from, "a");
    assert_eq!(
        change.headline,
        [
            DiffPiece::Added("New ".into()),
            DiffPiece::Same("Acme Boots".into())
        ]
    );
    log.close().unwrap();
}

#[test]
fn the_queue_is_listed_in_pages_the_oldest_first() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    log.publish(vec![
        request("mine", "c", 1, "Boots"),
        request("mine", "a", 2, "Boots"),
        request("mine", "b", 2, "Boots"),
        request("other", "x", 0, "Boots"),
    ])
    .unwrap();
    let mine = tenant("mine");
    write_verdict(
        &log,
        &NoBad,
        &mine,
        "a",
        decision("key:1", Verdict::Approve, None),
    )
    .unwrap();
    let reviews = Reviews::read(&log, &mine).unwrap();
    let ids = |params: &ListParams, limit| {
        let page = reviews.page(params, limit).unwrap();
        let ids: Vec<String> = page.items.into_iter().map(|item| item.id).collect();
        (ids.join(" "), page.next)
    };
    assert_eq!(ids(&ListParams::default(), 2), ("c a".into(), Some("a".into())));
    let after = ListParams {
        after: Some("a".into()),
        ..ListParams::default()
    };
    assert_eq!(ids(&after, 2), ("b".into(), None));
    let waiting = ListParams {
        state: Some(ReviewState::Waiting),
        ..ListParams::default()
    };
    assert_eq!(ids(&waiting, 9), ("c b".into(), None));
    let elsewhere = ListParams {
        campaign: Some(slug("autumn")),
        ..ListParams::default()
    };
    assert_eq!(ids(&elsewhere, 9), (String::new(), None));
    log.close().unwrap();
}
