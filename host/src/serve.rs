//! The accept loop for HTTP/1.1.
//!
//! In: a bound port and any tower service. Out: connections that are served with
//! limits on their number, their silence and their slowness, and a report of what
//! a shutdown had to cut. It knows no route.
//!
//! A ready-made server would leave out the time limits, the cap and the deadline;
//! each of them is what keeps a slow or hostile client from holding memory.

mod activity;
mod connection;
mod door;
mod head;
mod host;
mod io;
mod linger;
mod open;
mod own;
mod raw;
mod received;
mod service;
pub mod tls;
mod unfinished;

use std::fmt;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::FutureExt;
use http::{Request, Response};
use hyper::body::Body;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::exit::{Code, Failure};
use crate::metrics;
use crate::trace::Ids;
use crate::web::cors::Cors;
use open::Open;
use own::Itself;

pub use door::Door;
pub use own::{Own, own};
pub use received::{Received, Unread};
pub use tls::Tls;

/// Any error of a service or a body; hyper logs nothing of it, the service does.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How much a client may take of this process.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once. Beyond it, the ones that are silent for longest, or whose requests' bodies
    /// are waited for, make room for new ones; where all are being answered, new ones wait in the
    /// kernel's queue.
    pub connections: usize,
    /// How long a connection must have been silent before it makes room for another.
    pub spared: Duration,
    /// From the first byte of a request to the end of its head; on a new
    /// connection, from its opening.
    pub header: Duration,
    /// Between requests. Longer than any proxy before us keeps idle connections
    /// (nginx: 60 s), else it would send a request into a closing connection.
    pub idle: Duration,
    /// While the client takes nothing of an answer.
    pub write: Duration,
    /// How long a shutdown leaves idle connections open for the request that may be
    /// on its way; its answer then says `Connection: close`.
    pub linger: Duration,
    /// Read buffer per connection in bytes, at least 8192. A head beyond it is refused; as it may be
    /// filled once more by the last read, one connection takes twice this at most.
    pub buffer: usize,
    /// Bytes that all connections together may have sent of heads, bodies and handshakes that are not
    /// here as a whole. Beyond it, whoever adds to more than 4 KiB of his own is closed.
    pub unfinished: usize,
}

impl Limits {
    /// What most servers are well with.
    pub const DEFAULT: Self = Self {
        connections: 4096,
        spared: Duration::from_secs(1),
        header: Duration::from_secs(10),
        idle: Duration::from_secs(75),
        write: Duration::from_secs(30),
        linger: Duration::from_millis(250),
        buffer: 16 * 1024,
        unfinished: 8 * 1024 * 1024,
    };

    /// For whom a server with [`Limits::DEFAULT`] asks on behalf of its clients. That passes heads on and adds
    /// to them, and may take twice its buffer: what it takes is not to be refused behind it.
    pub const BEHIND: Self = Self {
        buffer: 40 * 1024,
        ..Self::DEFAULT
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Connections that the kernel keeps while we accept none.
const BACKLOG: u32 = 1024;
/// How long to leave a listener alone that has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often to look for room while somebody waits for it.
const ROOM_EVERY: Duration = Duration::from_millis(100);

/// The port cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr}: {source}; set {variable} to an address that is free")]
pub struct BindError {
    addr: SocketAddr,
    variable: &'static str,
    source: std::io::Error,
}

impl From<BindError> for Failure {
    fn from(error: BindError) -> Self {
        Failure::new(Code::Unavailable, error.to_string())
    }
}

/// What a shutdown met and what it had to cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ServeReport {
    /// Connections accepted since the start.
    pub accepted: u64,
    /// Connections open when the shutdown began.
    pub open: usize,
    /// Of these, how many had a request being answered.
    pub busy: usize,
    /// Connections whose clients did not take their answers in the time that a shutdown leaves for it.
    pub untaken: usize,
    /// Connections that the deadline cut.
    pub cut: usize,
}

impl fmt::Display for ServeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            accepted,
            open,
            busy,
            untaken,
            cut,
        } = self;
        write!(
            f,
            "{accepted} connections accepted, {open} open at shutdown ({busy} busy), {untaken} with an answer that was not taken, {cut} cut"
        )
    }
}

/// A bound port that is not served yet.
#[derive(Debug)]
pub struct Server {
    itself: Itself,
    listener: TcpListener,
    addr: SocketAddr,
    limits: Limits,
    tls: Option<Tls>,
}

