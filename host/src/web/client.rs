//! Who a client is: the address that its limit is counted by.
//!
//! In: the peer's address and, only where an operator said so, a header that proxies append to.
//! Out: one address. The rule of trust: without `TRUSTED_PROXY_HEADER` no header is looked at. With
//! it, the header is a list to which each of `TRUSTED_PROXY_HOPS` proxies has appended the address
//! that it saw; the client is the entry that the outermost of them appended, the last but (hops - 1).
//! What stands further left was sent by the client itself and is never believed. Where that entry
//! is missing or no address, the request did not come through those proxies, and its peer counts.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::{HeaderMap, HeaderName};

use crate::env::{Reader, Var, count_in};

/// What can be told.
pub const VARS: &[Var] = &[
    Var::optional(
        "TRUSTED_PROXY_HEADER",
        "header in which proxies append the address they saw, such as X-Forwarded-For; without it a client is its peer's \
         address. Set it only if every request comes through these proxies: whoever else reaches the port could write it himself",
    ),
    Var::with_default(
        "TRUSTED_PROXY_HOPS",
        "1",
        "proxies that append to TRUSTED_PROXY_HEADER: the client is this entry, counted from the end of the list",
    ),
];

/// Most proxies in a row that make sense.
const MAX_HOPS: usize = 16;

/// The header that is believed, and from where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedHeader {
    name: HeaderName,
    hops: usize,
}

impl TrustedHeader {
    /// This header, to which so many proxies append. `hops` counts from 1.
    pub fn new(name: HeaderName, hops: usize) -> Self {
        let hops = hops.max(1);
        Self { name, hops }
    }

    /// Reads [`VARS`]; `None` if the reader noted errors.
    pub fn read(reader: &mut Reader<'_>) -> Option<Option<Self>> {
        let name = reader.optional("TRUSTED_PROXY_HEADER", |text| {
            let name: HeaderName = text.parse().map_err(|_| "is not the name of a header")?;
            match name.as_str() {
                "forwarded" => Err("has another form than a list of addresses and is not read"),
                _ => Ok(name),
            }
        });
        let hops = reader.get("TRUSTED_PROXY_HOPS", count_in(1..=MAX_HOPS));
        let (name, hops) = (name?, hops?);
        Some(name.map(|name| Self::new(name, hops)))
    }

    /// The client behind this peer.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut skip = self.hops - 1;
        // Several lines are one list, in their order.
        for line in headers.get_all(&self.name).iter().rev() {
            let Ok(line) = line.to_str() else {
                return peer;
            };
            for entry in line.rsplit(',') {
                if skip == 0 {
                    return address(entry.trim()).unwrap_or(peer);
                }
                skip -= 1;
            }
        }
        peer
    }
}

/// An address, also with a port, as some proxies write it.
fn address(text: &str) -> Option<IpAddr> {
    let bracketed = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let bare = bracketed.unwrap_or(text).parse().ok();
    bare.or_else(|| {
        text.parse()
            .ok()
            .map(|with_port: SocketAddr| with_port.ip())
    })
}

/// What stands for a client in a book of clients: of IPv6 the network, because one customer has a
/// whole /64 to himself and could be anyone in it.
pub fn key(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "10.0.0.1";

    fn client(hops: usize, lines: &[&str]) -> String {
        let name = HeaderName::from_static("x-forwarded-for");
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(&name, line.parse().unwrap());
        }
        let trusted = TrustedHeader::new(name, hops);
        trusted.client(PEER.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn the_entry_of_the_outermost_proxy_is_the_client() {
        assert_eq!(client(1, &["192.0.2.7"]), "192.0.2.7");
        assert_eq!(client(2, &["192.0.2.7, 10.1.1.1"]), "192.0.2.7");
        assert_eq!(client(1, &["2001:db8::7"]), "2001:db8::7");
    }

    #[test]
    fn what_the_client_wrote_itself_is_not_believed() {
        assert_eq!(client(1, &["6.6.6.6, 192.0.2.7"]), "192.0.2.7");
        assert_eq!(client(1, &["6.6.6.6", "192.0.2.7"]), "192.0.2.7");
        assert_eq!(client(2, &["6.6.6.6,192.0.2.7", "10.1.1.1"]), "192.0.2.7");
    }

    #[test]
    fn a_request_that_did_not_come_through_the_proxies_counts_for_its_peer() {
        for lines in [&[][..], &[""], &["unknown"], &["192.0.2.7, nobody"]] {
            assert_eq!(client(1, lines), PEER, "{lines:?}");
        }
        assert_eq!(client(3, &["192.0.2.7, 10.1.1.1"]), PEER);
    }

    #[test]
    fn ports_are_left_out() {
        assert_eq!(client(1, &["192.0.2.7:4711"]), "192.0.2.7");
        assert_eq!(client(1, &["[2001:db8::7]:4711"]), "2001:db8::7");
        assert_eq!(client(1, &["[2001:db8::7]"]), "2001:db8::7");
    }

    #[test]
    fn one_network_of_ipv6_is_one_client_and_mapped_ipv4_is_ipv4() {
        let key = |text: &str| key(text.parse().unwrap()).to_string();
        assert_eq!(key("2001:db8:1:2:3:4:5:6"), key("2001:db8:1:2:ffff::1"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:192.0.2.7"), "192.0.2.7");
    }
}
