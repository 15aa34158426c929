//! Pages of other origins: they may read every answer, whoever makes it.

use std::time::Duration;

use host::serve::Limits;
use host::web::cors::Cors;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Running, start, start_for, within};
use crate::shapes;

const ORIGIN: &str = "https://shop.example";

/// All that is said to this head, with an origin in it, until the connection ends.
async fn told(server: &Running, head: &[u8]) -> String {
    let lines = String::from_utf8(head.to_vec()).expect("text");
    let (line, rest) = lines.split_once("\r\n").expect("a line");
    let request = format!("{line}\r\norigin: {ORIGIN}\r\nconnection: close\r\n{rest}");
    let mut stream = TcpStream::connect(server.addr)
        .await
        .expect("the port is open");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("it is read");
    let mut text = String::new();
    within(stream.read_to_string(&mut text))
        .await
        .expect("text");
    text.to_lowercase()
}

/// Answers of the routes, of the server itself, and in the place of a route that panicked.
fn asked() -> Vec<(Vec<u8>, u16)> {
    let routed = [("/", 200), ("/panic", 500)].map(|(path, status)| {
        let head = format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n");
        (head.into_bytes(), status)
    });
    let own = shapes::unrouted().into_iter();
    own.chain(routed).collect()
}

#[tokio::test]
async fn a_page_may_read_every_answer_that_the_server_makes_itself() {
    let origins = Cors::parse(ORIGIN).expect("an origin");
    let server = start_for(Some(origins), Limits::default(), Duration::from_secs(5));
    for (head, status) in asked() {
        let text = told(&server, &head).await;
        assert!(text.contains(&format!(" {status} ")), "{status}: {text}");
        for header in [
            "access-control-allow-origin: https://shop.example\r\n",
            "access-control-expose-headers: ",
            "vary: origin\r\n",
        ] {
            assert_eq!(text.matches(header).count(), 1, "{header} in {text}");
        }
    }
    server.stop.cancel();
}

#[tokio::test]
async fn without_origins_no_answer_speaks_of_them() {
    let server = start(Limits::default(), Duration::from_secs(5));
    for (head, _) in asked() {
        let text = told(&server, &head).await;
        assert!(
            !text.contains("access-control-") && !text.contains("vary"),
            "{text}"
        );
    }
    server.stop.cancel();
}
