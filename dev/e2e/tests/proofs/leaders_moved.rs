//! Leaders of partitions move under load, because a broker is stopped, because it dies, and because
//! it is asked to lead again; coordinators of groups move with them. Nobody notices: no customer is
//! refused, nothing is missing, nothing is there twice.

use std::collections::HashSet;
use std::time::Duration;

use e2e::ground::Ground;
use e2e::invariants::Invariants;
use e2e::load::Load;
use e2e::shop::Shop;
use e2e::{check, until, until_text};

const PATIENCE: Duration = Duration::from_secs(60);
/// Sales that each step is followed by.
const STEP: usize = 700;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaders_and_coordinators_that_move_cost_no_answer_and_no_document() {
    let shop = Shop::on(Ground::cluster().await).await;
    let watch = Invariants::watch(&shop).await;
    // Longer than a move takes, also of who leads the cluster itself.
    let plan = shop.producer().env("DRAIN_TIMEOUT", "60s");
    let plan = plan.env("KAFKA_DELIVERY_TIMEOUT", "40s");
    let (producer, consumer) = tokio::join!(plan.ready(), async { shop.consumer().ready().await });
    let running = Load {
        per_second: Some(1_000),
        ..shop.load(300_000)
    }
    .start();
    let sells_on = async || {
        let goal = running.accepted() + STEP;
        until(&format!("{goal} purchases"), PATIENCE, async || {
            (running.accepted() >= goal).then_some(())
        })
        .await;
    };
    sells_on().await;
    // One is told to go, another dies.
    for gone in [0, 1] {
        let broker = shop.ground.broker(gone);
        if gone == 1 {
            broker.kill().expect("the broker is ours");
        } else {
            broker.stop().await.expect("the broker stops");
        }
        until_text("others lead", PATIENCE, async || {
            let leading = shop.ground.leading(&shop.witness.topic).await;
            let leading = leading.map_err(|error| error.to_string())?;
            match leading.iter().all(|one| one.is_some_and(|one| one != gone)) {
                true => Ok(()),
                false => Err(format!("{leading:?}")),
            }
        })
        .await;
        sells_on().await;
        watch.look().await;
        broker.restart().await.expect("the broker comes back");
        sells_on().await;
    }
    until_text("everybody leads again", PATIENCE, async || {
        let elected = shop.ground.elect_preferred(&shop.witness.topic).await;
        let leading = shop.ground.leading(&shop.witness.topic).await;
        let mut leading = leading.map_err(|error| error.to_string())?;
        leading.sort_unstable();
        // On a machine that is busy a node may be taken for gone as soon as it was elected.
        match leading == [Some(0), Some(1), Some(2)] {
            true => Ok(()),
            false => Err(format!("{leading:?} after {elected:?}")),
        }
    })
    .await;
    sells_on().await;

    let attempts = running.stop(PATIENCE).await;
    let accepted = check::all_accepted(&attempts);
    shop.settles(PATIENCE).await;
    let (records, documents) = tokio::join!(shop.witness.records(), watch.hold(&consumer));
    assert_eq!(records.len(), accepted.len(), "each of them once");
    check::answers_are_in_the_topic(&accepted, &records);
    let ids: HashSet<&str> = accepted
        .iter()
        .map(|answer| answer.purchase_id.as_str())
        .collect();
    check::documents_are(&ids, &documents);
    check::documents_come_from_the_topic(&documents, &shop.witness.topic, &records);
    drop((producer, consumer));
}
