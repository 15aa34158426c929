//! Mistakes and their answers: every row of the README's table of misuse.

use std::panic::{UnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use actors::testkit::{MemorySink, Settlements};
use actors::{
    Addr, Backoff, BatchLimits, BatchSink, BatchStage, ChildSpec, Children, Cost, Credits,
    Delivery, Flow, Intensity, Pipeline, Rate, Refused, StartError, Step, StopError, Strategy,
    SupervisorSpec, System, Watch,
};

use crate::pipelines::{SMALL, lane, numbers, running};
use crate::support::{Do, Doer, Notes, SECOND, eager};

/// The answer to a tree that must not start.
async fn refused(spec: SupervisorSpec) -> StartError {
    System::start("t", spec).await.unwrap_err()
}

fn invalid(path: &str, flaw: &str) -> StartError {
    StartError::Invalid {
        path: path.to_owned(),
        flaw: flaw.to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn duplicate_ids_are_named_with_their_place_before_anything_starts() {
    let (a, b, notes) = (Addr::new("a"), Addr::new("b"), Notes::default());
    let twice = || {
        eager(Strategy::OneForOne)
            .child(Doer::child("a", &a, &notes))
            .child(Doer::child("a", &b, &notes))
    };
    let duplicate = |path: &str| StartError::DuplicateId(path.to_owned());
    assert_eq!(refused(twice()).await, duplicate("t/a"));
    let nested = eager(Strategy::OneForOne)
        .child(Doer::child("a", &a, &notes))
        .child(ChildSpec::supervisor("in", twice()));
    assert_eq!(refused(nested).await, duplicate("t/in/a"));
    let children = Children::new();
    let _system = System::start("t", SupervisorSpec::dynamic(&children))
        .await
        .unwrap();
    let late = children.start(ChildSpec::supervisor("in", twice())).await;
    assert_eq!(late, Err(duplicate("t/in/a")));
    assert!(notes.all().is_empty() && children.ids().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_none_is_refused_before_anything_starts() {
    let (a, notes, children) = (Addr::new("a"), Notes::default(), Children::new());
    let _system = System::start("t", SupervisorSpec::dynamic(&children))
        .await
        .unwrap();
    for id in ["", "a/b", "/"] {
        let flaw = format!("`{id}` is no id: it must not be empty and must not contain a slash");
        let child = || ChildSpec::supervisor(id, eager(Strategy::OneForOne));
        let spec = eager(Strategy::OneForOne)
            .child(Doer::child("a", &a, &notes))
            .child(child());
        assert_eq!(refused(spec).await, invalid("t", &flaw));
        let named = System::start(id, eager(Strategy::OneForOne)).await;
        assert_eq!(named.unwrap_err(), invalid(id, &flaw));
        assert_eq!(children.start(child()).await, Err(invalid("t", &flaw)));
    }
    assert!(notes.all().is_empty() && children.ids().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_backoff_that_makes_no_sense_is_refused() {
    let (a, notes) = (Addr::new("a"), Notes::default());
    let start = |backoff| {
        let spec = SupervisorSpec::new(Strategy::OneForOne).backoff(backoff);
        refused(spec.child(Doer::child("a", &a, &notes)))
    };
    let plain = Backoff::default();
    for jitter in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        let error = start(Backoff { jitter, ..plain }).await;
        assert_eq!(
            error,
            invalid("t", "Backoff::jitter is not between 0.0 and 1.0"),
            "{jitter}"
        );
    }
    let max = Duration::ZERO;
    let error = start(Backoff { max, ..plain }).await;
    assert_eq!(
        error,
        invalid("t", "Backoff::min is longer than Backoff::max")
    );
    let max = Duration::MAX;
    let error = start(Backoff { max, ..plain }).await;
    assert_eq!(
        error,
        invalid("t", "Backoff::max is longer than a hundred years")
    );
    assert!(notes.all().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_kill_grace_of_zero_or_for_ever_is_refused() {
    let (a, notes) = (Addr::new("a"), Notes::default());
    let with = |grace| {
        let spec = eager(Strategy::OneForOne).kill_grace(grace);
        spec.child(Doer::child("a", &a, &notes))
    };
    let century = Duration::from_secs(100 * 366 * 24 * 3600);
    let too_long = "SupervisorSpec::kill_grace is longer than a hundred years";
    for (grace, flaw) in [
        (Duration::ZERO, "SupervisorSpec::kill_grace is zero"),
        (century + SECOND, too_long),
        (Duration::MAX, too_long),
    ] {
        assert_eq!(refused(with(grace)).await, invalid("t", flaw));
        let nested = eager(Strategy::OneForOne).child(ChildSpec::supervisor("in", with(grace)));
        assert_eq!(refused(nested).await, invalid("t/in", flaw));
    }
    assert!(notes.all().is_empty());
    // The longest that is taken is reckoned with in a kill and in a drain.
    let system = System::start("t", with(century)).await.unwrap();
    a.send(Do::Hang).unwrap();
    let report = system.drain(SECOND).await;
    assert_eq!((report.laggards.len(), report.took), (1, SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_window_of_no_length_is_refused_where_restarts_are_allowed() {
    let (a, notes) = (Addr::new("a"), Notes::default());
    let with = |restarts| {
        let within = Duration::ZERO;
        let spec = SupervisorSpec::new(Strategy::OneForOne);
        spec.intensity(Intensity { restarts, within })
            .child(Doer::child("a", &a, &notes))
    };
    let flaw = "Intensity::within is zero: no two restarts would ever be counted together";
    assert_eq!(refused(with(1)).await, invalid("t", flaw));
    assert!(notes.all().is_empty());
    System::start("t", with(0)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_watch_over_a_supervisor_is_refused() {
    let inner = ChildSpec::supervisor("in", eager(Strategy::OneForOne));
    let spec = eager(Strategy::OneForOne).child(inner.watch(Watch::after(SECOND)));
    let flaw = "a watch over a supervisor sees nothing of its children";
    assert_eq!(refused(spec).await, invalid("t/in", flaw));
}

#[tokio::test(start_paused = true)]
async fn a_dynamic_supervisor_takes_no_children_beforehand() {
    let (a, notes) = (Addr::new("a"), Notes::default());
    let spec = SupervisorSpec::dynamic(&Children::new()).child(Doer::child("a", &a, &notes));
    let flaw = "a dynamic supervisor takes its children at run time only";
    assert_eq!(refused(spec.clone()).await, invalid("t", flaw));
    let nested = eager(Strategy::OneForOne).child(ChildSpec::supervisor("in", spec));
    assert_eq!(refused(nested).await, invalid("t/in", flaw));
    assert!(notes.all().is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_address_houses_one_child_and_one_handle_serves_one_supervisor() {
    let (a, notes) = (Addr::new("a"), Notes::default());
    let spec = eager(Strategy::OneForOne)
        .child(Doer::child("a", &a, &notes))
        .child(Doer::child("b", &a, &notes));
    let error = refused(spec).await.to_string();
    assert!(
        error.contains("somebody lives at the address `a` already"),
        "{error}"
    );
    let children = Children::new();
    let _first = System::start("t", SupervisorSpec::dynamic(&children))
        .await
        .unwrap();
    let error = refused(SupervisorSpec::dynamic(&children))
        .await
        .to_string();
    assert!(
        error.contains("belongs to another running supervisor"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_child_is_neither_started_nor_stopped_where_nothing_runs() {
    let (a, notes, children) = (Addr::new("a"), Notes::default(), Children::new());
    let start = || children.start(Doer::child("a", &a, &notes));
    assert_eq!(start().await, Err(StartError::NotRunning));
    assert_eq!(children.stop("a", SECOND).await, Err(StopError::NotRunning));
    let system = System::start("t", SupervisorSpec::dynamic(&children))
        .await
        .unwrap();
    let unknown = StopError::Unknown("a".to_owned());
    assert_eq!(children.stop("a", SECOND).await, Err(unknown));
    start().await.unwrap();
    let there = StartError::AlreadyThere("a".to_owned());
    assert_eq!(start().await, Err(there));
    system.drain(SECOND).await;
    assert_eq!(start().await, Err(StartError::Drained));
}

#[tokio::test(start_paused = true)]
async fn a_drained_pipeline_opens_no_lane_and_one_that_never_ran_says_so() {
    let open = async |pipeline: &Pipeline<String>, number| {
        pipeline
            .open(number, |_| lane(0..1).endless().source())
            .await
    };
    let sink = MemorySink::new();
    let (pipeline, _spec) = numbers("p").build(Arc::new(sink.clone()));
    assert_eq!(open(&pipeline, 0).await, Err(StartError::NotRunning));
    let (system, pipeline) = running(numbers("p"), &sink).await;
    open(&pipeline, 0).await.unwrap();
    let there = StartError::AlreadyThere("0".to_owned());
    assert_eq!(open(&pipeline, 0).await, Err(there));
    assert!(system.drain(SECOND).await.is_clean());
    assert_eq!(open(&pipeline, 0).await, Err(StartError::Drained));
    assert_eq!(open(&pipeline, 1).await, Err(StartError::Drained));
    assert_eq!(pipeline.close(0, SECOND).await, Err(StopError::NotRunning));
}

#[tokio::test(start_paused = true)]
async fn what_was_drained_is_not_started_again_before_anything_else_is() {
    let (a, notes) = (Addr::new("a"), Notes::default());
    let under = |spec: &SupervisorSpec| {
        eager(Strategy::OneForOne)
            .child(Doer::child("a", &a, &notes))
            .child(ChildSpec::supervisor("in", spec.clone()))
    };
    let (pipeline, pipeline_spec) = numbers("p").build::<(), _>(Arc::new(MemorySink::new()));
    let children = Children::new();
    for spec in [pipeline_spec, SupervisorSpec::dynamic(&children)] {
        let system = System::start("t", under(&spec)).await.unwrap();
        assert!(system.drain(SECOND).await.is_clean());
        notes.take();
        assert_eq!(refused(spec.clone()).await, StartError::Drained);
        assert_eq!(refused(under(&spec)).await, StartError::Drained);
        let others = Children::new();
        let _system = System::start("t", SupervisorSpec::dynamic(&others))
            .await
            .unwrap();
        let late = others.start(ChildSpec::supervisor("in", spec)).await;
        assert_eq!(late, Err(StartError::Drained));
        assert!(notes.all().is_empty() && others.ids().is_empty());
    }
    let lane = pipeline.open(0, |_| lane(0..1).source()).await;
    assert_eq!(lane, Err(StartError::Drained));
}

#[tokio::test(start_paused = true)]
async fn a_credit_larger_than_the_whole_is_refused_at_once_and_by_its_size() {
    let limit = Cost { count: 2, bytes: 9 };
    let credits = Credits::new("t", limit);
    let _all = credits.try_take(limit).unwrap();
    for asked in [
        Cost { count: 3, bytes: 1 },
        Cost {
            count: 1,
            bytes: 10,
        },
    ] {
        let too_large = Refused::TooLarge { asked, limit };
        assert_eq!(credits.try_take(asked).unwrap_err(), too_large);
        let waited = credits.take(asked, Duration::MAX).await;
        assert_eq!(waited.unwrap_err(), too_large);
    }
    let asked = Cost { count: 3, bytes: 1 };
    let text = Refused::TooLarge { asked, limit }.to_string();
    assert_eq!(
        text,
        "asked for a credit of 3 records of 1 bytes, the whole is 2 records of 9 bytes"
    );
}

/// The text of the panic that `build` is answered with.
fn panics<T>(build: impl FnOnce() -> T + UnwindSafe) -> String {
    let Err(panic) = catch_unwind(build) else {
        panic!("it was taken");
    };
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap()
}

fn flow() -> Flow<String, u64> {
    numbers("p")
}

#[test]
fn zero_room_is_refused_by_name() {
    let zeros = [Cost { count: 0, bytes: 1 }, Cost { count: 1, bytes: 0 }];
    for zero in zeros {
        let named = format!("with a limit of {zero} could never be taken");
        assert!(panics(|| Credits::new("t", zero)).contains(&named));
        assert!(panics(|| flow().credits(zero)).contains(&named));
        let resize = || Credits::new("t", Cost { count: 1, bytes: 1 }).resize(zero);
        assert!(panics(resize).contains(&named));
    }
}

#[test]
fn zero_limits_of_batches_are_refused_by_name() {
    struct Nowhere;
    impl BatchSink<Delivery<u64>> for Nowhere {
        async fn write(&self, _batch: Vec<Delivery<u64>>) {}
    }
    let stage = |limits, in_flight| BatchStage::new(limits, in_flight, Arc::new(Nowhere));
    let no_items = BatchLimits { count: 0, ..SMALL };
    let no_bytes = BatchLimits { bytes: 0, ..SMALL };
    for (limits, named) in [
        (no_items, "BatchLimits::count"),
        (no_bytes, "BatchLimits::bytes"),
    ] {
        assert!(panics(|| stage(limits, 1)).contains(named));
        assert!(panics(|| flow().batches(limits)).contains(named));
    }
    assert!(panics(|| stage(SMALL, 0)).contains("zero batches at once"));
    assert!(panics(|| flow().batches_per_key(0)).contains("zero batches at once"));
}

#[test]
fn zero_concurrency_and_zero_time_are_refused_by_name() {
    assert!(panics(|| flow().workers(0)).contains("zero workers"));
    assert!(panics(|| flow().writers(0)).contains("zero writers"));
    assert!(panics(|| flow().chunk(0)).contains("zero records at once"));
    assert!(panics(|| flow().decide_within(Duration::ZERO)).contains("no time"));
    assert!(panics(|| flow().write_within(Duration::ZERO)).contains("no time"));
    assert!(panics(|| flow().open_within(Duration::ZERO)).contains("no time"));
    assert!(panics(|| flow().watch(Duration::ZERO)).contains("a quiet time of zero"));
    let never =
        || ChildSpec::supervisor("s", eager(Strategy::OneForOne)).start_within(Duration::ZERO);
    assert!(panics(never).contains("no time"));
    assert!(panics(|| Watch::after(Duration::ZERO)).contains("a quiet time of zero"));
}

#[test]
fn a_watch_that_is_no_longer_than_a_batch_may_wait_is_refused() {
    let patient = BatchLimits {
        age: 5 * SECOND,
        ..SMALL
    };
    let build = |quiet| {
        flow()
            .batches(patient)
            .watch(quiet)
            .build::<(), _>(Arc::new(MemorySink::new()))
    };
    assert!(panics(|| build(5 * SECOND)).contains("the age of a batch"));
    drop(build(6 * SECOND));
}

#[test]
fn a_rate_that_lets_nothing_pass_is_refused() {
    for (per_second, burst) in [(0.0, 1), (-1.0, 1), (f64::NAN, 1), (1.0, 0)] {
        let rate = Rate { per_second, burst };
        assert!(panics(move || flow().rate(rate)).contains("lets nothing pass"));
        let set = move || {
            let (pipeline, _spec) = flow().build::<(), _>(Arc::new(MemorySink::new()));
            pipeline.set_rate(Some(rate));
        };
        assert!(panics(set).contains("lets nothing pass"));
    }
}

#[test]
fn a_step_behind_the_failed_handler_is_refused() {
    let handled = || flow().on_failed(|_| async { actors::Outcome::DeadLettered });
    let named = "set it after the steps";
    assert!(panics(|| handled().then(Step::Next)).contains(named));
    assert!(panics(|| handled().map(|number| number)).contains(named));
    assert!(panics(|| handled().filter(|_| true)).contains(named));
}

#[tokio::test(start_paused = true)]
async fn a_message_to_nobody_comes_back_with_its_receipt() {
    let (a, book) = (Addr::new("a"), Settlements::new());
    let sent = a.send(Do::Keep(crate::support::receipt(1, &book)));
    assert_eq!(book.open(), 1, "it came back whole");
    drop(sent);
    book.assert_each_once();
}
