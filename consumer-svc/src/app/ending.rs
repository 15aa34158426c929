//! How the process ends after a drain that was ordered. Pure.
//!
//! In: what the tree says of its drain, and what became of the partitions. Out: success, or why not and
//! with which exit code.

use std::time::Duration;

use actors::{Casualty, DrainReport, Exit};
use host::exit::{Code, Failure};

use crate::assign::GivenBack;

/// Where the membership is in the tree.
pub(super) const MEMBERSHIP: &str = "assign";

/// What became of the partitions.
pub(super) struct Partitions {
    /// Of those that were given back.
    pub(super) back: GivenBack,
    /// How many are held all the same.
    pub(super) held: usize,
}

/// Those failures in the drain that count.
///
/// A membership may break at any moment, also at the one in which it is told to leave. It gives its
/// partitions back first, in the same order as if it left, so then there is nothing that its failure
/// has kept from being done; where it did not, because its thread is gone, there is.
fn failures<'r>(
    report: &'r DrainReport,
    partitions: &Partitions,
) -> impl Iterator<Item = &'r Casualty> {
    let gave_back = partitions.held == 0;
    report.failed.iter().filter(move |casualty| {
        let name = casualty.path.rsplit('/').next();
        let broke = name == Some(MEMBERSHIP) && matches!(casualty.exit, Exit::Failed(_));
        !(broke && gave_back)
    })
}

/// The end.
pub(super) fn judge(
    report: &DrainReport,
    partitions: &Partitions,
    limit: Duration,
) -> Result<(), Failure> {
    let GivenBack {
        unsettled,
        uncommitted,
        ..
    } = partitions.back;
    if let Some(first) = failures(report, partitions).next() {
        let what = format!("{} failed in the drain: {}", first.path, first.exit);
        return Err(Failure::new(Code::Software, what));
    }
    if !report.laggards.is_empty() || report.exit == Exit::Killed {
        let what = format!("not everything was finished within DRAIN_TIMEOUT {limit:?}");
        return Err(Failure::new(Code::Overran, what));
    }
    if report.exit != Exit::Drained {
        let what = format!("the service did not drain: {}", report.exit);
        return Err(Failure::new(Code::Software, what));
    }
    if !partitions.back.is_whole() || partitions.held > 0 {
        let uncommitted = uncommitted + partitions.held;
        let what = format!(
            "left to the next owner, who reads it again: {unsettled} records that were not settled in time or were taken away, and the last offset of {uncommitted} partitions"
        );
        return Err(Failure::new(Code::Overran, what));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use actors::{Laggard, Overrun};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(25);

    fn report(failed: &[(&str, Exit)]) -> DrainReport {
        let casualty = |(path, exit): &(&str, Exit)| Casualty {
            path: (*path).to_owned(),
            exit: exit.clone(),
        };
        DrainReport {
            laggards: Vec::new(),
            failed: failed.iter().map(casualty).collect(),
            exit: Exit::Drained,
            took: Duration::ZERO,
        }
    }

    fn partitions(unsettled: usize, uncommitted: usize, held: usize) -> Partitions {
        let back = GivenBack {
            partitions: 3,
            unsettled,
            uncommitted,
        };
        Partitions { back, held }
    }

    fn code(report: &DrainReport, partitions: &Partitions) -> Code {
        judge(report, partitions, LIMIT).map_or_else(|failure| failure.code(), |()| Code::Ok)
    }

    #[test]
    fn a_membership_that_broke_when_everything_was_given_back_is_no_failure_of_the_drain() {
        let broke = Exit::Failed("fatal consumer error".to_owned());
        let report = report(&[("consumer-svc/ingest/assign", broke)]);
        assert_eq!(code(&report, &partitions(0, 0, 0)), Code::Ok);
        assert_eq!(code(&report, &partitions(5, 0, 0)), Code::Overran);
        assert_eq!(code(&report, &partitions(0, 1, 0)), Code::Overran);
        assert_eq!(code(&report, &partitions(0, 0, 1)), Code::Software);
    }

    #[test]
    fn whoever_else_fails_in_the_drain_fails_it() {
        let failed = || Exit::Failed("oh".to_owned());
        let whole = partitions(0, 0, 0);
        for report in [
            report(&[("consumer-svc/ingest/commit", failed())]),
            report(&[(
                "consumer-svc/ingest/assign",
                Exit::Panicked("oh".to_owned()),
            )]),
            report(&[
                ("consumer-svc/ingest/assign", failed()),
                ("consumer-svc/query", failed()),
            ]),
        ] {
            assert_eq!(code(&report, &whole), Code::Software, "{report:?}");
        }
    }

    #[test]
    fn what_is_left_to_the_next_owner_is_said_with_a_code_of_its_own() {
        let left = judge(&report(&[]), &partitions(7, 1, 1), LIMIT).unwrap_err();
        assert_eq!(left.code(), Code::Overran);
        let said = left.to_string();
        assert!(
            said.contains("7 records") && said.contains("2 partitions"),
            "{said}"
        );
        let late = DrainReport {
            laggards: vec![Laggard {
                path: "consumer-svc/ingest/write".to_owned(),
                overrun: Overrun::Draining,
                mailbox: 0,
                in_flight: 1,
            }],
            exit: Exit::Killed,
            ..report(&[])
        };
        let late = judge(&late, &partitions(0, 0, 0), LIMIT).unwrap_err();
        assert_eq!(late.code(), Code::Overran);
        assert!(late.to_string().contains("DRAIN_TIMEOUT"), "{late}");
    }

    #[test]
    fn a_tree_that_gave_up_at_that_moment_has_failed() {
        let gave_up = DrainReport {
            exit: Exit::MeltedDown("readers".to_owned()),
            ..report(&[])
        };
        assert_eq!(code(&gave_up, &partitions(0, 0, 0)), Code::Software);
        assert_eq!(code(&report(&[]), &partitions(0, 0, 0)), Code::Ok);
    }
}
