//! The keeper against a database that answers from a script.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use host::readiness::Readiness;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Part::{Index, Validator};
use super::*;

/// What each look finds, and when it was.
#[derive(Clone, Default)]
struct Script {
    found: Arc<Mutex<VecDeque<Result<Found, String>>>>,
    asked: Arc<Mutex<Vec<(Part, Duration)>>>,
    began: Option<Instant>,
}

impl SchemaStore for Script {
    async fn ensure(&self, part: Part) -> Result<Found, String> {
        let at = self.began.unwrap().elapsed();
        self.asked.lock().unwrap().push((part, at));
        let next = self.found.lock().unwrap().pop_front();
        next.unwrap_or(Ok(Found::AsWanted))
    }
}

/// Runs it to its end, and tells when it looked at what, and what readiness said at each moment.
async fn keep_with(found: Vec<Result<Found, String>>) -> (Vec<(Part, u64)>, Vec<Vec<String>>) {
    let script = Script {
        found: Arc::new(Mutex::new(found.into())),
        began: Some(Instant::now()),
        ..Script::default()
    };
    let readiness = Readiness::new(CancellationToken::new());
    let keeping = tokio::spawn(keep(script.clone(), readiness.latch("schema")));
    let mut said = Vec::new();
    while !keeping.is_finished() {
        tokio::time::sleep(Duration::from_millis(400)).await;
        said.push(readiness.not_ready_because());
        said.dedup();
    }
    let asked = script.asked.lock().unwrap();
    let asked = asked.iter().map(|(part, at)| (*part, at.as_secs()));
    (asked.collect(), said)
}

#[tokio::test(start_paused = true)]
async fn what_is_there_or_was_made_is_looked_at_once() {
    let (asked, said) = keep_with(vec![Ok(Found::Made)]).await;
    assert_eq!(asked, [(Part::Index, 0), (Part::Validator, 0)]);
    assert_eq!(said, [Vec::<String>::new()]);
}

#[tokio::test(start_paused = true)]
async fn it_is_not_ready_until_the_database_was_reached_and_says_why() {
    let away = Err("no primary".to_owned());
    let (asked, said) = keep_with(vec![away.clone(), Ok(Found::Made), away]).await;
    let expected = [
        (Index, 0),
        (Index, 1),
        (Validator, 1),
        (Index, 2),
        (Validator, 2),
    ];
    assert_eq!(asked, expected);
    assert_eq!(said, [vec!["schema (no primary)".to_owned()], vec![]]);
}

#[tokio::test(start_paused = true)]
async fn another_form_is_left_alone_looked_at_again_and_no_reason_not_to_be_ready() {
    let other = Ok(Found::Differs("it is unique".to_owned()));
    let same = Ok(Found::AsWanted);
    let (asked, said) =
        keep_with(vec![other.clone(), same.clone(), other, same.clone(), same]).await;
    let looks: Vec<_> = asked
        .into_iter()
        .filter(|(part, _)| *part == Part::Index)
        .collect();
    assert_eq!(
        looks,
        [(Part::Index, 0), (Part::Index, 60), (Part::Index, 120)]
    );
    assert_eq!(said, [Vec::<String>::new()]);
}

#[tokio::test(start_paused = true)]
async fn what_the_server_does_not_know_is_done_without() {
    let refused = Ok(Found::Refused("no such command".to_owned()));
    let (asked, said) = keep_with(vec![Ok(Found::AsWanted), refused]).await;
    assert_eq!((asked.len(), said), (2, vec![Vec::<String>::new()]));
}
