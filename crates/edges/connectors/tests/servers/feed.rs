//! What all local servers have in common: events that are sent over `WebSocket`s, and faults.

use std::collections::VecDeque;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tungstenite::http::StatusCode;
use tungstenite::{Message, WebSocket};

use crate::suite::Fault;

/// How long a reader may be behind.
pub(crate) const PATIENCE: Duration = Duration::from_millis(200);

/// The result of a connection. It ends with an error when the client closes it.
pub(crate) type Served = Result<(), Box<dyn std::error::Error>>;

/// Events with their numbers, and what happens to connections.
#[derive(Default)]
pub(crate) struct Feed {
    events: Mutex<Vec<(i64, String)>>,
    /// Wakes connections that wait for events.
    changed: Condvar,
    faults: Mutex<VecDeque<Fault>>,
    /// The query of each stream.
    queries: Mutex<Vec<String>>,
    is_stopped: AtomicBool,
}

/// A listener with a thread for each connection.
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    feed: Arc<Feed>,
    accepting: Option<JoinHandle<()>>,
}

impl Listening {
    pub(crate) fn start(
        feed: Arc<Feed>,
        serve: impl Fn(TcpStream) -> Served + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let of_thread = Arc::clone(&feed);
        let serve = Arc::new(serve);
        let accepting = std::thread::spawn(move || {
            let mut open: Vec<JoinHandle<()>> = Vec::new();
            for stream in listener.incoming() {
                if of_thread.is_stopped.load(Ordering::SeqCst) {
                    break;
                }
                for finished in open.extract_if(.., |connection| connection.is_finished()) {
                    finished.join().unwrap();
                }
                let serve = Arc::clone(&serve);
                open.push(std::thread::spawn(move || drop(serve(stream.unwrap()))));
            }
            for connection in open {
                connection.join().unwrap();
            }
        });
        Self {
            address,
            feed,
            accepting: Some(accepting),
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.feed.is_stopped.store(true, Ordering::SeqCst);
        self.feed.changed.notify_all();
        drop(TcpStream::connect(self.address));
        self.accepting.take().unwrap().join().unwrap();
    }
}

impl Feed {
    pub(crate) fn publish(&self, number: i64, event: String) {
        self.events.lock().push((number, event));
        self.changed.notify_all();
    }

    pub(crate) fn plan(&self, fault: Fault) {
        self.faults.lock().push_back(fault);
    }

    pub(crate) fn queries(&self) -> Vec<String> {
        self.queries.lock().clone()
    }

    pub(crate) fn events(&self) -> Vec<(i64, String)> {
        self.events.lock().clone()
    }

    /// Whether the server ends.
    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::SeqCst)
    }

    /// The next fault, which the connection that takes it has.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.faults.lock().pop_front()
    }

    /// Opens a WebSocket at `path`, unless the fault forbids it. Returns its query too.
    pub(crate) fn accept(
        &self,
        stream: TcpStream,
        path: &str,
        fault: Option<&Fault>,
    ) -> Result<(WebSocket<TcpStream>, String), Box<dyn std::error::Error>> {
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut query = String::new();
        #[expect(clippy::result_large_err, reason = "tungstenite's signature")]
        let answer = |request: &Request, response: Response| {
            assert_eq!(request.uri().path(), path);
            request.uri().query().unwrap_or_default().clone_into(&mut query);
            let Some(Fault::Status(status, wait)) = fault else {
                return Ok(response);
            };
            let mut refusal = ErrorResponse::new(Some("busy".to_owned()));
            *refusal.status_mut() = StatusCode::from_u16(*status).unwrap();
            if let Some(wait) = wait {
                let wait = wait.to_string().parse().unwrap();
                refusal.headers_mut().insert("retry-after", wait);
            }
            Err(refusal)
        };
        let accepted = tungstenite::accept_hdr(stream, answer).map_err(|error| error.to_string());
        self.queries.lock().push(query.clone());
        Ok((accepted?, query))
    }

    /// Notes the query of a stream that is not a `WebSocket`.
    pub(crate) fn note(&self, query: &str) {
        self.queries.lock().push(query.to_owned());
    }

    /// The place of the first event with this number or a higher one. `None` = behind the last event.
    pub(crate) fn place(&self, number: Option<i64>) -> usize {
        let events = self.events.lock();
        let newest = events.last().map_or(0, |(number, _)| *number);
        match number {
            Some(number) if number <= newest => events.partition_point(|(known, _)| *known < number),
            _ => events.len(),
        }
    }

    /// Sends the events from a place on, as far as `encode` wants them, until the connection ends.
    pub(crate) fn send(
        &self,
        socket: &mut WebSocket<TcpStream>,
        next: usize,
        fault: Option<&Fault>,
        encode: impl FnMut(String) -> Option<Message>,
    ) -> Served {
        self.send_over(&mut OverSocket { socket, encode }, next, fault)
    }

    /// Sends the events from a place on, until the connection ends.
    pub(crate) fn send_over(&self, wire: &mut dyn Wire, mut next: usize, fault: Option<&Fault>) -> Served {
        let mut sent = 0;
        loop {
            match fault {
                Some(Fault::CloseAfter(events)) if sent == *events => return wire.close(),
                Some(Fault::CutInFrame(events)) if sent == *events => return wire.cut(),
                Some(Fault::Silent(events)) if sent >= *events => {
                    // It lives, and sends nothing.
                    wire.live()?;
                    self.wait(usize::MAX);
                }
                _ => {
                    self.wait(next);
                    let event = self.events.lock().get(next).map(|(_, event)| event.clone());
                    match event {
                        // Notices that the client has gone.
                        None => wire.live()?,
                        Some(event) => {
                            next += 1;
                            if wire.send(event)? {
                                sent += 1;
                            }
                        }
                    }
                }
            }
            if self.is_stopped.load(Ordering::SeqCst) {
                return Ok(());
            }
        }
    }

    /// Waits a short time for the event at `place`.
    fn wait(&self, place: usize) {
        let mut events = self.events.lock();
        if place >= events.len() && !self.is_stopped.load(Ordering::SeqCst) {
            self.changed.wait_for(&mut events, Duration::from_millis(20));
        }
    }
}

/// How events reach a client.
pub(crate) trait Wire {
    /// Sends an event. Returns whether the client wants it.
    fn send(&mut self, event: String) -> Result<bool, Box<dyn std::error::Error>>;
    /// A sign of life.
    fn live(&mut self) -> Served;
    /// Ends in order.
    fn close(&mut self) -> Served;
    /// Ends within an event.
    fn cut(&mut self) -> Served;
}

struct OverSocket<'a, F> {
    socket: &'a mut WebSocket<TcpStream>,
    encode: F,
}

impl<F: FnMut(String) -> Option<Message>> Wire for OverSocket<'_, F> {
    fn send(&mut self, event: String) -> Result<bool, Box<dyn std::error::Error>> {
        let Some(message) = (self.encode)(event) else {
            return Ok(false);
        };
        self.socket.send(message)?;
        Ok(true)
    }

    fn live(&mut self) -> Served {
        Ok(self.socket.send(Message::Ping(Vec::new().into()))?)
    }

    fn close(&mut self) -> Served {
        self.socket.close(None)?;
        Ok(self.socket.flush()?)
    }

    fn cut(&mut self) -> Served {
        // A text of 4,096 bytes, of which two are sent.
        let bytes = [0x81, 0x7e, 0x10, 0x00, b'{', b'"'];
        Ok(self.socket.get_mut().write_all(&bytes)?)
    }
}
