//! A broker that was fenced for a moment names no broker when it is asked for them, and the client library
//! then forgets all it knew, for good. Both services replace such a client by themselves, idle or busy, and
//! nothing is lost or doubled by it.

use std::time::{Duration, Instant};

use e2e::fenced::Fenced;
use e2e::ground::Ground;
use e2e::invariants::Invariants;
use e2e::load::Load;
use e2e::records::good_for;
use e2e::service::{Plan, Service};
use e2e::shop::Shop;
use e2e::{check, until, until_text};

const PATIENCE: Duration = Duration::from_secs(60);

/// Longer than a client that was lucky needs to find its broker again.
const FOR_GOOD: Duration = Duration::from_secs(2);
/// How often the broker's names come and go: who was lucky may be less so the next time.
const TURN: Duration = Duration::from_millis(500);
/// An idle producer may be lucky for as long as one likes to watch.
const LUCK: Duration = Duration::from_secs(20);

/// Until every consumer was left by its client, and every producer that is not very lucky.
async fn each_loses((producers, consumers): (&[&Service], &[&Service]), broker: &Fenced) {
    let (began, services) = (Instant::now(), [consumers, producers].concat());
    let mut left: Vec<(Option<Instant>, bool)> = vec![(None, false); services.len()];
    until_text("each reaches no broker", PATIENCE, async || {
        let turn = began.elapsed().as_millis() / TURN.as_millis();
        broker.set(turn.is_multiple_of(2));
        for (service, (since, lost)) in services.iter().zip(&mut left) {
            let health = service.get("/health").await;
            *since = match health.json()["kafka_connected"] == true {
                true => None,
                false => since.or(Some(Instant::now())),
            };
            *lost |= since.is_some_and(|since| since.elapsed() >= FOR_GOOD);
        }
        let must = match began.elapsed() < LUCK {
            true => services.len(),
            false => consumers.len(),
        };
        let lost = left[..must].iter().all(|(_, lost)| *lost);
        lost.then_some(()).ok_or(format!("{left:?}"))
    })
    .await;
    broker.set(false);
}

async fn each_is_well(services: &[&Service]) {
    until_text("each reaches its broker", PATIENCE, async || {
        for service in services {
            let health = service.get("/health").await;
            if health.status != 200 {
                return Err(health.text());
            }
        }
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_whose_broker_names_no_broker_for_a_moment_go_on_by_themselves() {
    let (shop, quiet) = tokio::join!(async { Shop::on(Ground::shared().await).await }, async {
        Shop::on(Ground::shared().await).await
    });
    let (watch, calm) = tokio::join!(Invariants::watch(&shop), Invariants::watch(&quiet));
    let broker = Fenced::before(&shop.witness.servers).await;
    let address = broker.address();
    let through = |plan: Plan| {
        // What a client of the default asks every half minute.
        let often = "KAFKA_CLIENT_TOPIC_METADATA_REFRESH_INTERVAL_MS";
        let plan = plan.env("KAFKA_BOOTSTRAP_SERVERS", &address);
        plan.env(often, "200")
    };
    let ready = async |plan: Plan| through(plan).ready().await;
    let (sells, waits, one, other, idle) = tokio::join!(
        ready(shop.producer()),
        ready(shop.second_producer()),
        ready(shop.consumer()),
        ready(shop.second_consumer()),
        ready(quiet.consumer()),
    );
    let services = [&sells, &waits, &one, &other, &idle];

    let load = Load {
        keyed: true,
        per_second: Some(200),
        ..shop.load(100_000)
    };
    let running = load.start();
    let sold = async |more: usize| {
        let goal = running.accepted() + more;
        until(&format!("{goal} purchases"), PATIENCE, async || {
            (running.accepted() >= goal).then_some(())
        })
        .await;
    };
    sold(200).await;
    each_loses((&[&sells, &waits], &[&one, &other, &idle]), &broker).await;
    each_is_well(&services).await;
    sold(200).await;
    let attempts = running.stop(PATIENCE).await;
    let idle_until_now = Load {
        addr: waits.http(),
        name: format!("{}-waited", shop.name),
        ..shop.load(50)
    };
    let waited = idle_until_now.start().finish(PATIENCE).await;
    check::all_accepted(&waited);
    until("both consumers read", PATIENCE, async || {
        let held = async |consumer: &Service| {
            let assigned = "purchases_partitions_assigned";
            consumer.metric(assigned, &[]).await
        };
        let (one, other) = tokio::join!(held(&one), held(&other));
        (one >= 1.0 && other >= 1.0 && one + other == 3.0).then_some(())
    })
    .await;

    let events = (0..300).map(|number| good_for(number % 3, &format!("user-{number}")));
    quiet.witness.write(events.collect()).await;
    assert_eq!(calm.adds_up(&idle).await.len(), 300);
    watch.adds_up(&one).await;
    let records = shop.witness.records().await;
    for attempts in [&attempts, &waited] {
        check::answers_are_in_the_topic(&check::accepted(attempts), &records);
    }
    check::refusals_are_honest(&attempts, &records);
    check::no_purchase_is_repeated(&records);
    for service in services {
        assert_eq!(service.metric("actors_restarts_total", &[]).await, 0.0);
        assert_eq!(service.admin("/readyz").await.status, 200);
    }
}
