//! A node reads from a social network: over kills and pauses, with edits and deletions, to readings.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tungstenite::Message;
use tungstenite::handshake::server::{Request, Response};

use crate::kit::{TestNode, count, items};

/// Events with their times.
type Events = Mutex<Vec<(i64, String)>>;

/// A server as Jetstream, as far as this test needs it: events from the time in `cursor` on, then further ones.
struct Jetstream {
    address: SocketAddr,
    shared: Arc<(Events, AtomicBool)>,
}

impl Jetstream {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new((Mutex::default(), AtomicBool::new(false)));
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&of_thread);
                // It ends when the client closes the connection.
                std::thread::spawn(move || serve(stream, &shared.0, &shared.1));
            }
        });
        Self { address, shared }
    }

    fn commit(&self, time: i64, operation: &str, rkey: &str, text: &str) {
        let event = json!({"did": "did:plc:ann-of-the-network", "time_us": time, "kind": "commit", "commit": {
            "rev": "3mmoojp7vgo2g", "operation": operation, "collection": "app.bsky.feed.post", "rkey": rkey,
            "record": {"text": text, "createdAt": "2026-05-25T14:23:28Z", "langs": ["en"]}}});
        self.shared.0.lock().unwrap().push((time, event.to_string()));
    }
}

impl Drop for Jetstream {
    fn drop(&mut self) {
        self.shared.1.store(true, Ordering::SeqCst);
    }
}

fn serve(stream: TcpStream, events: &Mutex<Vec<(i64, String)>>, is_over: &AtomicBool) -> Option<()> {
    let mut cursor = 0;
    #[expect(clippy::result_large_err, reason = "tungstenite's signature")]
    let answer = |request: &Request, response: Response| {
        let query = request.uri().query().unwrap_or_default();
        let given = query.split('&').find_map(|pair| pair.strip_prefix("cursor="));
        cursor = given.map_or(0, |given| given.parse().unwrap());
        Ok(response)
    };
    let mut socket = tungstenite::accept_hdr(stream, answer).ok()?;
    let mut next = 0;
    while !is_over.load(Ordering::SeqCst) {
        let event = events.lock().unwrap().get(next).cloned();
        match event {
            None => {
                std::thread::park_timeout(Duration::from_millis(20));
                socket.send(Message::Ping(Vec::new().into())).ok()?;
            }
            Some((time, event)) => {
                next += 1;
                if time >= cursor {
                    socket.send(Message::Text(event.into())).ok()?;
                }
            }
        }
    }
    Some(())
}

/// The texts in the view, sorted.
fn texts(node: &TestNode) -> Vec<String> {
    let readings = node.all("readings", 100);
    let text = |reading: &Value| {
        let id = reading["post"]["id"].as_str().unwrap();
        let post = node.get(&format!("/v1/posts/bluesky/{id}"));
        (post.status == 200).then(|| post.json()["text"].as_str().unwrap().to_owned())
    };
    let mut texts: Vec<String> = readings.iter().filter_map(text).collect();
    texts.sort();
    texts
}

fn wait_for(node: &mut TestNode, expected: &[&str]) {
    node.until(&format!("the view has {expected:?}"), |node| {
        (texts(node) == expected).then_some(())
    });
}

fn connector(node: &TestNode) -> Value {
    let listed = node.get("/v1/connectors").json();
    items(&listed, "/items")[0].clone()
}

