//! The publish stage: writes purchases to the log and answers for them.
//!
//! In: chosen purchases. Out: each ticket's verdict, given by the log itself when its report comes;
//! no purchase passes through this mailbox twice, but for those whose request was larger than the topic
//! takes. The stage owns the log's life: it opens one per incarnation, asks it now and then whether the broker is there, fails when the log reports itself
//! unusable (the supervisor then makes a new one), opens another by and by where only a permission is
//! missing, and waits for every report while draining.
//! Which client library writes is known to `publish/kafka.rs` only.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actors::{Addr, Cx, Epoch, Failure, Stage, Timer, Undelivered};
use purchases::wire::Encoder;

use crate::flow::{Chosen, Leftover, PublishMsg};
use crate::link::Link;
use crate::metrics::Metrics;

mod admission;
mod drain;
mod hand_over;
pub mod kafka;
mod pace;
mod partition;
mod reach;
mod record_log;
mod resend;
mod statistics;
mod waiting;

use admission::Admission;
use drain::Leftovers;
use pace::{Lanes, Pacer};
use waiting::Waiting;

pub use pace::Passage;
pub use record_log::{Addressed, InFlight, OpenLog, RecordLog, Reports, Unwritable};

/// How often records are looked at whether they were held for too long, or not confirmed.
const SWEEP_EVERY: Duration = Duration::from_millis(250);

/// What the publish stage is made of.
pub struct PublisherArgs<L> {
    /// Opens the log.
    pub open: OpenLog<L>,
    /// Told whether the broker answers.
    pub link: Link,
    /// Called at the first contact with the broker.
    pub reached: Arc<dyn Fn() + Send + Sync>,
    /// Called before that, with the reason why there was none yet.
    pub waiting: Arc<dyn Fn(&str) + Send + Sync>,
    /// Called when the broker does not let this service write, whether it did before or not; then
    /// `reached` is called again as soon as it does.
    pub barred: Arc<dyn Fn(&str) + Send + Sync>,
    /// How long a request to the broker waits for more records.
    pub linger: Duration,
    /// How long a purchase may wait here before it is handed to the log.
    pub hold_timeout: Duration,
    /// How long a report may take from then on.
    pub report_timeout: Duration,
    /// Where outcomes are counted.
    pub metrics: Arc<Metrics>,
}

impl<L> Clone for PublisherArgs<L> {
    fn clone(&self) -> Self {
        Self {
            open: Arc::clone(&self.open),
            link: self.link.clone(),
            reached: Arc::clone(&self.reached),
            waiting: Arc::clone(&self.waiting),
            barred: Arc::clone(&self.barred),
            linger: self.linger,
            hold_timeout: self.hold_timeout,
            report_timeout: self.report_timeout,
            metrics: Arc::clone(&self.metrics),
        }
    }
}

/// Writes purchases to a log.
pub struct Publisher<L> {
    args: PublisherArgs<L>,
    open: Option<Open<L>>,
    pacer: Pacer<Waiting>,
    next_probe: Option<Timer>,
    next_sweep: Option<Timer>,
    /// Until the next log is opened.
    reopening: Option<Timer>,
    admission: Admission,
    draining: bool,
    /// What came back when nobody took messages here any more.
    leftovers: Leftovers,
    encoder: Encoder,
    /// What was said of a broker that is away, so that an outage of an hour is said once.
    said: Vec<String>,
}

/// The present log. What its predecessors still say is void.
struct Open<L> {
    epoch: Epoch,
    log: Arc<L>,
    lanes: Arc<Lanes>,
    /// Since when no probe was answered.
    unanswered: Option<Instant>,
}

impl<L: RecordLog> Publisher<L> {
    /// A publisher that opens its log when it starts.
    pub fn new(args: PublisherArgs<L>) -> Self {
        let pacer = Pacer::new(args.linger, Waiting::weight);
        Self {
            args,
            open: None,
            pacer,
            next_probe: None,
            next_sweep: None,
            reopening: None,
            admission: Admission::default(),
            draining: false,
            leftovers: Leftovers::default(),
            encoder: Encoder::default(),
            said: Vec::new(),
        }
    }

    fn publish(&mut self, chosen: Box<Chosen>, cx: &mut Cx<PublishMsg>) {
        let waiting = Waiting::New(chosen);
        let Some(open) = &self.open else {
            return self.not_stored(waiting, NOT_OPEN);
        };
        let lane = open.log.lane(waiting.key());
        let busy = open.lanes.is_busy(lane);
        if let Some((waiting, now)) = self.pacer.arrived(lane, busy, Instant::now, waiting) {
            self.hand_over(lane, waiting, now);
        }
        self.sweep_later(cx);
    }

    /// The lane may be busy again: then it will land again.
    fn landed(&mut self, lane: usize) {
        // Once as a rule; again where nothing of what was due could be handed over.
        while let Some(open) = &self.open
            && !open.lanes.is_busy(lane)
        {
            let now = Instant::now();
            if let Some(alone) = self.pacer.refused(lane, now) {
                self.not_stored(alone, TOO_LARGE);
            }
            let next = self.pacer.landed(lane, now);
            if next.is_empty() {
                return;
            }
            for waiting in next {
                self.hand_over(lane, waiting, now);
            }
        }
    }

