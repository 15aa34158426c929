//! Load: customers that buy, over connections that are kept alive.
//!
//! In: how many purchases, over how many connections, how fast. Out: for each purchase what
//! became of it. Bounded: each connection has one request under way, and the memory is that of the
//! outcomes. The load can be held back (`allow`), so that a proof decides what happens when.

mod customer;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use purchases::{IdempotencyKey, PurchaseId, UserId};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::customer::{Pace, Shared, buy_until_done};
use crate::answer::{Accepted, Refused};
use crate::check::{self, Refusals};
use crate::http::Unanswered;

/// How long one round of retries may take.
const RETRIES: Duration = Duration::from_secs(60);

/// A wish to buy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Order {
    /// Buyer, for people.
    pub username: String,
    /// Buyer, for machines.
    pub user_id: String,
    /// Makes a retry safe.
    pub key: Option<String>,
}

impl Order {
    /// The id that the contract promises for an order with a key.
    ///
    /// # Panics
    /// If the order has no key.
    pub fn promised_id(&self) -> String {
        let key = self.key.as_deref().expect("an order with a key");
        let key = IdempotencyKey::parse(key).expect("keys of the proofs are valid");
        let user = UserId::parse(&self.user_id).expect("users of the proofs are valid");
        PurchaseId::derived(&user, &key).to_string()
    }

    /// The request for it.
    ///
    /// # Panics
    /// If the key is no header value.
    pub fn request(&self) -> Request<Full<Bytes>> {
        let body = serde_json::json!({ "username": self.username, "user_id": self.user_id });
        let mut request = Request::post("/buy").header(header::CONTENT_TYPE, "application/json");
        if let Some(key) = &self.key {
            request = request.header("idempotency-key", key);
        }
        request
            .body(Full::new(Bytes::from(body.to_string())))
            .expect("orders of the proofs are valid")
    }
}

/// What became of an order.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The order.
    pub order: Order,
    /// Its outcome.
    pub outcome: Outcome,
    /// When the customer began to send it.
    pub began: Instant,
    /// When the customer knew the outcome.
    pub ended: Instant,
}

impl Attempt {
    /// How long the customer waited.
    pub fn took(&self) -> Duration {
        self.ended.duration_since(self.began)
    }
}

/// What a customer learnt.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A 201.
    Accepted(Accepted),
    /// Any other answer.
    Refused(Refused),
    /// No answer.
    Unanswered {
        /// How far the request came.
        how: Unanswered,
        /// Whether an earlier request on the same connection was answered.
        kept: bool,
        /// How long the customer had been idle before the request.
        pause: Duration,
    },
}

/// Load to be put on a producer.
#[derive(Clone, Debug)]
pub struct Load {
    /// Where to buy.
    pub addr: SocketAddr,
    /// Begins every user id and key.
    pub name: String,
    /// Orders.
    pub orders: usize,
    /// Connections.
    pub connections: usize,
    /// Different users; each buys again and again.
    pub users: usize,
    /// Whether orders have keys.
    pub keyed: bool,
    /// Orders a second, all connections together; as fast as it goes without.
    pub per_second: Option<u32>,
    /// Orders that may be sent before [`Running::allow`] says more.
    pub allowed: usize,
}

impl Load {
    /// This many orders over 64 connections, of 500 users, as fast as it goes.
    pub fn new(addr: SocketAddr, name: impl Into<String>, orders: usize) -> Self {
        Self {
            addr,
            name: name.into(),
            orders,
            connections: 64,
            users: 500,
            keyed: false,
            per_second: None,
            allowed: usize::MAX,
        }
    }

    /// The order with this number; always the same one.
    pub fn order(&self, number: usize) -> Order {
        let user = number % self.users;
        Order {
            username: format!("Customer {user}"),
            user_id: format!("{}-u{user}", self.name),
            key: self.keyed.then(|| format!("{}-k{number}", self.name)),
        }
    }

    /// Starts buying.
    pub fn start(self) -> Running {
        let orders: Vec<Order> = (0..self.orders).map(|number| self.order(number)).collect();
        Running::start(&self, orders)
    }

    /// Sends these orders (again).
    pub fn resend(&self, orders: Vec<Order>) -> Running {
        Running::start(self, orders)
    }

