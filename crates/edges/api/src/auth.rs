//! Authentication: finds the tenant of a request.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use limbic_domain::TenantId;

use crate::problem::Problem;
use crate::{App, hash_key};

/// The tenant of a request.
pub(crate) struct Caller(pub(crate) TenantId);

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        if app.context.keys.is_empty() {
            return Ok(Self(TenantId::default()));
        }
        let unauthorised = |detail: &str| Problem::new(StatusCode::UNAUTHORIZED, "unauthorised", detail);
        let given = parts.headers.get(header::AUTHORIZATION);
        let given = given.ok_or_else(|| unauthorised("send `Authorization: Bearer KEY` with an API key"))?;
        let key = given.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
        let key = key.ok_or_else(|| unauthorised("expected `Authorization: Bearer KEY`"))?;
        // Keys are looked up by their hash, so the duration of a look-up reveals nothing about them.
        let tenant = app.context.keys.get(&hash_key(key.trim()));
        tenant
            .cloned()
            .map(Self)
            .ok_or_else(|| unauthorised("this API key is unknown"))
    }
}
