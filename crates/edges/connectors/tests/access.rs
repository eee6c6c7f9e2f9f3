//! Permissions that a network has not given are named, with how to get them, from the network's own answers.
#![expect(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::print_stdout, reason = "of the suite")]

mod servers;
#[expect(dead_code, reason = "the promises of all connectors are checked elsewhere")]
mod suite;

use std::sync::atomic::Ordering;

use limbic_component::{Component, Resources};
use limbic_connectors::{
    ComplianceStream, Connector, ConnectorError, LinkedIn, LinkedInSettings, Mastodon, MastodonSettings,
    MetaGraph, MetaGraphSettings, Reddit, RedditSettings, Source, X, XMode, XSettings, YouTube,
    YouTubeSettings,
};
use limbic_domain::{ConnectionUrl, Secret};
use serde_json::json;

use servers::graph::{self, GraphServer};
use servers::linkedin::{self, LinkedInServer};
use servers::mastodon::Instance;
use servers::reddit::RedditServer;
use servers::x::{self, XServer};
use servers::youtube::{self, YouTubeServer};

fn build<C: Component<Product = Source>>(settings: &C::Settings) -> Box<dyn Connector> {
    C::build(settings, &Resources::new("test")).unwrap().connector
}

/// The names of the permissions that are missing. Each says what it is for and how to get it.
fn missing(connector: &mut dyn Connector) -> Vec<String> {
    let missing = connector.check_access().unwrap();
    for one in &missing {
        let said = one.to_string();
        assert!(!one.needed_for.is_empty() && one.how.len() > 40, "{said}");
        assert!(said.contains(&format!("`{}` is missing", one.scope)), "{said}");
    }
    missing.into_iter().map(|one| one.scope).collect()
}

/// What a pull says, which names the same permission.
fn pulled(connector: &mut dyn Connector) -> String {
    let error = connector.pull(None, 10).unwrap_err();
    assert!(matches!(error, ConnectorError::MissingScope { .. }), "{error}");
    error.to_string()
}

#[test]
fn mastodon_names_the_scope_of_timelines() {
    let server = Instance::start();
    *server.shared.token.lock() = Some("the-token".to_owned());
    let settings = MastodonSettings {
        url: ConnectionUrl::new(server.url()),
        token: Some(Secret::new("the-token")),
        ..MastodonSettings::default()
    };
    for wide in [&["read"][..], &["profile", "read:statuses"]] {
        *server.shared.scopes.lock() = wide.to_vec();
        assert!(missing(&mut *build::<Mastodon>(&settings)).is_empty(), "{wide:?}");
    }
    *server.shared.scopes.lock() = vec!["profile", "write"];
    for is_old in [false, true] {
        server.shared.is_old.store(is_old, Ordering::SeqCst);
        assert_eq!(missing(&mut *build::<Mastodon>(&settings)), ["read:statuses"]);
    }
    let said = pulled(&mut *build::<Mastodon>(&settings));
    assert!(
        said.contains("outside the authorized scopes") && said.contains("regenerate"),
        "{said}"
    );
    let without = MastodonSettings {
        token: None,
        ..settings
    };
    assert_eq!(missing(&mut *build::<Mastodon>(&without)), ["read:statuses"]);
}

#[test]
fn reddit_names_the_scope_of_listings() {
    let server = RedditServer::start();
    let settings = RedditSettings {
        subreddits: vec!["football".to_owned(), "tennis".to_owned()],
        client_id: "app".to_owned(),
        client_secret: Secret::new("secret"),
        user_agent: "linux:limbic:test (by /u/ann)".to_owned(),
        url: ConnectionUrl::new(server.url()),
        token_url: ConnectionUrl::new(format!("{}/api/v1/access_token", server.url())),
        ..RedditSettings::default()
    };
    for enough in ["", "identity read"] {
        enough.clone_into(&mut server.shared.scope.lock());
        assert!(missing(&mut *build::<Reddit>(&settings)).is_empty(), "{enough}");
    }
    "identity history".clone_into(&mut server.shared.scope.lock());
    // The answer with the token says it, or the answer to the first request does.
    for is_silent in [false, true] {
        server.shared.is_silent.store(is_silent, Ordering::SeqCst);
        assert_eq!(missing(&mut *build::<Reddit>(&settings)), ["read"]);
        let said = pulled(&mut *build::<Reddit>(&settings));
        assert!(said.contains("reddit.com/prefs/apps"), "{said}");
    }
}

#[test]
fn meta_names_the_permissions_of_pages_and_accounts() {
    let server = GraphServer::start();
    let settings = MetaGraphSettings {
        token: Secret::new(graph::TOKEN),
        pages: vec![graph::PAGE.to_owned()],
        accounts: vec![graph::ACCOUNT.to_owned()],
        url: ConnectionUrl::new(server.url()),
        ..MetaGraphSettings::default()
    };
    let post = json!({"id": format!("{}_5", graph::PAGE), "created_time": "2026-11-20T10:00:00+0000", "message": "Ad",
        "from": {"id": graph::PAGE}});
    server.write(&format!("{}/feed", graph::PAGE), 1, post);
    let media = json!({"id": "179", "timestamp": "2026-11-20T10:00:00+0000"});
    server.write(&format!("{}/media", graph::ACCOUNT), 1, media);
    assert!(missing(&mut *build::<MetaGraph>(&settings)).is_empty());
    for is_of_page in [false, true] {
        server.shared.is_of_page.store(is_of_page, Ordering::SeqCst);
        *server.shared.granted.lock() = Some(vec!["pages_read_engagement", "instagram_basic"]);
        let mut found = missing(&mut *build::<MetaGraph>(&settings));
        found.sort();
        assert_eq!(
            found,
            ["instagram_manage_comments", "pages_read_user_content"],
            "{is_of_page}"
        );
    }
    *server.shared.granted.lock() = Some(Vec::new());
    let said = pulled(&mut *build::<MetaGraph>(&settings));
    assert!(
        said.contains("`pages_read_engagement` is missing") && said.contains("Advanced Access"),
        "{said}"
    );
    assert!(!said.contains(graph::TOKEN), "{said}");
}

