//! The query API, described: `OpenAPI` 3.1.
//!
//! In: the table of paths and the types that answers are written from. Out: the document. The match
//! over all places makes a path without a description a compile error.

use ::http::StatusCode;
use host::problem::{Invalid, Problem};
use host::web::docs;
use host::web::openapi::{Answer, Document, Operation, Parameter, Refusal, inline};
use purchases::UserId;
use purchases::views::{CURSOR_PATTERN, History, PAGE_DEFAULT, PAGE_MAX, StatsView};
use serde::Serialize;
use serde_json::{Value, json};

use super::http::{HealthView, PATHS, Place, RETRY_AFTER, Root, root};
use super::{LIMITS, stats};

const ABOUT: &str = "\
Purchase histories and statistics, read from the database into which this service writes every purchase. It is \
reached inside the cluster only; customers reach the same through the customer-facing service.

What cannot be read is never shown as empty: `404` means that the database said so, and an outage is a `503`.";

/// The whole document.
pub fn document(version: &'static str) -> Document {
    let document = Document::new("Customer management API", version, ABOUT, &LIMITS)
        .server("/", "This service")
        .tag("histories", "What a user bought.")
        .tag(
            "statistics",
            "The whole shop, exact to the purchase and the cent.",
        )
        .tag("service", "What this service is and whether it works.")
        .tag(docs::TAG, "This API, described.");
    PATHS.iter().fold(document, |document, (template, place)| {
        document.path(template, operation(place, version))
    })
}

fn operation(place: Place, version: &'static str) -> Operation {
    match place {
        Place::Root => Operation::get(
            "getIndex",
            "service",
            "What this service is",
            Answer::json::<Root>(
                StatusCode::OK,
                "Name, version and paths.",
                sample(&root(version)),
            ),
        ),
        Place::Health => health(),
        Place::History => history(),
        Place::Stats => statistics(),
        Place::StatsStream => stream(),
        Place::Docs(page) => docs::describe(page),
    }
}

fn history() -> Operation {
    let page = sample(&History::sample());
    let answer = Answer::json::<History>(StatusCode::OK, "The page and the totals.", page)
        .header("Cache-Control")
        .header("ETag")
        .header("Link");
    Operation::get("getHistory", "histories", "A user's purchases", answer)
        .revalidates()
        .describe(
            "Totals over the whole history and one page of it, newest first. Pages stay stable while new purchases \
             arrive: a cursor stands for a place and not for a number.\n\n\
             With `since` or `until`, page and totals are of the purchases in that range alone; `username` stays the one \
             of the newest purchase of all. A range without purchases is an empty page with totals of nothing, not a \
             404. A cursor carries its range: bounds beside it may be left out, and must otherwise be the same.\n\n\
             Totals beside a first page are of now; beside a further page of 10,000 purchases and more they may be those \
             of up to ten seconds ago. A `304` is always of now.\n\n\
             A user has up to four different reads at a time. Those of long histories take turns; who asks for more than \
             there is time for gets a `503`.",
        )
        .parameter(Parameter::path("user_id", inline::<UserId>(), "Whose purchases.").example("user_123"))
        .parameter(
            Parameter::query(
                "limit",
                json!({ "type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE_DEFAULT }),
                "Purchases on the page.",
            )
            .example(50),
        )
        .parameter(Parameter::query(
            "cursor",
            json!({ "type": "string", "pattern": CURSOR_PATTERN }),
            "`next_cursor` of an earlier page: everything older than it, in the range it was made for.",
        ))
        .parameter(
            Parameter::query(
                "since",
                json!({ "type": "string", "format": "date-time" }),
                "The first moment that counts: RFC 3339, in any zone. Finer than a millisecond is cut off.",
            )
            .example("2026-01-01T00:00:00+01:00"),
        )
        .parameter(
            Parameter::query(
                "until",
                json!({ "type": "string", "format": "date-time" }),
                "The first moment that does not count any more; later than `since`.",
            )
            .example("9000-01-01T00:00:00Z"),
        )
        .refuses([
            Refusal::new(
                Problem::new(
                    StatusCode::NOT_FOUND,
                    "/problems/unknown-user",
                    "No purchases",
                    "user_123 has no purchases.",
                ),
                "The user never bought anything.",
            ),
            Refusal::new(
                Problem::validation(vec![
                    Invalid::new("/user_id", "is longer than 100 characters"),
                    Invalid::new("/limit", format!("is not a whole number from 1 to {PAGE_MAX}")),
                    Invalid::new("/until", "is not later than `since`"),
                ]),
                "Something is invalid, or bounds do not go together: all of it is named.",
            ),
            Refusal::new(
                unavailable("/problems/history-unavailable", "The history cannot be read at the moment. It is not lost."),
                "The database cannot be read.",
            ),
            Refusal::new(Problem::overloaded(RETRY_AFTER), "Too many queries at once, of this user or of all; or its turn did not come in time."),
            Refusal::new(Problem::internal(), "What is stored is not what this service writes."),
        ])
}

fn statistics() -> Operation {
    let answer = Answer::json::<StatsView>(
        StatusCode::OK,
        "The statistics.",
        sample(&StatsView::sample()),
    );
    Operation::get(
        "getStatistics",
        "statistics",
        "The statistics of the whole shop",
        answer.header("Cache-Control").header("ETag"),
    )
    .revalidates()
    .describe(
        "Never older than two seconds. Their cost does not depend on the number of purchases.",
    )
    .refuses([no_statistics()])
}

fn stream() -> Operation {
    let example = StatsView::sample_stream();
    let answer = Answer::events::<StatsView>(
        "stats",
        "The stream. It ends when the service does.",
        &example,
    );
    Operation::get("streamStatistics", "statistics", "The same, live", answer.header("Cache-Control"))
        .describe(
            "Server-sent events, about one a second. `stats` events hold a whole document each, and an id: who comes \
             back with it in `Last-Event-ID` gets the next newer one. While the database cannot be read there is one \
             `unavailable` event, and the stream goes on when it can. A comment comes every 15 seconds when there is \
             nothing else.",
        )
        .parameter(
            Parameter::header("Last-Event-ID", json!({ "type": "string" }), "The id of the last event that was seen. What is no id is ignored.")
                .example("1769882400323"),
        )
        .refuses([Refusal::new(stats::too_many_streams(), "Too many streams at once.")])
}

fn no_statistics() -> Refusal {
    let detail = "The statistics cannot be read at the moment. Nothing of them is lost.";
    Refusal::new(
        unavailable("/problems/statistics-unavailable", detail),
        "The database cannot be read.",
    )
}

fn health() -> Operation {
    let sample_of = |healthy| {
        sample(&HealthView {
            status: if healthy { "healthy" } else { "unhealthy" },
            service: "consumer-svc",
            mongodb_connected: healthy,
            kafka_connected: true,
            timestamp: StatsView::sample().as_of,
        })
    };
    Operation::health::<HealthView>("service", sample_of(true), sample_of(false))
}

fn unavailable(kind: &'static str, detail: &str) -> Problem {
    Problem::unavailable(kind, detail, RETRY_AFTER)
}

fn sample(view: &impl Serialize) -> Value {
    serde_json::to_value(view).expect("views are JSON")
}

#[cfg(test)]
mod tests;
