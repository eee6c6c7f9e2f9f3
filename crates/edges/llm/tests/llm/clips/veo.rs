//! What the provider makes of each answer.

use std::time::Duration;

use limbic_domain::{Secret, Utc};
use limbic_llm::{
    Attempt, Failure, FailureKind, Film, FilmJob, Filmed, Filmer as _, PeopleInClips, Polled, Resolution,
    Shape, Spent, Usage, Veo, VeoSettings,
};
use serde_json::json;

use super::{Act, Studio, clip, cut};
use crate::server::Fault;

/// What a clip of 8 seconds costs.
const EIGHT: Usage = Usage {
    prompt_tokens: 0,
    completion_tokens: 0,
    pictures: 0,
    video_seconds: 8,
};

fn film() -> Film {
    Film {
        model: "small".to_owned(),
        prompt: "A loaf of bread cools on a table.".to_owned(),
        seconds: 7,
        shape: Shape::Portrait,
    }
}

fn job() -> FilmJob {
    FilmJob {
        name: "models/small/operations/op1".to_owned(),
        model: "small".to_owned(),
        seconds: 8,
    }
}

fn attempt<R>(request: &R, deadline: Duration) -> Attempt<'_, R> {
    Attempt {
        key: "scene-1",
        request,
        now: Utc::from_millis(0),
        deadline,
    }
}

const MINUTE: Duration = Duration::from_mins(1);

impl Studio {
    fn veo(&self) -> Veo {
        Veo::new(&self.settings()).unwrap()
    }

    fn begin(&self, veo: &Veo) -> Result<String, Failure> {
        let request = film();
        self.runtime.block_on(veo.start(attempt(&request, MINUTE)))
    }

    fn ask(&self, veo: &Veo) -> Result<Polled, Failure> {
        self.ask_for(veo, &job(), MINUTE)
    }

    fn ask_for(&self, veo: &Veo, job: &FilmJob, deadline: Duration) -> Result<Polled, Failure> {
        self.runtime.block_on(veo.poll(attempt(job, deadline)))
    }
}

fn ended(state: Polled) -> Failure {
    match state {
        Polled::Ended(failure) => failure,
        other => panic!("{other:?}"),
    }
}

