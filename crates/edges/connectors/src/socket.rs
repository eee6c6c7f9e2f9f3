//! A WebSocket to a server that sends events.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use limbic_domain::ConnectionUrl;
use tungstenite::client::IntoClientRequest as _;
use tungstenite::handshake::HandshakeError;
use tungstenite::http::{HeaderName, HeaderValue};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Bytes, Error, Message, Utf8Bytes, WebSocket};

use crate::http::{answered, refused, unavailable};
use crate::{ConnectorError, Failure};

/// How long a pull waits for the first message.
const WAIT: Duration = Duration::from_millis(500);
/// How long opening a connection may take, and sending a message.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest message, in bytes.
pub(crate) const LONGEST: usize = 4 << 20;

/// An open WebSocket.
pub(crate) struct Socket {
    inner: WebSocket<MaybeTlsStream<Timed>>,
}

/// What arrived.
#[derive(Debug)]
pub(crate) enum Received {
    Text(Utf8Bytes),
    Binary(Bytes),
    /// No event: nothing at all, a part of a message, or a sign of life.
    Nothing,
}

/// A stream whose reads end at a given time, although bytes of an incomplete message arrive until then.
#[derive(Debug)]
struct Timed {
    stream: TcpStream,
    until: Instant,
}

impl Read for Timed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            self.stream.set_nonblocking(true)?;
            let read = self.stream.read(into);
            self.stream.set_nonblocking(false)?;
            return read;
        }
        self.stream.set_read_timeout(Some(left))?;
        self.stream.read(into)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl Socket {
    /// Opens a WebSocket at `address`, which is the whole URL with its query. `name` is the source, for people.
    pub(crate) fn open(
        address: &str,
        headers: &[(HeaderName, HeaderValue)],
        name: &str,
    ) -> Result<Self, ConnectorError> {
        let refused = |detail: String| refused(name, detail);
        let shown = ConnectionUrl::new(address);
        let mut request = address
            .into_client_request()
            .map_err(|error| refused(format!("{shown} is not the URL of a WebSocket: {error}")))?;
        for (header, value) in headers {
            request.headers_mut().insert(header.clone(), value.clone());
        }
        let uri = request.uri();
        let host = uri
            .host()
            .ok_or_else(|| refused(format!("{shown} names no host")))?
            .to_owned();
        let is_encrypted = uri.scheme_str() == Some("wss");
        let port = uri.port_u16().unwrap_or(if is_encrypted { 443 } else { 80 });
        let unavailable = |detail: String| unavailable(name, detail, Failure::Connection, None);
        let stream = connect(&host, port).map_err(|error| unavailable(format!("{shown}: {error}")))?;
        let timed = Timed {
            stream,
            until: Instant::now() + PATIENCE,
        };
        let config = WebSocketConfig::default()
            .max_message_size(Some(LONGEST))
            .max_frame_size(Some(LONGEST));
        match tungstenite::client_tls_with_config(request, timed, Some(config), None) {
            Ok((inner, _)) => Ok(Self { inner }),
            Err(HandshakeError::Interrupted(_)) => {
                let patience = PATIENCE.as_secs();
                Err(unavailable(format!("no answer to the handshake in {patience} s")))
            }
            Err(HandshakeError::Failure(Error::Http(answer))) => {
                let body = answer.body().as_deref().unwrap_or_default();
                Err(answered(name, answer.status().as_u16(), answer.headers(), body))
            }
            Err(HandshakeError::Failure(error)) => Err(unavailable(error.to_string())),
        }
    }

    /// The next message. If `is_patient`, it waits for its first byte and the rest of it, half a second in all.
    pub(crate) fn receive(&mut self, is_patient: bool) -> Result<Received, String> {
        let now = Instant::now();
        self.timed().until = if is_patient { now + WAIT } else { now };
        match self.inner.read() {
            Ok(Message::Text(text)) => Ok(Received::Text(text)),
            Ok(Message::Binary(bytes)) => Ok(Received::Binary(bytes)),
            Ok(Message::Close(frame)) => Err(match frame {
                Some(frame) => format!(
                    "the server closed the connection: {} {}",
                    frame.code, frame.reason
                ),
                None => "the server closed the connection".to_owned(),
            }),
            Ok(_) => Ok(Received::Nothing),
            Err(Error::Io(error))
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
                ) =>
            {
                Ok(Received::Nothing)
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// Sends a message.
    pub(crate) fn send(&mut self, text: String) -> Result<(), String> {
        self.inner
            .send(Message::Text(text.into()))
            .map_err(|error| error.to_string())
    }

    fn timed(&mut self) -> &mut Timed {
        match self.inner.get_mut() {
            MaybeTlsStream::NativeTls(stream) => stream.get_mut(),
            MaybeTlsStream::Plain(stream) => stream,
            _ => unreachable!("the stream is encrypted by the platform's library, or plain"),
        }
    }
}

/// Connects to the first address of the host that answers.
fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    // An IPv6 address is in brackets in a URL, and nowhere else.
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
