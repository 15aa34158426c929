//! One part at a time: stop, kill, freeze and restart keep what was acknowledged.

use std::time::Duration;

use crate::wire::{kafka, mongo};
use crate::{Fault, Stack, StackError};

/// Shorter than any answer takes to be called missing, longer than a healthy one takes.
const SILENCE: Duration = Duration::from_millis(500);

pub(super) async fn started() -> Stack {
    Stack::builder()
        .own()
        .quiet()
        .start()
        .await
        .expect("a stack")
}

pub(super) async fn insert(stack: &Stack, id: i32) {
    use mongo::Value::{Documents, Int, Text};
    let fields = [
        ("insert", Text("things")),
        ("documents", Documents(vec![vec![("_id", Int(id))]])),
        ("$db", Text("test")),
    ];
    let answer = mongo::command(stack.database().address(), &fields)
        .await
        .expect("an answer");
    assert_eq!(mongo::field(&answer, "n"), Some(1));
}

pub(super) async fn count(stack: &Stack) -> i64 {
    use mongo::Value::Text;
    let fields = [("count", Text("things")), ("$db", Text("test"))];
    let answer = mongo::command(stack.database().address(), &fields)
        .await
        .expect("an answer");
    mongo::field(&answer, "n").expect("a count")
}

#[tokio::test]
async fn a_broker_keeps_its_records_whether_it_was_killed_stopped_or_frozen() {
    let stack = started().await;
    let broker = stack.broker(0);
    stack.create_topic("purchases", 3).await.unwrap();
    stack
        .create_topic("purchases", 3)
        .await
        .expect("a topic that exists is fine");
    kafka::produce(broker.address(), "purchases", 2, b"one")
        .await
        .unwrap();
    let (bootstrap, pid) = (stack.bootstrap_servers(), broker.pid());

    broker.kill().unwrap();
    assert!(!broker.is_running());
    assert!(matches!(broker.kill(), Err(StackError::NotRunning(_))));
    assert!(kafka::metadata(broker.address(), &[]).await.is_err());
    broker.restart().await.unwrap();
    assert_ne!(broker.pid(), pid);
    assert_eq!(stack.bootstrap_servers(), bootstrap);
    assert_eq!(stack.end_offsets("purchases").await.unwrap(), [0, 0, 1]);

    kafka::produce(broker.address(), "purchases", 2, b"two")
        .await
        .unwrap();
    broker.restart().await.unwrap();
    assert_eq!(stack.end_offsets("purchases").await.unwrap(), [0, 0, 2]);

    broker.freeze().unwrap();
    let asked = kafka::metadata(broker.address(), &[]);
    assert!(
        tokio::time::timeout(SILENCE, asked).await.is_err(),
        "a frozen broker says nothing"
    );
    assert!(broker.is_running());
    broker.thaw().unwrap();
    assert_eq!(stack.end_offsets("purchases").await.unwrap(), [0, 0, 2]);

    let (path, pid) = (stack.dir().to_owned(), broker.pid().unwrap());
    drop(stack);
    assert_eq!(crate::layout::born(pid), None);
    assert!(!path.exists(), "a temporary directory goes with its stack");
}

#[tokio::test]
async fn a_database_keeps_its_documents_whether_it_was_killed_stopped_or_frozen() {
    let stack = Stack::builder()
        .own()
        .quiet()
        .proxied(true)
        .start()
        .await
        .unwrap();
    let database = stack.database();
    insert(&stack, 1).await;
    database.kill().unwrap();
    assert!(!database.is_running());
    database.restart().await.unwrap();
    assert_eq!(count(&stack).await, 1);
    insert(&stack, 2).await;
    database.stop().await.unwrap();
    assert!(!database.is_running());
    database.restart().await.unwrap();
    assert_eq!(count(&stack).await, 2);

    database.freeze().unwrap();
    let asked = mongo::hello(database.address());
    assert!(
        tokio::time::timeout(SILENCE, asked).await.is_err(),
        "a frozen database says nothing"
    );
    database.thaw().unwrap();
    mongo::hello(database.address()).await.unwrap();

    let proxy = stack.database_proxy().address().to_string();
    assert!(stack.mongodb_uri().contains(&proxy));
    mongo::hello(&proxy).await.unwrap();
    stack.database_proxy().set(Fault::Reset);
    mongo::hello(&proxy).await.unwrap_err();
    mongo::hello(database.address()).await.unwrap();
    stack.stop().await.unwrap();
}

#[test]
fn numbers_are_found_in_an_answer_whatever_their_type() {
    let document = [
        b"\x10n\0\x02\0\0\0".as_slice(),
        b"\x01ok\0\0\0\0\0\0\0\xf0\x3f",
        b"\x08yes\0\x01",
    ]
    .concat();
    assert_eq!(mongo::field(&document, "n"), Some(2));
    assert_eq!(mongo::field(&document, "ok"), Some(1));
    assert_eq!(mongo::field(&document, "yes"), Some(1));
    assert_eq!(mongo::field(&document, "no"), None);
}
