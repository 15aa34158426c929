//! What the handlers share.
//!
//! In: what `app.rs` connected. Out: read-only to all requests at once; nothing here is locked on the
//! way of a purchase.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use actors::{Addr, Credits};
use host::span::Tracer;
use host::trace::Ids;
use host::web::client::TrustedHeader;
use host::web::docs::Docs;
use host::web::front::{ClientRule, FrontRules};
use host::web::limit::{Limiter, RateLimit};
use host::web::shares::Shares;
use purchases::{IdSource, Timestamp};

use super::pages::Pages;
use crate::flow::{HistoryMsg, Order};
use crate::link::Link;
use crate::metrics::Metrics;
use crate::replay::Replays;
use crate::shelf::Shelf;

/// Where handlers send work.
pub struct Outlets {
    /// Item selection.
    pub select: Addr<Box<Order>>,
    /// The way to consumer-svc.
    pub history: Addr<HistoryMsg>,
    /// Topic that purchases end in, as their spans name it.
    pub topic: String,
}

/// How much work is let in.
pub struct Bounds {
    /// Credits of the pipeline, by purchases and bytes.
    pub purchases: Credits,
    /// Credits of the history stage, by requests.
    pub requests: Credits,
    /// Credits of the history stage, by endless answers.
    pub streams: Credits,
    /// How many of the requests one client may have, if not all.
    pub requests_each: Option<Shares>,
    /// How many of the endless answers one client may have, if not all.
    pub streams_each: Option<Shares>,
    /// How long a request waits for a credit.
    pub max_wait: Duration,
    /// How long the broker may be away before purchases are refused at once.
    pub patience: Duration,
}

/// Everything that a handler needs.
pub struct Desk {
    pub(super) outlets: Outlets,
    pub(super) bounds: Bounds,
    pub(super) kafka: Link,
    pub(super) history: Link,
    pub(super) metrics: Arc<Metrics>,
    pub(super) replays: Replays,
    pub(super) pages: Pages,
    pub(super) purchase_ids: IdSource,
    pub(super) ids: Ids,
    pub(super) tracer: Tracer,
    pub(super) limiter: Option<Limiter>,
    pub(super) docs: Docs,
    pub(super) front: FrontRules,
}

impl Desk {
    /// A desk that shows this shelf. `purchase_ids` and `ids` must be random per process.
    pub fn new(
        outlets: Outlets,
        bounds: Bounds,
        (kafka, history): (Link, Link),
        metrics: Arc<Metrics>,
        replays: Replays,
        shelf: Shelf,
        (purchase_ids, ids): (IdSource, Ids),
    ) -> Self {
        Self {
            outlets,
            bounds,
            kafka,
            history,
            metrics,
            replays,
            pages: Pages::new(shelf),
            purchase_ids,
            ids,
            tracer: Tracer::off(),
            limiter: None,
            docs: Docs::new(&super::openapi::document()),
            front: FrontRules::default(),
        }
    }

    /// Where spans begin.
    #[must_use]
    pub fn traced(self, tracer: Tracer) -> Self {
        Self { tracer, ..self }
    }

    /// How many purchases a client may send, and where its address stands.
    #[must_use]
    pub fn behind(mut self, limit: Option<RateLimit>, header: Option<TrustedHeader>) -> Self {
        self.limiter = limit.map(|limit| Limiter::new(&limit, Instant::now()));
        let rule = header.map_or(ClientRule::Peer, ClientRule::Header);
        self.front.clients = Some(Arc::new(rule));
        // To tell it to a purchase costs an allocation.
        let others = |path: &str| !super::front::is_buy(path);
        self.front.clients_on = self.limiter.is_none().then_some(others);
        self
    }
}

/// The clock of this service.
pub(super) fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}
