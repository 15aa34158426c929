//! The customers' API, described: `OpenAPI` 3.1.
//!
//! In: the table of paths and the types that answers are written from. Out: the document. The match
//! over all places makes a path without a description a compile error.

use std::time::Duration;

use bytes::Bytes;
use host::problem::{Invalid, Problem};
use host::serve::Limits;
use host::web::docs;
use host::web::openapi::{Answer, Document, Operation, Parameter, Refusal, inline};
use http::StatusCode;
use purchases::views::{CURSOR_PATTERN, History, PAGE_DEFAULT, PAGE_MAX, StatsView};
use purchases::{KEY_PATTERN, PurchaseId, UserId};
use serde::Serialize;
use serde_json::{Value, json};

use super::answer::{self, Accepted};
use super::buy::{self, MAX_BODY, RETRY_AFTER};
use super::pages::{self, Health, Index};
use super::proxy;
use super::request::BuyRequest;
use super::retry;
use super::routes::{PATHS, Place};
use crate::catalog::{Catalog, ItemView};
use crate::flow::Stored;

const ABOUT: &str = "\
Buy, and see what was bought. A purchase is an event: `201` is sent when all in-sync replicas of the log have it, and \
from then on it appears in the user's history exactly once. What is not known to be stored is never called success, and \
an outage is never shown as an empty history.

Histories and statistics are passed on from the management service as it gives them.";

/// The purchase that the examples are about.
const ID: PurchaseId = PurchaseId::from_bytes([
    0x6b, 0x03, 0x2e, 0x4a, 0x85, 0x66, 0xf4, 0xe0, 0x2f, 0xb6, 0x20, 0xf2,
]);

/// The whole document.
pub(super) fn document() -> Document {
    let document = Document::new(
        "Purchase Management System",
        env!("CARGO_PKG_VERSION"),
        ABOUT,
        &Limits::DEFAULT,
    )
    .server("/", "This service")
    .server("/api", "The same, as an ingress may pass it on")
    .tag("buying", "Buy something.")
    .tag("histories", "What a user bought.")
    .tag(
        "statistics",
        "The whole shop, exact to the purchase and the cent.",
    )
    .tag("service", "What this service is and whether it works.")
    .tag(docs::TAG, "This API, described.");
    PATHS.iter().fold(document, |document, (template, place)| {
        document.path(template, operation(template, place))
    })
}

fn operation(template: &str, place: Place) -> Operation {
    match place {
        Place::Buy => buy(),
        Place::History => history(template),
        Place::Items => items(),
        Place::Stats => statistics(),
        Place::StatsStream => stream(),
        Place::Health => health(),
        Place::Index => Operation::get(
            "getIndex",
            "service",
            "What this service is",
            Answer::json::<Index>(
                StatusCode::OK,
                "Name, version and endpoints.",
                sample(&pages::index()),
            ),
        ),
        Place::Docs(page) => docs::describe(page),
    }
}

fn buy() -> Operation {
    let accepted = Answer::json::<Accepted>(
        StatusCode::CREATED,
        "The log has the purchase. This is a promise: it will be in the history, with this id, item and price.",
        sample_purchase(),
    );
    let wish = json!({ "username": "john_doe", "user_id": "user_123" });
    Operation::post("buy", "buying", "Buy a random item", accepted.header("Idempotency-Replayed"))
        .describe(
            "The service chooses the item. With an `Idempotency-Key`, a retry is safe: the same user's same key is the \
             same purchase with the same item, on any replica and after restarts, and is stored once. (Where the catalog \
             changed between two tries, and the second met a replica that did not see the first, its `201` may name another \
             item: the first is stored, and the history shows it.) Without a key, every request is another purchase.\n\n\
             The body must be `application/json`, not compressed, and may have at most 16 KiB. Both names are trimmed; lengths are counted \
             in characters.",
        )
        .parameter(
            Parameter::header(
                "Idempotency-Key",
                json!({ "type": "string", "pattern": KEY_PATTERN }),
                "The retry key: 1 to 64 letters, digits, `_` and `-`, in double quotes or bare. A UUID is good.",
            )
            .example("8e03978e-40d5-43dd-bc93-6894a57f9324"),
        )
        .body::<BuyRequest>(&[
            ("plain", "Somebody buys", wish),
            ("trimmed", "White space at the ends is taken off", json!({ "username": "  Jörg ", "user_id": "joerg" })),
            ("more", "Unknown fields are ignored", json!({ "username": "Ann", "user_id": "ann-1", "campaign": "spring" })),
        ])
        .refuses(refused())
        .refuses(unavailable())
}

/// What is wrong with the request itself.
fn refused() -> [Refusal; 9] {
    [
        Refusal::new(
            Problem::malformed(
                "The body is not JSON: EOF while parsing an object at line 1 column 1.",
            ),
            "The body is not JSON, or cannot be read to its end, or `Idempotency-Key` is no key.",
        ),
        Refusal::new(
            buy::too_slow(),
            "The body did not arrive within 10 seconds.",
        ),
        Refusal::new(
            retry::in_flight(),
            "An earlier request with this key has no answer yet. Send it again: if that one is stored it gets its \
             answer, and otherwise the purchase is tried anew.",
        ),
        Refusal::new(
            Problem::too_large(MAX_BODY),
            "The body has more than 16 KiB.",
        ),
        Refusal::new(
            Problem::unsupported_media_type("application/json"),
            "`Content-Type` is not `application/json`.",
        ),
        Refusal::new(
            Problem::unsupported_encoding(),
            "The body has a `Content-Encoding`.",
        ),
        Refusal::new(
            Problem::validation(vec![
                Invalid::new("/username", "is missing"),
                Invalid::new("/user_id", "must be a string, not a number"),
            ]),
            "Fields are invalid: all of them are named.",
        ),
        Refusal::new(
            retry::changed(),
            "The key was used for another content, where that can be known.",
        ),
        Refusal::new(
            Problem::too_many_requests(Duration::from_secs(2)),
            "This client sends more purchases than it may, where a limit is set.",
        ),
    ]
}

