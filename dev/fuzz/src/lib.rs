//! What is searched for: bytes from anybody that make a reader of ours panic, or take what it must not.
//!
//! In: any bytes. Out: nothing, or a panic that says which rule was broken. `cargo xtask fuzz` searches
//! by coverage; `cargo test` runs the same targets on the seeds and on inputs made from them, always
//! the same ones.

use producer_svc::intake::{BuyRequest, Invalid};
use purchases::{Purchase, PurchaseId, wire};

mod head;
mod headers;

pub use head::head;
pub use headers::headers;

/// What is run on bytes.
pub type Target = fn(&[u8]);

/// Each target by its name, which is also the name of its seeds.
pub const TARGETS: [(&str, Target); 4] = [
    ("buy", buy),
    ("head", head),
    ("headers", headers),
    ("event", event),
];

/// The body of `POST /buy`.
pub fn buy(body: &[u8]) {
    match BuyRequest::parse(body) {
        Ok(request) => {
            for name in [request.username.as_str(), request.user_id.as_str()] {
                is_a_name(name);
            }
            let again = serde_json::json!({
                "username": request.username.as_str(), "user_id": request.user_id.as_str(),
            });
            let again = BuyRequest::parse(again.to_string().as_bytes());
            assert_eq!(again.as_ref(), Ok(&request), "taken once and not again");
        }
        Err(Invalid::Malformed(reason)) => {
            assert!(!reason.is_empty());
            let tree: Result<serde_json::Value, _> = serde_json::from_slice(body);
            assert!(tree.is_err(), "JSON that is said to be none: {reason}");
        }
        Err(Invalid::Fields(flaws)) => {
            assert!(!flaws.is_empty(), "refused without a reason");
            for flaw in flaws {
                assert!(["", "/username", "/user_id"].contains(&flaw.pointer));
                assert!(!flaw.detail.is_empty());
            }
        }
    }
}

/// The value of a record that somebody else wrote.
pub fn event(value: &[u8]) {
    match wire::decode_value(value) {
        Ok(event) => {
            let names = [
                event.username.as_str(),
                event.user_id.as_str(),
                event.item_name.as_str(),
            ];
            for name in names {
                is_a_name(name);
            }
            assert!(event.price.get() >= 0, "a negative price");
            let purchase = Purchase::new(PurchaseId::from_bytes([0; 12]), event);
            let again = wire::decode_value(&wire::encode_value(&purchase));
            assert_eq!(
                again.as_ref(),
                Ok(purchase.event()),
                "what we write, we read"
            );
        }
        Err(error) => {
            assert!(!error.kind().is_empty() && !error.to_string().is_empty());
        }
    }
}

fn is_a_name(name: &str) {
    assert_eq!(name.trim(), name, "not trimmed");
    assert!((1..=100).contains(&name.chars().count()), "{name:?}");
    let hostile = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!name.contains(hostile), "{name:?}");
}
