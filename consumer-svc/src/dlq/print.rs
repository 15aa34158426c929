//! Letters on a terminal or for a program. What strangers wrote is escaped: a value must not
//! command the terminal that shows it.

use std::io::{self, ErrorKind, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::letter::{Fate, Letter, Place, Summary};

/// An answer that could not be written whole is none. But whoever reads it may have seen enough, and hung up.
pub(super) fn whole(written: io::Result<()>) -> Result<(), String> {
    match written {
        Err(cause) if cause.kind() != ErrorKind::BrokenPipe => {
            Err(format!("the answer cannot be written: {cause}"))
        }
        _ => Ok(()),
    }
}

/// One line a letter.
pub(super) fn list<'l>(
    out: &mut impl Write,
    letters: impl Iterator<Item = (&'l (i32, i64), &'l Summary)>,
    json: bool,
) -> io::Result<()> {
    for ((partition, offset), summary) in letters {
        let Summary {
            origin,
            reason,
            written,
            again,
            fate,
        } = summary;
        let state = state(fate, *again);
        if json {
            let line = json!({
                "partition": partition, "offset": offset, "time": written, "reason": reason,
                "origin": place(origin), "state": fate.word(), "again": again, "dealt_with_at": at(fate),
            });
            writeln!(out, "{line}")?;
        } else {
            let (from, reason) = (shown(origin), safe(reason));
            let letter = format!("{partition}/{offset}");
            writeln!(
                out,
                "{letter:<10} {:<24} {from:<24} {state:<8} {reason}",
                safe(written)
            )?;
        }
    }
    out.flush()
}

/// All of one letter.
pub(super) fn letter(
    out: &mut impl Write,
    (at_place, letter, fate): ((i32, i64), &Letter, &Fate),
    json: bool,
) -> io::Result<()> {
    let (partition, offset) = at_place;
    let original = &letter.original;
    if json {
        let headers = original.headers.iter();
        let headers: Vec<Value> = headers
            .map(|(name, value)| json!({ "name": name, "value": data(value.as_deref()) }))
            .collect();
        let whole = json!({
            "partition": partition, "offset": offset, "time": letter.written,
            "reason": letter.reason, "origin": place(&letter.origin),
            "origin_time": original.time.map(|time| time.to_string()),
            "state": fate.word(), "again": letter.is_of_a_return(), "dealt_with_at": at(fate),
            "truncated": letter.truncated_from.is_some(),
            "key": data(original.key.as_deref()), "value": data(original.value.as_deref()),
            "headers": headers,
        });
        writeln!(out, "{whole}")?;
        return out.flush();
    }
    writeln!(out, "letter   {partition}/{offset}")?;
    let state = state(fate, letter.is_of_a_return());
    writeln!(out, "state    {state} {}", at(fate).unwrap_or_default())?;
    writeln!(out, "written  {}", safe(&letter.written))?;
    writeln!(out, "reason   {}", safe(&letter.reason))?;
    writeln!(out, "origin   {}", shown(&letter.origin))?;
    let time = original.time.map(|time| time.to_string());
    writeln!(out, "stood    {}", time.as_deref().unwrap_or("-"))?;
    writeln!(out, "key      {}", bytes(original.key.as_deref()))?;
    for (name, value) in &original.headers {
        writeln!(out, "header   {}: {}", safe(name), bytes(value.as_deref()))?;
    }
    let cut = if letter.truncated_from.is_some() {
        " (its beginning)"
    } else {
        ""
    };
    writeln!(out, "value{cut}\n{}", bytes(original.value.as_deref()))?;
    out.flush()
}

/// What was done with a letter.
pub(super) enum Done<'d> {
    /// Its record went back to where it stood; why that is in vain, if it is.
    SentBack(Option<&'d str>),
    /// It is not open any more.
    PutAside,
}

/// What was done with a letter, or would be, and where its record stood. Whoever reads that may have seen
/// enough: it ends neither the program with a panic nor its work half way.
pub(super) fn done(
    (at_place, origin): ((i32, i64), &Place),
    what: &Done<'_>,
    dry_run: bool,
    json: bool,
) {
    let line = match json {
        true => done_json(at_place, origin, what, dry_run).to_string(),
        false => done_line(at_place, origin, what, dry_run),
    };
    drop(writeln!(io::stdout(), "{line}"));
}

fn done_word(what: &Done<'_>, dry_run: bool) -> &'static str {
    match (what, dry_run) {
        (Done::SentBack(_), false) => "sent back",
        (Done::SentBack(_), true) => "would be sent back",
        (Done::PutAside, false) => "put aside",
        (Done::PutAside, true) => "would be put aside",
    }
}

fn done_json(at_place: (i32, i64), origin: &Place, what: &Done<'_>, dry_run: bool) -> Value {
    let (partition, offset) = at_place;
    let mut line = json!({
        "partition": partition, "offset": offset, "done": done_word(what, dry_run), "origin": place(origin),
    });
    if let Done::SentBack(in_vain) = what {
        line["refused_again"] = Value::from(*in_vain);
    }
    line
}

fn done_line(at_place: (i32, i64), origin: &Place, what: &Done<'_>, dry_run: bool) -> String {
    let (partition, offset) = at_place;
    let line = format!("{partition}/{offset} {}", done_word(what, dry_run));
    let Done::SentBack(in_vain) = what else {
        return line;
    };
    let but = in_vain.map(|reason| format!(", and will be refused again: {}", safe(reason)));
    let (topic, but) = (safe(&origin.topic), but.unwrap_or_default());
    format!("{line} to {topic}/{}{but}", origin.partition)
}

/// In one word. One that came back waits for somebody who does more than to send it again.
fn state(fate: &Fate, again: bool) -> &'static str {
    match (fate, again) {
        (Fate::Open, true) => "again",
        (fate, _) => fate.word(),
    }
}

