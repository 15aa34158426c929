//! Partitions that are stopped, that wait, and that go on.

use super::*;

/// Partitions that nothing stops by itself.
pub(crate) fn patient() -> Lanes {
    strict(1_000_000)
}

/// Partitions that so many bad records in a row stop.
pub(crate) fn strict(run: usize) -> Lanes {
    Lanes::new(limits(run), Box::new(|_| ()))
}

/// Partitions whose reasons for being stopped go there.
pub(crate) fn heard(report: Report) -> Lanes {
    Lanes::new(limits(1_000_000), report)
}

fn limits(run: usize) -> BadLimits {
    BadLimits {
        run,
        window: 1_000,
        percent: 100,
    }
}

fn bad(offset: u64) -> Bad<'static> {
    Bad {
        offset,
        came_back: false,
        reason: "no JSON",
    }
}

fn reported() -> (Lanes, Arc<Mutex<Vec<Option<String>>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&told);
    let report = Box::new(move |reason| locked(&sink).push(reason));
    (Lanes::new(limits(2), report), told)
}

#[test]
fn a_stopped_partition_is_told_of_with_its_reason_until_it_is_given_back() {
    let (lanes, told) = reported();
    let (stopped, other) = (lanes.open(0), lanes.open(1));
    assert!(stopped.takes_bad(&bad(5)));
    assert!(!stopped.takes_bad(&bad(6)));
    assert!(stopped.is_shut() && !other.is_shut());
    assert!(!stopped.takes_bad(&bad(9)), "nothing more passes");
    let last = locked(&told).last().cloned().flatten();
    let last = last.expect("a reason");
    for part in ["partition 0 stopped", "2 bad records in a row", "no JSON"] {
        assert!(last.contains(part), "{last}");
    }
    lanes.close(0);
    assert_eq!(locked(&told).last(), Some(&None));
    assert!(!lanes.open(0).is_shut(), "another assignment begins anew");
}

#[test]
fn what_stops_all_stops_those_that_come_later_too() {
    let (lanes, told) = reported();
    let before = lanes.open(0);
    lanes.halt_all(Cause::TopicGone, "the topic was deleted");
    let after = lanes.open(1);
    assert!(before.is_shut() && after.is_shut());
    lanes.close(0);
    lanes.close(1);
    let last = locked(&told).last().cloned().flatten();
    let expected = format!("the topic was deleted; {}", Cause::TopicGone.remedy());
    assert_eq!(last, Some(expected));
}

#[test]
fn whatever_stops_a_partition_is_told_of_with_what_to_do_about_it() {
    for (cause, remedy) in [
        (Cause::BadRecords, "dlq list"),
        (Cause::OffsetGone, "--reset-offsets"),
        (Cause::TopicGone, "set KAFKA_TOPIC"),
        (Cause::OtherLog, "KAFKA_GROUP_ID"),
        (Cause::Statistics, "by itself"),
    ] {
        let (lanes, told) = reported();
        let last = || locked(&told).last().cloned().flatten().unwrap_or_default();
        let label = cause.label();
        lanes.open(0).halt(cause, "it is so");
        assert!(
            last().contains("partition 0 stopped: it is so; "),
            "{label}"
        );
        assert!(last().contains(remedy), "{label}: {}", last());
        lanes.halt_all(cause, "all are so");
        assert!(last().contains(remedy), "{label}: {}", last());
        let (lanes, told) = reported();
        lanes.open(1).waits(cause, "it is late");
        let told = locked(&told).last().cloned().flatten();
        assert!(told.is_some_and(|told| told.contains(remedy)), "{label}");
    }
}

#[test]
fn what_passes_by_itself_is_told_of_until_it_has_passed() {
    let (lanes, told) = reported();
    let (late, other) = (lanes.open(0), lanes.open(1));
    late.opens();
    assert!(late.waiting_since().is_some() && other.waiting_since().is_none());
    let last = || locked(&told).last().cloned().flatten();
    for reason in ["no answer", "no such field"] {
        late.waits(Cause::Statistics, reason);
        late.waits(Cause::Statistics, reason);
        let expected = format!(
            "partition 0 stopped: {reason}; {}",
            Cause::Statistics.remedy()
        );
        assert_eq!(last(), Some(expected));
    }
    assert_eq!(locked(&told).len(), 3, "and told once");
    assert!(late.halted().is_none() && !late.is_shut());
    late.begin(Epoch::next());
    assert_eq!(last(), None);
    assert!(late.waiting_since().is_none());

    // What does not pass stands before what does, and is not taken back with it.
    late.opens();
    late.waits(Cause::Statistics, "no answer");
    late.halt(Cause::OtherLog, "another log");
    late.begin(Epoch::next());
    let expected = format!(
        "partition 0 stopped: another log; {}",
        Cause::OtherLog.remedy()
    );
    assert_eq!(last(), Some(expected));
    // One that is given away waits no more.
    other.waits(Cause::Statistics, "no answer");
    assert!(last().unwrap().contains("partition 1 stopped: no answer"));
    lanes.close(1);
    lanes.close(0);
    assert_eq!(last(), None);
}
