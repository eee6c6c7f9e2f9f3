//! Pictures of ads and clips of models, for those who have no key.

use limbic_api::Settings;

use crate::kit::Api;

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_is_fetched_by_its_name_without_a_key_and_nothing_else_is() {
    let api = Api::open(Settings::default(), &["acme"]).await;
    let folder = api.pictures();
    std::fs::create_dir_all(folder.join("cards")).unwrap();
    let (picture, absent) = ("0123456789abcdef".repeat(4), "f".repeat(64));
    std::fs::write(folder.join(format!("{picture}.png")), "a picture").unwrap();
    std::fs::write(folder.join(format!("cards/{picture}.json")), "{}").unwrap();
    std::fs::write(folder.parent().unwrap().join("secret.png"), "secret").unwrap();
    let get = async |path: &str| {
        let head = format!("GET /v1/pictures/{path} HTTP/1.1\r\nhost: localhost\r\n");
        api.send(&head, b"").await
    };
    let found = get(&format!("{picture}.png")).await;
    assert_eq!((found.status, found.header("content-type")), (200, "image/png"));
    assert_eq!(found.header("x-content-type-options"), "nosniff");
    for path in [
        format!("{absent}.png"),
        format!("{picture}.jpg"),
        format!("{picture}.json"),
        format!("cards%2F{picture}.json"),
        "..%2Fsecret.png".to_owned(),
        "secret.png".to_owned(),
    ] {
        get(&path).await.problem(404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clip_is_fetched_by_its_name_without_a_key_and_nothing_else_is() {
    let api = Api::open(Settings::default(), &["acme"]).await;
    let folder = api.pictures().join("clips");
    std::fs::create_dir_all(&folder).unwrap();
    let (clip, absent) = ("0123456789abcdef".repeat(4), "f".repeat(64));
    std::fs::write(folder.join(format!("{clip}.mp4")), "a clip").unwrap();
    std::fs::write(folder.join(format!("{clip}.png")), "no clip").unwrap();
    std::fs::write(folder.parent().unwrap().join("secret.mp4"), "secret").unwrap();
    let get = async |path: &str| {
        let head = format!("GET /v1/clips/{path} HTTP/1.1\r\nhost: localhost\r\n");
        api.send(&head, b"").await
    };
    let found = get(&format!("{clip}.mp4")).await;
    assert_eq!((found.status, found.header("content-type")), (200, "video/mp4"));
    assert_eq!(found.header("x-content-type-options"), "nosniff");
    for path in [
        format!("{absent}.mp4"),
        format!("{clip}.png"),
        format!("..%2F{clip}.mp4"),
        "..%2Fsecret.mp4".to_owned(),
        "secret.mp4".to_owned(),
    ] {
        get(&path).await.problem(404);
    }
}
