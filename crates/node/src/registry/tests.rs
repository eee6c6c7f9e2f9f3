use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use limbic_ad_platforms::{FilePlatform, FileSettings, WebhookPlatform, WebhookSettings};
use limbic_component::{CallTimeout, Resources, Section};
use limbic_connectors::{
    Bluesky, BlueskySettings, Feed, FeedSettings, Folder, FolderSettings, JsonLines, JsonLinesSettings,
    JsonMappingSettings, KafkaTopic, KafkaTopicSettings, LinkedIn, LinkedInSettings, Mastodon,
    MastodonSettings, Meta, MetaGraph, MetaGraphSettings, MetaSettings, Reddit, RedditSettings,
    SignatureForm, SignedWebhook, SignedWebhookSettings, Source, Terms, X, XSettings, YouTube,
    YouTubeSettings,
};
use limbic_deliver::{AdPlatform, AdPlatforms};
use limbic_domain::{Secret, Slug};
use limbic_ingest::SeenIds;
use limbic_llm::{
    Anthropic, AnthropicSettings, Filmer, Gemini, GeminiImages, GeminiSettings, Imagen, ImagenSettings,
    Mistral, MistralSettings, Ollama, OllamaSettings, OpenAiCompatible, OpenAiImages, OpenAiImagesSettings,
    OpenAiSettings, Painter, Provider, Veo, VeoSettings,
};
use limbic_metrics::{Influx, InfluxSettings, SeriesMeters, SeriesStore};
use limbic_stream::outbox::OutboxMeters;
use limbic_stream::{Log, Stage};
use limbic_views::{Store, ViewMeters};

use super::*;
use crate::stores::{open_chosen, open_entries};
use crate::{Settings, resources};

#[test]
fn a_name_is_unique_within_its_kind_and_a_summary_is_a_sentence() {
    let mut names = BTreeSet::new();
    for component in &COMPONENTS {
        assert!(
            names.insert((component.kind, component.name)),
            "{component:?} is listed twice"
        );
        assert!(
            component.summary.ends_with('.'),
            "{component:?}: {}",
            component.summary
        );
    }
}

#[test]
fn components_of_a_kind_are_listed_together_and_share_one_place_in_the_settings() {
    for kind in Kind::ALL {
        let of_kind: Vec<_> = COMPONENTS
            .iter()
            .filter(|component| component.kind == kind)
            .collect();
        assert!(!of_kind.is_empty(), "no {} is listed", kind.name());
        let first = COMPONENTS
            .iter()
            .position(|component| component.kind == kind)
            .unwrap();
        let piece = &COMPONENTS[first..first + of_kind.len()];
        assert!(piece.iter().all(|component| component.kind == kind), "{kind:?}");
        let places: BTreeSet<Option<&str>> = of_kind
            .iter()
            .map(|component| match component.place {
                Place::Section(_) => None,
                Place::Entries(table) => Some(table),
                Place::Url { setting, .. } => Some(setting),
            })
            .collect();
        assert_eq!(places.len(), 1, "{kind:?}: {places:?}");
        assert!(usage(kind).text().ends_with('.'), "{kind:?}");
    }
}

#[test]
fn components_of_one_section_take_the_same_settings() {
    let settings = Settings::default();
    for component in &COMPONENTS {
        // Settings of another type are an error of the program; default settings may be incomplete.
        if let Err(error) = component.check(&settings.section_of(component)) {
            assert!(!error.to_string().contains("mistake in the program"), "{error}");
        }
    }
    for stage in stages() {
        let spec = stage.spec(&settings.section_of(stage)).unwrap().unwrap();
        assert_eq!(&*spec.name, stage.name);
    }
}

