//! Video adverts over HTTP: a script, a clip for each scene, and what happens when the node ends in between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

use super::{ACME, Act, Answer, COST, Running, Scene, until};

/// What the local server does with jobs for clips.
#[derive(Default)]
pub(crate) struct Studio {
    started: AtomicUsize,
    /// Whether jobs end.
    is_open: AtomicBool,
    /// The jobs whose state was asked for. Their names are stored before.
    asked: Mutex<BTreeSet<String>>,
    /// The jobs whose clip is filtered.
    filtered: Mutex<BTreeSet<String>>,
    prompts: Mutex<Vec<Value>>,
}

/// A local server that behaves as Google's guide and reports say. No recording of the real one was compared.
pub(crate) fn routes(studio: Arc<Studio>) -> Router {
    Router::new()
        .route("/v1/models/{method}", post(start))
        .route("/v1/models/{model}/operations/{job}", get(state))
        .route("/v1/files/{file}", get(download))
        .with_state(studio)
}

async fn start(State(studio): State<Arc<Studio>>, body: Bytes) -> Json<Value> {
    let number = studio.started.fetch_add(1, Ordering::SeqCst);
    studio
        .prompts
        .lock()
        .unwrap()
        .push(serde_json::from_slice(&body).unwrap());
    Json(json!({"name": format!("models/small/operations/job{number}")}))
}

async fn state(
    State(studio): State<Arc<Studio>>,
    Path((_, job)): Path<(String, String)>,
    headers: HeaderMap,
) -> Json<Value> {
    studio.asked.lock().unwrap().insert(job.clone());
    if !studio.is_open.load(Ordering::SeqCst) {
        return Json(json!({"name": job}));
    }
    let videos = if studio.filtered.lock().unwrap().contains(&job) {
        json!({"raiMediaFilteredCount": 1, "raiMediaFilteredReasons": ["The policy on violence."]})
    } else {
        let host = headers["host"].to_str().unwrap();
        let uri = format!("http://{host}/v1/files/{job}:download?alt=media");
        json!({"generatedSamples": [{"video": {"uri": uri}}]})
    };
    Json(json!({"name": job, "done": true, "response": {"generateVideoResponse": videos}}))
}

async fn download(Path(file): Path<String>) -> Response {
    ([("content-type", "application/octet-stream")], clip(&file)).into_response()
}

fn part(kind: [u8; 4], content: &[u8]) -> Vec<u8> {
    let size = u32::try_from(content.len() + 8).unwrap();
    [&size.to_be_bytes(), &kind[..], content].concat()
}

/// The boxes of an MP4 file of 4 seconds, with this text as its data.
fn clip(text: &str) -> Vec<u8> {
    let numbers = [0, 0, 0, 1_000, 4_000].map(u32::to_be_bytes).concat();
    let header = part(*b"mvhd", &[&numbers[..], &[0; 80]].concat());
    let handler = part(*b"hdlr", &[&[0; 8], &b"vide"[..], &[0; 13]].concat());
    let track = part(*b"trak", &part(*b"mdia", &handler));
    [
        part(*b"ftyp", b"isom\0\0\x02\0isommp42"),
        part(*b"moov", &[header, track].concat()),
        part(*b"mdat", text.as_bytes()),
    ]
    .concat()
}

/// A provider that makes clips, and its model.
fn settings(scene: &Scene) -> String {
    let price = "[llm.default_price]\ninput = 2_000_000\noutput = 3_000_000\nvideo_second = 400_000\n";
    let base = &scene.base;
    format!(
        "{price}[video_providers.film]\nkind = 'veo'\nbase_url = '{base}'\napi_key = 'sk-hidden'\npoll_every = '10ms'\n"
    )
}

/// Micro-units of a clip of 4 seconds.
const CLIP: i64 = 4 * 400_000;

const SCRIPT: &str = r#"{"scenes": [{"seen": "Steam rises from a loaf of bread on a table.", "seconds": 4, "words": "Warm bread."},
    {"seen": "A cart of bread rolls through a quiet street.", "seconds": 3, "words": ""}]}"#;

const KEY: &str = "idempotency-key: spot-1\r\n";

