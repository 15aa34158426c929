//! A service that marks when a request begins and when its answer has ended.
//!
//! In: requests. Out: the inner service's answers, with `Connection: close` while
//! the server drains; or the server's own, where there is nothing to ask the service for, or where it
//! panicked. All of them carry what other origins are granted. Nothing is allocated.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::Service;
use pin_project_lite::pin_project;

use super::activity::{Activity, Busy};
use super::own::{self, Itself, Own, Theirs};
use super::received::Received;
use crate::panics::{Told, caught};
use crate::web::cors::Grant;

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
    B: From<Bytes>,
{
    type Response = Response<Answer<B>>;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let busy = self.activity.begin();
        let (own, theirs) = own::look(&request);
        let cors = busy.server().cors.as_ref();
        let grant = cors.map(|cors| cors.grant(request.method(), request.headers()));
        let request = request.map(|body| Received::new(body, &self.activity));
        let (inner, instead) = match own {
            Some(own) => (None, Some(Instead::Own(own))),
            None => match caught(|| self.inner.borrow_mut().call(request)) {
                Ok(inner) => (Some(inner), None),
                Err(told) => (None, Some(Instead::Panic(told))),
            },
        };
        Answering {
            inner,
            instead,
            theirs,
            grant,
            busy: Some(busy),
        }
    }
}

/// What takes the place of a handler's answer.
enum Instead {
    Own(Own),
    Panic(Told),
}

impl Instead {
    fn answer<B: From<Bytes>>(self, server: &Itself, theirs: &Theirs) -> Response<B> {
        match self {
            Self::Own(own) => own.answer(server, theirs),
            Self::Panic(told) => Own::panicked(told, server, theirs),
        }
    }
}

pin_project! {
    /// The answer's head is being made.
    pub(super) struct Answering<F> {
        #[pin]
        inner: Option<F>,
        instead: Option<Instead>,
        theirs: Theirs,
        grant: Option<Grant>,
        busy: Option<Busy>,
    }
}

impl<F, B, E> Future for Answering<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: From<Bytes>,
{
    type Output = Result<Response<Answer<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let answered = match (this.instead.take(), this.inner.as_mut().as_pin_mut()) {
            (Some(instead), _) => Err(instead),
            (None, Some(inner)) => match caught(|| inner.poll(cx)) {
                Ok(polled) => Ok(ready!(polled)?),
                Err(told) => {
                    // Nothing of it is used again; what it holds may panic, too.
                    drop(caught(|| this.inner.set(None)));
                    Err(Instead::Panic(told))
                }
            },
            // Polled after its end.
            (None, None) => return Poll::Pending,
        };
        let busy = this.busy.take();
        let mut response = match (answered, &busy) {
            (Ok(response), _) => response,
            (Err(instead), Some(busy)) => instead.answer(busy.server(), this.theirs),
            // The same.
            (Err(_), None) => return Poll::Pending,
        };
        if busy.as_ref().is_some_and(Busy::is_draining) {
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(grant) = this.grant.take() {
            grant.apply(response.headers_mut());
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
