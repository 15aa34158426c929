//! The routes against a store that answers from a script.

use std::sync::Mutex;

use purchases::{Cents, PurchaseId};
use serde_json::Value;

use super::*;
use crate::board::{Board, Figures, Posted};

struct Script {
    answer: Result<Option<()>, StoreError>,
    asked: Mutex<Vec<(String, PageRequest)>>,
}

impl HistoryStore for Script {
    async fn history(
        &self,
        user: &UserId,
        page: &PageRequest,
    ) -> Result<Option<History>, StoreError> {
        self.asked
            .lock()
            .unwrap()
            .push((user.as_str().to_owned(), *page));
        let moment = Timestamp::from_millis(0).unwrap();
        let history = || History {
            user_id: user.as_str().to_owned(),
            username: "john".into(),
            total_purchases: 3,
            total_spent: Cents::new(114_997).unwrap(),
            average_price: Cents::new(38_332).unwrap(),
            first_purchase_at: moment,
            last_purchase_at: moment,
            items: vec![],
            purchases: vec![],
            next_cursor: Some("abc".into()),
        };
        self.answer.clone().map(|found| found.map(|()| history()))
    }
}

fn api(answer: Result<Option<()>, StoreError>) -> Arc<Api<Script>> {
    Arc::new(Api {
        store: Script {
            answer,
            asked: Mutex::default(),
        },
        credits: Credits::new("queries", Cost { count: 1, bytes: 1 }),
        health: Health::default(),
        ids: Ids::new().unwrap(),
        tracer: Tracer::off(),
        stats: StatsApi {
            board: Board::new(Arc::new(nobody_there)),
            streams: Credits::new("streams", Cost { count: 2, bytes: 2 }),
            wait: Duration::from_secs(5),
        },
        docs: Docs::new(&crate::query::openapi::document("1.2.3")),
        version: "1.2.3",
    })
}

/// The board has no writer in these tests.
fn nobody_there() -> bool {
    false
}

fn all_routes(api: &Arc<Api<Script>>) -> BoxedFilter<(Response,)> {
    routes(Arc::clone(api), CancellationToken::new())
}

async fn get(api: &Arc<Api<Script>>, path: &str) -> (u16, HeaderMap, Value) {
    let response = warp::test::request()
        .path(path)
        .reply(&all_routes(api))
        .await;
    let body = serde_json::from_slice(response.body()).unwrap();
    (response.status().as_u16(), response.headers().clone(), body)
}

#[tokio::test]
async fn a_history_is_served_with_exact_money_and_a_link_to_the_next_page() {
    let api = api(Ok(Some(())));
    let (status, headers, body) = get(&api, "/purchases/user%20%C3%A9?limit=7").await;
    assert_eq!(status, 200);
    assert_eq!(body["total_spent"].to_string(), "1149.97");
    assert_eq!(headers["link"], "<?limit=7&cursor=abc>; rel=\"next\"");
    assert_eq!(
        *api.store.asked.lock().unwrap(),
        vec![(
            "user é".to_owned(),
            PageRequest {
                limit: 7,
                after: None
            }
        )]
    );
}

#[tokio::test]
async fn an_unknown_user_is_404_and_an_outage_is_503_and_never_the_other() {
    let (status, _, body) = get(&api(Ok(None)), "/purchases/u1").await;
    assert_eq!(
        (status, body["retryable"].clone()),
        (404, Value::Bool(false))
    );
    assert!(body["detail"].as_str().unwrap().contains("u1"));
    let outage = Err(StoreError::Unavailable("no primary at db-0:27017".into()));
    let (status, headers, body) = get(&api(outage), "/purchases/u1").await;
    assert_eq!(
        (status, body["retryable"].clone()),
        (503, Value::Bool(true))
    );
    assert!(headers.contains_key("retry-after"));
    assert!(
        !body.to_string().contains("db-0"),
        "internals leaked: {body}"
    );
}

#[tokio::test]
async fn every_bad_parameter_is_named_at_once() {
    let path = format!("/purchases/{}?limit=0&cursor=zzz", "x".repeat(101));
    let (status, headers, body) = get(&api(Ok(None)), &path).await;
    assert_eq!(status, 422);
    assert_eq!(headers["content-type"], "application/problem+json");
    let pointers: Vec<_> = body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(pointers, ["/user_id", "/limit", "/cursor"]);
}

#[tokio::test]
async fn a_cursor_goes_to_the_store_as_it_came() {
    let cursor = Cursor {
        timestamp: Timestamp::from_millis(77).unwrap(),
        id: PurchaseId::from_bytes([1; 12]),
    };
    let api = api(Ok(Some(())));
    get(&api, &format!("/purchases/u1?cursor={}", cursor.encode())).await;
    assert_eq!(
        api.store.asked.lock().unwrap()[0].1,
        PageRequest {
            limit: PAGE_DEFAULT,
            after: Some(cursor)
        }
    );
}

