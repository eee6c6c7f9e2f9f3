//! Clips: one job for each key, also over a kill; files before they are paid; within the tenant's budget. The time is passed in.

use std::collections::BTreeMap;
use std::sync::Arc;

use limbic_domain::{HumanDuration, Micros, Slug};
use limbic_llm::gateway::{
    Clock, FILMED_FOLDER, FilmAsk, FilmedFile, Gateway, GatewayError, Ledger, Outcome, Source, StatedPrice,
    Upstream, Used,
};
use limbic_llm::{Film, Filmer, Shape, Veo, VeoSettings};
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::clips::{Act, Studio, clip, cut};
use crate::gateway::kit::{Scene, keyed, slug, tenant};
use crate::server::Fault;

/// Micro-units of a second of video, and of a clip of 8 seconds.
const SECOND: u64 = 400_000;
const CLIP: u64 = 8 * SECOND;

type Asked = JoinHandle<Result<Outcome<FilmedFile>, GatewayError>>;

struct Stage {
    scene: Scene,
    google: Studio,
    other: Studio,
    settings: VeoSettings,
}

impl Stage {
    /// The model `clips` is made by `google`, then by `other`.
    fn new() -> Self {
        let mut scene = Scene::new();
        scene.add_route("clips", &["google", "other"]);
        for provider in ["google", "other"] {
            scene.settings.prices.push(StatedPrice {
                provider: slug(provider),
                model: "*".to_owned(),
                input: 0,
                output: 0,
                picture: 0,
                video_second: SECOND,
            });
        }
        // Longer than any wait between two questions, so that it is not taken for one.
        scene.settings.deadline = HumanDuration::from_hours(2);
        let google = Studio::start();
        let settings = google.settings();
        Self {
            scene,
            google,
            other: Studio::start(),
            settings,
        }
    }

    /// A gateway on the ledger in the folder, as at the start of a process, on a runtime of its own.
    fn open(&self) -> Process<'_> {
        let runtime = Runtime::new().unwrap();
        let scene = &self.scene;
        let keep = scene.settings.keep_results.as_millis();
        let opened = Ledger::open(scene.folder.path(), keep, scene.clock.now());
        let opened = runtime.block_on(opened).unwrap();
        let lost = opened.1.lost;
        let mut upstreams: BTreeMap<Slug, Upstream> = scene.upstreams();
        for (name, settings) in [("google", &self.settings), ("other", &self.other.settings())] {
            let veo: Arc<dyn Filmer> = Arc::new(Veo::new(settings).unwrap());
            let upstream = Upstream {
                maker: veo.into(),
                kind: "veo".to_owned(),
                host: "127.0.0.1".to_owned(),
            };
            upstreams.insert(slug(name), upstream);
        }
        let clock = Arc::clone(&scene.clock) as Arc<dyn Clock>;
        let gateway = {
            let _inside = runtime.enter();
            Gateway::new(scene.settings.clone(), upstreams, opened, clock).unwrap()
        };
        Process {
            stage: self,
            runtime,
            gateway,
            lost,
        }
    }

    fn files(&self) -> usize {
        let folder = self.scene.folder.path().join(FILMED_FOLDER);
        std::fs::read_dir(folder).map_or(0, Iterator::count)
    }
}

struct Process<'a> {
    stage: &'a Stage,
    runtime: Runtime,
    gateway: Gateway,
    lost: u64,
}

impl Process<'_> {
    /// Asks for a clip of 8 seconds.
    fn ask(&self, model: &str, key: &str) -> Asked {
        let ask = FilmAsk {
            tenant: tenant("acme"),
            key: key.to_owned(),
            request: Film {
                model: model.to_owned(),
                prompt: "A loaf of bread cools on a table.".to_owned(),
                seconds: 8,
                shape: Shape::Landscape,
            },
        };
        let gateway = self.gateway.clone();
        self.runtime.spawn(async move { gateway.film(ask).await })
    }

    /// Moves the clock to each wake-up that the gateway asks for, until the request has ended.
    fn end(&self, mut asked: Asked) -> Result<Outcome<FilmedFile>, GatewayError> {
        self.runtime.block_on(async {
            loop {
                tokio::select! {
                    biased;
                    result = &mut asked => return result.unwrap(),
                    () = self.stage.scene.clock.advance_to_next() => {}
                }
            }
        })
    }

    fn film(&self, key: &str) -> Result<Outcome<FilmedFile>, GatewayError> {
        self.end(self.ask("clips", key))
    }

    /// Returns when the provider was asked for the state of a job that goes on, and the gateway waits again.
    fn until_pending(&self) {
        self.runtime.block_on(async {
            self.stage.scene.clock.advance_to_next().await;
            self.stage.scene.clock.has_waiter().await;
        });
    }

    /// The error of a request that orders nothing.
    fn error(&self, key: &str) -> GatewayError {
        let asked = self.ask("clips", key);
        self.runtime.block_on(asked).unwrap().unwrap_err()
    }

    /// The process ends at once: nothing that waits goes on.
    fn kill(self) {
        let Self { runtime, gateway, .. } = self;
        runtime.shutdown_timeout(std::time::Duration::from_mins(1));
        drop(gateway);
    }

    /// What the tenant has settled, has spent unknown, and holds.
    fn spent(&self) -> (u64, u64, u64) {
        let (spending, _) = self.gateway.spending(&tenant("acme"));
        (spending.settled, spending.unknown, spending.held)
    }
}

