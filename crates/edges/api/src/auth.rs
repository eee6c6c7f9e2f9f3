//! Authentication: finds the tenant of a request, and who may see the totals of all tenants.

use std::sync::{Arc, OnceLock};

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use limbic_domain::TenantId;

use crate::problem::Problem;
use crate::refusal::Refusal;
use crate::{App, hash_key};

/// The tenant of a request.
pub(crate) struct Caller(pub(crate) TenantId);

/// The tenant of a request, and a name of its key that does not reveal it: for what is recorded with who did it.
pub(crate) struct NamedCaller {
    pub(crate) tenant: TenantId,
    /// `key:` and the first 8 hexadecimal digits of the key's hash, or `anonymous` if no keys are set up.
    pub(crate) by: String,
}

/// A caller who may decide about ads: with a reviewer's key, or with any key of a tenant that has no reviewers' keys.
pub(crate) struct Reviewer(pub(crate) NamedCaller);

/// A caller who may see the totals of all tenants: one with an operator's key, anyone on a node without keys, and the only tenant of a
/// node, whose own totals they are.
pub(crate) struct Operator;

/// The tenant of the request, for the limits of its connection. The extractors below set it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known(pub(crate) Arc<OnceLock<TenantId>>);

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        find(parts, app).map(|found| Self(found.tenant))
    }
}

impl FromRequestParts<App> for NamedCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        find(parts, app)
    }
}

impl FromRequestParts<App> for Reviewer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let caller = find(parts, app)?;
        if let Some(reviewers) = app.context.reviewer_keys.get(&caller.tenant)
            && !reviewers.contains(&key_of(parts)?)
        {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "forbidden",
                "only reviewers decide about ads of this tenant: use a key of the setting tenants.NAME.reviewer_keys",
            ));
        }
        Ok(Self(caller))
    }
}

impl FromRequestParts<App> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let context = &app.context;
        if context.keys.is_empty() {
            return Ok(Self);
        }
        let hash = key_of(parts)?;
        if context.operator_keys.contains(&hash) {
            return Ok(Self);
        }
        let tenant = context.keys.get(&hash).ok_or_else(unknown_key)?;
        if context.keys.values().all(|other| other == tenant) {
            return Ok(Self);
        }
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "this shows totals of all tenants: use a key of the setting api.operator_keys",
        ))
    }
}

impl OptionalFromRequestParts<App> for Operator {
    type Rejection = Problem;

    /// `None` for every other caller, also for one without a key.
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Option<Self>, Problem> {
        let operator = <Self as FromRequestParts<App>>::from_request_parts(parts, app).await;
        Ok(operator.ok())
    }
}

fn unauthorised(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorised", detail).because(Refusal::Key)
}

fn unknown_key() -> Problem {
    unauthorised(
        "this API key is unknown: check the key, or add it to api_keys of its tenant in the settings of this node",
    )
}

/// The hash of the request's key. Keys are looked up by their hash, so the duration of a look-up reveals nothing about them.
fn key_of(parts: &Parts) -> Result<[u8; 32], Problem> {
    let given = parts.headers.get(header::AUTHORIZATION);
    let given = given.ok_or_else(|| {
        unauthorised("this node has API keys: send `Authorization: Bearer KEY` with one of them")
    })?;
    let key = given.to_str().ok().and_then(bearer).ok_or_else(|| {
        unauthorised(
            "the header authorization is not understood: send `Authorization: Bearer KEY` with an API key",
        )
    })?;
    Ok(hash_key(key))
}

fn find(parts: &Parts, app: &App) -> Result<NamedCaller, Problem> {
    let found = if app.context.keys.is_empty() {
        NamedCaller {
            tenant: TenantId::default(),
            by: "anonymous".to_owned(),
        }
    } else {
        let hash = key_of(parts)?;
        let Some(tenant) = app.context.keys.get(&hash) else {
            return Err(if app.context.operator_keys.contains(&hash) {
                let detail =
                    "an operator's key shows totals, not the data of a tenant: use a key of the tenant";
                Problem::new(StatusCode::FORBIDDEN, "forbidden", detail)
            } else {
                unknown_key()
            });
        };
        let [a, b, c, d, ..] = hash;
        NamedCaller {
            tenant: tenant.clone(),
            by: format!("key:{a:02x}{b:02x}{c:02x}{d:02x}"),
        }
    };
    if let Some(known) = parts.extensions.get::<Known>() {
        let _ = known.0.set(found.tenant.clone());
    }
    Ok(found)
}

/// The key in `Bearer KEY`. The scheme may be written in any case (RFC 9110, section 11.1).
fn bearer(text: &str) -> Option<&str> {
    let (scheme, key) = text.trim().split_once(char::is_whitespace)?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty()).then_some(key)
}
