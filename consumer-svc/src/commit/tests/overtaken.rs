//! Statistics of two owners at the same time, neither of which continue the other's.

use super::*;
use crate::tally::Tally;

/// Three records, the first of which was refused.
fn loaded() -> Tally {
    let mut tally = Tally::starting_at(0);
    tally.refuse(0);
    for offset in 1..3 {
        tally.fold(offset, &sale(0, "Pen", 10, 0));
    }
    tally
}

async fn on(tally: Tally) -> Bench {
    let tallies = Arc::<MemoryTallies>::default();
    tallies.put(0, tally);
    Bench::on(tallies, vec![]).await
}

/// How often the stage began anew, and what it has under way.
fn stage(bench: &Bench) -> (u64, usize) {
    let tree = bench.system.handle().tree();
    let stage = tree.find("commit").expect("it is in the tree");
    (stage.restarts, stage.in_flight.unwrap_or_default())
}

#[tokio::test]
async fn an_owner_that_was_overtaken_loads_anew_and_commits_nothing_before() {
    let owner = on(loaded()).await;
    let (epoch, _) = owner.open(0, 3).await;
    owner
        .until("the first commit", |bench| bench.accepted() == [(0, 3)])
        .await;
    // A former one was set back and takes what was refused; its save comes only now.
    let mut late = loaded();
    late.fold(0, &sale(0, "Pen", 10, 0));
    owner.tallies.save(0, &late).await.unwrap();
    owner.serve(0, epoch, 3..6);
    owner
        .until("begun anew", |bench| {
            stage(bench).0 == 1 && bench.commit.send(CommitMsg::Tick).is_ok()
        })
        .await;
    let tree = owner.system.handle().tree();
    let why = tree
        .find("commit")
        .and_then(|stage| stage.last_cause.clone());
    let why = why.expect("a cause");
    assert!(why.contains("another owner's statistics"), "{why}");
    assert_eq!(owner.accepted(), [(0, 3)]);
    // The readers come anew with it, and begin where the group stands.
    let (epoch, next) = owner.open(0, 3).await;
    assert_eq!(next, 3);
    owner.serve(0, epoch, 3..6);
    let released = owner.release(0, SOON, false).await;
    assert!(released.committed);
    assert_eq!(owner.counted(0), (6, 6));
    assert_eq!(owner.accepted().last(), Some(&(0, 6)));
}

#[tokio::test]
async fn a_former_owner_that_is_refused_late_changes_nothing_and_may_be_the_owner_again() {
    let former = on(loaded()).await;
    let (epoch, _) = former.open(0, 0).await;
    former
        .until("the first commit", |bench| bench.accepted() == [(0, 0)])
        .await;
    former.tallies.freeze().await;
    former.serve(0, epoch, 0..1);
    former
        .until("a save hangs", |bench| stage(bench).1 > 0)
        .await;
    former.release(0, SOON, true).await;
    // The next one refuses it, too, and reads on.
    let mut further = loaded();
    for offset in 3..6 {
        further.fold(offset, &sale(0, "Pen", 10, 0));
    }
    former.tallies.put(0, further);
    former.tallies.thaw();
    let (epoch, next) = former.open(0, 6).await;
    assert_eq!(next, 6);
    former.serve(0, epoch, 6..8);
    let released = former.release(0, SOON, false).await;
    assert!(released.committed);
    assert_eq!(former.counted(0), (7, 8));
    assert_eq!(stage(&former).0, 0);
}
