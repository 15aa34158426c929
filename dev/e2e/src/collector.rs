//! A collector of spans, in this process.
//!
//! In: OTLP over HTTP, read by the library's own types. Out: the spans, with the service that each
//! is from.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::until;

/// A span, its ids in hexadecimal digits.
#[derive(Clone, Debug)]
pub struct Told {
    /// `service.name` of the process that it is from.
    pub service: String,
    /// What it is called.
    pub name: String,
    /// The trace it is in.
    pub trace: String,
    /// Its own id.
    pub id: String,
    /// The span above it; empty at the top of a trace.
    pub parent: String,
    /// What others note on the trace.
    pub state: String,
}

/// Collects until it is dropped.
#[derive(Debug)]
pub struct Collector {
    addr: SocketAddr,
    spans: Arc<Mutex<Vec<Told>>>,
    task: JoinHandle<()>,
}

impl Collector {
    /// Listens on a free port.
    ///
    /// # Panics
    /// If there is none.
    pub async fn open() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a free port");
        let addr = listener.local_addr().expect("an address");
        let spans = Arc::default();
        let taken = Arc::clone(&spans);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let taken = Arc::clone(&taken);
                let service = service_fn(move |request| take(request, Arc::clone(&taken)));
                let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                // A client that goes away is none of this witness's business.
                drop(tokio::spawn(serving));
            }
        });
        Self { addr, spans, task }
    }

    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// All spans of one trace so far.
    pub fn of(&self, trace: &str) -> Vec<Told> {
        let spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        spans
            .iter()
            .filter(|span| span.trace == trace)
            .cloned()
            .collect()
    }

    /// The span of this service and name in a trace.
    ///
    /// # Panics
    /// If it does not come.
    pub async fn span(&self, trace: &str, service: &str, name: &str, within: Duration) -> Told {
        let what = format!("the span {name:?} of {service}");
        until(&what, within, async || {
            let mut spans = self.of(trace).into_iter();
            spans.find(|span| span.service == service && span.name == name)
        })
        .await
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(
    request: Request<Incoming>,
    spans: Arc<Mutex<Vec<Told>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!(request.uri().path(), "/v1/traces");
    let Ok(body) = request.into_body().collect().await else {
        // The service was killed in the middle of it.
        return Ok(Response::default());
    };
    let whole = ExportTraceServiceRequest::decode(body.to_bytes()).expect("protobuf of OTLP");
    for resource in whole.resource_spans {
        let about = resource.resource.unwrap_or_default().attributes.into_iter();
        let mut named = about.filter(|attribute| attribute.key == "service.name");
        let value = named.next().and_then(|name| name.value);
        let service = format!("{:?}", value.and_then(|value| value.value));
        // The value is one of several kinds; within its quotes it is a text.
        let service = service.split('"').nth(1).unwrap_or_default().to_owned();
        let of_scopes = resource
            .scope_spans
            .into_iter()
            .flat_map(|scope| scope.spans);
        let told = of_scopes.map(|span| told(&service, span));
        let mut spans = spans.lock().unwrap_or_else(PoisonError::into_inner);
        spans.extend(told);
    }
    Ok(Response::default())
}

fn told(service: &str, span: Span) -> Told {
    Told {
        service: service.to_owned(),
        name: span.name,
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        state: span.trace_state,
    }
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
