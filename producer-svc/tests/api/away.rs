//! A management service that is away for longer: it costs who asks little, and is asked in full once it is back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::task::AbortOnDropHandle;

use super::shop::Shop;

/// Takes connections, and answers what is asked while it is told to.
fn serve(listener: TcpListener, answers: &Arc<AtomicBool>) -> AbortOnDropHandle<()> {
    let answers = Arc::clone(answers);
    AbortOnDropHandle::new(tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let answers = Arc::clone(&answers);
            tokio::spawn(async move {
                let mut head = [0; 4096];
                while matches!(connection.read(&mut head).await, Ok(1..)) {
                    if answers.load(Ordering::Relaxed) {
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                                       content-length: 2\r\n\r\n{}";
                        connection.write_all(answer).await.unwrap();
                    }
                }
            });
        }
    }))
}

/// Asks for a history; its status, and how long that took.
async fn asked(shop: &Shop) -> (u16, Duration) {
    let since = Instant::now();
    let answer = shop.get("/purchases/u1").await;
    (answer.status.as_u16(), since.elapsed())
}

#[tokio::test]
async fn who_asks_while_consumer_svc_is_away_waits_a_second_and_then_again_in_full() {
    // Bound and not listening: it refuses connections, and nobody else gets the port.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let timeout = Duration::from_secs(4);
    let shop = Shop::open(&[
        ("CUSTOMER_MANAGEMENT_API_URL", url.as_str()),
        ("HISTORY_TIMEOUT", "4s"),
    ])
    .await;
    // Each is followed by a probe, which fails as fast.
    for _ in 0..20 {
        assert_eq!(asked(&shop).await.0, 503);
    }
    let answers = Arc::new(AtomicBool::new(false));
    let _serving = serve(socket.listen(16).unwrap(), &answers);
    let (status, took) = asked(&shop).await;
    assert_eq!(status, 503);
    assert!(took < timeout / 2, "{took:?}");

    answers.store(true, Ordering::Relaxed);
    shop.until("it is back", || async { asked(&shop).await.0 == 200 })
        .await;
    // Slow is not away.
    answers.store(false, Ordering::Relaxed);
    let (status, took) = asked(&shop).await;
    assert_eq!(status, 503);
    assert!(took >= timeout, "{took:?}");
    shop.shutdown.cancel();
}
