//! The history stage: passes questions on to the management service.
//!
//! In: questions, each with a credit. Out: the service's own answers, streamed; and whether it can
//! be reached. It understands nothing of what it passes on, but whose it is, and makes up no answer: a service
//! that is away is an error, never an empty history.

use std::sync::Arc;
use std::time::Duration;

use actors::{Cx, Failure, Stage, Timer};

use crate::flow::{Fetched, HistoryMsg, Unreachable};
use crate::link::{Change, Link};
use crate::metrics::Metrics;
use crate::whose;

pub mod client;

use client::HistoryClient;

/// How long after a good probe the next one follows.
const PROBE_EVERY: Duration = Duration::from_secs(5);
/// The same while the service is away.
const PROBE_EVERY_WHILE_DOWN: Duration = Duration::from_secs(1);

/// After so many probes in a row without an answer the service is away, and not only slow.
const AWAY_AFTER: u32 = 2;
/// How long a question waits meanwhile for the head of its answer: it may be the first that is answered again.
const WAIT_WHILE_AWAY: Duration = Duration::from_secs(1);

/// Asks the management service.
pub struct HistoryProxy {
    client: Arc<HistoryClient>,
    link: Link,
    metrics: Arc<Metrics>,
    next_probe: Option<Timer>,
    draining: bool,
    /// Whether a probe is under way.
    probing: bool,
    /// Probes without an answer, since the last answer to anything.
    unanswered: u32,
    /// Whether it was said that the service was never reached; the probe repeats every second.
    missed: bool,
}

impl HistoryProxy {
    /// A proxy that asks through this client.
    pub fn new(client: Arc<HistoryClient>, link: Link, metrics: Arc<Metrics>) -> Self {
        Self {
            client,
            link,
            metrics,
            next_probe: None,
            draining: false,
            probing: false,
            unanswered: 0,
            missed: false,
        }
    }

    fn probe(&mut self, cx: &mut Cx<HistoryMsg>) {
        if std::mem::replace(&mut self.probing, true) {
            return;
        }
        let client = Arc::clone(&self.client);
        cx.spawn(async move { HistoryMsg::Probed(client.probe().await) });
    }

    fn learned(&mut self, result: Result<(), Unreachable>) {
        match result {
            Ok(()) => {
                self.unanswered = 0;
                match self.link.up() {
                    Change::First | Change::Back => {
                        tracing::info!("the management service is reached");
                    }
                    Change::None | Change::Lost => {}
                }
            }
            Err(why) => {
                self.unanswered = self.unanswered.saturating_add(1);
                let lost = self.link.down() == Change::Lost;
                if lost || !(self.missed || self.link.was_reached()) {
                    self.missed = true;
                    tracing::warn!(%why, "histories are not available (CUSTOMER_MANAGEMENT_API_URL)");
                }
            }
        }
        self.metrics.history_reachable(self.link.is_up());
    }
}

/// Whether the service answered the question. Something in its place does not count.
fn answered(fetched: &Result<Fetched, Unreachable>) -> Result<(), Unreachable> {
    let Fetched {
        status, headers, ..
    } = fetched.as_ref().map_err(Clone::clone)?;
    if whose::is_theirs(*status, headers) {
        return Ok(());
    }
    let instead = whose::shown(*status, headers);
    Err(Unreachable(format!("is not what answered: {instead}")))
}

impl Stage for HistoryProxy {
    type Msg = HistoryMsg;

    async fn started(&mut self, cx: &mut Cx<HistoryMsg>) -> Result<(), Failure> {
        self.probe(cx);
        Ok(())
    }

    async fn handle(&mut self, msg: HistoryMsg, cx: &mut Cx<HistoryMsg>) -> Result<(), Failure> {
        match msg {
            HistoryMsg::Fetch {
                ask,
                permit,
                mut reply,
            } => {
                let client = Arc::clone(&self.client);
                let away = self.unanswered >= AWAY_AFTER;
                let within = away.then_some(WAIT_WHILE_AWAY);
                cx.spawn(async move {
                    // Nobody is asked for whom nobody waits: the service's work ends with its
                    // connection, and the credit comes back.
                    let fetched = tokio::select! {
                        fetched = client.fetch(ask, permit, within) => fetched,
                        () = reply.closed() => return HistoryMsg::Left,
                    };
                    let ended = answered(&fetched);
                    // Whoever asked may have hung up; that ends the body, too.
                    drop(reply.send(fetched));
                    HistoryMsg::Ended(ended)
                });
            }
            HistoryMsg::Probe => self.probe(cx),
            HistoryMsg::Probed(result) => {
                self.probing = false;
                self.learned(result);
                if !self.draining {
                    let after = if self.link.is_up() {
                        PROBE_EVERY
                    } else {
                        PROBE_EVERY_WHILE_DOWN
                    };
                    self.next_probe = Some(cx.send_after(after, HistoryMsg::Probe));
                }
            }
            HistoryMsg::Ended(Ok(())) => self.learned(Ok(())),
            // One slow question is no outage, nor is one strange answer: whether the service is there is asked at
            // once.
            HistoryMsg::Ended(Err(_)) => self.probe(cx),
            HistoryMsg::Left => {}
        }
        Ok(())
    }

    async fn drained(&mut self, _: &mut Cx<HistoryMsg>) -> Result<(), Failure> {
        self.draining = true;
        self.next_probe = None;
        Ok(())
    }
}
