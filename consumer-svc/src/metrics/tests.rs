//! What the gauges of a partition say while it is held, not known, and given away.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use metrics::{Key, KeyName, Metadata, Recorder, SharedString, Unit};

use super::*;
use crate::lane::tests::patient;

type Kept = Mutex<BTreeMap<String, Arc<AtomicU64>>>;

/// Keeps gauges by name, all of one partition, and counters by name and value of their label.
#[derive(Default)]
pub(crate) struct Gauges(Kept, Kept);

impl Gauges {
    pub(crate) fn of(&self, name: &str) -> f64 {
        let kept = self.0.lock().unwrap();
        let bits = kept.get(name).expect(name).load(Ordering::Relaxed);
        f64::from_bits(bits)
    }

    fn count(&self, name: &str, label: &str) -> u64 {
        let kept = self.1.lock().unwrap();
        let count = kept.get(&format!("{name} {label}"));
        count.map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

impl Recorder for Gauges {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let label = key.labels().map(metrics::Label::value).collect::<String>();
        let name = format!("{} {label}", key.name());
        let mut kept = self.1.lock().unwrap();
        Counter::from_arc(Arc::clone(kept.entry(name).or_default()))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let mut kept = self.0.lock().unwrap();
        Gauge::from_arc(Arc::clone(kept.entry(key.name().to_owned()).or_default()))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[test]
fn a_partition_that_is_given_away_adds_nothing_to_a_sum_over_members() {
    let gauges = Gauges::default();
    metrics::with_local_recorder(&gauges, || {
        let lanes = patient();
        lanes.open(3).pulse().begin(7);
        lanes.publish();
        lanes.lags(&BTreeMap::from([(3, 40)]));
        committed(3, 100);
        let held = [AHEAD, LAG, LAG_KNOWN, COMMITTED].map(|name| gauges.of(name));
        assert_eq!(held, [7.0, 40.0, 1.0, 100.0]);
        lanes.close(3);
        // A look that was under way when it went.
        lanes.lags(&BTreeMap::from([(3, 40)]));
        lanes.publish();
        let gone = [AHEAD, LAG, LAG_KNOWN, COMMITTED].map(|name| gauges.of(name));
        assert_eq!(gone, [0.0; 4]);
    });
}

#[test]
fn one_that_waits_or_is_stopped_when_it_goes_is_not_shown_as_stopped_here() {
    let gauges = Gauges::default();
    metrics::with_local_recorder(&gauges, || {
        let lanes = patient();
        let lane = lanes.open(3);
        lane.waits(Cause::Statistics, "no answer");
        assert_eq!(gauges.of(STOPPED), 1.0);
        lanes.close(3);
        assert_eq!(gauges.of(STOPPED), 0.0);
        // Whoever opens it has not heard that it goes.
        lane.waits(Cause::Statistics, "still no answer");
        assert_eq!(gauges.of(STOPPED), 0.0);
        lane.halt(Cause::OtherLog, "made anew");
        let_go(3);
        assert_eq!(gauges.of(STOPPED), 0.0);
    });
}

#[test]
fn each_cause_that_a_partition_waits_for_is_counted_once_however_often_it_is_told() {
    let gauges = Gauges::default();
    metrics::with_local_recorder(&gauges, || {
        let lanes = patient();
        let lane = lanes.open(3);
        for (cause, reason) in [
            (Cause::StartUnknown, "no leader"),
            (Cause::Statistics, "no answer"),
            (Cause::Statistics, "down"),
        ] {
            lane.waits(cause, reason);
        }
        let counts =
            [Cause::StartUnknown, Cause::Statistics].map(|one| gauges.count(STOPS, one.label()));
        assert_eq!(counts, [1, 1]);
    });
}

#[test]
fn a_lag_that_nobody_could_learn_is_not_shown_as_known() {
    let gauges = Gauges::default();
    metrics::with_local_recorder(&gauges, || {
        let lanes = patient();
        lanes.open(3);
        lanes.lags(&BTreeMap::from([(3, 40)]));
        assert_eq!(gauges.of(LAG_KNOWN), 1.0);
        lanes.lags(&BTreeMap::new());
        assert_eq!(gauges.of(LAG_KNOWN), 0.0);
    });
}

#[test]
fn the_age_of_the_oldest_grows_while_nothing_arrives_and_ends_with_its_settlement() {
    let gauges = Gauges::default();
    metrics::with_local_recorder(&gauges, || {
        let lanes = patient();
        let lane = lanes.open(3);
        let epoch = actors::Epoch::next();
        lane.begin(epoch);
        lane.admitted(2);
        std::thread::sleep(Duration::from_millis(2));
        lanes.publish();
        let first = gauges.of(OLDEST);
        assert!(first > 0.0);
        assert_eq!(gauges.of(EPOCH), epoch.get() as f64);
        std::thread::sleep(Duration::from_millis(2));
        lanes.publish();
        assert!(gauges.of(OLDEST) > first);
        lane.passed(2, 2);
        lanes.publish();
        assert_eq!(gauges.of(OLDEST), 0.0);
        lane.admitted(1);
        lanes.close(3);
        lanes.publish();
        assert_eq!([OLDEST, EPOCH].map(|name| gauges.of(name)), [0.0; 2]);
    });
}
