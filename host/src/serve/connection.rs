//! One connection, from accept to close.
//!
//! In: a socket and a service. Out: nothing; it ends by itself, by a limit, by the
//! drain, or by being dropped at the drain's deadline.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Buf;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use super::activity::{Activity, Verdict, look_every};
use super::io::Observed;
use super::service::Watched;
use super::{BoxError, Limits};
use crate::metrics;

pub(super) async fn serve<S, B>(
    server: &'static str,
    stream: TcpStream,
    service: S,
    activity: Arc<Activity>,
    limits: Limits,
) where
    S: tower_service::Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Buf + Send,
    B::Error: Into<BoxError>,
{
    let mut open = OpenMark::new(server);
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(server, %error, "a connection was gone before it was served");
    }
    let io = Observed {
        io: TokioIo::new(stream),
        activity: Arc::clone(&activity),
    };
    let service = Watched {
        inner: TowerToHyperService::new(service),
        activity: Arc::clone(&activity),
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(limits.buffer)
        .serve_connection(io, service);
    let reason = drive(connection, &activity, &limits).await;
    open.reason = reason;
}

/// Polls the connection to its end and says why it ended.
async fn drive<C>(connection: C, activity: &Activity, limits: &Limits) -> &'static str
where
    C: GracefulConnection<Error = hyper::Error>,
{
    let mut connection = pin!(connection);
    let mut alarm = pin!(sleep_until(Instant::now() + look_every(limits)));
    let (mut draining, mut finishing) = (false, false);
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(match ended {
                    Ok(()) => "finished",
                    Err(error) => {
                        tracing::debug!(%error, "a connection broke");
                        "error"
                    }
                });
            }
            // Before the flag is read: a drain that begins now wakes us again.
            activity.register(cx.waker());
            if !finishing && activity.is_draining() {
                match activity.lingers_until() {
                    None => {
                        finishing = true;
                        connection.as_mut().graceful_shutdown();
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
