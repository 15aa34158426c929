//! What stands before the routes: what a client accepts, pages of other origins, one client's limit,
//! and the description.

use http::HeaderMap;
use serde_json::Value;

use super::shop::{Answer, Shop};

const JOHN: &str = r#"{"username": "john_doe", "user_id": "user_123"}"#;

async fn ask(shop: &Shop, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = shop.request(method, path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    shop.send(request.body(Default::default()).unwrap()).await
}

#[tokio::test]
async fn a_client_that_takes_nothing_that_is_there_is_told_so() {
    let shop = Shop::open(&[]).await;
    for path in [
        "/",
        "/items",
        "/health",
        "/stats",
        "/purchases/u1",
        "/openapi.json",
    ] {
        for accept in ["text/html", "*/*;q=0", "application/json;q=0, */*"] {
            let answer = ask(&shop, "GET", path, &[("accept", accept)]).await;
            answer.assert_problem(406, "not-acceptable");
        }
        for accept in [
            "*/*",
            "application/*",
            "text/html, application/json;q=0.1",
            "nonsense",
        ] {
            let answer = ask(&shop, "GET", path, &[("accept", accept)]).await;
            assert_ne!(answer.status, 406, "{path} {accept}");
        }
    }
    let json = ask(
        &shop,
        "GET",
        "/stats/stream",
        &[("accept", "application/json")],
    )
    .await;
    json.assert_problem(406, "not-acceptable");
    let refused = shop.buy_with(JOHN, &[("accept", "text/html")]).await;
    refused.assert_problem(406, "not-acceptable");
    assert!(shop.broker.records().is_empty(), "nothing was bought");
    let several = [("accept", "text/html"), ("accept", "application/json")];
    assert_eq!(
        shop.buy_with(JOHN, &several).await.status,
        201,
        "several lines are one list"
    );
    shop.close().await.unwrap();
}

fn cors(headers: &HeaderMap) -> Vec<(&str, &str)> {
    let mut found: Vec<_> = headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("access-control-") || *name == "vary")
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    found.sort_unstable();
    found
}

#[tokio::test]
async fn pages_of_other_origins_may_read_nothing_unless_an_operator_says_so() {
    let shop = Shop::open(&[]).await;
    let origin = ("origin", "https://shop.example");
    for method in ["GET", "OPTIONS"] {
        let preflight = ("access-control-request-method", "GET");
        let answer = ask(&shop, method, "/items", &[origin, preflight]).await;
        assert!(cors(&answer.headers).is_empty(), "{answer:?}");
    }
    shop.close().await.unwrap();
}

#[tokio::test]
async fn pages_of_named_origins_may_read_every_answer_and_errors_too() {
    let vars = [(
        "CORS_ALLOWED_ORIGINS",
        "https://shop.example, http://localhost:5173",
    )];
    let shop = Shop::open(&vars).await;
    let origin = ("origin", "http://localhost:5173");
    for (method, path, status) in [
        ("GET", "/items", 200),
        ("GET", "/api/items", 200),
        ("GET", "/nothing", 404),
        ("DELETE", "/items", 405),
        ("POST", "/buy", 415),
        ("GET", "/stats", 503),
    ] {
        let answer = ask(&shop, method, path, &[origin]).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), origin.1);
        assert_eq!(answer.header("vary"), "origin");
        let readable = answer.header("access-control-expose-headers");
        for name in [
            "retry-after",
            "x-request-id",
            "etag",
            "idempotency-replayed",
        ] {
            assert!(readable.contains(name), "{readable}");
        }
    }
    // The server's own, before any route.
    let own = ask(&shop, "GET", "/items", &[origin, ("host", "no host")]).await;
    own.assert_problem(400, "malformed");
    assert_eq!(own.header("access-control-allow-origin"), origin.1);
    let bought = shop.buy_with(JOHN, &[origin]).await;
    assert_eq!(
        (
            bought.status.as_u16(),
            bought.header("access-control-allow-origin")
        ),
        (201, origin.1)
    );
    for headers in [
        &[("origin", "https://other.example")][..],
        &[("origin", "null")],
        &[],
    ] {
        let answer = ask(&shop, "GET", "/items", headers).await;
        assert_eq!(
            (answer.status.as_u16(), cors(&answer.headers)),
            (200, vec![("vary", "origin")])
        );
    }
    shop.close().await.unwrap();
}