#[tokio::test]
async fn more_queries_than_allowed_are_refused_before_the_database_is_asked() {
    let api = api(Ok(Some(())));
    let _held = api.credits.try_take(Cost { count: 1, bytes: 1 }).unwrap();
    let (status, headers, _) = get(&api, "/purchases/u1").await;
    assert_eq!(status, 503);
    assert!(headers.contains_key("retry-after"));
    assert!(api.store.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_wrong_method_is_405_with_allow_and_an_unknown_path_404() {
    let api = api(Ok(None));
    let response = warp::test::request()
        .method("POST")
        .path("/purchases/u1")
        .reply(&all_routes(&api))
        .await;
    assert_eq!(
        (
            response.status().as_u16(),
            response.headers()["allow"].to_str().unwrap()
        ),
        (405, "GET, HEAD, OPTIONS")
    );
    assert_eq!(get(&api, "/nothing").await.0, 404);
    assert_eq!(get(&api, "/purchases").await.0, 404);
}

#[tokio::test]
async fn every_path_tells_its_methods_and_refuses_who_takes_nothing_of_it() {
    let api = api(Ok(None));
    for (template, place) in PATHS.iter() {
        let path = template.replace("{user_id}", "u1");
        let ask = |method, accept| {
            let request = warp::test::request().method(method).path(&path);
            let routes = all_routes(&api);
            async move { request.header("accept", accept).reply(&routes).await }
        };
        let options = ask("OPTIONS", "*/*").await;
        assert_eq!(
            (options.status().as_u16(), &options.headers()["allow"]),
            (204, &HeaderValue::from_static("GET, HEAD, OPTIONS")),
            "{path}"
        );
        let refused = ask("GET", "image/png, */*;q=0").await;
        assert_eq!(refused.status(), 406, "{place:?}");
        assert_eq!(
            refused.headers()["content-type"],
            "application/problem+json"
        );
        if !matches!(place, Place::StatsStream | Place::Stats) {
            assert_ne!(ask("HEAD", "*/*;q=0.1").await.status(), 406, "{place:?}");
        }
    }
}

#[tokio::test]
async fn a_parameter_that_is_there_twice_is_refused() {
    let (status, _, body) = get(&api(Ok(None)), "/purchases/u1?limit=1&x=1&x=2&limit=1").await;
    assert_eq!(
        (status, &body["errors"][0]["pointer"]),
        (422, &Value::from("/limit"))
    );
}

#[tokio::test]
async fn what_is_described_can_be_read_and_is_not_sent_twice() {
    let api = api(Ok(None));
    let (status, headers, document) = get(&api, "/openapi.json").await;
    assert_eq!((status, &document["openapi"]), (200, &Value::from("3.1.0")));
    let again = warp::test::request()
        .path("/openapi.json")
        .header("if-none-match", &headers["etag"])
        .reply(&all_routes(&api))
        .await;
    assert_eq!(again.status(), 304);
    let page = warp::test::request()
        .path("/docs")
        .reply(&all_routes(&api))
        .await;
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
}

#[tokio::test]
async fn health_is_503_until_both_dependencies_were_seen() {
    let (status, headers, body) = get(&api(Ok(None)), "/health").await;
    assert_eq!(
        (status, body["status"].as_str().unwrap()),
        (503, "unhealthy")
    );
    assert_eq!(body["mongodb_connected"], Value::Bool(false));
    assert!(headers.contains_key("retry-after"));
}

#[tokio::test(start_paused = true)]
async fn statistics_are_answered_as_they_are_put_up_and_not_kept_by_anybody() {
    let api = api(Ok(None));
    let json = Bytes::from_static(b"{\"total_purchases\":3}");
    let figures = Arc::new(Figures { id: 7, json });
    let now = tokio::time::Instant::now();
    api.stats.board.post(Posted::Figures(figures, now));
    let (status, headers, body) = get(&api, "/stats").await;
    assert_eq!((status, &body["total_purchases"]), (200, &Value::from(3)));
    assert_eq!(headers["cache-control"], "no-store");
    let stop = CancellationToken::new();
    stop.cancel();
    let routes = routes(Arc::clone(&api), stop);
    let stream = warp::test::request().path("/stats/stream").reply(&routes);
    let stream = stream.await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    assert_eq!(
        stream.body().len(),
        0,
        "a server that ends begins no stream"
    );
}

#[tokio::test(start_paused = true)]
async fn statistics_that_cannot_be_read_are_503_and_never_zero() {
    let (status, headers, body) = get(&api(Ok(None)), "/stats").await;
    assert_eq!((status, &body["retryable"]), (503, &Value::Bool(true)));
    assert_eq!(body["type"], "/problems/statistics-unavailable");
    assert!(headers.contains_key("retry-after"));
    assert_eq!(get(&api(Ok(None)), "/stats/other").await.0, 404);
}
