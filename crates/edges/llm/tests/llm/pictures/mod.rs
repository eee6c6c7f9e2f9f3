//! What every provider of pictures promises.

mod files;
mod gemini;
mod imagen;
mod openai;

use std::net::Ipv4Addr;
use std::time::Duration;

use limbic_fit::ImageType;
use limbic_llm::{FailureKind, Spent};

pub(crate) use files::{base64, bomb, jpeg, leaked, png};
pub(crate) use gemini::GeminiImages;
pub(crate) use imagen::Imagen;
pub(crate) use openai::OpenAiImages;

use crate::server::{Act, End, Fault, KEY, PictureForm, Server};

/// Runs the suite with one form of API.
macro_rules! conformance {
    ($name:ident, $form:ty) => {
        mod $name {
            use crate::pictures;

            #[test]
            fn a_request_has_the_documented_form_and_the_picture_is_what_its_bytes_are() {
                pictures::a_request_has_the_documented_form_and_the_picture_is_what_its_bytes_are::<$form>();
            }

            #[test]
            fn errors_mean_what_they_mean_for_texts() {
                pictures::errors_mean_what_they_mean_for_texts::<$form>();
            }

            #[test]
            fn a_refusal_ends_the_request() {
                pictures::a_refusal_ends_the_request::<$form>();
            }

            #[test]
            fn a_reply_that_ends_early_is_unknown_and_so_is_its_cost() {
                pictures::a_reply_that_ends_early_is_unknown_and_so_is_its_cost::<$form>();
            }

            #[test]
            fn a_server_that_does_not_answer_in_time_or_at_all_is_unknown() {
                pictures::a_server_that_does_not_answer_in_time_or_at_all_is_unknown::<$form>();
            }

            #[test]
            fn a_malformed_reply_is_unknown() {
                pictures::a_malformed_reply_is_unknown::<$form>();
            }

            #[test]
            fn bytes_that_are_no_picture_or_a_bomb_are_unknown_and_paid() {
                pictures::bytes_that_are_no_picture_or_a_bomb_are_unknown_and_paid::<$form>();
            }

            #[test]
            fn a_reply_without_an_end_is_not_kept_in_memory() {
                pictures::a_reply_without_an_end_is_not_kept_in_memory::<$form>();
            }

            #[test]
            fn a_server_that_repeats_the_key_does_not_reveal_it() {
                pictures::a_server_that_repeats_the_key_does_not_reveal_it::<$form>();
            }

            #[test]
            fn invalid_settings_are_refused_with_a_correction() {
                pictures::invalid_settings_are_refused_with_a_correction::<$form>();
            }
        }
    };
}

conformance!(openai_images_conform, pictures::OpenAiImages);
conformance!(gemini_images_conform, pictures::GeminiImages);
conformance!(imagen_conforms, pictures::Imagen);

/// A reply in one piece, or its first half if the server ends early.
fn whole_or_half(document: &str, end: Option<End>) -> Vec<String> {
    let length = if end.is_some() {
        document.len()
    } else {
        document.len() / 2
    };
    vec![document[..length].to_owned()]
}

fn complete(file: &[u8]) -> Act {
    Act::Text(vec![leaked(base64(file))], End::Complete)
}

fn a_request_has_the_documented_form_and_the_picture_is_what_its_bytes_are<F: PictureForm>() {
    let server = Server::<F>::start();
    // The servers say that it is a PNG.
    for (file, kind) in [(png(30, 20), ImageType::Png), (jpeg(30, 20), ImageType::Jpeg)] {
        let painted = server.painted(complete(&file)).unwrap();
        assert_eq!((painted.kind, painted.width, painted.height), (kind, 30, 20));
        assert_eq!(painted.file, file);
        assert_eq!((&*painted.model, painted.usage), ("small", Some(F::USAGE)));
    }
    let (headers, body) = &server.requests()[0];
    let (name, value) = F::KEY;
    assert_eq!(headers[name], value);
    assert_eq!(headers["idempotency-key"], "draft-1");
    assert_eq!(*body, F::body());
}

fn errors_mean_what_they_mean_for_texts<F: PictureForm>() {
    let server = Server::<F>::start();
    let throttled = FailureKind::Throttled(Some(Duration::from_secs(20)));
    for (fault, kind) in [
        (Fault::Throttled, throttled),
        (Fault::Exhausted, FailureKind::Exhausted),
        (Fault::NoModel, FailureKind::Blocked),
        (Fault::Invalid, FailureKind::Rejected),
        (Fault::Server, FailureKind::Unknown),
    ] {
        let failure = server.painted(Act::Error(fault)).unwrap_err();
        assert_eq!((failure.kind, failure.spent), (kind, Spent::Nothing), "{failure}");
        let (status, _, _) = F::error(fault);
        assert!(failure.detail.starts_with(&format!("{status}: ")), "{failure}");
    }
    let wrong = F::provider(&server.base, "sk-wrong").unwrap();
    let failure = server.paint(&*wrong, Duration::from_mins(1)).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Blocked, "{failure}");
    for status in [301, 307] {
        let failure = server.painted(Act::Echo(status, 0)).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Blocked, "{failure}");
    }
}

