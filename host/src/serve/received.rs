//! A request's body, as services read it.
//!
//! In: the frames of the body as they come. Out: the same frames, and to the connection's activity
//! when it is waited for and when it is over. A body that was there at once, as nearly all are,
//! costs no look at the clock.
//!
//! While the server drains, what is still missing is waited for a little and no more: no stranger decides how long
//! a shutdown takes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::activity::Activity;

/// Why a body does not come whole.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// The server shuts down, and the rest did not come in the 2 s, at most a quarter of the shutdown, that it has then.
    #[error("the server shuts down and waits no longer for the rest of the body")]
    Late,
    /// The connection broke, or what came is no body.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
}

/// The body of a request to a [`Server`](super::Server).
#[derive(Debug)]
pub struct Received {
    body: Incoming,
    /// Until its end.
    open: Option<Arc<Activity>>,
    waits: bool,
}

impl Received {
    pub(super) fn new(body: Incoming, activity: &Arc<Activity>) -> Self {
        let open = (!body.is_end_stream()).then(|| Arc::clone(activity));
        if open.is_some() {
            activity.body_begins();
        } else {
            activity.whole();
        }
        Self {
            body,
            open,
            waits: false,
        }
    }

    fn over(&mut self, whole: bool) {
        if let Some(activity) = self.open.take() {
            activity.body_ends(whole);
        }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = Unread;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Unread>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Pending if !self.waits => {
                self.waits = true;
                if let Some(activity) = &self.open {
                    activity.body_waits();
                }
            }
            // The connection's own look at its limits comes by here.
            Poll::Pending if self.open.as_deref().is_some_and(Activity::is_body_late) => {
                self.over(false);
                return Poll::Ready(Some(Err(Unread::Late)));
            }
            Poll::Pending | Poll::Ready(Some(Ok(_))) => {}
            Poll::Ready(None) => self.over(true),
            Poll::Ready(Some(Err(_))) => self.over(false),
        }
        polled.map_err(Unread::Broken)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Received {
    /// The service needs no more of it to answer.
    fn drop(&mut self) {
        let whole = self.body.is_end_stream();
        self.over(whole);
    }
}
