//! Query API: the HTTP server for histories and statistics.
//!
//! In: HTTP requests. Out: pages and totals from the database, figures from the board, or the
//! truth that they cannot be had. It reads what the batch writer wrote and knows nothing of Kafka.

pub mod cursor;
pub mod fair;
mod flight;
pub mod history;
pub mod http;
pub mod mongo;
pub mod openapi;
pub mod range;
mod remember;
mod request;
pub mod stats;

use std::sync::Arc;
use std::time::Duration;

use actors::{Cx, Failure, Stage};
use host::serve::{Door, Limits, ServeReport};
use purchases::views::{ItemTotal, OtherItems, PurchaseView};
use purchases::{Cents, Timestamp, UserId};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

use self::cursor::Cursor;
use self::http::Api;
use self::range::Range;

/// What a client may take of the server, and what the API says of it.
pub const LIMITS: Limits = Limits::BEHIND;

/// Which part of a history is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageRequest {
    /// Purchases on the page.
    pub limit: usize,
    /// Everything older than this; the newest page without.
    pub after: Option<Cursor>,
    /// What the history is limited to, totals and all.
    pub range: Range,
}

/// What the purchases in a range add up to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    /// Purchases.
    pub count: u64,
    /// What they cost.
    pub spent: Cents,
    /// Oldest of them.
    pub first: Option<Timestamp>,
    /// Newest of them.
    pub last: Option<Timestamp>,
    /// By item, most spent first, as many as are shown.
    pub items: Vec<ItemTotal>,
    /// The rest of them.
    pub other: OtherItems,
}

/// One page of purchases, newest first.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The purchases.
    pub purchases: Vec<PurchaseView>,
    /// Whether there are older ones in the range.
    pub more: bool,
}

/// Why a history cannot be read. Never to be taken for an empty one.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum StoreError {
    /// The database does not answer, or not in time.
    #[error("the database cannot be read: {0}")]
    Unavailable(String),
    /// What it answers is not what this service writes.
    #[error("the collection holds something else: {0}")]
    Malformed(String),
}

/// The port to the collection. Clones are one thing.
pub trait HistoryStore: Clone + Send + Sync + 'static {
    /// What a user's purchases in this range add up to, told by then or not at all.
    fn totals(
        &self,
        user: &UserId,
        range: &Range,
        by: Instant,
    ) -> impl Future<Output = Result<Totals, StoreError>> + Send;

    /// One page of them.
    fn page(
        &self,
        user: &UserId,
        page: &PageRequest,
        by: Instant,
    ) -> impl Future<Output = Result<Page, StoreError>> + Send;

    /// The name on the user's newest purchase of all; `None` for a user without purchases.
    fn username(
        &self,
        user: &UserId,
        by: Instant,
    ) -> impl Future<Output = Result<Option<String>, StoreError>> + Send;
}

/// Mailbox of the query stage.
pub enum QueryMsg {
    /// The server ended.
    Served(ServeReport),
}

/// Serves while it lives.
pub struct Query<S> {
    door: Door,
    api: Arc<Api<S>>,
    drain: Duration,
    stop: CancellationToken,
}

impl<S: HistoryStore> Query<S> {
    /// `drain` bounds how long requests that were begun may take once it is to end.
    pub fn new(door: Door, api: Arc<Api<S>>, drain: Duration) -> Self {
        Self {
            door,
            api,
            drain,
            stop: CancellationToken::new(),
        }
    }
}

impl<S> Drop for Query<S> {
    /// Also when the actor was killed: its successor needs the port.
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl<S: HistoryStore> Stage for Query<S> {
    type Msg = QueryMsg;

    async fn started(&mut self, cx: &mut Cx<QueryMsg>) -> Result<(), Failure> {
        let server = self.door.server().await?;
        info!(addr = %server.local_addr(), "query API listens");
        let routes = http::routes(Arc::clone(&self.api), self.stop.clone());
        let service = warp::service(routes);
        let (stop, drain) = (self.stop.clone(), self.drain);
        cx.spawn(async move { QueryMsg::Served(server.run(service, stop, drain).await) });
        Ok(())
    }

    async fn handle(
        &mut self,
        QueryMsg::Served(report): QueryMsg,
        _: &mut Cx<QueryMsg>,
    ) -> Result<(), Failure> {
        if !self.stop.is_cancelled() {
            return Err("the query server ended unasked".into());
        }
        info!(%report, "query API closed");
        Ok(())
    }

    async fn drained(&mut self, _: &mut Cx<QueryMsg>) -> Result<(), Failure> {
        self.stop.cancel();
        Ok(())
    }
}
