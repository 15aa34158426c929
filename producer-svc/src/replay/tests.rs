//! The memory against a simple one, and what a claim leaves behind.

use bytes::Bytes;
use proptest::prelude::*;
use purchases::{Cents, ItemName};

use super::*;

const AGE: Duration = Duration::from_millis(100);

fn limits(keys: usize, bytes: usize) -> Limits {
    Limits {
        keys,
        bytes,
        age: AGE,
    }
}

fn id(number: u8) -> PurchaseId {
    PurchaseId::from_bytes([number; 12])
}

fn asked(what: &str) -> Fingerprint {
    Fingerprint::of(&[what])
}

fn stored(offset: i64, length: usize) -> Stored {
    Stored {
        value: Bytes::from(vec![b'x'; length]),
        partition: 1,
        offset: Some(offset),
    }
}

fn choice(name: &str) -> Choice {
    Choice {
        item: Item {
            name: ItemName::parse(name).unwrap(),
            price: Cents::new(100).unwrap(),
        },
        accepted: Timestamp::from_millis(0).unwrap(),
    }
}

fn unknown() -> Verdict {
    Err(Unsold::Unknown("timed out".to_owned()))
}

fn not_stored() -> Verdict {
    Err(Unsold::NotStored("refused".to_owned()))
}

/// A list, oldest first, that is searched from end to end.
struct Simple {
    limits: Limits,
    entries: Vec<SimpleEntry>,
}

struct SimpleEntry {
    id: PurchaseId,
    request: Fingerprint,
    settled: Option<(Instant, Kept)>,
}

impl Simple {
    fn expire(&mut self, now: Instant) {
        let age = self.limits.age;
        self.entries.retain(|entry| {
            entry
                .settled
                .as_ref()
                .is_none_or(|(since, _)| now.duration_since(*since) < age)
        });
    }

    fn look(&mut self, id: PurchaseId, request: Fingerprint, now: Instant) -> Option<Known> {
        self.expire(now);
        let entry = self.entries.iter().find(|entry| entry.id == id)?;
        match &entry.settled {
            _ if entry.request != request => Some(Known::Changed),
            None => Some(Known::InFlight),
            Some((_, Kept::Stored(stored))) => Some(Known::Stored(stored.clone())),
            Some((_, Kept::Unknown(_))) => Some(Known::Unknown),
        }
    }

    fn claim(
        &mut self,
        id: PurchaseId,
        request: Fingerprint,
        now: Instant,
    ) -> Result<Option<Choice>, Known> {
        match self.look(id, request, now) {
            None | Some(Known::Unknown) => {}
            Some(known) => return Err(known),
        }
        let at = self.entries.iter().position(|entry| entry.id == id);
        let before = at.map(|at| self.entries.remove(at));
        self.entries.push(SimpleEntry {
            id,
            request,
            settled: None,
        });
        Ok(before.and_then(|entry| match entry.settled {
            Some((_, Kept::Unknown(choice))) => Some(choice),
            _ => None,
        }))
    }

    fn settle(&mut self, id: PurchaseId, kept: Option<Kept>, now: Instant) {
        let at = self
            .entries
            .iter()
            .position(|entry| entry.id == id)
            .unwrap();
        let mut entry = self.entries.remove(at);
        let Some(kept) = kept else { return };
        entry.settled = Some((now, kept));
        self.entries.push(entry);
        while self.census().kept > self.limits.keys || self.census().bytes > self.limits.bytes {
            let oldest = self
                .entries
                .iter()
                .position(|entry| entry.settled.is_some());
            self.entries.remove(oldest.unwrap());
        }
    }

