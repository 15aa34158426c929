//! One lane: a source, its credits and its book. In: records of the source, settlements. Out: work for
//! the workers, commits for the source.
//!
//! The source is driven by an owned task, so a commit is never dropped half way, not even by a kill.
//! The task ends when the stage that owns it asks for it or is gone.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::book::{Book, Pulses};
use super::{Passed, Pulled, Shared, Source, Work, WorkMsg, house, nobody_home};
use crate::guard::catch_now;
use crate::owned::owned;
use crate::sync::lock;
use crate::{
    Cost, Credits, Cx, Delivery, Epoch, Failure, Origin, Outlet, Permit, Position, Refused, Stage,
    Undelivered,
};

/// How long a source that had nothing to give is left alone: it should have waited itself.
const EMPTY_PAUSE: Duration = Duration::from_millis(10);

/// What the stage wants of the task. A closed channel means that the stage is gone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    Run,
    Drain,
}

/// The task is over.
pub(super) struct Ended(Result<(), Failure>);

pub(super) struct Lane<S: Source> {
    pub(super) number: u32,
    pub(super) pulses: Pulses,
    pub(super) shared: Arc<Shared<S::Item, S::Note>>,
    /// Present until the lane is up.
    pub(super) source: Option<S>,
    /// Present from then on. Closed with the lane, whatever its task still does.
    book: Option<Arc<Book<S::Note>>>,
    wish: watch::Sender<Wish>,
}

impl<S: Source> Lane<S> {
    pub(super) fn new(
        number: u32,
        source: S,
        pulses: Pulses,
        shared: Arc<Shared<S::Item, S::Note>>,
    ) -> Self {
        Self {
            number,
            pulses,
            shared,
            source: Some(source),
            book: None,
            wish: watch::Sender::new(Wish::Run),
        }
    }
}

impl<S: Source> Stage for Lane<S> {
    type Msg = Ended;

    async fn started(&mut self, cx: &mut Cx<Ended>) -> Result<(), Failure> {
        let Some(mut source) = self.source.take() else {
            return Ok(());
        };
        let epoch = cx.epoch();
        let open = async move {
            let next = source.open(epoch).await;
            (source, next)
        };
        // In a task of its own: whoever is killed while it opens drops nothing half way.
        let (source, next) = match owned(open).await {
            Ok((source, next)) => (source, next?),
            Err(unanswered) => return Err(unanswered.to_string().into()),
        };
        let (pulses, tally) = (self.pulses.clone(), Arc::clone(&self.shared.tally));
        let book = Arc::new(Book::new(cx.epoch(), next, pulses, tally));
        self.book = Some(Arc::clone(&book));
        let driver = Driver {
            number: self.number,
            epoch: cx.epoch(),
            source,
            book,
            wish: self.wish.subscribe(),
            paused: self.shared.paused.subscribe(),
            present: self.shared.house.parts(),
            shared: Arc::clone(&self.shared),
            held: VecDeque::new(),
            grant: None,
            empty_until: None,
            at_end: false,
            flushed: false,
        };
        cx.spawn(async move { Ended(driver.run().await) });
        Ok(())
    }

    async fn handle(&mut self, Ended(result): Ended, cx: &mut Cx<Ended>) -> Result<(), Failure> {
        cx.finish();
        result
    }

    async fn drained(&mut self, _cx: &mut Cx<Ended>) -> Result<(), Failure> {
        self.wish.send_replace(Wish::Drain);
        Ok(())
    }
}

impl<S: Source> Drop for Lane<S> {
    fn drop(&mut self) {
        if let Some(book) = &self.book {
            book.close();
        }
    }
}

type Grant = Pin<Box<dyn Future<Output = Result<Permit, Refused>> + Send>>;

struct Driver<S: Source> {
    number: u32,
    epoch: Epoch,
    source: S,
    book: Arc<Book<S::Note>>,
    wish: watch::Receiver<Wish>,
    paused: watch::Receiver<bool>,
    /// Of the workers and writers.
    present: watch::Receiver<Vec<usize>>,
    shared: Arc<Shared<S::Item, S::Note>>,
    /// Pulled, and not sent on. Not admitted either: dropped, they are simply pulled again.
    held: VecDeque<Pulled<S::Item>>,
    /// Waits for the credit of the first so many held. Kept, so as not to lose its place in line.
    grant: Option<(usize, Grant)>,
    /// It gave an empty list.
    empty_until: Option<Instant>,
    at_end: bool,
    flushed: bool,
}

