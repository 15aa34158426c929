//! Headers of a request.
//!
//! In: any bytes. Out: nothing, or a panic: what is read of a header is what stands in it, whatever
//! stands around it.

use std::net::{IpAddr, Ipv4Addr};

use host::trace::{RequestId, TraceParent, trace_state};
use host::web::accept;
use host::web::client::TrustedHeader;
use host::web::fixed::matches_tag;
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, IF_NONE_MATCH};
use producer_svc::intake::BuyHeaders;
use purchases::IdempotencyKey;

const JSON: &str = "application/json";
const KEY: &str = "idempotency-key";
const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Header values of a request: the retry key, the trace, the request's id, a line each; and the same
/// lines as the headers of one request, where they have names.
pub fn headers(lines: &[u8]) {
    let request = read(lines);
    types(&request);
    clients(&request);
    tags(&request);
    purchase(&request);
    for line in lines.split(|byte| *byte == b'\n') {
        let Ok(text) = std::str::from_utf8(line) else {
            continue;
        };
        if let Ok(key) = IdempotencyKey::parse(text) {
            let plain = key.as_str();
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            assert!(
                (1..=64).contains(&plain.len()) && plain.bytes().all(allowed),
                "{plain:?}"
            );
            assert_eq!(
                IdempotencyKey::parse(&format!("\"{plain}\"")).as_ref(),
                Ok(&key)
            );
        }
        if let Some(trace) = TraceParent::parse(text) {
            assert_ne!(trace.trace_id(), 0, "{text:?}");
            let written = trace.to_text();
            let written = std::str::from_utf8(&written).expect("a trace is written in ASCII");
            let again = TraceParent::parse(written).expect("what we write, we read");
            assert_eq!(again.trace_id(), trace.trace_id());
        }
        if let Some(state) = trace_state(text) {
            let plain = state
                .bytes()
                .all(|byte| (b' '..=b'~').contains(&byte) || byte == b'\t');
            assert!(plain && (1..=512).contains(&state.len()), "{state:?}");
            assert_eq!(trace_state(&state).as_ref(), Some(&state));
        }
        if let Some(id) = RequestId::parse(text) {
            let shown = id.to_string();
            let visible = shown.bytes().all(|byte| byte.is_ascii_graphic());
            assert!(
                visible && !shown.is_empty(),
                "{shown:?} goes into logs and headers"
            );
        }
    }
}

/// The lines that are headers.
pub(crate) fn read(lines: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let Some(end) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = (&line[..end], &line[end + 1..]);
        let name = HeaderName::from_bytes(name.trim_ascii());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.trim_ascii())) {
            headers.append(name, value);
        }
    }
    headers
}

fn lines<'a>(headers: &'a HeaderMap, name: &'a HeaderName) -> Vec<&'a HeaderValue> {
    headers.get_all(name).iter().collect()
}

/// The same headers with this line in front of all others of its name, or behind them.
fn with(headers: &HeaderMap, name: &HeaderName, line: &'static str, first: bool) -> HeaderMap {
    let mut changed = headers.clone();
    changed.remove(name);
    let line = HeaderValue::from_static(line);
    let old = headers.get_all(name).iter().cloned();
    let (before, after) = if first {
        (Some(line), None)
    } else {
        (None, Some(line))
    };
    for value in before.into_iter().chain(old).chain(after) {
        changed.append(name, value);
    }
    changed
}

/// `Accept`: what is named is taken, nobody who names nothing is refused, and several lines are one list.
fn types(headers: &HeaderMap) {
    let taken = accept::takes(headers, JSON);
    if lines(headers, &ACCEPT).is_empty() {
        assert!(taken, "refused without a word");
    }
    assert!(accept::takes(&with(headers, &ACCEPT, JSON, true), JSON));
    assert!(accept::takes(&with(headers, &ACCEPT, JSON, false), JSON));
    let texts: Option<Vec<&str>> = lines(headers, &ACCEPT)
        .into_iter()
        .map(|line| line.to_str().ok())
        .collect();
    if let Some(texts) = texts.filter(|texts| !texts.is_empty()) {
        let list = texts.join(",");
        assert_eq!(accept::accepts(&list, JSON), taken, "{list:?}");
        assert_eq!(
            accept::accepts(&list.to_uppercase(), JSON),
            taken,
            "{list:?}"
        );
    }
}

/// Who sent it: what the proxy appended, and nothing that a client wrote before that.
fn clients(headers: &HeaderMap) {
    let peer = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    for hops in 1..=3 {
        let header = TrustedHeader::new(FORWARDED, hops);
        let client = header.client(peer, headers);
        if client != peer {
            let lied = header.client(peer, &with(headers, &FORWARDED, "203.0.113.9", true));
            assert_eq!(lied, client, "a client chose its address, {hops} hops");
        }
        let appended = with(headers, &FORWARDED, "198.51.100.7", false);
        let seen = header.client(peer, &appended);
        if hops == 1 {
            assert_eq!(seen, IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)));
        } else {
            let before = TrustedHeader::new(FORWARDED, hops - 1).client(peer, headers);
            assert_eq!(seen, before, "one more proxy, one more hop");
        }
    }
}

/// `If-None-Match`: only who names the tag has it.
fn tags(headers: &HeaderMap) {
    let tag = HeaderValue::from_static("\"abc\"");
    for line in lines(headers, &IF_NONE_MATCH) {
        let Ok(text) = line.to_str() else {
            assert!(!matches_tag(Some(line), &tag), "nobody can read it");
            continue;
        };
        if matches_tag(Some(line), &tag) {
            assert!(text.contains("\"abc\"") || text.contains('*'), "{text:?}");
        }
        let named = HeaderValue::try_from(format!("{text},W/\"abc\""));
        assert!(matches_tag(named.ok().as_ref(), &tag), "{text:?}");
    }
}

/// What `POST /buy` reads of all of them in one walk is what stands in each.
fn purchase(headers: &HeaderMap) {
    let (buy, ids) = BuyHeaders::read(headers);
    let keys = headers.get_all(KEY).iter().count();
    assert_eq!(buy.key.is_some(), keys > 0, "a key is lost or made up");
    if let Some(Ok(key)) = &buy.key {
        let line = headers.get(KEY).and_then(|line| line.to_str().ok());
        let alone = line.and_then(|line| IdempotencyKey::parse(line).ok());
        assert_eq!(
            (keys, alone.as_ref()),
            (1, Some(key)),
            "two keys are no key"
        );
    }
    if buy.json {
        let types = lines(headers, &CONTENT_TYPE);
        let texts = types.iter().filter_map(|line| line.to_str().ok());
        let json = |text: &str| text.trim().to_ascii_lowercase().starts_with(JSON);
        assert!(texts.into_iter().any(json), "{types:?}");
    }
    assert_eq!(buy.unacceptable, !accept::takes(headers, JSON));
    if let Some(id) = ids.request_id {
        assert!(headers.contains_key("x-request-id"), "{id:?}");
    }
}
