//! The way to the collector: OTLP over HTTP, in protobuf.
//!
//! In: spans. Out: whether the collector has them, and whether to try again. One attempt has a
//! deadline; what is read of an answer is bounded.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use prost::Message;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};

use super::settings::Address;

const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const WHO: HeaderValue =
    HeaderValue::from_static(concat!("purchases-otlp/", env!("CARGO_PKG_VERSION")));
/// How long a connection may take to be made.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// Of an answer no more is read: it has a count and perhaps a message.
const MAX_ANSWER: usize = 64 * 1024;

pub(super) struct Collector {
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    address: Address,
    resource: ResourceAttributesWithSchema,
}

/// Why spans are not with the collector.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Undelivered {
    pub(super) why: String,
    /// Whether another attempt may do, and after how long at least.
    pub(super) again: Option<Duration>,
}

impl Collector {
    pub(super) fn new(address: &Address, resource: &Resource) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_WITHIN.min(address.timeout)));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls(address))
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(1)
            .build(https);
        Self {
            http,
            address: address.clone(),
            resource: resource.into(),
        }
    }

    pub(super) fn timeout(&self) -> Duration {
        self.address.timeout
    }

    /// The bytes of a request, made once for all attempts.
    pub(super) fn encode(&self, spans: Vec<SpanData>) -> Bytes {
        let resource_spans = group_spans_by_resource_and_scope(spans, &self.resource);
        ExportTraceServiceRequest { resource_spans }
            .encode_to_vec()
            .into()
    }

    /// One attempt. Tells how many spans the collector took and then did not want.
    pub(super) async fn send(&self, body: Bytes, within: Duration) -> Result<u64, Undelivered> {
        match tokio::time::timeout(within, self.exchange(body)).await {
            Ok(result) => result,
            Err(_) => Err(Undelivered::for_now(format!("no answer within {within:?}"))),
        }
    }

    async fn exchange(&self, body: Bytes) -> Result<u64, Undelivered> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.address.uri.clone();
        request.headers_mut().insert(CONTENT_TYPE, PROTOBUF);
        request.headers_mut().insert(USER_AGENT, WHO);
        for (name, value) in &self.address.headers {
            request.headers_mut().insert(name, value.clone());
        }
        let broken = |error: &dyn std::error::Error| Undelivered::for_now(innermost(error));
        let answer = self
            .http
            .request(request)
            .await
            .map_err(|error| broken(&error))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        if head.status.is_success() {
            // What is not readable is a success all the same: the standard says so by the status.
            let answer = body.map(|body| ExportTraceServiceResponse::decode(body.to_bytes()));
            let partial = answer
                .ok()
                .and_then(Result::ok)
                .and_then(|answer| answer.partial_success);
            return Ok(partial.map_or(0, |partial| partial.rejected_spans.max(0).unsigned_abs()));
        }
        let why = format!("answered {}", head.status);
        Err(match head.status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => {
                let after = head
                    .headers
                    .get(RETRY_AFTER)
                    .and_then(|after| after.to_str().ok());
                let after = after
                    .and_then(|after| after.parse().ok())
                    .map(Duration::from_secs);
                Undelivered {
                    why,
                    again: Some(after.unwrap_or_default()),
                }
            }
            _ => Undelivered { why, again: None },
        })
    }
}

impl Undelivered {
    fn for_now(why: String) -> Self {
        Self {
            why,
            again: Some(Duration::ZERO),
        }
    }
}

/// Whom to believe behind https. Without it the list would be read for nothing.
fn tls(address: &Address) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    match (&address.authorities, address.uri.scheme_str()) {
        (Some(authorities), _) => {
            let (_, unfit) = roots.add_parsable_certificates(authorities.iter().cloned());
            if unfit > 0 {
                tracing::warn!(
                    unfit,
                    "certificates of OTEL_EXPORTER_OTLP_CERTIFICATE are no authority's"
                );
            }
        }
        (None, Some("https")) => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        (None, _) => {}
    }
    ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("the provider has the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// The innermost cause says what happened; the outer ones only where.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