impl<S: Source> Driver<S> {
    async fn run(mut self) -> Result<(), Failure> {
        loop {
            if self.wish.has_changed().is_err() {
                // Given up: the lane may have a new driver already, and what is committed is its business.
                return Ok(());
            }
            let page = self.book.read();
            if !page.passed.settled.is_empty() {
                self.commit(page.passed).await?;
            }
            if let Some((seq, cause)) = page.failed {
                return Err(format!("record {seq} of lane {} failed: {cause}", self.number).into());
            }
            if *self.wish.borrow() == Wish::Drain {
                self.let_go();
                self.at_end = true;
            }
            let ending = self.at_end && self.held.is_empty();
            if ending && page.pending == 0 {
                let mut committed = lock(&self.shared.committed);
                let last = committed.entry(self.number).or_insert(self.epoch);
                // One that was given up may end late, beside its successor.
                *last = self.epoch.max(*last);
                return Ok(());
            }
            if ending && !self.flushed {
                self.flushed = true;
                self.book.hurry();
                (self.shared.flush_writers)(Some(self.number));
            }
            self.ask_for_credit();
            if let Some(permit) = self.wait(ending).await? {
                self.send_on(permit)?;
            }
        }
    }

    /// Nothing is sent on any more: neither a place in line for credit is kept, where others stand
    /// behind it, nor a credit that came in the meantime, nor what they were for.
    fn let_go(&mut self) {
        self.grant = None;
        self.held.clear();
    }

    /// A commit goes to its end. If the lane is drained or given up meanwhile, it lets go at once.
    async fn commit(&mut self, passed: Passed<S::Note>) -> Result<(), Failure> {
        self.book.commit_begins();
        let mut commit = pin!(self.source.commit(passed));
        let mut has_owner = true;
        let done = loop {
            tokio::select! {
                biased;
                done = &mut commit => break done,
                changed = self.wish.changed(), if has_owner => {
                    has_owner = changed.is_ok();
                    self.grant = None;
                    self.held.clear();
                }
            }
        };
        self.book.commit_is_done();
        done
    }

