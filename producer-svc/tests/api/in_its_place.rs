//! Something in the place of consumer-svc: that it answers does not mean that consumer-svc does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::history::{Upstream, response, shop_on, upstream};
use super::log_lines::LogLines;
use super::shop::Shop;

/// How something else answers, and what is made of a history that it was asked for.
const OTHERS: [(u16, &str, u16); 3] = [
    // A proxy with nobody behind it.
    (503, "text/plain", 503),
    // Another address.
    (404, "text/html", 502),
    // A web page for whatever is asked.
    (200, "text/html", 502),
];

#[derive(Clone, Default)]
struct Place {
    /// Whether consumer-svc is there, and nothing else.
    right: Arc<AtomicBool>,
    probes: Arc<AtomicUsize>,
}

impl Place {
    async fn open(&self, (status, kind, _): (u16, &'static str, u16)) -> Upstream {
        let Self { right, probes } = self.clone();
        upstream(move |_, asked, _| {
            if asked.starts_with("/base/health") {
                probes.fetch_add(1, Ordering::Relaxed);
            }
            if right.load(Ordering::Relaxed) {
                response(
                    200,
                    &[("content-type", "application/json")],
                    "{}".to_owned(),
                )
            } else {
                response(status, &[("content-type", kind)], "nginx".to_owned())
            }
        })
        .await
    }
}

async fn is_reachable(shop: &Shop) -> bool {
    let health = shop.get("/health").await.json();
    health["customer_management_api_reachable"] == true
}

#[tokio::test]
async fn what_was_never_consumer_svc_is_not_taken_for_it() {
    for other in OTHERS {
        let (lines, _listening) = LogLines::listen();
        let place = Place::default();
        let upstream = place.open(other).await;
        let shop = shop_on(&upstream, &[]).await;
        shop.until("it was looked for twice and asked", || async {
            let answer = shop.get("/purchases/u1").await;
            assert_eq!(answer.status.as_u16(), other.2, "{other:?}");
            assert!(!is_reachable(&shop).await, "{other:?}");
            place.probes.load(Ordering::Relaxed) > 2
        })
        .await;
        let said = lines.with("CUSTOMER_MANAGEMENT_API_URL");
        assert_eq!(said.len(), 1, "{said:?}");
        let why = format!("is not what answers /base/health: {}", other.0);
        assert!(said[0].contains(&why), "{said:?}");
        shop.close().await.unwrap();
    }
}

#[tokio::test]
async fn what_takes_the_place_of_consumer_svc_is_found_out_by_who_asks() {
    for other in OTHERS {
        let (lines, _listening) = LogLines::listen();
        let place = Place::default();
        place.right.store(true, Ordering::Relaxed);
        let upstream = place.open(other).await;
        let shop = shop_on(&upstream, &[]).await;
        shop.until("it is reached", || is_reachable(&shop)).await;
        assert_eq!(shop.get("/purchases/u1").await.status, 200);

        place.right.store(false, Ordering::Relaxed);
        let answer = shop.get("/purchases/u1").await;
        assert_eq!(answer.status.as_u16(), other.2, "{other:?}");
        shop.until("that is found out", || async { !is_reachable(&shop).await })
            .await;
        // More of the same does not bring it back, nor is it said again.
        for _ in 0..10 {
            shop.get("/purchases/u1").await;
            assert!(!is_reachable(&shop).await, "{other:?}");
        }
        let said = lines.with("CUSTOMER_MANAGEMENT_API_URL");
        assert_eq!(said.len(), 1, "{said:?}");

        place.right.store(true, Ordering::Relaxed);
        shop.until("it is back", || is_reachable(&shop)).await;
        shop.close().await.unwrap();
    }
}
