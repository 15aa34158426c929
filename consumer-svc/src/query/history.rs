//! The history of one user, from the request to the answer.
//!
//! In: the path, the query, a store. Out: a page and totals, a 304 to whom has both, or the truth that
//! there are none or that they cannot be had. It never takes the second for the first.

use std::hash::Hash;
use std::sync::Arc;

use ::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LINK};
use ::http::{HeaderMap, HeaderValue, StatusCode};
use bytes::Bytes;
use host::problem::Problem;
use host::span::SpanKind;
use host::web::fixed::{matches_tag, tag};
use purchases::UserId;
use purchases::views::History;
use serde::Serialize;
use tokio::time::Instant;
use tracing::{error, warn};
use warp::reply::Response;

use super::cursor::Cursor;
use super::fair::{Fair, NoTurn};
use super::flight::{Flights, Lost, Share};
use super::http::{Api, RETRY_AFTER, Told};
use super::range::Range;
use super::remember::Remembered;
use super::{HistoryStore, Page, PageRequest, StoreError, Totals, request};
use crate::metrics;

/// What reading histories shares between requests.
pub struct Histories<S> {
    /// Where they are.
    pub store: S,
    /// Whose turn it is to read.
    pub fair: Fair,
    remembered: Arc<Remembered<Arc<Sum>>>,
    sums: Flights<(UserId, Range), Result<Arc<Sum>, Trouble>>,
    /// By the tag, too: a page that was begun before the sums were known may lack what they count.
    pages: Flights<(UserId, PageRequest, HeaderValue), Result<Shown, Trouble>>,
}

/// What a range adds up to, before any page of it is read.
struct Sum {
    totals: Totals,
    /// The name on the newest purchase of all; read with a range alone, because that purchase may be
    /// outside of it.
    username: Option<String>,
}

/// A page as it is sent.
#[derive(Clone)]
struct Shown {
    json: Bytes,
    next: Option<HeaderValue>,
}

/// Why there is no answer.
#[derive(Clone, Debug)]
enum Trouble {
    /// The user never bought anything.
    Unknown,
    /// Too many reads at once.
    Overloaded,
    /// The database.
    Store(StoreError),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<NoTurn> for Trouble {
    fn from(NoTurn: NoTurn) -> Self {
        Self::Overloaded
    }
}

impl<S: HistoryStore> Histories<S> {
    /// Reads from `store`, in the order that `fair` keeps.
    pub fn new(store: S, fair: Fair) -> Self {
        Self {
            store,
            fair,
            remembered: Arc::default(),
            sums: Flights::default(),
            pages: Flights::default(),
        }
    }

    /// A first page's is of now, and whoever reads on finds it again; not to be told by it that the page he
    /// kept is still the one.
    async fn sum(
        &self,
        user: &UserId,
        page: &PageRequest,
        (kept, by): (bool, Instant),
    ) -> Result<Arc<Sum>, Trouble> {
        let range = page.range;
        if page.after.is_some()
            && !kept
            && let Some(known) = self.remembered.of(user, &range)
        {
            metrics::history_read("totals", "remembered");
            return Ok(known);
        }
        let read = || {
            let (store, fair, user) = (self.store.clone(), self.fair.clone(), user.clone());
            let remembered = Arc::clone(&self.remembered);
            async move {
                let sum = Arc::new(sum(&store, &fair, (&user, &range), by).await?);
                remembered.note(&user, &range, sum.totals.count, &sum);
                Ok(sum)
            }
        };
        let key = (user.clone(), range);
        in_own_time(&self.sums, ("totals", key), read, (&self.fair, by)).await
    }

