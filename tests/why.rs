//! Why did nothing happen: audiences, deliveries that fail, learning and keys, as a new user sees them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::kit::{END, TestNode, at, count, is_chosen, items, posts};

/// The answer of a webhook; `None` = it takes the request and says nothing.
type Set = Arc<Mutex<Option<StatusCode>>>;

/// A webhook whose answer the test sets.
struct Webhook {
    answer: Set,
    url: String,
    // Ends the server when it is dropped.
    _runtime: tokio::runtime::Runtime,
}

impl Webhook {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let answer = Arc::new(Mutex::new(Some(StatusCode::UNAUTHORIZED)));
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let url = format!("http://{}/ads", listener.local_addr().unwrap());
        let router = Router::new().fallback(reply).with_state(Arc::clone(&answer));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self {
            answer,
            url,
            _runtime: runtime,
        }
    }

    fn answers(&self, status: u16) {
        *self.answer.lock().unwrap() = Some(StatusCode::from_u16(status).unwrap());
    }

    fn hangs(&self) {
        *self.answer.lock().unwrap() = None;
    }
}

async fn reply(State(answer): State<Set>) -> impl IntoResponse {
    let answer = *answer.lock().unwrap();
    let Some(status) = answer else {
        return std::future::pending().await;
    };
    let mut headers = HeaderMap::new();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert("retry-after", "0".parse().unwrap());
    }
    (status, headers, format!("the shop says {}", status.as_u16()))
}

/// Appends settings to those of the node, before its start.
fn configure(node: &TestNode, more: &str) {
    let file = node.data().join("limbic.toml");
    let settings = std::fs::read_to_string(&file).unwrap();
    std::fs::write(file, format!("{settings}\n{more}\n")).unwrap();
}

fn campaign(id: &str, tenant: &str, platform: &str) -> String {
    format!(
        "[[campaigns]]\nid = \"{id}\"\ntenant = \"{tenant}\"\nsubjects = [\"boxing\"]\nbid = 1000\n\
         platforms = [{{ name = \"{platform}\", headline = 60, body = 180 }}]\ndeclared = {{ advertiser = \"Glow Ltd\" }}\n[campaigns.brief]\nproduct = \"Glow Lamp\"\n\
         promise = \"Light for late evenings.\"\ncall_to_action = \"See it\"\nlink = \"https://glow.example\"\n"
    )
}