#[test]
fn a_network_is_read_to_readings_over_kills_pauses_edits_and_deletions() {
    let server = Jetstream::start();
    let mut node = TestNode::new(&[]);
    let url = format!("urls=[\"ws://{}/subscribe\"]", server.address);
    let add = [
        "connect",
        "add",
        "bluesky",
        "--with",
        &url,
        "--with",
        "catch_up=365d",
    ];
    let added = node.run(&add);
    assert!(added.status.success(), "{added:?}");
    let twice = node.run(&add);
    assert!(!twice.status.success(), "{twice:?}");
    let unknown = node.run(&["connect", "add", "bluesky", "--name", "b", "--with", "rewnd=1s"]);
    let problem = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(
        !unknown.status.success() && problem.contains("rewind"),
        "{problem}"
    );

    let second = 1_000_000;
    let begin = 1_779_719_009_000_000;
    server.commit(begin, "create", "1", "what a wonderful goal");
    server.commit(begin + second, "create", "2", "a terrible evening");
    let tried = node.run(&["connect", "test", "bluesky", "--seconds", "1"]);
    let said = String::from_utf8_lossy(&tried.stdout).into_owned();
    assert!(tried.status.success() && said.contains("2 posts"), "{tried:?}");

    node.start();
    wait_for(&mut node, &["a terrible evening", "what a wonderful goal"]);
    server.commit(begin + 2 * second, "update", "1", "what a wonderful save");
    server.commit(begin + 3 * second, "delete", "2", "");
    wait_for(&mut node, &["what a wonderful save"]);
    // The cursor is in the log, or what came since is read twice and kept once.
    node.kill_after(Duration::ZERO).join().unwrap();
    assert!(node.revive());
    server.commit(begin + 4 * second, "create", "3", "the keeper is back");
    wait_for(&mut node, &["the keeper is back", "what a wonderful save"]);

    let paused = node.run(&["connect", "pause", "bluesky"]);
    assert!(paused.status.success(), "{paused:?}");
    node.until("it is paused", |node| {
        (connector(node)["phase"] == "paused").then_some(())
    });
    server.commit(begin + 5 * second, "create", "4", "a song");
    // A pause survives a restart.
    assert!(node.terminate().0.success());
    node.start();
    node.until("it is paused again", |node| {
        (connector(node)["phase"] == "paused").then_some(())
    });
    assert_eq!(texts(&node), ["the keeper is back", "what a wonderful save"]);
    let unknown = node.request("POST", "/v1/connectors/mastodon/pause", "application/json", b"{}");
    unknown.problem(404);
    let resumed = node.run(&["connect", "resume", "bluesky"]);
    assert!(resumed.status.success(), "{resumed:?}");
    wait_for(
        &mut node,
        &["a song", "the keeper is back", "what a wonderful save"],
    );

    let listed = connector(&node);
    assert_eq!(listed["kind"], "bluesky");
    assert_eq!(listed["terms"]["author_ids"], "pseudonym");
    assert!(
        count(&listed, "/accepted") >= 1 && listed["lag_seconds"].is_number(),
        "{listed}"
    );
    let shown = node.run(&["connect", "list"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("bluesky") && shown.contains("running"), "{shown}");
    let counts = node.settle();
    // Four posts, an edit, a deletion; each once.
    assert_eq!(count(&counts, "/topics/posts/records"), 6, "{counts}");
    let metrics = node.get("/metrics").text;
    assert!(
        metrics.contains("limbic_connector_lag_seconds{connector=\"bluesky\"}"),
        "{metrics}"
    );
    for list in ["/v1/readings", "/v1/connectors", "/v1/counts"] {
        let body = node.get(list).text;
        assert!(!body.contains("ann-of-the-network"), "{list}");
    }
}

/// An instance of Mastodon whose token permits only the profile.
async fn instance(uri: axum::http::Uri) -> (axum::http::StatusCode, axum::Json<Value>) {
    use axum::http::StatusCode;
    let (status, body) = match uri.path() {
        "/api/v1/apps/verify_credentials" => {
            (StatusCode::OK, json!({"name": "limbic", "scopes": ["profile"]}))
        }
        _ => (
            StatusCode::FORBIDDEN,
            json!({"error": "This action is outside the authorized scopes"}),
        ),
    };
    (status, axum::Json(body))
}

#[test]
fn a_permission_that_a_network_has_not_given_is_named_with_how_to_get_it() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .unwrap();
    let url = format!("url=\"http://{}\"", listener.local_addr().unwrap());
    runtime.spawn(async move { axum::serve(listener, axum::Router::new().fallback(instance)).await });
    let node = TestNode::new(&[]);
    let added = node.run(&[
        "connect",
        "add",
        "mastodon",
        "--with",
        &url,
        "--with",
        "token=the-token-of-the-test",
    ]);
    assert!(added.status.success(), "{added:?}");
    for command in [&["connect", "test", "mastodon", "--seconds", "1"][..], &["check"]] {
        let tried = node.run(command);
        assert!(!tried.status.success(), "{tried:?}");
        let said = String::from_utf8_lossy(&[tried.stdout, tried.stderr].concat()).into_owned();
        assert!(
            said.contains("the permission `read:statuses` is missing")
                && said.contains("the application has profile")
                && said.contains("regenerate the access token"),
            "{said}"
        );
        assert!(!said.contains("the-token-of-the-test"), "{said}");
    }
}

/// `sha256=` and the HMAC of a body with the secret of the test's webhook.
fn signature(body: &str) -> String {
    let key = openssl::pkey::PKey::hmac(b"0123456789abcdef").unwrap();
    let mut signer = openssl::sign::Signer::new(openssl::hash::MessageDigest::sha256(), &key).unwrap();
    let mac = signer.sign_oneshot_to_vec(body.as_bytes()).unwrap();
    let digits = (mac.iter()).fold(String::new(), |digits, byte| digits + &format!("{byte:02x}"));
    format!("sha256={digits}")
}

