//! How much of something that is limited for all one client may hold at once.
//!
//! In: a client. Out: a share, which it holds until that is dropped, or nothing. The book knows only
//! clients that hold something, so it is as bounded as what they hold.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::client::key;

/// The book of who holds how much. Clones are one book.
#[derive(Clone)]
pub struct Shares {
    most: usize,
    held: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One of a client's shares, until it is dropped.
pub struct Share {
    book: Shares,
    client: IpAddr,
}

impl Shares {
    /// At most so many each.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            held: Arc::default(),
        }
    }

    /// One more for this client, if it does not hold all that it may.
    pub fn take(&self, client: IpAddr) -> Option<Share> {
        let client = key(client);
        let mut held = self.held();
        let count = held.get(&client).copied().unwrap_or(0);
        if count >= self.most {
            return None;
        }
        held.insert(client, count + 1);
        Some(Share {
            book: self.clone(),
            client,
        })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.book.held();
        if let Some(count) = held.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.client);
            }
        }
    }
}

impl fmt::Debug for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shares")
            .field("most", &self.most)
            .field("clients", &self.held().len())
            .finish()
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share")
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_holds_its_share_and_no_more_and_is_forgotten_with_the_last() {
        let shares = Shares::new(2);
        let (one, other) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let first = shares.take(one).unwrap();
        let second = shares.take(one).unwrap();
        assert!(shares.take(one).is_none());
        let its = shares.take(other).unwrap();
        drop(first);
        let third = shares.take(one).unwrap();
        assert!(shares.take(one).is_none());
        drop((second, third, its));
        assert!(shares.held().is_empty());
    }

    #[test]
    fn one_network_of_ipv6_is_one_client() {
        let shares = Shares::new(1);
        let _held = shares.take("2001:db8::1".parse().unwrap()).unwrap();
        assert!(shares.take("2001:db8::2".parse().unwrap()).is_none());
    }
}
