//! The publish stage: writes purchases to the log and answers for them.
//!
//! In: chosen purchases. Out: each ticket's verdict, given by the log itself when its report comes;
//! no purchase passes through this mailbox twice. The stage owns the log's life: it opens one per
//! incarnation, asks it now and then whether the broker is there, fails when the log reports itself
//! unusable (the supervisor then makes a new one), and waits for every report while draining.
//! Which client library writes is known to `publish/kafka.rs` only.

use std::sync::Arc;
use std::time::Duration;

use actors::{Addr, Cx, Failure, Stage, Timer};
use bytes::Bytes;
use purchases::wire;

use crate::flow::{BrokerReport, Chosen, PublishMsg, Unsold};
use crate::link::{Change, Link};
use crate::metrics::Metrics;

pub mod kafka;
mod record_log;
mod resend;
mod statistics;

pub use record_log::{Addressed, InFlight, OpenLog, RecordLog, Reports};

/// How long after a good probe the next one follows.
const PROBE_EVERY: Duration = Duration::from_secs(5);
/// The same while the broker is away: recovery should show soon.
const PROBE_EVERY_WHILE_DOWN: Duration = Duration::from_millis(500);

/// What the publish stage is made of.
pub struct PublisherArgs<L> {
    /// Opens the log.
    pub open: OpenLog<L>,
    /// Told whether the broker answers.
    pub link: Link,
    /// Called at the first contact with the broker.
    pub reached: Arc<dyn Fn() + Send + Sync>,
    /// How long a report may take.
    pub delivery_timeout: Duration,
    /// Where outcomes are counted.
    pub metrics: Arc<Metrics>,
}

impl<L> Clone for PublisherArgs<L> {
    fn clone(&self) -> Self {
        Self {
            open: Arc::clone(&self.open),
            link: self.link.clone(),
            reached: Arc::clone(&self.reached),
            delivery_timeout: self.delivery_timeout,
            metrics: Arc::clone(&self.metrics),
        }
    }
}

/// Writes purchases to a log.
pub struct Publisher<L> {
    args: PublisherArgs<L>,
    log: Option<Arc<L>>,
    next_probe: Option<Timer>,
    draining: bool,
    /// The last refusal that was logged, so that a broker that refuses for an hour is said once.
    refused: Option<String>,
}

impl<L: RecordLog> Publisher<L> {
    /// A publisher that opens its log when it starts.
    pub fn new(args: PublisherArgs<L>) -> Self {
        Self {
            args,
            log: None,
            next_probe: None,
            draining: false,
            refused: None,
        }
    }

    fn publish(&self, chosen: Chosen) {
        let Chosen {
            purchase,
            origin,
            ticket,
        } = chosen;
        let Some(log) = &self.log else {
            ticket.answer(Err(Unsold::NotStored(
                "the Kafka producer is not open".to_owned(),
            )));
            return;
        };
        if ticket.since().elapsed() > self.args.delivery_timeout {
            let late = "it waited for the Kafka producer for longer than a delivery may take";
            ticket.answer(Err(Unsold::NotStored(late.to_owned())));
            return;
        }
        let id = purchase.id().to_hex();
        let trace = origin.trace.to_text();
        let to = Addressed {
            key: purchase.user_id().as_str(),
            headers: [
                (wire::PURCHASE_ID, &id),
                (wire::TRACEPARENT, &trace),
                (wire::REQUEST_ID, origin.request_id.as_bytes()),
                (wire::CONTENT_TYPE, wire::JSON.as_bytes()),
                (wire::SCHEMA_VERSION, wire::VERSION.as_bytes()),
            ],
        };
        let value = Bytes::from(wire::encode_value(&purchase));
        let record = Box::new(InFlight::new(ticket, value, Arc::clone(&self.args.metrics)));
        if let Err((why, record)) = log.append(&to, record) {
            record.not_stored(why);
        }
    }

    fn probe(&self, cx: &mut Cx<PublishMsg>) {
        if let Some(log) = self.log.clone() {
            cx.spawn_blocking(move || PublishMsg::Probed(log.probe()));
        }
    }

    fn probed(&mut self, result: Result<(), String>, cx: &mut Cx<PublishMsg>) {
        match result {
            Ok(()) => match self.args.link.up() {
                Change::First => {
                    tracing::info!("the broker is reached");
                    (self.args.reached)();
                }
                Change::Back => tracing::info!("the broker is back"),
                Change::None | Change::Lost => {}
            },
            Err(why) => self.away(&why),
        }
        let connected = self.args.link.is_up();
        if connected {
            self.refused = None;
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

    fn away(&mut self, why: &str) {
        if self.args.link.down() == Change::Lost {
            self.args.metrics.kafka_connected(false);
            tracing::warn!(why, "the broker is lost, records wait for it");
        } else if !self.args.link.was_reached() && self.refused.as_deref() != Some(why) {
            // Said again only when the reason changes: this repeats twice a second.
            tracing::warn!(
                why,
                "the broker was not reached yet, the service stays not ready"
            );
            self.refused = Some(why.to_owned());
        }
    }

    fn reported(&mut self, report: BrokerReport, cx: &mut Cx<PublishMsg>) -> Result<(), Failure> {
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
            BrokerReport::Refused(why) => {
                if self.refused.as_deref() != Some(&why) {
                    tracing::error!(why, "the broker refuses this service");
                    self.refused = Some(why);
                }
            }
        }
        Ok(())
    }
}

impl<L: RecordLog> Stage for Publisher<L> {
    type Msg = PublishMsg;

    async fn started(&mut self, cx: &mut Cx<PublishMsg>) -> Result<(), Failure> {
        let (addr, epoch): (Addr<PublishMsg>, _) = (cx.addr().clone(), cx.epoch());
        let reports: Reports = Box::new(move |report| {
            // Nobody home: this producer is being replaced already.
            drop(addr.send(PublishMsg::Reported(epoch, report)));
        });
        self.log = Some(Arc::new((self.args.open)(reports)?));
        self.probe(cx);
        Ok(())
    }

    async fn handle(&mut self, msg: PublishMsg, cx: &mut Cx<PublishMsg>) -> Result<(), Failure> {
        match msg {
            PublishMsg::Publish(chosen) => self.publish(chosen),
            PublishMsg::Probe => self.probe(cx),
            PublishMsg::Probed(result) => self.probed(result, cx),
            PublishMsg::Reported(epoch, report) if epoch == cx.epoch() => {
                return self.reported(report, cx);
            }
            PublishMsg::Reported(..) => {}
            PublishMsg::Flushed(0) => {}
            PublishMsg::Flushed(left) => {
                tracing::error!(left, "records are given up without a report")
            }
        }
        Ok(())
    }

    /// Everything in the mailbox was handed over; now every record's report is waited for. Dropping
    /// the producer before that would purge them.
    async fn drained(&mut self, cx: &mut Cx<PublishMsg>) -> Result<(), Failure> {
        self.draining = true;
        self.next_probe = None;
        if let Some(log) = self.log.clone() {
            // Within the delivery timeout every record is reported on, one way or the other; the
            // client looks for expired ones once a second.
            let within = self.args.delivery_timeout + Duration::from_secs(2);
            cx.spawn_blocking(move || PublishMsg::Flushed(log.flush(within)));
        }
        Ok(())
    }
}