    /// Does what refusals ask for: sends these orders again and again, until each has its 201. Tells
    /// the attempts that had one.
    ///
    /// # Panics
    /// If ten times are not enough, or an answer is no invitation to try again; or if it says that nothing was
    /// stored where an earlier attempt's outcome was unknown.
    pub async fn until_accepted(&self, orders: Vec<Order>) -> Vec<Attempt> {
        self.retry(orders, HashSet::new()).await
    }

    /// The same for what this very producer refused, which remembers what outcomes it told to be unknown.
    ///
    /// # Panics
    /// As above.
    pub async fn until_accepted_there(&self, refusals: &Refusals<'_>) -> Vec<Attempt> {
        let unknown = refusals.unknown.iter().copied().cloned();
        self.retry(refusals.orders(), unknown.collect()).await
    }

    async fn retry(&self, mut orders: Vec<Order>, mut unknown: HashSet<Order>) -> Vec<Attempt> {
        let freely = Self {
            allowed: usize::MAX,
            ..self.clone()
        };
        let mut accepted = Vec::new();
        for _ in 0..10 {
            let sent = freely.resend(std::mem::take(&mut orders));
            for attempt in sent.finish(RETRIES).await {
                match &attempt.outcome {
                    Outcome::Accepted(answer) => {
                        assert_eq!(answer.purchase_id, attempt.order.promised_id());
                        accepted.push(attempt);
                    }
                    Outcome::Refused(refused) if refused.retryable => {
                        let doubtful = unknown.contains(&attempt.order);
                        assert!(
                            !(doubtful && check::says_not_stored(refused)),
                            "{attempt:?}"
                        );
                        if check::says_unknown(refused) {
                            unknown.insert(attempt.order.clone());
                        }
                        orders.push(attempt.order);
                    }
                    other => panic!("a retry of {:?}: {other:?}", attempt.order),
                }
            }
            if orders.is_empty() {
                return accepted;
            }
        }
        let left = orders.len();
        panic!("{left} orders are still refused after ten retries");
    }
}

/// Load under way. Dropping it stops it.
pub struct Running {
    shared: Arc<Shared>,
    allowed: watch::Sender<usize>,
    customers: JoinSet<Vec<Attempt>>,
}

impl Running {
    fn start(load: &Load, orders: Vec<Order>) -> Self {
        let (allowed, receiver) = watch::channel(load.allowed);
        let pace = load.per_second.map(Pace::new);
        let shared = Arc::new(Shared {
            addr: load.addr,
            orders,
            next: AtomicUsize::new(0),
            accepted: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            allowed: receiver,
            pace,
        });
        let mut customers = JoinSet::new();
        for _ in 0..load.connections {
            customers.spawn(buy_until_done(Arc::clone(&shared)));
        }
        Self {
            shared,
            allowed,
            customers,
        }
    }

    /// Lets orders up to this number be sent.
    pub fn allow(&self, orders: usize) {
        self.allowed.send_replace(orders);
    }

    /// Orders that were begun so far: at most this many were sent.
    pub fn begun(&self) -> usize {
        self.shared.next.load(Ordering::Relaxed)
    }

    /// 201s so far.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Other answers so far.
    pub fn refused(&self) -> usize {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// Lets nobody begin another order, and tells what became of those that were sent.
    ///
    /// # Panics
    /// If those under way take longer than this.
    pub async fn stop(mut self, within: Duration) -> Vec<Attempt> {
        self.allow(0);
        // Who waits to be allowed learns that nobody will.
        self.allowed = watch::channel(0).0;
        self.finish(within).await
    }

    /// Waits for every customer and tells what became of every order that was sent.
    ///
    /// # Panics
    /// If that takes longer than this.
    pub async fn finish(mut self, within: Duration) -> Vec<Attempt> {
        let mut attempts = Vec::with_capacity(self.shared.orders.len());
        let all = async {
            while let Some(customer) = self.customers.join_next().await {
                attempts.extend(customer.unwrap_or_else(|error| panic!("a customer: {error}")));
            }
        };
        if tokio::time::timeout(within, all).await.is_err() {
            let (accepted, refused) = (self.accepted(), self.refused());
            panic!(
                "the load did not end within {within:?}: {accepted} accepted, {refused} refused"
            );
        }
        attempts
    }
}
