//! Stats stage: reads the few documents that commit keeps, adds them up, and puts the result up.
//!
//! In: somebody's wish to see them. Out: figures on the [`Board`], at most one reading a second
//! and none while nobody looks, however many do. It counts nothing itself: what it shows is true
//! of the whole shop, whichever pod counted it.

pub mod kafka;
mod view;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actors::{Addr, Cost, Credits, Cx, Failure, Stage, Timer, owned_blocking_within};
use purchases::Timestamp;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::board::{Board, Figures, Posted, Wake};
use crate::flow::Learnt;
use crate::metrics;
use crate::tally::{Tally, TallyError, TallyStore};

/// The port to the broker: where the group stands in every partition of the topic.
pub trait Standings: Send + Sync + 'static {
    /// Asks the broker. Blocks.
    ///
    /// # Errors
    /// Why nothing could be learnt, in words.
    fn standings(&self) -> Result<Learnt, String>;
}

/// Mailbox of the stage.
pub enum StatsMsg {
    /// Somebody wants to see the figures.
    Asked,
    /// Time to look again, if anybody still wants to.
    Tick,
    /// A reading ended.
    Read(Result<Reading, TallyError>),
}

/// One reading of everything.
pub struct Reading {
    tallies: Vec<(i32, Tally)>,
    /// `None` where the broker did not say in time.
    standings: Option<Learnt>,
}

/// Time between two readings.
const EVERY: Duration = Duration::from_secs(1);
/// How long a reading waits for the broker. Without it the figures are put up all the same, with
/// an unknown backlog. Longer than leaders that are away are waited for, so that the others' is shown.
const BROKER_WAIT: Duration = Duration::from_millis(700);

/// The stage.
pub struct Stats<T, S> {
    tallies: Arc<T>,
    standings: Arc<S>,
    board: Board,
    asking: Credits,
    began: Option<Instant>,
    reading: bool,
    tick: Option<Timer>,
    last_id: i64,
    failing: bool,
}

/// One question to the broker at a time, whichever incarnation asked it: it may block for longer than
/// anybody waits.
pub fn one_question() -> Credits {
    Credits::new("kafka_standings", Cost::pieces(1))
}

/// What wakes the stage at this address.
pub fn waker(addr: Addr<StatsMsg>) -> Wake {
    Arc::new(move || addr.send(StatsMsg::Asked).is_ok())
}

impl<T: TallyStore, S: Standings> Stats<T, S> {
    /// Puts up on `board` what it reads from the two ports; `asking` is [`one_question`].
    pub fn new(tallies: Arc<T>, (standings, asking): (Arc<S>, Credits), board: Board) -> Self {
        Self {
            tallies,
            standings,
            board,
            asking,
            began: None,
            reading: false,
            tick: None,
            last_id: 0,
            failing: false,
        }
    }

    /// Begins a reading now, or as soon as the last one is a second old.
    fn look(&mut self, cx: &mut Cx<StatsMsg>) {
        if self.reading || self.tick.is_some() {
            return;
        }
        let due = self.began.map_or(Duration::ZERO, |began| {
            EVERY.saturating_sub(began.elapsed())
        });
        if !due.is_zero() {
            self.tick = Some(cx.send_after(due, StatsMsg::Tick));
            return;
        }
        (self.began, self.reading) = (Some(Instant::now()), true);
        let tallies = Arc::clone(&self.tallies);
        let standings = standings(Arc::clone(&self.standings), self.asking.clone());
        cx.spawn(async move {
            let (tallies, standings) = tokio::join!(tallies.all(), standings);
            StatsMsg::Read(tallies.map(|tallies| Reading { tallies, standings }))
        });
    }

    fn put_up(&mut self, read: Result<Reading, TallyError>) {
        metrics::statistics_read(read.is_ok());
        match read {
            Ok(reading) => {
                if std::mem::replace(&mut self.failing, false) {
                    info!("statistics can be read again");
                }
                let now = Timestamp::from(SystemTime::now());
                self.last_id = now.as_millis().max(self.last_id + 1);
                let json = view::json(&reading.tallies, reading.standings.as_ref(), now);
                let figures = Figures::new(self.last_id, json);
                self.board
                    .post(Posted::Figures(Arc::new(figures), Instant::now()));
            }
            Err(cause) => {
                if !std::mem::replace(&mut self.failing, true) {
                    warn!(%cause, "statistics cannot be read");
                }
                self.board.post(Posted::Unavailable(Instant::now()));
            }
        }
    }
}

/// What the broker says within the time there is; nothing while an earlier question is open.
async fn standings<S: Standings>(port: Arc<S>, asking: Credits) -> Option<Learnt> {
    let turn = asking.try_take(Cost::pieces(1)).ok()?;
    let ask = move || {
        let answer = port.standings();
        drop(turn);
        answer
    };
    owned_blocking_within(BROKER_WAIT, ask).await.ok()?.ok()
}

impl<T: TallyStore, S: Standings> Stage for Stats<T, S> {
    type Msg = StatsMsg;

    async fn started(&mut self, cx: &mut Cx<StatsMsg>) -> Result<(), Failure> {
        // Whoever watched the predecessor still waits.
        if self.board.is_wanted() {
            self.look(cx);
        }
        Ok(())
    }

    async fn handle(&mut self, msg: StatsMsg, cx: &mut Cx<StatsMsg>) -> Result<(), Failure> {
        match msg {
            StatsMsg::Asked => {}
            StatsMsg::Tick => self.tick = None,
            StatsMsg::Read(read) => {
                self.reading = false;
                self.put_up(read);
            }
        }
        if self.reading {
            // Who asks now waits for what is on its way; whoever still watches then, for the next.
            return Ok(());
        }
        if self.board.is_wanted() {
            self.look(cx);
        }
        Ok(())
    }

    async fn drained(&mut self, _: &mut Cx<StatsMsg>) -> Result<(), Failure> {
        self.tick = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