    fn census(&self) -> store::Census {
        let kept = || {
            self.entries
                .iter()
                .filter_map(|entry| entry.settled.as_ref())
        };
        store::Census {
            in_flight: self.entries.len() - kept().count(),
            kept: kept().count(),
            bytes: kept().map(|(_, kept)| kept.bytes()).sum(),
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Look(u8, u8),
    Claim(u8, u8),
    /// The claim at this place among the open ones, and what it leaves: nothing, an answer of this
    /// many bytes, or a choice.
    Settle(usize, u8, usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u8..8, 0_u8..2).prop_map(|(id, request)| Step::Look(id, request)),
        (0_u8..8, 0_u8..2).prop_map(|(id, request)| Step::Claim(id, request)),
        (any::<usize>(), 0_u8..3, 0_usize..600)
            .prop_map(|(at, how, size)| Step::Settle(at, how, size)),
        (0_u64..40).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn the_memory_knows_what_a_simple_one_knows_and_keeps_its_bounds(
        steps in prop::collection::vec(step(), 1..200),
        keys in 0_usize..5,
        bytes in 0_usize..3_000,
    ) {
        let limits = limits(keys, bytes);
        let mut store = Store::new(limits);
        let mut simple = Simple { limits, entries: Vec::new() };
        let mut open: Vec<PurchaseId> = Vec::new();
        let mut now = Instant::now();
        let requests = [asked("one"), asked("two")];
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Look(key, request) => {
                    let request = requests[usize::from(request)];
                    prop_assert_eq!(store.look(id(key), request, now).0, simple.look(id(key), request, now));
                }
                Step::Claim(key, request) => {
                    let request = requests[usize::from(request)];
                    let claimed = store.claim(id(key), request, now).0;
                    if claimed.is_ok() {
                        open.push(id(key));
                    }
                    prop_assert_eq!(claimed, simple.claim(id(key), request, now));
                }
                Step::Settle(at, how, size) if !open.is_empty() => {
                    let id = open.swap_remove(at % open.len());
                    let kept = match how {
                        0 => None,
                        1 => Some(Kept::Stored(stored(number as i64, size))),
                        _ => Some(Kept::Unknown(choice(&format!("item {number}")))),
                    };
                    store.settle(id, kept.clone(), now);
                    simple.settle(id, kept, now);
                }
                Step::Settle(..) => {}
                Step::Wait(millis) => now += Duration::from_millis(millis),
            }
            store.expire(now);
            simple.expire(now);
            let census = store.census();
            prop_assert_eq!(census, simple.census());
            prop_assert!(census.kept <= keys && census.bytes <= bytes && census.in_flight == open.len());
        }
    }
}

fn replays() -> Replays {
    Replays::new(limits(10, 1 << 20), Arc::new(Metrics::new()))
}

fn claim(replays: &Replays) -> Claim {
    replays.claim(id(1), asked("one"), Instant::now()).unwrap()
}

#[test]
fn a_key_is_in_use_until_its_purchase_is_settled_and_then_has_its_answer() {
    let replays = replays();
    let first = claim(&replays);
    let again = || {
        replays
            .claim(id(1), asked("one"), Instant::now())
            .unwrap_err()
    };
    assert_eq!(again(), Known::InFlight);
    first.settle(&Ok(stored(7, 10)));
    assert_eq!(again(), Known::Stored(stored(7, 10)));
    let other = replays.claim(id(1), asked("two"), Instant::now());
    assert_eq!(other.unwrap_err(), Known::Changed);
}

#[test]
fn another_content_is_told_also_while_the_first_is_on_its_way() {
    let replays = replays();
    let _first = claim(&replays);
    assert_eq!(
        replays.look(id(1), asked("two"), Instant::now()),
        Some(Known::Changed)
    );
}

#[test]
fn a_claim_that_is_lost_or_not_stored_leaves_nothing() {
    let replays = replays();
    drop(claim(&replays));
    let mut first = claim(&replays);
    first.chose(choice("Laptop"));
    first.settle(&not_stored());
    assert_eq!(claim(&replays).choice(), None);
    assert_eq!(replays.store().census(), store::Census::default());
}

#[test]
fn after_an_unknown_outcome_every_retry_buys_the_same_until_one_is_stored() {
    let replays = replays();
    let mut first = claim(&replays);
    first.chose(choice("Laptop"));
    first.settle(&unknown());
    // The second certainly stores nothing, but the first may have.
    let second = claim(&replays);
    assert!(second.is_uncertain());
    assert_eq!(second.choice(), Some(&choice("Laptop")));
    second.settle(&not_stored());
    drop(claim(&replays));
    let known = replays.look(id(1), asked("one"), Instant::now());
    assert_eq!(known, Some(Known::Unknown));
    let known = replays.look(id(1), asked("two"), Instant::now());
    assert_eq!(known, Some(Known::Changed));
    let last = claim(&replays);
    assert_eq!(last.choice(), Some(&choice("Laptop")));
    last.settle(&Ok(stored(9, 10)));
    let known = replays.look(id(1), asked("one"), Instant::now());
    assert_eq!(known, Some(Known::Stored(stored(9, 10))));
}

#[test]
fn of_many_threads_with_one_key_one_buys_at_a_time() {
    let replays = replays();
    let under_way = std::sync::atomic::AtomicUsize::new(0);
    let bought = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                use std::sync::atomic::Ordering::SeqCst;
                for _ in 0..2_000 {
                    if let Ok(claim) = replays.claim(id(1), asked("one"), Instant::now()) {
                        assert_eq!(under_way.fetch_add(1, SeqCst), 0);
                        bought.fetch_add(1, SeqCst);
                        under_way.fetch_sub(1, SeqCst);
                        claim.settle(&not_stored());
                    }
                }
            });
        }
    });
    assert!(bought.into_inner() > 0);
    assert_eq!(replays.store().census(), store::Census::default());
}

#[test]
fn parts_of_a_request_do_not_run_into_each_other() {
    assert_ne!(Fingerprint::of(&["ab", "c"]), Fingerprint::of(&["a", "bc"]));
    assert_eq!(Fingerprint::of(&["ab", "c"]), Fingerprint::of(&["ab", "c"]));
}
