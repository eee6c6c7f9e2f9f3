//! Pictures: paid once, kept as files, and within the tenant's budget.

use std::collections::BTreeMap;
use std::sync::Arc;

use limbic_domain::{Micros, Slug};
use limbic_llm::gateway::{
    Clock, Gateway, GatewayError, Ledger, Maker, Outcome, PAINTED_FOLDER, PaintAsk, PaintedFile, Source,
    StatedPrice, Upstream, Used,
};

use crate::gateway::kit::{Scene, ask, keyed, slug, tenant};
use crate::pictures::{Imagen, OpenAiImages, base64, jpeg, leaked, png};
use crate::server::{Act, End, Fault, PictureForm, Server, painting};

/// Micro-units of a picture at `google`, and of a token at `openai`.
const PICTURE: i64 = 40_000;
const TOKEN: i64 = 2;
/// What the server of `openai` reports.
const TOKENS: i64 = 19 + 1_568;

struct Studio {
    scene: Scene,
    google: Server<Imagen>,
    openai: Server<OpenAiImages>,
}

impl Studio {
    /// The model `backgrounds` is painted by `google`, then by `openai`.
    fn new() -> Self {
        let mut scene = Scene::new();
        scene.add_route("backgrounds", &["google", "openai"]);
        let price = |provider: &str, token: i64, picture: i64| StatedPrice {
            provider: slug(provider),
            model: "*".to_owned(),
            input: token.unsigned_abs() * 1_000_000,
            output: token.unsigned_abs() * 1_000_000,
            picture: picture.unsigned_abs(),
            video_second: 0,
        };
        scene.settings.prices.push(price("google", 0, PICTURE));
        scene.settings.prices.push(price("openai", TOKEN, 0));
        Self {
            scene,
            google: Server::start(),
            openai: Server::start(),
        }
    }

    /// A gateway on the ledger in the folder, as at the start of a process.
    fn open(&self) -> Gateway {
        let scene = &self.scene;
        let keep = scene.settings.keep_results.as_millis();
        let opened = Ledger::open(scene.folder.path(), keep, scene.clock.now());
        let opened = scene.runtime.block_on(opened).unwrap();
        let mut upstreams: BTreeMap<Slug, Upstream> = scene.upstreams();
        let upstream = |maker: Maker| Upstream {
            maker,
            kind: "any".to_owned(),
            host: "127.0.0.1".to_owned(),
        };
        upstreams.insert(slug("google"), upstream(self.google.provider().into()));
        upstreams.insert(slug("openai"), upstream(self.openai.provider().into()));
        let _inside = scene.runtime.enter();
        let clock = Arc::clone(&scene.clock) as Arc<dyn Clock>;
        Gateway::new(scene.settings.clone(), upstreams, opened, clock).unwrap()
    }

    fn paint(
        &self,
        gateway: &Gateway,
        model: &str,
        key: Option<&str>,
    ) -> Result<Outcome<PaintedFile>, GatewayError> {
        let mut request = painting();
        model.clone_into(&mut request.model);
        let ask = PaintAsk {
            tenant: tenant("acme"),
            key: key.map(str::to_owned),
            request,
        };
        let gateway = gateway.clone();
        self.scene
            .runtime
            .block_on(async move { gateway.paint(ask).await })
    }

    fn files(&self) -> usize {
        let folder = self.scene.folder.path().join(PAINTED_FOLDER);
        std::fs::read_dir(folder).map_or(0, Iterator::count)
    }
}

fn spent(gateway: &Gateway) -> (u64, u64) {
    let (spending, _) = gateway.spending(&tenant("acme"));
    assert_eq!(spending.held, 0);
    (spending.settled, spending.unknown)
}

fn sends<F: PictureForm>(server: &Server<F>, file: &[u8]) {
    server.will(Act::Text(vec![leaked(base64(file))], End::Complete));
}

#[test]
fn a_picture_is_a_file_that_is_paid_once_also_after_a_restart() {
    let studio = Studio::new();
    let gateway = studio.open();
    sends(&studio.google, &png(30, 20));
    let first = studio.paint(&gateway, "backgrounds", Some("k")).unwrap();
    assert_eq!((first.source, first.cost()), (Source::Provider, Micros(PICTURE)));
    let painted = first.answered.generated.clone();
    assert_eq!(
        (painted.width, painted.height, &*painted.media_type),
        (30, 20, "image/png")
    );
    assert_eq!(gateway.picture(&painted), Some(png(30, 20)));
    assert_eq!(studio.files(), 1);
    drop(gateway);

    let gateway = studio.open();
    let again = studio.paint(&gateway, "backgrounds", Some("k")).unwrap();
    assert_eq!((again.source, again.cost()), (Source::Repeated, Micros(0)));
    assert_eq!(again.answered, first.answered);
    assert_eq!(studio.google.requests().len(), 1);
    assert_eq!(spent(&gateway), (PICTURE.unsigned_abs(), 0));
}