/// Runs a command of the program. Returns what it printed.
fn printed(node: &TestNode, arguments: &[&str]) -> String {
    let output = node.run(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_webhook_that_fails_in_four_ways_is_seen_and_explained_and_learning_too() {
    let webhook = Webhook::start();
    let mut node = TestNode::new(&[]);
    let shop = format!(
        "[deliver]\nsecond_look = \"0s\"\nbackoff = \"10ms\"\nmax_backoff = \"50ms\"\ncircuit_rest = \"50ms\"\nattempts = 1000\n\
         [ad_platforms.shop]\nkind = \"webhook\"\nurl = \"{}\"\ntimeout = \"300ms\"\n",
        webhook.url
    );
    configure(&node, &format!("{}{shop}", campaign("lamps", "default", "shop")));
    node.start();
    node.wait_ready();
    let nothing = node.get("/v1/explain?of=everyone:boxing").problem(404);
    assert!(
        at(&nothing, "/detail")
            .as_str()
            .unwrap()
            .contains("[affect.subjects]"),
        "{nothing}"
    );
    node.insist("/v1/posts", &json!(posts(600)));
    node.insist("/v1/watermark", &json!({"at": END}));
    node.settle();

    // Every way to fail is on the page's endpoint, with the platform's own words, and the sentences name it.
    let shop = |node: &TestNode| {
        let platforms = node.get("/v1/platforms").json();
        items(&platforms, "/items")
            .iter()
            .find(|platform| platform["platform"] == "shop")
            .cloned()
    };
    let mut waiting = 0;
    for (status, is_blocked) in [(401, true), (500, false), (503, false)] {
        webhook.answers(status);
        let seen = node.until(&format!("the shop's {status} is seen"), |node| {
            let shop = shop(node)?;
            let detail = shop["problem"]["detail"].as_str()?;
            detail
                .contains(&format!("the shop says {status}"))
                .then_some(shop)
        });
        assert_eq!(*at(&seen, "/problem/blocked"), is_blocked, "{seen}");
        waiting = count(&seen, "/waiting");
        assert!(waiting > 0, "{seen}");
    }
    // A webhook that takes the request and never answers is a problem too, and its deliveries wait.
    webhook.hangs();
    let seen = node.until("the shop's silence is seen", |node| {
        let shop = shop(node)?;
        let detail = shop["problem"]["detail"].as_str()?;
        detail.contains("no answer in time").then_some(shop)
    });
    assert_eq!(*at(&seen, "/problem/blocked"), false, "{seen}");
    assert_eq!(count(&seen, "/waiting"), waiting, "nothing is caught up: {seen}");
    let metrics = node.get("/metrics").text;
    let series =
        format!(r#"limbic_campaign_deliveries_waiting{{campaign="lamps",tenant="default"}} {waiting}"#);
    assert!(metrics.contains(&series), "{series} is not in {metrics}");
    webhook.answers(503);
    node.until("the shop answers again", |node| {
        let shop = shop(node)?;
        let detail = shop["problem"]["detail"].as_str()?;
        detail.contains("the shop says 503").then_some(())
    });
    let explained = node.get("/v1/explain?of=everyone:boxing").json();
    let sentences = at(&explained, "/sentences").to_string();
    assert!(
        sentences.contains("`lamps`") && sentences.contains("503: the shop says 503"),
        "{sentences}"
    );
    let metrics = node.get("/metrics").text;
    for answer in ["blocked", "retried"] {
        let series =
            format!(r#"limbic_outbox_answers_total{{answer="{answer}",destination="shop",outbox="outbox"}}"#);
        assert!(metrics.contains(&series), "{series}");
    }
    webhook.answers(400);
    let refused = node.until("the shop refuses for good", |node| {
        shop(node).filter(|shop| count(shop, "/waiting") == 0)
    });
    assert_eq!(count(&refused, "/refused"), waiting, "{refused}");
    node.until("no delivery of the campaign waits", |node| {
        let waiting = r#"limbic_campaign_deliveries_waiting{campaign="lamps",tenant="default"} 0"#;
        node.get("/metrics").text.contains(waiting).then_some(())
    });
    assert!(
        at(&refused, "/last_refusal/detail")
            .as_str()
            .unwrap()
            .contains("400"),
        "{refused}"
    );
    assert!(refused.get("problem").is_none(), "it answers: {refused}");

    // What was sent can be seen by its source, and what the node does not keep of it.
    let mut handled = posts(1)[0].clone();
    handled["id"] = json!("handled");
    handled["meta"] = json!({"display_name": "Ada L.", "likes": 3});
    let mut wrong = handled.clone();
    wrong["created_at"] = json!("yesterday");
    let receipt = node.post("/v1/posts", &json!([handled, wrong])).json();
    assert_eq!(count(&receipt, "/dropped_fields"), 2, "{receipt}");
    let sources = node.get("/v1/sources").json();
    let [source] = items(&sources, "/items") else {
        panic!("{sources}");
    };
    assert_eq!((count(source, "/accepted"), count(source, "/rejected")), (601, 1));
    assert_eq!(*at(source, "/last_rejection/field"), "created_at");
    assert_eq!(*at(source, "/dropped"), json!({"display_name": 1, "likes": 1}));
    let metrics = node.get("/metrics").text;
    for series in [
        r#"limbic_posts_total{network="test",result="accepted",tenant="default"} 601"#,
        r#"limbic_posts_rejected_total{field="created_at",network="test",tenant="default"} 1"#,
        r#"limbic_post_fields_dropped_total{network="test",tenant="default"} 2"#,
        "limbic_affect_texts_total ",
        "limbic_affect_seconds_bucket",
    ] {
        assert!(metrics.contains(series), "{series} is not in {metrics}");
    }
    node.until("the states are counted", |node| {
        let metrics = node.get("/metrics").text;
        let size = metrics
            .lines()
            .find(|line| line.starts_with(r#"limbic_state_bytes{stage="profile"}"#))?;
        (!size.ends_with(" 0")).then_some(())
    });

    // What the other campaign learned can be seen.
    let decisions = node.all("decisions", 100);
    let chosen: Vec<&Value> = decisions
        .iter()
        .filter(|decision| is_chosen(decision) && decision["campaign"] == "night-snacks")
        .collect();
    let id = at(chosen[0], "/id").as_str().unwrap();
    let report = |kind: &str, count: u64| json!({"decision": id, "kind": kind, "at": "2026-03-01T11:30:00Z", "id": format!("{kind}-1"), "count": count});
    let receipt = node
        .post(
            "/v1/outcomes",
            &json!([report("impression", 120), report("click", 30)]),
        )
        .json();
    assert_eq!(count(&receipt, "/accepted"), 2, "{receipt}");
    let seen = node.until("the clicks are counted", |node| {
        let campaign = node.get("/v1/campaigns/night-snacks").json();
        let ad = items(&campaign, "/creatives")
            .iter()
            .find(|ad| ad["clicks"] == 30)?;
        Some((ad.clone(), campaign))
    });
    let (ad, campaign) = seen;
    assert_eq!(count(&ad, "/impressions"), 120);
    let share = |name: &str| {
        at(&ad, &format!("/clicks_per_impression/{name}"))
            .as_f64()
            .unwrap()
    };
    assert!(share("at_least") < 0.25 && (share("estimate") - 0.25).abs() < 1e-9 && share("at_most") > 0.25);
    let decided: u64 = items(&campaign, "/periods")
        .iter()
        .map(|period| count(period, "/decisions"))
        .sum();
    assert_eq!(decided, chosen.len() as u64, "{campaign}");
    let url = node.url();
    let table = printed(&node, &["campaigns", "show", "night-snacks", "--from", &url]);
    assert!(table.contains("25.0 % ("), "{table}");

    // The page reads the newest first; a delivery says when it was delivered.
    let newest = node.get("/v1/decisions?order=newest&limit=1").json();
    assert_eq!(at(&newest, "/items/0/id"), at(decisions.last().unwrap(), "/id"));
    let delivered = node.get(&format!("/v1/outcomes?decision={id}")).json();
    let delivered = items(&delivered, "/items")
        .iter()
        .find(|outcome| outcome["kind"] == "delivered");
    let stated = at(delivered.unwrap(), "/stated_at").as_str().unwrap();
    assert!(stated > "2026-03-02", "by the node's clock: {stated}");
    let why = printed(&node, &["explain", id, "--from", &url]);
    assert!(
        why.contains("It was delivered to `file` at ") && why.contains("120 impressions, 30 clicks"),
        "{why}"
    );

    // The safety rules say who is behind the ad.
    let by_rules = printed(&node, &["safety", "explain", id, "--from", &url]);
    assert!(by_rules.starts_with(&why), "{by_rules}");
    assert!(
        by_rules.contains("Advertiser: Crunch Foods. Paid by: Crunch Foods.")
            && by_rules.contains("Emotions that were read from posts were used."),
        "{by_rules}"
    );

    // Without a node, the same answer comes from the folder.
    let with_node = printed(&node, &["explain", "everyone:boxing", "--from", &url]);
    let post = printed(&node, &["explain", "test/p0", "--from", &url]);
    assert!(
        post.contains("is accepted") && post.contains("Its subjects: boxing"),
        "{post}"
    );
    assert!(
        post.contains("did not keep `display_name`, `likes`") && post.contains("ingest.keep_fields"),
        "{post}"
    );
    let sources = printed(&node, &["explain", "--from", &url]);
    assert!(
        sources.contains("`test` since the node started: 601 accepted")
            && sources.contains("because of `created_at`"),
        "{sources}"
    );
    let (status, log) = node.terminate();
    assert_eq!(status.code(), Some(0), "{log}");
    assert_eq!(printed(&node, &["explain", "everyone:boxing"]), with_node);
    assert_eq!(printed(&node, &["safety", "explain", id]), by_rules);
    let overview = printed(&node, &["explain"]);
    assert!(
        overview.contains("everyone:boxing") && overview.contains("everyone:music"),
        "{overview}"
    );
    let lost = node.run(&["explain", "everyone:chess"]);
    assert!(
        !lost.status.success() && String::from_utf8_lossy(&lost.stderr).contains("no post counted"),
        "{lost:?}"
    );
}

#[test]
fn with_keys_the_page_and_a_replay_log_in_and_tenants_share_nothing() {
    const KEYS: [&str; 2] = [
        "key-of-acme-0123456789abcdef0123",
        "key-of-beta-0123456789abcdef0123",
    ];
    let mut node = TestNode::new(&[]);
    let file = node.data().join("limbic.toml");
    let settings = std::fs::read_to_string(&file).unwrap();
    let secret = |name: &str| format!("a secret of {name} in the tests, not of anyone");
    let tenants = format!(
        "[tenants.acme]\npseudonym_secret = \"{}\"\napi_keys = [\"{}\"]\n[tenants.beta]\npseudonym_secret = \"{}\"\napi_keys = [\"{}\"]\n",
        secret("acme"),
        KEYS[0],
        secret("beta"),
        KEYS[1]
    );
    let settings = settings.replace(
        "[tenants.default]\npseudonym_secret = \"a secret of the tests, not of anyone\"\n",
        &tenants,
    );
    let settings = settings.replace(
        "id = \"night-snacks\"",
        "id = \"night-snacks\"\ntenant = \"acme\"",
    );
    std::fs::write(
        &file,
        settings.replace(
            "id = \"record-store\"",
            "id = \"record-store\"\ntenant = \"acme\"",
        ),
    )
    .unwrap();
    // A campaign of the same name.
    configure(&node, &campaign("night-snacks", "beta", "file"));
    node.start();
    node.wait_ready();

    assert_eq!(
        node.get("/").status,
        200,
        "the page asks for the key, so it needs none"
    );
    for path in [
        "/v1/audiences",
        "/v1/campaigns",
        "/v1/platforms",
        "/v1/explain?of=everyone:boxing",
        "/v1/readings",
    ] {
        node.get(path).problem(401);
    }
    for scheme in ["Bearer", "bearer", "BEARER"] {
        node.log_in(&format!("{scheme} {}", KEYS[0]));
        assert_eq!(node.get("/v1/audiences").status, 200, "{scheme}");
    }

    let posts_file = node.data().join("evening.jsonl");
    let lines: Vec<String> = posts(600).iter().map(ToString::to_string).collect();
    std::fs::write(&posts_file, lines.join("\n")).unwrap();
    let (posts_file, url) = (posts_file.to_str().unwrap().to_owned(), node.url());
    let refused = node.run(&["replay", &posts_file, "--to", &url]);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && text.contains("LIMBIC_KEY"), "{text}");
    let sent = printed(
        &node,
        &["replay", &posts_file, "--to", &url, "--key", KEYS[0], "--json"],
    );
    let sent: Value = serde_json::from_str(&sent).unwrap();
    assert_eq!(count(&sent, "/accepted"), 600, "{sent}");
    node.insist("/v1/watermark", &json!({"at": END}));

    let audiences = |node: &TestNode| -> BTreeSet<String> {
        let page = node.get("/v1/audiences").json();
        let names = items(&page, "/items")
            .iter()
            .map(|item| item["audience"].as_str().unwrap().to_owned());
        names.collect()
    };
    node.until("acme's campaign has decided", |node| {
        let campaign = node.get("/v1/campaigns/night-snacks").json();
        (!items(&campaign, "/creatives").is_empty()).then_some(())
    });
    node.until("acme's audience is shown", |node| {
        audiences(node).contains("everyone:boxing").then_some(())
    });
    node.get("/v1/campaigns/record-store");
    node.log_in(&format!("Bearer {}", KEYS[1]));
    assert_eq!(audiences(&node), BTreeSet::new(), "beta has no posts");
    let campaign = node.get("/v1/campaigns/night-snacks").json();
    assert_eq!(*at(&campaign, "/creatives"), json!([]), "{campaign}");
    assert_eq!(*at(&campaign, "/newest_decisions/counted"), 0);
    assert_eq!(at(&campaign, "/settings/brief/product"), "Glow Lamp");
    node.get("/v1/campaigns/record-store").problem(404);
    assert_eq!(*at(&node.get("/v1/platforms").json(), "/items"), json!([]));
    let own = printed(&node, &["explain", "--from", &url, "--key", KEYS[1]]);
    assert!(own.contains("no post counted"), "{own}");
}
