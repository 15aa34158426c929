//! Shelves: keys side by side, ages, what is closed early, and random lives against what was pushed.

use std::time::Duration;

use super::*;

impl Parcel for char {
    fn bytes(&self) -> usize {
        1
    }
}

impl Parcel for usize {
    fn bytes(&self) -> usize {
        1
    }
}

const LIMITS: BatchLimits = BatchLimits {
    count: 2,
    bytes: 100,
    age: Duration::from_secs(1),
};

#[test]
fn a_key_is_written_once_at_a_time_and_others_go_on() {
    let (mut shelf, now) = (Shelf::new(LIMITS), Instant::now());
    for item in 0..4usize {
        shelf.push(1, item, now);
    }
    shelf.push(2, 9, now);
    shelf.close_all();
    assert_eq!(shelf.take(), Some((1, vec![0, 1])));
    assert_eq!(shelf.take(), Some((2, vec![9])));
    assert_eq!(shelf.take(), None);
    shelf.written(1);
    assert_eq!(shelf.take(), Some((1, vec![2, 3])));
    shelf.written(1);
    shelf.written(2);
    assert!(shelf.slots.is_empty(), "an idle key takes no room");
}

#[test]
fn what_somebody_has_is_closed_and_what_others_have_there_stays() {
    let limits = BatchLimits { count: 4, ..LIMITS };
    let (mut shelf, now) = (Shelf::new(limits), Instant::now());
    for item in ['a', 'X', 'b', 'Y', 'c', 'Z'] {
        shelf.push(1, item, now);
    }
    shelf.push(2, 'd', now);
    shelf.close_of(char::is_ascii_uppercase);
    assert_eq!(shelf.take(), Some((1, vec!['a', 'X', 'b', 'Y'])), "full");
    assert_eq!(shelf.take(), None, "nobody's");
    shelf.push(1, 'V', now);
    shelf.close_of(char::is_ascii_uppercase);
    shelf.written(1);
    assert_eq!(
        shelf.take(),
        Some((1, vec!['Z', 'V'])),
        "closed twice, written once"
    );
    shelf.written(1);
    assert_eq!(shelf.take(), None);
    assert_eq!(shelf.deadline(), Some(now + limits.age), "of what stayed");
    shelf.line_up_due(now + limits.age);
    let left: BTreeSet<_> = std::iter::from_fn(|| shelf.take()).collect();
    assert_eq!(left, BTreeSet::from([(1, vec!['c']), (2, vec!['d'])]));
}

#[test]
fn age_lines_up_the_batches_that_are_old_and_no_others() {
    let (mut shelf, now) = (Shelf::new(LIMITS), Instant::now());
    shelf.push(1, 'a', now);
    shelf.push(2, 'b', now + LIMITS.age / 2);
    assert_eq!(shelf.deadline(), Some(now + LIMITS.age));
    shelf.line_up_due(now + LIMITS.age);
    assert_eq!(shelf.take(), Some((1, vec!['a'])));
    assert_eq!(shelf.take(), None);
    assert_eq!(shelf.deadline(), Some(now + LIMITS.age + LIMITS.age / 2));
}

#[test]
fn while_nobody_writes_it_an_old_batch_grows_to_its_limits() {
    let (mut shelf, now) = (Shelf::new(LIMITS), Instant::now());
    let old = now + LIMITS.age;
    shelf.push(1, 'a', now);
    shelf.line_up_due(old);
    shelf.push(2, 'x', old);
    shelf.line_up_due(old + LIMITS.age);
    shelf.push(1, 'b', old);
    shelf.push(1, 'c', old);
    assert_eq!(
        shelf.take(),
        Some((1, vec!['a', 'b'])),
        "grown while in line"
    );
    shelf.line_up_due(old + 5 * LIMITS.age);
    shelf.push(1, 'd', old);
    assert_eq!(
        shelf.take(),
        Some((2, vec!['x'])),
        "a busy key does not hold the others"
    );
    shelf.push(1, 'e', old);
    shelf.written(1);
    assert_eq!(
        shelf.take(),
        Some((1, vec!['c', 'd'])),
        "grown while writing"
    );
    shelf.written(1);
    assert_eq!(
        shelf.take(),
        None,
        "not old enough by itself: nobody looked"
    );
    shelf.line_up_due(old + LIMITS.age);
    assert_eq!(shelf.take(), Some((1, vec!['e'])));
}

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn order_within_a_key_is_kept_and_no_key_is_written_twice_at_once(
        ops in proptest::collection::vec((0..7u8, 0..4u64, 0..2000u64), 0..100),
    ) {
        let (mut shelf, mut now) = (Shelf::new(LIMITS), Instant::now());
        let mut writing: Vec<(u64, Vec<usize>)> = Vec::new();
        let mut written: HashMap<u64, Vec<usize>> = HashMap::new();
        let mut pushed: HashMap<u64, Vec<usize>> = HashMap::new();
        let mut finish = |shelf: &mut Shelf<usize>, writing: &mut Vec<(u64, Vec<usize>)>, at: usize| {
            let (key, batch) = writing.remove(at);
            written.entry(key).or_default().extend(batch);
            shelf.written(key);
        };
        for (number, (op, key, pause)) in ops.into_iter().enumerate() {
            now += Duration::from_millis(pause);
            match op {
                0..=2 => {
                    shelf.push(key, number, now);
                    pushed.entry(key).or_default().push(number);
                }
                3 => shelf.line_up_due(now),
                // Those of one of three lanes.
                5 => shelf.close_of(|number| number % 3 == key as usize % 3),
                4 => if let Some((key, batch)) = shelf.take() {
                    prop_assert!(writing.iter().all(|(busy, _)| *busy != key), "two batches of {} at once", key);
                    writing.push((key, batch));
                },
                _ => if !writing.is_empty() {
                    let at = key as usize % writing.len();
                    finish(&mut shelf, &mut writing, at);
                },
            }
        }
        shelf.close_all();
        prop_assert_eq!(shelf.deadline(), None);
        loop {
            writing.extend(std::iter::from_fn(|| shelf.take()));
            if writing.is_empty() {
                break;
            }
            finish(&mut shelf, &mut writing, 0);
        }
        prop_assert_eq!(written, pushed);
        prop_assert!(shelf.slots.is_empty());
    }
}
