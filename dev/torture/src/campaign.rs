//! One campaign from beginning to end. In: a seed and how much. Out: a report, or a panic with
//! everything that was wrong and the command that does the same again.
//!
//! Faults come while customers buy. Then everything is healed, every order gets its answer, the
//! backlog is drained, and all is counted.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use e2e::invariants::Invariants;
use e2e::until_text;
use e2e::wrongs::Wrongs;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::customers::{Customers, Seen};
use crate::field::Field;
use crate::ledger;
use crate::plan::{Act, Plan, Shape};
use crate::recount;
use crate::spoil;
use crate::statistics::{Recount, reaches};

/// Connections, shared by all producers.
const CONNECTIONS: usize = 96;
/// How long every order may take to its answer once all is healed.
const ANSWERS: Duration = Duration::from_secs(90);
/// How long the rest of the backlog may take, beside what its size needs.
const SETTLING: Duration = Duration::from_secs(90);
/// Records that even a debug build on a busy machine drains in a second.
const SLOWEST: u64 = 500;
/// Between two looks at what is committed.
const LOOK_EVERY: Duration = Duration::from_millis(700);

/// The time was over before enough was bought: whatever was not shown may be wrong.
const TOO_FEW: &str = "campaigns that were over too early";

/// Then looks at commits show nothing.
const NOT_COMMITTED: &str = "partitions that are not committed to their end";

/// What to do.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// Decides what happens when, and to whom.
    pub seed: u64,
    /// Orders.
    pub purchases: usize,
    /// How many of them must be made before the time is over, else the campaign has shown too little.
    pub at_least: usize,
    /// How many of them a second, at most.
    pub per_second: u32,
    /// Faults and orders end at the latest after this.
    pub at_most: Duration,
    /// How many there are of everything.
    pub shape: Shape,
    /// The command that does the same again.
    pub again: String,
}

/// What a campaign went through.
#[derive(Clone, Debug)]
pub struct Report {
    faults: BTreeMap<String, usize>,
    faulted: Duration,
    seen: Seen,
    orders: usize,
    wanted: usize,
    unknown: usize,
    records: usize,
    bad: usize,
    documents: usize,
    looks: (usize, usize, usize),
}

/// Says how to do it again if the campaign does not end well, however it ends.
struct Again(String);

impl Drop for Again {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("\nthe same again: {}\n", self.0);
        }
    }
}

impl Campaign {
    /// Runs it, and tells `say` what happens.
    ///
    /// # Panics
    /// If anything was wrong.
    pub async fn run(self, say: fn(&str)) -> Report {
        let _again = Again(self.again.clone());
        say(&format!("seed {}: {}", self.seed, self.again));
        let field = Field::open(self.shape).await;
        let shop = &field.shop;
        let collection = recount::collection(&shop.ground.direct_mongodb_uri(), &shop.name).await;
        let looking = Invariants::watch_every(shop, LOOK_EVERY).await;
        let customers = Customers::start(
            field.doors(),
            &shop.name,
            CONNECTIONS,
            self.purchases,
            self.per_second,
        );

        let begun = Instant::now();
        let performed = tokio::select! {
            performed = self.hurt(&field, &customers, say) => performed,
            never = spoil::spoil(self.seed, shop, &customers) => match never {},
        };
        let faulted = begun.elapsed();
        let seen = customers.seen();
        say(&format!(
            "everything is healed after {:.0} s and {} purchases",
            faulted.as_secs_f64(),
            seen.accepted
        ));
        field.look();
        let (book, seen) = customers.finish(ANSWERS).await;
        field.is_ready().await;
        let ends = shop.witness.ends().await;
        let all: i64 = ends.values().sum();
        shop.settles(SETTLING + Duration::from_secs(all.unsigned_abs() / SLOWEST))
            .await;
        let watch = looking.end().await;
        say("everything is settled; counting");

        let mut sums = Recount::default();
        let (records, bad) = recount::records(&shop.witness, ends.clone()).await;
        let documents =
            recount::documents(&collection, &shop.witness.topic, |stored| sums.add(stored)).await;
        let (orders, odd) = book.close();
        let mut wrongs = std::mem::take(&mut *field.wrongs());
        wrongs.extend(odd);
        wrongs.extend(watch.wrongs);
        // Looks at what nobody commits show nothing.
        let behind = ends.iter().filter(|(partition, end)| {
            let committed = watch.committed.get(partition);
            committed.is_none_or(|committed| committed < end)
        });
        for (partition, end) in behind {
            wrongs.add(NOT_COMMITTED, || {
                format!("partition {partition} of {end} records")
            });
        }
        wrongs.extend(ledger::check(&orders, &records, &documents));
        wrongs.extend(statistics(&field, &sums, &ends).await);
        wrongs.extend(spoil::check(&bad, &spoil::lettered(shop).await));
        let report = Report {
            faults: performed,
            faulted,
            seen,
            orders: orders.iter().filter(|order| order.sent).count(),
            wanted: self.purchases,
            unknown: orders.iter().map(|order| order.unknown as usize).sum(),
            records: records.len(),
            bad: bad.len(),
            documents: documents.len(),
            looks: (watch.looks, watch.unanswered, watch.records),
        };
        if report.orders < self.at_least {
            wrongs.add(TOO_FEW, || {
                format!("{} of {} orders", report.orders, self.at_least)
            });
        }
        assert!(wrongs.is_empty(), "{report}\n\nWRONG:\n{wrongs}");
        report
    }

