//! Clients that send slowly, do not read, or open many connections.

use limbic_api::Settings;
use limbic_domain::{ByteSize, HumanDuration};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

use crate::kit::{Api, exchange, key_of, post, request, rest_of, within};

fn millis(millis: u64) -> HumanDuration {
    HumanDuration::from_millis(millis)
}

#[tokio::test]
async fn silent_connections_are_closed_whatever_they_have_sent() {
    let settings = Settings {
        stall_timeout: millis(50),
        idle_timeout: millis(50),
        ..Settings::default()
    };
    let api = Api::open(settings, &[]).await;
    for begun in [
        "",
        "GET / HT",
        "GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: ",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut socket = api.connect().await;
        socket.write_all(begun.as_bytes()).await.unwrap();
        rest_of(&mut socket).await;
    }
    // A connection that had a request, and sends half of the next one.
    let mut socket = api.connect().await;
    let one_and_a_half = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\nGET /healthz HTT";
    socket.write_all(one_and_a_half.as_bytes()).await.unwrap();
    let answered = String::from_utf8(rest_of(&mut socket).await).unwrap();
    assert!(
        answered.starts_with("HTTP/1.1 200") && answered.ends_with("ok\n"),
        "{answered}"
    );
    api.until_counted("limbic_api_connections_closed_total{reason=\"silent\"}")
        .await;
}