/// What is wrong on our side.
fn unavailable() -> [Refusal; 3] {
    [
        Refusal::new(
            retry::of_this_attempt(buy::out_of_reach()),
            "The log did not take it: this attempt stored nothing. An earlier one with the same key may be stored \
             where this replica does not know of it.",
        ),
        Refusal::new(
            buy::outcome_unknown(ID, true),
            "The log did not confirm it in time, or an earlier attempt with the same key, whatever became of this \
             one: it may be stored. `purchase_id` is its id.",
        ),
        Refusal::new(
            retry::of_this_attempt(Problem::overloaded(RETRY_AFTER)),
            "Too many purchases at once: this attempt stored nothing. An earlier one with the same key may be stored \
             where this replica does not know of it.",
        ),
    ]
}

fn history(template: &str) -> Operation {
    let answer = Answer::json::<History>(
        StatusCode::OK,
        "The page and the totals.",
        sample(&History::sample()),
    )
    .header("Cache-Control")
    .header("ETag")
    .header("Link");
    let (id, summary) = if template.starts_with("/purchases") {
        ("getHistory", "A user's purchases")
    } else {
        ("getAllUserBuys", "The same under its first name")
    };
    Operation::get(id, "histories", summary, answer)
        .revalidates()
        .describe(
            "Totals over the whole history, exact to the cent, and one page of it, newest first. With `since` or `until`, \
             both are of the purchases in that range alone. A cursor carries its range: bounds beside it may be left out, \
             and must otherwise be the same.\n\n\
             Totals beside a first page are of now; beside a further page of 10,000 purchases and more they may be those \
             of up to ten seconds ago. A `304` is always of now.",
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
                    Invalid::new("/limit", "is not a whole number from 1 to 1000"),
                    Invalid::new("/until", "is not later than `since`"),
                ]),
                "Something is invalid, or bounds do not go together: all of it is named.",
            ),
            Refusal::new(Problem::internal(), "What is stored cannot be shown."),
        ])
        .refuses(not_passed_on(false))
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
    .describe("Never older than two seconds.")
    .refuses(not_passed_on(false))
    .refuses([Refusal::new(
        Problem::unavailable(
            "/problems/statistics-unavailable",
            "The statistics cannot be read at the moment. Nothing of them is lost.",
            RETRY_AFTER,
        ),
        "The database cannot be read.",
    )])
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
             `unavailable` event, and the stream goes on when it can.",
        )
        .parameter(
            Parameter::header(
                "Last-Event-ID",
                json!({ "type": "string" }),
                "The id of the last event that was seen. What is no id is ignored.",
            )
            .example("1769882400323"),
        )
        .refuses(not_passed_on(true))
}

/// The management service gives no answer.
fn not_passed_on(endless: bool) -> [Refusal; 4] {
    [
        Refusal::new(
            proxy::too_many(endless),
            "This client has as many requests or streams at once as it may.",
        ),
        Refusal::new(
            proxy::unavailable(),
            "The management service or its database does not answer.",
        ),
        Refusal::new(
            proxy::misunderstood(),
            "What stands in the place of the management service does not take the question, or is something else.",
        ),
        Refusal::new(
            proxy::overloaded(endless),
            "Too many requests or streams at once.",
        ),
    ]
}

fn items() -> Operation {
    let listing = Catalog::built_in().listing().body();
    let items: Vec<Value> = serde_json::from_slice(&listing).expect("the list is JSON");
    let items = items.into_iter().take(3).collect();
    let answer = Answer::json::<Vec<ItemView<'static>>>(StatusCode::OK, "The catalog.", items);
    Operation::get(
        "getItems",
        "buying",
        "What is for sale",
        answer.header("ETag").header("Cache-Control"),
    )
    .revalidates()
}

fn health() -> Operation {
    let sample_of = |healthy| {
        sample(&Health {
            status: if healthy { "healthy" } else { "unhealthy" },
            service: "producer-svc",
            kafka_connected: true,
            customer_management_api_reachable: healthy,
            timestamp: StatsView::sample().as_of,
        })
    };
    Operation::health::<Health>("service", sample_of(true), sample_of(false))
}

/// What is really answered to a purchase like this.
fn sample_purchase() -> Value {
    let value = json!({
        "username": "john_doe", "user_id": "user_123", "item_name": "Laptop", "price": 999.99,
        "timestamp": "2026-01-31T18:00:00.123Z",
    });
    let stored = Stored {
        value: Bytes::from(value.to_string()),
        partition: 1,
        offset: Some(42),
    };
    serde_json::from_slice(&answer::accepted(ID, &stored)).expect("the answer is JSON")
}

fn sample(view: &impl Serialize) -> Value {
    serde_json::to_value(view).expect("views are JSON")
}

#[cfg(test)]
mod tests;
