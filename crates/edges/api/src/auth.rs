//! Authentication: finds the tenant of a request.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use limbic_domain::TenantId;

use crate::problem::Problem;
use crate::{App, hash_key};

/// The tenant of a request.
pub(crate) struct Caller(pub(crate) TenantId);

/// The tenant of a request, and a name of its key that does not reveal it: for what is recorded with who did it.
pub(crate) struct NamedCaller {
    pub(crate) tenant: TenantId,
    /// `key:` and the first 8 hexadecimal digits of the key's hash, or `anonymous` if no keys are set up.
    pub(crate) by: String,
}

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

fn find(parts: &Parts, app: &App) -> Result<NamedCaller, Problem> {
    if app.context.keys.is_empty() {
        return Ok(NamedCaller {
            tenant: TenantId::default(),
            by: "anonymous".to_owned(),
        });
    }
    let unauthorised = |detail: &str| Problem::new(StatusCode::UNAUTHORIZED, "unauthorised", detail);
    let given = parts.headers.get(header::AUTHORIZATION);
    let given = given.ok_or_else(|| unauthorised("send `Authorization: Bearer KEY` with an API key"))?;
    let key = given.to_str().ok().and_then(bearer);
    let key = key.ok_or_else(|| unauthorised("expected `Authorization: Bearer KEY`"))?;
    // Keys are looked up by their hash, so the duration of a look-up reveals nothing about them.
    let hash = hash_key(key);
    let tenant = app.context.keys.get(&hash);
    let tenant = tenant
        .cloned()
        .ok_or_else(|| unauthorised("this API key is unknown"))?;
    let [a, b, c, d, ..] = hash;
    Ok(NamedCaller {
        tenant,
        by: format!("key:{a:02x}{b:02x}{c:02x}{d:02x}"),
    })
}

/// The key in `Bearer KEY`. The scheme may be written in any case (RFC 9110, section 11.1).
fn bearer(text: &str) -> Option<&str> {
    let (scheme, key) = text.trim().split_once(char::is_whitespace)?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty()).then_some(key)
}