#[tokio::test]
async fn a_body_that_stops_is_a_request_timeout() {
    let settings = Settings {
        stall_timeout: millis(50),
        ..Settings::default()
    };
    let api = Api::open(settings, &[]).await;
    let head = "POST /v1/posts HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\n";
    let request = format!("{head}content-length: 1000\r\n\r\n{{\"network\":");
    exchange(api.connect().await, request.as_bytes())
        .await
        .problem(408);
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_a_problem_with_a_text() {
    let settings = Settings {
        stall_timeout: millis(60_000),
        timeout: millis(50),
        ..Settings::default()
    };
    let api = Api::open(settings, &[]).await;
    let head = "POST /v1/posts HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\n";
    let request = format!("{head}content-length: 1000\r\n\r\n{{");
    let answer = exchange(api.connect().await, request.as_bytes()).await;
    answer.problem(503);
    assert_eq!(answer.header("retry-after"), "1");
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answers_is_closed() {
    let settings = Settings {
        answer_timeout: millis(200),
        ..Settings::default()
    };
    let api = Api::open(settings, &[]).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut socket = socket.connect(api.address).await.unwrap();
    let question = b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let ask = async { while socket.write_all(question).await.is_ok() {} };
    within("the connection is closed", ask).await;
    api.until_counted("limbic_api_connections_closed_total{reason=\"unread\"}")
        .await;
}

#[tokio::test]
async fn one_address_has_its_number_of_connections_and_others_are_served() {
    let settings = Settings {
        connections: 8,
        connections_per_address: 2,
        ..Settings::default()
    };
    let api = Api::open(settings, &[]).await;
    let held = [api.connect().await, api.connect().await];
    // Both are accepted before the next one.
    let mut third = api.connect().await;
    assert_eq!(rest_of(&mut third).await, b"");
    let other = api.connect_from("127.0.0.2").await;
    let answer = exchange(
        other,
        &request("GET /healthz HTTP/1.1\r\nhost: localhost\r\n", b""),
    )
    .await;
    assert_eq!(answer.status, 200);
    drop(held);
    api.until_counted("limbic_api_connections_refused_total{reason=\"of_address\"}")
        .await;
}

#[tokio::test]
async fn when_all_connections_are_taken_the_longest_idle_one_makes_room() {
    let settings = Settings {
        connections: 4,
        connections_per_address: 2,
        ..Settings::default()
    };
    let api = Api::open(settings, &[]).await;
    let mut held = Vec::new();
    for from in ["127.0.0.5", "127.0.0.5", "127.0.0.6", "127.0.0.6"] {
        let mut socket = api.connect_from(from).await;
        socket.write_all(b"GET / HT").await.unwrap();
        held.push(socket);
    }
    let good = api.connect_from("127.0.0.7").await;
    let answer = exchange(
        good,
        &request("GET /healthz HTTP/1.1\r\nhost: localhost\r\n", b""),
    )
    .await;
    assert_eq!(answer.status, 200);
    assert_eq!(rest_of(&mut held[0]).await, b"", "the oldest one is closed");
}

#[tokio::test]
async fn one_tenant_takes_at_most_half_of_the_memory_for_bodies() {
    let settings = Settings {
        max_body: ByteSize::from_mebibytes(1),
        bodies: ByteSize::from_mebibytes(2),
        ..Settings::default()
    };
    let api = Api::open(settings, &["greedy", "neighbour"]).await;
    let head_of = |tenant: &str| {
        format!(
            "POST /v1/posts HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nauthorization: Bearer {}\r\n",
            key_of(tenant)
        )
    };
    let mut held = api.connect().await;
    let almost = vec![b' '; (1 << 20) - 1];
    let begun = format!("{}content-length: {}\r\n\r\n", head_of("greedy"), 1 << 20);
    held.write_all(begun.as_bytes()).await.unwrap();
    held.write_all(&almost).await.unwrap();
    api.until_counted("limbic_api_body_bytes 1048576").await;
    let refused = api
        .send(&head_of("greedy"), post("1").to_string().as_bytes())
        .await;
    refused.problem(503);
    let accepted = api
        .send(&head_of("neighbour"), post("1").to_string().as_bytes())
        .await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    held.write_all(b"3").await.unwrap();
    let mut answer = vec![0; 12];
    held.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 400");
    let accepted = api
        .send(&head_of("greedy"), post("1").to_string().as_bytes())
        .await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
}

/// A frame of HTTP/2 (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags];
    [&head[..], &stream.to_be_bytes(), payload].concat()
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// `GET http://localhost/`, compressed (RFC 7541).
const GET: &[u8] = b"\x82\x84\x86\x41\x09localhost";

#[tokio::test]
async fn http_2_states_its_limits() {
    let api = Api::open(Settings::default(), &[]).await;
    let mut socket = api.connect().await;
    socket
        .write_all(&[PREFACE, &frame(4, 0, 0, b"")].concat())
        .await
        .unwrap();
    let mut head = [0; 9];
    within("the server's settings come", socket.read_exact(&mut head))
        .await
        .unwrap();
    assert_eq!(head[3], 4, "the first frame has the settings");
    let mut payload = vec![0; usize::from(head[2])];
    socket.read_exact(&mut payload).await.unwrap();
    let settings: Vec<(u16, u32)> = payload
        .chunks_exact(6)
        .map(|six| {
            let number = u16::from_be_bytes([six[0], six[1]]);
            (number, u32::from_be_bytes([six[2], six[3], six[4], six[5]]))
        })
        .collect();
    // Streams at a time, the window of a stream, and the size of all headers.
    for expected in [(3, 32), (4, 256 << 10), (6, 16 << 10)] {
        assert!(settings.contains(&expected), "{expected:?} in {settings:?}");
    }
}

#[tokio::test]
async fn http_2_requests_that_are_cancelled_at_once_end_the_connection() {
    let api = Api::open(Settings::default(), &[]).await;
    let mut socket = api.connect().await;
    let mut attack = [PREFACE, &frame(4, 0, 0, b"")].concat();
    for stream in (1..2_001).step_by(2) {
        attack.extend(frame(1, 0b101, stream, GET));
        attack.extend(frame(3, 0, stream, &8_u32.to_be_bytes()));
    }
    let _ = socket.write_all(&attack).await;
    let answer = rest_of(&mut socket).await;
    let mut frames = Vec::new();
    let mut rest = &answer[..];
    while rest.len() >= 9 {
        let length = usize::from(rest[0]) << 16 | usize::from(rest[1]) << 8 | usize::from(rest[2]);
        frames.push((rest[3], rest[9..9 + length].to_vec()));
        rest = &rest[9 + length..];
    }
    let goodbye = frames.iter().find(|(kind, _)| *kind == 7);
    let (_, goodbye) = goodbye.unwrap_or_else(|| panic!("no GOAWAY in {frames:?}"));
    assert_eq!(goodbye[4..8], 11_u32.to_be_bytes(), "the client should be calm");
}

#[tokio::test]
async fn http_2_headers_without_an_end_do_not_grow() {
    let api = Api::open(Settings::default(), &[]).await;
    let mut socket = api.connect().await;
    socket
        .write_all(&[PREFACE, &frame(4, 0, 0, b"")].concat())
        .await
        .unwrap();
    socket.write_all(&frame(1, 0, 1, GET)).await.unwrap();
    // Each frame has a header of 8,000 bytes, and none ends the headers.
    let header = [&b"\x00\x01x\x7f\xc1\x3d"[..], &[b'y'; 8_000]].concat();
    let flood = async {
        let mut sent = 0;
        while socket.write_all(&frame(9, 0, 1, &header)).await.is_ok() {
            sent += header.len();
            assert!(sent < 64 << 20, "the server reads headers without an end");
        }
    };
    within("the connection is closed", flood).await;
}
