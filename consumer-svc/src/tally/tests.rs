//! The fold against its promises: the same sums however the log is cut, mixed or repeated.

use proptest::prelude::*;
use purchases::{Event, PurchaseId, UserId, Username};

use super::*;

/// 2026-01-31T18:00:00Z.
pub(crate) const NOON: i64 = 1_769_882_400_000;

pub(crate) fn moment(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis).unwrap()
}

pub(crate) fn sale(buyer: u32, item: &str, cents: i64, millis: i64) -> Sale {
    Sale {
        buyer: Buyer::of(&UserId::parse(&format!("user_{buyer}")).unwrap()),
        item: ItemName::parse(item).unwrap(),
        price: Cents::new(cents).unwrap(),
        at: moment(millis),
    }
}

/// Sales within two hours, of few items and buyers, so that everything meets.
fn sales(most: usize) -> impl Strategy<Value = Vec<Sale>> {
    let one = (0u32..40, 0u8..12, 0i64..100_000_000, 0i64..7_200_000);
    let one = one.prop_map(|(buyer, item, cents, after)| {
        sale(buyer, &format!("item {item}"), cents, NOON + after)
    });
    prop::collection::vec(one, 0..most)
}

fn folded(log: &[Sale]) -> Tally {
    let mut tally = Tally::starting_at(0);
    for (offset, sale) in log.iter().enumerate() {
        tally.fold(offset as u64, sale);
    }
    tally
}

fn counted(log: &[Sale]) -> Counts {
    folded(log).counts
}

pub(crate) fn stored_and_loaded(tally: &Tally) -> Tally {
    mongo::tests::there_and_back(tally)
}

proptest! {
    /// A crash anywhere, a successor that loads what was saved and reads again from any offset
    /// before: the same tally.
    #[test]
    fn a_log_that_is_cut_saved_and_read_again_folds_to_the_same(
        log in sales(200),
        cut in any::<prop::sample::Index>(),
        again in any::<prop::sample::Index>(),
    ) {
        let cut = cut.index(log.len() + 1);
        let again = again.index(cut + 1);
        let mut tally = stored_and_loaded(&folded(&log[..cut]));
        prop_assert_eq!(tally.resume(again as u64), 0);
        for (offset, sale) in log.iter().enumerate().skip(again) {
            tally.fold(offset as u64, sale);
        }
        prop_assert_eq!(tally, folded(&log));
    }

    /// Sums of any two parts are the sums of the whole, whatever the order of its records. What is
    /// too old is left out, because the parts do not know of each other's clock.
    #[test]
    fn counts_of_two_partitions_merge_to_the_counts_of_both(
        mut log in sales(200),
        side in prop::collection::vec(any::<bool>(), 200),
        order in any::<u64>(),
    ) {
        let whole = counted(&log);
        // Another order: deterministic, and a different one in each case.
        log.sort_by_key(|sale| sale.price.get().unsigned_abs().rotate_left(17) ^ order);
        let pick = |wanted: bool| {
            let of_side = log.iter().zip(&side).filter(|(_, side)| **side == wanted);
            of_side.map(|(sale, _)| sale.clone()).collect::<Vec<_>>()
        };
        let mut merged = counted(&pick(true));
        merged.merge(&counted(&pick(false)));
        prop_assert_eq!(merged.total, whole.total);
        prop_assert_eq!(&merged.goods, &whole.goods);
        prop_assert_eq!(merged.newest, whole.newest);
        if let Some(newest) = whole.newest {
            let (tally, expected) = (Tally { counts: merged, ..Tally::starting_at(0) }, Tally { counts: whole, ..Tally::starting_at(0) });
            let (shop, expected) = (Shop::of([&tally], newest), Shop::of([&expected], newest));
            prop_assert_eq!(shop.last_hour(), expected.last_hour());
            prop_assert_eq!(shop.last_two_minutes(), expected.last_two_minutes());
            prop_assert_eq!(shop.active_buyers(), expected.active_buyers());
        }
    }

    /// The counts of one partition do not depend on the order of its records at all.
    #[test]
    fn a_partition_read_in_another_order_counts_the_same(log in sales(200)) {
        let backwards: Vec<Sale> = log.iter().rev().cloned().collect();
        prop_assert_eq!(counted(&log), counted(&backwards));
    }

    /// Every series is what a recount with the clock in hand finds.
    #[test]
    fn the_windows_hold_what_a_recount_finds(log in sales(300), later in 0i64..400_000) {
        let newest = log.iter().map(|sale| sale.at.as_millis()).max().unwrap_or(NOON);
        let now = moment(newest + later);
        let tally = folded(&log);
        let shop = Shop::of([&tally], now);
        for (stretch, length) in [(shop.last_two_minutes(), 120), (shop.last_hour(), 60)] {
            let step = stretch.step_seconds * 1_000;
            let from = (now.as_millis().div_euclid(step) - length + 1) * step;
            prop_assert_eq!(stretch.from, Some(moment(from)));
            prop_assert_eq!(stretch.steps.len() as i64, length);
            let mut expected = vec![Sold::default(); length as usize];
            for sale in &log {
                let place = (sale.at.as_millis() - from).div_euclid(step);
                if let Some(place) = usize::try_from(place).ok().and_then(|at| expected.get_mut(at)) {
                    place.add(Sold::one(sale.price));
                }
            }
            prop_assert_eq!(&stretch.steps, &expected);
        }
        let minute = shop.last_minute();
        let second = now.as_millis().div_euclid(1_000);
        let within = |sale: &&Sale| (second - 60..second).contains(&sale.at.as_millis().div_euclid(1_000));
        prop_assert_eq!(minute, log.iter().filter(within).map(|sale| Sold::one(sale.price)).sum());
    }
}