fn video() -> Value {
    json!({"model": "film/small", "prompt": "Bread of the bakery Acme.", "video": {"script": "ads", "shape": "portrait"}})
}

fn ask(node: &Running) -> Answer {
    node.generate(ACME, KEY, &video())
}

/// Repeats the request until no more clips come.
fn ask_until_done(node: &Running) -> Value {
    let answer = std::cell::RefCell::new(ask(node));
    until("the clips do not come", || {
        if answer.borrow().status == 202 {
            *answer.borrow_mut() = ask(node);
        }
        answer.borrow().status != 202
    });
    let answer = answer.into_inner();
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

fn states(video: &Value) -> Vec<&str> {
    let scenes = video["scenes"].as_array().unwrap();
    scenes
        .iter()
        .map(|scene| scene["state"].as_str().unwrap())
        .collect()
}

fn started(scene: &Scene) -> usize {
    scene.studio.started.load(Ordering::SeqCst)
}

fn opens(scene: &Scene) {
    scene.studio.is_open.store(true, Ordering::SeqCst);
}

#[test]
fn a_video_is_a_script_and_a_clip_for_each_scene_and_repeated_requests_get_them() {
    let scene = Scene::new();
    let node = scene.open(&settings(&scene));
    scene.will(Act::Text(SCRIPT));
    let first = ask(&node);
    assert_eq!(first.status, 202, "{}", first.body);
    assert_eq!(first.headers["retry-after"], "10");
    let video = first.json();
    assert_eq!(states(&video), ["working", "working"]);
    assert_eq!(video["scenes"][0]["clip"], Value::Null);
    opens(&scene);
    let video = ask_until_done(&node);
    assert_eq!(states(&video), ["finished", "finished"]);
    assert_eq!(video["ai_generated"], true);
    let said = video["note"].as_str().unwrap();
    assert!(
        said.contains("single file") && said.contains("nobody has reviewed"),
        "{said}"
    );
    assert_eq!(video["script"]["provider"], "own");
    assert_eq!(
        (&video["cost_micros"], &video["script"]["cost_micros"]),
        (&json!(COST + 2 * CLIP), &json!(COST))
    );
    let mut files = BTreeMap::new();
    for (number, scene) in video["scenes"].as_array().unwrap().iter().enumerate() {
        let clip = &scene["clip"];
        assert_eq!(
            (&clip["provider"], &clip["model"]),
            (&json!("film"), &json!("small"))
        );
        assert_eq!(
            (&clip["media_type"], &clip["millis"]),
            (&json!("video/mp4"), &json!(4_000))
        );
        assert_eq!(clip["cost_micros"], CLIP);
        assert!(
            clip["digital_source"]
                .as_str()
                .unwrap()
                .ends_with("/trainedAlgorithmicMedia")
        );
        assert_eq!(clip["prompt"]["hash"].as_str().unwrap().len(), 16);
        files.insert(clip["file"].as_str().unwrap().to_owned(), number);
    }
    assert_eq!(files.len(), 2);
    for file in files.keys() {
        let shown = node.get("", &format!("/v1/clips/{file}"));
        assert_eq!(
            (shown.status, &*shown.headers["content-type"]),
            (200, "video/mp4")
        );
        assert!(shown.body.contains("job"), "{}", shown.body);
        node.get("", &format!("/v1/pictures/{file}")).problem(404);
    }
    node.get("", "/v1/clips/..%2Fllm.sqlite").problem(404);
    assert_eq!((started(&scene), scene.asked()), (2, 1), "paid once");
    let providers = node.get(ACME, "/v1/providers").json();
    assert_eq!(
        providers["spent_today"]["settled"],
        COST + 2 * CLIP,
        "{providers}"
    );
    let prompts = scene.studio.prompts.lock().unwrap().clone();
    for prompt in prompts {
        assert_eq!(prompt["parameters"]["aspectRatio"], "9:16");
        assert_eq!(prompt["parameters"]["durationSeconds"], 4);
        let text = prompt["instances"][0]["prompt"].as_str().unwrap();
        assert!(text.contains("bread") && text.contains("No people"), "{text}");
    }
    node.close();
}

#[test]
fn a_node_that_ends_between_start_and_finish_follows_the_same_jobs() {
    let scene = Scene::new();
    let node = scene.open(&settings(&scene));
    scene.will(Act::Text(SCRIPT));
    assert_eq!(ask(&node).status, 202);
    until("nobody asks for the jobs", || {
        scene.studio.asked.lock().unwrap().len() == 2
    });
    node.close();
    opens(&scene);
    let node = scene.open(&settings(&scene));
    let video = ask_until_done(&node);
    assert_eq!(states(&video), ["finished", "finished"]);
    assert_eq!((started(&scene), scene.asked()), (2, 1));
    let spent = node.get(ACME, "/v1/providers").json()["spent_today"].clone();
    assert_eq!(
        (&spent["settled"], &spent["unknown"]),
        (&json!(COST + 2 * CLIP), &json!(0)),
        "{spent}"
    );
    node.close();
}

#[test]
fn a_filtered_scene_says_so_and_the_others_are_there() {
    let scene = Scene::new();
    opens(&scene);
    scene.studio.filtered.lock().unwrap().insert("job1".to_owned());
    let node = scene.open(&settings(&scene));
    scene.will(Act::Text(SCRIPT));
    let video = ask_until_done(&node);
    let mut found = states(&video);
    found.sort_unstable();
    assert_eq!(found, ["finished", "refused"]);
    let scenes = video["scenes"].as_array().unwrap();
    let refused = scenes.iter().find(|scene| scene["state"] == "refused").unwrap();
    assert!(
        refused["problem"].as_str().unwrap().contains("violence"),
        "{refused}"
    );
    assert_eq!(video["cost_micros"], COST + CLIP, "a filtered clip is not billed");
    ask_until_done(&node);
    assert_eq!(started(&scene), 2);
    node.close();
}

#[test]
fn a_script_that_the_rules_refuse_or_that_has_another_form_orders_no_clip() {
    let scene = Scene::new();
    let node = scene.open(&settings(&scene));
    let unsafe_script = SCRIPT.replace("Warm bread.", "Bread that cures cancer.");
    scene.will(Act::Text(Box::leak(unsafe_script.into_boxed_str())));
    let problem = ask(&node).problem(422);
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("scene 1") && detail.contains("rule `"),
        "{detail}"
    );
    for _ in 0..2 {
        scene.will(Act::Text(r#"{"scenes": []}"#));
    }
    for _ in 0..2 {
        let problem = node
            .generate(ACME, "idempotency-key: spot-2\r\n", &video())
            .problem(422);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("0 scenes, not 2 to 6"), "{detail}");
    }
    assert_eq!(
        (started(&scene), scene.asked()),
        (0, 3),
        "a repeated key pays no script again"
    );
    node.close();
}

#[test]
fn a_wrong_request_for_a_video_says_what_to_do() {
    let scene = Scene::new();
    let node = scene.open(&settings(&scene));
    let with = |field: &str, value: Value| {
        let mut body = video();
        body[field] = value;
        body
    };
    for (key, body, said) in [
        ("", video(), "a video needs a key"),
        (KEY, with("stream", true.into()), "remove one of them"),
        (
            KEY,
            with("picture", json!({"width": 9, "height": 9})),
            "remove one of them",
        ),
        (KEY, with("prompt", " ".into()), "what the advert is for"),
        (
            KEY,
            with("video", json!({"script": "nothing"})),
            "there is no model `nothing`",
        ),
        (
            KEY,
            with("video", json!({"script": "film/small"})),
            "makes clips: name a model for texts",
        ),
        (KEY, with("video", json!({})), "script"),
    ] {
        let answer = node.generate(ACME, key, &body);
        assert!((400..500).contains(&answer.status), "{}", answer.body);
        assert!(answer.body.contains(said), "{said}: {}", answer.body);
    }
    assert_eq!((started(&scene), scene.asked()), (0, 0));
    scene.will(Act::Text(SCRIPT));
    let answer = node.generate(ACME, KEY, &with("model", "own/small".into()));
    assert!(
        answer.body.contains("makes texts: name a model for clips"),
        "{}",
        answer.body
    );
    node.close();
}
