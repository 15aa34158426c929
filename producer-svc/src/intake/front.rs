//! The counter that a request comes to first: purchases are served at once, all others are shown to
//! warp's filters.
//!
//! In: any request. Out: an answer. The filters would read a request's headers and path one by one
//! and carry them through nested futures, which costs a purchase more than everything else that is
//! done for it here; the figures stand in docs/decisions/0006.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Request;
use hyper::body::Body;
use tower_service::Service;
use warp::reply::Response;

use super::desk::Desk;
use super::routes::answer_buy;

/// Serves purchases itself and gives the rest of the requests to `others`.
#[derive(Clone)]
pub(super) struct Front<S> {
    desk: Arc<Desk>,
    others: S,
}

impl<S> Front<S> {
    pub(super) fn new(desk: Arc<Desk>, others: S) -> Self {
        Self { desk, others }
    }
}

/// Boxed, so that a connection's task is small: it is moved and kept for as long as the connection.
type Answer = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

impl<S, B> Service<Request<B>> for Front<S>
where
    S: Service<Request<B>, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Error + Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.others.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Answer {
        if is_buy(request.uri().path()) {
            Box::pin(answer_buy(Arc::clone(&self.desk), request))
        } else {
            Box::pin(self.others.call(request))
        }
    }
}

/// Below `/api` or not, with a slash at its end or not, as all other paths.
pub(super) fn is_buy(path: &str) -> bool {
    let path = path.strip_prefix("/api").unwrap_or(path);
    path == "/buy" || path == "/buy/"
}
