//! The routes by which requests are counted.
//!
//! In: nothing. Out: labels, bounded because a path is none of them.

/// What a request is counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/`
    Index,
    /// `/buy`
    Buy,
    /// `/getAllUserBuys/{user_id}` and `/purchases/{user_id}`
    History,
    /// `/items`
    Items,
    /// `/stats`
    Stats,
    /// `/stats/stream`
    StatsStream,
    /// `/health`
    Health,
    /// `/openapi.json`, `/docs` and what belongs to it
    Docs,
    /// Everything else
    Unmatched,
}

impl Route {
    pub(super) const ALL: [(Self, &'static str); 9] = [
        (Self::Index, "/"),
        (Self::Buy, "/buy"),
        (Self::History, "/purchases/{user_id}"),
        (Self::Items, "/items"),
        (Self::Stats, "/stats"),
        (Self::StatsStream, "/stats/stream"),
        (Self::Health, "/health"),
        (Self::Docs, "/docs"),
        (Self::Unmatched, "unmatched"),
    ];

    /// Its name in metrics and spans.
    pub fn label(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}
