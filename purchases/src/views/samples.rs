//! Views to show in a description: whole values of the real types, which could have been answered.

use super::*;

/// 2026-01-31T18:00:00.123Z.
const MOMENT: i64 = 1_769_882_400_123;

fn moment(millis_before: i64) -> Timestamp {
    Timestamp::from_millis(MOMENT - millis_before).expect("it is of this century")
}

fn cents(cents: i64) -> Cents {
    Cents::new(cents).expect("it is not negative")
}

const ID: PurchaseId = PurchaseId::from_bytes([
    0x6b, 0x03, 0x2e, 0x4a, 0x85, 0x66, 0xf4, 0xe0, 0x2f, 0xb6, 0x20, 0xf2,
]);

impl History {
    /// The history of somebody who bought twice.
    pub fn sample() -> Self {
        let item = |name: &str, cents: Cents| ItemTotal {
            item_name: name.to_owned(),
            count: 1,
            spent: cents,
        };
        let purchase = PurchaseView {
            id: ID,
            username: "john_doe".to_owned(),
            user_id: "user_123".to_owned(),
            item_name: "Laptop".to_owned(),
            price: 999.99,
            timestamp: moment(0),
            created_at: moment(-12),
        };
        Self {
            user_id: "user_123".to_owned(),
            username: "john_doe".to_owned(),
            total_purchases: 2,
            total_spent: cents(114_997),
            average_price: cents(57_499),
            first_purchase_at: Some(moment(86_400_000)),
            last_purchase_at: Some(moment(0)),
            items: vec![
                item("Laptop", cents(99_999)),
                item("Headphones", cents(14_998)),
            ],
            other_items: OtherItems::default(),
            purchases: vec![purchase],
            next_cursor: Some("AQAAAZwVxvx7awMuSoVm9OAvtiDy".to_owned()),
        }
    }
}

impl StatsView {
    /// The beginning of a stream of statistics, as server-sent events.
    pub fn sample_stream() -> String {
        let data = serde_json::to_string(&Self::sample()).expect("views are JSON");
        format!("retry:3000\n: statistics\n\nid:1769882400323\nevent:stats\ndata:{data}\n\n")
    }

    /// A shop that sold one thing a moment ago, in the last seconds of two short columns.
    pub fn sample() -> Self {
        let sold = || SoldView {
            purchases: 1,
            revenue: cents(99_999),
        };
        let stretch = |step_seconds| StretchView {
            from: Some(moment(step_seconds * 1000 + 123)),
            step_seconds,
            purchases: vec![0, 1],
            revenue: vec![Cents::ZERO, cents(99_999)],
        };
        Self {
            as_of: moment(-200),
            newest_purchase_at: Some(moment(0)),
            total_purchases: 1,
            total_revenue: cents(99_999),
            per_second: RateView {
                purchases: 0.1,
                revenue: cents(10_000),
            },
            per_minute: sold(),
            last_two_minutes: stretch(1),
            last_hour: stretch(60),
            best_sellers: vec![ItemSoldView {
                item_name: "Laptop".to_owned(),
                purchases: 1,
                revenue: cents(99_999),
            }],
            best_sellers_error: 0,
            other_items: SoldView {
                purchases: 0,
                revenue: Cents::ZERO,
            },
            active_buyers: BuyersView {
                estimate: 1,
                window_minutes: 60,
                error_percent: 2,
            },
            backlog: Some(0),
            partitions: vec![PartitionView {
                partition: 0,
                purchases: Some(1),
                counted_from: Some(0),
                skipped: Some(0),
                upto: Some(1),
                committed: Some(1),
                end: Some(1),
                lag: Some(0),
            }],
        }
    }
}
