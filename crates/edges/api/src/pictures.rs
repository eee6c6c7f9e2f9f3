//! The drawn pictures of ads, and the pictures of models behind their texts.
//!
//! Ad platforms fetch them by their address and have no key. A name is the hash of the file, so only those find a picture who were told
//! its name or have it already, and what it shows is made to be shown to everybody.

use std::sync::LazyLock;

use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use limbic_domain::TenantId;

use crate::App;
use crate::problem::Problem;

/// The folder of what models painted, in the folder of the pictures. A person who reviews an ad looks at its background here.
const PAINTED: &str = "painted";

/// Whose turns to read they are who have no key, so that they do not take those of a tenant.
static ANYONE: LazyLock<TenantId> = LazyLock::new(|| TenantId::new("anyone").expect("it is a tenant's name"));

/// `GET /v1/pictures/{file}`.
pub(crate) async fn show(State(app): State<App>, Path(file): Path<String>) -> Result<Response, Problem> {
    let media_type = media_type(&file).ok_or_else(not_found)?;
    let _turn = app.turn_to_read(&ANYONE).await?;
    let drawn = app.context.pictures.join(&file);
    let painted = app.context.pictures.join(PAINTED).join(&file);
    let read =
        tokio::task::spawn_blocking(move || std::fs::read(drawn).or_else(|_| std::fs::read(painted))).await;
    let bytes = read.ok().and_then(Result::ok).ok_or_else(not_found)?;
    let headers: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, media_type)];
    Ok((headers, bytes).into_response())
}

/// The media type of a file of this name. `None` if no picture has such a name.
fn media_type(file: &str) -> Option<&'static str> {
    let (hash, ending) = file.split_once('.')?;
    let is_hash = hash.len() == 64 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let media_type = match ending {
        "png" => "image/png",
        "jpg" => "image/jpeg",
        "webp" => "image/webp",
        _ => return None,
    };
    is_hash.then_some(media_type)
}

fn not_found() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "not found",
        "this node has no such picture: ask the node that delivered the ad, for the `file` of its delivery, within `deliver.keep_pictures`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_hash_with_a_known_ending_names_a_picture() {
        let hash = "0123456789abcdef".repeat(4);
        assert_eq!(media_type(&format!("{hash}.png")), Some("image/png"));
        assert_eq!(media_type(&format!("{hash}.jpg")), Some("image/jpeg"));
        assert_eq!(media_type(&format!("{hash}.webp")), Some("image/webp"));
        for other in [
            "../view.sqlite".to_owned(),
            format!("../{hash}.png"),
            format!("{hash}.json"),
            hash.clone(),
            format!("{}.png", &hash[1..]),
            format!("{}.png", hash.to_uppercase()),
            format!("{}/.png", &hash[1..]),
            format!("{hash}.png/../../x"),
        ] {
            assert_eq!(media_type(&other), None, "{other}");
        }
    }
}
