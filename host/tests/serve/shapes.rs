//! Heads that mean ill, for every server that is to stand them: this crate's own, and the services'
//! real routes, whose tests read this file, too.

pub(crate) fn post(headers: &str, body: &str) -> Vec<u8> {
    format!("POST /a HTTP/1.1\r\nhost: t\r\n{headers}\r\n\r\n{body}").into_bytes()
}

pub(crate) fn get(headers: &str) -> Vec<u8> {
    format!("GET /a HTTP/1.1\r\nhost: t\r\n{headers}\r\n\r\n").into_bytes()
}

/// What the parser refuses, or answers with a bare 400, before anybody sees a request.
pub(crate) fn refused() -> Vec<Vec<u8>> {
    let chunks = "0\r\n\r\n";
    vec![
        post("content-length: 4\r\ncontent-length: 5", "body"),
        post("content-length: 4, 4", "body"),
        post("content-length: +4", "body"),
        post("content-length: -4", "body"),
        post("content-length: 0x4", "body"),
        post("content-length: 4 4", "body"),
        post("content-length: 99999999999999999999", "body"),
        post("content-length : 4", "body"),
        post("transfer-encoding: xchunked", chunks),
        post("transfer-encoding: identity", chunks),
        post("transfer-encoding: chunked, identity", chunks),
        post(
            "transfer-encoding: chunked\r\ntransfer-encoding: identity",
            chunks,
        ),
        post("transfer-encoding : chunked", chunks),
        post("transfer-encoding: \u{b}chunked", chunks),
        b"POST /a HTTP/1.0\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(),
        get("x: a\r\n folded"),
        get("x: a\r\n\tfolded"),
        get(" x: a"),
        get("x: a\0b"),
        get("x: a\rb: c"),
        get("x\0y: a"),
        get("no colon"),
        get(": no name"),
        b"GET /a HTTP/1.1\rhost: t\r\r".to_vec(),
        b"GET /a\0b HTTP/1.1\r\nhost: t\r\n\r\n".to_vec(),
        b"GET  /a HTTP/1.1\r\nhost: t\r\n\r\n".to_vec(),
        b"GET /a HTTP/1.1 x\r\nhost: t\r\n\r\n".to_vec(),
        b"GET /a HTTP/2.0\r\nhost: t\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(),
    ]
}

/// What the parser lets through, and no route is to see; with the status of its answer.
pub(crate) fn unrouted() -> Vec<(Vec<u8>, u16)> {
    let lines = [
        "CONNECT a:80 HTTP/1.1\r\nhost: a",
        "CONNECT a:80 HTTP/1.0",
        "GET a:80 HTTP/1.1\r\nhost: a",
        "GET a HTTP/1.1\r\nhost: a",
        "POST a:80 HTTP/1.1\r\nhost: a\r\ncontent-length: 0",
        "OPTIONS a:80 HTTP/1.1\r\nhost: a",
        "HEAD user@a:80 HTTP/1.0",
        "GET * HTTP/1.1\r\nhost: a",
        "GET / HTTP/1.1",
        "POST /buy HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: 0",
        "GET http://a/ HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: a",
        "GET / HTTP/1.1\r\nhost: a\r\nx: y\r\nHost: b",
        "GET / HTTP/1.0\r\nhost: a\r\nhost: b",
        "GET / HTTP/1.1\r\nhost: a b",
        "GET / HTTP/1.1\r\nhost: a/b",
        "GET / HTTP/1.0\r\nhost: user@a",
        "GET / HTTP/1.1\r\nhost: a:b",
        "GET / HTTP/1.1\r\nhost: \u{fc}",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, chunked",
    ];
    let bad = lines.map(|head| (format!("{head}\r\n\r\n").into_bytes(), 400));
    let general = b"OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n".to_vec();
    bad.into_iter().chain([(general, 204)]).collect()
}

/// Whether the first answer in this text is such a one: with an id, and as a problem if it refuses.
pub(crate) fn is_the_servers_own(text: &str, status: u16) -> Result<(), String> {
    let (head, body) = text
        .split_once("\r\n\r\n")
        .ok_or_else(|| format!("no answer: {text:?}"))?;
    let says = |what: &str| match head.to_lowercase().contains(what) {
        true => Ok(()),
        false => Err(format!("no {what:?} in {head:?}")),
    };
    let line = head.lines().next().unwrap_or_default();
    if line.split(' ').nth(1) != Some(&status.to_string()) {
        return Err(format!("{line:?} is no {status}"));
    }
    says("\r\nx-request-id: ")?;
    if status == 204 {
        return Ok(());
    }
    says("\r\ncontent-type: application/problem+json")?;
    if !line.starts_with("HTTP/1.0") {
        says("\r\nconnection: close")?;
    }
    match text.matches("HTTP/1.").count() {
        1 => Ok(()),
        _ => Err(format!("what followed was answered, too: {body:?}")),
    }
}
