//! Names: length in characters, nothing invisible that rearranges or breaks.

use proptest::prelude::*;
use purchases::{FieldError, IdempotencyKey, ItemName, KeyError, UserId, Username};

#[test]
fn length_is_counted_in_characters_not_bytes() {
    let hundred = "张".repeat(100);
    assert_eq!(hundred.len(), 300);
    assert_eq!(Username::parse(&hundred).unwrap().as_str(), hundred);
    assert_eq!(Username::parse(&"张".repeat(101)), Err(FieldError::TooLong));
    assert_eq!(
        ItemName::parse(&format!("  {}\t", "é".repeat(100)))
            .unwrap()
            .as_str(),
        "é".repeat(100)
    );
}

#[test]
fn the_ends_are_trimmed_and_the_middle_is_kept() {
    assert_eq!(UserId::parse("  a  b \u{3000}").unwrap().as_str(), "a  b");
    for empty in ["", " ", "\t\r\n", "\u{00A0}\u{3000}"] {
        assert_eq!(UserId::parse(empty), Err(FieldError::Empty), "{empty:?}");
    }
}

#[test]
fn control_and_override_characters_are_refused() {
    for control in [
        '\0', '\n', '\u{1B}', '\u{7F}', '\u{85}', '\u{9F}', '\u{2028}', '\u{2029}',
    ] {
        assert_eq!(
            Username::parse(&format!("a{control}b")),
            Err(FieldError::Control(control))
        );
    }
    for bidi in ('\u{202A}'..='\u{202E}').chain('\u{2066}'..='\u{2069}') {
        assert_eq!(
            Username::parse(&format!("a{bidi}b")),
            Err(FieldError::Bidi(bidi))
        );
    }
}

#[test]
fn names_of_the_whole_world_are_fine() {
    for name in [
        "O'Neill <b>&amp;",
        "Zoë",
        "张伟",
        "محمد\u{200F}",
        "👩‍👩‍👧‍👦",
        "a\\\"b",
        "नमस्ते",
    ] {
        assert_eq!(Username::parse(name).unwrap().as_str(), name);
    }
}

#[test]
fn a_reason_reads_as_a_sentence_after_the_field() {
    assert_eq!(
        FieldError::Control('\u{7}').to_string(),
        "contains the control character U+0007"
    );
    assert_eq!(
        FieldError::Bidi('\u{202E}').to_string(),
        "contains the text direction override U+202E"
    );
}

#[test]
fn a_retry_key_is_the_same_quoted_or_bare() {
    let uuid = "8e03978e-40d5-43e8-bc93-6894a57f9324";
    assert_eq!(
        IdempotencyKey::parse(&format!("\"{uuid}\"")),
        IdempotencyKey::parse(uuid)
    );
    assert_eq!(
        IdempotencyKey::parse(&format!(" {uuid} "))
            .unwrap()
            .as_str(),
        uuid
    );
    assert_eq!(
        IdempotencyKey::parse(&"k".repeat(64))
            .unwrap()
            .as_str()
            .len(),
        64
    );
}

#[test]
fn what_is_no_retry_key_is_refused() {
    for empty in ["", "  ", "\"\""] {
        assert_eq!(
            IdempotencyKey::parse(empty),
            Err(KeyError::Empty),
            "{empty:?}"
        );
    }
    for wrong in [
        "\"",
        "\"a",
        "a\"",
        "a b",
        "é",
        "a,b",
        "a;p=1",
        "\"a\";p=1",
        "a\0",
    ] {
        assert_eq!(
            IdempotencyKey::parse(wrong),
            Err(KeyError::Character),
            "{wrong:?}"
        );
    }
    assert_eq!(
        IdempotencyKey::parse(&"k".repeat(65)),
        Err(KeyError::TooLong)
    );
}

proptest! {
    #[test]
    fn whatever_is_accepted_is_clean_and_stays_the_same(text in any::<String>()) {
        if let Ok(name) = UserId::parse(&text) {
            let length = name.as_str().chars().count();
            prop_assert!((1..=100).contains(&length));
            prop_assert!(!name.as_str().chars().any(char::is_control));
            prop_assert_eq!(name.as_str(), text.trim());
            prop_assert_eq!(UserId::parse(name.as_str()), Ok(name));
        }
    }
}
