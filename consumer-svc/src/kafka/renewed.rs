//! A client that nothing is kept in, and that another one may therefore replace at any time.
//!
//! In: how to make one, and who found one to be of no use. Out: the present one. librdkafka takes an answer
//! to its Metadata request that names no broker as the truth, as a broker gives one in the moment after it was
//! fenced: it forgets all of them, those of the configuration included, and never looks for one again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::error::KafkaResult;
use tracing::debug;

use super::REACHES_WITHIN;

type Make<T> = Box<dyn Fn() -> KafkaResult<T> + Send + Sync>;

/// The present client.
pub(crate) struct Renewed<T> {
    make: Make<T>,
    /// What each has to reach somebody.
    time: Duration,
    present: Mutex<(Arc<T>, Instant)>,
}

impl<T> Renewed<T> {
    /// Makes the first.
    pub(crate) fn new(
        make: impl Fn() -> KafkaResult<T> + Send + Sync + 'static,
    ) -> KafkaResult<Self> {
        Self::within(REACHES_WITHIN, make)
    }

    /// As [`new`](Self::new), where each has so much time to reach somebody.
    pub(crate) fn within(
        time: Duration,
        make: impl Fn() -> KafkaResult<T> + Send + Sync + 'static,
    ) -> KafkaResult<Self> {
        let first = (Arc::new(make()?), Instant::now());
        Ok(Self {
            make: Box::new(make),
            time,
            present: Mutex::new(first),
        })
    }

    /// The one to use now.
    pub(crate) fn get(&self) -> Arc<T> {
        let present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&present.0)
    }

    /// This one was used in vain. If it had the time to reach somebody, the next is used in its place;
    /// whoever still uses this one may go on. Blocks: who is the last to hold a client closes it.
    pub(crate) fn in_vain(&self, client: Arc<T>) {
        self.in_vain_at(client, Instant::now());
    }

    fn in_vain_at(&self, client: Arc<T>, now: Instant) {
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        let (it, made) = &*present;
        let young = now.saturating_duration_since(*made) < self.time;
        if young || !Arc::ptr_eq(it, &client) {
            return;
        }
        match (self.make)() {
            Ok(next) => *present = (Arc::new(next), now),
            Err(cause) => debug!(%cause, "no other client can be made"),
        }
        drop(present);
        drop(client);
    }
}

/// Lets go of a client in a task, which must not block: who is the last to hold one closes it, so that is done
/// on a thread that may.
pub(crate) fn let_go<T: Send + Sync + 'static>(client: Arc<T>) {
    if let Some(last) = Arc::into_inner(client) {
        drop(tokio::task::spawn_blocking(move || drop(last)));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use rdkafka::error::KafkaError;

    use super::*;

    fn numbered() -> Renewed<u32> {
        let made = AtomicU32::new(0);
        Renewed::new(move || match made.fetch_add(1, Ordering::Relaxed) {
            2 => Err(KafkaError::Canceled),
            number => Ok(number),
        })
        .unwrap()
    }

    #[test]
    fn a_client_that_had_its_time_is_replaced_once_however_many_used_it_in_vain() {
        let (clients, begin) = (numbered(), Instant::now());
        let (one, other) = (clients.get(), clients.get());
        clients.in_vain_at(Arc::clone(&one), begin);
        assert_eq!(*clients.get(), 0, "it may yet connect");
        let late = begin + REACHES_WITHIN + Duration::from_secs(1);
        clients.in_vain_at(one, late);
        clients.in_vain_at(other, late + REACHES_WITHIN);
        assert_eq!(*clients.get(), 1, "the other spoke of the first");
    }

    #[test]
    fn each_has_the_same_time_and_none_goes_before_there_is_another() {
        let (clients, mut now) = (numbered(), Instant::now());
        let mut seen = Vec::new();
        for _ in 0..4 {
            now += REACHES_WITHIN + Duration::from_secs(1);
            clients.in_vain_at(clients.get(), now);
            clients.in_vain_at(clients.get(), now);
            seen.push(*clients.get());
        }
        assert_eq!(seen, [1, 3, 4, 5]);
    }

    /// Tells in which thread it is closed.
    struct Client(std::sync::mpsc::Sender<std::thread::ThreadId>);

    impl Drop for Client {
        fn drop(&mut self) {
            self.0.send(std::thread::current().id()).unwrap();
        }
    }

    #[tokio::test]
    async fn the_last_who_lets_go_of_a_client_in_a_task_does_not_close_it_there() {
        let (closed, closes) = std::sync::mpsc::channel();
        let client = Arc::new(Client(closed));
        let other = Arc::clone(&client);
        let_go(client);
        assert!(closes.try_recv().is_err(), "the other still uses it");
        let_go(other);
        let wait = Duration::from_secs(10);
        assert_ne!(
            closes.recv_timeout(wait).unwrap(),
            std::thread::current().id()
        );
    }
}
