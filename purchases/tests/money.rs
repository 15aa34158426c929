//! Money is exact: parsing, printing, doubles and long sums.

use proptest::prelude::*;
use purchases::{Cents, MoneyError};

fn parsed(text: &str) -> Result<i64, MoneyError> {
    Cents::parse_decimal(text).map(Cents::get)
}

#[test]
fn decimals_are_read_by_their_value() {
    let same = [
        ("999.99", 99_999),
        ("25", 2_500),
        ("25.0", 2_500),
        ("0.05", 5),
        ("1e2", 10_000),
        ("1E+2", 10_000),
        ("1999e-2", 1_999),
        ("19.990", 1_999),
        ("1.5e1", 1_500),
        ("100000e-5", 100),
        ("0", 0),
        ("0.000", 0),
        ("0e9999", 0),
        ("0e99999999999", 0),
        ("9999999999999.99", 999_999_999_999_999),
    ];
    for (text, cents) in same {
        assert_eq!(parsed(text), Ok(cents), "{text}");
    }
}

#[test]
fn what_is_finer_than_a_cent_is_refused() {
    for text in [
        "0.001",
        "1.005",
        "19.999",
        "1e-3",
        "999e-5",
        "5e-99999999999",
    ] {
        assert_eq!(parsed(text), Err(MoneyError::TooPrecise), "{text}");
    }
}

#[test]
fn negative_huge_and_malformed_numbers_are_refused() {
    for text in ["-1", "-0", "-0.01", "-1e5"] {
        assert_eq!(parsed(text), Err(MoneyError::Negative), "{text}");
    }
    for text in [
        "10000000000000",
        "1e20",
        "1e99999999999",
        "99999999999999999999999999",
    ] {
        assert_eq!(parsed(text), Err(MoneyError::TooLarge), "{text}");
    }
    for text in [
        "", "-", ".", ".5", "5.", "05", "00.1", "+5", "1e", "1e+", "1e1.5", "1,5", " 1", "1 ",
        "NaN", "inf", "0x10", "١",
    ] {
        assert_eq!(parsed(text), Err(MoneyError::Malformed), "{text}");
    }
    assert_eq!(parsed(&"1".repeat(65)), Err(MoneyError::Malformed));
}

#[test]
fn a_double_that_is_no_amount_is_refused() {
    let refused = |value| Cents::from_f64_exact(value).expect_err("not an amount");
    assert_eq!(refused(f64::NAN), MoneyError::NotFinite);
    assert_eq!(refused(f64::INFINITY), MoneyError::NotFinite);
    assert_eq!(refused(-0.01), MoneyError::Negative);
    assert_eq!(refused(0.1 + 0.2), MoneyError::TooPrecise);
    assert_eq!(refused(1.005), MoneyError::TooPrecise);
    assert_eq!(refused(1e16), MoneyError::TooLarge);
}

#[test]
fn a_million_prices_add_up_to_the_cent() {
    let price = Cents::parse_decimal("0.10").unwrap();
    let sum: Cents = std::iter::repeat_n(price, 1_000_000).sum();
    assert_eq!(sum.to_string(), "100000.00");
    assert_eq!(sum.as_f64(), 100_000.0);
    let naive: f64 = std::iter::repeat_n(0.10_f64, 1_000_000).sum();
    assert_ne!(naive, 100_000.0, "a float would not have passed this test");
}

#[test]
fn an_average_is_rounded_half_up_to_the_cent() {
    let average = |cents, count| {
        Cents::new(cents)
            .unwrap()
            .average_over(count)
            .map(Cents::get)
    };
    assert_eq!(average(114_997, 3), Some(38_332));
    assert_eq!(average(5, 2), Some(3));
    assert_eq!(average(1, 3), Some(0));
    assert_eq!(average(1, 0), None);
    assert_eq!(average(i64::MAX, 1), Some(i64::MAX));
    assert_eq!(average(7, u64::MAX), Some(0));
}

#[test]
fn an_overflow_is_noticed() {
    let top = Cents::new(i64::MAX).unwrap();
    assert_eq!(top.checked_add(Cents::new(1).unwrap()), None);
    assert_eq!([top, top].into_iter().sum::<Cents>(), top);
    assert_eq!(Cents::new(-1), None);
}

#[test]
fn a_sum_is_shown_to_the_cent_however_large_it_is() {
    let shown = |cents| serde_json::to_string(&Cents::new(cents).unwrap()).unwrap();
    assert_eq!(shown(8_999_999_999_999_991), "89999999999999.91");
    assert_eq!(shown(9_999_999_999_999_990), "99999999999999.9");
    assert_eq!(shown(1_000_000_000_000_000), "10000000000000.0");
    assert_eq!(shown(i64::MAX), "92233720368547758.07");
}

proptest! {
    #[test]
    fn what_is_shown_is_every_cent_of_it(cents in 0..=i64::MAX) {
        let shown = serde_json::to_string(&Cents::new(cents).unwrap()).unwrap();
        let (whole, fraction) = shown.split_once('.').unwrap();
        let read: i64 = format!("{whole}{fraction:0<2}").parse().unwrap();
        prop_assert_eq!(read, cents);
    }

    #[test]
    fn every_price_survives_text_and_double(cents in 0..=Cents::MAX_PRICE.get()) {
        let price = Cents::new(cents).unwrap();
        prop_assert_eq!(Cents::parse_decimal(&price.to_string()), Ok(price));
        prop_assert_eq!(Cents::from_f64_exact(price.as_f64()), Ok(price));
        // What any JSON writer prints for the stored double reads back as the same.
        prop_assert_eq!(Cents::parse_decimal(&serde_json::to_string(&price).unwrap()), Ok(price));
        let elsewhere: f64 = price.to_string().parse().unwrap();
        prop_assert_eq!(elsewhere, price.as_f64());
    }

    #[test]
    fn an_exponent_only_moves_the_point(cents in 0..1_000_000_000_i64, zeros in 0..20_usize) {
        let price = Cents::new(cents).unwrap();
        prop_assert_eq!(parsed(&format!("{cents}e-2")), Ok(cents));
        prop_assert_eq!(parsed(&format!("{price}{}", "0".repeat(zeros))), Ok(cents));
        prop_assert_eq!(parsed(&format!("{cents}{}e-{}", "0".repeat(zeros), zeros + 2)), Ok(cents));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[-+0-9.eE]{0,70}|.*") {
        if let Ok(price) = Cents::parse_decimal(&text) {
            prop_assert!(price <= Cents::MAX_PRICE);
        }
    }

    #[test]
    fn a_sum_is_the_sum_of_the_cents(prices in prop::collection::vec(0..=Cents::MAX_PRICE.get(), 0..200)) {
        let sum: Cents = prices.iter().filter_map(|&c| Cents::new(c)).sum();
        prop_assert_eq!(sum.get(), prices.iter().sum::<i64>());
    }
}
