//! What every provider promises.

use std::net::Ipv4Addr;
use std::time::Duration;

use limbic_llm::{FailureKind, Generated, Spent, Usage};

use crate::server::{Act, End, Fault, KEY, Server, TextForm};

/// Runs the suite with one form of API.
macro_rules! conformance {
    ($name:ident, $form:ty) => {
        mod $name {
            use crate::suite;

            #[test]
            fn a_request_has_the_form_that_we_remember_and_its_text_arrives_in_pieces() {
                suite::a_request_has_the_form_that_we_remember_and_its_text_arrives_in_pieces::<$form>();
            }

            #[test]
            fn the_borders_of_chunks_change_nothing() {
                suite::the_borders_of_chunks_change_nothing::<$form>();
            }

            #[test]
            fn a_text_that_reaches_its_limit_says_so() {
                suite::a_text_that_reaches_its_limit_says_so::<$form>();
            }

            #[test]
            fn a_throttled_request_says_how_long_to_wait() {
                suite::a_throttled_request_says_how_long_to_wait::<$form>();
            }

            #[test]
            fn an_empty_account_and_a_wrong_key_are_not_the_requests_fault() {
                suite::an_empty_account_and_a_wrong_key_are_not_the_requests_fault::<$form>();
            }

            #[test]
            fn an_invalid_request_is_rejected_with_the_servers_message() {
                suite::an_invalid_request_is_rejected_with_the_servers_message::<$form>();
            }

            #[test]
            fn a_refusal_is_told_and_paid() {
                suite::a_refusal_is_told_and_paid::<$form>();
            }

            #[test]
            fn a_stream_that_ends_in_the_middle_fails_and_its_cost_is_unknown() {
                suite::a_stream_that_ends_in_the_middle_fails_and_its_cost_is_unknown::<$form>();
            }

            #[test]
            fn a_server_that_does_not_answer_in_time_or_at_all_is_unknown() {
                suite::a_server_that_does_not_answer_in_time_or_at_all_is_unknown::<$form>();
            }

            #[test]
            fn a_malformed_reply_is_unknown() {
                suite::a_malformed_reply_is_unknown::<$form>();
            }

            #[test]
            fn a_reply_without_text_is_unknown() {
                suite::a_reply_without_text_is_unknown::<$form>();
            }

            #[test]
            fn a_server_error_is_unknown() {
                suite::a_server_error_is_unknown::<$form>();
            }

            #[test]
            fn a_server_that_repeats_the_key_does_not_reveal_it() {
                suite::a_server_that_repeats_the_key_does_not_reveal_it::<$form>();
            }

            #[test]
            fn a_server_that_points_elsewhere_has_a_wrong_address() {
                suite::a_server_that_points_elsewhere_has_a_wrong_address::<$form>();
            }

            #[test]
            fn invalid_settings_are_refused_with_a_correction() {
                suite::invalid_settings_are_refused_with_a_correction::<$form>();
            }
        }
    };
}
pub(crate) use conformance;

const USAGE: Usage = Usage {
    prompt_tokens: 19,
    completion_tokens: 10,
    pictures: 0,
    video_seconds: 0,
};

pub(crate) fn a_request_has_the_form_that_we_remember_and_its_text_arrives_in_pieces<F: TextForm>() {
    let server = Server::<F>::start();
    let (result, pieces) = server.result(Act::Text(vec!["Warm ", "br\u{e9}ad."], End::Complete));
    let expected = Generated {
        text: "Warm br\u{e9}ad.".to_owned(),
        model: "small-1".to_owned(),
        is_cut_off: false,
        usage: Some(USAGE),
    };
    assert_eq!(result, Ok(expected));
    assert_eq!(pieces, ["Warm ", "br\u{e9}ad."]);
    let (headers, body) = &server.requests()[0];
    let (name, value) = F::KEY;
    assert_eq!(headers[name], value);
    assert_eq!(headers["idempotency-key"], "draft-1");
    assert_eq!(*body, F::body());
}

pub(crate) fn the_borders_of_chunks_change_nothing<F: TextForm>() {
    let server = Server::<F>::start();
    let whole = server.result(Act::Text(vec!["Warm ", "br\u{e9}ad \u{1f35e}"], End::Complete));
    let bytes = server.result(Act::Bytes(vec!["Warm ", "br\u{e9}ad \u{1f35e}"], End::Complete));
    assert_eq!(bytes, whole);
    assert!(whole.0.is_ok(), "{whole:?}");
}

pub(crate) fn a_text_that_reaches_its_limit_says_so<F: TextForm>() {
    let server = Server::<F>::start();
    let generated = server.result(Act::Text(vec!["Warm"], End::Length)).0.unwrap();
    assert!(generated.is_cut_off);
    assert_eq!(generated.text, "Warm");
}

pub(crate) fn a_throttled_request_says_how_long_to_wait<F: TextForm>() {
    let server = Server::<F>::start();
    let failure = server.result(Act::Error(Fault::Throttled)).0.unwrap_err();
    assert_eq!(
        failure.kind,
        FailureKind::Throttled(Some(Duration::from_secs(20))),
        "{failure}"
    );
    assert_eq!(failure.spent, Spent::Nothing);
}

