//! The drawn pictures of ads, the pictures of models behind their texts, and the clips of models.
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

/// The folder of the clips that models made, in the folder of the pictures.
const CLIPS: &str = "clips";

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

/// `GET /v1/clips/{file}`.
pub(crate) async fn show_clip(State(app): State<App>, Path(file): Path<String>) -> Result<Response, Problem> {
    let media_type = clip_type(&file).ok_or_else(no_clip)?;
    let _turn = app.turn_to_read(&ANYONE).await?;
    let path = app.context.pictures.join(CLIPS).join(&file);
    let read = tokio::task::spawn_blocking(move || std::fs::read(path)).await;
    let bytes = read.ok().and_then(Result::ok).ok_or_else(no_clip)?;
    let headers: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, media_type)];
    Ok((headers, bytes).into_response())
}

/// The hash and the ending of a name. `None` if it does not begin with a hash.
fn parts(file: &str) -> Option<(&str, &str)> {
    let (hash, ending) = file.split_once('.')?;
    let is_hash = hash.len() == 64 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    is_hash.then_some((hash, ending))
}

/// The media type of a clip of this name. `None` if no clip has such a name.
fn clip_type(file: &str) -> Option<&'static str> {
    let (_, ending) = parts(file)?;
    (ending == "mp4").then_some("video/mp4")
}

/// The media type of a file of this name. `None` if no picture has such a name.
fn media_type(file: &str) -> Option<&'static str> {
    let (_, ending) = parts(file)?;
    match ending {
        "png" => Some("image/png"),
        "jpg" => Some("image/jpeg"),
        "webp" => Some("image/webp"),
        _ => None,
    }
}

fn no_clip() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "not found",
        "this node has no such clip: ask the node that answered the request, for the `file` of its answer, within `llm.keep_pictures`",
    )
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

    #[test]
    fn only_a_hash_with_the_ending_of_a_clip_names_a_clip() {
        let hash = "0123456789abcdef".repeat(4);
        assert_eq!(clip_type(&format!("{hash}.mp4")), Some("video/mp4"));
        for other in [
            format!("{hash}.png"),
            format!("../{hash}.mp4"),
            format!("{}.mp4", &hash[1..]),
            format!("{hash}.mp4/../../x"),
            hash.clone(),
        ] {
            assert_eq!(clip_type(&other), None, "{other}");
        }
    }
}
