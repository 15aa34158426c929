//! What waits for its turn to be handed to the log: purchases that were never there, and records that
//! came back from it.
//!
//! In: either. Out: what both have in common. None of them is in the log.

use std::time::Instant;

use crate::flow::{Chosen, Returned, Unsold};
use crate::metrics::{Metrics, Outcome};

/// What a record takes beside what its buyer says of himself: the item, the time, and the headers.
const REST: usize = 400;

pub(super) enum Waiting {
    /// A purchase that was never handed over.
    New(Box<Chosen>),
    /// A record whose request was too large for the topic.
    Again(Box<Returned>),
}

impl Waiting {
    pub(super) fn key(&self) -> &str {
        match self {
            Self::New(chosen) => chosen.purchase.user_id().as_str(),
            Self::Again(returned) => &returned.key,
        }
    }

    /// When its request came.
    pub(super) fn since(&self) -> Instant {
        match self {
            Self::New(chosen) => chosen.ticket.since(),
            Self::Again(returned) => returned.since(),
        }
    }

    /// What it adds to a request. Of what is not encoded yet it is a guess, and rather too much.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::New(chosen) => {
                let (purchase, state) = (&chosen.purchase, &chosen.origin.state);
                let names = 2 * purchase.user_id().as_str().len()
                    + purchase.username().as_str().len()
                    + purchase.item_name().as_str().len();
                REST + names + state.as_ref().map_or(0, |state| state.len())
            }
            Self::Again(returned) => returned.size(),
        }
    }

    /// Answers that it is certainly not in the log.
    pub(super) fn not_stored(self, why: &str, metrics: &Metrics) {
        match self {
            Self::New(mut chosen) => {
                chosen.origin.sending.fail(why);
                metrics.published(Outcome::NotStored, chosen.ticket.since().elapsed());
                let unsold = Unsold::NotStored(why.to_owned());
                chosen.ticket.answer(Err(unsold));
            }
            Self::Again(mut returned) => {
                returned.why = format!("{why}: {}", returned.why);
                returned.not_stored(metrics);
            }
        }
    }
}