pub(crate) fn an_empty_account_and_a_wrong_key_are_not_the_requests_fault<F: TextForm>() {
    let server = Server::<F>::start();
    let failure = server.result(Act::Error(Fault::Exhausted)).0.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Exhausted, "{failure}");
    let wrong = F::provider(&server.base, "sk-wrong").unwrap();
    let failure = server.ask(&*wrong, Duration::from_mins(1)).0.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Blocked, "{failure}");
    assert!(!failure.to_string().contains("sk-"), "{failure}");
    let failure = server.result(Act::Error(Fault::NoModel)).0.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Blocked, "{failure}");
}

pub(crate) fn an_invalid_request_is_rejected_with_the_servers_message<F: TextForm>() {
    let server = Server::<F>::start();
    let failure = server.result(Act::Error(Fault::Invalid)).0.unwrap_err();
    assert_eq!(
        (failure.kind, failure.spent),
        (FailureKind::Rejected, Spent::Nothing)
    );
    let (status, _, body) = F::error(Fault::Invalid);
    let (said, words) = failure.detail.split_once(": ").unwrap();
    assert_eq!(said, status.to_string());
    assert!(body.contains(words) && words.len() > 10, "{words}");
}

pub(crate) fn a_refusal_is_told_and_paid<F: TextForm>() {
    if !F::CAN_REFUSE {
        return;
    }
    let server = Server::<F>::start();
    let failure = server.result(Act::Text(vec!["Wa"], End::Refused)).0.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused, "{failure}");
    assert_eq!(failure.spent, Spent::Tokens(USAGE));
}

pub(crate) fn a_stream_that_ends_in_the_middle_fails_and_its_cost_is_unknown<F: TextForm>() {
    let server = Server::<F>::start();
    for act in [
        Act::Break(vec!["Warm ", "br"]),
        Act::Stop(vec!["Warm ", "br"]),
        Act::Fail(vec!["Warm ", "br"]),
    ] {
        let (result, pieces) = server.result(act);
        let failure = result.unwrap_err();
        assert_eq!(
            (failure.kind, failure.spent),
            (FailureKind::Unknown, Spent::Unknown),
            "{failure}"
        );
        assert_eq!(pieces.concat(), "Warm br");
    }
}

pub(crate) fn a_server_that_does_not_answer_in_time_or_at_all_is_unknown<F: TextForm>() {
    let server = Server::<F>::start();
    let provider = server.provider();
    for act in [Act::Hang, Act::Stall(vec!["Warm "])] {
        server.will(act);
        let failure = server.ask(&*provider, Duration::from_millis(200)).0.unwrap_err();
        assert_eq!(
            (failure.kind, failure.spent),
            (FailureKind::Unknown, Spent::Unknown),
            "{failure}"
        );
        assert!(failure.detail.contains("time"), "{failure}");
    }
    let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let missing = F::provider(&format!("http://{}{}", free.local_addr().unwrap(), F::BASE), KEY).unwrap();
    drop(free);
    let failure = server.ask(&*missing, Duration::from_mins(1)).0.unwrap_err();
    assert_eq!(
        (failure.kind, failure.spent),
        (FailureKind::Unknown, Spent::Nothing),
        "{failure}"
    );
    assert!(failure.detail.starts_with("no connection"), "{failure}");
}

pub(crate) fn a_malformed_reply_is_unknown<F: TextForm>() {
    let server = Server::<F>::start();
    let whole: &'static str = Box::leak(
        F::events(&["Warm bread."], Some(End::Complete))
            .concat()
            .into_boxed_str(),
    );
    for body in [
        "",
        "<html>Bad gateway</html>\n\n",
        "data: {\"cho\n\n",
        "{\"cho\n",
        "data: []\n\n",
        "data: 7\n\n",
        "7\n",
        &whole[..whole.len() / 2],
    ] {
        let (result, pieces) = server.result(Act::Raw(body));
        let failure = result.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unknown, "{body}: {failure}");
        assert!(pieces.concat().len() <= "Warm bread.".len(), "{pieces:?}");
    }
}

pub(crate) fn a_reply_without_text_is_unknown<F: TextForm>() {
    let server = Server::<F>::start();
    let failure = server
        .result(Act::Text(vec![" \n"], End::Complete))
        .0
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unknown);
    assert_eq!(failure.spent, Spent::Tokens(USAGE), "it was paid");
}

pub(crate) fn a_server_error_is_unknown<F: TextForm>() {
    let server = Server::<F>::start();
    let failure = server.result(Act::Error(Fault::Server)).0.unwrap_err();
    assert_eq!(
        (failure.kind, failure.spent),
        (FailureKind::Unknown, Spent::Nothing),
        "{failure}"
    );
}

pub(crate) fn a_server_that_repeats_the_key_does_not_reveal_it<F: TextForm>() {
    let server = Server::<F>::start();
    for status in [200, 400, 401, 500] {
        let failure = server.result(Act::Echo(status, 0)).0.unwrap_err();
        assert!(!failure.detail.contains("sk-"), "{failure}");
        assert!(status == 200 || failure.detail.contains("***"), "{failure}");
    }
    // A long message is shortened, and can end inside the key.
    for before in 280..300 {
        let failure = server.result(Act::Echo(400, before)).0.unwrap_err();
        assert!(!failure.detail.contains("sk-"), "{failure}");
    }
}

pub(crate) fn a_server_that_points_elsewhere_has_a_wrong_address<F: TextForm>() {
    let server = Server::<F>::start();
    for status in [301, 302, 307, 308] {
        let failure = server.result(Act::Echo(status, 0)).0.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Blocked, "{failure}");
    }
}

pub(crate) fn invalid_settings_are_refused_with_a_correction<F: TextForm>() {
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
