//! Customers: each buys one order after the other, and asks again until it is confirmed, at
//! whichever producer answers. In: doors, a number of orders, a pace. Out: a book of what they were told.
//!
//! Every second pair of orders has keys, so that both ways of making an id are used. What an attempt
//! without one may have left behind is noted as unknown; a key's attempts are all the same purchase.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use e2e::answer::{self, Refused};
use e2e::http::{Answer, Connection, Unanswered};
use e2e::load::Order;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::book::{self, Book};

/// Different users; each buys again and again.
const USERS: usize = 5_000;
/// Every so many orders are sent once more after their 201, if they have a key.
const ASK_AGAIN: usize = 20;
/// Nobody waits longer before asking again, whatever the answer advises: outages are short here.
const PATIENCE: Duration = Duration::from_millis(500);
/// After nobody listened.
const SHUT: Duration = Duration::from_millis(50);
/// Says that nothing was stored.
const NOTHING_STORED: [&str; 2] = ["/problems/kafka-unavailable", "/problems/overloaded"];
/// Says that nobody knows.
const UNKNOWN: &str = "/problems/outcome-unknown";
/// Says that the same key's first attempt is still on its way.
const UNDER_WAY: u16 = 409;

/// All that customers share.
pub(crate) struct Shared {
    doors: Vec<SocketAddr>,
    name: String,
    orders: usize,
    next: AtomicUsize,
    accepted: AtomicUsize,
    refused: AtomicUsize,
    silences: AtomicUsize,
    every: Duration,
    slot: Mutex<Instant>,
    book: Book,
}

/// Customers at work.
pub(crate) struct Customers {
    shared: Arc<Shared>,
    open: watch::Sender<bool>,
    all: JoinSet<()>,
}

/// What they saw beside the 201s.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// 201s.
    pub(crate) accepted: usize,
    /// Other answers.
    pub(crate) refused: usize,
    /// Requests without an answer.
    pub(crate) silences: usize,
}

impl Customers {
    /// Starts so many, who together buy so much a second.
    pub(crate) fn start(
        doors: Vec<SocketAddr>,
        name: &str,
        connections: usize,
        orders: usize,
        per_second: u32,
    ) -> Self {
        let shared = Arc::new(Shared {
            doors,
            name: name.to_owned(),
            orders,
            next: AtomicUsize::new(0),
            accepted: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            silences: AtomicUsize::new(0),
            every: Duration::from_secs(1) / per_second.max(1),
            slot: Mutex::new(Instant::now()),
            book: Book::new(orders),
        });
        let (open, seen) = watch::channel(true);
        let mut all = JoinSet::new();
        for _ in 0..connections {
            all.spawn(Arc::clone(&shared).buy_until_done(seen.clone()));
        }
        Self { shared, open, all }
    }

    pub(crate) fn seen(&self) -> Seen {
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        Seen {
            accepted: count(&self.shared.accepted),
            refused: count(&self.shared.refused),
            silences: count(&self.shared.silences),
        }
    }

    /// Resolves when the last order was taken up by somebody.
    pub(crate) async fn all_taken(&self) {
        while self.shared.next.load(Ordering::Relaxed) < self.shared.orders {
            tokio::time::sleep(SHUT).await;
        }
    }

    /// Lets every customer finish the order it has, and closes the book.
    ///
    /// # Panics
    /// If a customer panicked, with its words.
    pub(crate) async fn finish(mut self, within: Duration) -> (Book, Seen) {
        self.open.send_replace(false);
        let all = async {
            while let Some(done) = self.all.join_next().await {
                done.unwrap_or_else(|error| panic!("a customer: {error}"));
            }
        };
        // Who is not done by then has an order without a 201, which the account will show.
        drop(tokio::time::timeout(within, all).await);
        self.all.shutdown().await;
        let seen = self.seen();
        let shared = Arc::into_inner(self.shared).expect("nobody else is left");
        (shared.book, seen)
    }
}

impl Shared {
    async fn buy_until_done(self: Arc<Self>, mut open: watch::Receiver<bool>) {
        let mut doors = Doors::new(&self.doors);
        loop {
            let slot = self.slot();
            let closed = open.wait_for(|open| !open);
            tokio::select! {
                biased;
                _ = closed => return,
                () = slot => {}
            }
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.orders {
                return;
            }
            let order = self.order(number);
            let promised = order.key.is_some().then(|| order.promised_id());
            self.book
                .sent(number, promised.and_then(|id| book::id_of(&id)));
            self.buy(number, &order, &mut doors).await;
            self.accepted.fetch_add(1, Ordering::Relaxed);
            if number.is_multiple_of(ASK_AGAIN) && order.key.is_some() {
                self.buy(number, &order, &mut doors).await;
            }
        }
    }

    /// Waits for the next slot. Time that nobody used is lost, so that an outage is not followed by
    /// a flood.
    async fn slot(&self) {
        let mine = {
            let mut slot = self.slot.lock().await;
            let mine = (*slot).max(Instant::now());
            *slot = mine + self.every;
            mine
        };
        tokio::time::sleep_until(mine).await;
    }

    fn order(&self, number: usize) -> Order {
        let user = number % USERS;
        Order {
            username: book::username(number),
            user_id: format!("{}-u{user}", self.name),
            key: (number % 4 < 2).then(|| format!("{}-k{number}", self.name)),
        }
    }

    /// Asks until there is a 201, at the next door after every attempt that failed.
    async fn buy(&self, number: usize, order: &Order, doors: &mut Doors) {
        for attempt in number.. {
            let pause = match doors.ask(attempt, order).await {
                Ok(answer) => match answer::read(&answer) {
                    Ok(accepted) => return self.book.accepted(number, &accepted),
                    Err(refused) => self.refused(number, order, &refused),
                },
                Err(how) => {
                    self.silences.fetch_add(1, Ordering::Relaxed);
                    if matches!(how, Unanswered::Silence(_)) {
                        self.book.unknown(number);
                    }
                    SHUT
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Notes a refusal and tells how long to wait.
    fn refused(&self, number: usize, order: &Order, refused: &Refused) -> Duration {
        self.refused.fetch_add(1, Ordering::Relaxed);
        let kind = refused.kind.as_str();
        match refused.status {
            503 if kind == UNKNOWN => self.book.unknown(number),
            503 if NOTHING_STORED.contains(&kind) && refused.retryable => {}
            UNDER_WAY if order.key.is_some() => {}
            _ => self.book.odd("answers that nothing here explains", || {
                format!("order {number}: {refused:?}")
            }),
        }
        Duration::from_secs(refused.retry_after.unwrap_or(1)).min(PATIENCE)
    }
}

/// One customer's connections, one to each producer.
struct Doors(Vec<(SocketAddr, Option<Connection>)>);

impl Doors {
    fn new(doors: &[SocketAddr]) -> Self {
        Self(doors.iter().map(|addr| (*addr, None)).collect())
    }

    async fn ask(&mut self, attempt: usize, order: &Order) -> Result<Answer, Unanswered> {
        let count = self.0.len();
        let (addr, connection) = &mut self.0[attempt % count];
        let open = match connection {
            Some(open) => open,
            None => connection.insert(Connection::open(*addr).await?),
        };
        let answered = open.send(order.request()).await;
        if answered.as_ref().map_or(true, Answer::closes) {
            *connection = None;
        }
        answered
    }
}
