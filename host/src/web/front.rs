//! What stands before a service's routes, for one connection.
//!
//! In: a request. Out: the routes' answer, with what other origins are granted. It tells the routes
//! who the client is, where they ask. With neither other origins nor a limit it looks at nothing and
//! allocates nothing.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::client::TrustedHeader;
use super::cors::{Cors, Grant};

/// Who sent a request: an extension of it, where clients are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client(pub IpAddr);

/// How a client's address is found.
#[derive(Clone, Debug)]
pub enum ClientRule {
    /// It is at the other end of the connection.
    Peer,
    /// It stands in a header.
    Header(TrustedHeader),
}

/// What is to be done before the routes.
#[derive(Clone, Debug, Default)]
pub struct FrontRules {
    /// Other origins.
    pub cors: Option<Arc<Cors>>,
    /// Who the client is, if the routes want to know.
    pub clients: Option<Arc<ClientRule>>,
    /// On which paths they do; on all without it.
    pub clients_on: Option<fn(&str) -> bool>,
}

impl FrontRules {
    /// These rules before this service, for a connection with this peer.
    pub fn before<S>(&self, service: S, peer: SocketAddr) -> Front<S> {
        Front {
            inner: service,
            rules: self.clone(),
            peer: peer.ip(),
        }
    }
}

/// A service with its front.
#[derive(Clone, Debug)]
pub struct Front<S> {
    inner: S,
    rules: FrontRules,
    peer: IpAddr,
}

impl<S, B, R> Service<Request<B>> for Front<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let wanted = |path| self.rules.clients_on.is_none_or(|wanted| wanted(path));
        if let Some(rule) = &self.rules.clients
            && wanted(request.uri().path())
        {
            let client = match &**rule {
                ClientRule::Peer => self.peer,
                ClientRule::Header(header) => header.client(self.peer, request.headers()),
            };
            request.extensions_mut().insert(Client(client));
        }
        let cors = self.rules.cors.as_ref();
        let grant = cors.map(|cors| cors.grant(request.method(), request.headers()));
        Answering {
            inner: self.inner.call(request),
            grant,
        }
    }
}

pin_project! {
    /// The answer's head is being made.
    pub struct Answering<F> {
        #[pin]
        inner: F,
        grant: Option<Grant>,
    }
}

impl<F, R, E> Future for Answering<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx))?;
        if let Some(grant) = this.grant.take() {
            grant.apply(response.headers_mut());
        }
        Poll::Ready(Ok(response))
    }
}

impl<F> std::fmt::Debug for Answering<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answering").finish_non_exhaustive()
    }
}
