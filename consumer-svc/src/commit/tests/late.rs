//! Commits that come when their partition is another's already.

use super::*;

#[tokio::test]
async fn a_commit_that_got_no_turn_before_its_partition_was_given_back_is_never_handed_over() {
    let bench = Bench::start(vec![]).await;
    let (goes, _) = bench.open(0, 0).await;
    let (stays, _) = bench.open(1, 0).await;
    bench
        .until("both have their first commit", |bench| {
            bench.accepted().len() == 2
        })
        .await;
    let (turn, starved) = mpsc::channel();
    *bench.coordinator.starved.lock().unwrap() = Some(starved);
    bench.serve(0, goes, 0..10);
    bench.serve(1, stays, 0..10);
    bench
        .until("a commit waits for its turn", |bench| {
            bench.coordinator.starved.lock().unwrap().is_none()
        })
        .await;
    // Its time is over, and it is another's now, who may be much further.
    let released = bench.release(0, Duration::from_millis(20), false).await;
    assert_eq!((released.next, released.committed), (10, false));
    turn.send(()).unwrap();
    bench
        .until("what stayed is committed", |bench| {
            bench.accepted().contains(&(1, 10))
        })
        .await;
    let late: Vec<_> = bench
        .accepted()
        .into_iter()
        .filter(|(of, _)| *of == 0)
        .collect();
    assert_eq!(late, [(0, 0)], "nothing of it was committed any more");
}

impl Bench {
    /// The next commit gets no turn before it is told so.
    fn keep_back(&self) -> mpsc::Sender<()> {
        let (turn, starved) = mpsc::channel();
        *self.coordinator.starved.lock().unwrap() = Some(starved);
        turn
    }

    /// Starts a commit of what is due, which gets no turn before it is told so.
    async fn starve(&self) -> mpsc::Sender<()> {
        let turn = self.keep_back();
        self.begin().await;
        turn
    }

    /// Until the commit that is kept back has begun. What is due may have to be saved first, and then it is
    /// the next tick that commits it.
    async fn begin(&self) {
        let waits = |bench: &Self| {
            bench.tick();
            bench.coordinator.starved.lock().unwrap().is_none()
        };
        self.until("a commit waits for its turn", waits).await;
    }

    /// The client has answered well to that commit.
    fn answer(&self, position: (i32, u64)) {
        let answer = CommitMsg::Committed {
            positions: vec![position],
            result: Ok(()),
        };
        self.commit.send(answer).ok().unwrap();
    }
}

#[tokio::test]
async fn a_lost_partition_is_never_committed() {
    let bench = Bench::told().await;
    let (epoch, _) = bench.open(0, 0).await;
    bench.serve(0, epoch, 0..1);
    let turn = bench.starve().await;
    // Beside that commit more is settled and saved, so it may be committed next.
    bench.serve(0, epoch, 1..2);
    bench.admit(0, epoch, &[2]);
    let saved = |bench: &Bench| {
        bench.tick();
        bench.counted(0).1 == 2
    };
    bench.until("it is saved", saved).await;
    let (_, opened) = bench.begin_to_open(1, 0);
    opened.await.unwrap();
    // The news that it is lost is the first thing to be heard after the answer.
    bench.answer((0, 1));
    // Nothing may be committed, so there is nothing to wait for, however long one might.
    let released = bench.release(0, 100 * SOON, true).await;
    assert_eq!((released.next, released.unsettled), (2, 1));
    turn.send(()).unwrap();
    bench.system.drain(SOON).await;
    let asked = bench.coordinator.asked.lock().unwrap();
    assert!(!asked.contains(&(0, 2)), "{asked:?}");
}

#[tokio::test]
async fn a_late_answer_to_a_former_assignment_says_nothing_of_this_one() {
    let bench = Bench::told().await;
    // Its first commit, which goes out by itself.
    let turn = bench.keep_back();
    bench.open(0, 50).await;
    bench.begin().await;
    bench.release(0, SOON, true).await;
    // It comes back, and the group stands further ahead by then.
    bench.open(0, 40).await;
    bench.answer((0, 50));
    bench.tick();
    let released = bench.release(0, SOON, false).await;
    assert_eq!((released.next, released.committed), (40, true));
    turn.send(()).unwrap();
}
