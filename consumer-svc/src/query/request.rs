//! What a request for a history says. Pure.
//!
//! In: the user's segment of the path and the query, both as they came. Out: whose history, which
//! page and which range; or everything that is wrong with the request, at once, each by its name.

use std::collections::BTreeMap;

use host::problem::Invalid;
use percent_encoding::percent_decode_str;
use purchases::views::{PAGE_DEFAULT, PAGE_MAX};
use purchases::{Timestamp, UserId};

use super::PageRequest;
use super::cursor::Cursor;
use super::range::Range;

/// Parameters of the query. Others change nothing: a later version may know them.
const KNOWN: [&str; 4] = ["limit", "cursor", "since", "until"];

/// Everything that is wrong with the request, or what it asks for.
///
/// # Errors
/// Each invalid parameter, with its name as the pointer.
pub(super) fn parse(user: &str, query: &str) -> Result<(UserId, PageRequest), Vec<Invalid>> {
    let mut wrong = Wrong(Vec::new());
    let user = wrong.note("user_id", self::user(user));
    let mut given = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let Some(name) = KNOWN.into_iter().find(|known| *known == name) else {
            continue;
        };
        // Readers of queries disagree on which one counts.
        if given.insert(name, value).is_some() {
            wrong.add(name, "appears more than once");
        }
    }
    let read = |name: &'static str| given.get(name).map(|value| (name, &**value));
    let (limit, cursor) = (read("limit"), read("cursor"));
    let (since, until) = (read("since"), read("until"));
    let limit = wrong.read(limit, limit_of);
    let cursor = wrong.read(cursor, |text| {
        Cursor::decode(text).map_err(|e| e.to_string())
    });
    let asked = Range {
        since: wrong.read(since, moment),
        until: wrong.read(until, moment),
    };
    let range = match cursor {
        None => asked,
        Some(cursor) => continued(&cursor, &asked, &mut wrong),
    };
    if asked.is_empty() {
        wrong.add("until", "is not later than `since`");
    }
    let page = PageRequest {
        limit: limit.unwrap_or(PAGE_DEFAULT),
        after: cursor,
        range,
    };
    match user {
        Some(user) if wrong.0.is_empty() => Ok((user, page)),
        _ => Err(wrong.0),
    }
}

/// A cursor goes on in the range it was made for. A bound that is said again must be the same one:
/// anything else would be a page of another history.
fn continued(cursor: &Cursor, asked: &Range, wrong: &mut Wrong) -> Range {
    let same = |asked: Option<Timestamp>, made: Option<Timestamp>| asked.is_none() || asked == made;
    let other = "is not the one that `cursor` was made for; leave it out, the cursor carries it";
    if !same(asked.since, cursor.range.since) {
        wrong.add("since", other);
    }
    if !same(asked.until, cursor.range.until) {
        wrong.add("until", other);
    }
    cursor.range
}

struct Wrong(Vec<Invalid>);

impl Wrong {
    fn add(&mut self, name: &str, what: impl Into<String>) {
        self.0.push(Invalid::new(format!("/{name}"), what));
    }

    fn note<T>(&mut self, name: &str, read: Result<T, String>) -> Option<T> {
        read.map_err(|what| self.add(name, what)).ok()
    }

    fn read<T>(
        &mut self,
        given: Option<(&str, &str)>,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        given.and_then(|(name, text)| self.note(name, read(text)))
    }
}

fn user(segment: &str) -> Result<UserId, String> {
    let user = percent_decode_str(segment).decode_utf8();
    let user = user.map_err(|_| "is not UTF-8".to_owned())?;
    UserId::parse(&user).map_err(|error| error.to_string())
}

fn limit_of(text: &str) -> Result<usize, String> {
    let number = text.parse().ok();
    let number = number.filter(|number| (1..=PAGE_MAX).contains(number));
    number.ok_or_else(|| format!("is not a whole number from 1 to {PAGE_MAX}"))
}

/// RFC 3339 and nothing else: a bare number could be seconds or milliseconds, and either reading
/// would give a wrong history to half of those who send one. Finer than a millisecond is cut off,
/// as it is where purchases are stored.
fn moment(text: &str) -> Result<Timestamp, String> {
    let told = |error: purchases::TimeError| error.to_string();
    Timestamp::parse(text).or_else(|error| match unplussed(text) {
        Some(text) => Timestamp::parse(&text).map_err(told),
        None => Err(told(error)),
    })
}

/// `+` in a query reads as a space, and who writes a zone into an address by hand forgets it. A
/// space before a zone's hours can be nothing else.
fn unplussed(text: &str) -> Option<String> {
    let (time, zone) = text.rsplit_once(' ')?;
    let hours = zone.len() == "01:00".len() && time.len() > "2026-01-31".len();
    hours.then(|| format!("{time}+{zone}"))
}

#[cfg(test)]
mod tests;
