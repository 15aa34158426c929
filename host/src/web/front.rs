//! What stands before a service's routes, for one connection.
//!
//! In: a request. Out: the routes' answer. It tells the routes who the client is, where they ask; where
//! they do not, it looks at nothing and allocates nothing.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Request;
use tower_service::Service;

use super::client::TrustedHeader;

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

impl<S, B> Service<Request<B>> for Front<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

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
        self.inner.call(request)
    }
}
