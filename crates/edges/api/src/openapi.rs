//! The description of the API (OpenAPI 3.1). The schemas are generated from the record types.

use axum::Json;
use limbic_domain::{AudienceStatus, CreativeSet, Decision, Hold, Moment, Outcome, Post, Reading};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::{GenerateBody, GeneratedPicture, GeneratedText, GeneratedVideo, ReviewBody, ReviewView};

pub(crate) async fn show() -> Json<Value> {
    Json(document())
}

/// One operation: method, path, summary, parameters, schema of the answer, and whether it has a body.
struct Operation {
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    params: &'static [(&'static str, &'static str)],
    answer: Answer,
    body: Option<&'static str>,
}

enum Answer {
    One(&'static str),
    Page(&'static str),
    Receipt,
    Holds,
    Reviews,
    Review,
    Text,
    Anything,
}

const LIST: [(&str, &str); 5] = [
    (
        "after",
        "The `next` of the previous page, or its `position` to read what was written since",
    ),
    ("limit", "Most items in the page: 1 to 1000; default 100"),
    (
        "order",
        "`oldest` or `asc` (default), or `newest` or `desc`: the last written event first",
    ),
    (
        "from",
        "Only events at this time (RFC 3339) or later. A page may then have fewer items than `limit`, and a `next`",
    ),
    ("to", "Only events before this time (RFC 3339)"),
];

pub(crate) const OPERATIONS: usize = 45;

fn operations() -> [Operation; OPERATIONS] {
    let op = |method, path, summary, params, answer, body| Operation {
        method,
        path,
        summary,
        params,
        answer,
        body,
    };
    [
        op(
            "get",
            "/",
            "Overview page for people.",
            &[],
            Answer::Anything,
            None,
        ),
        op(
            "post",
            "/v1/posts",
            "Accept posts: one object, an array, or JSON Lines. Accepted posts are durable.",
            &[],
            Answer::Receipt,
            Some("IncomingPost"),
        ),
        op(
            "post",
            "/v1/deletions",
            "Accept deletions of posts, or of everything of an author: one object, an array, or JSON Lines. The view deletes the post and its readings, and for an hour no ad is sent to its author.",
            &[],
            Answer::Receipt,
            Some("IncomingDeletion"),
        ),
        op(
            "get",
            "/v1/posts/{network}/{id}",
            "One post by the id that its social network gave it.",
            &[],
            Answer::One("Post"),
            None,
        ),
        op(
            "get",
            "/v1/posts/{id}",
            "One post by its event id, or by the id of its social network if `network` is given.",
            &[("network", "Name of the social network")],
            Answer::One("Post"),
            None,
        ),
        op(
            "post",
            "/v1/outcomes",
            "Accept outcomes: one object, an array, or JSON Lines.",
            &[],
            Answer::Receipt,
            Some("IncomingOutcome"),
        ),
        op(
            "get",
            "/v1/outcomes",
            "List outcomes.",
            &[
                ("decision", "Only outcomes of this decision"),
                LIST[0],
                LIST[1],
                LIST[2],
                LIST[3],
                LIST[4],
            ],
            Answer::Page("Outcome"),
            None,
        ),
        op(
            "post",
            "/v1/watermark",
            "Declare that no post of the caller's tenant from before `at` will follow. It moves the event time of this tenant only.",
            &[],
            Answer::Anything,
            Some("Watermark"),
        ),
        op(
            "get",
            "/v1/readings",
            "List readings: the sentiment and emotions of posts.",
            &[
                ("network", "Together with `id`: only the readings of this post"),
                ("id", "Together with `network`"),
                LIST[0],
                LIST[1],
                LIST[2],
                LIST[3],
                LIST[4],
            ],
            Answer::Page("Reading"),
            None,
        ),
        op(
            "get",
            "/v1/moments",
            "List moments: changes in the mood of an audience.",
            &[
                ("audience", "Only moments of this audience"),
                LIST[0],
                LIST[1],
                LIST[2],
                LIST[3],
                LIST[4],
            ],
            Answer::Page("Moment"),
            None,
        ),
        op(
            "get",
            "/v1/creatives",
            "List creative sets that the safety gate has cleared.",
            &[
                ("campaign", "Only of this campaign"),
                LIST[0],
                LIST[1],
                LIST[2],
                LIST[3],
                LIST[4],
            ],
            Answer::Page("CreativeSet"),
            None,
        ),
        op(
            "get",
            "/v1/decisions",
            "List decisions, including those that chose no ad.",
            &[
                ("campaign", "Only of this campaign"),
                LIST[0],
                LIST[1],
                LIST[2],
                LIST[3],
                LIST[4],
            ],
            Answer::Page("Decision"),
            None,
        ),
        op(
            "get",
            "/v1/decisions/{id}",
            "One decision with the probability of each candidate.",
            &[],
            Answer::One("Decision"),
            None,
        ),
        op(
            "get",
            "/v1/audiences",
            "List audiences: their posts, what is usual, the evidence for a change so far, the last moment, and what each campaign made of it, with sentences for people. For instance `/v1/audiences?subject=football`. An audience that changes moves to the end of the list.",
            &[
                ("subject", "Only audiences of this subject"),
                ("segment", "Only audiences of this segment"),
                (
                    "moment_since",
                    "Only audiences whose last moment is at or after this time (RFC 3339)",
                ),
                LIST[0],
                (
                    "limit",
                    "Most items in the page: 1 to 200; default 100. A filter may leave fewer",
                ),
            ],
            Answer::Page("AudienceStatus"),
            None,
        ),
        op(
            "get",
            "/v1/explain",
            "Why an ad, or why none: sentences about an audience, a post or a decision, and the facts behind them.",
            &[(
                "of",
                "An audience (`everyone:football`), a post (`NETWORK/ID`) or the id of a decision",
            )],
            Answer::Anything,
            None,
        ),
        op(
            "get",
            "/v1/campaigns",
            "What each campaign has chosen: per ad the decisions, impressions, clicks and the 95 % interval of clicks per impression; the share of each ad over time; what withheld ads, by rule.",
            &[],
            Answer::Anything,
            None,
        ),
        op(
            "get",
            "/v1/campaigns/{id}",
            "The same of one campaign.",
            &[],
            Answer::Anything,
            None,
        ),
        op(
            "get",
            "/v1/platforms",
            "How the deliveries to each ad platform stand: waiting, delivered, refused, withdrawn, dead, and what the platform answers if it accepts none.",
            &[],
            Answer::Anything,
            None,
        ),
        op(
            "get",
            "/v1/sources",
            "What this node did with the posts of each social network since it started: accepted, duplicates, rejected, with the last reason, those refused because they have features of a voice, a face or typing (`biometric`), and the fields that `ingest.keep_fields` does not keep.",
            &[],
            Answer::Anything,
            None,
        ),
        op(
            "get",
            "/v1/series",
            "Values of one time series. A window appears once event time has passed its end, so the newest records are missing until later ones come, or until `POST /v1/watermark` says that none will.",
            &[
                ("measurement", "Name of the measurement, for instance `emotion`"),
                ("field", "Name of the field, for instance `valence`"),
                ("from", "Start, RFC 3339; default one hour before `to`"),
                ("to", "End, RFC 3339; default now"),
                ("step", "Length of a step: 10s, 1m, 1h; default 10s"),
            ],
            Answer::Anything,
            None,
        ),
        op(
            "get",
            "/v1/counts",
            "Exact counts of records for every topic and stage. `skipped` of a stage names records that were deleted before it read them.",
            &[],
            Answer::Anything,
            None,
        ),
        op(
            "get",
            "/v1/limits",
            "What this node has refused since it started, by reason: requests, connections, and connections that it closed; and how full it is. For operators.",
            &[],
            Answer::Anything,
            None,
        ),
        op(
            "get",
            "/v1/holds",
            "Subjects for which no ad runs until a stated event time, because posts are about a death, a disaster or violence, or suddenly cannot be read. Lists released holds too.",
            &[],
            Answer::Holds,
            None,
        ),
        op(
            "delete",
            "/v1/holds/{subject}",
            "Release a hold before its time. The hold keeps who released it, when and why. Ads that were withdrawn or paused stay so; later posts can raise a new hold.",
            &[("reason", "Why, at most 500 characters; it is stored")],
            Answer::One("Hold"),
            None,
        ),
        op(
            "get",
            "/v1/reviews",
            "Ads that passed every safety rule and wait for a person, and ads about which a person has decided, the oldest first.",
            &[
                (
                    "state",
                    "Only ads in this state: `waiting`, `approved`, `edited` or `rejected`",
                ),
                ("campaign", "Only ads of this campaign"),
                ("after", "The `next` of the previous page"),
                ("limit", "Most items in the page: 1 to 1000; default 100"),
            ],
            Answer::Reviews,
            None,
        ),
        op(
            "get",
            "/v1/reviews/{id}",
            "One ad of the reviews, with what was decided and what changed, word by word.",
            &[],
            Answer::Review,
            None,
        ),
        op(
            "post",
            "/v1/reviews/{id}",
            "Approve an ad, approve it with other texts, or reject it. The decision keeps who and when. Other texts must fit the platform and pass brand kit and safety rules. A decision that replaces another one names it in `replaces`; otherwise the answer is 409. If `tenants.NAME.reviewer_keys` is set, only these keys may decide.",
            &[],
            Answer::Review,
            Some("ReviewBody"),
        ),
        op(
            "delete",
            "/v1/reviews/{id}",
            "Forget an ad and what was decided about it. If the ad is written again, it waits again.",
            &[],
            Answer::Review,
            None,
        ),
        op(
            "get",
            "/v1/hooks/{name}",
            "For sources that send by themselves: answers `hub.challenge`, if `hub.verify_token` is that of the connector's settings, or if the connector has asked the hub for this subscription.",
            &[
                ("hub.mode", "`subscribe`"),
                ("hub.verify_token", "The token of the connector's settings"),
                ("hub.challenge", "The text of the answer"),
            ],
            Answer::Anything,
            None,
        ),
        op(
            "post",
            "/v1/hooks/{name}",
            "For sources that send by themselves: a request in the form of the source, with its signature instead of an API key. The answer 200 means that its posts are durable.",
            &[],
            Answer::Anything,
            None,
        ),
        op(
            "get",
            "/v1/components",
            "Components of this node, and which stores it has opened.",
            &[],
            Answer::Anything,
            None,
        ),
        op(
            "get",
            "/v1/connectors",
            "Connectors that this node runs: their state, what they have read, and the terms of their sources.",
            &[],
            Answer::Anything,
            None,
        ),
        op(
            "post",
            "/v1/connectors/{name}/pause",
            "Pause a connector. It stays paused after a restart.",
            &[],
            Answer::Anything,
            None,
        ),
        op(
            "post",
            "/v1/connectors/{name}/resume",
            "Let a paused connector continue where it stopped.",
            &[],
            Answer::Anything,
            None,
        ),
        op(
            "post",
            "/v1/generate",
            "Ask a language model for a text, through the node's routes, limits, budgets and cache. With the header `Idempotency-Key` the same key gives the same result and is paid once. With `\"stream\": true` the answer is `text/event-stream`: events `text`, `restart` (Discard the text so far: its provider failed, and another provider starts.), then `done` or `problem`. With `picture` a model paints: the answer is a `GeneratedPicture`, whose file is at `/v1/pictures/{file}`, and a key is needed, because a picture can take longer than `api.timeout`. With `video` a model writes a script of 2 to 6 scenes, and another one makes a clip for each: the answer is a `GeneratedVideo`, with 202 until every clip is there, then with 200, and a key is needed. Nobody has reviewed the clips.",
            &[],
            Answer::Text,
            Some("GenerateBody"),
        ),
        op(
            "get",
            "/v1/providers",
            "Providers of language models: their state, models and prices; and what the tenant has spent today (UTC), in millionths of the currency unit. For operators also the attempts of all tenants (`in_flight`, `answered`, `failed`) and the last `problem`; an operator's key has no spending.",
            &[],
            Answer::Anything,
            None,
        ),
        op(
            "get",
            "/v1/cache",
            "How many replies of language models are cached for the tenant, and their bytes.",
            &[],
            Answer::Anything,
            None,
        ),
        op(
            "delete",
            "/v1/cache",
            "Delete the cached replies of the tenant. Returns how many they were.",
            &[],
            Answer::Anything,
            None,
        ),
        op(
            "get",
            "/v1/cache/health",
            "How full the cache of replies is, and its hits and misses since the start. For operators.",
            &[],
            Answer::Anything,
            None,
        ),
        op(
            "get",
            "/v1/pictures/{file}",
            "The drawn picture of an ad, by the `file` of its delivery, or a picture that a model painted, by the `file` of its answer, as PNG, JPEG or WebP. For ad platforms: it needs no key.",
            &[],
            Answer::Anything,
            None,
        ),
        op(
            "get",
            "/v1/clips/{file}",
            "A clip that a model made, by the `file` of its answer, as MP4. It needs no key, and nobody has reviewed what it shows.",
            &[],
            Answer::Anything,
            None,
        ),
        op(
            "get",
            "/healthz",
            "Liveness: 200 while the process answers.",
            &[],
            Answer::Anything,
            None,
        ),
        op(
            "get",
            "/readyz",
            "Readiness: 200, or 503 with the reasons.",
            &[],
            Answer::Anything,
            None,
        ),
        op(
            "get",
            "/metrics",
            "Metrics in the text format of Prometheus.",
            &[],
            Answer::Anything,
            None,
        ),
        op(
            "get",
            "/openapi.json",
            "This document.",
            &[],
            Answer::Anything,
            None,
        ),
    ]
}

/// The whole document.
pub(crate) fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations() {
        let entry = paths.entry(operation.path).or_insert_with(|| json!({}));
        entry[operation.method] = describe(&operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Limbic",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Accepts posts and outcomes; answers with readings, moments, creatives, decisions, time series and counts. Errors are application/problem+json (RFC 9457).",
            "license": {"name": "MIT OR Apache-2.0"}
        },
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "An API key of a tenant, if the settings define any."}}
        },
        "security": [{}, {"key": []}]
    })
}

