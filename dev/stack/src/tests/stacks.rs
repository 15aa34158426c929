//! Whole stacks: kept directories, given addresses, three nodes.

use std::net::TcpListener;
use std::time::Duration;

use super::parts::{count, insert, started};
use crate::layout::{self, Layout};
use crate::process::Spawn;
use crate::wire::kafka;
use crate::{Fault, Given, Notice, Progress, Stack, StackError};

#[tokio::test]
async fn a_kept_directory_keeps_data_and_ports_and_fresh_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let builder = Stack::builder().own().quiet().dir(dir.path());
    let stack = builder.clone().start().await.unwrap();
    stack.create_topic("kept", 2).await.unwrap();
    kafka::produce(stack.broker(0).address(), "kept", 1, b"a record")
        .await
        .unwrap();
    insert(&stack, 1).await;

    let second = builder.clone().start().await;
    let me = std::process::id().to_string();
    assert!(
        matches!(second, Err(StackError::InUse { ref holder, .. }) if *holder == me),
        "{second:?}"
    );

    let (bootstrap, database) = (stack.bootstrap_servers(), stack.mongodb_uri());
    stack.stop().await.unwrap();
    // The broker's port is taken meanwhile, the database's is not.
    let squatter = TcpListener::bind(&bootstrap).unwrap();
    let stack = builder.clone().start().await.unwrap();
    assert_ne!(stack.bootstrap_servers(), bootstrap);
    assert_eq!(stack.mongodb_uri(), database);
    assert_eq!(stack.end_offsets("kept").await.unwrap(), [0, 1]);
    assert_eq!(count(&stack).await, 1);
    drop(squatter);
    stack.stop().await.unwrap();

    let other = builder.clone().brokers(3).start().await;
    assert!(
        matches!(
            other,
            Err(StackError::OtherShape {
                found: 1,
                wanted: 3,
                ..
            })
        ),
        "{other:?}"
    );

    let stack = builder.fresh(true).start().await.unwrap();
    assert!(
        stack.end_offsets("kept").await.is_err(),
        "the topic is gone"
    );
    assert_eq!(count(&stack).await, 0);
}

#[tokio::test]
async fn a_process_left_by_a_killed_run_is_ended_and_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let part = dir.path().join("broker-1");
    std::fs::create_dir(&part).unwrap();
    let leftover = Spawn::new("leftover", "sleep").arg("600").start().unwrap();
    layout::record(&part, leftover.pid()).unwrap();
    let (sender, told) = std::sync::mpsc::channel();
    let progress = Progress::new(move |notice| sender.send(notice).unwrap());
    let _held = Layout::open(Some(dir.path()), false, 1, &progress).unwrap();
    assert!(!leftover.is_running() || leftover.wait_exit(Duration::from_secs(5)).await.is_some());
    let told = told.try_recv().unwrap();
    assert!(
        matches!(told, Notice::Warning(ref text) if text.contains(&leftover.pid().to_string())),
        "{told:?}"
    );
}

#[tokio::test]
async fn two_stacks_run_side_by_side_and_given_addresses_are_used_as_they_are() {
    let (one, two) = tokio::join!(started(), started());
    one.create_topic("mine", 1).await.unwrap();
    assert!(two.end_offsets("mine").await.is_err());

    let given = Given {
        bootstrap_servers: Some(one.bootstrap_servers()),
        mongodb_uri: Some(two.mongodb_uri()),
        secured: false,
    };
    let third = Stack::builder().given(given).quiet().start().await.unwrap();
    assert_eq!(third.bootstrap_servers(), one.bootstrap_servers());
    assert_eq!(third.mongodb_uri(), two.mongodb_uri());
    third.create_topic("through", 1).await.unwrap();
    assert_eq!(one.end_offsets("through").await.unwrap(), [0]);
    assert!(matches!(
        third.broker(0).kill(),
        Err(StackError::NotOurs(_))
    ));
    third.stop().await.unwrap();
    assert!(one.broker(0).is_running() && two.database().is_running());
}

#[tokio::test]
async fn a_given_address_that_does_not_answer_is_named() {
    let silent = format!("127.0.0.1:{}", crate::free_port());
    let given = Given {
        bootstrap_servers: Some(silent.clone()),
        mongodb_uri: Some(format!("mongodb://{silent}")),
        secured: false,
    };
    let error = Stack::builder()
        .given(given)
        .quiet()
        .start()
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(&format!("KAFKA_BOOTSTRAP_SERVERS={silent}")),
        "{error}"
    );
}

#[tokio::test]
async fn three_nodes_behind_proxies_outlive_the_loss_of_one() {
    let stack = Stack::builder()
        .own()
        .quiet()
        .brokers(3)
        .proxied(true)
        .start()
        .await
        .unwrap();
    stack.create_topic("replicated", 3).await.unwrap();
    let told = kafka::metadata(stack.broker(0).address(), &["replicated"])
        .await
        .unwrap();
    let mut told: Vec<String> = told
        .brokers
        .into_iter()
        .map(|(_, address)| address)
        .collect();
    told.sort();
    let mut proxies: Vec<String> = stack
        .bootstrap_servers()
        .split(',')
        .map(str::to_owned)
        .collect();
    proxies.sort();
    assert_eq!(told, proxies, "clients are sent to the proxies");

    stack.broker(1).kill().unwrap();
    for partition in [0, 1, 2] {
        // Asked again until the others have agreed on a leader and it knows.
        let written = crate::wait_until(Duration::from_secs(60), async || {
            let leaders = stack.leaders("replicated").await.ok()?;
            let (_, leader) = leaders.into_iter().find(|(led, _)| *led == partition)?;
            kafka::produce(&leader, "replicated", partition, b"still here")
                .await
                .ok()
        });
        written.await.expect("a new leader that takes the record");
    }
    stack.broker_proxy(0).set(Fault::Refuse);
    stack.broker(2).freeze().unwrap();
    stack.mend().await.unwrap();
    assert_eq!(stack.broker_proxy(0).fault(), Fault::None);
    let ends = stack.end_offsets("replicated").await.unwrap();
    assert!(
        ends.len() == 3 && ends.iter().all(|end| *end > 0),
        "{ends:?}"
    );
    // Others lead what it led, until it is asked to again.
    let elected = crate::wait_until(Duration::from_secs(60), async || {
        let elected = stack.elect_preferred("replicated").await;
        elected.is_ok_and(|all| all).then_some(())
    });
    elected.await.expect("every partition is led as it was");
    // Whoever is asked may hear of it a little later.
    let led = crate::wait_until(Duration::from_secs(60), async || {
        let mut leading = stack.leading("replicated").await.ok()?;
        leading.sort_unstable();
        (leading == [Some(0), Some(1), Some(2)]).then_some(())
    });
    led.await.expect("each leads one of them");
    stack.stop().await.unwrap();
}
