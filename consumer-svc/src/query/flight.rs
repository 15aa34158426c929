//! One read for everybody who asks the same thing while it is under way.
//!
//! In: questions with a key. Out: the answer of one read to all who asked meanwhile. The read is a task
//! of its own: whoever asked may go without taking it from the others, and a driver's future is never
//! dropped half way. An answer, good or bad, goes to those who wait for it and to nobody who comes
//! later. So it is at most as old as one read takes.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// The reads that are under way. Clones are one thing.
pub(super) struct Flights<K, V> {
    under_way: Book<K, V>,
}

type Book<K, V> = Arc<Mutex<HashMap<K, watch::Receiver<Option<V>>>>>;

/// The read ended without an answer: it panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost;

/// Whether an answer was read for this question or for an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// This one began the read.
    Began,
    /// It had begun already.
    Joined,
}

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        let under_way = Arc::default();
        Self { under_way }
    }
}

impl<K, V> Flights<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The answer to this question: that of the read that is under way, or of `read`.
    pub(super) async fn share<F>(
        &self,
        key: K,
        read: impl FnOnce() -> F,
    ) -> (Share, Result<V, Lost>)
    where
        F: Future<Output = V> + Send + 'static,
    {
        let (share, mut answer) = {
            let mut under_way = lock(&self.under_way);
            match under_way.get(&key) {
                Some(answer) => (Share::Joined, answer.clone()),
                None => {
                    let (sender, answer) = watch::channel(None);
                    under_way.insert(key.clone(), answer.clone());
                    let landing = Landing {
                        book: Arc::clone(&self.under_way),
                        key,
                    };
                    let read = read();
                    drop(tokio::spawn(async move {
                        let value = read.await;
                        // Off the book first: who comes from here on asks anew.
                        drop(landing);
                        sender.send_replace(Some(value));
                    }));
                    (Share::Began, answer)
                }
            }
        };
        let landed = answer.wait_for(Option::is_some).await;
        let value = landed.ok().and_then(|value| value.clone());
        (share, value.ok_or(Lost))
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        lock(&self.under_way).len()
    }
}

/// Takes a read off the book, however it ends.
struct Landing<K: Eq + Hash, V> {
    book: Book<K, V>,
    key: K,
}

impl<K: Eq + Hash, V> Drop for Landing<K, V> {
    fn drop(&mut self) {
        lock(&self.book).remove(&self.key);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    type Counted = Result<usize, &'static str>;

    /// A read that takes a second and tells its number.
    fn numbered(
        reads: &Arc<AtomicUsize>,
        fails: bool,
    ) -> impl Future<Output = Counted> + Send + use<> {
        let number = reads.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if fails { Err("away") } else { Ok(number) }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_the_same_at_the_same_time_shares_one_read_and_later_ones_do_not() {
        let (flights, reads) = (Flights::default(), Arc::default());
        let ask = |key| flights.share(key, || numbered(&reads, false));
        let (one, two, other) = tokio::join!(ask("u1"), ask("u1"), ask("u2"));
        assert_eq!(one, (Share::Began, Ok(Ok(1))));
        assert_eq!(two, (Share::Joined, Ok(Ok(1))));
        assert_eq!(other, (Share::Began, Ok(Ok(2))));
        assert_eq!(ask("u1").await, (Share::Began, Ok(Ok(3))));
        assert_eq!(flights.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_goes_away_cancels_nothing() {
        let (flights, reads) = (Flights::default(), Arc::default());
        let ask = || flights.share("u1", || numbered(&reads, false));
        let gone = tokio::time::timeout(Duration::from_millis(300), ask()).await;
        assert!(gone.is_err());
        assert_eq!(ask().await, (Share::Joined, Ok(Ok(1))));
        // Also when nobody is left: it comes to its end by itself.
        let gone = tokio::time::timeout(Duration::from_millis(300), ask()).await;
        assert!(gone.is_err() && flights.len() == 1);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!((flights.len(), reads.load(Ordering::SeqCst)), (0, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_is_told_to_those_who_wait_and_to_nobody_else() {
        let (flights, reads) = (Flights::default(), Arc::<AtomicUsize>::default());
        let ask = |fails| {
            let reads = Arc::clone(&reads);
            flights.share("u1", move || numbered(&reads, fails))
        };
        let (one, two) = tokio::join!(ask(true), ask(false));
        assert_eq!((one.1, two.1), (Ok(Err("away")), Ok(Err("away"))));
        assert_eq!(ask(false).await.1, Ok(Ok(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_panics_is_lost_for_those_who_wait_and_blocks_nobody() {
        let flights = Flights::default();
        let panics = || async { panic!("planned panic") };
        assert_eq!(flights.share("u1", panics).await.1, Err::<u8, _>(Lost));
        assert_eq!(
            flights.share("u1", || async { 7 }).await,
            (Share::Began, Ok(7))
        );
    }
}
