//! Ids: the derived ones are pinned, because stored data depends on them.

use std::collections::HashSet;

use proptest::prelude::*;
use purchases::{IdSource, IdempotencyKey, PurchaseId, Timestamp, UserId};

fn derived(user: &str, key: &str) -> PurchaseId {
    PurchaseId::derived(
        &UserId::parse(user).expect("a user id"),
        &IdempotencyKey::parse(key).expect("a retry key"),
    )
}

#[test]
fn the_derived_ids_never_change() {
    // Anyone can recompute these: SHA-256 over each part with its length as eight
    // bytes before it, domain first; the first twelve bytes.
    assert_eq!(
        derived("user_123", "key-1").to_string(),
        "0aca31f435de58cd101ce727"
    );
    assert_eq!(
        derived("张伟", "8e03978e-40d5-43e8-bc93-6894a57f9324").to_string(),
        "55984028eb70b48d1319a199"
    );
    assert_eq!(
        PurchaseId::foreign("purchases", 0, 0).to_string(),
        "898dde66a0dc5f1571990b56"
    );
    assert_eq!(
        PurchaseId::foreign("purchases", 2, 9_007_199_254_740_993).to_string(),
        "87a14ec94f59cbfb10084b1b"
    );
}

#[test]
fn the_seeds_never_change() {
    let id: PurchaseId = "65b2f0c0a1b2c3d4e5000001".parse().unwrap();
    assert_eq!(id.seed(), 3_578_531_234_026_423_167);
    assert_eq!(
        PurchaseId::from_bytes([0; 12]).seed(),
        12_035_550_249_420_947_055
    );
}

#[test]
fn seeds_of_neighbouring_ids_are_spread_evenly() {
    let source = IdSource::new([1, 2, 3, 4, 5], 0);
    let now = Timestamp::from_millis(1_769_882_400_000).unwrap();
    let mut hits = [0_u32; 15];
    for _ in 0..150_000 {
        hits[(source.fresh(now).seed() % 15) as usize] += 1;
    }
    // 10,000 expected each; five standard deviations are 483.
    assert!(hits.iter().all(|&n| n.abs_diff(10_000) < 483), "{hits:?}");
}

#[test]
fn parts_cannot_flow_into_each_other() {
    assert_ne!(derived("ab", "c"), derived("a", "bc"));
    assert_ne!(
        PurchaseId::foreign("p1", 1, 1),
        PurchaseId::foreign("p", 11, 1)
    );
}

#[test]
fn a_fresh_id_has_the_layout_of_an_object_id() {
    let source = IdSource::new([0xA, 0xB, 0xC, 0xD, 0xE], 0x01FF_FFFF);
    let now = Timestamp::parse("2026-01-31T18:00:00.999Z").unwrap();
    assert_eq!(source.fresh(now).to_string(), "697e43200a0b0c0d0effffff");
    assert_eq!(
        source.fresh(now).to_string(),
        "697e43200a0b0c0d0e000000",
        "the counter has 24 bits"
    );
}

#[test]
fn fresh_ids_of_many_threads_differ() {
    let source = IdSource::new([7; 5], u32::MAX - 5);
    let now = Timestamp::from_millis(0).unwrap();
    let all: HashSet<PurchaseId> = std::thread::scope(|threads| {
        let run = || (0..10_000).map(|_| source.fresh(now)).collect::<Vec<_>>();
        let running: Vec<_> = (0..4).map(|_| threads.spawn(run)).collect();
        running
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(all.len(), 40_000);
}

#[test]
fn only_24_hex_digits_are_an_id() {
    for wrong in [
        "",
        "65b2f0c0a1b2c3d4e500000",
        "65b2f0c0a1b2c3d4e50000011",
        "65b2f0c0a1b2c3d4e500000g",
        "+5b2f0c0a1b2c3d4e5000001",
    ] {
        assert!(wrong.parse::<PurchaseId>().is_err(), "{wrong}");
    }
    assert!(PurchaseId::from_hex(&[0xFF; 24]).is_err());
    let upper: PurchaseId = "65B2F0C0A1B2C3D4E5000001".parse().unwrap();
    assert_eq!(upper.to_string(), "65b2f0c0a1b2c3d4e5000001");
    assert_eq!(
        serde_json::to_string(&upper).unwrap(),
        "\"65b2f0c0a1b2c3d4e5000001\""
    );
}

proptest! {
    #[test]
    fn every_id_survives_its_text(bytes in any::<[u8; 12]>()) {
        let id = PurchaseId::from_bytes(bytes);
        prop_assert_eq!(id.to_string().parse(), Ok(id));
        prop_assert_eq!(PurchaseId::from_hex(&id.to_hex()), Ok(id));
        prop_assert_eq!(id.as_bytes(), &bytes);
    }

    #[test]
    fn places_in_the_log_have_ids_of_their_own(
        a in (any::<i32>(), any::<i64>()),
        b in (any::<i32>(), any::<i64>()),
    ) {
        let id = |(partition, offset)| PurchaseId::foreign("purchases", partition, offset);
        prop_assert_eq!(id(a) == id(b), a == b);
        prop_assert_eq!(id(a), id(a));
    }
}
