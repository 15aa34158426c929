//! Records that can never become a purchase, here and there among the others. In: a seed, and how much is bought.
//! Out: bad records in the topic; afterwards, what the letters say of them.

use std::time::Duration;

use e2e::shop::Shop;
use e2e::topic::NewRecord;
use e2e::wrongs::Wrongs;

use crate::customers::Customers;
use crate::ledger::Place;

/// Purchases for each bad record.
const ONE_IN: usize = 500;
/// Partitions of a shop's topic.
const PARTITIONS: u64 = 3;
/// Between two looks at how much is bought.
const LOOK: Duration = Duration::from_millis(50);
/// How a bad record begins.
const BEGINS: &[u8] = b"{ spoiled";

/// A bad record without a letter.
pub(crate) const UNLETTERED: &str = "bad records without a letter";
/// A letter of something else.
pub(crate) const STRANGE: &str = "letters of records that are not bad";

/// Whether this is one of ours.
pub(crate) fn is_bad(value: Option<&[u8]>) -> bool {
    value.is_some_and(|value| value.starts_with(BEGINS))
}

/// Puts one into the topic for every so many purchases, for as long as it is let. Which partition has it, the seed
/// decides.
pub(crate) async fn spoil(
    seed: u64,
    shop: &Shop,
    customers: &Customers,
) -> std::convert::Infallible {
    let mut number = 0;
    loop {
        number += 1;
        while customers.seen().accepted < number * ONE_IN {
            tokio::time::sleep(LOOK).await;
        }
        let drawn = (seed ^ number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
        let mut value = BEGINS.to_vec();
        value.extend(number.to_string().bytes());
        let record = NewRecord {
            partition: (drawn % PARTITIONS) as i32,
            value: Some(value),
            ..NewRecord::default()
        };
        shop.witness.write(vec![record]).await;
    }
}

/// Of which records there are letters, as often as there are.
pub(crate) async fn lettered(shop: &Shop) -> Vec<Place> {
    let letters = shop.witness.records_of(&shop.dead_letters()).await;
    let origin = |letter: &e2e::topic::Record| {
        let partition = letter.header("dlq-partition")?.parse().ok()?;
        Some((partition, letter.header("dlq-offset")?.parse().ok()?))
    };
    let each = letters.iter();
    each.map(|letter| origin(letter).unwrap_or((-1, letter.offset)))
        .collect()
}

/// Each bad record has at least one letter, and nothing else has one.
pub(crate) fn check(bad: &[Place], lettered: &[Place]) -> Wrongs {
    let mut wrongs = Wrongs::default();
    for place in bad.iter().filter(|place| !lettered.contains(place)) {
        wrongs.add(UNLETTERED, || format!("{place:?}"));
    }
    for place in lettered.iter().filter(|place| !bad.contains(place)) {
        wrongs.add(STRANGE, || format!("{place:?}"));
    }
    wrongs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_record_without_a_letter_and_a_letter_of_a_good_one_are_found() {
        let bad = [(0, 4), (1, 7)];
        assert!(check(&bad, &[(1, 7), (0, 4), (1, 7)]).is_empty());
        assert_eq!(check(&bad, &[(1, 7)]).counts(), [(UNLETTERED, 1)].into());
        let strange = check(&bad, &[(0, 4), (1, 7), (2, 4)]);
        assert_eq!(strange.counts(), [(STRANGE, 1)].into());
        assert!(is_bad(Some(b"{ spoiled 3")) && !is_bad(Some(b"{}")) && !is_bad(None));
    }
}
