//! One customer of many: a connection, and one order after the other on it.
//!
//! In: what all customers share. Out: what became of each order that this one sent.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use super::{Attempt, Order, Outcome};
use crate::answer;
use crate::http::{Answer, Connection, Unanswered};

/// What all connections share.
pub(super) struct Shared {
    pub(super) addr: SocketAddr,
    pub(super) orders: Vec<Order>,
    pub(super) next: AtomicUsize,
    pub(super) accepted: AtomicUsize,
    pub(super) refused: AtomicUsize,
    pub(super) allowed: watch::Receiver<usize>,
    pub(super) pace: Option<Pace>,
}

/// Slots in time, one an order.
pub(super) struct Pace {
    every: Duration,
    slot: Mutex<Instant>,
}

impl Pace {
    pub(super) fn new(per_second: u32) -> Self {
        Self {
            every: Duration::from_secs(1) / per_second,
            slot: Mutex::new(Instant::now()),
        }
    }

    async fn wait(&self) {
        let mine = {
            let mut slot = self.slot.lock().await;
            // Time that nobody used is lost, so that a pause is not followed by a flood.
            let mine = (*slot).max(Instant::now());
            *slot = mine + self.every;
            mine
        };
        tokio::time::sleep_until(mine).await;
    }
}

/// One customer: buys until nothing is left to buy, or until nobody listens any more.
pub(super) async fn buy_until_done(shared: Arc<Shared>) -> Vec<Attempt> {
    let mut allowed = shared.allowed.clone();
    let (mut attempts, mut connection, mut last) = (Vec::new(), None, Instant::now());
    loop {
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        let Some(order) = shared.orders.get(number) else {
            return attempts;
        };
        if allowed.wait_for(|allowed| number < *allowed).await.is_err() {
            return attempts;
        }
        if let Some(pace) = &shared.pace {
            pace.wait().await;
        }
        let (kept, pause, began) = (connection.is_some(), last.elapsed(), Instant::now());
        let answered = exchange(shared.addr, &mut connection, order).await;
        last = Instant::now();
        let mut patience = Duration::ZERO;
        let outcome = match answered {
            Ok(answer) => {
                if answer.closes() {
                    connection = None;
                }
                match answer::read(&answer) {
                    Ok(accepted) => {
                        shared.accepted.fetch_add(1, Ordering::Relaxed);
                        Outcome::Accepted(accepted)
                    }
                    Err(refused) => {
                        shared.refused.fetch_add(1, Ordering::Relaxed);
                        patience = Duration::from_secs(refused.retry_after.unwrap_or(0));
                        Outcome::Refused(refused)
                    }
                }
            }
            Err(how) => {
                connection = None;
                Outcome::Unanswered { how, kept, pause }
            }
        };
        let shut = matches!(
            &outcome,
            Outcome::Unanswered {
                how: Unanswered::NotConnected(_),
                ..
            }
        );
        attempts.push(Attempt {
            order: order.clone(),
            outcome,
            began,
            ended: last,
        });
        if shut {
            return attempts;
        }
        // A customer does what the answer asks for.
        tokio::time::sleep(patience).await;
    }
}

async fn exchange(
    addr: SocketAddr,
    connection: &mut Option<Connection>,
    order: &Order,
) -> Result<Answer, Unanswered> {
    let open = match connection {
        Some(open) => open,
        None => connection.insert(Connection::open(addr).await?),
    };
    open.send(order.request()).await
}
