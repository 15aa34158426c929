//! One question over HTTP: is it ready? In: a port and a path; out: the status code, if any. It
//! must not become a client.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::ANSWER_PATIENCE;

/// The status that a GET on 127.0.0.1 is answered with; `None` without an answer in time.
pub(super) async fn status(port: u16, path: &str) -> Option<u16> {
    let ask = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut line = [0; 12];
        stream.read_exact(&mut line).await.ok()?;
        std::str::from_utf8(&line)
            .ok()?
            .strip_prefix("HTTP/1.1 ")?
            .parse()
            .ok()
    };
    tokio::time::timeout(ANSWER_PATIENCE, ask)
        .await
        .ok()
        .flatten()
}