    /// A record comes back. What an earlier log gives back is not kept: there is nobody to tell when
    /// its lane lands.
    fn returned(&mut self, Leftover(epoch, lane, returned): Leftover) {
        let waiting = Waiting::Again(returned);
        if self.is_present(epoch) {
            self.pacer.returned(lane, waiting);
        } else {
            self.not_stored(waiting, TOO_LARGE);
        }
    }

    fn is_overdue(&self, waiting: &Waiting, now: Instant) -> bool {
        now.saturating_duration_since(waiting.since()) > self.args.hold_timeout
    }

    /// Gives up what a stalled partition holds up, while it is still certain that it went nowhere; and
    /// the client, if its broker does not confirm what it was given.
    fn sweep(&mut self, cx: &mut Cx<PublishMsg>) {
        let limit = self.args.hold_timeout;
        for waiting in self
            .pacer
            .overdue(|waiting| waiting.since().elapsed() > limit)
        {
            self.not_stored(waiting, TOO_LATE);
        }
        self.next_sweep = None;
        let waiting = self.open.as_ref().and_then(|open| open.lanes.waiting());
        if waiting.is_some_and(|waiting| waiting >= self.args.report_timeout) {
            self.succeed("the broker did not confirm in time", cx);
        }
        if waiting.is_some() || self.pacer.held() > 0 {
            self.sweep_later(cx);
        }
    }

    /// Refuses what is certainly not in the log.
    fn not_stored(&self, waiting: Waiting, why: &str) {
        waiting.not_stored(why, &self.args.metrics);
    }

    fn sweep_later(&mut self, cx: &mut Cx<PublishMsg>) {
        if self.next_sweep.is_none() {
            self.next_sweep = Some(cx.send_after(SWEEP_EVERY, PublishMsg::Sweep));
        }
    }

    fn open(&mut self, cx: &mut Cx<PublishMsg>) -> Result<(), Failure> {
        let (addr, epoch): (Addr<PublishMsg>, _) = (cx.addr().clone(), Epoch::next());
        let reports: Reports = Box::new(move |report| {
            // Nobody home: this producer is being replaced already.
            drop(addr.send(PublishMsg::Reported(epoch, report)));
        });
        let (addr, back) = (cx.addr().clone(), cx.addr().clone());
        let leftovers = self.leftovers.clone();
        let lanes = Lanes::new(
            Box::new(move |lane| {
                // While draining, whoever flushes looks after the lanes.
                drop(addr.send(PublishMsg::Landed(epoch, lane)));
            }),
            Box::new(move |lane, returned| {
                let returned = Leftover(epoch, lane, Box::new(returned));
                if let Err(Undelivered(PublishMsg::Returned(returned))) =
                    back.send(PublishMsg::Returned(returned))
                {
                    leftovers.keep(returned);
                }
            }),
        );
        let log = Arc::new((self.args.open)(reports)?);
        self.open = Some(Open {
            epoch,
            log,
            lanes,
            unanswered: None,
        });
        self.probe(cx);
        Ok(())
    }

    fn is_present(&self, epoch: Epoch) -> bool {
        self.open.as_ref().is_some_and(|open| open.epoch == epoch)
    }

    fn probe(&self, cx: &mut Cx<PublishMsg>) {
        if let Some(open) = &self.open {
            let (epoch, log) = (open.epoch, Arc::clone(&open.log));
            cx.spawn_blocking(move || PublishMsg::Probed(epoch, log.probe()));
        }
    }
}

impl<L: RecordLog> Stage for Publisher<L> {
    type Msg = PublishMsg;

    /// A client that cannot be made is waited for, here as later: a file may be broken at the moment in which
    /// this stage takes the place of one whose client failed for good, and may be mended.
    async fn started(&mut self, cx: &mut Cx<PublishMsg>) -> Result<(), Failure> {
        self.reopen(cx);
        Ok(())
    }

    async fn handle(&mut self, msg: PublishMsg, cx: &mut Cx<PublishMsg>) -> Result<(), Failure> {
        match msg {
            PublishMsg::Publish(chosen) => self.publish(chosen, cx),
            PublishMsg::Landed(epoch, lane) if self.is_present(epoch) => self.landed(lane),
            PublishMsg::Returned(record) => self.returned(record),
            PublishMsg::Sweep => self.sweep(cx),
            PublishMsg::Probe => self.probe(cx),
            PublishMsg::Reopen => self.reopen(cx),
            PublishMsg::Probed(epoch, result) if self.is_present(epoch) => self.probed(result, cx),
            PublishMsg::Reported(epoch, report) if self.is_present(epoch) => {
                return self.reported(report, cx);
            }
            PublishMsg::Landed(..) | PublishMsg::Probed(..) | PublishMsg::Reported(..) => {}
            PublishMsg::Flushed(epoch, left) => self.flushed(epoch, left, cx),
        }
        Ok(())
    }

    /// Everything in the mailbox was handed over; now every record's report is waited for. Dropping
    /// the producer before that would purge them.
    async fn drained(&mut self, cx: &mut Cx<PublishMsg>) -> Result<(), Failure> {
        self.draining = true;
        self.next_probe = None;
        self.next_sweep = None;
        self.reopening = None;
        self.hand_over_all();
        self.flush(cx);
        Ok(())
    }
}

const NOT_OPEN: &str = "the Kafka producer is not open";
const TOO_LATE: &str = "it waited for its turn for too long";
const TOO_LARGE: &str = "it is larger than the topic takes";