impl Server {
    /// Takes the port, inside the runtime. `name` is its label in the metrics,
    /// `variable` what an operator changes if the port is taken.
    pub fn bind(
        name: &'static str,
        addr: SocketAddr,
        variable: &'static str,
        limits: Limits,
    ) -> Result<Self, BindError> {
        let listen = || {
            let socket = if addr.is_ipv4() {
                TcpSocket::new_v4()
            } else {
                TcpSocket::new_v6()
            }?;
            // A restart must not wait for the old connections' last minutes.
            socket.set_reuseaddr(true)?;
            socket.bind(addr)?;
            let listener = socket.listen(BACKLOG)?;
            let addr = listener.local_addr()?;
            let ids = Arc::new(Ids::new().map_err(std::io::Error::other)?);
            Ok(Self {
                itself: Itself {
                    name,
                    ids,
                    cors: None,
                },
                listener,
                addr,
                limits,
                tls: None,
            })
        };
        listen().map_err(|source| BindError {
            addr,
            variable,
            source,
        })
    }

    /// Speaks TLS, and nothing else, if there is something to show.
    #[must_use]
    pub fn tls(self, tls: Option<Tls>) -> Self {
        Self { tls, ..self }
    }

    /// Pages of these origins may read every answer, those of the server itself, too.
    #[must_use]
    pub fn cors(mut self, cors: Option<Cors>) -> Self {
        self.itself.cors = cors;
        self
    }

    /// The address that was taken; tells the port where port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// What gives a request its id, where that has none.
    pub(crate) fn ids(&self) -> Arc<Ids> {
        Arc::clone(&self.itself.ids)
    }

    /// Serves until `shutdown`, then finishes what was begun, but for no longer than
    /// `deadline`. The service is called without being asked whether it is ready: on a connection one
    /// request follows the other, and what it cannot take at present it is to answer so. It sees only
    /// requests with a path and with no more than one `Host`; where it panics, the answer is a 500.
    pub async fn run<S, B>(
        self,
        service: S,
        shutdown: CancellationToken,
        deadline: Duration,
    ) -> ServeReport
    where
        S: tower_service::Service<Request<Received>, Response = Response<B>>
            + Clone
            + Send
            + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: Body + From<Bytes> + Send + 'static,
        B::Data: Buf + Send,
        B::Error: Into<BoxError>,
    {
        self.run_for(move |_| service.clone(), shutdown, deadline)
            .await
    }

    /// As [`Server::run`], with a service for each connection, made for its peer.
    pub async fn run_for<S, B>(
        self,
        service: impl Fn(SocketAddr) -> S,
        shutdown: CancellationToken,
        deadline: Duration,
    ) -> ServeReport
    where
        S: tower_service::Service<Request<Received>, Response = Response<B>>
            + Clone
            + Send
            + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: Body + From<Bytes> + Send + 'static,
        B::Data: Buf + Send,
        B::Error: Into<BoxError>,
    {
        let name = self.itself.name;
        metrics::server_opened(name);
        let mut open = Open::new(Arc::new(self.itself), self.limits, self.tls);
        let mut complaints = Complaints::default();
        // One more than may be open: who comes to a full house is the reason to look who may go.
        let mut waiting: Option<(TcpStream, SocketAddr)> = None;
        loop {
            if open.count() < self.limits.connections
                && let Some((stream, peer)) = waiting.take()
            {
                open.serve(stream, service(peer));
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some(ended) = open.ended(), if open.count() > 0 => open.forget(&ended),
                accepted = self.listener.accept(), if waiting.is_none() => match accepted {
                    Ok((stream, peer)) if open.count() < self.limits.connections => open.serve(stream, service(peer)),
                    Ok(guest) => {
                        open.make_room();
                        waiting = Some(guest);
                    }
                    Err(error) if is_one_connection(error.kind()) => metrics::accept_failed(name),
                    Err(error) => {
                        metrics::accept_failed(name);
                        complaints.complain(name, &error);
                        // Those that are idle hold what is missing.
                        open.make_room();
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                () = tokio::time::sleep(ROOM_EVERY), if waiting.is_some() => open.make_room(),
            }
        }
        // Clients whose connection the kernel has already completed would see a
        // reset; they get the same last chance as the idle ones.
        if let Some((stream, peer)) = waiting {
            open.serve(stream, service(peer));
        }
        while open.count() < self.limits.connections
            && let Some(Ok((stream, peer))) = self.listener.accept().now_or_never()
        {
            open.serve(stream, service(peer));
        }
        drop(self.listener);
        open.drain(deadline).await
    }
}

/// Errors that concern the one connection and not the listener.
fn is_one_connection(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::Interrupted
    )
}

/// Says that nothing can be accepted, but not ten times a second.
#[derive(Default)]
struct Complaints {
    last: Option<Instant>,
    unsaid: u64,
}

impl Complaints {
    fn complain(&mut self, server: &'static str, error: &std::io::Error) {
        self.unsaid += 1;
        if self
            .last
            .is_none_or(|last| last.elapsed() >= Duration::from_secs(1))
        {
            tracing::error!(server, %error, times = self.unsaid, "cannot accept connections");
            (self.last, self.unsaid) = (Some(Instant::now()), 0);
        }
    }
}