    async fn page(
        &self,
        user: &UserId,
        page: &PageRequest,
        (sum, tag): (Arc<Sum>, &HeaderValue),
        by: Instant,
    ) -> Result<Shown, Trouble> {
        let read = || {
            let (store, fair, user) = (self.store.clone(), self.fair.clone(), user.clone());
            let (page, sum) = (*page, Arc::clone(&sum));
            async move { shown((&store, &fair), (&user, &page), &sum, by).await }
        };
        let key = (user.clone(), *page, tag.clone());
        in_own_time(&self.pages, ("page", key), read, (&self.fair, by)).await
    }
}

/// A read that others began has their time and not one's own. Where that was not enough, and one's own
/// still is, it is asked for once more.
async fn in_own_time<K, T, F>(
    flights: &Flights<K, Result<T, Trouble>>,
    (what, key): (&'static str, K),
    read: impl Fn() -> F,
    (fair, by): (&Fair, Instant),
) -> Result<T, Trouble>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
    F: Future<Output = Result<T, Trouble>> + Send + 'static,
{
    let (share, answer) = flights.share(key.clone(), &read).await;
    let answer = landed(what, (share, answer));
    let passing = matches!(
        answer,
        Err(Trouble::Overloaded | Trouble::Store(StoreError::Unavailable(_)))
    );
    if passing && share == Share::Joined && fair.leaves_time(by) {
        return landed(what, flights.share(key, read).await);
    }
    answer
}

fn landed<T>(
    what: &'static str,
    (share, answer): (Share, Result<Result<T, Trouble>, Lost>),
) -> Result<T, Trouble> {
    let read = match share == Share::Joined {
        true => "shared",
        false => "own",
    };
    metrics::history_read(what, read);
    answer.unwrap_or_else(|Lost| {
        let cause = StoreError::Unavailable("the read ended without an answer".to_owned());
        Err(cause.into())
    })
}

impl<S: HistoryStore> Api<S> {
    pub(super) async fn history(
        &self,
        user: &str,
        query: &str,
        headers: &HeaderMap,
        told: &Told,
    ) -> Result<Response, Problem> {
        let (user, page) = request::parse(user, query).map_err(Problem::validation)?;
        let mut reading = told.span.child(SpanKind::Client, ("read", "history"));
        reading.set("db.system.name", "mongodb");
        let read = self.page_or_not_modified(&user, &page, headers).await;
        if let Err(trouble @ (Trouble::Store(_) | Trouble::Overloaded)) = &read {
            reading.fail(&format!("{trouble:?}"));
        }
        drop(reading);
        read.map_err(|trouble| problem(&user, &trouble, told))
    }

    /// Totals first: they tell without any page whether the client has it, and the page that is read
    /// after them lacks nothing that they count.
    async fn page_or_not_modified(
        &self,
        user: &UserId,
        page: &PageRequest,
        headers: &HeaderMap,
    ) -> Result<Response, Trouble> {
        // For both reads, and whatever they wait for.
        let by = self.histories.fair.deadline();
        let kept = headers.get_all(IF_NONE_MATCH);
        let may_have = headers.contains_key(IF_NONE_MATCH);
        let sum = self.histories.sum(user, page, (may_have, by)).await?;
        let opaque = version(self.version, user, page, &sum);
        let mut response = Response::default();
        if matches_tag(kept, &opaque) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            let shown = self.histories.page(user, page, (sum, &opaque), by).await?;
            *response.body_mut() = shown.json.into();
            let told = response.headers_mut();
            told.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            if let Some(next) = shown.next {
                told.insert(LINK, next);
            }
        }
        let told = response.headers_mut();
        told.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        if let Ok(tag) = HeaderValue::from_maybe_shared([b"W/", opaque.as_bytes()].concat()) {
            told.insert(ETAG, tag);
        }
        Ok(response)
    }
}

/// What the answer depends on. This service only ever adds purchases, so where a range adds up to
/// the same, it holds the same purchases, and so do its pages. Weak, because that is inferred and
/// not compared byte by byte: a hand that removes one purchase and adds its equal is not seen.
fn version(version: &str, user: &UserId, page: &PageRequest, sum: &Sum) -> HeaderValue {
    #[derive(Serialize)]
    struct Seen<'a> {
        version: &'a str,
        user: &'a str,
        limit: usize,
        after: Option<String>,
        bounds: [Option<i64>; 2],
        count: u64,
        moments: [Option<i64>; 2],
        items: &'a [purchases::views::ItemTotal],
        other: purchases::views::OtherItems,
        username: Option<&'a str>,
    }
    let millis = |moment: Option<purchases::Timestamp>| moment.map(|moment| moment.as_millis());
    let seen = Seen {
        version,
        user: user.as_str(),
        limit: page.limit,
        after: page.after.map(|after| after.encode()),
        bounds: [millis(page.range.since), millis(page.range.until)],
        count: sum.totals.count,
        moments: [millis(sum.totals.first), millis(sum.totals.last)],
        items: &sum.totals.items,
        other: sum.totals.other,
        username: sum.username.as_deref(),
    };
    // Numbers and texts are always written.
    tag(&serde_json::to_vec(&seen).unwrap_or_default())
}

