//! Faults of the connectors that have no server: files, a folder, and sources that send.
//!
//! `LIMBIC_CONNECTOR_FAULTS` is the number of faults, 40 by default.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

#[expect(dead_code, reason = "the promises of networks are checked elsewhere")]
mod suite;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use limbic_component::{Component, Resources};
use limbic_connectors::{
    Connector, Folder, FolderSettings, Hook, HookError, Item, JsonLines, JsonMappingSettings, Meta,
    MetaSettings, Receiver, SignatureForm, SignedWebhook, SignedWebhookSettings, Target,
};
use limbic_domain::random::Random;
use limbic_domain::{Secret, Utc};
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use suite::{Driver, Memory, faults, key};

fn post(n: u32, text: &str) -> Value {
    json!({"network": "forum", "id": n.to_string(), "author": "ann", "text": text, "created_at": "2026-11-20T10:00:00Z"})
}

/// Writes posts with `write` between kills, refusals of the log and lost cursors, and checks that each is in the log once. `write` gets
/// the number of the first post, and returns how many it has completed.
fn no_post_is_lost_or_doubled(
    name: &str,
    build: &dyn Fn() -> Box<dyn Connector>,
    write: &mut dyn FnMut(u32, &mut Random) -> u32,
) {
    let mut random = Random::new(5);
    let memory = Memory::default();
    let mut driver = Driver::new(build(), memory.clone());
    let mut posts = 0;
    for _ in 0..faults() {
        posts += write(posts, &mut random);
        match random.below(4) {
            0 => memory.0.lock().refuse(3),
            1 => driver = Driver::new(build(), memory.clone()),
            2 => driver.runner.pause(),
            _ => {
                memory.0.lock().lose_cursor(true);
            }
        }
        for _ in 0..random.below(8) {
            driver.step();
        }
        if memory.0.lock().lose_cursor(false) {
            driver = Driver::new(build(), memory.clone());
        }
    }
    driver.until("posts are missing", |disk, _| disk.log.len() as u32 >= posts);
    let disk = memory.0.lock();
    let expected: BTreeSet<String> = (0..posts).map(|n| format!("forum {n} v0")).collect();
    assert_eq!(disk.log.iter().cloned().collect::<BTreeSet<_>>(), expected);
    assert_eq!(disk.log.len(), expected.len());
    println!(
        "{name}: {} faults, {posts} posts, {} duplicates removed",
        faults(),
        disk.duplicates()
    );
    assert!(disk.duplicates() > 0, "nothing was pulled twice");
}

#[test]
fn a_file_of_json_lines_that_grows_loses_nothing_under_faults() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("posts.jsonl");
    let (mut rest, source) = (String::new(), path.clone());
    let mut write = |first: u32, random: &mut Random| {
        let more = random.below(30) as u32;
        let mut text = std::mem::take(&mut rest);
        let mut done = u32::from(!text.is_empty());
        for n in 0..more {
            let _ = writeln!(text, "{}", post(first + done, &"goal ".repeat(n as usize)));
            done += 1;
        }
        // The writer stops within a line.
        let half = format!("{}\n", post(first + done, "the last one"));
        let place = random.below(half.len() - 1);
        if place > 0 {
            text.push_str(&half[..place]);
            half[place..].clone_into(&mut rest);
        }
        let mut file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
        done
    };
    no_post_is_lost_or_doubled("json_lines", &|| Box::new(JsonLines::new(&source)), &mut write);
}

fn lines_of(posts: &[Value]) -> String {
    posts
        .iter()
        .fold(String::new(), |lines, post| lines + &format!("{post}\n"))
}

/// Puts a complete file into the folder.
fn put(folder: &Path, name: &str, bytes: &[u8]) {
    let hidden = folder.join(".new");
    fs::write(&hidden, bytes).unwrap();
    fs::rename(hidden, folder.join(name)).unwrap();
}

#[test]
fn a_folder_of_files_of_several_formats_loses_nothing_under_faults() {
    let folder = tempfile::tempdir().unwrap();
    let settings = FolderSettings {
        path: folder.path().to_owned(),
        ..FolderSettings::default()
    };
    let build = || {
        Folder::build(&settings, &Resources::new("test"))
            .unwrap()
            .connector
    };
    let mut files = 0;
    let mut write = |first: u32, random: &mut Random| {
        let count = random.below(40) as u32;
        let posts: Vec<Value> = (first..first + count).map(|n| post(n, "a goal")).collect();
        let lines = lines_of(&posts);
        let name = format!("{files:06}");
        files += 1;
        match random.below(4) {
            0 => put(folder.path(), &format!("{name}.jsonl"), lines.as_bytes()),
            1 => put(
                folder.path(),
                &format!("{name}.json"),
                json!(posts).to_string().as_bytes(),
            ),
            2 => {
                let mut text = "id,network,author,text,created_at\n".to_owned();
                for n in first..first + count {
                    let _ = writeln!(text, "{n},forum,ann,a goal,2026-11-20T10:00:00Z");
                }
                put(folder.path(), &format!("{name}.csv"), text.as_bytes());
            }
            _ => {
                // A file that is written again with more rows.
                let (half, _) = posts.split_at(posts.len() / 2);
                let begin = lines_of(half);
                put(folder.path(), &format!("{name}.jsonl"), begin.as_bytes());
                put(folder.path(), &format!("{name}.jsonl"), lines.as_bytes());
            }
        }
        count
    };
    no_post_is_lost_or_doubled("folder", &build, &mut write);
}

