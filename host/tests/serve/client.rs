//! A server with a few routes, and a client that sees every byte.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use host::serve::{Limits, Received, ServeReport, Server, Unread};
use host::web::cors::Cors;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Sleep, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// `/slow/N` answers after N milliseconds, `/read` after the body's end (408 where it does not come whole in time),
/// `/big` with 64 MiB, `/pieces` with 8 MiB and the rest three seconds later, `/panic` panics.
/// Counts the requests that were begun, so that a test can wait for them.
#[derive(Clone, Default)]
pub(crate) struct Routes(pub(crate) Arc<watch::Sender<usize>>);

impl tower_service::Service<Request<Received>> for Routes {
    type Response = Response<Pieces>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Received>) -> Self::Future {
        let path = request.uri().path().to_owned();
        self.0.send_modify(|begun| *begun += 1);
        Box::pin(async move {
            if let Some(millis) = path.strip_prefix("/slow/") {
                sleep(Duration::from_millis(millis.parse().expect("a number"))).await;
            }
            let mut status = StatusCode::OK;
            if path == "/read" {
                match request.into_body().collect().await {
                    Err(Unread::Late) => status = StatusCode::REQUEST_TIMEOUT,
                    read => drop(read.expect("a whole body")),
                }
            }
            assert!(path != "/panic", "this route panics");
            let size = if path == "/big" { 64 << 20 } else { 5 };
            let mut pieces = Pieces::from(Bytes::from(vec![b'x'; size]));
            if path == "/pieces" {
                pieces.left.push_front(vec![b'x'; 8 << 20].into());
            }
            let mut response = Response::new(pieces);
            *response.status_mut() = status;
            Ok(response)
        })
    }
}

/// A body in pieces, three seconds apart.
pub(crate) struct Pieces {
    left: VecDeque<Bytes>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl From<Bytes> for Pieces {
    fn from(piece: Bytes) -> Self {
        let left = VecDeque::from([piece]);
        Self { left, pause: None }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
        }
        self.pause = Some(Box::pin(sleep(Duration::from_secs(3))));
        Poll::Ready(self.left.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.iter().map(|piece| piece.len() as u64).sum())
    }
}

pub(crate) struct Running {
    pub(crate) begun: watch::Receiver<usize>,
    pub(crate) addr: std::net::SocketAddr,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<ServeReport>,
}

pub(crate) fn start(limits: Limits, deadline: Duration) -> Running {
    start_for(None, limits, deadline)
}

pub(crate) fn start_for(cors: Option<Cors>, limits: Limits, deadline: Duration) -> Running {
    let server = Server::bind(
        "test",
        "127.0.0.1:0".parse().expect("an address"),
        "TEST_ADDR",
        limits,
    );
    let server = server.expect("a free port").cors(cors);
    let (addr, stop) = (server.local_addr(), CancellationToken::new());
    let routes = Routes::default();
    Running {
        begun: routes.0.subscribe(),
        addr,
        stop: stop.clone(),
        task: tokio::spawn(server.run(routes, stop, deadline)),
    }
}

impl Running {
    pub(crate) async fn has_begun(&mut self, requests: usize) {
        within(self.begun.wait_for(|begun| *begun >= requests))
            .await
            .expect("the server runs");
    }
}

pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n").into_bytes()
}

/// One answer of the five-byte kind, head and body.
pub(crate) async fn answer(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"xxxxx") {
        let mut byte = [0];
        match stream.read(&mut byte).await {
            Ok(1) => text.push(byte[0]),
            other => panic!("{other:?} after {:?}", String::from_utf8_lossy(&text)),
        }
    }
    String::from_utf8(text).expect("text")
}

pub(crate) async fn asked(stream: &mut TcpStream, path: &str) -> String {
    stream
        .write_all(&get(path))
        .await
        .expect("the server reads");
    answer(stream).await
}

/// Waits until the server closes, whether politely or by a reset.
pub(crate) async fn closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let end = stream.read_to_end(&mut rest).await;
    assert!(
        end.is_err() || rest.is_empty(),
        "{:?}",
        String::from_utf8_lossy(&rest)
    );
}

pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(10), what)
        .await
        .expect("within ten seconds")
}
