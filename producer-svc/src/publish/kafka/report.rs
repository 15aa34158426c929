//! What a delivery report means.
//!
//! In: the library's codes and messages. Out: what is certain of a record. It decides nothing.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};

/// Whether every broker refuses this record at every attempt, so that no earlier attempt can have
/// stored it. All other codes are of the last attempt only and say nothing about those before: even
/// "purged from the queue" may be said of a record that was sent, lost its connection and was queued
/// again.
pub(super) fn refused_for_content(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::InvalidRecord | RDKafkaErrorCode::InvalidTimestamp)
    )
}

/// Whether the broker refuses what stands together in one request, at every attempt. It says so of all
/// records in it, also where one of them alone would be small enough.
pub(super) fn request_too_large(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::MessageBatchTooLarge)
    )
}

/// Key and headers of a record that was reported on.
pub(super) fn address_of(message: &BorrowedMessage<'_>) -> (String, Vec<(String, Vec<u8>)>) {
    let key = String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned();
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    let owned = headers.map(|header| {
        let value = header.value.unwrap_or_default();
        (header.key.to_owned(), value.to_vec())
    });
    (key, owned.collect())
}