/// A sender repeats each delivery until it is answered with success, in any order, over a log that refuses, answers that are lost, bodies
/// that were changed on their way, and restarts.
fn no_delivery_is_lost_or_doubled(
    name: &str,
    build: &dyn Fn() -> Arc<dyn Receiver>,
    body_of: &dyn Fn(u32) -> String,
    sign: &dyn Fn(&[u8]) -> HeaderMap,
) {
    let mut random = Random::new(9);
    let mut memory = Memory::default();
    let mut receiver = build();
    let (mut waiting, mut sent): (Vec<u32>, u32) = (Vec::new(), 0);
    let mut forged = 0;
    for _ in 0..faults() {
        let more = 1 + random.below(5) as u32;
        waiting.extend(sent..sent + more);
        sent += more;
        let fault = random.below(6);
        match fault {
            0 => memory.0.lock().refuse(2),
            1 => receiver = build(),
            2 => waiting.push(random.below(sent as usize) as u32),
            _ => {}
        }
        for _ in 0..waiting.len() {
            let n = waiting.swap_remove(random.below(waiting.len()));
            let body = body_of(n);
            let headers = sign(body.as_bytes());
            if matches!(fault, 3 | 4) {
                let wrong = if fault == 3 {
                    body.replace("goal", "fool")
                } else {
                    body[..body.len() / 2].to_owned()
                };
                let refused = receive(&*receiver, &headers, wrong.as_bytes());
                assert!(matches!(refused, Err(HookError::NotProven(_))), "{refused:?}");
                forged += 1;
            }
            let items = receive(&*receiver, &headers, body.as_bytes()).unwrap();
            let is_durable = memory.accept(&items).is_ok();
            // An answer that is lost is a delivery that comes again.
            if !is_durable || (fault == 5 && random.below(2) == 0) {
                waiting.push(n);
            }
        }
    }
    for n in waiting {
        let body = body_of(n);
        let items = receive(&*receiver, &sign(body.as_bytes()), body.as_bytes()).unwrap();
        while memory.accept(&items).is_err() {}
    }
    let disk = memory.0.lock();
    let expected: BTreeSet<String> = (0..sent)
        .flat_map(|n| receive(&*receiver, &sign(body_of(n).as_bytes()), body_of(n).as_bytes()).unwrap())
        .map(|item| key(&item))
        .collect();
    assert_eq!(disk.log.iter().cloned().collect::<BTreeSet<_>>(), expected);
    assert_eq!(disk.log.len(), expected.len());
    println!(
        "{name}: {} faults, {sent} deliveries, {} duplicates removed, {forged} forged ones refused",
        faults(),
        disk.duplicates()
    );
    assert!(disk.duplicates() > 0 && forged > 0);
}

fn receive(receiver: &dyn Receiver, headers: &HeaderMap, body: &[u8]) -> Result<Vec<Item>, HookError> {
    let hook = Hook {
        is_post: true,
        query: "",
        headers,
        body,
    };
    let now: Utc = "2026-11-30T09:00:00Z".parse().unwrap();
    receiver.receive(&hook, now).map(|received| received.items)
}

const SECRET: &str = "0123456789abcdef";

fn signed(body: &[u8]) -> HeaderMap {
    let key = PKey::hmac(SECRET.as_bytes()).unwrap();
    let mut signer = Signer::new(MessageDigest::sha256(), &key).unwrap();
    let mac = signer.sign_oneshot_to_vec(body).unwrap();
    let digits = mac
        .iter()
        .fold(String::new(), |digits, byte| digits + &format!("{byte:02x}"));
    let mut headers = HeaderMap::new();
    headers.insert("x-hub-signature-256", format!("sha256={digits}").parse().unwrap());
    headers
}

#[test]
fn a_signed_webhook_loses_nothing_under_faults() {
    let fields = [
        ("id", "id"),
        ("author", "author"),
        ("text", "text"),
        ("created_at", "created_at"),
    ];
    let settings = SignedWebhookSettings {
        secret: Secret::new(SECRET),
        signature: SignatureForm::Hex,
        map: JsonMappingSettings {
            fields: fields
                .map(|(field, path)| (field.to_owned(), path.to_owned()))
                .into(),
            ..JsonMappingSettings::default()
        },
        ..SignedWebhookSettings::default()
    };
    let build = || {
        SignedWebhook::build(&settings, &Resources::new("test"))
            .unwrap()
            .receiver
            .unwrap()
    };
    let body_of = |n: u32| json!([post(2 * n, "a goal"), post(2 * n + 1, "another goal")]).to_string();
    no_delivery_is_lost_or_doubled("webhook", &build, &body_of, &signed);
}

#[test]
fn deliveries_of_meta_lose_nothing_under_faults() {
    let settings = MetaSettings {
        app_secret: Secret::new(SECRET),
        verify_token: Secret::new("a token of ours"),
        ..MetaSettings::default()
    };
    let build = || {
        Meta::build(&settings, &Resources::new("test"))
            .unwrap()
            .receiver
            .unwrap()
    };
    let body_of = |n: u32| {
        let (verb, revision) = [("add", 0), ("edited", 1), ("remove", 2)][n as usize % 3];
        let value = json!({"item": "comment", "verb": verb, "comment_id": format!("44_{}", n / 3), "post_id": "9_44",
            "message": "What a goal!", "from": {"id": "5"}, "created_time": 1_795_000_000});
        json!({"object": "page", "entry": [{"id": "9", "time": 1_795_000_100 + revision,
            "changes": [{"field": "feed", "value": value}]}]})
        .to_string()
    };
    no_delivery_is_lost_or_doubled("meta", &build, &body_of, &signed);
}
