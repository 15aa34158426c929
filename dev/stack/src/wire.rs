//! The few words of both wire protocols that readiness and topics need. In: an address; out: what
//! the server said. It must not grow into a client: no retries, no pooling, no security.

pub(crate) mod kafka;
pub(crate) mod mongo;

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longer than any answer of a healthy server on this machine takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Nothing we ask for has an answer this large; a length beyond it is another protocol.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// Whether anybody listens there.
pub(crate) async fn listens(address: &str) -> Result<(), String> {
    let connecting = TcpStream::connect(address);
    match tokio::time::timeout(Duration::from_secs(5), connecting).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no connection within 5 s".to_owned()),
    }
}

/// Sends one request on a connection of its own and reads one answer: a length, then that much.
/// `length` turns the four bytes of the length field into the bytes that follow it.
async fn exchange(
    address: &str,
    request: &[u8],
    length: fn([u8; 4]) -> i64,
) -> Result<Vec<u8>, String> {
    let talk = async {
        let mut stream = TcpStream::connect(address)
            .await
            .map_err(|e| format!("connecting: {e}"))?;
        stream
            .write_all(request)
            .await
            .map_err(|e| format!("sending: {e}"))?;
        let mut head = [0; 4];
        stream
            .read_exact(&mut head)
            .await
            .map_err(|e| format!("reading: {e}"))?;
        let size = usize::try_from(length(head))
            .ok()
            .filter(|size| *size <= MAX_ANSWER);
        let mut body = vec![0; size.ok_or("the answer is not of this protocol")?];
        stream
            .read_exact(&mut body)
            .await
            .map_err(|e| format!("reading: {e}"))?;
        Ok(body)
    };
    tokio::time::timeout(PATIENCE, talk)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")))
}
