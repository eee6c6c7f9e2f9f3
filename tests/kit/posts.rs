//! Posts to send.

use serde_json::{Value, json};

/// A time after all posts of a test. A watermark at this time closes every window.
pub(crate) const END: &str = "2026-03-02T00:00:00Z";

/// The first `n` posts of an evening: forty people, one post every two seconds, whose mood changes every hundred posts.
/// At most 25,000, so that all lie before [`END`].
pub(crate) fn posts(n: usize) -> Vec<Value> {
    let positive = [
        "what a wonderful",
        "so happy about this great",
        "love this amazing",
        "brilliant, best",
    ];
    let negative = [
        "what a terrible",
        "so angry about this awful",
        "hate this horrible",
        "boring, worst",
    ];
    let things = [
        "fight tonight",
        "knockout in the ring",
        "concert",
        "song of the band",
    ];
    assert!(n <= 25_000, "{n} posts do not fit before {END}");
    (0..n)
        .map(|i| {
            let mood = if (i / 100) % 2 == 0 { positive } else { negative };
            let second = i * 2;
            json!({
                "network": "test",
                "id": format!("p{i}"),
                "author": format!("person-{}", (i * 7) % 400),
                "text": format!("{} {} no. {i} {}", mood[i % 4], things[(i / 3) % 4], own_words(i)),
                "created_at": format!("2026-03-01T{:02}:{:02}:{:02}Z", 10 + second / 3_600, second / 60 % 60, second % 60),
                "lang": "en",
            })
        })
        .collect()
}

/// Four words that no other post has: copies of a text would count once.
fn own_words(i: usize) -> String {
    let syllables = ["ba", "ko", "lu", "mi", "ne", "ro", "su", "ti", "va", "zo"];
    let name: String = i
        .to_string()
        .bytes()
        .map(|digit| syllables[usize::from(digit - b'0')])
        .collect();
    format!("{name} {name}ka {name}pe {name}xu")
}
