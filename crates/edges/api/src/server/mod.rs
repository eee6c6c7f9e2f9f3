//! The connections of the API: how many there may be, what each may do, and when it is closed.
//!
//! ```text
//!  accept ──▶ Places (in all, per address) ──▶ TLS ──▶ HTTP/1.1 or HTTP/2 ──▶ router ──▶ Answer (in parts) ──▶ client
//!                 │ full: an idle one is closed               │ Watch: first request, idle, unread answer
//! ```
//!
//! hyper reads and writes HTTP. This module has what hyper leaves to its users: the number of connections, their deadlines, and the
//! bytes of answers that clients have not taken.

mod answer;
mod places;
mod tls;
mod watch;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch as signal;
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use self::answer::Answer;
use self::places::{Place, Places};
use self::watch::{Deadlines, Watched};
use crate::auth::Known;
use crate::budget::Budget;
use crate::descriptors;
use crate::meters::ApiMeters;
use crate::problem::Problem;
use crate::refusal::Refusal;
use crate::{Context, Settings, build};

pub use self::tls::{Tls, TlsError, TlsSettings};

/// The most bytes that one connection buffers, for a request's head and for parts of an answer.
const BUFFER: usize = 16 << 10;
/// The most bytes that the system keeps for a client that does not read. Its own limit is some megabytes.
const SEND_BUFFER: usize = 256 << 10;
/// HTTP/2: the most requests at a time, and bytes of all headers of one.
const STREAMS: u32 = 32;
const HEADERS: u32 = 16 << 10;
/// HTTP/2: bytes that a client may send before the server has read them, for a request and for a connection.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// HTTP/2: requests that a client may cancel before the server has seen them, and after that.
const RESETS: usize = 20;
/// How long to wait before the next attempt to accept a connection, when there are no file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves the API over `context` until `stop` is true, and then until the open requests have their answers.
pub async fn serve(
    listener: TcpListener,
    context: Context,
    tls: Option<Arc<Tls>>,
    mut stop: signal::Receiver<bool>,
) {
    let settings = context.settings.clone();
    let meters = context.meters.clone();
    let in_all = most_connections(&settings);
    // One address never takes all places.
    let of_address = settings.connections_per_address.min(in_all.div_ceil(2));
    let places = Arc::new(Places::new(in_all, of_address, Deadlines::of(&settings)));
    let (router, app) = build(context);
    let server = Arc::new(Server {
        router,
        answers: app.answers.clone(),
        http: http(&settings),
        meters: meters.clone(),
        tls,
        stop: stop.clone(),
    });
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                not_accepted(&error, &meters).await;
                continue;
            }
        };
        let place = match places.take(address.ip(), Instant::now()) {
            Ok(place) => place,
            Err(full) => {
                meters.refused.with_label_values(&[full.as_str()]).inc();
                continue;
            }
        };
        meters.connections.set(places.count() as i64);
        let _ = stream.set_nodelay(true);
        let _ = SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER);
        let (server, places) = (Arc::clone(&server), Arc::clone(&places));
        connections.spawn(async move {
            Arc::clone(&server).connection(stream, place).await;
            server.meters.connections.set(places.count() as i64);
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// The connections that the settings allow, if the limit of file descriptors does.
fn most_connections(settings: &Settings) -> usize {
    let wanted = settings.connections;
    let possible = descriptors::for_connections();
    if possible < wanted {
        tracing::warn!(
            possible,
            "api.connections = {wanted}, but the limit of file descriptors allows fewer: raise it (`ulimit -n`)"
        );
    }
    wanted.min(possible).max(1)
}

async fn not_accepted(error: &io::Error, meters: &ApiMeters) {
    if descriptors::are_missing(error) {
        meters.refused.with_label_values(&["descriptors"]).inc();
        tracing::error!(%error, "no connection can be accepted: the process has no file descriptors left");
        tokio::time::sleep(PAUSE).await;
    }
    // Other errors concern one connection that has ended already.
}

fn http(settings: &Settings) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.idle_timeout.get())
        .max_buf_size(BUFFER);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADERS)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(RESETS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(BUFFER);
    http
}

/// What all connections share.
struct Server {
    router: Router,
    answers: Budget,
    http: auto::Builder<TokioExecutor>,
    meters: ApiMeters,
    tls: Option<Arc<Tls>>,
    stop: signal::Receiver<bool>,
}

impl Server {
    async fn connection(self: Arc<Self>, stream: tokio::net::TcpStream, place: Place) {
        match &self.tls {
            None => self.drive(stream, &place).await,
            Some(tls) => {
                let limit = place.watch.next_look(Instant::now());
                tokio::select! {
                    stream = tls.accept(stream) => match stream {
                        Ok(stream) => self.drive(stream, &place).await,
                        Err(error) => tracing::debug!(%error, "no TLS connection"),
                    },
                    () = tokio::time::sleep_until(limit.into()) => self.closed("silent"),
                    () = place.watch.evicted() => self.closed("evicted"),
                }
            }
        }
    }

    /// Serves one connection until it ends or must be closed.
    async fn drive<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        self: &Arc<Self>,
        stream: S,
        place: &Place,
    ) {
        let watch = &place.watch;
        let service = {
            let (server, watch) = (Arc::clone(self), Arc::clone(watch));
            service_fn(move |request: Request<Incoming>| {
                let mut open = watch.begin();
                let server = Arc::clone(&server);
                async move {
                    let (known, response) = server.answer(request).await;
                    open.answer(Instant::now());
                    Ok::<_, Infallible>(server.in_parts(response, &known, open))
                }
            })
        };
        let stream = Watched::new(stream, Arc::clone(watch));
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let mut stop = self.stop.clone();
        let mut is_stopping = false;
        loop {
            tokio::select! {
                _ = connection.as_mut() => return,
                () = watch.evicted() => return self.closed("evicted"),
                () = tokio::time::sleep_until(watch.next_look(Instant::now()).into()) => {
                    if let Some(overdue) = watch.overdue(Instant::now()) {
                        return self.closed(overdue.as_str());
                    }
                }
                _ = stop.wait_for(|stop| *stop), if !is_stopping => {
                    is_stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }

    fn closed(&self, why: &str) {
        self.meters.closed.with_label_values(&[why]).inc();
    }

    async fn answer(&self, request: Request<Incoming>) -> (Known, Response) {
        let mut request = request.map(Body::new);
        let known = Known::default();
        request.extensions_mut().insert(known.clone());
        let response = self.router.clone().oneshot(request).await;
        (known, response.unwrap_or_else(|never| match never {}))
    }

    /// The answer in parts, if its bytes fit into the budget of answers.
    fn in_parts(&self, response: Response, known: &Known, open: watch::Open) -> Response {
        let owner = known.0.get().map_or("", |tenant| tenant.as_str());
        let mut share = self.answers.share_of(owner);
        let bytes = response.body().size_hint().exact().unwrap_or(0);
        let response = if share.grow(bytes) {
            response
        } else {
            let detail = "too many answers wait for their clients to read them: read those first, and retry after a second";
            let refused = Problem::busy(Refusal::Answers, detail).into_response();
            Refusal::count(&refused, &self.meters.requests_refused);
            refused
        };
        response.map(|body| Body::new(Answer::new(body, share, open)))
    }
}