fn place(origin: &Place) -> Value {
    json!({ "topic": origin.topic, "partition": origin.partition, "offset": origin.offset })
}

fn shown(origin: &Place) -> String {
    let Place {
        topic,
        partition,
        offset,
    } = origin;
    format!("{}/{partition}/{offset}", safe(topic))
}

fn at(fate: &Fate) -> Option<String> {
    fate.at().map(|at| at.to_string())
}

/// As JSON: text as text, anything else in base64 and marked so.
fn data(bytes: Option<&[u8]>) -> Value {
    match bytes.map(std::str::from_utf8) {
        None => Value::Null,
        Some(Ok(text)) => Value::from(text),
        Some(Err(_)) => json!({ "base64": STANDARD.encode(bytes.unwrap_or_default()) }),
    }
}

/// On a terminal: text, escaped; anything else in base64 and marked so.
fn bytes(bytes: Option<&[u8]>) -> String {
    match bytes.map(std::str::from_utf8) {
        None => "-".to_owned(),
        Some(Ok(text)) => safe(text),
        Some(Err(_)) => format!("base64:{}", STANDARD.encode(bytes.unwrap_or_default())),
    }
}

/// Without anything a terminal would obey or hide: control characters and changes of direction.
fn safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let hidden = matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        match c.is_control() || hidden {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Original;

    #[test]
    fn what_was_done_names_where_the_record_stood_and_nothing_that_has_no_meaning() {
        let origin = Place {
            topic: "purchases".to_owned(),
            partition: 2,
            offset: 40,
        };
        let stood = json!({ "topic": "purchases", "partition": 2, "offset": 40 });
        let told = |what: Done<'_>, dry_run| {
            let place = (0, 7);
            (
                done_json(place, &origin, &what, dry_run),
                done_line(place, &origin, &what, dry_run),
            )
        };
        let aside = json!({ "partition": 0, "offset": 7, "done": "put aside", "origin": &stood });
        assert_eq!(
            told(Done::PutAside, false),
            (aside, "0/7 put aside".to_owned())
        );
        let back = json!({
            "partition": 0, "offset": 7, "done": "would be sent back", "origin": &stood, "refused_again": "no JSON",
        });
        let line = "0/7 would be sent back to purchases/2, and will be refused again: no JSON";
        assert_eq!(
            told(Done::SentBack(Some("no JSON")), true),
            (back, line.to_owned())
        );
        let (back, _) = told(Done::SentBack(None), false);
        assert_eq!(back.get("refused_again"), Some(&Value::Null));
    }

    /// A disk with so much room, or a reader who reads so much.
    struct Room(usize, ErrorKind);

    impl Write for Room {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(self.1)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_answer_for_which_there_is_no_room_is_no_success_and_a_reader_who_hung_up_is() {
        let origin = Place {
            topic: "purchases".to_owned(),
            partition: 2,
            offset: 40,
        };
        let letter = Letter {
            original: Original::default(),
            origin: origin.clone(),
            reason: "no JSON".to_owned(),
            written: String::new(),
            truncated_from: None,
        };
        let summaries: Vec<_> = (0..9)
            .map(|offset| ((0, offset), letter.summary()))
            .collect();
        for json in [false, true] {
            let told = |room, kind| {
                let all = summaries.iter().map(|(place, summary)| (place, summary));
                let listed = list(&mut Room(room, kind), all, json);
                let shown = ((0, 7), &letter, &Fate::Open);
                let shown = super::letter(&mut Room(room, kind), shown, json);
                [whole(listed), whole(shown)]
            };
            for short in told(60, ErrorKind::StorageFull) {
                let why = short.unwrap_err();
                assert!(why.contains("cannot be written"), "{why}");
            }
            assert_eq!(told(60, ErrorKind::BrokenPipe), [Ok(()), Ok(())]);
            assert_eq!(told(9_999, ErrorKind::StorageFull), [Ok(()), Ok(())]);
        }
    }

    #[test]
    fn nothing_commands_the_terminal_that_shows_it() {
        assert_eq!(safe("\u{1b}[2Jgone\r\n"), "\\u{1b}[2Jgone\\r\\n");
        assert_eq!(safe("abc\u{202e}cba"), "abc\\u{202e}cba");
        assert_eq!(safe("Zoë 张伟"), "Zoë 张伟");
        assert_eq!(bytes(Some(&[0xff, 0xfe])), "base64://4=");
        assert_eq!((bytes(None), bytes(Some(b""))), ("-".into(), String::new()));
    }
}