#[test]
fn a_clip_is_a_file_that_is_paid_once_also_after_a_restart() {
    let stage = Stage::new();
    stage.google.on_poll(Act::pending());
    stage.google.on_poll(Act::pending());
    let process = stage.open();
    let first = process.film("k").unwrap();
    assert_eq!(first.source, Source::Provider);
    assert_eq!(first.cost(), Micros(CLIP.cast_signed()));
    let filmed = first.answered.generated.clone();
    assert_eq!((&*filmed.media_type, filmed.millis), ("video/mp4", 8_000));
    assert_eq!(process.gateway.clip(&filmed), Some(clip(8)));
    assert_eq!((stage.files(), stage.google.polls()), (1, 3));
    assert_eq!(process.spent(), (CLIP, 0, 0));
    process.kill();

    let process = stage.open();
    let again = process.film("k").unwrap();
    assert_eq!((again.source, again.cost()), (Source::Repeated, Micros(0)));
    assert_eq!(again.answered, first.answered);
    assert_eq!(stage.google.starts(), 1);
    assert_eq!(process.spent(), (CLIP, 0, 0));
    let used = process.runtime.block_on(async {
        let keep = stage.scene.settings.keep_results.as_millis();
        let opened = Ledger::open(stage.scene.folder.path(), keep, stage.scene.clock.now());
        let (ledger, _) = opened.await.unwrap();
        ledger.cost(&tenant("acme"), "k").await.unwrap()
    });
    assert_eq!(
        used,
        Used {
            settled: CLIP,
            unknown: 0
        }
    );
}

#[test]
fn a_job_survives_a_kill_and_is_not_begun_again() {
    // With and without the start following what was left.
    for resumes in [true, false] {
        let stage = Stage::new();
        for _ in 0..3 {
            stage.google.on_poll(Act::pending());
        }
        let process = stage.open();
        let asked = process.ask("clips", "k");
        process.until_pending();
        assert_eq!(process.spent(), (0, 0, CLIP));
        process.kill();
        assert!(
            stage.scene.runtime.block_on(asked).is_err(),
            "the request ended with its process"
        );

        let process = stage.open();
        assert_eq!((process.lost, process.spent()), (0, (0, 0, CLIP)));
        if resumes {
            let _inside = process.runtime.enter();
            process.gateway.resume_jobs();
        }
        let outcome = process.film("k").unwrap();
        assert_eq!(process.gateway.clip(&outcome.answered.generated), Some(clip(8)));
        assert_eq!(outcome.answered.cost, Micros(CLIP.cast_signed()));
        assert_eq!((stage.google.starts(), stage.other.starts()), (1, 0));
        assert_eq!(process.spent(), (CLIP, 0, 0));
        process.kill();
        let process = stage.open();
        assert_eq!((process.lost, process.spent()), (0, (CLIP, 0, 0)));
    }
}