fn a_refusal_ends_the_request<F: PictureForm>() {
    let server = Server::<F>::start();
    let failure = server.painted(F::refusal()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused, "{failure}");
    assert!(failure.detail.contains("violence"), "{failure}");
}

fn a_reply_that_ends_early_is_unknown_and_so_is_its_cost<F: PictureForm>() {
    let server = Server::<F>::start();
    let base64 = leaked(base64(&png(30, 20)));
    for act in [Act::Break(vec![base64]), Act::Stop(vec![base64])] {
        let failure = server.painted(act).unwrap_err();
        assert_eq!(
            (failure.kind, failure.spent),
            (FailureKind::Unknown, Spent::Unknown),
            "{failure}"
        );
    }
}

fn a_server_that_does_not_answer_in_time_or_at_all_is_unknown<F: PictureForm>() {
    let server = Server::<F>::start();
    let painter = server.provider();
    let base64 = leaked(base64(&png(30, 20)));
    for act in [Act::Hang, Act::Stall(vec![base64])] {
        server.will(act);
        let failure = server.paint(&*painter, Duration::from_millis(200)).unwrap_err();
        assert_eq!(
            (failure.kind, failure.spent),
            (FailureKind::Unknown, Spent::Unknown),
            "{failure}"
        );
        assert!(failure.detail.contains("time"), "{failure}");
    }
    let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = format!("http://{}{}", free.local_addr().unwrap(), F::BASE);
    drop(free);
    let missing = F::provider(&address, KEY).unwrap();
    let failure = server.paint(&*missing, Duration::from_mins(1)).unwrap_err();
    assert_eq!(
        (failure.kind, failure.spent),
        (FailureKind::Unknown, Spent::Nothing),
        "{failure}"
    );
}

fn a_malformed_reply_is_unknown<F: PictureForm>() {
    let server = Server::<F>::start();
    for body in [
        "",
        "<html>Bad gateway</html>",
        "[]",
        "7",
        "{\"data\": 7, \"predictions\": 7}",
        "{\"data\": [{\"url\": \"https://example.com/1.png\"}], \"predictions\": [{\"gcsUri\": \"gs://1.png\"}]}",
        "{\"data\": [{\"b64_json\": 7}], \"predictions\": [{\"bytesBase64Encoded\": 7}]}",
        "{\"data\": [{\"b64_json\": \"iVBO\"}], \"predictions\": [{\"bytesBase64Encoded\": \"iVBO\"}]} and more",
    ] {
        let failure = server.painted(Act::Raw(body)).unwrap_err();
        assert_eq!(
            (failure.kind, failure.spent),
            (FailureKind::Unknown, Spent::Unknown),
            "{body}: {failure}"
        );
    }
}

fn bytes_that_are_no_picture_or_a_bomb_are_unknown_and_paid<F: PictureForm>() {
    let server = Server::<F>::start();
    let whole = png(30, 20);
    let cut = base64(&whole[..whole.len() - 20]);
    for (text, said) in [
        ("not base64!".to_owned(), "base64"),
        (base64(&whole)[1..].to_owned(), "base64"),
        (String::new(), "not a picture"),
        (
            base64(b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
            "not a picture",
        ),
        (base64(b"GIF89a"), "not a picture"),
        (cut, "damaged"),
        (base64(&bomb()), "60000"),
    ] {
        let act = Act::Text(vec![leaked(text)], End::Complete);
        let failure = server.painted(act).unwrap_err();
        assert_eq!(
            (failure.kind, failure.spent),
            (FailureKind::Unknown, Spent::Tokens(F::USAGE)),
            "{failure}"
        );
        assert!(failure.detail.contains(said), "{failure}");
    }
}

fn a_reply_without_an_end_is_not_kept_in_memory<F: PictureForm>() {
    let server = Server::<F>::start();
    let large = leaked("A".repeat(25 << 20));
    let failure = server.painted(Act::Text(vec![large], End::Complete)).unwrap_err();
    assert_eq!(
        (failure.kind, failure.spent),
        (FailureKind::Unknown, Spent::Unknown),
        "{failure}"
    );
    assert!(failure.detail.contains("exceeds"), "{failure}");
}

fn a_server_that_repeats_the_key_does_not_reveal_it<F: PictureForm>() {
    let server = Server::<F>::start();
    for status in [200, 400, 401, 500] {
        let failure = server.painted(Act::Echo(status, 0)).unwrap_err();
        assert!(!failure.detail.contains("sk-"), "{failure}");
        assert!(status == 200 || failure.detail.contains("***"), "{failure}");
    }
}

fn invalid_settings_are_refused_with_a_correction<F: PictureForm>() {
    for (base, key, said) in [
        ("nonsense", KEY, "write https://HOST/v1"),
        ("ftp://example.com", KEY, "write https"),
        ("https://u:p@example.com/v1", KEY, "api_key"),
        ("https://example.com/v1", "two\nlines", "without line ends"),
    ] {
        let Err(error) = F::provider(base, key) else {
            panic!("{base} is accepted");
        };
        assert!(error.to_string().contains(said), "{error}");
    }
}