    /// Waits for whatever comes first; gives a permit if that is it.
    async fn wait(&mut self, ending: bool) -> Result<Option<Permit>, Failure> {
        let is_whole = house::is_whole(&self.present.borrow_and_update());
        let stopped = *self.paused.borrow_and_update() || !is_whole;
        if stopped {
            // Its place in line with it: what the rate owes to those who pause would come at once later.
            self.grant = None;
        }
        let pulling = !ending && !stopped && !self.at_end && self.held.is_empty();
        let sending = !ending && !stopped;
        let granted = async {
            match &mut self.grant {
                Some((_, grant)) if sending => grant.await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            // Its result is of no interest: the loop looks for itself.
            _ = self.wish.changed() => Ok(None),
            () = self.book.news() => Ok(None),
            // Before a grant: the death of a writer is what gives it, as often as not.
            _ = self.present.changed() => Ok(None),
            granted = granted => match granted {
                Ok(permit) if house::is_whole(&self.present.borrow()) => Ok(Some(permit)),
                Ok(_given_back) => {
                    self.grant = None;
                    Ok(None)
                }
                // The limit, or the burst, shrank below what is asked for: asked again, for less.
                Err(Refused::TooLarge { .. }) => {
                    self.grant = None;
                    Ok(None)
                }
                Err(refused) => Err(refused.into()),
            },
            _ = self.paused.changed() => Ok(None),
            pulled = pull(&mut self.source, self.shared.chunk, self.empty_until), if pulling => {
                let pulled = pulled?;
                let empty = pulled.as_ref().is_some_and(Vec::is_empty);
                self.empty_until = empty.then(|| Instant::now() + EMPTY_PAUSE);
                match pulled {
                    // Nothing is held where something is pulled.
                    Some(pulled) => self.held = pulled.into(),
                    None => self.at_end = true,
                }
                Ok(None)
            }
        }
    }

    fn ask_for_credit(&mut self) {
        if self.held.is_empty() || self.grant.is_some() {
            return;
        }
        let limit = self.shared.credits.limit();
        // No more than the rate lets pass at once: a larger part would hold its credits for as long as
        // it is owed, and then come as one burst.
        let most = limit.count.min(self.shared.throttle.burst());
        let (mut count, mut bytes) = (0, 0usize);
        for pulled in self.held.iter().take(most.min(self.shared.chunk)) {
            let more = bytes.saturating_add(pulled.bytes);
            if count > 0 && more > limit.bytes {
                break;
            }
            (count, bytes) = (count + 1, more);
        }
        // A record larger than the whole passes alone.
        let cost = Cost {
            count,
            bytes: bytes.min(limit.bytes),
        };
        let grant = grant(self.shared.credits.clone(), cost, Arc::clone(&self.shared));
        self.grant = Some((count, Box::pin(grant)));
    }

    fn send_on(&mut self, permit: Permit) -> Result<(), Failure> {
        let Some((count, _)) = self.grant.take() else {
            return Ok(());
        };
        let rest = self.held.split_off(count);
        let chunk = std::mem::replace(&mut self.held, rest);
        let permit = Arc::new(permit);
        self.book
            .admit(chunk.iter().map(|pulled| pulled.seq), &permit)?;
        let origin = Origin::watched(Arc::clone(&self.book) as Outlet<S::Note>, permit);
        let mut routed = super::routes(self.shared.workers.len(), chunk.len());
        for Pulled { seq, bytes, value } in chunk {
            let receipt = origin.receipt(Position {
                lane: self.number,
                epoch: self.epoch,
                seq,
            });
            self.book.keying_begins();
            let key = catch_now(|| self.shared.key_of(&value, self.number));
            self.book.keying_is_done();
            let delivery = Delivery { value, receipt };
            match key {
                Ok(key) => {
                    let to = super::route(key, routed.len());
                    routed[to].push(Work {
                        key,
                        bytes,
                        book: Arc::clone(&self.book),
                        delivery,
                    });
                }
                Err(panic) => {
                    let key = u64::from(self.number);
                    let to = super::route(key, routed.len());
                    let cause = format!("the key panicked: {panic}");
                    let book = Arc::clone(&self.book);
                    let work = Work {
                        key,
                        bytes,
                        book,
                        delivery,
                    };
                    self.send(to, WorkMsg::Unkeyed(Box::new(work), cause));
                }
            }
        }
        for (to, work) in routed.into_iter().enumerate() {
            if !work.is_empty() {
                self.send(to, WorkMsg::Push(work));
            }
        }
        Ok(())
    }

    fn send(&self, to: usize, msg: WorkMsg<S::Item, S::Note>) {
        let worker = &self.shared.workers[to];
        if let Err(Undelivered(msg)) = worker.send(msg) {
            // Dropped with its receipts, which fails the lane: it begins again at its commit.
            match msg {
                WorkMsg::Push(work) => nobody_home(&work, worker.name()),
                WorkMsg::Unkeyed(work, _) => nobody_home(&[*work], worker.name()),
                WorkMsg::Flush | WorkMsg::Handled(_) => {}
            }
        }
    }
}

impl<S: Source> Drop for Driver<S> {
    fn drop(&mut self) {
        // Whoever drives the lane next delivers again what is still on its way.
        self.book.close();
    }
}

/// What the source gives, not before a pause is over.
async fn pull<S: Source>(
    source: &mut S,
    most: usize,
    not_before: Option<Instant>,
) -> Result<Option<Vec<Pulled<S::Item>>>, Failure> {
    if let Some(at) = not_before {
        tokio::time::sleep_until(at).await;
    }
    source.pull(most).await
}

/// A credit, and then the time the rate wants.
async fn grant<I, N>(
    credits: Credits,
    cost: Cost,
    shared: Arc<Shared<I, N>>,
) -> Result<Permit, Refused> {
    let permit = credits.take(cost, Duration::MAX).await?;
    loop {
        let set = shared.throttle.is_set();
        if cost.count > shared.throttle.burst() {
            // There was another rate when it was asked for: asked again, for less.
            return Err(Refused::TooLarge {
                asked: cost,
                limit: credits.limit(),
            });
        }
        tokio::select! {
            biased;
            () = shared.throttle.pass(cost.count) => return Ok(permit),
            () = set => {}
        }
    }
}
