//! What `POST /buy` may answer, read strictly: a field more or less fails the proof.
//!
//! In: bodies. Out: typed answers. Written from the contract, not from the services' types.

use serde::Deserialize;

use crate::http::Answer;

/// The five fields, as in the topic's value and in the answer.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Buyer, for people.
    pub username: String,
    /// Buyer, for machines.
    pub user_id: String,
    /// What was bought.
    pub item_name: String,
    /// For how much.
    pub price: f64,
    /// When, RFC 3339.
    pub timestamp: String,
}

/// A 201.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// Always true.
    pub success: bool,
    /// For people.
    pub message: String,
    /// Identity of the purchase.
    pub purchase_id: String,
    /// The event as it was written.
    pub purchase: Event,
    /// Where it stands.
    pub kafka_partition: i32,
    /// Where it stands; null where the broker confirmed a resend without telling.
    pub kafka_offset: Option<i64>,
}

/// Anything but a 201.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Status.
    pub status: u16,
    /// Media type of the body.
    pub media_type: String,
    /// The problem's type.
    pub kind: String,
    /// What the client is told, for people.
    pub detail: String,
    /// Whether the client may try again.
    pub retryable: bool,
    /// Seconds it should wait before.
    pub retry_after: Option<u64>,
    /// Whether the problem names its request.
    pub has_request_id: bool,
}

/// Reads an answer of `POST /buy`.
///
/// # Errors
/// The refusal.
///
/// # Panics
/// If a 201 is not as the contract says.
pub fn read(answer: &Answer) -> Result<Accepted, Refused> {
    if answer.status == 201 {
        let accepted: Accepted = serde_json::from_slice(&answer.body)
            .unwrap_or_else(|error| panic!("a 201 that is not one ({error}): {}", answer.text()));
        assert!(accepted.success, "a 201 without success: {}", answer.text());
        return Ok(accepted);
    }
    let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
    Err(Refused {
        status: answer.status,
        media_type: answer.header("content-type").to_owned(),
        kind: text("type"),
        detail: text("detail"),
        retryable: problem["retryable"] == true,
        retry_after: answer.header("retry-after").parse().ok(),
        has_request_id: !text("request_id").is_empty(),
    })
}