#[test]
fn a_url_selects_one_component_and_an_unknown_url_is_refused_with_the_valid_forms() {
    let settings = Settings::default();
    let known: Vec<&str> = settings.urls().iter().map(|(setting, _)| *setting).collect();
    for component in &COMPONENTS {
        if let Place::Url { setting, form, .. } = component.place {
            assert!(
                known.contains(&setting),
                "{component:?}: `{setting}` is not a setting"
            );
            let found = chosen(setting, &ConnectionUrl::new(form)).unwrap();
            assert_eq!(found.name, component.name);
        }
    }
    for (setting, said) in [
        (
            "log",
            "log = pigeon://host: write `embedded` or `kafka://HOST:PORT[,HOST:PORT…]`",
        ),
        ("view", "write `embedded` or `postgres://HOST:PORT/DATABASE`"),
        ("series", "write `embedded` or `http://HOST:PORT`"),
        ("seen", "write `embedded` or `redis://HOST:PORT`"),
    ] {
        let error = chosen(setting, &ConnectionUrl::new("pigeon://host"))
            .unwrap_err()
            .to_string();
        assert!(error.contains(said), "`{said}` is not in: {error}");
    }
}

#[test]
fn an_unknown_stage_is_refused_with_the_nearest_name() {
    let error = stage("profil").unwrap_err().to_string();
    assert!(error.contains("did you mean `profile`?"), "{error}");
}

/// A node without stages, in its own folder.
struct Scene {
    folder: tempfile::TempDir,
    settings: Settings,
    resources: Resources,
    // Dropped last: what was built runs on it.
    _runtime: tokio::runtime::Runtime,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let mut settings = Settings {
            data_dir: folder.path().join("data"),
            ..Settings::default()
        };
        // This program contains no model.
        settings.section_mut::<limbic_affect_stage::AffectStage>().engine = limbic_affect::Engine::Lexicon;
        let mut resources = resources::of(&settings);
        resources.insert(runtime.handle().clone());
        resources.insert(CallTimeout(Duration::from_secs(10)));
        Self {
            folder,
            settings,
            resources,
            _runtime: runtime,
        }
    }

    fn open<T: 'static>(&self, setting: &str, url: &ConnectionUrl) -> T {
        open_chosen(&self.settings, setting, url, &self.resources).unwrap()
    }

    fn embedded<T: 'static>(&self, setting: &str) -> T {
        self.open(setting, &ConnectionUrl::new(ConnectionUrl::EMBEDDED))
    }
}

#[test]
fn every_stage_is_built_from_the_registry() {
    let mut scene = Scene::new();
    scene.resources.insert(scene.embedded::<Store>("view"));
    scene
        .resources
        .insert(scene.embedded::<Arc<dyn SeriesStore>>("series"));
    scene.resources.insert(AdPlatforms::new());
    scene
        .resources
        .insert(OutboxMeters::register(&prometheus::Registry::new()).unwrap());
    scene.resources.insert(ViewMeters::unregistered());
    scene.resources.insert(SeriesMeters::unregistered());
    for stage in stages() {
        let section = scene.settings.section_of(stage);
        let built = stage.build::<Box<dyn Stage>>(&section, &scene.resources);
        assert!(built.is_ok(), "{stage:?}: {}", built.err().unwrap());
    }
}

/// The address of a real server, or `None` and a remark. Without one, its component is not built here.
fn server(component: &Registration, variable: &str) -> Option<ConnectionUrl> {
    let url = std::env::var(variable).ok();
    if url.is_none() {
        writeln!(std::io::stderr(), "skipped: {component:?} needs {variable}").unwrap();
    }
    url.map(ConnectionUrl::new)
}

#[test]
fn every_log_and_store_is_built_from_the_registry_by_its_url() {
    let mut scene = Scene::new();
    let log: Arc<dyn Log> = scene.embedded("log");
    scene.resources.insert(log);
    *scene.settings.section_mut::<Influx>() = InfluxSettings {
        org: "limbic".into(),
        bucket: "limbic".into(),
        token: Secret::new("token"),
    };
    for component in &COMPONENTS {
        let Place::Url { setting, .. } = component.place else {
            continue;
        };
        let url = match component.name {
            "kafka" => server(component, "LIMBIC_TEST_KAFKA").map(|brokers| {
                ConnectionUrl::new(format!(
                    "kafka://{}",
                    brokers.reveal().trim_start_matches("kafka://")
                ))
            }),
            "postgres" => server(component, "LIMBIC_TEST_POSTGRES"),
            "redis" => server(component, "LIMBIC_TEST_REDIS"),
            // It sends nothing before it is asked.
            "influxdb" => Some(ConnectionUrl::new("http://127.0.0.1:1")),
            // The log is open already.
            "embedded" => None,
            _ => Some(ConnectionUrl::new(ConnectionUrl::EMBEDDED)),
        };
        let Some(url) = url else { continue };
        match component.kind {
            Kind::Log => drop(scene.open::<Arc<dyn Log>>(setting, &url)),
            Kind::ViewStore => drop(scene.open::<Store>(setting, &url)),
            Kind::SeriesStore => drop(scene.open::<Arc<dyn SeriesStore>>(setting, &url)),
            Kind::IdStore => drop(scene.open::<Arc<dyn SeenIds>>(setting, &url)),
            kind => panic!("{kind:?} is not chosen by a URL"),
        }
    }
}

