//! Parsers for the values of variables.
//!
//! In: the trimmed text. Out: the value, or what is wrong and what would be
//! right, as the end of a sentence that begins with the value.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

/// A whole number with its unit: `250ms`, `30s`, `5m`, `1h`. A bare number is
/// refused, because half of its readers would take it for another unit.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "is not a duration with a unit, such as 250ms, 30s, 5m or 1h".to_owned();
    let (number, unit) = split_unit(text).ok_or_else(wrong)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    number
        .checked_mul(millis)
        .map(Duration::from_millis)
        .ok_or_else(|| "is too long a duration".to_owned())
}

/// A size: `65536`, `64KiB`, `16MiB`, `1GiB`.
pub fn bytes(text: &str) -> Result<usize, String> {
    let wrong = || "is not a size such as 65536, 64KiB, 16MiB or 1GiB".to_owned();
    let (number, unit) = split_unit(text).ok_or_else(wrong)?;
    let shift = match unit {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err(wrong()),
    };
    let size = number
        .checked_mul(1 << shift)
        .and_then(|size| usize::try_from(size).ok());
    size.ok_or_else(|| "is too large a size".to_owned())
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit))
}

/// A whole number from 1 up.
pub fn count(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|&n| n > 0)
        .ok_or_else(|| "is not a whole number from 1 up".to_owned())
}

/// A whole number within limits.
pub fn count_in(limits: RangeInclusive<usize>) -> impl FnOnce(&str) -> Result<usize, String> {
    move |text| {
        let wrong = || {
            format!(
                "is not a whole number from {} to {}",
                limits.start(),
                limits.end()
            )
        };
        text.parse()
            .ok()
            .filter(|n| limits.contains(n))
            .ok_or_else(wrong)
    }
}

/// An address to listen on.
pub fn socket_addr(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "is not an IP address with a port, such as 0.0.0.0:8000 or [::]:8000".to_owned()
    })
}

/// The path of a file with certificates.
pub fn certificates(path: &str) -> Result<String, String> {
    pem(path, "CERTIFICATE-----", "a certificate")
}

/// The path of a file with a private key.
pub fn private_key(path: &str) -> Result<String, String> {
    pem(path, "PRIVATE KEY-----", "a private key")
}

/// Whoever needs the file would say the same later, but not by the variable's name.
fn pem(path: &str, mark: &str, what: &str) -> Result<String, String> {
    let text = std::fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    match String::from_utf8_lossy(&text).contains(mark) {
        true => Ok(path.to_owned()),
        false => Err(format!("does not hold {what} in PEM form")),
    }
}

/// The address of an HTTP service, without a query.
pub fn http_url(text: &str) -> Result<http::Uri, String> {
    let wrong = || "is not an address such as http://consumer-svc:8001".to_owned();
    let uri: http::Uri = text.parse().map_err(|_| wrong())?;
    let scheme = matches!(uri.scheme_str(), Some("http" | "https"));
    let host = uri
        .authority()
        .is_some_and(|authority| !authority.host().is_empty());
    if !scheme || !host || uri.query().is_some() {
        return Err(wrong());
    }
    if uri
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'))
    {
        return Err("holds a user or password, which is not supported here".to_owned());
    }
    Ok(uri)
}

/// `true` or `false`, also written `1` or `0`.
pub fn flag(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err("is neither true nor false".to_owned()),
    }
}

/// Any text without control characters.
pub fn text(text: &str) -> Result<String, String> {
    match text.chars().any(char::is_control) {
        true => Err("contains a control character".to_owned()),
        false => Ok(text.to_owned()),
    }
}