fn finished(state: Polled) -> Filmed {
    match state {
        Polled::Finished(filmed) => filmed,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_job_has_the_documented_form_and_the_clip_is_what_its_bytes_are() {
    let server = Studio::start();
    let veo = server.veo();
    assert_eq!(veo.most(&film()), EIGHT);
    assert_eq!(server.begin(&veo).unwrap(), job().name);
    server.on_poll(Act::pending());
    assert_eq!(server.ask(&veo).unwrap(), Polled::Pending);
    let filmed = finished(server.ask(&veo).unwrap());
    assert_eq!((filmed.file, filmed.about.millis), (clip(8), 8_000));
    assert_eq!((&*filmed.model, filmed.usage), ("small", Some(EIGHT)));
    let seen = server.seen();
    let paths: Vec<&str> = seen.iter().map(|seen| seen.path.as_str()).collect();
    let state = "/v1beta/models/small/operations/op1";
    assert_eq!(
        paths,
        [
            "/v1beta/models/small:predictLongRunning",
            state,
            state,
            "/v1beta/files/clip1:download?alt=media"
        ]
    );
    assert!(
        seen.iter()
            .all(|seen| seen.headers["x-goog-api-key"] == "sk-hidden")
    );
    assert_eq!(seen[0].headers["idempotency-key"], "scene-1");
    assert_eq!(
        seen[0].body,
        json!({
            "instances": [{"prompt": "A loaf of bread cools on a table."}],
            "parameters": {"aspectRatio": "9:16", "resolution": "720p", "durationSeconds": 8},
        })
    );
}

#[test]
fn the_next_longer_duration_is_ordered_and_1080p_has_eight_seconds() {
    let server = Studio::start();
    let veo = server.veo();
    for (wanted, made) in [(1, 4), (4, 4), (5, 6), (6, 6), (7, 8), (8, 8), (60, 8)] {
        let request = Film {
            seconds: wanted,
            ..film()
        };
        assert_eq!(veo.most(&request).video_seconds, made, "{wanted}");
    }
    let sharp = Veo::new(&VeoSettings {
        resolution: Resolution::P1080,
        people: Some(PeopleInClips::DontAllow),
        ..server.settings()
    });
    let sharp = sharp.unwrap();
    let short = Film {
        seconds: 4,
        shape: Shape::Landscape,
        ..film()
    };
    assert_eq!(sharp.most(&short), EIGHT);
    server
        .runtime
        .block_on(sharp.start(attempt(&short, MINUTE)))
        .unwrap();
    assert_eq!(
        server.seen()[0].body["parameters"],
        json!({"aspectRatio": "16:9", "resolution": "1080p", "durationSeconds": 8, "personGeneration": "dont_allow"})
    );
}

/// Errors that the start of a job and a question about it share, and what they mean.
fn errors() -> Vec<(Act, FailureKind)> {
    let twenty = FailureKind::Throttled(Some(Duration::from_secs(20)));
    let busy = |after: Option<&str>| {
        let header = after.map(|after| ("retry-after", after.to_owned()));
        Act::Answer(503, header, "busy")
    };
    vec![
        (Act::Error(Fault::Throttled), twenty),
        (Act::Answer(429, None, "{}"), FailureKind::Throttled(None)),
        (
            Act::Answer(429, Some(("retry-after", "20".to_owned())), ""),
            twenty,
        ),
        (Act::Error(Fault::Exhausted), FailureKind::Exhausted),
        (Act::Error(Fault::WrongKey), FailureKind::Blocked),
        (Act::Error(Fault::Invalid), FailureKind::Rejected),
        (busy(None), FailureKind::Unknown),
        (busy(Some("20")), twenty),
        (Act::Answer(500, None, "oops"), FailureKind::Unknown),
        (Act::redirect("http://127.0.0.1:1/"), FailureKind::Blocked),
    ]
}

#[test]
fn errors_mean_what_they_mean_for_texts() {
    let server = Studio::start();
    let veo = server.veo();
    for (act, kind) in errors() {
        server.on_start(act);
        let failure = server.begin(&veo).unwrap_err();
        assert_eq!((failure.kind, failure.spent), (kind, Spent::Nothing), "{failure}");
    }
    for (act, kind) in errors() {
        server.on_poll(act);
        assert_eq!(server.ask(&veo).unwrap_err().kind, kind);
    }
    server.on_start(Act::Error(Fault::NoModel));
    assert_eq!(server.begin(&veo).unwrap_err().kind, FailureKind::Blocked);
}

#[test]
fn a_start_without_a_usable_name_can_have_begun_a_job() {
    let server = Studio::start();
    let veo = server.veo();
    let names = [
        "",
        "..",
        "models/../../keys",
        "models//operations/1",
        "https://example.com/x",
        "models/small/operations/op1?alt=sse",
        "models/small/opérations/1",
    ];
    let mut acts: Vec<Act> = names.map(|name| Act::Json(json!({"name": name}))).into();
    acts.extend([
        Act::Json(json!({})),
        Act::Json(json!([])),
        Act::Bytes(b"<html>Bad gateway</html>".to_vec()),
        Act::Bytes(b"{\"name\": \"models/sm".to_vec()),
        Act::Break(b"{\"name\": \"models/sm".to_vec()),
    ]);
    for act in acts {
        server.on_start(act);
        let failure = server.begin(&veo).unwrap_err();
        assert_eq!(
            (failure.kind, failure.spent),
            (FailureKind::Unknown, Spent::Unknown),
            "{failure}"
        );
    }
}

#[test]
fn a_malformed_state_says_nothing_about_the_job() {
    let server = Studio::start();
    let veo = server.veo();
    for act in [
        Act::Bytes(Vec::new()),
        Act::Bytes(b"{\"done\": true, \"response\"".to_vec()),
        Act::Json(json!({"done": "yes"})),
        Act::Json(json!(7)),
        Act::Break(b"{\"done\": tr".to_vec()),
    ] {
        server.on_poll(act);
        assert_eq!(server.ask(&veo).unwrap_err().kind, FailureKind::Unknown);
    }
}

#[test]
fn a_job_that_fails_or_is_filtered_or_forgotten_has_ended() {
    let server = Studio::start();
    let veo = server.veo();
    let error = |code: i32, message: &str| {
        Act::Json(json!({"done": true, "error": {"code": code, "message": message, "details": []}}))
    };
    let (refused, unknown) = (FailureKind::Refused, FailureKind::Unknown);
    for (act, kind, spent, said) in [
        (Act::filtered(), refused, Spent::Nothing, "violence"),
        (
            Act::done(&json!({"generateVideoResponse": {"raiMediaFilteredCount": 1}})),
            refused,
            Spent::Nothing,
            "no reason",
        ),
        (
            error(3, "The prompt violates the practices."),
            refused,
            Spent::Nothing,
            "practices",
        ),
        (
            error(13, "Internal error"),
            unknown,
            Spent::Nothing,
            "code 13: Internal error",
        ),
        (Act::done(&json!({})), unknown, Spent::Unknown, "without a clip"),
        (
            Act::done(&json!({"generateVideoResponse": {"generatedSamples": [{}, {"video": {"uri": ""}}]}})),
            unknown,
            Spent::Unknown,
            "without a clip",
        ),
        (
            Act::Error(Fault::NoModel),
            unknown,
            Spent::Unknown,
            "forgotten the job (404",
        ),
    ] {
        server.on_poll(act);
        let failure = ended(server.ask(&veo).unwrap());
        assert_eq!((failure.kind, failure.spent), (kind, spent), "{failure}");
        assert!(failure.detail.contains(said), "{said}: {failure}");
    }
}

#[test]
fn a_clip_that_does_not_arrive_whole_is_unknown_and_billed() {
    let server = Studio::start();
    let veo = server.veo();
    for (act, said) in [
        (
            Act::Json(json!({"error": {"code": 500}})),
            "does not begin with a box",
        ),
        (Act::Bytes(b"a text".to_vec()), "does not begin with a box"),
        (Act::Bytes(cut(8)), "cut off"),
        (Act::Bytes(Vec::new()), "does not begin with a box"),
        (Act::Bytes(vec![0; (64 << 20) + 1]), "exceeds"),
        (Act::Break(cut(8)), "connection"),
        (Act::Error(Fault::Server), "503"),
        (Act::Error(Fault::NoModel), "404"),
        (Act::redirect("/v1beta/files/clip1:elsewhere"), "redirects"),
    ] {
        let repeats = if said == "redirects" { 4 } else { 1 };
        server.on_download(act);
        for _ in 1..repeats {
            server.on_download(Act::redirect("/v1beta/files/clip1:elsewhere"));
        }
        let failure = server.ask(&veo).unwrap_err();
        assert_eq!(failure.spent, Spent::Tokens(EIGHT), "{failure}");
        assert!(failure.detail.contains(said), "{said}: {failure}");
    }
}

#[test]
fn the_key_goes_to_the_host_of_the_base_url_only() {
    let (server, other) = (Studio::start(), Studio::start());
    let veo = server.veo();
    let elsewhere = format!("{}/v1beta/files/clip2", other.origin);
    let login = server.origin.replace("http://", "http://user:word@");
    for uri in [
        elsewhere.clone(),
        format!("{login}/v1beta/files/clip2"),
        "https://example.com/clip.mp4".to_owned(),
        "file:///etc/passwd".to_owned(),
    ] {
        server.on_poll(Act::clip_at(&uri));
        let failure = server.ask(&veo).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Blocked, "{failure}");
        assert!(failure.detail.contains("download_hosts"), "{failure}");
    }
    server.on_download(Act::redirect(&elsewhere));
    assert_eq!(server.ask(&veo).unwrap_err().kind, FailureKind::Blocked);
    assert!(other.seen().is_empty(), "nothing was sent there");

    let host = other.origin.strip_prefix("http://").unwrap().to_owned();
    let veo = Veo::new(&VeoSettings {
        download_hosts: vec![host],
        ..server.settings()
    });
    let veo = veo.unwrap();
    server.on_poll(Act::clip_at(&elsewhere));
    assert_eq!(finished(server.ask(&veo).unwrap()).file, clip(8));
    server.on_download(Act::redirect(&elsewhere));
    assert_eq!(finished(server.ask(&veo).unwrap()).file, clip(8));
    let seen = other.seen();
    assert_eq!(seen.len(), 2);
    for request in seen {
        let headers = format!("{:?}", request.headers);
        assert!(!headers.contains("sk-hidden"), "{headers}");
        assert!(!headers.contains("x-goog-api-key"), "{headers}");
    }
}

#[test]
fn a_redirect_within_the_host_is_followed_with_the_key() {
    let server = Studio::start();
    let veo = server.veo();
    server.on_download(Act::redirect("/download/v1beta/files/clip1?alt=media"));
    assert_eq!(finished(server.ask(&veo).unwrap()).file, clip(8));
    let last = server.seen().pop().unwrap();
    assert_eq!(last.path, "/download/v1beta/files/clip1?alt=media");
    assert_eq!(last.headers["x-goog-api-key"], "sk-hidden");
}

#[test]
fn a_server_that_does_not_answer_in_time_is_unknown() {
    let server = Studio::start();
    let veo = server.veo();
    let short = Duration::from_millis(200);
    server.on_start(Act::Hang);
    let request = film();
    let failure = server.runtime.block_on(veo.start(attempt(&request, short)));
    let failure = failure.unwrap_err();
    assert_eq!(
        (failure.kind, failure.spent),
        (FailureKind::Unknown, Spent::Unknown),
        "{failure}"
    );
    server.on_poll(Act::Hang);
    let failure = server.ask_for(&veo, &job(), short).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unknown, "{failure}");
    server.on_download(Act::Hang);
    let failure = server.ask_for(&veo, &job(), short).unwrap_err();
    assert_eq!(failure.spent, Spent::Tokens(EIGHT), "{failure}");
}