#[test]
fn every_component_with_entries_is_built_from_the_registry() {
    let mut scene = Scene::new();
    let name = |name: &str| Slug::new(name).unwrap();
    let posts = scene.folder.path().join("posts.jsonl");
    std::fs::write(&posts, "{\"id\":\"1\"}\n").unwrap();
    let entries = &mut scene.settings.entries;
    let path = scene.folder.path().join("ads.jsonl");
    entries.insert::<FilePlatform>(
        name("file"),
        FileSettings {
            path,
            ..FileSettings::default()
        },
    );
    entries.insert::<WebhookPlatform>(name("hook"), WebhookSettings::to("http://127.0.0.1:1"));
    entries.insert::<JsonLines>(
        name("tail"),
        JsonLinesSettings {
            path: posts,
            ..JsonLinesSettings::default()
        },
    );
    entries.insert::<Bluesky>(name("bluesky"), BlueskySettings::default());
    entries.insert::<Mastodon>(
        name("mastodon"),
        MastodonSettings {
            url: "https://127.0.0.1:1".into(),
            ..MastodonSettings::default()
        },
    );
    entries.insert::<Reddit>(
        name("reddit"),
        RedditSettings {
            subreddits: vec!["football".to_owned()],
            client_id: "app".to_owned(),
            client_secret: Secret::new("secret"),
            user_agent: "linux:limbic:test".to_owned(),
            ..RedditSettings::default()
        },
    );
    entries.insert::<X>(
        name("x"),
        XSettings {
            token: Secret::new("token"),
            rules: vec!["football".to_owned()],
            ..XSettings::default()
        },
    );
    entries.insert::<YouTube>(
        name("youtube"),
        YouTubeSettings {
            key: Secret::new("key"),
            videos: vec!["a-video".to_owned()],
            ..YouTubeSettings::default()
        },
    );
    entries.insert::<LinkedIn>(
        name("linkedin"),
        LinkedInSettings {
            token: Secret::new("token"),
            organizations: vec!["2414183".to_owned()],
            ..LinkedInSettings::default()
        },
    );
    entries.insert::<MetaGraph>(
        name("graph"),
        MetaGraphSettings {
            token: Secret::new("token"),
            pages: vec!["104952".to_owned()],
            ..MetaGraphSettings::default()
        },
    );
    entries.insert::<Feed>(
        name("feed"),
        FeedSettings {
            url: "https://127.0.0.1:1/feed".into(),
            ..FeedSettings::default()
        },
    );
    let fields = ["id", "author", "text", "created_at"].map(|field| (field.to_owned(), field.to_owned()));
    let map = JsonMappingSettings {
        fields: fields.into(),
        ..JsonMappingSettings::default()
    };
    entries.insert::<SignedWebhook>(
        name("hooked"),
        SignedWebhookSettings {
            secret: Secret::new("0123456789abcdef"),
            signature: SignatureForm::Hex,
            map: map.clone(),
            ..SignedWebhookSettings::default()
        },
    );
    entries.insert::<Meta>(
        name("meta"),
        MetaSettings {
            app_secret: Secret::new("0123456789abcdef"),
            verify_token: Secret::new("0123456789abcdef"),
            ..MetaSettings::default()
        },
    );
    entries.insert::<KafkaTopic>(
        name("topic"),
        KafkaTopicSettings {
            brokers: "127.0.0.1:1".to_owned(),
            topic: "posts".to_owned(),
            map,
            ..KafkaTopicSettings::default()
        },
    );
    entries.insert::<Folder>(
        name("folder"),
        FolderSettings {
            path: scene.folder.path().to_owned(),
            ..FolderSettings::default()
        },
    );
    let model = OpenAiSettings {
        base_url: "http://127.0.0.1:1/v1".into(),
        ..OpenAiSettings::default()
    };
    entries.insert::<OpenAiCompatible>(name("local"), model);
    let api_key = Secret::new("key");
    let model = AnthropicSettings {
        api_key: api_key.clone(),
        ..AnthropicSettings::default()
    };
    entries.insert::<Anthropic>(name("anthropic"), model);
    let model = GeminiSettings {
        api_key: api_key.clone(),
        ..GeminiSettings::default()
    };
    entries.insert::<GeminiImages>(name("gemini-images"), model.clone());
    entries.insert::<Gemini>(name("gemini"), model);
    entries.insert::<OpenAiImages>(name("openai-images"), OpenAiImagesSettings::default());
    let model = ImagenSettings {
        api_key: Secret::new("sk"),
        ..ImagenSettings::default()
    };
    entries.insert::<Imagen>(name("imagen"), model);
    let model = VeoSettings {
        api_key: Secret::new("sk"),
        ..VeoSettings::default()
    };
    entries.insert::<Veo>(name("veo"), model);
    let model = MistralSettings {
        api_key,
        ..MistralSettings::default()
    };
    entries.insert::<Mistral>(name("mistral"), model);
    entries.insert::<Ollama>(name("ollama"), OllamaSettings::default());
    let built: BTreeSet<&str> = scene
        .settings
        .entries
        .all()
        .map(|(_, _, entry)| entry.component.name)
        .collect();
    for (table, kind) in tables() {
        for component in choices(table) {
            assert!(built.contains(component.name), "{component:?} is not tested");
        }
        let (settings, resources) = (&scene.settings, &scene.resources);
        match kind {
            Kind::AdPlatform => {
                let opened: AdPlatforms = open_entries(settings, table, resources).unwrap();
                assert_eq!(opened.len(), 2);
            }
            Kind::Connector => {
                let mut opened = open_entries::<Source>(settings, table, resources).unwrap();
                let tail = opened.get_mut(&name("tail")).unwrap();
                let page = tail.connector.pull(None, 10).unwrap();
                assert_eq!(page.items.len(), 1);
                for component in choices(table) {
                    Terms::parse(component.terms.unwrap()).unwrap();
                }
            }
            Kind::LlmProvider => {
                let opened = open_entries::<Arc<dyn Provider>>(settings, table, resources);
                assert_eq!(opened.unwrap().len(), 5);
            }
            Kind::PictureProvider => {
                let opened = open_entries::<Arc<dyn Painter>>(settings, table, resources);
                assert_eq!(opened.unwrap().len(), 3);
            }
            Kind::VideoProvider => {
                let opened = open_entries::<Arc<dyn Filmer>>(settings, table, resources);
                assert_eq!(opened.unwrap().len(), 1);
            }
            kind => panic!("{kind:?} has no entries"),
        }
    }
}

#[test]
fn an_entry_that_cannot_be_opened_is_named() {
    let mut scene = Scene::new();
    let hook = WebhookSettings::to("ftp://example.com");
    scene
        .settings
        .entries
        .insert::<WebhookPlatform>(Slug::new("ads").unwrap(), hook);
    let error = open_entries::<Arc<dyn AdPlatform>>(&scene.settings, "ad_platforms", &scene.resources)
        .err()
        .unwrap();
    let error = format!("{error:#}");
    assert!(
        error.contains("ad_platforms.ads: url: ") && error.contains("use https"),
        "{error}"
    );
}

#[test]
fn a_component_of_another_kind_is_not_built() {
    let file = entry_of::<FilePlatform>();
    let settings = Section::new(FileSettings {
        path: "x".into(),
        ..FileSettings::default()
    });
    let scene = Scene::new();
    let path = scene.folder.path().join("x");
    let error = file.build::<Box<dyn Stage>>(
        &Section::new(FileSettings {
            path,
            ..FileSettings::default()
        }),
        &scene.resources,
    );
    let error = error.err().unwrap().to_string();
    assert!(error.contains("the ad platform file does not build a"), "{error}");
    assert!(file.check(&settings).is_ok());
}
