//! What the publish stage makes of what it hears about the broker: whether it is there, and whether it
//! lets this service write.
//!
//! In: probes' results, and what the log reports about itself. Out: the link's state, readiness, and each
//! reason said once an outage. It writes nothing.

use std::time::{Duration, Instant};

use actors::{Cx, Failure};

use super::{Open, Publisher, RecordLog, Unwritable};
use crate::flow::{BrokerReport, PublishMsg};
use crate::link::Change;

/// How long after a good probe the next one follows.
const PROBE_EVERY: Duration = Duration::from_secs(5);
/// The same while the broker is away: recovery should show soon.
const PROBE_EVERY_WHILE_DOWN: Duration = Duration::from_millis(500);

/// How long a client whose time is over may still have its last records confirmed. Their buyers wait.
const LAST_REPORTS: Duration = Duration::from_millis(500);

/// A client has at least this long to reach a broker: the time of a probe, and of a try to connect.
const SHORTEST_LIFE: Duration = Duration::from_secs(3);

/// Reasons that are said of one outage.
const MOST_REASONS: usize = 8;

impl<L: RecordLog> Publisher<L> {
    pub(super) fn probed(&mut self, result: Result<(), Unwritable>, cx: &mut Cx<PublishMsg>) {
        if let Some(open) = &mut self.open {
            match &result {
                Ok(()) | Err(Unwritable::Told(_)) => open.unanswered = None,
                Err(Unwritable::Unanswered(_)) => {
                    open.unanswered.get_or_insert_with(Instant::now);
                }
            }
        }
        match result {
            Ok(()) => self.answered(),
            Err(Unwritable::Told(why)) => self.away(&why),
            Err(Unwritable::Unanswered(why)) => {
                self.away(&why);
                if self.is_cut_off() {
                    self.args.metrics.kafka_connected(false);
                    // It probes by itself.
                    return self.succeed("it reaches no broker", cx);
                }
            }
        }
        let connected = self.args.link.is_up();
        if connected {
            self.said.clear();
        }
        self.args.metrics.kafka_connected(connected);
        if !self.draining {
            let after = if connected {
                PROBE_EVERY
            } else {
                PROBE_EVERY_WHILE_DOWN
            };
            self.next_probe = Some(cx.send_after(after, PublishMsg::Probe));
        }
    }

    /// Whether no broker has answered the client for as long as a report may take, and nobody waits for it.
    /// Then a new one is of more use: librdkafka forgets every broker, those of the configuration included,
    /// when one of them answers that there is none, as a broker does in the moment after it was fenced; and
    /// it never looks for one again.
    fn is_cut_off(&self) -> bool {
        let patience = self.args.report_timeout.max(SHORTEST_LIFE);
        let cut_off = |open: &Open<L>| {
            let silent = open.unanswered.map(|since| since.elapsed());
            silent.is_some_and(|silent| silent >= patience) && open.lanes.waiting().is_none()
        };
        !self.draining && self.open.as_ref().is_some_and(cut_off)
    }

    fn answered(&mut self) {
        let Some(let_in) = self.admission.good() else {
            return;
        };
        let change = self.args.link.up();
        match change {
            Change::First => tracing::info!("the broker is reached"),
            Change::Back => tracing::info!("the broker is back"),
            Change::None | Change::Lost => {}
        }
        if let_in || change == Change::First {
            (self.args.reached)();
        }
    }

    /// The client is of no use any more, and the next one will not be either until somebody grants
    /// what is missing. That is no failure of this stage, so it counts as no restart of it.
    fn barred(&mut self, why: &str, cx: &mut Cx<PublishMsg>) {
        if self.is_news(why) {
            tracing::error!(why, "the broker does not let this service write");
        }
        self.shut(why, cx);
    }

    /// Goes on without a client, and looks for another one by and by. What waited is not stored.
    fn shut(&mut self, why: &str, cx: &mut Cx<PublishMsg>) {
        self.args.link.down();
        self.args.metrics.kafka_connected(false);
        (self.args.barred)(why);
        // Whatever it still has is reported on when it is dropped.
        self.open = None;
        self.next_probe = None;
        for waiting in self.pacer.take_all() {
            self.not_stored(waiting, why);
        }
        let after = self.admission.refused();
        if !self.draining {
            self.reopening = Some(cx.send_after(after, PublishMsg::Reopen));
        }
    }

    /// Another client takes over from one whose broker does not confirm in time, or that has none. The old
    /// one gets nothing more and sends nothing again, so that what it has is in the log once or not at all.
    pub(super) fn succeed(&mut self, why: &str, cx: &mut Cx<PublishMsg>) {
        let Some(Open { epoch, log, .. }) = self.open.take() else {
            return;
        };
        if self.is_news(why) {
            tracing::info!(why, "another Kafka client takes over");
        }
        cx.spawn_blocking(move || PublishMsg::Flushed(epoch, log.retire(LAST_REPORTS)));
        self.next_probe = None;
        self.reopen(cx);
        // They waited for lanes of the old one.
        self.hand_over_all();
    }

    /// Opens another client. Its files are read anew, and one that cannot be used now may be mended: no failure
    /// of this stage, either.
    pub(super) fn reopen(&mut self, cx: &mut Cx<PublishMsg>) {
        if let Err(error) = self.open(cx) {
            let why = format!("no Kafka client can be made: {error}");
            if self.is_news(&why) {
                tracing::error!(why, "nothing can be written");
            }
            self.shut(&why, cx);
        }
    }

    fn away(&mut self, why: &str) {
        if !self.args.link.was_reached() {
            (self.args.waiting)(why);
        }
        if self.args.link.down() == Change::Lost {
            self.args.metrics.kafka_connected(false);
            tracing::warn!(why, "the broker is lost, records wait for it");
        } else if !self.args.link.was_reached() && self.is_news(why) {
            tracing::warn!(
                why,
                "the broker was not reached yet, the service stays not ready"
            );
        }
    }

    /// Whether this was not said yet: attempts repeat twice a second, and their reasons alternate.
    fn is_news(&mut self, why: &str) -> bool {
        let news = self.said.len() < MOST_REASONS && !self.said.iter().any(|said| said == why);
        if news {
            self.said.push(why.to_owned());
        }
        news
    }

    pub(super) fn reported(
        &mut self,
        report: BrokerReport,
        cx: &mut Cx<PublishMsg>,
    ) -> Result<(), Failure> {
        match report {
            BrokerReport::Fatal(why) => {
                return Err(format!("the Kafka producer failed for good: {why}").into());
            }
            BrokerReport::Down(why) => {
                let was_up = self.args.link.is_up();
                self.away(&why);
                if was_up && !self.draining {
                    self.next_probe =
                        Some(cx.send_after(PROBE_EVERY_WHILE_DOWN, PublishMsg::Probe));
                }
            }
            BrokerReport::Barred(why) => self.barred(&why, cx),
            BrokerReport::Refused(why) => {
                if self.is_news(&why) {
                    tracing::error!(why, "the broker does not let this service in");
                }
                if !self.args.link.was_reached() {
                    (self.args.waiting)(&why);
                }
            }
        }
        Ok(())
    }
}
