//! The page that tells others what is read as a purchase: every row of it is what the reader does.

use purchases::Event;
use purchases::wire::decode_value;

const PAGE: &str = include_str!("../../docs/events.md");
const EVENT: &str = r#"{"username":"john","user_id":"u1","item_name":"Laptop","price":999.99,"timestamp":"2026-01-31T18:00:00Z"}"#;

/// The rows of the table that begins with this head, by columns.
fn rows(head: &str) -> Vec<Vec<&'static str>> {
    let lines = PAGE.lines().skip_while(|line| !line.starts_with(head));
    let rows = lines.skip(2).take_while(|line| line.starts_with('|'));
    let columns = |row: &'static str| row.trim_matches('|').split(" | ").map(str::trim).collect();
    rows.map(columns).collect()
}

/// What stands in the first pair of backticks.
fn quoted(cell: &str) -> Option<&str> {
    let (_, rest) = cell.split_once('`')?;
    Some(rest.split_once('`')?.0)
}

/// A good event with this field written so; without it, where nothing is.
fn with(field: &str, json: Option<&str>) -> String {
    let usual = [
        ("username", r#""john""#),
        ("user_id", r#""u1""#),
        ("item_name", r#""Laptop""#),
        ("price", "999.99"),
        ("timestamp", r#""2026-01-31T18:00:00Z""#),
    ];
    assert!(usual.iter().any(|(name, _)| *name == field), "{field}");
    let written = usual.into_iter().filter_map(|(name, usual)| {
        let value = if name == field { json? } else { usual };
        Some(format!("\"{name}\": {value}"))
    });
    format!("{{{}}}", written.collect::<Vec<_>>().join(", "))
}

fn shown(event: &Event, field: &str) -> String {
    match field {
        "username" => event.username.to_string(),
        "user_id" => event.user_id.to_string(),
        "item_name" => event.item_name.to_string(),
        "price" => event.price.to_string(),
        _ => event.timestamp.to_string(),
    }
}

#[test]
fn every_row_of_the_page_about_a_field_is_what_the_reader_does() {
    let rows = rows("| Field |");
    assert!(rows.len() > 30, "{} rows", rows.len());
    for row in rows {
        let [field, stands, done] = row[..] else {
            panic!("{row:?}")
        };
        let field = quoted(field).expect("a field");
        let long = |count| format!("\"{}\"", "張".repeat(count));
        let json = match stands {
            "nothing" => None,
            "100 characters" => Some(long(100)),
            "101 characters" => Some(long(101)),
            _ => Some(quoted(stands).expect("JSON").to_owned()),
        };
        let read = decode_value(with(field, json.as_deref()).as_bytes());
        match (done.split_once(' ').expect("words"), read) {
            (("taken", how), Ok(event)) => match quoted(how) {
                Some(value) if how.starts_with("as `") => {
                    assert_eq!(shown(&event, field), value, "{row:?}");
                }
                _ => assert_eq!(format!("{:?}", shown(&event, field)), json.expect("some")),
            },
            (("refused:", why), Err(error)) => {
                let reason = quoted(why).expect("a reason");
                let said = error.to_string();
                assert!(
                    said.contains(reason) && error.field() == field,
                    "{row:?}: {said}"
                );
            }
            (_, read) => panic!("{row:?}: {read:?}"),
        }
    }
}

#[test]
fn every_row_of_the_page_about_a_whole_value_is_what_the_reader_does() {
    assert!(decode_value(EVENT.as_bytes()).is_ok());
    let rows = rows("| Value |");
    assert_eq!(rows.len(), 7);
    for row in rows {
        let [value, done] = row[..] else {
            panic!("{row:?}")
        };
        let bytes = match value {
            "an event twice" => EVENT.repeat(2).into_bytes(),
            "an event behind a byte order mark" => format!("\u{FEFF}{EVENT}").into_bytes(),
            "an event with bytes that are not UTF-8" => {
                let mut bytes = EVENT.as_bytes().to_vec();
                bytes[15] = 0xFF;
                bytes
            }
            "no bytes, but a value" => Vec::new(),
            _ => quoted(value).expect("JSON").as_bytes().to_vec(),
        };
        let error = decode_value(&bytes).expect_err(value);
        assert!(done.starts_with("refused"), "{row:?}");
        let reason = quoted(done).unwrap_or_default();
        assert!(error.to_string().contains(reason), "{row:?}: {error}");
    }
}