    /// Performs the plan until all orders are taken or the time is over, and waits until every act
    /// is healed. Tells how often each fault came.
    async fn hurt(
        &self,
        field: &Field,
        customers: &Customers,
        say: fn(&str),
    ) -> BTreeMap<String, usize> {
        let begun = tokio::time::Instant::now();
        let over = async {
            tokio::select! {
                () = customers.all_taken() => {}
                () = tokio::time::sleep(self.at_most) => {}
            }
        };
        let mut over = std::pin::pin!(over);
        let (mut acts, mut performed) = (FuturesUnordered::new(), BTreeMap::new());
        for act in Plan::new(self.seed, self.shape) {
            let due = tokio::time::sleep_until(begun + Duration::from_millis(act.at));
            let mut due = std::pin::pin!(due);
            let goes_on = loop {
                tokio::select! {
                    () = &mut over => break false,
                    () = &mut due => break true,
                    Some(()) = acts.next() => {}
                }
            };
            if !goes_on {
                break;
            }
            field.look();
            say(&format!("{act}  {:>8} bought", customers.seen().accepted));
            *performed.entry(kind(&act)).or_default() += 1;
            acts.push(field.perform(act));
        }
        while let Some(()) = acts.next().await {}
        performed
    }
}

/// Who and what, without numbers.
fn kind(act: &Act) -> String {
    let target: String = act
        .target
        .to_string()
        .chars()
        .filter(|one| !one.is_ascii_digit())
        .collect();
    format!("{} {}", target.trim().replace(" '", "'"), act.fault)
}

/// What each consumer shows once it has seen everything, against the recount.
async fn statistics(field: &Field, sums: &Recount, ends: &BTreeMap<i32, i64>) -> Wrongs {
    let shown = until_text(
        "every consumer's statistics reach to the end",
        SETTLING,
        async || {
            let mut shown = Vec::new();
            for answer in field.ask_consumers("/stats").await {
                if answer.status != 200 || !reaches(&answer.json(), ends) {
                    return Err(format!("{}: {}", answer.status, answer.text()));
                }
                shown.push(answer.json());
            }
            Ok(shown)
        },
    );
    let mut wrongs = Wrongs::default();
    for stats in shown.await {
        wrongs.extend(sums.compare(&stats));
    }
    wrongs
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: usize = self.faults.values().sum();
        writeln!(f, "{faults} faults in {:.0} s:", self.faulted.as_secs_f64())?;
        for (kind, count) in &self.faults {
            writeln!(f, "  {count:>4} × {kind}")?;
        }
        let Seen {
            refused, silences, ..
        } = self.seen;
        let (looks, unanswered, looked_for) = self.looks;
        let cut_short = if self.orders < self.wanted {
            ", then the time was over"
        } else {
            ""
        };
        writeln!(
            f,
            "{} of {} orders{cut_short}; on the way to their 201s {refused} refusals, {silences} requests without an answer, \
             {} attempts of unknown outcome",
            self.orders, self.wanted, self.unknown
        )?;
        writeln!(
            f,
            "{} records and {} bad ones, {} documents; commits looked at {looks} times ({unanswered} times in vain), \
             {looked_for} records behind them looked for",
            self.records, self.bad, self.documents
        )
    }
}
