//! Records as a client writes them that is not ours.

use crate::topic::{Maybe, NewRecord};

/// Bytes of a text.
pub fn bytes(text: &str) -> Maybe {
    Some(text.as_bytes().to_vec())
}

/// An event without headers, of somebody.
pub fn good(partition: i32) -> NewRecord {
    good_for(partition, "somebody")
}

/// An event without headers, of this user.
pub fn good_for(partition: i32, user: &str) -> NewRecord {
    let event = serde_json::json!({
        "username": "Ann", "user_id": user, "item_name": "Laptop", "price": 999.99,
        "timestamp": "2026-01-31T18:00:00.123Z",
    });
    NewRecord {
        partition,
        key: bytes(user),
        value: bytes(&event.to_string()),
        headers: Vec::new(),
    }
}
