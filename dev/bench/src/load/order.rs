//! The requests of one connection, made before the clock runs. In: the connection's number; out:
//! bytes. Several users each, so that every partition gets its share whatever the hash.

use std::net::SocketAddr;

/// Requests that a connection repeats.
const USERS: usize = 16;

/// The requests of connection `number`.
pub(super) fn of_connection(addr: SocketAddr, number: usize) -> Vec<Vec<u8>> {
    (0..USERS)
        .map(|user| request(addr, &format!("user_{:05}", number * USERS + user)))
        .collect()
}

/// One purchase of this user.
pub(crate) fn request(addr: SocketAddr, user_id: &str) -> Vec<u8> {
    let body = format!(r#"{{"username":"customer {user_id}","user_id":"{user_id}"}}"#);
    let length = body.len();
    format!(
        "POST /buy HTTP/1.1\r\nHost: {addr}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::of_connection;

    #[test]
    fn connections_share_no_user_and_lengths_are_true() {
        let addr = "127.0.0.1:8000".parse().unwrap();
        let (one, other) = (of_connection(addr, 0), of_connection(addr, 1));
        assert!(one.iter().all(|request| !other.contains(request)));
        let text = String::from_utf8(one[0].clone()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())));
    }
}
