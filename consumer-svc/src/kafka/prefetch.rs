//! Pure: how much the client may hold of each partition, so that all together stay within one bound.
//!
//! In: the bound, and how many partitions this member may come to hold. Out: the client's properties.
//! The client knows bounds of single partitions only, once their queues are split off, and takes them when it
//! is made: so they are shares, and a member that comes to hold more partitions makes a new client.

use rdkafka::config::ClientConfig;

/// Everything that was fetched and not read yet, over all partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefetch {
    /// Records.
    pub records: usize,
    /// Bytes of their values, which is what the client weighs.
    pub bytes: usize,
}

/// One partition's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// Where more is fetched below this.
    records: usize,
    /// And below this.
    kibibytes: usize,
    /// What one fetch brings of it beyond that, or one batch as its producer made it.
    fetch: usize,
}

/// What one fetch brings of a partition at most.
const FETCH: usize = 1 << 20;
/// Less is not worth a request.
const LEAST_FETCH: usize = 4 << 10;

impl Prefetch {
    pub(crate) fn share(&self, partitions: usize) -> Share {
        let partitions = partitions.max(1);
        let bytes = self.bytes / partitions;
        let fetch = (bytes / 4).clamp(LEAST_FETCH, FETCH);
        Share {
            records: (self.records / partitions).max(1),
            kibibytes: (bytes.saturating_sub(fetch) >> 10).max(1),
            fetch,
        }
    }
}

impl Share {
    pub(crate) fn set(&self, client: &mut ClientConfig) {
        client
            .set("queued.min.messages", self.records.to_string())
            .set("queued.max.messages.kbytes", self.kibibytes.to_string())
            .set("fetch.message.max.bytes", self.fetch.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_any_number_of_partitions_are_within_the_bound_together() {
        let whole = Prefetch {
            records: 15_000,
            bytes: 16 << 20,
        };
        for partitions in 0..=1_000 {
            let share = whole.share(partitions);
            assert!(share.records * partitions <= whole.records);
            let each = (share.kibibytes << 10) + share.fetch;
            assert!(each * partitions <= whole.bytes, "{partitions}: {share:?}");
        }
        let three = whole.share(3);
        assert_eq!((three.records, three.fetch), (5_000, FETCH));
        assert!(three.kibibytes > 4 << 10, "{three:?}");
        let many = whole.share(1_000_000);
        assert_eq!((many.records, many.kibibytes), (1, 1), "still something");
    }
}
