//! The numbers that reach the recorder of the process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use actors::testkit::{Probe, kill, until};
use actors::{Addr, Cost, Credits, Strategy, System};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};

use crate::support::eager;

/// Keeps the last or summed value of every key.
#[derive(Clone, Default)]
struct Book(Arc<Mutex<BTreeMap<String, f64>>>);

struct Entry(Book, String);

impl Entry {
    fn change(&self, change: impl FnOnce(f64) -> f64) {
        let mut book = self.0.0.lock().unwrap();
        let value = book.entry(self.1.clone()).or_default();
        *value = change(*value);
    }
}

impl CounterFn for Entry {
    fn increment(&self, value: u64) {
        self.change(|known| known + value as f64);
    }
    fn absolute(&self, value: u64) {
        self.change(|known| known.max(value as f64));
    }
}

impl GaugeFn for Entry {
    fn increment(&self, value: f64) {
        self.change(|known| known + value);
    }
    fn decrement(&self, value: f64) {
        self.change(|known| known - value);
    }
    fn set(&self, value: f64) {
        self.change(|_| value);
    }
}

impl HistogramFn for Entry {
    fn record(&self, _value: f64) {
        self.change(|count| count + 1.0);
    }
}

impl Book {
    fn entry(&self, key: &Key) -> Arc<Entry> {
        let labels: Vec<_> = key
            .labels()
            .map(|label| format!("{}={}", label.key(), label.value()))
            .collect();
        Arc::new(Entry(
            self.clone(),
            format!("{}{{{}}}", key.name(), labels.join(",")),
        ))
    }

    fn get(&self, key: &str) -> Option<f64> {
        self.0.lock().unwrap().get(key).copied()
    }
}

impl Recorder for Book {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.entry(key))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.entry(key))
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.entry(key))
    }
}

#[tokio::test(start_paused = true)]
async fn actors_and_credits_are_measured() {
    let book = Book::default();
    let _recording = metrics::set_default_local_recorder(&book);
    let (a, probe) = (Addr::new("a"), Probe::<u32>::new());
    let system = System::start(
        "measured",
        eager(Strategy::OneForOne).child(probe.child("a", &a)),
    )
    .await
    .unwrap();
    let credits = Credits::new(
        "measured",
        Cost {
            count: 10,
            bytes: 100,
        },
    );
    let held = credits
        .try_take(Cost {
            count: 3,
            bytes: 30,
        })
        .unwrap();
    for number in 0..40 {
        a.send(number).unwrap();
    }
    until("all are handled", || probe.len() == 40).await;
    assert!(kill(&a));
    until("it is back", || probe.epochs().len() == 2).await;
    a.send(40).unwrap();
    until("one more is handled", || probe.len() == 41).await;
    system.handle().publish_metrics();
    system.handle().publish_metrics();
    let get = |key: &str| {
        book.get(key)
            .unwrap_or_else(|| panic!("no {key} in {:?}", book.0.lock().unwrap()))
    };
    assert_eq!(get("actors_handled_total{actor=measured/a}"), 41.0);
    assert_eq!(get("actors_failed_total{actor=measured/a}"), 1.0);
    assert_eq!(get("actors_restarts_total{actor=measured/a}"), 1.0);
    assert_eq!(get("actors_mailbox_depth{actor=measured/a}"), 0.0);
    assert_eq!(get("actors_in_flight{actor=measured/a}"), 0.0);
    assert_eq!(
        get("actors_handle_seconds{actor=measured/a}"),
        4.0,
        "one in 16: 0, 16, 32, and the first of the next"
    );
    assert_eq!(get("credits_in_use{credits=measured,unit=records}"), 3.0);
    assert_eq!(get("credits_in_use{credits=measured,unit=bytes}"), 30.0);
    assert_eq!(get("credits_limit{credits=measured,unit=records}"), 10.0);
    assert!(book.get("receipts_settled_total{outcome=failed}").is_some());
    assert!(book.get("receipts_fenced_total{}").is_some());
    drop(held);
    drop(credits);
    system.handle().publish_metrics();
    for unit in ["records", "bytes"] {
        for gauge in ["credits_in_use", "credits_limit"] {
            let gone = get(&format!("{gauge}{{credits=measured,unit={unit}}}"));
            assert_eq!(gone, 0.0, "an account that is gone has nothing to give");
        }
    }
}