#[tokio::test]
async fn a_preflight_is_told_methods_and_headers() {
    let shop = Shop::open(&[("CORS_ALLOWED_ORIGINS", "*")]).await;
    let preflight = [
        ("origin", "https://any.example"),
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "content-type, idempotency-key",
        ),
    ];
    for path in ["/buy", "/api/buy"] {
        let answer = ask(&shop, "OPTIONS", path, &preflight).await;
        assert_eq!(answer.status, 204);
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(
            answer.header("access-control-allow-methods"),
            "POST, OPTIONS"
        );
        let headers = answer.header("access-control-allow-headers");
        assert!(
            headers.contains("content-type")
                && headers.contains("idempotency-key")
                && headers.contains("tracestate"),
            "{headers}"
        );
        assert_eq!(answer.header("access-control-max-age"), "600");
    }
    let unknown = ask(&shop, "OPTIONS", "/nothing", &preflight).await;
    unknown.assert_problem(404, "not-found");
    assert_eq!(unknown.header("access-control-allow-origin"), "*");
    shop.close().await.unwrap();
}

#[tokio::test]
async fn a_client_beyond_its_rate_gets_429_and_others_are_served() {
    let vars = [
        ("RATE_LIMIT", "0.01"),
        ("RATE_LIMIT_BURST", "2"),
        ("TRUSTED_PROXY_HEADER", "X-Forwarded-For"),
        ("TRUSTED_PROXY_HOPS", "1"),
    ];
    let shop = Shop::open(&vars).await;
    let of = |client: &'static str| [("x-forwarded-for", client)];
    for _ in 0..2 {
        assert_eq!(shop.buy_with(JOHN, &of("192.0.2.1")).await.status, 201);
    }
    let refused = shop.buy_with(JOHN, &of("192.0.2.1")).await;
    let problem = refused.assert_problem(429, "too-many-requests");
    assert_eq!(problem["retryable"], true);
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=100).contains(&wait), "{wait}");
    // What the client itself wrote in front changes nothing.
    let forged = shop.buy_with(JOHN, &of("6.6.6.6, 192.0.2.1")).await;
    forged.assert_problem(429, "too-many-requests");
    assert_eq!(shop.buy_with(JOHN, &of("192.0.2.2")).await.status, 201);
    assert_eq!(
        shop.buy_with(JOHN, &[]).await.status,
        201,
        "without the header, its peer counts"
    );
    assert_eq!(
        ask(&shop, "GET", "/items", &of("192.0.2.1")).await.status,
        200,
        "only buying is limited"
    );
    assert_eq!(shop.broker.records().len(), 4);
    let metrics = String::from_utf8(shop.get_admin("/metrics").await.body.to_vec()).unwrap();
    for series in [
        "purchases_rate_limited_total 2",
        r#"route="/buy",status="429""#,
        "purchases_rate_limit_clients 3",
    ] {
        assert!(metrics.contains(series), "{series} in {metrics}");
    }
    shop.close().await.unwrap();
}

#[tokio::test]
async fn without_a_trusted_header_a_client_is_its_connection() {
    let shop = Shop::open(&[("RATE_LIMIT", "0.01"), ("RATE_LIMIT_BURST", "1")]).await;
    assert_eq!(shop.buy("user_1").await.status, 201);
    let other = shop
        .buy_with(JOHN, &[("x-forwarded-for", "192.0.2.9")])
        .await;
    other.assert_problem(429, "too-many-requests");
    shop.close().await.unwrap();
}

