//! Children of real processes: logs, signals, and that none outlives its parent.

use std::path::Path;
use std::time::Duration;

use crate::process::{Process, Signal, Spawn};
use crate::{StackError, free_port, is_free, layout, reserve, wait_until};

const PATIENCE: Duration = Duration::from_secs(20);

fn shell(script: &str, log: &Path) -> Process {
    Spawn::new("shell", "sh")
        .args(["-c", script])
        .log(log)
        .start()
        .expect("a shell")
}

#[tokio::test]
async fn what_a_child_says_is_in_its_log_and_a_second_run_reads_only_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let first = shell("echo one; echo two >&2", &log);
    assert_eq!(
        first.wait_for_log("two", PATIENCE).await.as_deref(),
        Some("two")
    );
    assert!(
        first
            .wait_exit(PATIENCE)
            .await
            .is_some_and(|status| status.success())
    );
    let second = shell("echo three; exit 7", &log);
    assert_eq!(
        second
            .wait_exit(PATIENCE)
            .await
            .and_then(|status| status.code()),
        Some(7)
    );
    assert_eq!(second.log_tail(10), "three");
    assert_eq!(
        second.wait_for_log("two", PATIENCE).await,
        None,
        "the end of the child ends the wait"
    );
    assert_eq!(first.log_tail(1), "three", "the file is appended to");
}

#[tokio::test]
async fn a_child_gets_the_environment_it_was_given_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let spawn = Spawn::new("env", "env")
        .env_clear()
        .env("ONE", "1")
        .env("TWO", "2")
        .env_remove("TWO")
        .log(&log);
    let child = spawn.start().unwrap();
    child.wait_exit(PATIENCE).await.unwrap();
    assert_eq!(child.log_tail(10), "ONE=1");
}

#[tokio::test]
async fn a_child_that_does_not_stop_in_time_is_killed_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let child = shell(
        "trap '' TERM; echo ready; while :; do sleep 0.05; done",
        &dir.path().join("log"),
    );
    child.wait_for_log("ready", PATIENCE).await.unwrap();
    let outcome = child.stop(Duration::from_millis(200)).await;
    assert!(
        matches!(outcome, Err(StackError::Overran { ref name, .. }) if name == "shell"),
        "{outcome:?}"
    );
    assert!(!child.is_running());
    assert!(
        !child.signal(Signal::Term),
        "there is nobody left to signal"
    );
}

#[tokio::test]
async fn a_frozen_child_can_be_thawed_and_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let child = shell(
        "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done",
        &dir.path().join("log"),
    );
    child.wait_for_log("ready", PATIENCE).await.unwrap();
    assert!(child.freeze());
    assert_eq!(state(child.pid()), Some('T'));
    assert!(child.is_running());
    assert!(child.stop(PATIENCE).await.unwrap().success());
    assert_eq!(child.log_tail(1), "bye");
    assert!(!child.freeze(), "there is nobody left to freeze");
}

#[tokio::test]
async fn a_dropped_child_is_gone_with_its_own_children() {
    let dir = tempfile::tempdir().unwrap();
    let child = shell("sleep 600 & echo $!; wait", &dir.path().join("log"));
    let grandchild: u32 = wait_until(PATIENCE, async || child.log_tail(1).trim().parse().ok())
        .await
        .unwrap();
    let pid = child.pid();
    drop(child);
    assert_eq!(layout::born(pid), None);
    wait_until(PATIENCE, async || {
        layout::born(grandchild).is_none().then_some(())
    })
    .await
    .expect("gone");
}

#[tokio::test]
async fn a_child_outlives_the_thread_that_asked_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let child = std::thread::spawn(move || shell("echo ready; sleep 600", &log))
        .join()
        .unwrap();
    child.wait_for_log("ready", PATIENCE).await.unwrap();
    assert!(child.wait_exit(Duration::from_millis(200)).await.is_none());
}

/// Runs this very test again as the parent that gets killed; the variable tells the two apart.
#[tokio::test]
async fn a_child_dies_when_its_parent_is_killed() {
    const ROLE: &str = "DEVSTACK_TEST_PARENT";
    if std::env::var_os(ROLE).is_some() {
        let child = Spawn::new("sleep", "sleep").arg("600").start().unwrap();
        println!("child {}", child.pid());
        child.wait_exit_blocking(Duration::from_secs(600));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let name = "tests::processes::a_child_dies_when_its_parent_is_killed";
    let parent = Spawn::new("parent", std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(ROLE, "1")
        .log(dir.path().join("log"))
        .start()
        .unwrap();
    let line = parent
        .wait_for_log("child ", PATIENCE)
        .await
        .expect("the parent's child");
    let child: u32 = line
        .rsplit(' ')
        .next()
        .and_then(|word| word.parse().ok())
        .expect("its number");
    assert!(layout::born(child).is_some());
    parent.signal(Signal::Kill);
    wait_until(PATIENCE, async || {
        layout::born(child).is_none().then_some(())
    })
    .await
    .expect("gone with its parent");
}

#[test]
fn a_missing_program_is_named() {
    let error = Spawn::new("the thing", "no-such-program-here")
        .start()
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("the thing") && error.contains("no-such-program-here"),
        "{error}"
    );
}

#[test]
fn free_ports_are_free_and_given_out_once() {
    let (one, two) = (free_port(), free_port());
    assert_ne!(one, two);
    assert!(is_free(one) && is_free(two));
    assert!(!reserve(one), "it is reserved already");
}

fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}
