//! What one connection is doing, and since when.
//!
//! In: marks from its socket (bytes came, the client takes nothing) and from its
//! service (a request began, its answer ended). Out: how long it may go on. All of
//! it is a few relaxed stores, because it runs for every request.
//!
//! hyper's own header timeout is not used: it also counts the idle time between
//! requests, so it cannot be both shorter than an attacker's patience and longer
//! than a proxy's keep-alive; and it sets a timer for every request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::Waker;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use super::Limits;
use super::own::Itself;
use super::unfinished::{Part, Unfinished};

/// While draining: how long half of a head may keep its connection, with no request in hand. Its other half is
/// as far away as the first was, and what comes later would be answered by nobody anyway.
const DRAIN_HEAD: Duration = Duration::from_secs(1);
/// While draining: for how long, all in all, a client may take nothing of its answer, and at most a quarter of the
/// drain. What it says was decided before.
const DRAIN_WRITE: Duration = Duration::from_secs(5);
/// While draining: how long the rest of a body may take, and at most a quarter of the drain.
const DRAIN_BODY: Duration = Duration::from_secs(2);
/// Why a connection ends whose client takes nothing.
pub(super) const WRITE_TIMEOUT: &str = "write_timeout";
/// While draining: how often to look.
const DRAIN_LOOK: Duration = Duration::from_millis(250);

/// Moments are milliseconds since `born`, plus one; zero is "not".
#[derive(Debug)]
pub(super) struct Activity {
    server: Arc<Itself>,
    born: Instant,
    requests: AtomicUsize,
    head_since: AtomicU64,
    idle_since: AtomicU64,
    stalled_since: AtomicU64,
    drain_at: AtomicU64,
    drain_began: AtomicU64,
    /// How long a client may take nothing while this drains, in milliseconds.
    untaken: AtomicU64,
    /// For how long it took nothing since then, up to when it last took something.
    untaken_before: AtomicU64,
    /// How long the rest of a body may take while this drains, in milliseconds.
    body_within: AtomicU64,
    /// Since when the body of the request in hand is waited for.
    body_since: AtomicU64,
    /// Whether the client may have sent what nobody read.
    unread: AtomicBool,
    unwanted: AtomicBool,
    /// Its bytes that are not a whole yet.
    part: Part,
    /// Nothing that comes is kept any more.
    ending: AtomicBool,
    waker: AtomicWaker,
}

/// How long a connection may go on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Until(Instant),
    Close(&'static str),
}

impl Activity {
    /// A new connection owes us a request, so its head counts from now.
    pub(super) fn new(server: &Arc<Itself>, all: &Arc<Unfinished>) -> Self {
        Self {
            server: Arc::clone(server),
            born: Instant::now(),
            requests: AtomicUsize::new(0),
            head_since: AtomicU64::new(1),
            idle_since: AtomicU64::new(1),
            stalled_since: AtomicU64::new(0),
            drain_at: AtomicU64::new(0),
            drain_began: AtomicU64::new(0),
            untaken: AtomicU64::new(0),
            untaken_before: AtomicU64::new(0),
            body_within: AtomicU64::new(0),
            body_since: AtomicU64::new(0),
            unread: AtomicBool::new(false),
            unwanted: AtomicBool::new(false),
            part: Part::of(all),
            ending: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        }
    }

    fn now(&self) -> u64 {
        self.born.elapsed().as_millis() as u64 + 1
    }

    pub(super) fn is_busy(&self) -> bool {
        self.requests.load(Ordering::Relaxed) > 0
    }

