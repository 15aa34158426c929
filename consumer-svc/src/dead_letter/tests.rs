//! Letters are delivered before they are settled.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use actors::{Delivery, Epoch, Position, Settle, Settled};

use super::*;
use crate::flow::Note;

/// Fails as often as it is told, then delivers.
struct Letters {
    failures: AtomicU32,
    delivered: Mutex<Vec<i64>>,
}

impl LetterBox for Arc<Letters> {
    async fn deliver(&self, record: &BadRecord) -> Result<(), String> {
        let left = self
            .failures
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        if left.is_ok() {
            return Err("no broker".into());
        }
        self.delivered.lock().unwrap().push(record.origin.offset);
        Ok(())
    }
}

struct Books {
    letters: Arc<Letters>,
    settled: Mutex<Vec<Outcome>>,
}

impl Settle<Note> for Books {
    fn settled(&self, batch: Vec<Settled<Note>>) {
        for settled in batch {
            let delivered = self
                .letters
                .delivered
                .lock()
                .unwrap()
                .contains(&(settled.position.seq as i64));
            assert!(delivered, "settled before its letter was delivered");
            self.settled.lock().unwrap().push(settled.outcome);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_is_settled_only_after_its_letter_was_confirmed() {
    let letters = Arc::new(Letters {
        failures: AtomicU32::new(25),
        delivered: Mutex::default(),
    });
    let books = Arc::new(Books {
        letters: Arc::clone(&letters),
        settled: Mutex::default(),
    });
    let batch = (0..3).map(|offset| {
        let record = BadRecord {
            key: None,
            value: Some(b"?".to_vec()),
            headers: vec![],
            reason: "not JSON".into(),
            origin: Origin {
                topic: Arc::from("purchases"),
                partition: 0,
                offset,
            },
        };
        let position = Position {
            lane: 0,
            epoch: Epoch::next(),
            seq: offset as u64,
        };
        let outlet: actors::Outlet<Note> = Arc::clone(&books) as _;
        Delivery {
            value: record,
            receipt: Receipt::new(position, outlet, None),
        }
    });
    DeadLetters::new(Arc::clone(&letters), Duration::from_secs(1))
        .write(batch.collect())
        .await;
    assert_eq!(
        *books.settled.lock().unwrap(),
        vec![Outcome::DeadLettered; 3]
    );
}