async fn sum(
    store: &impl HistoryStore,
    fair: &Fair,
    (user, range): (&UserId, &Range),
    by: Instant,
) -> Result<Sum, Trouble> {
    let _turn = fair.totals(user, by).await?;
    if range.is_whole() {
        let totals = store.totals(user, range, by).await?;
        fair.seen(user, totals.count);
        if totals.count == 0 {
            return Err(Trouble::Unknown);
        }
        let username = None;
        return Ok(Sum { totals, username });
    }
    let (totals, username) =
        tokio::try_join!(store.totals(user, range, by), store.username(user, by))?;
    fair.seen(user, totals.count);
    match username {
        None => Err(Trouble::Unknown),
        username => Ok(Sum { totals, username }),
    }
}

async fn shown(
    (store, fair): (&impl HistoryStore, &Fair),
    (user, page): (&UserId, &PageRequest),
    sum: &Sum,
    by: Instant,
) -> Result<Shown, Trouble> {
    if sum.totals.count == 0 {
        // What was stored since does not stand on a page beside totals that do not know it.
        let username = sum.username.clone().ok_or(Trouble::Unknown)?;
        return written(user, page, username, &sum.totals, Page::default());
    }
    let _turn = fair.page(user)?;
    let (found, username) = if let Some(username) = &sum.username {
        (store.page(user, page, by).await?, Some(username.clone()))
    } else if page.after.is_none() {
        let found = store.page(user, page, by).await?;
        let newest = found.purchases.first();
        let username = newest.map(|newest| newest.username.clone());
        (found, username)
    } else {
        tokio::try_join!(store.page(user, page, by), store.username(user, by))?
    };
    // Somebody removed the last one meanwhile.
    let username = username.ok_or(Trouble::Unknown)?;
    written(user, page, username, &sum.totals, found)
}

fn written(
    user: &UserId,
    page: &PageRequest,
    username: String,
    totals: &Totals,
    found: Page,
) -> Result<Shown, Trouble> {
    let last = found.purchases.last().filter(|_| found.more);
    let next_cursor = last.map(|last| {
        let cursor = Cursor {
            timestamp: last.timestamp,
            id: last.id,
            range: page.range,
        };
        cursor.encode()
    });
    // The cursor carries the range.
    let next = next_cursor.as_deref().and_then(|cursor| {
        let link = format!("<?limit={}&cursor={cursor}>; rel=\"next\"", page.limit);
        HeaderValue::try_from(link).ok()
    });
    let history = History {
        user_id: user.as_str().to_owned(),
        username,
        total_purchases: totals.count,
        total_spent: totals.spent,
        average_price: totals.spent.average_over(totals.count).unwrap_or_default(),
        first_purchase_at: totals.first,
        last_purchase_at: totals.last,
        items: totals.items.clone(),
        other_items: totals.other,
        purchases: found.purchases,
        next_cursor,
    };
    let json = serde_json::to_vec(&history)
        .map_err(|cause| StoreError::Malformed(format!("cannot be written as JSON: {cause}")))?;
    let json = Bytes::from(json);
    Ok(Shown { json, next })
}

fn problem(user: &UserId, trouble: &Trouble, told: &Told) -> Problem {
    let (request_id, traceparent) = (&told.id, told.trace);
    match trouble {
        Trouble::Unknown => Problem::new(
            StatusCode::NOT_FOUND,
            "/problems/unknown-user",
            "No purchases",
            format!("{user} has no purchases."),
        ),
        Trouble::Overloaded => Problem::overloaded(RETRY_AFTER),
        Trouble::Store(StoreError::Unavailable(cause)) => {
            warn!(%request_id, %traceparent, %cause, "history not available");
            let detail = "The history cannot be read at the moment. It is not lost.";
            Problem::unavailable("/problems/history-unavailable", detail, RETRY_AFTER)
        }
        Trouble::Store(StoreError::Malformed(cause)) => {
            error!(%request_id, %traceparent, %cause, "history cannot be shown");
            Problem::internal()
        }
    }
}
