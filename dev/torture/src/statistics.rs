//! The statistics against a recount. In: every document; and what a consumer shows. Out: where the
//! two differ, to the purchase and the cent. Pure.

use std::collections::{BTreeMap, HashMap};

use e2e::documents::Stored;
use e2e::wrongs::Wrongs;
use serde_json::Value;

/// Statistics that differ from a recount of the collection.
const DIFFERENT: &str = "sums of /stats that differ from a recount";

/// Number and cents.
type Sum = (u64, u64);

/// Sums over documents.
#[derive(Debug, Default)]
pub(crate) struct Recount {
    total: Sum,
    items: HashMap<String, Sum>,
}

impl Recount {
    pub(crate) fn add(&mut self, document: &Stored) {
        let cents = cents(document.event.price);
        let one = |sum: &mut Sum| *sum = (sum.0 + 1, sum.1 + cents);
        one(&mut self.total);
        let name = &document.event.item_name;
        match self.items.get_mut(name) {
            Some(sum) => one(sum),
            None => one(self.items.entry(name.clone()).or_default()),
        }
    }

    /// What of these statistics differs.
    pub(crate) fn compare(&self, stats: &Value) -> Wrongs {
        let mut wrongs = Wrongs::default();
        let mut same = |what: &str, shown: Option<Sum>, counted: Sum| {
            if shown != Some(counted) {
                wrongs.add(DIFFERENT, || {
                    format!("{what}: {shown:?}, and there are {counted:?}")
                });
            }
        };
        same(
            "all",
            sum(stats, "total_purchases", "total_revenue"),
            self.total,
        );
        let mut named = (0, 0);
        for item in stats["best_sellers"].as_array().into_iter().flatten() {
            let name = item["item_name"].as_str().unwrap_or_default();
            let counted = self.items.get(name).copied().unwrap_or_default();
            same(name, sum(item, "purchases", "revenue"), counted);
            named = (named.0 + counted.0, named.1 + counted.1);
        }
        let other = (self.total.0 - named.0, self.total.1 - named.1);
        same(
            "other items",
            sum(&stats["other_items"], "purchases", "revenue"),
            other,
        );
        let partitions = stats["partitions"].as_array().into_iter().flatten();
        let of_all: u64 = partitions
            .filter_map(|view| view["purchases"].as_u64())
            .sum();
        same("partitions", Some((of_all, self.total.1)), self.total);
        wrongs
    }
}

/// Whether these statistics reach to these ends.
pub(crate) fn reaches(stats: &Value, ends: &BTreeMap<i32, i64>) -> bool {
    let partitions = stats["partitions"].as_array();
    ends.iter().all(|(partition, end)| {
        let mut views = partitions.into_iter().flatten();
        views.any(|view| view["partition"] == *partition && view["upto"] == *end)
    })
}

fn sum(view: &Value, purchases: &str, revenue: &str) -> Option<Sum> {
    Some((view[purchases].as_u64()?, cents(view[revenue].as_f64()?)))
}

fn cents(price: f64) -> u64 {
    (price * 100.0).round() as u64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use e2e::answer::Event;
    use e2e::documents::Stored;
    use serde_json::{Value, json};

    use super::{Recount, reaches};

    fn stats(total: u64, revenue: f64, laptops: u64, other: u64) -> Value {
        json!({
            "total_purchases": total, "total_revenue": revenue,
            "best_sellers": [{ "item_name": "Laptop", "purchases": laptops, "revenue": 1999.98 }],
            "other_items": { "purchases": other, "revenue": 0.3 },
            "partitions": [{ "partition": 0, "purchases": total, "upto": 7 }],
        })
    }

    #[test]
    fn sums_are_compared_to_the_purchase_and_the_cent() {
        let mut recount = Recount::default();
        for (item, price) in [
            ("Laptop", 999.99),
            ("Laptop", 999.99),
            ("Pen", 0.1),
            ("Cup", 0.2),
        ] {
            recount.add(&Stored {
                id: String::new(),
                event: Event {
                    username: String::new(),
                    user_id: String::new(),
                    item_name: item.to_owned(),
                    price,
                    timestamp: String::new(),
                },
                created_at: 0,
                topic: String::new(),
                partition: 0,
                offset: 0,
            });
        }
        assert!(recount.compare(&stats(4, 2000.28, 2, 2)).is_empty());
        for wrong in [
            stats(5, 2000.28, 2, 2),
            stats(4, 2000.27, 2, 2),
            stats(4, 2000.28, 3, 2),
            stats(4, 2000.28, 2, 1),
            Value::Null,
        ] {
            assert!(!recount.compare(&wrong).is_empty(), "{wrong}");
        }
    }

    #[test]
    fn statistics_reach_to_the_end_where_every_partition_does() {
        let stats = stats(1, 1.0, 1, 0);
        assert!(reaches(&stats, &BTreeMap::from([(0, 7)])));
        assert!(!reaches(&stats, &BTreeMap::from([(0, 8)])));
        assert!(!reaches(&stats, &BTreeMap::from([(0, 7), (1, 0)])));
    }
}
