//! The deadlines of one connection.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use crate::Settings;

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// No request began in time. A half-sent header is not a request.
    Silent,
    /// The client does not take an answer.
    Unread,
}

impl Overdue {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Unread => "unread",
        }
    }
}

/// How long a connection may do what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadlines {
    first_request: Duration,
    idle: Duration,
    answer: Duration,
}

impl Deadlines {
    pub(crate) fn of(settings: &Settings) -> Self {
        Self {
            first_request: settings.stall_timeout.get(),
            idle: settings.idle_timeout.get(),
            answer: settings.answer_timeout.get(),
        }
    }
}

/// What one connection does, so that it can be closed when it does nothing.
#[derive(Debug)]
pub(crate) struct Watch {
    deadlines: Deadlines,
    state: Mutex<State>,
    /// Another connection needs its place.
    evicted: Notify,
}

#[derive(Debug)]
struct State {
    /// Requests that have begun and whose answers are not passed on completely.
    open: usize,
    /// Since when there is none.
    idle_since: Instant,
    had_request: bool,
    /// The answers that are being passed on, with the time when that began.
    answers: BTreeMap<u64, Instant>,
    next_answer: u64,
    /// Since when the client takes no bytes, although there are some.
    blocked_since: Option<Instant>,
}

impl State {
    /// Since when the client has not taken what it should.
    fn unread_since(&self) -> Option<Instant> {
        let oldest = self.answers.values().min().copied();
        oldest.into_iter().chain(self.blocked_since).min()
    }
}

impl Watch {
    pub(crate) fn new(deadlines: Deadlines, now: Instant) -> Self {
        Self {
            deadlines,
            state: Mutex::new(State {
                open: 0,
                idle_since: now,
                had_request: false,
                answers: BTreeMap::new(),
                next_answer: 0,
                blocked_since: None,
            }),
            evicted: Notify::new(),
        }
    }

    /// A request begins.
    pub(crate) fn begin(self: &Arc<Self>) -> Open {
        let mut state = self.lock();
        state.open += 1;
        state.had_request = true;
        Open {
            watch: Arc::clone(self),
            answer: None,
        }
    }

    /// The deadline that has passed, if one has.
    pub(crate) fn overdue(&self, now: Instant) -> Option<Overdue> {
        let state = self.lock();
        if state
            .unread_since()
            .is_some_and(|since| now.duration_since(since) >= self.deadlines.answer)
        {
            return Some(Overdue::Unread);
        }
        let is_silent = state.open == 0 && now.duration_since(state.idle_since) >= self.silence(&state);
        is_silent.then_some(Overdue::Silent)
    }

    /// When to look again. No deadline passes before.
    pub(crate) fn next_look(&self, now: Instant) -> Instant {
        let state = self.lock();
        let answer = state.unread_since().unwrap_or(now) + self.deadlines.answer;
        let idle = if state.open == 0 {
            state.idle_since + self.silence(&state)
        } else {
            now + self.deadlines.idle
        };
        answer.min(idle)
    }

    /// The client took bytes, or none although there are some. The end of an answer can wait in the connection when the answer counts
    /// as passed on.
    fn wrote(&self, is_blocked: bool) {
        let mut state = self.lock();
        if is_blocked {
            state.blocked_since.get_or_insert_with(Instant::now);
        } else {
            state.blocked_since = None;
        }
    }

    /// Since when the connection has no request. `None` = it has one.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let state = self.lock();
        (state.open == 0).then_some(state.idle_since)
    }

    /// Closes the connection, because another one needs its place.
    pub(crate) fn evict(&self) {
        self.evicted.notify_one();
    }

    /// Returns when the connection is evicted.
    pub(crate) async fn evicted(&self) {
        self.evicted.notified().await;
    }

    fn silence(&self, state: &State) -> Duration {
        if state.had_request {
            self.deadlines.idle
        } else {
            self.deadlines.first_request
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request, until its answer is passed on completely.
#[derive(Debug)]
pub(crate) struct Open {
    watch: Arc<Watch>,
    answer: Option<u64>,
}

impl Open {
    /// The answer is ready, and the client should take it.
    pub(crate) fn answer(&mut self, now: Instant) {
        let mut state = self.watch.lock();
        let number = state.next_answer;
        state.next_answer += 1;
        state.answers.insert(number, now);
        self.answer = Some(number);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = self.watch.lock();
        if let Some(number) = self.answer {
            state.answers.remove(&number);
        }
        state.open -= 1;
        if state.open == 0 {
            state.idle_since = Instant::now();
        }
    }
}

/// A stream whose writes are watched.
#[derive(Debug)]
pub(crate) struct Watched<S> {
    stream: S,
    watch: Arc<Watch>,
}

impl<S> Watched<S> {
    pub(crate) const fn new(stream: S, watch: Arc<Watch>) -> Self {
        Self { stream, watch }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch.wrote(written.is_pending());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.watch.wrote(written.is_pending());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_closed_when_it_is_silent_or_does_not_take_an_answer() {
        let second = Duration::from_secs;
        let deadlines = Deadlines {
            first_request: second(1),
            idle: second(10),
            answer: second(5),
        };
        let start = Instant::now();
        let watch = Arc::new(Watch::new(deadlines, start));
        assert_eq!(watch.overdue(start), None);
        assert!(watch.next_look(start) <= start + second(1));
        assert_eq!(
            watch.overdue(start + second(1)),
            Some(Overdue::Silent),
            "no first request"
        );

        let mut request = watch.begin();
        assert_eq!(watch.idle_since(), None);
        assert_eq!(
            watch.overdue(start + second(1_000)),
            None,
            "the handler has its own limit"
        );
        request.answer(start);
        assert!(watch.next_look(start) <= start + second(5));
        assert_eq!(watch.overdue(start + second(4)), None);
        assert_eq!(watch.overdue(start + second(5)), Some(Overdue::Unread));
        drop(request);

        watch.wrote(true);
        let blocked = watch.lock().blocked_since.unwrap();
        watch.wrote(true);
        assert_eq!(watch.overdue(blocked + second(4)), None);
        assert_eq!(
            watch.overdue(blocked + second(5)),
            Some(Overdue::Unread),
            "the end of an answer that was passed on is not taken"
        );
        watch.wrote(false);

        let ended = watch.idle_since().unwrap();
        assert_eq!(watch.overdue(ended + second(9)), None, "it had a request");
        assert_eq!(watch.overdue(ended + second(10)), Some(Overdue::Silent));
    }
}