#[test]
fn a_provider_that_sends_a_bomb_is_paid_and_the_next_one_paints() {
    let studio = Studio::new();
    let gateway = studio.open();
    sends(&studio.google, b"no picture");
    sends(&studio.openai, &jpeg(30, 20));
    let outcome = studio.paint(&gateway, "backgrounds", Some("k")).unwrap();
    assert_eq!(outcome.answered.provider, slug("openai"));
    assert_eq!(outcome.cost(), Micros(PICTURE + TOKENS * TOKEN));
    assert_eq!(studio.files(), 1, "what is no picture is not kept");
    let settled = (PICTURE + TOKENS * TOKEN).unsigned_abs();
    assert_eq!(spent(&gateway), (settled, 0));
    let used = studio.scene.runtime.block_on(async {
        let keep = studio.scene.settings.keep_results.as_millis();
        let (ledger, _) = Ledger::open(studio.scene.folder.path(), keep, studio.scene.clock.now())
            .await
            .unwrap();
        ledger.cost(&tenant("acme"), "k").await.unwrap()
    });
    assert_eq!(used, Used { settled, unknown: 0 });
}

#[test]
fn a_refusal_ends_the_request_and_a_throttled_provider_is_followed_by_the_next() {
    let studio = Studio::new();
    let gateway = studio.open();
    studio.google.will(Imagen::refusal());
    let error = studio.paint(&gateway, "backgrounds", None).unwrap_err();
    assert!(matches!(error, GatewayError::Refused { .. }), "{error}");
    assert!(studio.openai.requests().is_empty());
    assert_eq!(
        spent(&gateway),
        (0, PICTURE.unsigned_abs()),
        "whether a filtered picture is billed is not known"
    );
    studio.google.will(Act::Error(Fault::Throttled));
    sends(&studio.openai, &jpeg(30, 20));
    let outcome = studio.paint(&gateway, "backgrounds", None).unwrap();
    assert_eq!(outcome.cost(), Micros(TOKENS * TOKEN));
}

#[test]
fn a_budget_without_room_asks_nobody() {
    let mut studio = Studio::new();
    studio.scene.settings.limits.budget_per_day = PICTURE.unsigned_abs() - 1;
    let gateway = studio.open();
    let error = studio.paint(&gateway, "google/small", None).unwrap_err();
    assert!(matches!(error, GatewayError::OverLimit(_)), "{error}");
    assert!(studio.google.requests().is_empty());
    assert_eq!(spent(&gateway), (0, 0));
}

#[test]
fn a_lost_file_is_painted_again_and_then_repeated() {
    let studio = Studio::new();
    let gateway = studio.open();
    sends(&studio.google, &png(30, 20));
    let lost = studio.paint(&gateway, "backgrounds", Some("k")).unwrap();
    let folder = studio.scene.folder.path().join(PAINTED_FOLDER);
    std::fs::remove_file(folder.join(&lost.answered.generated.file)).unwrap();
    assert_eq!(gateway.picture(&lost.answered.generated), None);
    sends(&studio.google, &png(40, 20));
    let new = studio.paint(&gateway, "backgrounds", Some("k")).unwrap();
    assert_eq!((new.source, new.answered.generated.width), (Source::Provider, 40));
    let repeated = studio.paint(&gateway, "backgrounds", Some("k")).unwrap();
    assert_eq!(
        (repeated.source, &repeated.answered.generated),
        (Source::Repeated, &new.answered.generated)
    );
    assert_eq!(studio.google.requests().len(), 2);
}

#[test]
fn a_model_for_texts_paints_nothing_and_a_key_is_for_one_kind_of_request() {
    let studio = Studio::new();
    let gateway = studio.open();
    for (model, made) in [("ads", "texts"), ("a/small", "texts")] {
        let error = studio.paint(&gateway, model, None).unwrap_err().to_string();
        assert!(
            error.contains(&format!("makes {made}: name a model for pictures")),
            "{error}"
        );
    }
    let (result, _) = studio.scene.ask(&gateway, ask("backgrounds"));
    let error = result.unwrap_err().to_string();
    assert!(
        error.contains("makes pictures: name a model for texts"),
        "{error}"
    );

    let (text, _) = studio.scene.ask(&gateway, keyed("ads", "k"));
    text.unwrap();
    let error = studio.paint(&gateway, "backgrounds", Some("k")).unwrap_err();
    assert!(error.to_string().contains("choose another one"), "{error}");
    assert!(studio.google.requests().is_empty());
}
