//! One connection, from accept to close.
//!
//! In: a socket and a service. Out: nothing; it ends by itself, by a limit, by the
//! drain, or by being dropped at the drain's deadline.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http::{Request, Response};
use hyper::body::Body;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use tokio_rustls::TlsAcceptor;

use super::activity::{Activity, Verdict, look_every};
use super::head::Beginning;
use super::io::Observed;
use super::raw::Raw;
use super::received::Received;
use super::service::Watched;
use super::{BoxError, Limits};
use crate::metrics;

/// What a connection has of its server.
pub(super) struct Site {
    pub(super) server: &'static str,
    pub(super) activity: Arc<Activity>,
    pub(super) limits: Limits,
}

/// Serves a plain connection, and says why it ended.
pub(super) async fn serve<S, B>(site: Site, stream: TcpStream, service: S) -> &'static str
where
    S: tower_service::Service<Request<Received>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + From<Bytes> + Send + 'static,
    B::Data: Buf + Send,
    B::Error: Into<BoxError>,
{
    let mut open = OpenMark::new(site.server);
    quickly(&stream, &site);
    open.reason = speak(Raw::new(stream, &site.activity), service, &site).await;
    open.reason
}

/// Serves a connection that begins with a handshake. Its time counts as the first head's.
pub(super) async fn serve_tls<S, B>(
    site: Site,
    stream: TcpStream,
    acceptor: TlsAcceptor,
    service: S,
) -> &'static str
where
    S: tower_service::Service<Request<Received>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + From<Bytes> + Send + 'static,
    B::Data: Buf + Send,
    B::Error: Into<BoxError>,
{
    let mut open = OpenMark::new(site.server);
    quickly(&stream, &site);
    let mut secured = None;
    let handshake = Handshake {
        accept: acceptor.accept(Raw::new(stream, &site.activity)),
        secured: &mut secured,
        over: false,
    };
    open.reason = drive(pin!(handshake), &site.activity, &site.limits).await;
    if let Some(stream) = secured {
        site.activity.whole();
        open.reason = speak(stream, service, &site).await;
    }
    open.reason
}

fn quickly(stream: &TcpStream, site: &Site) {
    if let Err(error) = stream.set_nodelay(true) {
        let server = site.server;
        tracing::debug!(server, %error, "a connection was gone before it was served");
    }
}

async fn speak<T, S, B>(stream: T, service: S, site: &Site) -> &'static str
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: tower_service::Service<Request<Received>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + From<Bytes> + Send + 'static,
    B::Data: Buf + Send,
    B::Error: Into<BoxError>,
{
    let mut first = First {
        stream,
        beginning: Beginning::default(),
        over: false,
    };
    let ended = drive(Pin::new(&mut first), &site.activity, &site.limits).await;
    if ended != FINISHED {
        return ended;
    }
    let first_bytes = first.beginning.into_bytes();
    let io = TokioIo::new(first.stream);
    let io = Observed::new(io, first_bytes, Arc::clone(&site.activity));
    let service = Watched::new(service, &site.activity);
    // In a box, so that a connection without a request takes no room for it.
    let mut spoken = Box::pin(Spoken {
        server: site.server,
        connection: http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .max_buf_size(site.limits.buffer)
            .serve_connection(io, service),
    });
    drive(spoken.as_mut(), &site.activity, &site.limits).await
}

/// It ended by itself, and not by a limit or an error.
const FINISHED: &str = "finished";

/// What is driven under the limits.
trait Driven {
    /// Goes on; how it ended.
    fn poll_on(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<&'static str>;

    /// Ends as soon as nothing is under way.
    fn finish(self: Pin<&mut Self>);
}

/// What comes before there is something to parse. A connection that is to end gets no further, but what
/// it sent is answered.
struct First<T> {
    stream: T,
    beginning: Beginning,
    over: bool,
}

pin_project! {
    /// A connection that speaks HTTP.
    struct Spoken<C> {
        server: &'static str,
        #[pin]
        connection: C,
    }
}

pin_project! {
    /// A handshake, and where its stream is put.
    struct Handshake<'a, F, T> {
        #[pin]
        accept: F,
        secured: &'a mut Option<T>,
        over: bool,
    }
}

