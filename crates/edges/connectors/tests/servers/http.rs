//! Requests and answers of HTTP/1.1, as far as local servers need them. Every connection has one request.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use super::feed::Served;

/// The most bytes of a head.
const LONGEST_HEAD: usize = 16 << 10;

#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    /// With names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A parameter of the query, decoded.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        parameter(&self.query, name)
    }

    /// A field of a form in the body, decoded.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        parameter(&String::from_utf8_lossy(&self.body), name)
    }
}

fn parameter(pairs: &str, name: &str) -> Option<String> {
    let value = pairs.split('&').find_map(|pair| {
        let (known, value) = pair.split_once('=')?;
        (known == name).then_some(value)
    })?;
    let value = value.replace('+', " ");
    Some(
        percent_encoding::percent_decode_str(&value)
            .decode_utf8()
            .unwrap()
            .into_owned(),
    )
}

/// Whether the request that arrives asks for a `WebSocket`. Its bytes stay in the stream.
pub(crate) fn is_upgrade(stream: &TcpStream) -> std::io::Result<bool> {
    let mut bytes = vec![0; LONGEST_HEAD];
    loop {
        let there = stream.peek(&mut bytes)?;
        let head = String::from_utf8_lossy(&bytes[..there]).to_ascii_lowercase();
        if head.contains("\r\n\r\n") || there == 0 || there == LONGEST_HEAD {
            return Ok(head.contains("\r\nupgrade: websocket"));
        }
    }
}

pub(crate) fn read(stream: &TcpStream) -> Result<Request, Box<dyn std::error::Error>> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut parts = line.split(' ');
    let method = parts.next().unwrap_or_default().to_owned();
    let target = parts.next().ok_or("no target")?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        ..Request::default()
    };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        let header = (name.to_ascii_lowercase(), value.trim().to_owned());
        request.headers.push(header);
    }
    let length = request.header("content-length").map_or(Ok(0), str::parse)?;
    request.body.resize(length, 0);
    reader.read_exact(&mut request.body)?;
    Ok(request)
}

/// Writes an answer, and ends the connection.
pub(crate) fn answer(mut stream: &TcpStream, status: u16, headers: &[(&str, String)], body: &[u8]) -> Served {
    let mut head = format!(
        "HTTP/1.1 {status} As documented\r\ncontent-length: {}\r\nconnection: close\r\n",
        body.len()
    );
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    // A client that has enough may close before it has everything.
    stream.write_all(body)?;
    Ok(())
}

/// Sends a request to an address as `http://HOST/PATH?QUERY`, and returns the status and the body of the answer.
pub(crate) fn send(
    method: &str,
    address: &str,
    headers: &[(&str, String)],
    body: &[u8],
) -> Result<(u16, Vec<u8>), Box<dyn std::error::Error>> {
    let rest = address.strip_prefix("http://").ok_or("not http")?;
    let (host, target) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(host)?;
    let mut head = format!(
        "{method} /{target} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {}\r\nconnection: close\r\n",
        body.len()
    );
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .ok_or("no head")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
    Ok((status, answer.split_off(end + 4)))
}
