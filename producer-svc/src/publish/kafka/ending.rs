//! How a Kafka client ends: its last records, and itself.
//!
//! In: a client, and how long its last records may take. Out: each record's report, by the library. It
//! blocks, and writes nothing new.

use std::time::{Duration, Instant};

use rdkafka::producer::{Producer, PurgeConfig, ThreadedProducer};

use super::{Context, KafkaLog};

const FLUSH_EVERY: Duration = Duration::from_millis(2);
/// Much less than the library waits before it sends something again.
const PURGE_EVERY: Duration = Duration::from_millis(20);
/// How long the library may take to report on what it is told to forget.
const FORGOTTEN_WITHIN: Duration = Duration::from_secs(1);

/// What becomes of records that are not at the broker.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum End {
    /// They are sent.
    AllSent,
    /// They are given up. What comes back from the broker is not sent again, either; what does not may
    /// still be confirmed.
    NothingSent,
}

impl KafkaLog {
    /// Waits for all reports, and gives up what has none when the time is over. How many are missing.
    ///
    /// The library's own `flush` is not used: it polls beside the polling thread, for 100 ms at
    /// least. Lingering records need no push, they leave within milliseconds.
    pub(super) fn end(&self, within: Duration, end: End) -> usize {
        let left = match end {
            End::AllSent => self.wait(within, FLUSH_EVERY, |_| {}),
            End::NothingSent => self.wait(within, PURGE_EVERY, |producer| {
                producer.purge(PurgeConfig::default().queue());
            }),
        };
        if left == 0 {
            return 0;
        }
        // Wherever they are: nobody will know.
        self.wait(FORGOTTEN_WITHIN, PURGE_EVERY, |producer| {
            producer.purge(PurgeConfig::default().queue().inflight());
        })
    }

    /// Does this again and again until every record is reported on, or the time is over. How many are not.
    fn wait(
        &self,
        within: Duration,
        every: Duration,
        again: impl Fn(&ThreadedProducer<Context>),
    ) -> usize {
        let until = Instant::now() + within;
        let Some(producer) = self.producer() else {
            return 0;
        };
        loop {
            again(producer);
            let left = producer.in_flight_count();
            if left <= 0 || Instant::now() >= until {
                return usize::try_from(left).unwrap_or(0);
            }
            std::thread::park_timeout(every);
        }
    }
}

impl Drop for KafkaLog {
    /// Dropping a producer purges what it still holds (each record gets its report) and blocks for
    /// up to a second; the dropping thread may be one of the runtime's. Who wants everything
    /// delivered flushes before.
    fn drop(&mut self) {
        if let Some(producer) = self.producer.take() {
            let closing = std::thread::Builder::new()
                .name("kafka-close".to_owned())
                .spawn(move || drop(producer));
            if let Err(error) = closing {
                tracing::error!(%error, "no thread to close the Kafka producer on");
            }
        }
    }
}
