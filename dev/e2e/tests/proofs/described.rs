//! What the services say of themselves is what they do: schemathesis sends what the description
//! allows and what it forbids, and every answer of both, on the real broker and database, conforms.
//!
//! The stream of statistics never ends, so it is left out there and its events are read here.

use std::time::Duration;

use ::http::Request;
use bytes::Bytes;
use devstack::process::{Process, Spawn};
use e2e::ground::Ground;
use e2e::http::Connection;
use e2e::service::{Plan, Service};
use e2e::shop::Shop;
use e2e::{http, until};
use http_body_util::Full;
use serde_json::{Value, json};

/// How long one service may be asked; bounded by the number of questions, it takes a quarter of that.
const PATIENCE: Duration = Duration::from_secs(120);
const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/schemathesis.toml");
/// Where a page of somebody else's stands.
const ORIGIN: &str = "https://shop.example";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_of_both_services_is_as_described() {
    let shop = Shop::on(Ground::shared().await).await;
    // Named origins change no answer but for their headers.
    let open = |plan: Plan| plan.env("CORS_ALLOWED_ORIGINS", ORIGIN);
    // No description can say that a key was used before, so nothing is remembered of it here.
    let producer = shop.producer().env("IDEMPOTENCY_MAX_KEYS", "0");
    let plans = (open(producer), open(shop.consumer()));
    let (producer, consumer) = tokio::join!(plans.0.ready(), plans.1.ready());
    // The user of the examples has a history.
    let wish = json!({ "username": "john_doe", "user_id": "user_123" });
    let bought = http::post(producer.http(), "/buy", &wish).await;
    assert_eq!(bought.expect("an answer").status, 201);
    shop.settles(PATIENCE).await;

    let runs = [&producer, &consumer].map(|service| (service, schemathesis(&shop, service)));
    for (service, run) in &runs {
        finished(service, run).await;
    }
    let (of_producer, of_consumer) = (description(&producer).await, description(&consumer).await);
    for service in [&producer, &consumer] {
        its_stream_is_as_described(service, &of_producer).await;
        pages_of_a_named_origin_may_read_it(service).await;
        assert_eq!(service.get("/health").await.status, 200, "it survived");
    }
    // What is passed on is described by both, and alike.
    for name in ["History", "Statistics", "StoredPurchase", "Problem"] {
        let one = &of_producer["components"]["schemas"][name];
        assert!(one.is_object(), "{name}");
        assert_eq!(one, &of_consumer["components"]["schemas"][name], "{name}");
    }
    shop.settles(PATIENCE).await;
}

async fn pages_of_a_named_origin_may_read_it(service: &Service) {
    for (path, status) in [("/health", 200), ("/nothing", 404)] {
        let request = Request::get(path).header("origin", ORIGIN);
        let request = request.body(Full::default()).expect("a request");
        let mut connection = Connection::open(service.http()).await.expect("it listens");
        let answer = connection.send(request).await.expect("an answer");
        let allowed = answer.header("access-control-allow-origin");
        assert_eq!((answer.status, allowed), (status, ORIGIN), "{path}");
    }
}

async fn description(service: &Service) -> Value {
    service.get("/openapi.json").await.json()
}

/// Starts it against one service. The seed is fixed, and so is how much it may ask.
fn schemathesis(shop: &Shop, service: &Service) -> Process {
    let program = std::env::var_os("SCHEMATHESIS_PYTHON").unwrap_or_else(|| "python3".into());
    let dir = shop.ground.dir();
    let port = service.http().port();
    Spawn::new("schemathesis", program)
        .args(["-m", "schemathesis.cli", "--config-file", CONFIG, "run"])
        .arg(format!("http://{}/openapi.json", service.http()))
        .args(["--checks", "all", "--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", "25", "--seed", "4711"])
        .args(["--exclude-path", "/stats/stream"])
        .args(["--request-timeout", "10", "--no-color", "--no-shrink"])
        .args(["--continue-on-failure", "--generation-database", "none"])
        .args(["--suppress-health-check", "all"])
        // Whatever a developer's machine is set to: it asks this service and nobody else.
        .env("NO_PROXY", "*")
        .current_dir(dir)
        .log(dir.join(format!("schemathesis-{}-{port}.log", shop.name)))
        .start()
        .unwrap_or_else(|error| {
            panic!("{error}: run `cargo xtask test`, which installs schemathesis")
        })
}

async fn finished(service: &Service, run: &Process) {
    let ended = run.wait_exit(PATIENCE).await;
    assert!(
        ended.is_some_and(|status| status.success()),
        "{ended:?} against {}\n{}",
        service.http(),
        run.log_tail(150)
    );
    let said = run.log_lines().read().join("\n");
    assert!(said.contains("No issues found"), "{said}");
}

/// Reads the stream until its first event.
async fn its_stream_is_as_described(service: &Service, description: &Value) {
    let answer = &description["paths"]["/stats/stream"]["get"]["responses"]["200"];
    let data = &answer["content"]["text/event-stream"]["x-event-data"]["stats"];
    assert!(data.is_object(), "{answer}");
    let schema = json!({ "allOf": [data], "components": description["components"] });
    let validator = jsonschema::draft202012::new(&schema).expect("a schema");
    let stream = until("the stream has an event", PATIENCE, async || {
        let request = Request::get("/stats/stream")
            .body(Full::<Bytes>::default())
            .expect("a request");
        let mut connection = Connection::open(service.http()).await.ok()?;
        connection.first_line(request, "data:").await.ok()?
    })
    .await;
    let event: Value = serde_json::from_str(&stream).expect("JSON");
    if let Err(error) = validator.validate(&event) {
        panic!("{error} in {event}");
    }
}
