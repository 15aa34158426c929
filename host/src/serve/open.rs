//! The connections that are open, and how they end together.
//!
//! In: accepted sockets. Out: their number, and at the shutdown a report. Each runs
//! in a task of its own; dropping this ends them all.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use tokio::net::TcpStream;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use super::activity::Activity;
use super::{BoxError, Limits, ServeReport, connection};

pub(super) type Ended = Result<(Id, ()), JoinError>;

pub(super) struct Open {
    name: &'static str,
    limits: Limits,
    tasks: JoinSet<()>,
    known: HashMap<Id, Arc<Activity>>,
    accepted: u64,
}

impl Open {
    pub(super) fn new(name: &'static str, limits: Limits) -> Self {
        Self {
            name,
            limits,
            tasks: JoinSet::new(),
            known: HashMap::new(),
            accepted: 0,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.tasks.len()
    }

    /// The next connection that ended; `None` if none is open.
    pub(super) async fn ended(&mut self) -> Option<Ended> {
        self.tasks.join_next_with_id().await
    }

    pub(super) fn serve<S, B>(&mut self, stream: TcpStream, service: S)
    where
        S: tower_service::Service<Request<Incoming>, Response = Response<B>>
            + Clone
            + Send
            + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: Body + Send + 'static,
        B::Data: Buf + Send,
        B::Error: Into<BoxError>,
    {
        self.accepted += 1;
        let activity = Arc::new(Activity::new());
        let task = connection::serve(
            self.name,
            stream,
            service,
            Arc::clone(&activity),
            self.limits,
        );
        self.known.insert(self.tasks.spawn(task).id(), activity);
    }

    pub(super) fn forget(&mut self, ended: &Ended) {
        let id = match ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        self.known.remove(&id);
    }

    pub(super) async fn drain(mut self, deadline: Duration) -> ServeReport {
        let until = Instant::now() + deadline;
        let busy = self
            .known
            .values()
            .filter(|activity| activity.is_busy())
            .count();
        let mut report = ServeReport {
            accepted: self.accepted,
            open: self.tasks.len(),
            busy,
            cut: 0,
        };
        for activity in self.known.values() {
            activity.drain(self.limits.linger.min(deadline / 2));
        }
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout_at(until, all).await.is_err() {
            report.cut = self.tasks.len();
            self.tasks.shutdown().await;
        }
        report
    }
}
