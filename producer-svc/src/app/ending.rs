//! How the process ends after a drain that was ordered. Pure.
//!
//! In: what the tree says of its drain, and the server of its requests. Out: success, or why not and with
//! which exit code.

use std::time::Duration;

use actors::{DrainReport, Exit};
use host::exit::{Code, Failure};
use host::serve::ServeReport;

/// The end: a failure where somebody failed, whatever the tree says of itself, or where time was too short.
pub(super) fn judge(
    drain: &DrainReport,
    intake: &ServeReport,
    limit: Duration,
) -> Result<(), Failure> {
    if drain.is_clean() && intake.cut == 0 {
        return Ok(());
    }
    if !drain.failed.is_empty() {
        let failed = drain
            .failed
            .iter()
            .map(|casualty| format!("{} {}", casualty.path, casualty.exit));
        let failed: Vec<_> = failed.collect();
        let what = format!("not everything drained: {}", failed.join("; "));
        return Err(Failure::new(Code::Software, what));
    }
    match &drain.exit {
        Exit::Drained | Exit::Killed => {
            let mut late = overran(drain);
            if intake.cut > 0 {
                late.push(format!(
                    "connections of HTTP_ADDR that did not end: {intake}"
                ));
            }
            let late = late.join("; ");
            let what = format!("DRAIN_TIMEOUT {limit:?} was too short: {late}");
            Err(Failure::new(Code::Overran, what))
        }
        other => {
            let what = format!("the service did not drain: {other}");
            Err(Failure::new(Code::Software, what))
        }
    }
}

/// Who did not finish in time, and what each of them had.
fn overran(drain: &DrainReport) -> Vec<String> {
    let laggards = drain.laggards.iter().map(|laggard| {
        let (path, how) = (&laggard.path, laggard.overrun);
        format!(
            "{path} {how} ({} waiting, {} in flight)",
            laggard.mailbox, laggard.in_flight
        )
    });
    laggards.collect()
}

#[cfg(test)]
mod tests {
    use actors::{Casualty, Laggard, Overrun};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(25);

    fn clean() -> DrainReport {
        DrainReport {
            laggards: Vec::new(),
            failed: Vec::new(),
            exit: Exit::Drained,
            took: Duration::ZERO,
        }
    }

    fn ended(drain: &DrainReport, cut: usize) -> (Code, String) {
        let intake = ServeReport {
            cut,
            ..ServeReport::default()
        };
        match judge(drain, &intake, LIMIT) {
            Ok(()) => (Code::Ok, String::new()),
            Err(failure) => (failure.code(), failure.to_string()),
        }
    }

    #[test]
    fn a_drain_in_which_somebody_failed_says_who_and_never_that_it_drained() {
        let failed = Casualty {
            path: "producer-svc/publish".to_owned(),
            exit: Exit::Panicked("oh".to_owned()),
        };
        let drain = DrainReport {
            failed: vec![failed],
            ..clean()
        };
        let (code, said) = ended(&drain, 0);
        assert_eq!(code, Code::Software);
        assert_eq!(
            said,
            "not everything drained: producer-svc/publish panicked: oh"
        );
    }

    #[test]
    fn what_was_cut_off_by_the_deadline_is_told_with_its_variable() {
        let late = Laggard {
            path: "producer-svc/publish".to_owned(),
            overrun: Overrun::Draining,
            mailbox: 3,
            in_flight: 7,
        };
        let drain = DrainReport {
            laggards: vec![late],
            exit: Exit::Killed,
            ..clean()
        };
        let (code, said) = ended(&drain, 0);
        assert_eq!(code, Code::Overran);
        for part in ["DRAIN_TIMEOUT 25s", "publish", "3 waiting, 7 in flight"] {
            assert!(said.contains(part), "{said}");
        }
        let (code, said) = ended(&clean(), 2);
        assert_eq!(code, Code::Overran);
        assert_eq!(
            said,
            "DRAIN_TIMEOUT 25s was too short: connections of HTTP_ADDR that did not end: 0 connections accepted, \
             0 open at shutdown (0 busy), 0 with an answer that was not taken, 2 cut"
        );
        assert_eq!(ended(&clean(), 0).0, Code::Ok);
    }

    #[test]
    fn a_tree_that_gave_up_at_that_moment_has_failed() {
        let drain = DrainReport {
            exit: Exit::MeltedDown("publish".to_owned()),
            ..clean()
        };
        let (code, said) = ended(&drain, 0);
        assert_eq!(code, Code::Software);
        assert!(said.contains("gave up: publish"), "{said}");
    }
}