#[test]
fn a_million_prices_add_up_to_the_cent() {
    let mut counts = Counts::default();
    let odd = sale(1, "Pen", 10, NOON);
    for _ in 0..1_000_000 {
        counts.fold(&odd);
    }
    assert_eq!(counts.total.revenue.to_string(), "100000.00");
}

#[test]
fn what_has_nothing_to_count_moves_the_offset_all_the_same() {
    let mut tally = Tally::starting_at(10);
    tally.fold(10, &sale(1, "Pen", 5, NOON));
    tally.pass(14);
    // Behind the offset nothing counts again.
    tally.fold(12, &sale(1, "Pen", 5, NOON));
    assert_eq!((tally.upto(), tally.counts().total.purchases), (14, 1));
}

#[test]
fn an_offset_that_was_moved_ahead_leaves_a_gap_that_stays_visible() {
    let mut tally = folded(&[sale(1, "Pen", 5, NOON)]);
    assert_eq!(tally.resume(0), 0);
    assert_eq!(tally.resume(1), 0);
    assert_eq!(tally.resume(8), 7);
    assert_eq!((tally.upto(), tally.skipped()), (8, 7));
}

#[test]
fn names_without_end_are_counted_together_and_nothing_gets_lost() {
    let mut counts = Counts::default();
    for number in 0..2_000 {
        counts.fold(&sale(number, &format!("invention {number}"), 100, NOON));
        counts.fold(&sale(number, "invention 3", 1, NOON));
    }
    let named: Sold = counts.goods.named().map(|(_, sold)| sold).sum();
    let mut all = counts.goods.other();
    all.add(named);
    assert_eq!(all, counts.total);
    let mut tally = Tally::starting_at(0);
    tally.counts = counts.clone();
    assert_eq!(stored_and_loaded(&tally), tally);
    assert!(counts.goods.floor() > 0);
    let (best, sold) = counts.goods.best()[0];
    assert_eq!((best.as_str(), sold.purchases), ("invention 3", 2_001));
}

#[test]
fn a_sale_is_never_later_than_its_storing() {
    let event = Event {
        username: Username::parse("john").unwrap(),
        user_id: UserId::parse("u1").unwrap(),
        item_name: ItemName::parse("Laptop").unwrap(),
        price: Cents::new(1).unwrap(),
        timestamp: moment(NOON),
    };
    let purchase = Purchase::new(PurchaseId::from_bytes([1; 12]), event);
    assert_eq!(Sale::of(&purchase, moment(NOON - 5)).at, moment(NOON - 5));
    assert_eq!(Sale::of(&purchase, moment(NOON + 5)).at, moment(NOON));
}

#[test]
fn a_refused_record_that_is_taken_later_is_counted_once_and_no_other_is() {
    let pen = |number: u32| sale(number, "Pen", 5, NOON);
    let mut tally = Tally::starting_at(0);
    assert_eq!(tally.fold(0, &pen(0)), Folded::Counted);
    tally.refuse(1);
    tally.pass(3);
    let before = tally.reach();
    assert_eq!(tally.fold(2, &pen(2)), Folded::Known, "a tombstone");
    tally.refuse(0);
    assert_eq!(
        tally.fold(0, &pen(0)),
        Folded::Known,
        "who refuses it now had taken it"
    );
    assert_eq!(tally.reach(), before);
    for expected in [Folded::Amended, Folded::Known] {
        tally = stored_and_loaded(&tally);
        assert_eq!(tally.fold(1, &pen(1)), expected);
    }
    assert_eq!((tally.upto(), tally.counts().total.purchases), (3, 2));
    assert!(tally.reach().covers(&before) && !before.covers(&tally.reach()));
}

/// A tally that reaches so far, and has counted so many late.
pub(crate) fn reaching(amended: u64, upto: u64) -> Tally {
    let mut tally = Tally::starting_at(0);
    (0..amended).for_each(|offset| tally.refuse(offset));
    tally.pass(upto);
    for offset in 0..amended {
        tally.fold(offset, &sale(0, "Pen", 10, NOON));
    }
    assert_eq!(tally.reach(), Reach { amended, upto });
    tally
}

#[test]
fn a_tally_stands_for_one_that_is_ahead_of_it_in_nothing() {
    let reach = |amended, upto| Reach { amended, upto };
    let ours = reach(1, 100);
    for covered in [(1, 100), (0, 100), (1, 99), (0, 0)].map(|(a, u)| reach(a, u)) {
        assert!(ours.covers(&covered), "{covered}");
    }
    for ahead in [(2, 100), (1, 101), (0, 101), (2, 99)].map(|(a, u)| reach(a, u)) {
        assert!(!ours.covers(&ahead), "{ahead}");
    }
}

#[test]
fn what_the_log_has_no_more_is_not_remembered() {
    let mut tally = Tally::starting_at(0);
    (0..8).for_each(|offset| tally.refuse(offset));
    tally.cut(5);
    let pen = sale(0, "Pen", 5, NOON);
    assert_eq!(tally.fold(4, &pen), Folded::Known);
    assert_eq!(tally.fold(5, &pen), Folded::Amended);
    assert_eq!(tally.forgotten(), 0);
}
