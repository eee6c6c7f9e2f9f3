//! The stream of an instance, by WebSocket or server-sent events.

use limbic_domain::Secret;
use reqwest::header::AUTHORIZATION;
use reqwest::{Response, Url};
use serde::Deserialize;

use super::component::{MastodonSettings, Transport};
use super::of_address;
use crate::ConnectorError;
use crate::http::Http;
use crate::socket::{Received, Socket};
use crate::sse::{Event, Events};

/// An open stream.
pub(super) enum Live {
    Socket(Box<Socket>),
    Events(Box<Stream>),
}

/// An open answer with events.
pub(super) struct Stream {
    answer: Response,
    events: Events,
}

/// What arrived.
pub(super) enum Arrived {
    Event {
        name: String,
        payload: String,
    },
    /// No event: nothing at all, a part of one, or a sign of life.
    Nothing,
}

/// A message of a WebSocket.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Message {
    event: String,
    payload: serde_json::Value,
    error: Option<String>,
}

impl Live {
    pub(super) fn open(
        settings: &MastodonSettings,
        address: &Url,
        http: &mut Http,
        name: &str,
    ) -> Result<Self, ConnectorError> {
        let mut address = address.clone();
        let is_encrypted = matches!(address.scheme(), "https" | "wss");
        let token = settings.token.as_ref().map(Secret::reveal);
        match settings.transport {
            Transport::Websocket => {
                let scheme = if is_encrypted { "wss" } else { "ws" };
                let address = with_scheme(&mut address, scheme, "/api/v1/streaming");
                let stream = settings.timeline.stream(settings.tag.is_some());
                address.query_pairs_mut().append_pair("stream", stream);
                if let Some(tag) = &settings.tag {
                    address.query_pairs_mut().append_pair("tag", tag);
                }
                let mut headers = Vec::new();
                if let Some(token) = token {
                    let value = format!("Bearer {token}").parse();
                    let mut value: reqwest::header::HeaderValue =
                        value.map_err(|error| of_address(name, format_args!("token: {error}")))?;
                    value.set_sensitive(true);
                    headers.push((AUTHORIZATION, value));
                }
                let socket = Socket::open(address.as_str(), &headers, name)?;
                Ok(Self::Socket(Box::new(socket)))
            }
            Transport::ServerSentEvents => {
                let scheme = if is_encrypted { "https" } else { "http" };
                let path = settings.timeline.path(settings.tag.is_some());
                let address = with_scheme(&mut address, scheme, path);
                if let Some(tag) = &settings.tag {
                    address.query_pairs_mut().append_pair("tag", tag);
                }
                let address = address.clone();
                let answer = http.stream(|client| {
                    let request = client.get(address).header("accept", "text/event-stream");
                    match token {
                        Some(token) => request.bearer_auth(token),
                        None => request,
                    }
                })?;
                Ok(Self::Events(Box::new(Stream {
                    answer,
                    events: Events::default(),
                })))
            }
        }
    }

    /// The next event. If `is_patient`, waits for half a second.
    pub(super) fn receive(&mut self, http: &mut Http, is_patient: bool) -> Result<Arrived, String> {
        match self {
            Self::Socket(socket) => match socket.receive(is_patient)? {
                Received::Text(text) => of_message(&text),
                Received::Binary(_) => Err("a message is not text".to_owned()),
                Received::Nothing => Ok(Arrived::Nothing),
            },
            Self::Events(stream) => {
                let Stream { answer, events } = &mut **stream;
                if let Some(event) = events.next() {
                    return Ok(of_event(event));
                }
                if let Some(bytes) = http.chunk(answer, is_patient)? {
                    events.push(&bytes)?;
                }
                Ok(events.next().map_or(Arrived::Nothing, of_event))
            }
        }
    }
}

/// `address` with another scheme and path, without a query. A scheme that cannot be changed stays.
fn with_scheme<'a>(address: &'a mut Url, scheme: &str, path: &str) -> &'a mut Url {
    let _ = address.set_scheme(scheme);
    address.set_path(path);
    address.set_query(None);
    address
}

fn of_event(event: Event) -> Arrived {
    Arrived::Event {
        name: event.name,
        payload: event.data,
    }
}

fn of_message(text: &str) -> Result<Arrived, String> {
    let message: Message =
        serde_json::from_str(text).map_err(|error| format!("a message is not JSON: {error}"))?;
    if let Some(error) = message.error {
        return Err(format!("the server reports an error: {error}"));
    }
    let payload = match message.payload {
        serde_json::Value::String(payload) => payload,
        serde_json::Value::Null => String::new(),
        other => other.to_string(),
    };
    Ok(Arrived::Event {
        name: message.event,
        payload,
    })
}
