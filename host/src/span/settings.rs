//! The standard variables of OpenTelemetry that this process understands, and nothing behind them:
//! the libraries that read the environment by themselves are not used.
//!
//! In: variables. Out: where spans go, what they say of this process, and which are recorded.

use std::fmt;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Uri};
use opentelemetry::trace::{SpanKind, TraceId};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::{Sampler as Standard, SamplingDecision, ShouldSample};
use percent_encoding::percent_decode_str;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::export::Exporter;
use super::{Recorder, Tracer};
use crate::env::{self, Reader, Var};
use crate::metrics::SpanCounts;
use crate::trace::{Ids, TraceParent};

/// The variables of this module; [`crate::frame`] adds them to every service's.
pub const VARS: &[Var] = &[
    Var::optional(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "collector of spans, such as http://collector:4318 (/v1/traces is appended); without it no span is recorded",
    ),
    Var::with_default(
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "http/protobuf",
        "how to speak to it; http/protobuf is the only way there is",
    ),
    Var::optional(
        "OTEL_EXPORTER_OTLP_HEADERS",
        "headers for it, name=value,name=value, values percent-encoded",
    )
    .secret(),
    Var::with_default(
        "OTEL_EXPORTER_OTLP_TIMEOUT",
        "10s",
        "how long to try one batch of spans; a bare number is milliseconds, as the standard has it",
    ),
    Var::optional(
        "OTEL_EXPORTER_OTLP_CERTIFICATE",
        "PEM file of the authorities to trust behind https; without it the public ones",
    ),
    Var::optional(
        "OTEL_SERVICE_NAME",
        "what this process is called in traces; without it as the service is called",
    ),
    Var::optional(
        "OTEL_RESOURCE_ATTRIBUTES",
        "what else to say of this process, name=value,name=value, values percent-encoded",
    ),
    Var::with_default(
        "OTEL_TRACES_SAMPLER",
        "parentbased_always_on",
        "which traces are recorded: always_on, always_off, traceidratio, or these behind parentbased_, which follows the caller where there is one",
    ),
    Var::with_default(
        "OTEL_TRACES_SAMPLER_ARG",
        "1.0",
        "share of the traces for traceidratio, from 0 to 1",
    ),
];

/// What the variables of this module say.
#[derive(Debug, Clone)]
pub struct SpanSettings {
    pub(super) collector: Option<Address>,
    service: Option<String>,
    attributes: Vec<(String, String)>,
    sampler: Sampler,
}

/// How to reach the collector.
#[derive(Debug, Clone)]
pub(super) struct Address {
    pub(super) uri: Uri,
    /// Each marked as sensitive, so that `Debug` hides its value.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) timeout: Duration,
    pub(super) authorities: Option<Vec<CertificateDer<'static>>>,
}

impl SpanSettings {
    /// Reads the variables of this module.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let uri = reader.optional("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
        let protocol = reader.get("OTEL_EXPORTER_OTLP_PROTOCOL", |text| match text {
            "http/protobuf" => Ok(()),
            _ => Err("is not spoken here; http/protobuf is"),
        });
        let headers = reader.optional("OTEL_EXPORTER_OTLP_HEADERS", headers);
        let timeout = reader.get("OTEL_EXPORTER_OTLP_TIMEOUT", timeout);
        let authorities = reader.optional("OTEL_EXPORTER_OTLP_CERTIFICATE", authorities);
        let service = reader.optional("OTEL_SERVICE_NAME", env::text);
        let attributes = reader.optional("OTEL_RESOURCE_ATTRIBUTES", pairs);
        let share = reader.get("OTEL_TRACES_SAMPLER_ARG", share);
        let sampler = reader.get("OTEL_TRACES_SAMPLER", Sampler::named);
        protocol?;
        let (headers, timeout, authorities) = (headers?, timeout?, authorities?);
        let collector = uri?.map(|uri| Address {
            uri,
            headers: headers.unwrap_or_default(),
            timeout,
            authorities,
        });
        Some(Self {
            collector,
            service: service?,
            attributes: attributes?.unwrap_or_default(),
            sampler: sampler?.with_share(share?),
        })
    }

    /// The tracer of this process. Call it inside the runtime, after the metrics are installed.
    ///
    /// # Errors
    ///
    /// That the system has no randomness.
    pub fn start(
        &self,
        name: &'static str,
        version: &'static str,
    ) -> Result<Tracer, getrandom::Error> {
        let Some(address) = &self.collector else {
            return Ok(Tracer::off());
        };
        let counts = SpanCounts::new();
        let exporter = Exporter::start(address, &self.resource(name, version)?, counts.clone());
        tracing::info!(collector = %address.uri, sampler = ?self.sampler, "spans are recorded");
        let scope = InstrumentationScope::builder(name).with_version(version);
        Ok(Tracer(Some(std::sync::Arc::new(Recorder {
            ids: Ids::new()?,
            sampler: self.sampler,
            scope: scope.build(),
            open: Default::default(),
            counts,
            exporter,
        }))))
    }

    /// Ours first: who sets a variable knows better.
    fn resource(
        &self,
        name: &'static str,
        version: &'static str,
    ) -> Result<Resource, getrandom::Error> {
        let attributes = self.attributes.iter();
        let attributes = attributes.map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
        let instance = format!("{:016x}", getrandom::u64()?);
        let resource = Resource::builder_empty()
            .with_detector(Box::new(TelemetryResourceDetector))
            .with_service_name(name)
            .with_attribute(KeyValue::new("service.version", version))
            .with_attribute(KeyValue::new("service.instance.id", instance))
            .with_attributes(attributes);
        Ok(match &self.service {
            Some(service) => resource.with_service_name(service.clone()).build(),
            None => resource.build(),
        })
    }
}

