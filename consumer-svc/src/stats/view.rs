//! The JSON of the statistics: how tallies become what `purchases::views` shows.
//!
//! In: tallies and standings. Out: the document that `/stats` and its stream send, written once
//! however many read it.

use std::collections::BTreeMap;

use bytes::Bytes;
use purchases::Timestamp;
use purchases::views::{
    BuyersView, ItemSoldView, PartitionView, RateView, SoldView, StatsView, StretchView,
};
use tracing::error;

use crate::flow::Learnt;
use crate::tally::{Shop, Sold, Stretch, Tally};

/// Items that are named; the rest is summed up.
const BEST: usize = 10;

/// Writes it.
pub(super) fn json(tallies: &[(i32, Tally)], standings: Option<&Learnt>, now: Timestamp) -> Bytes {
    let view = view(tallies, standings, now);
    match serde_json::to_vec(&view) {
        Ok(json) => Bytes::from(json),
        // Numbers, dates and names are always written.
        Err(cause) => {
            error!(%cause, "statistics could not be written as JSON");
            Bytes::from_static(b"null")
        }
    }
}

fn view(tallies: &[(i32, Tally)], standings: Option<&Learnt>, now: Timestamp) -> StatsView {
    let shop = Shop::of(tallies.iter().map(|(_, tally)| tally), now);
    let counts = shop.counts();
    let (purchases, revenue) = shop.per_second();
    let best = counts.goods.best();
    let (named, rest) = best.split_at(best.len().min(BEST));
    let mut other: Sold = rest.iter().map(|(_, sold)| *sold).sum();
    other.add(counts.goods.other());
    let partitions = partitions(tallies, standings.unwrap_or(&Learnt::default()));
    StatsView {
        as_of: now,
        newest_purchase_at: counts.newest,
        total_purchases: counts.total.purchases,
        total_revenue: counts.total.revenue,
        per_second: RateView { purchases, revenue },
        per_minute: shop.last_minute().into(),
        last_two_minutes: shop.last_two_minutes().into(),
        last_hour: shop.last_hour().into(),
        best_sellers: named
            .iter()
            .map(|(item, sold)| ItemSoldView {
                item_name: item.as_str().to_owned(),
                purchases: sold.purchases,
                revenue: sold.revenue,
            })
            .collect(),
        best_sellers_error: counts.goods.floor(),
        other_items: other.into(),
        active_buyers: BuyersView {
            estimate: shop.active_buyers(),
            window_minutes: shop.active_minutes(),
            error_percent: 2,
        },
        backlog: standings.and_then(|_| partitions.iter().map(|view| view.lag).sum()),
        partitions,
    }
}

fn partitions(tallies: &[(i32, Tally)], learnt: &Learnt) -> Vec<PartitionView> {
    let mut views: BTreeMap<i32, PartitionView> = BTreeMap::new();
    let blank = |partition| PartitionView {
        partition,
        ..PartitionView::default()
    };
    for (partition, tally) in tallies {
        let view = views.entry(*partition).or_insert_with(|| blank(*partition));
        view.purchases = Some(tally.counts().total.purchases);
        view.counted_from = Some(tally.from());
        view.skipped = Some(tally.skipped());
        view.upto = Some(tally.upto());
    }
    for standing in &learnt.known {
        let partition = standing.partition;
        let view = views.entry(partition).or_insert_with(|| blank(partition));
        view.committed = standing.committed;
        view.end = Some(standing.end);
        view.lag = Some(standing.lag());
    }
    // Its lag is not known, and so the sum is not.
    for partition in learnt.unknown.keys() {
        views.entry(*partition).or_insert_with(|| blank(*partition));
    }
    views.into_values().collect()
}

impl From<Sold> for SoldView {
    fn from(sold: Sold) -> Self {
        Self {
            purchases: sold.purchases,
            revenue: sold.revenue,
        }
    }
}

impl From<Stretch> for StretchView {
    fn from(stretch: Stretch) -> Self {
        Self {
            from: stretch.from,
            step_seconds: stretch.step_seconds,
            purchases: stretch.steps.iter().map(|sold| sold.purchases).collect(),
            revenue: stretch.steps.iter().map(|sold| sold.revenue).collect(),
        }
    }
}