#[test]
fn linkedin_names_the_permissions_of_posts_and_comments() {
    let server = LinkedInServer::start();
    let settings = LinkedInSettings {
        token: Secret::new(linkedin::TOKEN),
        organizations: vec![linkedin::ORGANIZATION.to_owned()],
        url: ConnectionUrl::new(server.url()),
        ..LinkedInSettings::default()
    };
    server.shared.posts.lock().push(json!({"id": "urn:li:share:1", "visibility": "PUBLIC", "lifecycleState": "PUBLISHED",
        "author": format!("urn:li:organization:{}", linkedin::ORGANIZATION), "commentary": "Ad", "publishedAt": 1_795_000_000_000_u64}));
    assert!(missing(&mut *build::<LinkedIn>(&settings)).is_empty());
    for (given, lacking) in [
        (&["r_organization_social"][..], "r_organization_social_feed"),
        (&["r_organization_social_feed"], "r_organization_social"),
    ] {
        *server.shared.scopes.lock() = given.to_vec();
        assert_eq!(missing(&mut *build::<LinkedIn>(&settings)), [lacking]);
    }
    let said = pulled(&mut *build::<LinkedIn>(&settings));
    assert!(
        said.contains("Not enough permissions") && said.contains("Community Management API"),
        "{said}"
    );
}

#[test]
fn youtube_names_the_api_that_the_key_lacks() {
    let server = YouTubeServer::start();
    let settings = YouTubeSettings {
        key: Secret::new(youtube::KEY),
        channels: vec![youtube::CHANNEL.to_owned()],
        url: ConnectionUrl::new(server.url()),
        ..YouTubeSettings::default()
    };
    assert!(missing(&mut *build::<YouTube>(&settings)).is_empty());
    // The place is closed, and the key is right.
    let quiet = YouTubeSettings {
        channels: Vec::new(),
        videos: vec![youtube::QUIET.to_owned()],
        ..settings.clone()
    };
    assert!(missing(&mut *build::<YouTube>(&quiet)).is_empty());
    let api = "YouTube Data API v3";
    let force = "https://www.googleapis.com/auth/youtube.force-ssl";
    let of_reason = |reason: &str| json!({"error": {"code": 403, "message": "no", "errors": [{"reason": reason, "domain": "x"}]}});
    let of_detail = |reason: &str| {
        json!({"error": {"code": 403, "message": "no", "errors": [{"reason": "forbidden"}],
            "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}]}})
    };
    for (challenge, body, scope) in [
        (None, of_reason("accessNotConfigured"), api),
        (None, of_detail("API_KEY_SERVICE_BLOCKED"), api),
        (None, of_detail("SERVICE_DISABLED"), api),
        (None, of_detail("ACCESS_TOKEN_SCOPE_INSUFFICIENT"), force),
        (
            Some(
                "Bearer error=\"insufficient_scope\", scope=\"https://www.googleapis.com/auth/youtube.readonly\"",
            ),
            of_reason("insufficientPermissions"),
            "https://www.googleapis.com/auth/youtube.readonly",
        ),
    ] {
        *server.shared.refusal.lock() = Some((challenge, body.clone()));
        assert_eq!(missing(&mut *build::<YouTube>(&settings)), [scope], "{body}");
        let said = pulled(&mut *build::<YouTube>(&settings));
        assert!(said.contains("console.cloud.google.com"), "{said}");
    }
}

#[test]
fn x_names_the_access_level_and_the_kind_of_token() {
    let server = XServer::start();
    server.shared.compliance.is_agreed.store(true, Ordering::SeqCst);
    let settings = XSettings {
        token: Secret::new(x::TOKEN),
        rules: vec!["goal".to_owned()],
        compliance_stream: ComplianceStream::Known,
        url: ConnectionUrl::new(server.url()),
        ..XSettings::default()
    };
    assert!(missing(&mut *build::<X>(&settings)).is_empty());
    assert_eq!(
        server.shared.changes.load(Ordering::SeqCst),
        0,
        "a check changes no rule"
    );
    let not_enrolled = |level: &str| {
        json!({"client_id": "1", "title": "Client Forbidden", "detail": "You may need a different access level.", "required_enrollment": level,
            "reason": "client-not-enrolled", "type": "https://api.twitter.com/2/problems/client-forbidden"})
    };
    server.shared.compliance.is_agreed.store(false, Ordering::SeqCst);
    server.shared.refusals.lock().insert("rules", not_enrolled("Pro"));
    assert_eq!(missing(&mut *build::<X>(&settings)), ["Pro", "Enterprise"]);
    let said = pulled(&mut *build::<X>(&settings));
    assert!(
        said.contains("`Pro` is missing") && said.contains("console.x.com"),
        "{said}"
    );
    let of_person = json!({"title": "Unsupported Authentication", "status": 403,
        "detail": "Authenticating with OAuth 2.0 User Context is forbidden for this endpoint.",
        "type": "https://api.twitter.com/2/problems/unsupported-authentication"});
    server.shared.refusals.lock().insert("search", of_person);
    let searching = XSettings {
        mode: XMode::Search,
        compliance_stream: ComplianceStream::Off,
        ..settings
    };
    assert_eq!(
        missing(&mut *build::<X>(&searching)),
        ["OAuth 2.0 Application-Only"]
    );
}
