//! What consumer-svc answers is passed on as it is, and nothing is made up where it does not.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use host::serve::{Limits, Server};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use warp::Filter;
use warp::reply::Response;

use super::shop::{PATIENCE, Shop};

/// A consumer-svc of its own kind, on a real port.
pub(crate) struct Upstream {
    addr: SocketAddr,
    _running: AbortOnDropHandle<()>,
}

pub(crate) async fn upstream<F>(answer: F) -> Upstream
where
    F: Fn(http::Method, String, http::HeaderMap) -> Response + Clone + Send + Sync + 'static,
{
    upstream_with(Limits::default(), answer).await
}

pub(crate) async fn upstream_with<F>(limits: Limits, answer: F) -> Upstream
where
    F: Fn(http::Method, String, http::HeaderMap) -> Response + Clone + Send + Sync + 'static,
{
    let asked = warp::path::full()
        .and(warp::query::raw().or(warp::any().map(String::new)).unify())
        .map(|path: warp::path::FullPath, query: String| format!("{}?{query}", path.as_str()));
    let routes = warp::method()
        .and(asked)
        .and(warp::header::headers_cloned())
        .map(answer);
    let server = Server::bind("upstream", "127.0.0.1:0".parse().unwrap(), "TEST", limits).unwrap();
    let addr = server.local_addr();
    let service = warp::service(routes);
    let running = tokio::spawn(async move {
        server
            .run(service, CancellationToken::new(), Duration::ZERO)
            .await;
    });
    Upstream {
        addr,
        _running: AbortOnDropHandle::new(running),
    }
}

pub(crate) async fn shop_on(upstream: &Upstream, vars: &[(&str, &str)]) -> Shop {
    let url = format!("http://{}/base/", upstream.addr);
    let vars: Vec<_> = vars
        .iter()
        .copied()
        .chain([("CUSTOMER_MANAGEMENT_API_URL", url.as_str())])
        .collect();
    Shop::open(&vars).await
}

pub(crate) fn response(
    status: u16,
    headers: &[(&'static str, &'static str)],
    body: String,
) -> Response {
    let mut response = http::Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body.into()).unwrap()
}

/// What has no end of its own, as an answer of consumer-svc.
pub(crate) fn as_json(body: impl warp::Reply) -> Response {
    warp::Reply::into_response(warp::reply::with_header(
        body,
        "content-type",
        "application/json",
    ))
}

#[tokio::test]
async fn path_query_and_ids_reach_consumer_svc_and_its_answer_comes_back() {
    let upstream = upstream(|method, asked, headers| {
        let id = headers
            .get("x-request-id")
            .and_then(|id| id.to_str().ok())
            .unwrap_or("none")
            .to_owned();
        let trace = headers.contains_key("traceparent");
        let headers = [
            ("content-type", "application/json"),
            ("link", "<?cursor=b>; rel=\"next\""),
            ("etag", "W/\"1\""),
            ("server", "secret"),
            ("x-internal", "secret"),
        ];
        response(200, &headers, format!("{method} {asked} {id} {trace}"))
    })
    .await;
    let shop = shop_on(&upstream, &[]).await;
    for path in ["/purchases", "/getAllUserBuys", "/api/purchases"] {
        let request = shop
            .request("GET", &format!("{path}/j%C3%B6rg%2F1?limit=5&cursor=a%3D"))
            .header("x-request-id", "req-7")
            .body(Default::default())
            .unwrap();
        let answer = shop.send(request).await;
        assert_eq!(answer.status, 200);
        assert_eq!(
            &answer.body[..],
            b"GET /base/purchases/j%C3%B6rg%2F1?limit=5&cursor=a%3D req-7 true"
        );
        assert_eq!(answer.header("link"), "<?cursor=b>; rel=\"next\"");
        assert_eq!(answer.header("etag"), "W/\"1\"");
        assert_eq!(answer.header("x-request-id"), "req-7");
        assert!(
            !answer.headers.contains_key("server") && !answer.headers.contains_key("x-internal")
        );
    }
    let head = shop
        .send(
            shop.request("HEAD", "/stats")
                .body(Default::default())
                .unwrap(),
        )
        .await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    assert!(
        shop.get("/stats")
            .await
            .body
            .starts_with(b"GET /base/stats? ")
    );
    shop.close().await.unwrap();
}

