//! Where the statistics are put up: the stats stage writes, the query routes read.
//!
//! In: figures, or the news that there are none. Out: the newest of either, to any number of
//! readers, and to the writer whether anybody asks at all. Nobody who reads causes work of their
//! own: many readers cost what one costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use host::web::fixed::tag;
use http::HeaderValue;
use tokio::sync::watch;
use tokio::time::Instant;

/// The statistics at one moment, as they are sent.
#[derive(Debug)]
pub struct Figures {
    /// Milliseconds of the moment: newer figures have larger ids, on any pod.
    pub id: i64,
    /// The JSON document.
    pub json: Bytes,
    /// Strong: a hash of the very bytes. Made once, however many ask.
    pub tag: HeaderValue,
}

impl Figures {
    /// Figures of this moment.
    pub fn new(id: i64, json: Bytes) -> Self {
        let tag = tag(&json);
        Self { id, json, tag }
    }
}

/// What the board says.
#[derive(Clone, Debug)]
pub enum Posted {
    /// Nobody has looked yet.
    Nothing,
    /// These were read then.
    Figures(Arc<Figures>, Instant),
    /// They could not be read then.
    Unavailable(Instant),
}

/// Wakes the writer. Answers whether there was one to wake.
pub type Wake = Arc<dyn Fn() -> bool + Send + Sync>;

/// The board. Clones are one thing.
#[derive(Clone)]
pub struct Board {
    posted: watch::Sender<Posted>,
    /// Collapses any number of readers into one message to the writer.
    asked: Arc<AtomicBool>,
    wake: Wake,
}

impl Board {
    /// An empty board whose writer is woken by `wake`.
    pub fn new(wake: Wake) -> Self {
        Self {
            posted: watch::Sender::new(Posted::Nothing),
            asked: Arc::default(),
            wake,
        }
    }

    /// Puts something up.
    pub fn post(&self, posted: Posted) {
        self.posted.send_replace(posted);
    }

    /// What it says now.
    pub fn read(&self) -> Posted {
        self.posted.borrow().clone()
    }

    /// To be told of what is put up from now on. Who holds it counts as somebody who asks.
    pub fn watch(&self) -> watch::Receiver<Posted> {
        self.posted.subscribe()
    }

    /// Asks for something newer than what is there.
    pub fn ask(&self) {
        if !self.asked.swap(true, Ordering::AcqRel) && !(self.wake)() {
            // Nobody there: whoever asks next wakes the successor.
            self.asked.store(false, Ordering::Release);
        }
    }

    /// Whether anybody asked since this was last called, or watches.
    pub fn is_wanted(&self) -> bool {
        let asked = self.asked.swap(false, Ordering::AcqRel);
        asked || self.posted.receiver_count() > 0
    }
}