    /// So many bytes came, or, if none, the end of them.
    pub(super) fn received(&self, count: usize) {
        if !self.ending.load(Ordering::Relaxed) {
            self.part.came(count);
        }
        if self.is_busy() {
            return;
        }
        self.unread.store(true, Ordering::Relaxed);
        if self.head_since.load(Ordering::Relaxed) == 0 {
            self.head_since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// No more are there for now.
    pub(super) fn waits(&self) {
        self.part.waits();
    }

    /// What came is whole: a handshake, or a request.
    pub(super) fn whole(&self) {
        self.part.whole();
    }

    /// What still comes is thrown away.
    pub(super) fn ends(&self) {
        self.ending.store(true, Ordering::Relaxed);
        self.part.whole();
    }

    /// Whether it goes, because it keeps too much that is not whole.
    pub(super) fn is_too_much(&self) -> bool {
        self.part.is_too_much() && !self.is_answering()
    }

    /// The client takes nothing.
    pub(super) fn stalled(&self) {
        if self.stalled_since.load(Ordering::Relaxed) == 0 {
            let before = self.untaken_before.load(Ordering::Relaxed);
            self.stalled_since
                .store(self.now().saturating_sub(before), Ordering::Relaxed);
        }
    }

    /// The client took something. While draining that is not enough: who takes a byte now and then has no longer
    /// for all the rest than who takes none.
    pub(super) fn moved(&self) {
        let stalled = self.stalled_since.load(Ordering::Relaxed);
        if stalled == 0 {
            return;
        }
        let began = self.drain_began.load(Ordering::Relaxed);
        if began > 0 {
            let before = self.now().saturating_sub(stalled.max(began));
            self.untaken_before.store(before, Ordering::Relaxed);
        }
        self.stalled_since.store(0, Ordering::Relaxed);
    }

    /// A request's head is complete. The answer has ended when `Busy` is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.head_since.store(0, Ordering::Relaxed);
        self.unread.store(false, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    /// The request in hand has a body.
    pub(super) fn body_begins(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    /// Its service has to wait for it.
    pub(super) fn body_waits(&self) {
        self.body_since.store(self.now(), Ordering::Relaxed);
    }

    /// Its service waits for no more of it, whether it came whole or not.
    pub(super) fn body_ends(&self, whole: bool) {
        self.body_since.store(0, Ordering::Relaxed);
        self.part.whole();
        if whole {
            self.unread.store(false, Ordering::Relaxed);
        }
    }

    /// Whether a body is waited for, and was for long enough while this drains.
    pub(super) fn is_body_late(&self) -> bool {
        let since = self.body_since.load(Ordering::Relaxed);
        let began = self.drain_began.load(Ordering::Relaxed);
        let limit = self.body_within.load(Ordering::Relaxed);
        since > 0 && began > 0 && self.now() >= since.max(began) + limit
    }

    pub(super) fn is_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    /// Whether a request in hand is all here, so that it is for us to act.
    fn is_answering(&self) -> bool {
        self.is_busy() && self.body_since.load(Ordering::Relaxed) == 0
    }

    /// From now on, no further request than those on their way; and less patience with clients, so that no
    /// stranger decides how long the drain of so long takes.
    pub(super) fn drain(&self, linger: Duration, deadline: Duration) {
        let within = |limit: Duration| limit.min(deadline / 4).as_millis() as u64;
        self.untaken.store(within(DRAIN_WRITE), Ordering::Relaxed);
        self.body_within
            .store(within(DRAIN_BODY), Ordering::Relaxed);
        let now = self.now();
        self.drain_began.store(now, Ordering::Relaxed);
        self.drain_at
            .store(now + linger.as_millis() as u64, Ordering::Release);
        self.waker.wake();
    }

    /// How long no request has been answered, or its body is waited for; `None` while one is being
    /// answered, or while this is ending.
    pub(super) fn silence(&self) -> Option<Duration> {
        let body_since = self.body_since.load(Ordering::Relaxed);
        let since = match (self.is_busy(), body_since) {
            (true, 0) => return None,
            (true, since) => since,
            (false, _) => self.idle_since.load(Ordering::Relaxed),
        };
        let asked = self.unwanted.load(Ordering::Relaxed) || self.is_draining();
        (!asked).then(|| Duration::from_millis(self.now().saturating_sub(since)))
    }

    /// Another needs its place more.
    pub(super) fn ask_to_go(&self) {
        self.unwanted.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Whether it is to go. A request that came in between, or the rest of its body, is answered
    /// first, and then it stays: it is not silent any more.
    pub(super) fn goes(&self) -> bool {
        if !self.unwanted.load(Ordering::Acquire) {
            return false;
        }
        if self.is_answering() {
            self.unwanted.store(false, Ordering::Relaxed);
            return false;
        }
        true
    }

    pub(super) fn is_draining(&self) -> bool {
        self.drain_at.load(Ordering::Acquire) != 0
    }

    /// Wakes this task when the drain begins.
    pub(super) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// While draining: the moment until which an idle connection is left open, if
    /// that is yet to come.
    pub(super) fn lingers_until(&self) -> Option<Instant> {
        let drain_at = self.drain_at.load(Ordering::Acquire);
        (!self.is_busy() && drain_at > self.now()).then(|| self.moment(drain_at))
    }

    /// Whether something takes too long, and if not, when to look again.
    pub(super) fn verdict(&self, limits: &Limits) -> Verdict {
        let now = self.now();
        let due = |since: u64, limit: Duration| since + limit.as_millis() as u64;
        let (stalled, head) = (
            self.stalled_since.load(Ordering::Relaxed),
            self.head_since.load(Ordering::Relaxed),
        );
        let draining = self.is_draining();
        let look_again = match draining {
            true => DRAIN_LOOK.min(look_every(limits)),
            false => look_every(limits),
        };
        // The limits of a drain begin with it.
        let began = self.drain_began.load(Ordering::Relaxed);
        let untaken = Duration::from_millis(self.untaken.load(Ordering::Relaxed));
        let mut next = now + due(0, look_again);
        let mut check = |since: u64, limit: Duration, reason: &'static str| {
            let due = due(since, limit);
            next = next.min(due);
            (now >= due).then_some(Verdict::Close(reason))
        };
        let mut late = if stalled > 0 {
            check(stalled, limits.write, WRITE_TIMEOUT)
        } else {
            None
        };
        if late.is_none() && draining && stalled > 0 {
            late = check(stalled.max(began), untaken, WRITE_TIMEOUT);
        }
        // Of one that sent nothing, the linger decides.
        if late.is_none() && draining && head > 0 && !self.is_busy() && self.is_unread() {
            late = check(head.max(began), DRAIN_HEAD, "header_timeout");
        }
        if late.is_none() && !self.is_busy() {
            late = match head {
                0 => check(
                    self.idle_since.load(Ordering::Relaxed),
                    limits.idle,
                    "idle_timeout",
                ),
                since => check(since, limits.header, "header_timeout"),
            };
        }
        late.unwrap_or_else(|| Verdict::Until(self.moment(next)))
    }

    fn moment(&self, mark: u64) -> Instant {
        self.born + Duration::from_millis(mark.saturating_sub(1))
    }
}

/// The connection's alarm is not set anew for every request; it looks this often,
/// and is late by no more.
pub(super) fn look_every(limits: &Limits) -> Duration {
    (limits.header / 2).max(Duration::from_millis(10))
}

/// A request that is being answered, to the last byte of its answer.
pub(super) struct Busy(Arc<Activity>);

impl Busy {
    pub(super) fn is_draining(&self) -> bool {
        self.0.is_draining()
    }

    /// Whose request it is.
    pub(super) fn server(&self) -> &Itself {
        &self.0.server
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.now(), Ordering::Relaxed);
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}
