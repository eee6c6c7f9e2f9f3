//! The body of an answer, passed on in parts.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Error;
use axum::body::Body;
use bytes::{Buf as _, Bytes};
use http_body::{Frame, SizeHint};

use super::watch::Open;
use crate::budget::Share;

/// Bytes of a part. The connection takes the next part when it has sent most of the one before.
const PART: usize = 8 << 10;

/// The body of an answer. While a client has not taken it, its bytes count towards the budget of all answers, and its connection has
/// a deadline.
pub(crate) struct Answer {
    inner: Body,
    /// What is left of the frame that `inner` returned last.
    rest: Bytes,
    _share: Share,
    _open: Open,
}

impl Answer {
    pub(crate) fn new(inner: Body, share: Share, open: Open) -> Self {
        Self {
            inner,
            rest: Bytes::new(),
            _share: share,
            _open: open,
        }
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        if this.rest.is_empty() {
            match Pin::new(&mut this.inner).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => this.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
        // A copy: the part may still wait in the connection when the share of the whole answer is given back.
        let part = this.rest.len().min(PART);
        let part = Bytes::copy_from_slice(&this.rest[..part]);
        this.rest.advance(part.len());
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let inner = self.inner.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}