#[test]
fn a_job_that_was_left_comes_without_a_request_and_late_only_if_it_is_pending() {
    let stage = Stage::new();
    stage.google.on_poll(Act::pending());
    let process = stage.open();
    let _asked = process.ask("clips", "k");
    process.until_pending();
    process.kill();
    // The node was down for longer than `video_deadline`: the clip is there nevertheless.
    stage.scene.clock.advance(std::time::Duration::from_hours(20));
    let process = stage.open();
    {
        let _inside = process.runtime.enter();
        process.gateway.resume_jobs();
    }
    process.runtime.block_on(async {
        while stage.files() == 0 {
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(process.film("k").unwrap().answered.generated.millis, 8_000);
    assert_eq!(stage.google.starts(), 1);
}

#[test]
fn two_requests_with_one_key_are_one_job() {
    let stage = Stage::new();
    stage.google.on_poll(Act::pending());
    let process = stage.open();
    let first = process.ask("clips", "k");
    process.until_pending();
    let second = process.ask("clips", "k");
    let (first, second) = (process.end(first).unwrap(), process.end(second).unwrap());
    assert_eq!(first.answered, second.answered);
    assert_eq!(second.source, Source::Repeated);
    assert_eq!(stage.google.starts(), 1);
}

#[test]
fn questions_keep_the_pace_of_the_provider_and_failures_make_them_rarer() {
    let stage = Stage::new();
    stage.google.on_poll(Act::pending());
    stage.google.on_poll(Act::Error(Fault::Throttled));
    stage
        .google
        .on_poll(Act::Answer(429, Some(("retry-after", "300".to_owned())), ""));
    stage.google.on_poll(Act::Break(b"{\"do".to_vec()));
    stage.google.on_poll(Act::Answer(503, None, ""));
    let process = stage.open();
    let outcome = process.film("k").unwrap();
    assert_eq!(outcome.answered.generated.millis, 8_000);
    let moves = stage.scene.clock.moves();
    let waits: Vec<u64> = moves
        .windows(2)
        .map(|pair| pair[1].saturating_sub(pair[0]).as_secs())
        .collect();
    assert_eq!(moves[0].as_secs(), 10, "the first question");
    assert_eq!(waits[0], 10, "a job that is pending");
    assert!((20..=40).contains(&waits[1]), "20 s were asked for: {waits:?}");
    assert_eq!(waits[2], 300, "as the header says");
    assert!(
        (10..=120).contains(&waits[3]) && (10..=120).contains(&waits[4]),
        "{waits:?}"
    );
    assert_eq!(stage.google.polls(), 6);
}

#[test]
fn a_job_that_never_ends_is_given_up_at_its_deadline_and_its_key_begins_no_other() {
    let stage = Stage::new();
    for _ in 0..200 {
        stage.google.on_poll(Act::pending());
    }
    let process = stage.open();
    let error = process.film("k").unwrap_err();
    assert!(matches!(error, GatewayError::Ended { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("llm.video_deadline") && text.contains("choose another key"),
        "{text}"
    );
    // 15 minutes, every 10 seconds.
    assert_eq!(stage.google.polls(), 90);
    assert_eq!(process.spent(), (0, CLIP, 0), "its hold counts");
    assert_eq!(process.film("k").unwrap_err(), error);
    process.kill();
    let process = stage.open();
    assert_eq!(process.film("k").unwrap_err(), error);
    assert_eq!((stage.google.starts(), stage.google.polls()), (1, 90));
    assert_eq!(process.spent(), (0, CLIP, 0));
}

#[test]
fn a_job_that_ends_without_a_clip_says_why_and_costs_what_is_known() {
    let failed = json!({"done": true, "error": {"code": 13, "message": "Internal error"}});
    for (act, said, is_refused, spent) in [
        (Act::filtered(), "violence", true, (0, 0, 0)),
        (Act::Json(failed), "Internal error", false, (0, 0, 0)),
        (Act::Error(Fault::NoModel), "forgotten", false, (0, CLIP, 0)),
    ] {
        let stage = Stage::new();
        stage.google.on_poll(act);
        let process = stage.open();
        let error = process.film("k").unwrap_err();
        assert_eq!(
            matches!(error, GatewayError::Refused { .. }),
            is_refused,
            "{error}"
        );
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(process.spent(), spent, "{error}");
        assert_eq!(process.film("k").unwrap_err(), error);
        assert_eq!(
            (stage.google.starts(), stage.other.starts()),
            (1, 0),
            "nobody else is asked"
        );
        // Another key orders another clip.
        process.film("other").unwrap();
    }
}

#[test]
fn a_clip_that_arrives_broken_is_downloaded_again_and_given_up_after_three_times() {
    let stage = Stage::new();
    stage.google.on_download(Act::Bytes(cut(8)));
    stage.google.on_download(Act::Bytes(b"a text".to_vec()));
    let process = stage.open();
    process.film("k").unwrap();
    assert_eq!(process.spent(), (CLIP, 0, 0));
    for _ in 0..3 {
        stage.google.on_download(Act::Bytes(cut(8)));
    }
    let error = process.film("l").unwrap_err();
    assert!(matches!(error, GatewayError::Ended { .. }), "{error}");
    assert!(error.to_string().contains("cut off"), "{error}");
    assert_eq!(process.spent(), (2 * CLIP, 0, 0), "it was made, so it is billed");
    assert_eq!(stage.files(), 1, "what is no clip is not kept");
}

#[test]
fn what_a_person_must_correct_ends_the_request_and_not_the_job() {
    let mut stage = Stage::new();
    let elsewhere = format!("{}/v1beta/files/clip2", stage.other.origin);
    stage.google.on_poll(Act::clip_at(&elsewhere));
    let process = stage.open();
    let error = process.film("k").unwrap_err();
    assert!(matches!(error, GatewayError::Failed { .. }), "{error}");
    assert!(error.to_string().contains("download_hosts"), "{error}");
    assert_eq!(process.spent(), (0, 0, CLIP), "the job goes on");
    process.kill();
    let host = stage.other.origin.strip_prefix("http://").unwrap().to_owned();
    stage.settings.download_hosts = vec![host];
    stage.google.on_poll(Act::clip_at(&elsewhere));
    let process = stage.open();
    process.film("k").unwrap();
    assert_eq!(process.spent(), (CLIP, 0, 0));
    assert_eq!(stage.google.starts(), 1);
}

#[test]
fn another_provider_is_asked_only_if_no_job_has_begun() {
    let stage = Stage::new();
    let process = stage.open();
    stage.google.on_start(Act::Error(Fault::Server));
    let outcome = process.film("k").unwrap();
    assert_eq!(outcome.answered.provider, slug("other"));
    assert_eq!(outcome.cost(), Micros(CLIP.cast_signed()));
    // A job without a name can run, so its highest cost counts, and the request goes on.
    stage.google.on_start(Act::Json(json!({"name": "../1"})));
    let outcome = process.film("l").unwrap();
    assert_eq!(outcome.answered.provider, slug("other"));
    assert_eq!(outcome.cost(), Micros(2 * CLIP.cast_signed()));
    assert_eq!(process.spent(), (2 * CLIP, CLIP, 0));
}

#[test]
fn a_budget_without_room_orders_nothing_and_a_job_that_runs_takes_room() {
    let mut stage = Stage::new();
    stage.scene.settings.limits.budget_per_day = 2 * CLIP - 1;
    stage.google.on_poll(Act::pending());
    let process = stage.open();
    let _asked = process.ask("clips", "k");
    process.until_pending();
    let error = process.error("l");
    assert!(matches!(error, GatewayError::OverLimit(_)), "{error}");
    process.kill();
    let process = stage.open();
    let error = process.error("l");
    assert!(
        matches!(error, GatewayError::OverLimit(_)),
        "the hold stays over a restart: {error}"
    );
    process.film("k").unwrap();
    assert_eq!(stage.google.starts(), 1);
}

#[test]
fn a_clip_without_a_price_for_a_second_is_not_ordered() {
    let mut stage = Stage::new();
    for price in &mut stage.scene.settings.prices {
        price.video_second = 0;
    }
    let process = stage.open();
    let error = process.film("k").unwrap_err().to_string();
    assert!(
        error.contains("video_second") && error.contains("llm.prices"),
        "{error}"
    );
    assert_eq!(stage.google.starts(), 0);
}

#[test]
fn a_model_for_texts_makes_no_clip_and_a_key_is_for_one_kind_of_request() {
    let stage = Stage::new();
    let process = stage.open();
    let error = process.end(process.ask("ads", "k")).unwrap_err().to_string();
    assert!(error.contains("makes texts: name a model for clips"), "{error}");
    let (text, _) = stage.scene.ask(&process.gateway, keyed("ads", "k"));
    text.unwrap();
    let error = process.film("k").unwrap_err().to_string();
    assert!(error.contains("choose another one"), "{error}");
    assert_eq!(stage.google.starts(), 0);
}

#[test]
fn a_lost_file_is_ordered_again() {
    let stage = Stage::new();
    let process = stage.open();
    let lost = process.film("k").unwrap();
    let folder = stage.scene.folder.path().join(FILMED_FOLDER);
    std::fs::remove_file(folder.join(&lost.answered.generated.file)).unwrap();
    assert_eq!(process.gateway.clip(&lost.answered.generated), None);
    stage.google.on_download(Act::Bytes(clip(6)));
    let new = process.film("k").unwrap();
    assert_eq!(
        (new.source, new.answered.generated.millis),
        (Source::Provider, 6_000)
    );
    assert_eq!(process.film("k").unwrap().source, Source::Repeated);
    assert_eq!(stage.google.starts(), 2);
}