#[tokio::test]
async fn the_description_says_what_every_path_answers_to() {
    let shop = Shop::open(&[]).await;
    let document = shop.get("/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document, shop.get("/api/openapi.json").await.json());
    for (template, item) in document["paths"].as_object().unwrap() {
        let path = template.replace("{user_id}", "user_1");
        let mut methods: Vec<_> = item
            .as_object()
            .unwrap()
            .keys()
            .map(|name| name.to_uppercase())
            .collect();
        methods.sort_unstable();
        for path in [path.clone(), format!("/api{path}")] {
            let options = ask(&shop, "OPTIONS", &path, &[]).await;
            assert_eq!(options.status, 204, "{path}");
            let mut allowed: Vec<_> = options
                .header("allow")
                .split(", ")
                .map(str::to_owned)
                .collect();
            allowed.sort_unstable();
            assert_eq!(allowed, methods, "{path}");
        }
    }
    shop.close().await.unwrap();
}

#[tokio::test]
async fn the_description_is_readable_without_any_other_host() {
    let shop = Shop::open(&[]).await;
    for (prefix, path) in [("", "/docs"), ("/api", "/api/docs")] {
        let page = shop.get(path).await;
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        let policy = page.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; style-src 'self';"),
            "{policy}"
        );
        let html = String::from_utf8(page.body.to_vec()).unwrap();
        assert!(html.contains("href=\"docs/style.css\"") && html.contains("kafka_offset"));
        assert!(!html.contains("<script") && !html.contains("src=") && !html.contains("style=\""));
        let style = shop.get(&format!("{prefix}/docs/style.css")).await;
        assert_eq!(style.header("content-type"), "text/css; charset=utf-8");
        let slash = shop.get(&format!("{path}/")).await;
        assert_eq!(
            (slash.status.as_u16(), slash.header("location")),
            (308, "../docs")
        );
        let known = [("if-none-match", page.header("etag"))];
        assert_eq!(ask(&shop, "GET", path, &known).await.status, 304);
    }
    shop.close().await.unwrap();
}

#[tokio::test]
async fn every_answer_of_an_intake_without_its_neighbours_is_as_described() {
    let shop = Shop::open(&[]).await;
    let document: Value = shop.get("/openapi.json").await.json();
    for path in [
        "/",
        "/items",
        "/health",
        "/stats",
        "/stats/stream",
        "/purchases/{user_id}",
    ] {
        for prefix in ["", "/api"] {
            let asked = format!("{prefix}{}", path.replace("{user_id}", "u"));
            let answer = shop.get(&asked).await;
            conforms(&document, path, "get", &answer);
            let refused = ask(&shop, "GET", &asked, &[("accept", "image/png")]).await;
            conforms(&document, path, "get", &refused);
            let refused = ask(&shop, "DELETE", &asked, &[]).await;
            conforms(&document, path, "get", &refused);
            let head = ask(&shop, "HEAD", &asked, &[]).await;
            let described = &document["paths"][path]["head"]["responses"][head.status.as_str()];
            assert!(
                described.is_object() && head.body.is_empty(),
                "{asked}: {head:?}"
            );
        }
    }
    let gzip = [("content-encoding", "gzip")];
    let encoded = shop.buy_with(JOHN, &gzip).await;
    encoded.assert_problem(415, "unsupported-encoding");
    assert_eq!(encoded.header("accept-encoding"), "identity");
    conforms(&document, "/buy", "post", &encoded);
    conforms(&document, "/buy", "post", &shop.buy("user_1").await);
    conforms(&document, "/buy", "post", &shop.buy_with("{}", &[]).await);
    conforms(&document, "/buy", "post", &shop.buy_with("{", &[]).await);
    // A retry, and the same key with another content.
    let key = [("idempotency-key", "k1")];
    for (body, status) in [
        (JOHN, 201),
        (JOHN, 201),
        (r#"{"username": "x", "user_id": "user_123"}"#, 422),
    ] {
        let answer = shop.buy_with(body, &key).await;
        assert_eq!(answer.status.as_u16(), status);
        conforms(&document, "/buy", "post", &answer);
    }
    let replayed = shop.buy_with(JOHN, &key).await;
    assert_eq!(replayed.header("idempotency-replayed"), "true");
    shop.close().await.unwrap();
}

#[track_caller]
fn conforms(document: &Value, path: &str, method: &str, answer: &Answer) {
    let described = &document["paths"][path][method]["responses"][answer.status.as_str()];
    let content = &described["content"][answer.header("content-type")]["schema"];
    assert!(content.is_object(), "{path} {answer:?} is not described");
    let schema = serde_json::json!({ "allOf": [content], "components": document["components"] });
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    if let Err(error) = validator.validate(&answer.json()) {
        panic!("{path}: {error} in {answer:?}");
    }
    for name in described["headers"].as_object().unwrap().keys() {
        assert!(
            answer.headers.contains_key(name.to_lowercase()) || name == "Idempotency-Replayed",
            "{name} is not in {answer:?}"
        );
    }
}