#[test]
fn a_server_that_repeats_the_key_does_not_reveal_it() {
    let server = Studio::start();
    let veo = server.veo();
    for status in [400, 401, 404, 500] {
        server.on_start(Act::Answer(status, None, "your key is sk-hidden"));
        let failure = server.begin(&veo).unwrap_err();
        assert!(failure.detail.contains("***"), "{failure}");
        server.on_poll(Act::Answer(status, None, "your key is sk-hidden"));
        let failure = server.ask(&veo).map_or_else(|failure| failure, ended);
        assert!(failure.detail.contains("***"), "{failure}");
    }
    server.on_poll(Act::Json(
        json!({"done": true, "error": {"code": 13, "message": "sk-hidden"}}),
    ));
    let failure = ended(server.ask(&veo).unwrap());
    assert!(failure.detail.contains("***"), "{failure}");
}

#[test]
fn a_stored_name_that_leads_elsewhere_is_not_asked_for() {
    let server = Studio::start();
    let wrong = FilmJob {
        name: "../keys".to_owned(),
        ..job()
    };
    let failure = server.ask_for(&server.veo(), &wrong, MINUTE).unwrap_err();
    assert!(failure.detail.contains("damaged"), "{failure}");
    assert!(server.seen().is_empty());
}

#[test]
fn invalid_settings_are_refused_with_a_correction() {
    let good = VeoSettings {
        api_key: Secret::new("sk"),
        ..VeoSettings::default()
    };
    good.check().unwrap();
    let hosts = |host: &str| VeoSettings {
        download_hosts: vec!["cdn.example.com:8443".to_owned(), host.to_owned()],
        ..good.clone()
    };
    hosts("cdn.example.com").check().unwrap();
    let base = |url: &str| VeoSettings {
        base_url: url.into(),
        ..good.clone()
    };
    for (settings, said) in [
        (VeoSettings::default(), "api_key: it is empty"),
        (
            VeoSettings {
                poll_every: limbic_domain::HumanDuration::ZERO,
                ..good.clone()
            },
            "poll_every: must be at least 1ms",
        ),
        (base("nonsense"), "write https://HOST/v1"),
        (base("https://u:p@example.com/v1"), "api_key"),
        (hosts("https://cdn.example.com"), "write HOST or HOST:PORT"),
        (hosts("cdn.example.com/clips"), "write HOST or HOST:PORT"),
        (hosts("user@cdn.example.com"), "write HOST or HOST:PORT"),
        (hosts(""), "write HOST or HOST:PORT"),
    ] {
        let error = settings.check().unwrap_err().to_string();
        assert!(error.contains(said), "{said}: {error}");
        assert!(Veo::new(&settings).is_err());
    }
}
