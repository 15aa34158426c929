//! The connections that are open, and how they end together.
//!
//! In: accepted sockets. Out: their number, and at the shutdown a report. Each runs
//! in a task of its own; dropping this ends them all.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{Request, Response};
use hyper::body::Body;
use tokio::net::TcpStream;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use super::activity::{Activity, WRITE_TIMEOUT};
use super::connection::Site;
use super::own::Itself;
use super::received::Received;
use super::unfinished::Unfinished;
use super::{BoxError, Limits, ServeReport, Tls, connection};

/// A connection that ended, and why.
pub(super) type Ended = Result<(Id, &'static str), JoinError>;

pub(super) struct Open {
    itself: Arc<Itself>,
    limits: Limits,
    tls: Option<Tls>,
    tasks: JoinSet<&'static str>,
    known: HashMap<Id, Arc<Activity>>,
    unfinished: Arc<Unfinished>,
    accepted: u64,
}

impl Open {
    pub(super) fn new(itself: Arc<Itself>, limits: Limits, tls: Option<Tls>) -> Self {
        Self {
            itself,
            limits,
            tls,
            tasks: JoinSet::new(),
            known: HashMap::new(),
            unfinished: Unfinished::new(limits.unfinished),
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
        self.accepted += 1;
        let activity = Arc::new(Activity::new(&self.itself, &self.unfinished));
        let site = Site {
            server: self.itself.name,
            activity: Arc::clone(&activity),
            limits: self.limits,
        };
        let id = match &self.tls {
            None => self.tasks.spawn(connection::serve(site, stream, service)),
            Some(tls) => {
                let task = connection::serve_tls(site, stream, tls.acceptor(), service);
                self.tasks.spawn(task)
            }
        }
        .id();
        self.known.insert(id, activity);
    }

    /// Asks the connections that are silent for longest to end: a few at once, because looking
    /// through all of them costs as much for one as for many.
    pub(super) fn make_room(&mut self) {
        let silent = self.known.values().filter_map(|activity| {
            let silence = activity.silence()?;
            (silence >= self.limits.spared).then_some((silence, activity))
        });
        let mut silent: Vec<(Duration, &Arc<Activity>)> = silent.collect();
        let few = (self.limits.connections / 64).clamp(1, silent.len().max(1));
        if silent.len() > few {
            silent.select_nth_unstable_by_key(few - 1, |(silence, _)| Reverse(*silence));
        }
        for (_, activity) in silent.into_iter().take(few) {
            activity.ask_to_go();
        }
    }

    pub(super) fn forget(&mut self, ended: &Ended) {
        let id = match ended {
            Ok((id, _)) => *id,
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
            untaken: 0,
            cut: 0,
        };
        for activity in self.known.values() {
            activity.drain(self.limits.linger.min(deadline / 2), deadline);
        }
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                report.untaken += usize::from(matches!(ended, Ok(WRITE_TIMEOUT)));
            }
        };
        if tokio::time::timeout_at(until, all).await.is_err() {
            report.cut = self.tasks.len();
            self.tasks.shutdown().await;
        }
        report
    }
}