#[test]
fn a_source_that_sends_is_read_to_readings_and_must_prove_who_it_is() {
    let mut node = TestNode::new(&[]);
    let map = "map={deleted=\"gone\", fields={id=\"id\", author=\"by\", text=\"body\", created_at=\"at\"}}";
    let added = node.run(&[
        "connect",
        "add",
        "webhook",
        "--name",
        "shop",
        "--with",
        "secret=\"0123456789abcdef\"",
        "--with",
        "signature=hex",
        "--with",
        "verify_token=\"a token of ours\"",
        "--with",
        map,
    ]);
    assert!(added.status.success(), "{added:?}");
    node.start();
    let send = |node: &TestNode, body: &str| {
        node.post_with(
            "/v1/hooks/shop",
            &[("x-hub-signature-256", &signature(body))],
            body.as_bytes(),
        )
    };
    let post = json!({"id": 7, "by": "ann-of-the-shop", "body": "what a wonderful goal", "at": "2026-03-01T10:00:00Z"});
    let post = post.to_string();
    for _ in 0..2 {
        let answer = send(&node, &post);
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    wait_for_text(&mut node, "other", "7", "what a wonderful goal");
    let gone = json!({"id": 7, "by": "ann-of-the-shop", "gone": true}).to_string();
    assert_eq!(send(&node, &gone).status, 200);
    node.until("the post is gone", |node| {
        (node.get("/v1/posts/other/7").status == 404).then_some(())
    });
    let counts = node.settle();
    assert_eq!(count(&counts, "/topics/posts/records"), 2, "{counts}");

    let wrong = [("x-hub-signature-256", &*signature(&post))];
    node.post_with("/v1/hooks/shop", &wrong, gone.as_bytes())
        .problem(401);
    node.post_with("/v1/hooks/shop", &[], post.as_bytes())
        .problem(401);
    node.post_with("/v1/hooks/nobody", &wrong, post.as_bytes())
        .problem(404);
    let packed = [wrong[0], ("content-encoding", "gzip")];
    node.post_with("/v1/hooks/shop", &packed, post.as_bytes())
        .problem(415);
    let ask = "/v1/hooks/shop?hub.mode=subscribe&hub.challenge=42&hub.verify_token=";
    let answer = node.get(&format!("{ask}a%20token%20of%20ours"));
    assert_eq!((answer.status.as_u16(), &*answer.text), (200, "42"));
    node.get(&format!("{ask}another")).problem(401);

    let listed = connector(&node);
    assert_eq!(
        (count(&listed, "/accepted"), count(&listed, "/duplicates")),
        (2, 1),
        "{listed}"
    );
    assert!(node.run(&["connect", "pause", "shop"]).status.success());
    send(&node, &post).problem(503);
    assert!(node.run(&["connect", "resume", "shop"]).status.success());
    assert_eq!(send(&node, &post).status, 200);
    let tested = node.run(&["connect", "test", "shop"]);
    let said = String::from_utf8_lossy(&tested.stdout).into_owned();
    assert!(
        tested.status.success() && said.contains("/v1/hooks/shop"),
        "{tested:?}"
    );
    for list in ["/v1/readings", "/v1/connectors", "/v1/counts"] {
        let body = node.get(list).text;
        assert!(!body.contains("ann-of-the-shop"), "{list}");
    }
}

fn wait_for_text(node: &mut TestNode, network: &str, id: &str, text: &str) {
    node.until(&format!("the view has `{text}`"), |node| {
        let post = node.get(&format!("/v1/posts/{network}/{id}"));
        (post.status == 200 && post.json()["text"] == text).then_some(())
    });
}

#[test]
fn a_node_that_would_keep_deleted_posts_for_too_long_does_not_start_the_connector() {
    let node = TestNode::new(&[]);
    let added = node.run(&[
        "connect",
        "add",
        "reddit",
        "--with",
        "subreddits=[\"football\"]",
        "--with",
        "client_id=app",
        "--with",
        "client_secret=secret",
        "--with",
        "user_agent=linux:limbic:1.0",
    ]);
    assert!(added.status.success(), "{added:?}");
    let checked = node.run(&["check"]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(
        said.contains("terms of connectors.reddit") && said.contains("set retention.age to at most"),
        "{said}"
    );
    let checked = node.run(&[
        "check",
        "--set",
        "retention.age=48h",
        "--set",
        "retention.dead_age=48h",
    ]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(!said.contains("set retention.age"), "{said}");
}

#[test]
fn a_deletion_that_is_pushed_removes_the_post_and_its_reading() {
    let mut node = TestNode::open(&[]);
    let post = json!({"network": "test", "id": "1", "author": "ann", "text": "a song", "created_at": "2026-03-01T10:00:00Z"});
    assert_eq!(node.post("/v1/posts", &post).status, 202);
    node.until("the post is read", |node| {
        (node.all("readings", 10).len() == 1).then_some(())
    });
    let mut deletion =
        json!({"network": "test", "id": "1", "author": "ann", "deleted_at": "2026-03-01T11:00:00Z"});
    let answer = node.post("/v1/deletions", &deletion);
    assert_eq!(
        answer.json(),
        json!({"accepted": 1, "duplicates": 0, "rejected": []})
    );
    node.until("the post is gone", |node| {
        let is_gone = node.get("/v1/posts/test/1").status == 404 && node.all("readings", 10).is_empty();
        is_gone.then_some(())
    });
    assert_eq!(
        count(&node.post("/v1/deletions", &deletion).json(), "/duplicates"),
        1
    );
    deletion.as_object_mut().unwrap().remove("deleted_at");
    let problem = node.post("/v1/deletions", &deletion).problem(422);
    assert_eq!(problem["field"], "deleted_at");
    // The post that is sent again is known, and stays deleted.
    assert_eq!(count(&node.post("/v1/posts", &post).json(), "/duplicates"), 1);
}
