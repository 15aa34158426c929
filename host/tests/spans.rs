//! Spans as a collector sees them, and as a service does that has none or a dead one.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use host::env::Reader;
use host::metrics::Metrics;
use host::serve::{Limits, Received, Server};
use host::span::{Named, Span, SpanKind, SpanSettings, Tracer, VARS};
use host::trace::{Ids, TraceParent};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span as Exported;
use prost::Message;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

const THEIRS: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const NOT_SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

/// Takes what it is sent, after it has refused as often as it was told to.
#[derive(Clone)]
struct Collector {
    requests: Arc<Mutex<Vec<Taken>>>,
    refusals: Arc<Mutex<Vec<u16>>>,
}

/// A request's head and its body.
type Taken = (Request<()>, Bytes);
type Answer = Response<Full<Bytes>>;

impl tower_service::Service<Request<Received>> for Collector {
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Received>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.expect("a whole body").to_bytes();
            let mut response = Answer::default();
            match this.refusals.lock().expect("no panic").pop() {
                Some(status) => *response.status_mut() = status.try_into().expect("a status"),
                None => {
                    let request = (Request::from_parts(head, ()), body);
                    this.requests.lock().expect("no panic").push(request);
                }
            }
            Ok(response)
        })
    }
}

impl Collector {
    fn open(refusals: &[u16]) -> (Self, SocketAddr, AbortOnDropHandle<()>) {
        let collector = Self {
            requests: Arc::default(),
            refusals: Arc::new(Mutex::new(refusals.to_vec())),
        };
        let any = "127.0.0.1:0".parse().expect("an address");
        let server = Server::bind("collector", any, "TEST", Limits::default()).expect("a port");
        let (addr, service) = (server.local_addr(), collector.clone());
        let running = tokio::spawn(async move {
            server
                .run(service, CancellationToken::new(), Duration::ZERO)
                .await;
        });
        (collector, addr, AbortOnDropHandle::new(running))
    }

    fn spans(&self) -> Vec<Exported> {
        let requests = self.requests.lock().expect("no panic");
        let whole = requests.iter().map(|(_, body)| {
            ExportTraceServiceRequest::decode(body.clone()).expect("the library's own form")
        });
        let resources = whole.flat_map(|whole| whole.resource_spans);
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }
}

fn settings(variables: &[(&str, &str)]) -> Result<SpanSettings, String> {
    let env: HashMap<String, String> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let mut reader = Reader::new(&[VARS], &env);
    let settings = SpanSettings::read(&mut reader);
    reader
        .finish(|| settings)
        .map_err(|error| error.to_string())
}

fn tracer(collector: SocketAddr, more: &[(&str, &str)]) -> Tracer {
    let endpoint = format!("http://{collector}");
    let mut variables = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
    variables.extend(more);
    let settings = settings(&variables).expect("a good configuration");
    settings.start("test-svc", "1.2.3").expect("entropy")
}

fn serve(tracer: &Tracer, parent: Option<&str>) -> (TraceParent, Span) {
    let named = Named {
        parent,
        state: Some("them=1"),
    };
    tracer.serve(&Ids::new().expect("entropy"), named, ("GET", "/here"))
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_request_and_its_parts_are_spans_of_the_callers_trace() {
    let (collector, addr, _running) = Collector::open(&[]);
    let more = [
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20secret,x-more=1"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "team=shop%2Cone,service.name=not-this",
        ),
        ("OTEL_SERVICE_NAME", "shop"),
    ];
    let tracer = tracer(addr, &more);
    let (place, mut server) = serve(&tracer, Some(THEIRS));
    assert_eq!(server.place(), Some(place));
    let mut part = server.child(SpanKind::Client, ("find", "things"));
    part.set("db.system.name", "mongodb");
    part.fail("gone");
    drop(part);
    server.answered(503);
    drop(server);
    let (_, unsampled) = serve(&tracer, Some(NOT_SAMPLED));
    assert!(!unsampled.is_recorded(), "the caller decides");
    tracer.close(Duration::from_secs(20)).await;

    let spans = collector.spans();
    let [part, server] = &spans[..] else {
        panic!("{spans:#?}")
    };
    assert_eq!(hex(&server.trace_id), &THEIRS[3..35]);
    assert_eq!(hex(&server.parent_span_id), &THEIRS[36..52]);
    assert_eq!(hex(&server.span_id), format!("{:016x}", place.span_id()));
    assert_eq!((server.name.as_str(), server.kind), ("GET /here", 2));
    assert_eq!(server.trace_state, "them=1");
    assert_eq!(server.status.as_ref().map(|status| status.code), Some(2));
    assert_eq!(part.trace_id, server.trace_id);
    assert_eq!(part.parent_span_id, server.span_id);
    assert_eq!((part.name.as_str(), part.kind), ("find things", 3));
    assert_eq!(
        part.status.as_ref().map(|status| &*status.message),
        Some("gone")
    );
    assert!(part.start_time_unix_nano >= server.start_time_unix_nano);
    assert!(part.end_time_unix_nano <= server.end_time_unix_nano);

    let requests = collector.requests.lock().unwrap();
    let (head, body) = &requests[0];
    assert_eq!(
        (head.method().as_str(), head.uri().path()),
        ("POST", "/v1/traces")
    );
    assert_eq!(head.headers()["content-type"], "application/x-protobuf");
    assert_eq!(head.headers()["api-key"], "a secret");
    let whole = ExportTraceServiceRequest::decode(body.clone()).expect("protobuf");
    let resource = format!("{:?}", whole.resource_spans[0].resource);
    for part in [
        "\"shop\"",
        "\"shop,one\"",
        "service.version",
        "telemetry.sdk.name",
    ] {
        assert!(resource.contains(part), "{part}: {resource}");
    }
    assert!(!resource.contains("not-this"), "{resource}");
}

