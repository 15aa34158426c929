//! What a client accepts: the `Accept` header of RFC 9110.
//!
//! In: the header, in place. Out: whether an answer of one type may be sent. Pure; nothing is
//! allocated, because it is read on the way of every purchase.

use http::HeaderMap;
use http::header::ACCEPT;

use crate::problem::Problem;

/// Whether a client with this `Accept` header takes an answer of this media type, such as
/// `application/json`. The most exact range counts, `q=0` refuses; parameters other than `q` are
/// not looked at. A header without any range that can be read counts as absent: it refuses nothing.
pub fn accepts(header: &str, offered: &str) -> bool {
    accepts_one_of([header], offered)
}

/// The same with several lines, which are one list.
fn accepts_one_of<'a>(lines: impl IntoIterator<Item = &'a str>, offered: &str) -> bool {
    let (main, sub) = offered.split_once('/').unwrap_or((offered, ""));
    let mut readable = false;
    let mut best: Option<(u8, bool)> = None;
    for range in lines.into_iter().flat_map(|line| line.split(',')) {
        let mut parts = range.split(';');
        let name = parts.next().unwrap_or_default().trim();
        let Some((theirs, below)) = name.split_once('/') else {
            continue;
        };
        readable = true;
        let rank = match (theirs, below) {
            ("*", "*") => 0,
            (theirs, "*") if theirs.eq_ignore_ascii_case(main) => 1,
            (theirs, below)
                if theirs.eq_ignore_ascii_case(main) && below.eq_ignore_ascii_case(sub) =>
            {
                2
            }
            _ => continue,
        };
        let wanted = parts.find_map(weight).is_none_or(|weight| weight > 0.0);
        best = match best {
            Some((known, _)) if known > rank => best,
            Some((known, before)) if known == rank => Some((rank, before || wanted)),
            _ => Some((rank, wanted)),
        };
    }
    best.map_or(!readable, |(_, wanted)| wanted)
}

/// Whether a client with these headers takes an answer of this type.
pub fn takes(headers: &HeaderMap, offered: &str) -> bool {
    let lines = headers.get_all(ACCEPT).iter();
    // What is not readable as text names no type.
    let texts = lines.filter_map(|line| line.to_str().ok());
    accepts_one_of(texts, offered)
}

/// The 406 of a path that answers with this type.
pub fn not_acceptable(offered: &str) -> Problem {
    Problem::not_acceptable(format!(
        "This path answers with {offered}, which the Accept header excludes."
    ))
}

/// `q=0.5`; what is no number counts as left out.
fn weight(parameter: &str) -> Option<f32> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let weight: f32 = value.trim().parse().ok()?;
    // `NaN` and `inf` are numbers for the parser only.
    weight.is_finite().then_some(weight)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_range_that_covers_the_type_accepts_it() {
        for header in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/*",
            "*/*",
            "text/html, application/xhtml+xml, */*;q=0.8",
            "text/html;q=1, application/json;q=0.001",
            "application/json;q=0, application/json",
        ] {
            assert!(accepts(header, "application/json"), "{header}");
        }
    }

    #[test]
    fn what_is_not_covered_or_has_no_weight_is_refused() {
        for header in [
            "text/html",
            "text/*",
            "application/jsonp",
            "application/json;q=0",
            "application/json; Q=0.0",
            "*/*;q=0",
            "application/*;q=0",
        ] {
            assert!(!accepts(header, "application/json"), "{header}");
        }
    }

    #[test]
    fn the_most_exact_range_decides() {
        assert!(!accepts("*/*, application/json;q=0", "application/json"));
        assert!(accepts("*/*;q=0, application/json", "application/json"));
        assert!(!accepts("application/*;q=0, */*", "application/json"));
        assert!(accepts("application/*;q=0, */*", "text/html"));
    }

    #[test]
    fn several_lines_are_one_list() {
        let mut headers = HeaderMap::new();
        assert!(takes(&headers, "text/css"));
        for (line, css, html) in [("text/html", false, true), ("text/css", true, true)] {
            headers.append(ACCEPT, HeaderValue::from_static(line));
            assert_eq!(takes(&headers, "text/css"), css);
            assert_eq!(takes(&headers, "text/html"), html);
        }
    }

    #[test]
    fn a_header_that_says_nothing_refuses_nothing() {
        for header in ["", " ", ",,", "json", ";q=0"] {
            assert!(accepts(header, "application/json"), "{header:?}");
        }
    }
}
