//! A purchase with a retry key: what is answered without buying again.
//!
//! In: user, key and what was asked. Out: the purchase's id and a claim on the key, or the answer that
//! the key already has; and what a refusal says to who has a key. It never waits; what is remembered and
//! for how long is `replay`'s business.

use std::time::{Duration, Instant};

use host::problem::Problem;
use http::{HeaderName, HeaderValue, StatusCode};
use purchases::{IdempotencyKey, PurchaseId};
use warp::reply::Response;

use super::desk::Desk;
use super::request::BuyRequest;
use super::{answer, buy, pages};
use crate::replay::{Claim, Fingerprint, Known};

/// Says that an answer is the one that the first try got.
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Kind of the problem that a key was used for something else.
const KEY_REUSED: &str = "/problems/idempotency-key-reused";
/// When the first try may be over.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The answer to a request whose key is known.
pub(super) type Told = Result<Response, Box<Problem>>;

/// What identifies a try and all its repetitions.
pub(super) struct Keyed {
    pub(super) id: PurchaseId,
    request: Fingerprint,
    since: Instant,
}

impl Keyed {
    pub(super) fn new(key: &IdempotencyKey, request: &BuyRequest, since: Instant) -> Self {
        Self {
            id: PurchaseId::derived(&request.user_id, key),
            request: Fingerprint::of(&[request.username.as_str(), request.user_id.as_str()]),
            since,
        }
    }

    /// The answer that needs no purchase. Given also when purchases cannot be taken at present.
    pub(super) fn told(&self, desk: &Desk) -> Option<Told> {
        match self.look(desk)? {
            // One more attempt may get a better answer.
            Known::Unknown => None,
            known => Some(self.answer(&known)),
        }
    }

    /// What is told instead of an attempt that was not begun: what is known of the key, and the refusal
    /// where nothing is.
    pub(super) fn refused(&self, desk: &Desk, refusal: Problem) -> Told {
        match self.look(desk) {
            Some(known) => self.answer(&known),
            None => Err(Box::new(of_this_attempt(refusal))),
        }
    }

    fn look(&self, desk: &Desk) -> Option<Known> {
        desk.replays.look(self.id, self.request, self.since)
    }

    /// Takes the key; or tells what is known of it, to be answered.
    pub(super) fn claim(&self, desk: &Desk) -> Result<Claim, Known> {
        desk.replays.claim(self.id, self.request, self.since)
    }

    /// The answer to a request whose key is known.
    pub(super) fn answer(&self, known: &Known) -> Told {
        match known {
            Known::Stored(stored) => {
                let mut response = pages::json(
                    StatusCode::CREATED,
                    answer::accepted(self.id, stored).into(),
                );
                let replayed = HeaderValue::from_static("true");
                response.headers_mut().insert(REPLAYED, replayed);
                Ok(response)
            }
            Known::InFlight => Err(Box::new(in_flight())),
            Known::Changed => Err(Box::new(changed())),
            Known::Unknown => Err(Box::new(buy::outcome_unknown(self.id, true))),
        }
    }
}

/// A refusal that says that its attempt stored nothing, as it is told to who has a key: nothing is known
/// here of other attempts, which says nothing of those at another replica or before a restart.
pub(super) fn of_this_attempt(refusal: Problem) -> Problem {
    let detail = format!(
        "{} An earlier one with the same Idempotency-Key may be stored: repeat it with that key.",
        refusal.detail()
    );
    refusal.because(detail)
}

/// 409: wait for the first answer.
pub(super) fn in_flight() -> Problem {
    let detail = "An earlier request with this Idempotency-Key has no answer yet. Send it again: if that \
                  one is stored you will get its answer, and otherwise the purchase is tried anew.";
    Problem::conflict(detail).retry_after(RETRY_AFTER)
}

/// 422: a key stands for one content.
pub(super) fn changed() -> Problem {
    let detail = "This Idempotency-Key was used for a request with another content. Send the same \
                  content again, or use a new key for a new purchase.";
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        KEY_REUSED,
        "The Idempotency-Key was used for another request",
        detail,
    )
}