fn describe(operation: &Operation) -> Value {
    let in_path = operation
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut params: Vec<Value> = in_path
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect();
    params.extend(operation.params.iter().map(|(name, description)| {
        json!({"name": name, "in": "query", "description": description, "schema": {"type": "string"}})
    }));
    let schema = match operation.answer {
        Answer::One(name) => reference(name),
        Answer::Page(name) => json!({"type": "object", "required": ["items", "next"], "properties": {
            "items": {"type": "array", "items": reference(name)}, "next": {"type": ["string", "null"]},
            "position": {"type": "string", "description":
                "Pass it as `after`, with the oldest events first, to read what is written later than this page. On the last page and on an empty one too."},
            "deleted_before": {"type": "string", "format": "date-time", "description":
                "Events from before this time are deleted because of their age (`views.keep`), and this page would have begun among them. Absent if no event is missing here."}}}),
        Answer::Receipt => reference("Receipt"),
        Answer::Holds => json!({"type": "object", "required": ["items"], "properties": {
            "items": {"type": "array", "items": reference("Hold")}}}),
        Answer::Reviews => json!({"type": "object", "required": ["items", "next"], "properties": {
            "items": {"type": "array", "items": reference("ReviewView")}, "next": {"type": ["string", "null"]}}}),
        Answer::Review => reference("ReviewView"),
        Answer::Text => reference("GeneratedText"),
        Answer::Anything => json!({}),
    };
    let is_text = matches!(operation.answer, Answer::Text);
    let is_one = is_text || matches!(operation.answer, Answer::Review);
    let is_accepted = operation.method == "post" && operation.body.is_some() && !is_one;
    let status = if is_accepted { "202" } else { "200" };
    let mut described = json!({
        "summary": operation.summary,
        "parameters": params,
        "responses": {
            status: {"description": "Success", "content": {"application/json": {"schema": schema}}},
            "default": {"description": "A problem", "content": {"application/problem+json": {"schema": reference("Problem")}}}
        }
    });
    if let Some(body) = operation.body.filter(|_| is_one) {
        described["requestBody"] =
            json!({"required": true, "content": {"application/json": {"schema": reference(body)}}});
        if is_text {
            described["responses"][status]["content"]["text/event-stream"] =
                json!({"schema": {"type": "string"}});
        }
    } else if let Some(body) = operation.body {
        let one_or_many = json!({"oneOf": [reference(body), {"type": "array", "items": reference(body)}]});
        described["requestBody"] = json!({"required": true, "content": {
            "application/json": {"schema": one_or_many}, "application/x-ndjson": {"schema": reference(body)}}});
    }
    described
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn schemas() -> Map<String, Value> {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    generator.subschema_for::<Post>();
    generator.subschema_for::<Reading>();
    generator.subschema_for::<Moment>();
    generator.subschema_for::<CreativeSet>();
    generator.subschema_for::<Decision>();
    generator.subschema_for::<Outcome>();
    generator.subschema_for::<Hold>();
    generator.subschema_for::<AudienceStatus>();
    generator.subschema_for::<GenerateBody>();
    generator.subschema_for::<GeneratedPicture>();
    generator.subschema_for::<GeneratedText>();
    generator.subschema_for::<GeneratedVideo>();
    generator.subschema_for::<ReviewBody>();
    generator.subschema_for::<ReviewView>();
    let mut schemas = generator.take_definitions(true);
    let time = json!({"type": "string", "format": "date-time"});
    let text = json!({"type": "string"});
    schemas.insert("IncomingPost".into(), json!({
        "type": "object",
        "required": ["network", "id", "author", "text", "created_at"],
        "properties": {
            "network": text, "id": text, "author": text, "text": {"type": "string", "maxLength": 65_536},
            "created_at": time, "lang": {"type": "string", "description": "Language tag (BCP 47)"}, "reply_to": text, "repost_of": text,
            "url": text, "subjects": {"type": "array", "items": text, "maxItems": 16},
            "consent": {"type": "string", "maxLength": 8_192, "examples": ["given", "denied", "unknown", "1YNN"],
                "description": "`given`, `denied`, `unknown`, or a consent string of TCF 2, GPP or US Privacy, of which the strictest statement counts"},
            "gpc": {"type": "boolean", "description": "Whether the person's browser sends the Global Privacy Control: counts as `denied`"},
            "minor": {"type": "boolean"},
            "revision": {"type": "integer", "minimum": 0, "description": "The network's number of this version of the post: 0 for the first one. A later version takes the place of the earlier one in the view; people and audiences count the first one"},
            "meta": {"type": "object", "description": "Further fields. Those that `ingest.keep_fields` names for the network are kept, and so is `url`"}
        },
        "additionalProperties": false
    }));
    schemas.insert("IncomingDeletion".into(), json!({
        "type": "object",
        "required": ["network", "author", "deleted_at"],
        "properties": {
            "network": text, "author": text, "deleted_at": time,
            "id": {"type": "string", "description": "The network's id of the post. If absent, the author's account is gone"}
        },
        "additionalProperties": false
    }));
    schemas.insert("IncomingOutcome".into(), json!({
        "type": "object",
        "required": ["decision", "kind", "at", "id"],
        "properties": {
            "decision": text, "kind": {"enum": ["impression", "click", "conversion", "dismissal"]},
            "value": {"type": "number", "minimum": 0, "description": "Value of the conversions, all together"}, "at": time,
            "id": {"type": "string", "description": "Idempotency key. Of several statements under the same key, the latest counts: the highest `revision`, then the latest `stated_at`. The same statement again is a duplicate"},
            "count": {"type": "integer", "minimum": 1, "description": "How many events it reports; 1 if absent"},
            "person": {"type": "string", "pattern": "^[0-9a-f]{32}$", "description": "The person's pseudonym, as the delivery named it"},
            "withdrawn": {"type": "boolean", "description": "Whether the outcome is taken back"},
            "revision": {"type": "integer", "minimum": 0, "description": "Number of this statement, higher than that of the statement it corrects"},
            "stated_at": {"type": "string", "format": "date-time", "description": "When this was stated. If absent, the time of its acceptance"}
        },
        "additionalProperties": false
    }));
    schemas.insert(
        "Watermark".into(),
        json!({"type": "object", "required": ["at"], "properties": {"at": time}}),
    );
    schemas.insert("Receipt".into(), json!({
        "type": "object",
        "required": ["accepted", "duplicates", "rejected"],
        "properties": {
            "accepted": {"type": "integer"}, "duplicates": {"type": "integer"},
            "dropped_fields": {"type": "integer", "description": "Fields of `meta`, and addresses in `url`, that `ingest.keep_fields` does not keep. The posts were accepted without them. Absent if 0"},
            "unknown_subjects": {"type": "integer", "description": "Subjects that posts named and this node does not know. The posts were accepted without them. Absent if 0"},
            "posts_without_subjects": {"type": "integer", "description": "Posts that named such a subject. Absent if 0"},
            "examples_of_unknown_subjects": {"type": "array", "items": text, "description": "The first of these subjects. Absent if there are none"},
            "rejected": {"type": "array", "items": {"type": "object", "required": ["index", "field", "problem"], "properties": {
                "index": {"type": "integer"}, "field": text, "problem": text}}}
        }
    }));
    schemas.insert(
        "Problem".into(),
        json!({
            "type": "object",
            "required": ["status", "title", "detail"],
            "properties": {"status": {"type": "integer"}, "title": text, "detail": text, "field": text}
        }),
    );
    schemas
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_reference_has_a_target() {
        let document = document();
        let text = document.to_string();
        for piece in text.split("#/components/schemas/").skip(1) {
            let name = piece.split('"').next().unwrap();
            assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
        }
    }

    #[test]
    fn every_route_is_in_the_openapi_document() {
        let source = include_str!("lib.rs");
        let document = document();
        let routes: Vec<&str> = source
            .split(".route(\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap())
            .collect();
        for route in &routes {
            assert!(
                document["paths"].get(*route).is_some(),
                "{route} is not described"
            );
        }
        assert_eq!(document["paths"].as_object().unwrap().len(), routes.len());
    }
}