#[tokio::test]
async fn without_a_collector_nothing_is_recorded_and_contexts_pass_all_the_same() {
    let tracer = settings(&[]).unwrap().start("test-svc", "1").unwrap();
    assert!(!tracer.is_on());
    let (place, span) = serve(&tracer, Some(THEIRS));
    assert!(place.sampled() && !span.is_recorded());
    assert_eq!(format!("{:032x}", place.trace_id()), &THEIRS[3..35]);
    assert!(!span.child(SpanKind::Client, ("a", "b")).is_recorded());
    assert_eq!(size_of::<Span>(), size_of::<usize>());
    tracer.close(Duration::from_secs(20)).await;
}

#[tokio::test]
async fn the_sampler_decides_about_traces_that_begin_here() {
    let (_collector, addr, _running) = Collector::open(&[]);
    let recorded = |sampler: &str, share: &str, parent| {
        let variables = [
            ("OTEL_TRACES_SAMPLER", sampler),
            ("OTEL_TRACES_SAMPLER_ARG", share),
        ];
        let tracer = tracer(addr, &variables);
        let samples = (0..400).map(|_| {
            let (place, span) = serve(&tracer, parent);
            assert_eq!(place.sampled(), span.is_recorded(), "{sampler}");
            usize::from(span.is_recorded())
        });
        samples.sum::<usize>()
    };
    for (sampler, share, parent, least, most) in [
        ("parentbased_always_on", "", None, 400, 400),
        ("parentbased_always_off", "", None, 0, 0),
        ("parentbased_always_off", "", Some(THEIRS), 400, 400),
        ("parentbased_traceidratio", "0.5", None, 140, 260),
        ("parentbased_traceidratio", "0", Some(THEIRS), 400, 400),
        ("always_on", "", Some(NOT_SAMPLED), 400, 400),
        ("always_off", "", Some(THEIRS), 0, 0),
        ("traceidratio", "1", Some(NOT_SAMPLED), 400, 400),
    ] {
        let count = recorded(sampler, share, parent);
        assert!(
            (least..=most).contains(&count),
            "{sampler} {share}: {count}"
        );
    }
}

#[tokio::test]
async fn a_busy_collector_is_asked_again_and_one_that_refuses_is_not() {
    let (collector, addr, _running) = Collector::open(&[503, 429]);
    let tracer = tracer(addr, &[]);
    drop(serve(&tracer, None));
    let until = Instant::now() + Duration::from_secs(20);
    while collector.spans().is_empty() {
        assert!(
            Instant::now() < until,
            "two refusals are no reason to give up"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    collector.refusals.lock().unwrap().push(400);
    drop(serve(&tracer, None));
    tracer.close(Duration::from_secs(20)).await;
    assert_eq!(collector.spans().len(), 1, "400 is for good");
}

/// One thread, so that the local recorder sees the handles that are made.
#[tokio::test(flavor = "current_thread")]
async fn a_dead_collector_costs_neither_memory_nor_time_and_the_loss_is_counted() {
    let (recorder, metrics) = Metrics::detached().unwrap();
    // Connections are made by the system, and nobody ever answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = silent.local_addr().unwrap();
    let tracer = metrics::with_local_recorder(&recorder, || tracer(addr, &[]));
    let since = Instant::now();
    let open: Vec<Span> = (0..5000).map(|_| serve(&tracer, None).1).collect();
    let recorded = open.iter().filter(|span| span.is_recorded()).count();
    assert_eq!(recorded, 4096, "spans that are open are bounded");
    drop(open);
    for _ in 0..5000 {
        drop(serve(&tracer, None));
    }
    assert!(since.elapsed() < Duration::from_secs(5), "nobody waits");
    let since = Instant::now();
    tracer.close(Duration::from_millis(200)).await;
    assert!(
        since.elapsed() < Duration::from_secs(5),
        "{:?}",
        since.elapsed()
    );
    drop(serve(&tracer, None));
    let text = metrics.render();
    for line in [
        "trace_spans_dropped_total{reason=\"too_many_open\"} 904",
        "trace_spans_dropped_total{reason=\"queue_full\"} 5000",
        "trace_spans_dropped_total{reason=\"too_late\"} 1",
    ] {
        assert!(text.contains(line), "{line}:\n{text}");
    }
}

#[test]
fn what_is_wrong_is_said_by_name_and_without_the_secret() {
    let errors = settings(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "my key=hidden-value"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/ca.pem"),
        ("OTEL_RESOURCE_ATTRIBUTES", "team"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_TRACES_SAMPLER_ARG", "2"),
    ])
    .unwrap_err();
    assert!(errors.starts_with("8 errors"), "{errors}");
    assert!(!errors.contains("hidden-value"), "{errors}");
    let good = settings(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector/base/"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hidden-value"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
    ]);
    let shown = format!("{:?}", good.unwrap());
    assert!(
        shown.contains("https://collector/base/v1/traces"),
        "{shown}"
    );
    assert!(
        shown.contains("2.5s") && !shown.contains("hidden-value"),
        "{shown}"
    );
}
