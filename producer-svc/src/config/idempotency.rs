//! What this replica remembers for retries, as it is configured.
//!
//! In: variables. Out: limits of the memory. Nothing here has to be equal on all replicas.

use host::env::{self, Reader, Var};

use crate::replay::Limits;

pub(super) const VARS: &[Var] = &[
    Var::with_default(
        "IDEMPOTENCY_MAX_KEYS",
        "50000",
        "answers kept for retries with the same Idempotency-Key; the oldest goes first; 0 keeps none",
    ),
    Var::with_default("IDEMPOTENCY_MAX_BYTES", "16MiB", "their bytes"),
    Var::with_default(
        "IDEMPOTENCY_MAX_AGE",
        "10m",
        "how long an answer is kept; a later retry is still stored once, under the same id",
    ),
];

pub(super) fn read(reader: &mut Reader<'_>) -> Option<Limits> {
    let keys = reader.get("IDEMPOTENCY_MAX_KEYS", env::count_in(0..=10_000_000));
    let bytes = reader.get("IDEMPOTENCY_MAX_BYTES", env::bytes);
    let age = reader.get("IDEMPOTENCY_MAX_AGE", env::duration);
    Some(Limits {
        keys: keys?,
        bytes: bytes?,
        age: age?,
    })
}
