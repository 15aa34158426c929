//! One trace through both services, and a collector that is as good as dead.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use e2e::check;
use e2e::collector::Collector;
use e2e::ground::Ground;
use e2e::http::{Answer, Connection};
use e2e::records::{bytes, good};
use e2e::shop::Shop;
use e2e::topic::NewRecord;
use http::Request;
use http_body_util::Full;
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(60);
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
/// Of a record that can never become a purchase.
const POISON: &str = "0af7651916cd43dd8448eb211c80319c";
/// Which its caller does not record.
const UNSAMPLED: &str = "5bd66ef5095369c7b0d1f8f4bd33716a";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_purchase_is_one_trace_from_the_caller_to_the_database_and_back() {
    let shop = Shop::on(Ground::shared().await).await;
    let collector = Collector::open().await;
    let told = |plan: e2e::service::Plan| {
        plan.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())
            .env("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    };
    let (producer, consumer) = (told(shop.producer()), told(shop.consumer()));
    let (producer, consumer) = tokio::join!(producer.ready(), consumer.ready());

    let order = json!({"username": "john", "user_id": "traced"});
    let (path, body) = ("/buy", Bytes::from(order.to_string()));
    let bought = ask(producer.http(), Request::post(path), body).await;
    assert_eq!(bought.status, 201, "{}", bought.text());
    shop.settles(PATIENCE).await;
    let path = "/purchases/traced";
    let shown = ask(producer.http(), Request::get(path), Bytes::new()).await;
    assert_eq!(shown.status, 200, "{}", shown.text());

    let span = async |service: &str, name: &str| {
        let span = collector.span(TRACE, service, name, PATIENCE).await;
        assert_eq!(span.state, "them=1", "{span:?}");
        span
    };
    let sending = format!("send {}", shop.witness.topic);
    let buy = span("producer-svc", "POST /buy").await;
    assert_eq!(buy.parent, CALLER);
    let send = span("producer-svc", &sending).await;
    assert_eq!(send.parent, buy.id);
    let processing = format!("process {}", shop.witness.topic);
    let process = span("consumer-svc", &processing).await;
    assert_eq!(process.parent, send.id);
    let store = span("consumer-svc", "store purchase").await;
    assert_eq!(store.parent, process.id);

    let asked = span("producer-svc", "GET /purchases/{user_id}").await;
    let answered = span("consumer-svc", "GET /purchases/{user_id}").await;
    let read = span("consumer-svc", "read history").await;
    assert_eq!(read.parent, answered.id);
    // Both of the producer's are called the same: what it was asked, and what it asks.
    let of = collector.of(TRACE);
    let asking = of.iter().find(|span| span.id == answered.parent);
    let asking = asking.unwrap_or_else(|| panic!("no parent of {answered:?} in {of:#?}"));
    assert_eq!(
        (asking.service.as_str(), asking.name.as_str()),
        ("producer-svc", asked.name.as_str())
    );
    let top = of.iter().find(|span| span.id == asking.parent);
    assert_eq!(top.map(|top| top.parent.as_str()), Some(CALLER), "{of:#?}");

    // The witness reads the record itself: whoever else reads it continues from the same place.
    let records = shop.witness.records().await;
    let header = |name: &str| records[0].header(name).unwrap_or_default();
    assert_eq!(header("traceparent"), format!("00-{TRACE}-{}-01", send.id));
    assert_eq!(header("tracestate"), "them=1");

    let of_trace = |record: NewRecord, trace: &str, flags: &str| NewRecord {
        headers: vec![(
            "traceparent".into(),
            bytes(&format!("00-{trace}-{CALLER}-{flags}")),
        )],
        ..record
    };
    let poison = NewRecord {
        value: bytes("{"),
        ..good(0)
    };
    let foreign = vec![
        of_trace(good(0), UNSAMPLED, "00"),
        of_trace(poison, POISON, "01"),
        good(0),
    ];
    shop.witness.write(foreign).await;
    shop.settles(PATIENCE).await;
    for service in [&producer, &consumer] {
        let log = service.drains(PATIENCE).await;
        let said = log
            .iter()
            .any(|line| line.contains("the spans are exported"));
        assert!(said, "{log:#?}");
    }
    // Everything is exported now: of each trace this and no more.
    let names = |trace: &str| {
        let mut names: Vec<(String, String, String)> = collector
            .of(trace)
            .into_iter()
            .map(|span| (span.service, span.name, span.parent))
            .collect();
        names.sort();
        names
    };
    let poisoned = (
        "consumer-svc".to_owned(),
        processing.clone(),
        CALLER.to_owned(),
    );
    assert_eq!(names(POISON), [poisoned], "read, and not stored");
    assert_eq!(names(UNSAMPLED), [], "nobody records that trace");
    let of = collector.of(TRACE);
    let consumed = of.iter().filter(|span| span.name == processing).count();
    assert_eq!((of.len(), consumed), (8, 1), "{of:#?}");
}

/// A request of the caller's trace.
async fn ask(addr: SocketAddr, request: http::request::Builder, body: Bytes) -> Answer {
    let request = request
        .header("traceparent", format!("00-{TRACE}-{CALLER}-01"))
        .header("tracestate", "them=1")
        .header("content-type", "application/json");
    let request = request.body(Full::from(body)).expect("a request");
    let mut connection = Connection::open(addr).await.expect("it listens");
    connection.send(request).await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_never_answers_costs_no_purchase_and_no_drain() {
    let shop = Shop::on(Ground::shared().await).await;
    // Connections are made by the system, and nobody ever reads.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", silent.local_addr().expect("an address"));
    let told = |plan: e2e::service::Plan| plan.env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint);
    let (producer, consumer) = (told(shop.producer()), told(shop.consumer()));
    let (producer, consumer) = tokio::join!(producer.ready(), consumer.ready());
    let attempts = shop.load(5000).start().finish(PATIENCE).await;
    check::all_accepted(&attempts);
    shop.settles(PATIENCE).await;
    let dropped = producer
        .metric("trace_spans_dropped_total", &["queue_full"])
        .await;
    assert!(dropped > 0.0, "ten thousand spans do not fit");
    for service in [&producer, &consumer] {
        let since = Instant::now();
        service.drains(PATIENCE).await;
        // Its own few seconds of leave-taking, and no more: neither DRAIN_TIMEOUT nor the exporter's.
        assert!(
            since.elapsed() < Duration::from_secs(9),
            "{:?}",
            since.elapsed()
        );
    }
}
