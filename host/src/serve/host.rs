//! What the `Host` header may say: `uri-host [ ":" port ]` of RFC 3986.
//!
//! In: its bytes. Out: whether they are that. Pure, and a look into a table for each of them, because every
//! request has one.

use std::net::Ipv6Addr;

/// Bytes of a name that stand for themselves: unreserved ones and sub-delimiters.
const PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"-._~!$&'()*+,;=";
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
};

/// Whether it names a host. An empty one does: that is what a client sends whose target has none.
pub(super) fn is_host(value: &[u8]) -> bool {
    if let Some(rest) = value.strip_prefix(b"[") {
        return is_literal(rest);
    }
    let mut at = 0;
    while let Some(&byte) = value.get(at) {
        if PLAIN[usize::from(byte)] {
            at += 1;
        } else if byte == b':' {
            return is_port(&value[at + 1..]);
        } else if byte == b'%' && value.get(at + 1..at + 3).is_some_and(are_hex) {
            at += 3;
        } else {
            return false;
        }
    }
    true
}

fn are_hex(digits: &[u8]) -> bool {
    digits.iter().all(u8::is_ascii_hexdigit)
}

/// A port may be left out behind its colon.
fn is_port(digits: &[u8]) -> bool {
    digits.iter().all(u8::is_ascii_digit)
}

/// An address in brackets, the first of which is taken off.
fn is_literal(rest: &[u8]) -> bool {
    let Some(end) = rest.iter().position(|byte| *byte == b']') else {
        return false;
    };
    let (address, port) = (&rest[..end], &rest[end + 1..]);
    let port = port.is_empty() || port.strip_prefix(b":").is_some_and(is_port);
    let sixth = std::str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok());
    port && (sixth || is_of_the_future(address))
}

/// `v1.something`: versions of addresses that may come.
fn is_of_the_future(address: &[u8]) -> bool {
    let Some(rest) = address.strip_prefix(b"v").or(address.strip_prefix(b"V")) else {
        return false;
    };
    let Some(dot) = rest.iter().position(|byte| *byte == b'.') else {
        return false;
    };
    let (version, address) = (&rest[..dot], &rest[dot + 1..]);
    let allowed = |byte: &u8| PLAIN[usize::from(*byte)] || *byte == b':';
    let (some, whole) = (!version.is_empty(), !address.is_empty());
    some && whole && are_hex(version) && address.iter().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_and_addresses_with_a_port_or_without() {
        for host in [
            "shop.example",
            "shop.example:8000",
            "a_b",
            "localhost:",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:8000",
            "[fe80::1]:",
            "[v1.a:b]",
            "",
            ":80",
            "m%C3%BCnchen.example",
            "a,b",
        ] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn what_is_no_host_is_seen() {
        for none in [
            "a b",
            "a/b",
            "user@a",
            "a:8o",
            "a:80:90",
            "::1",
            "[::1",
            "[::1]80",
            "[::1]:x",
            "[]",
            "[a]",
            "[v.a]",
            "[v1]",
            "a?b",
            "a#b",
            "a\\b",
            "<a>",
            "a%2",
            "a%zz",
            "\"a\"",
            "m\u{fc}nchen",
            "[fe80::1%25eth0]",
        ] {
            assert!(!is_host(none.as_bytes()), "{none}");
        }
        assert!(!is_host(b"a\xFFb"));
    }
}
