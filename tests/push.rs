//! A push wakes a connector of a node: by the hub, the address of the API, and the connector's thread, to the view.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use serde_json::json;

use crate::kit::{TestNode, items};

const CHANNEL: &str = "UCchannel";
const VIDEO: &str = "a-new-video";

/// The fields of the last form that the hub was sent.
type Form = Arc<Mutex<Option<HashMap<String, String>>>>;

/// The API of YouTube with one comment on one video, and its hub.
fn start(form: &Form) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let form = Arc::clone(form);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            serve(&stream, &form);
        }
    });
    address
}

fn pairs(text: &str) -> HashMap<String, String> {
    let url: reqwest::Url = format!("http://localhost/?{text}").parse().unwrap();
    url.query_pairs().into_owned().collect()
}

fn serve(mut stream: &TcpStream, form: &Form) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let is_hub = first.starts_with("POST /subscribe ");
    let status = if is_hub { "202 Accepted" } else { "200 OK" };
    let answer = if is_hub {
        *form.lock().unwrap() = Some(pairs(&String::from_utf8(body).ok()?));
        String::new()
    } else if first.contains(&format!("videoId={VIDEO}")) {
        let now = limbic_domain::Utc::now();
        let comment = json!({"id": "UgzA", "snippet": {"authorChannelId": {"value": "UCann"}, "textDisplay": "what a wonderful goal",
            "publishedAt": now, "updatedAt": now}});
        json!({"items": [{"id": "UgzA", "snippet": {"videoId": VIDEO, "topLevelComment": comment, "totalReplyCount": 0}}]}).to_string()
    } else {
        json!({"items": []}).to_string()
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        answer.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(answer.as_bytes()).ok()
}

fn signature(secret: &str, body: &str) -> String {
    let key = PKey::hmac(secret.as_bytes()).unwrap();
    let mut signer = Signer::new(MessageDigest::sha1(), &key).unwrap();
    let mac = signer.sign_oneshot_to_vec(body.as_bytes()).unwrap();
    mac.iter()
        .fold("sha1=".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

#[test]
fn a_push_of_a_new_video_brings_its_comments_long_before_the_next_turn() {
    let form = Form::default();
    let url = format!("http://{}", start(&form));
    // The terms of the source demand that posts are not kept for longer.
    let mut node = TestNode::new(&[
        "--set",
        "views.keep.posts=30d",
        "--set",
        "retention.age=7d",
        "--set",
        "retention.dead_age=7d",
    ]);
    // The hub reaches the node through a proxy, so the host of the callback is not that of the node.
    let push = format!(
        "push={{callback=\"https://limbic.example/v1/hooks/youtube\", secret=\"a secret of ours\", hub=\"{url}/subscribe\"}}"
    );
    let added = node.run(&[
        "connect",
        "add",
        "youtube",
        "--with",
        "key=the-key",
        "--with",
        &format!("channels=[\"{CHANNEL}\"]"),
        "--with",
        "interval=6h",
        "--with",
        "remember=1000",
        "--with",
        &format!("url={url}"),
        "--with",
        &push,
    ]);
    assert!(added.status.success(), "{added:?}");
    // A test of the connector subscribes to nothing.
    node.run(&["connect", "test", "youtube", "--seconds", "1"]);
    assert_eq!(*form.lock().unwrap(), None);
    node.start();
    let asked = node.until("the hub is asked", |_| form.lock().unwrap().clone());
    let callback = asked["hub.callback"]
        .strip_prefix("https://limbic.example")
        .unwrap();
    let question = |topic: &str| {
        format!("{callback}&hub.mode=subscribe&hub.topic={topic}&hub.challenge=42&hub.lease_seconds=86400")
    };
    let answer = node.get(&question(&asked["hub.topic"]));
    assert_eq!((answer.status.as_u16(), &*answer.text), (200, "42"));
    node.get(&question("https://example.com")).problem(404);

    let now = limbic_domain::Utc::now();
    let body = format!(
        r#"<feed xmlns="http://www.w3.org/2005/Atom"><title>x</title><updated>{now}</updated>
        <entry><id>yt:video:{VIDEO}</id><title>The goals</title><updated>{now}</updated></entry></feed>"#
    );
    let wrong = signature("another secret", &body);
    node.post_with(callback, &[("x-hub-signature", &wrong)], body.as_bytes())
        .problem(401);
    let right = signature(&asked["hub.secret"], &body);
    let answer = node.post_with(callback, &[("x-hub-signature", &right)], body.as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    node.until("the comment is in the view", |node| {
        let post = node.get("/v1/posts/youtube/UgzA");
        (post.status == 200 && post.json()["text"] == "what a wonderful goal").then_some(())
    });
    let listed = node.get("/v1/connectors").json();
    let dropped = &items(&listed, "/items")[0]["dropped"];
    assert_eq!(
        dropped["a request to the callback that was refused"], 2,
        "{listed}"
    );
}
