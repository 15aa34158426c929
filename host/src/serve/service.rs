//! A service that marks when a request begins and when its answer has ended.
//!
//! In: requests. Out: the inner service's answers, with `Connection: close` while
//! the server drains. Nothing is allocated.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::Service;
use pin_project_lite::pin_project;

use super::activity::{Activity, Busy};
use super::received::Received;

pub(super) struct Watched<S> {
    /// Lent out for the moment of a call. A clone for each request would count up and down whatever a
    /// service consists of, filters for instance, on all threads at once.
    inner: RefCell<S>,
    activity: Arc<Activity>,
}

impl<S> Watched<S> {
    pub(super) fn new(inner: S, activity: &Arc<Activity>) -> Self {
        Self {
            inner: RefCell::new(inner),
            activity: Arc::clone(activity),
        }
    }
}

impl<S, B> Service<Request<Incoming>> for Watched<S>
where
    S: tower_service::Service<Request<Received>, Response = Response<B>>,
{
    type Response = Response<Answer<B>>;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let busy = self.activity.begin();
        let request = request.map(|body| Received::new(body, &self.activity));
        Answering {
            inner: self.inner.borrow_mut().call(request),
            busy: Some(busy),
        }
    }
}

pin_project! {
    /// The answer's head is being made.
    pub(super) struct Answering<F> {
        #[pin]
        inner: F,
        busy: Option<Busy>,
    }
}

impl<F, B, E> Future for Answering<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<Answer<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx))?;
        let busy = this.busy.take();
        if busy.as_ref().is_some_and(Busy::is_draining) {
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(Ok(response.map(|body| Answer { body, busy })))
    }
}

pin_project! {
    /// The answer's body is being sent; `busy` is there to be dropped with it.
    pub(super) struct Answer<B> {
        #[pin]
        body: B,
        busy: Option<Busy>,
    }
}

impl<B: Body> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
