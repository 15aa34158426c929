//! A small HTTP/1.1 client: one connection, kept alive, one request at a time.
//!
//! In: requests. Out: whole answers, or exactly how far the request came, because a proof must
//! know whether a server can have seen it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Longer than any limit of the services: who waits this long waits in vain.
const PATIENCE: Duration = Duration::from_secs(60);

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body, to its end.
    pub body: Bytes,
}

impl Answer {
    /// A header's text; empty without.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!(
                "{} answered no JSON ({error}): {}",
                self.status,
                self.text()
            )
        })
    }

    /// Whether the server closes the connection behind this answer.
    pub fn closes(&self) -> bool {
        self.header(header::CONNECTION.as_str())
            .eq_ignore_ascii_case("close")
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// Nobody listens.
    NotConnected(String),
    /// The connection was closed before a byte of the request was written.
    NotSent(String),
    /// The request was written, wholly or in part, and no whole answer came.
    Silence(String),
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    authority: String,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// [`Unanswered::NotConnected`].
    pub async fn open(addr: SocketAddr) -> Result<Self, Unanswered> {
        let refused = |error: &dyn std::fmt::Display| Unanswered::NotConnected(error.to_string());
        let stream = TcpStream::connect(addr)
            .await
            .map_err(|error| refused(&error))?;
        stream.set_nodelay(true).map_err(|error| refused(&error))?;
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| refused(&error))?;
        // Its error is told to whoever waits for an answer.
        drop(tokio::spawn(connection));
        Ok(Self {
            sender,
            authority: addr.to_string(),
        })
    }

    /// Sends a request and waits for the whole answer.
    ///
    /// # Errors
    /// [`Unanswered::NotSent`] or [`Unanswered::Silence`].
    pub async fn send(&mut self, mut request: Request<Full<Bytes>>) -> Result<Answer, Unanswered> {
        let host = self
            .authority
            .parse()
            .expect("an address is a header value");
        request.headers_mut().insert(header::HOST, host);
        let sender = &mut self.sender;
        let exchange = async {
            if let Err(error) = sender.ready().await {
                return Err(Unanswered::NotSent(error.to_string()));
            }
            let (head, body) = match sender.try_send_request(request).await {
                Ok(answer) => answer.into_parts(),
                Err(mut error) => {
                    let never_written = error.take_message().is_some();
                    let why = error.into_error().to_string();
                    return Err(if never_written {
                        Unanswered::NotSent(why)
                    } else {
                        Unanswered::Silence(why)
                    });
                }
            };
            let body = body
                .collect()
                .await
                .map_err(|error| Unanswered::Silence(error.to_string()))?;
            Ok(Answer {
                status: head.status.as_u16(),
                headers: head.headers,
                body: body.to_bytes(),
            })
        };
        match tokio::time::timeout(PATIENCE, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Unanswered::Silence(format!(
                "no answer within {PATIENCE:?}"
            ))),
        }
    }
}

impl Connection {
    /// The rest of the first line of an answer, whole or not, that begins so. For streams.
    ///
    /// # Errors
    /// As [`Connection::send`]; `None` if the answer ends without such a line.
    pub async fn first_line(
        &mut self,
        mut request: Request<Full<Bytes>>,
        beginning: &str,
    ) -> Result<Option<String>, Unanswered> {
        let host = self
            .authority
            .parse()
            .expect("an address is a header value");
        request.headers_mut().insert(header::HOST, host);
        let silent = |error: hyper::Error| Unanswered::Silence(error.to_string());
        let read = async {
            let answer = self.sender.send_request(request).await.map_err(silent)?;
            let (mut body, mut text) = (answer.into_body(), Vec::new());
            while let Some(frame) = body.frame().await {
                text.extend(frame.map_err(silent)?.into_data().unwrap_or_default());
                // Only whole lines are looked at.
                let whole = text.iter().rposition(|&b| b == b'\n').unwrap_or_default();
                let lines = String::from_utf8_lossy(&text[..whole]);
                if let Some(rest) = lines.lines().find_map(|line| line.strip_prefix(beginning)) {
                    return Ok(Some(rest.to_owned()));
                }
            }
            Ok(None)
        };
        match tokio::time::timeout(PATIENCE, read).await {
            Ok(found) => found,
            Err(_) => Err(Unanswered::Silence(format!("no line within {PATIENCE:?}"))),
        }
    }
}

/// Asks once, on a connection of its own.
///
/// # Errors
/// As [`Connection`].
pub async fn get(addr: SocketAddr, path: &str) -> Result<Answer, Unanswered> {
    let request = Request::get(path)
        .body(Full::default())
        .expect("a path of the proofs is valid");
    Connection::open(addr).await?.send(request).await
}

/// Posts once, on a connection of its own.
///
/// # Errors
/// As [`Connection`].
pub async fn post(
    addr: SocketAddr,
    path: &str,
    json: &serde_json::Value,
) -> Result<Answer, Unanswered> {
    let request = Request::post(path)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(json.to_string())))
        .expect("a path of the proofs is valid");
    Connection::open(addr).await?.send(request).await
}
