//! What customers know of their orders, kept small: a million of them fit easily. In: answers, as
//! they come. Out: the orders, once all is over.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use e2e::answer::{Accepted, Event};
use e2e::wrongs::Wrongs;
use purchases::{PurchaseId, Timestamp};

use crate::ledger::{Id, Order, Sale, Told};

/// Notes of all customers.
pub(crate) struct Book {
    orders: Mutex<Vec<Order>>,
    odd: Mutex<Wrongs>,
}

impl Book {
    pub(crate) fn new(orders: usize) -> Self {
        Self {
            orders: Mutex::new(vec![Order::default(); orders]),
            odd: Mutex::default(),
        }
    }

    pub(crate) fn sent(&self, number: usize, promised: Option<Id>) {
        let order = &mut lock(&self.orders)[number];
        (order.sent, order.promised) = (true, promised);
    }

    pub(crate) fn unknown(&self, number: usize) {
        lock(&self.orders)[number].unknown += 1;
    }

    /// Notes a 201. A second one has to say what the first one said.
    pub(crate) fn accepted(&self, number: usize, accepted: &Accepted) {
        let told = Told {
            sale: sale(&accepted.purchase_id, &accepted.purchase),
            partition: accepted.kafka_partition,
            offset: accepted.kafka_offset,
        };
        let first = *lock(&self.orders)[number].told.get_or_insert(told);
        if (first.sale.id, first.sale.content) != (told.sale.id, told.sale.content) {
            self.odd("retries that were told of another purchase", || {
                format!("order {number}: first {first:?}, then {told:?}")
            });
        }
    }

    /// Notes what should not be.
    pub(crate) fn odd(&self, kind: &str, example: impl FnOnce() -> String) {
        lock(&self.odd).add(kind, example);
    }

    pub(crate) fn close(self) -> (Vec<Order>, Wrongs) {
        let orders = self.orders.into_inner();
        let odd = self.odd.into_inner();
        (
            orders.unwrap_or_else(PoisonError::into_inner),
            odd.unwrap_or_else(PoisonError::into_inner),
        )
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The buyer's name of this order.
pub(crate) fn username(number: usize) -> String {
    format!("order {number}")
}

/// A purchase as an answer, a record or a document tells it. What cannot be read becomes a value
/// that nothing else is equal to.
pub(crate) fn sale(id: &str, event: &Event) -> Sale {
    let order = event.username.strip_prefix("order ");
    let cents = (event.price * 100.0).round() as i64;
    let mut digest = DefaultHasher::new();
    (&event.user_id, &event.item_name, cents).hash(&mut digest);
    Sale {
        id: id_of(id).unwrap_or_default(),
        order: order
            .and_then(|number| number.parse().ok())
            .unwrap_or(u32::MAX),
        content: digest.finish(),
        time: Timestamp::parse(&event.timestamp).map_or(i64::MIN, Timestamp::as_millis),
    }
}

/// An id from its 24 digits.
pub(crate) fn id_of(hex: &str) -> Option<Id> {
    let id: PurchaseId = hex.parse().ok()?;
    Some(*id.as_bytes())
}