#[tokio::test]
async fn who_has_the_answer_is_told_so_by_consumer_svc_through_us() {
    let upstream = upstream(|_, _, headers| {
        let known = headers
            .get("if-none-match")
            .is_some_and(|tag| tag == "W/\"7\"");
        let tag = [
            ("content-type", "application/json"),
            ("etag", "W/\"7\""),
            ("cache-control", "private, no-cache"),
        ];
        let (status, body) = if known { (304, "") } else { (200, "all of it") };
        response(status, &tag, body.to_owned())
    })
    .await;
    let shop = shop_on(&upstream, &[]).await;
    for path in ["/getAllUserBuys/u1?since=2026-01-01T00:00:00Z", "/stats"] {
        for (method, tag, status, body) in [
            ("GET", "W/\"7\"", 304, 0),
            ("HEAD", "W/\"7\"", 304, 0),
            ("GET", "W/\"6\"", 200, 9),
            ("HEAD", "W/\"6\"", 200, 0),
        ] {
            let request = shop.request(method, path).header("if-none-match", tag);
            let answer = shop.send(request.body(Default::default()).unwrap()).await;
            let told = (answer.status.as_u16(), answer.body.len());
            assert_eq!(told, (status, body), "{method} {path} {tag}");
            assert_eq!(answer.header("etag"), "W/\"7\"");
            assert_eq!(answer.header("cache-control"), "private, no-cache");
        }
    }
    shop.close().await.unwrap();
}

#[tokio::test]
async fn errors_of_consumer_svc_are_passed_on_with_their_body() {
    let upstream = upstream(|_, _, _| {
        response(
            404,
            &[("content-type", "application/problem+json")],
            r#"{"detail": "no purchases"}"#.to_owned(),
        )
    })
    .await;
    let shop = shop_on(&upstream, &[]).await;
    let answer = shop.get("/purchases/nobody").await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.json()["detail"], "no purchases");
    shop.close().await.unwrap();
}

#[tokio::test]
async fn a_consumer_svc_that_is_away_is_never_an_empty_history() {
    let shop = Shop::open(&[]).await;
    for path in [
        "/purchases/u1",
        "/getAllUserBuys/u1",
        "/stats",
        "/stats/stream",
    ] {
        let answer = shop.get(path).await;
        let problem = answer.assert_problem(503, "history-unavailable");
        assert_eq!(problem["retryable"], true);
        assert_eq!(answer.header("retry-after"), "1");
    }
    shop.close().await.unwrap();
}

#[tokio::test]
async fn a_consumer_svc_that_is_silent_is_given_up() {
    // A listener that nobody serves: connections are made, nothing is answered.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let shop = Shop::open(&[
        ("CUSTOMER_MANAGEMENT_API_URL", &url),
        ("HISTORY_TIMEOUT", "100ms"),
    ])
    .await;
    shop.get("/purchases/u1")
        .await
        .assert_problem(503, "history-unavailable");
    shop.close().await.unwrap();
}