impl<T: AsyncRead + Unpin> Driven for First<T> {
    fn poll_on(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<&'static str> {
        let this = self.get_mut();
        if this.over {
            return Poll::Ready(FINISHED);
        }
        let read = this.beginning.poll_read(&mut this.stream, cx);
        read.map(|read| match read {
            Ok(()) => FINISHED,
            Err(error) => broken(&error),
        })
    }

    fn finish(self: Pin<&mut Self>) {
        self.get_mut().over = true;
    }
}

impl<C: GracefulConnection<Error = hyper::Error>> Driven for Spoken<C> {
    fn poll_on(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<&'static str> {
        let this = self.project();
        this.connection.poll(cx).map(|ended| match ended {
            Ok(()) => FINISHED,
            Err(error) => {
                if let Some(status) = refused_with(&error) {
                    metrics::head_refused(this.server, status);
                }
                broken(&error)
            }
        })
    }

    fn finish(self: Pin<&mut Self>) {
        self.project().connection.graceful_shutdown();
    }
}

impl<T, F: Future<Output = std::io::Result<T>>> Driven for Handshake<'_, F, T> {
    fn poll_on(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<&'static str> {
        let this = self.project();
        if *this.over {
            return Poll::Ready(FINISHED);
        }
        this.accept.poll(cx).map(|ended| match ended {
            Ok(stream) => {
                **this.secured = Some(stream);
                FINISHED
            }
            Err(error) => {
                tracing::debug!(%error, "a handshake failed");
                "handshake"
            }
        })
    }

    fn finish(self: Pin<&mut Self>) {
        *self.project().over = true;
    }
}

fn broken(error: &dyn Error) -> &'static str {
    tracing::debug!(%error, "a connection broke");
    "error"
}

/// What the parser answered by itself, if it did: no service was asked, and none counted it.
fn refused_with(error: &hyper::Error) -> Option<&'static str> {
    if error.is_parse_too_large() {
        return Some("431");
    }
    (error.is_parse() && !error.is_parse_version_h2()).then_some("400")
}

/// Goes on to the end and says why it ended.
async fn drive<D: Driven>(
    mut driven: Pin<&mut D>,
    activity: &Activity,
    limits: &Limits,
) -> &'static str {
    let mut alarm = pin!(sleep_until(Instant::now() + look_every(limits)));
    let (mut draining, mut finishing) = (false, false);
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(ended) = driven.as_mut().poll_on(cx) {
                return Poll::Ready(ended);
            }
            // Before the flags are read: a drain that begins now wakes us again.
            activity.register(cx.waker());
            if activity.goes() {
                return Poll::Ready("made_room");
            }
            if activity.is_too_much() {
                return Poll::Ready("unfinished");
            }
            if !finishing && activity.is_draining() {
                match activity.lingers_until() {
                    None => {
                        finishing = true;
                        driven.as_mut().finish();
                        // Other limits hold from now on.
                        alarm.as_mut().reset(Instant::now());
                        continue;
                    }
                    Some(until) if !draining => {
                        draining = true;
                        let next = until.min(alarm.deadline());
                        alarm.as_mut().reset(next);
                    }
                    Some(_) => {}
                }
            }
            if alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            match activity.verdict(limits) {
                Verdict::Close(reason) => return Poll::Ready(reason),
                Verdict::Until(next) => {
                    let lingers = activity.lingers_until().unwrap_or(next);
                    alarm.as_mut().reset(next.min(lingers));
                }
            }
        }
    })
    .await
}

/// Counts the connection while it is open, also when its task is dropped.
struct OpenMark {
    server: &'static str,
    reason: &'static str,
}

impl OpenMark {
    fn new(server: &'static str) -> Self {
        metrics::connection_opened(server);
        Self {
            server,
            reason: "cut",
        }
    }
}

impl Drop for OpenMark {
    fn drop(&mut self) {
        metrics::connection_closed(self.server, self.reason);
    }
}