/// Which traces are recorded.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Sampler {
    follows: bool,
    /// Of the traces that begin here.
    roots: Roots,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Roots {
    All,
    None,
    Share(f64),
}

impl Sampler {
    fn named(text: &str) -> Result<Self, &'static str> {
        let (follows, rest) = match text.strip_prefix("parentbased_") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let roots = match rest {
            "always_on" => Roots::All,
            "always_off" => Roots::None,
            "traceidratio" => Roots::Share(1.0),
            _ => {
                return Err(
                    "is not always_on, always_off or traceidratio, nor one of these behind parentbased_",
                );
            }
        };
        Ok(Self { follows, roots })
    }

    fn with_share(self, share: f64) -> Self {
        let roots = match self.roots {
            Roots::Share(_) => Roots::Share(share),
            other => other,
        };
        Self { roots, ..self }
    }

    pub(super) fn samples(&self, parent: Option<TraceParent>, trace: u128) -> bool {
        match (parent, self.roots) {
            (Some(parent), _) if self.follows => parent.sampled(),
            (_, Roots::All) => true,
            (_, Roots::None) => false,
            // The library's own arithmetic, so that every service of a trace decides the same.
            (_, Roots::Share(share)) => {
                let result = Standard::TraceIdRatioBased(share).should_sample(
                    None,
                    TraceId::from(trace),
                    "",
                    &SpanKind::Internal,
                    &[],
                    &[],
                );
                result.decision == SamplingDecision::RecordAndSample
            }
        }
    }
}

impl fmt::Debug for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roots = match self.roots {
            Roots::All => "all",
            Roots::None => "none",
            Roots::Share(share) => return write!(f, "{share} of the traces"),
        };
        write!(
            f,
            "{roots}{}",
            if self.follows { ", callers decide" } else { "" }
        )
    }
}

fn endpoint(text: &str) -> Result<Uri, String> {
    let base = env::http_url(text)?;
    let path = format!("{}/v1/traces", base.path().trim_end_matches('/'));
    let mut parts = base.into_parts();
    parts.path_and_query = Some(path.parse().map_err(|error| format!("{error}"))?);
    Uri::from_parts(parts).map_err(|error| error.to_string())
}

fn timeout(text: &str) -> Result<Duration, String> {
    let time = match text.parse() {
        Ok(millis) => Duration::from_millis(millis),
        Err(_) => env::duration(text)?,
    };
    match time.is_zero() {
        true => Err("must be longer than nothing".to_owned()),
        false => Ok(time),
    }
}

fn share(text: &str) -> Result<f64, &'static str> {
    let share: Option<f64> = text.parse().ok();
    share
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or("is not a number from 0 to 1")
}

fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let parts = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    let pair = |part: &str| {
        let (name, value) = part.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        let name = name.trim();
        (!name.is_empty()).then(|| (name.to_owned(), value.into_owned()))
    };
    parts
        .map(|part| pair(part).ok_or_else(|| "is not a list like name=value,name=value".to_owned()))
        .collect()
}

fn headers(text: &str) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let header = |(name, value): (String, String)| {
        let name = name
            .parse::<HeaderName>()
            .map_err(|_| "has a name that no header can have".to_owned())?;
        let mut value = HeaderValue::try_from(value)
            .map_err(|_| format!("has a value for {name} that no header can have"))?;
        value.set_sensitive(true);
        Ok((name, value))
    };
    pairs(text)?.into_iter().map(header).collect()
}

fn authorities(path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err("holds no certificate".to_owned()),
        Err(error) => Err(format!("cannot be read: {error}")),
    }
}