#[tokio::test]
async fn more_questions_than_allowed_are_refused_and_credits_come_back() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let vars = [
        ("CUSTOMER_MANAGEMENT_API_URL", url.as_str()),
        ("HISTORY_TIMEOUT", "500ms"),
        ("HISTORY_MAX_REQUESTS", "1"),
        ("INTAKE_MAX_WAIT", "10ms"),
    ];
    let shop = Shop::open(&vars).await;
    let (one, other) = tokio::join!(shop.get("/purchases/u1"), shop.get("/purchases/u1"));
    let kinds = [one.json()["type"].clone(), other.json()["type"].clone()];
    assert!(kinds.contains(&"/problems/overloaded".into()), "{kinds:?}");
    assert!(
        kinds.contains(&"/problems/history-unavailable".into()),
        "{kinds:?}"
    );
    shop.get("/purchases/u1")
        .await
        .assert_problem(503, "history-unavailable");
    shop.close().await.unwrap();
}

#[tokio::test]
async fn a_torn_answer_is_not_made_to_look_whole() {
    let tear = CancellationToken::new();
    let torn = tear.clone();
    let upstream = upstream(move |_, _, _| {
        let torn = torn.clone().cancelled_owned();
        let first = stream::iter([Ok(Bytes::from_static(b"[1,"))]);
        let end = stream::once(async move {
            torn.await;
            Err(std::io::Error::other("torn"))
        });
        as_json(warp::reply::stream(first.chain(end)))
    })
    .await;
    let shop = shop_on(&upstream, &[]).await;
    let http: Client<_, http_body_util::Empty<Bytes>> =
        Client::builder(TokioExecutor::new()).build_http();
    let answer = http
        .get(
            format!("http://{}/purchases/u1", shop.addr)
                .parse()
                .unwrap(),
        )
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body();
    let first = tokio::time::timeout(PATIENCE, body.frame())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(first.into_data().unwrap(), "[1,");
    tear.cancel();
    assert!(
        tokio::time::timeout(PATIENCE, body.collect())
            .await
            .unwrap()
            .is_err()
    );
    shop.close().await.unwrap();
}

#[tokio::test]
async fn a_live_stream_is_passed_on_as_it_comes_and_ends_with_the_drain() {
    let upstream = upstream(|_, asked, _| {
        assert!(
            asked.starts_with("/base/stats/stream") || asked.starts_with("/base/health"),
            "{asked}"
        );
        let first = stream::iter([Ok::<_, Infallible>(Bytes::from_static(
            b"event: stats\ndata: {}\n\n",
        ))]);
        let mut response =
            warp::Reply::into_response(warp::reply::stream(first.chain(stream::pending())));
        response.headers_mut().insert(
            "content-type",
            http::HeaderValue::from_static("text/event-stream"),
        );
        response
            .headers_mut()
            .insert("x-accel-buffering", http::HeaderValue::from_static("no"));
        response
    })
    .await;
    let shop = shop_on(&upstream, &[]).await;
    let http: Client<_, http_body_util::Empty<Bytes>> =
        Client::builder(TokioExecutor::new()).build_http();
    let answer = http
        .get(
            format!("http://{}/stats/stream", shop.addr)
                .parse()
                .unwrap(),
        )
        .await
        .unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    assert_eq!(answer.headers()["x-accel-buffering"], "no");
    let mut body = answer.into_body();
    let event = tokio::time::timeout(PATIENCE, body.frame())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(event.into_data().unwrap(), "event: stats\ndata: {}\n\n");
    shop.close().await.unwrap();
    let rest = tokio::time::timeout(PATIENCE, body.collect())
        .await
        .unwrap();
    assert!(
        rest.is_ok_and(|rest| rest.to_bytes().is_empty()),
        "it ends properly"
    );
}

#[tokio::test]
async fn health_says_whether_consumer_svc_answers() {
    // How well it is is another question.
    let json = [("content-type", "application/json")];
    let upstream = upstream(move |_, _, _| response(503, &json, "{}".to_owned())).await;
    let shop = shop_on(&upstream, &[]).await;
    shop.until("it is healthy", || async {
        shop.get("/health").await.status == 200
    })
    .await;
    assert_eq!(
        shop.get("/health").await.json()["customer_management_api_reachable"],
        true
    );
    shop.close().await.unwrap();
}
