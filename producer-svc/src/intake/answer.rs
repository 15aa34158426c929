//! The body of a 201, written by hand because it is written once a purchase.
//!
//! In: what was stored and where. Out: JSON. The purchase stands in it byte for byte as it was
//! written to the log, so that the answer cannot say anything else.

use purchases::{PurchaseId, views};
use utoipa::ToSchema;

use crate::flow::Stored;

const MESSAGE: &str = "Purchase accepted: the event log has it, the history will show it";

/// The shape of the answer to an accepted purchase, for the description.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "the answer is written by hand; this stands for its schema"
)]
pub(super) struct Accepted {
    /// Always true.
    success: bool,
    /// The same in words.
    message: String,
    /// Its id, in the event and in the history, too.
    purchase_id: PurchaseId,
    /// What stands in the log, byte for byte.
    purchase: views::Purchase,
    /// The partition of the log that has it.
    #[schema(minimum = 0)]
    kafka_partition: i32,
    /// Its place there. `null` in the one case where the broker confirms a purchase without knowing any
    /// more where it put it: a resend after a broken connection. It is stored all the same.
    #[schema(required = true, minimum = 0)]
    kafka_offset: Option<i64>,
}

/// The answer to an accepted purchase. `kafka_offset` is null where the broker confirmed a resend
/// without telling where the record stands.
pub(super) fn accepted(id: PurchaseId, stored: &Stored) -> Vec<u8> {
    // Names and punctuation take 110 bytes, the id 24, the numbers up to 30.
    let mut out = Vec::with_capacity(176 + MESSAGE.len() + stored.value.len());
    out.extend_from_slice(br#"{"success":true,"message":""#);
    out.extend_from_slice(MESSAGE.as_bytes());
    out.extend_from_slice(br#"","purchase_id":""#);
    out.extend_from_slice(&id.to_hex());
    out.extend_from_slice(br#"","purchase":"#);
    out.extend_from_slice(&stored.value);
    out.extend_from_slice(br#","kafka_partition":"#);
    push_number(&mut out, i64::from(stored.partition));
    out.extend_from_slice(br#","kafka_offset":"#);
    match stored.offset {
        Some(offset) => push_number(&mut out, offset),
        None => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
    out
}

/// Partitions and offsets are never negative.
fn push_number(out: &mut Vec<u8>, number: i64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn read(id: PurchaseId, stored: &Stored) -> Value {
        serde_json::from_slice(&accepted(id, stored)).unwrap()
    }

    #[test]
    fn a_resend_without_an_offset_says_null() {
        let stored = Stored {
            value: Bytes::from_static(b"{}"),
            partition: 0,
            offset: None,
        };
        let answer = read(PurchaseId::from_bytes([7; 12]), &stored);
        assert_eq!(answer["kafka_offset"], Value::Null);
        assert_eq!(answer["kafka_partition"], 0);
    }

    proptest! {
        #[test]
        fn the_answer_says_what_was_stored_and_where(bytes: [u8; 12], partition in 0..=i32::MAX, offset in 0..=i64::MAX) {
            let id = PurchaseId::from_bytes(bytes);
            let purchase = json!({"username": "a\"b", "price": 999.99});
            let stored = Stored { value: purchase.to_string().into(), partition, offset: Some(offset) };
            prop_assert_eq!(read(id, &stored), json!({
                "success": true, "message": MESSAGE, "purchase_id": id.to_string(), "purchase": purchase,
                "kafka_partition": partition, "kafka_offset": offset,
            }));
        }
    }
}
