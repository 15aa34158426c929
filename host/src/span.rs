//! Spans: what took how long in whose trace.
//!
//! In: places in traces, as requests and records bring them along. Out: spans to an OTLP collector,
//! where one is configured. Nothing here waits for the collector, and everything is bounded: spans
//! that are open, spans that wait, and the time that the end of the process may take over them. What
//! goes beyond is dropped and counted.
//!
//! A span that is not recorded is a null pointer: no clock is read for it and nothing allocated. So
//! it may stand in every message and on every path.

mod collector;
mod export;
mod settings;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanContext, SpanId, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

pub use opentelemetry::Value;
pub use opentelemetry::trace::SpanKind;
pub use settings::{SpanSettings, VARS};

use self::export::Exporter;
use self::settings::Sampler;
use crate::metrics::SpanCounts;
use crate::trace::{Ids, TraceParent};

/// Spans open at one time, about a kilobyte each. A busy service has fewer; a stalled one, with all
/// its purchases sampled, must not pay for it with its memory.
const MAX_OPEN: usize = 4096;

/// What a span is called: what is done, and to what. Few different ones.
pub type Name<'a> = (&'a str, &'a str);

/// A trace as a request names it: its headers, unchecked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Named<'a> {
    /// `traceparent`.
    pub parent: Option<&'a str>,
    /// `tracestate`.
    pub state: Option<&'a str>,
}

/// Begins spans, if anybody wants them. Clones are one thing.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<Recorder>>);

struct Recorder {
    ids: Ids,
    sampler: Sampler,
    scope: InstrumentationScope,
    open: AtomicUsize,
    counts: SpanCounts,
    exporter: Exporter,
}

impl Tracer {
    /// Records nothing.
    pub fn off() -> Self {
        Self(None)
    }

    /// Whether anything is recorded at all.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// A request was received: its place here, in the caller's trace or in a new one, and the span
    /// that tells of it.
    pub fn serve(&self, ids: &Ids, named: Named<'_>, name: Name<'_>) -> (TraceParent, Span) {
        let parent = named.parent.and_then(TraceParent::parse);
        let place = ids.place(parent);
        match &self.0 {
            None => (place, Span::none()),
            Some(recorder) => recorder.begin(SpanKind::Server, place, parent, named.state, name),
        }
    }

    /// The same for what came in a record.
    pub fn follow(&self, parent: Option<TraceParent>, state: Option<&str>, name: Name<'_>) -> Span {
        let Some(recorder) = &self.0 else {
            return Span::none();
        };
        let place = recorder.ids.place(parent);
        recorder
            .begin(SpanKind::Consumer, place, parent, state, name)
            .1
    }

    /// Exports what there is, in no more time than this, and ends. Says in the log how it went. A
    /// second call does nothing.
    pub async fn close(&self, within: Duration) {
        if let Some(recorder) = &self.0 {
            recorder.exporter.close(within).await;
        }
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer")
            .field("on", &self.is_on())
            .finish_non_exhaustive()
    }
}

impl Recorder {
    fn begin(
        self: &Arc<Self>,
        kind: SpanKind,
        place: TraceParent,
        parent: Option<TraceParent>,
        state: Option<&str>,
        name: Name<'_>,
    ) -> (TraceParent, Span) {
        let sampled = self.sampler.samples(parent, place.trace_id());
        let place = place.with_sampled(sampled);
        let span = if sampled {
            // A state that is not valid is left out of the span; it is passed on all the same.
            let state = parent.and(state).and_then(|text| text.parse().ok());
            let above = parent.map(|parent| (parent.span_id(), true));
            self.open(kind, place, above, state.unwrap_or_default(), name)
        } else {
            Span::none()
        };
        (place, span)
    }

    /// Begins a span at this place, below the span of this id, which may be another process's.
    fn open(
        self: &Arc<Self>,
        kind: SpanKind,
        place: TraceParent,
        above: Option<(u64, bool)>,
        state: TraceState,
        (verb, object): Name<'_>,
    ) -> Span {
        if self.open.fetch_add(1, Ordering::Relaxed) >= MAX_OPEN {
            self.open.fetch_sub(1, Ordering::Relaxed);
            self.counts.too_many_open.increment(1);
            return Span::none();
        }
        let now = SystemTime::now();
        let (above, remote) = above.unwrap_or_default();
        let data = SpanData {
            span_context: SpanContext::new(
                TraceId::from(place.trace_id()),
                SpanId::from(place.span_id()),
                TraceFlags::SAMPLED,
                false,
                state,
            ),
            parent_span_id: SpanId::from(above),
            parent_span_is_remote: remote,
            span_kind: kind,
            name: format!("{verb} {object}").into(),
            start_time: now,
            end_time: now,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        };
        Span(Some(Box::new(Live {
            data,
            place,
            recorder: Arc::clone(self),
        })))
    }
}

/// One piece of work, from when it began until this is dropped. Mostly nothing at all.
#[derive(Default)]
#[must_use = "it ends when it is dropped"]
pub struct Span(Option<Box<Live>>);

struct Live {
    data: SpanData,
    place: TraceParent,
    recorder: Arc<Recorder>,
}

impl Span {
    /// The span of what is not recorded.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Whether it is worth the trouble to find out what to note on it.
    pub fn is_recorded(&self) -> bool {
        self.0.is_some()
    }

    /// The place to name to whoever does a part of this work.
    pub fn place(&self) -> Option<TraceParent> {
        self.0.as_ref().map(|live| live.place)
    }

    /// A part of this work.
    pub fn child(&self, kind: SpanKind, name: Name<'_>) -> Self {
        let Some(live) = &self.0 else {
            return Self::none();
        };
        let place = live.recorder.ids.place(Some(live.place));
        let state = live.data.span_context.trace_state().clone();
        let above = Some((live.place.span_id(), false));
        live.recorder.open(kind, place, above, state, name)
    }

    /// A part of this work that began then and is told of only now.
    pub fn child_since(&self, kind: SpanKind, name: Name<'_>, since: SystemTime) -> Self {
        let mut child = self.child(kind, name);
        if let Some(live) = &mut child.0 {
            live.data.start_time = since;
        }
        child
    }

    /// Notes a value under one of the names that OpenTelemetry's conventions have for it.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        if let Some(live) = &mut self.0 {
            live.data.attributes.push(KeyValue::new(name, value));
        }
    }

    /// Notes an answer's status. A server's error is its own fault only from 500 up.
    pub fn answered(&mut self, status: u16) {
        let Some(live) = &mut self.0 else {
            return;
        };
        let key = "http.response.status_code";
        live.data
            .attributes
            .push(KeyValue::new(key, i64::from(status)));
        let least = match live.data.span_kind {
            SpanKind::Server => 500,
            _ => 400,
        };
        if status >= least {
            live.data.status = Status::error("");
        }
    }

    /// Notes that the work failed.
    pub fn fail(&mut self, why: &str) {
        if let Some(live) = &mut self.0 {
            live.data.status = Status::Error {
                description: Cow::Owned(why.to_owned()),
            };
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(live) = self.0.take() {
            let Live {
                mut data, recorder, ..
            } = *live;
            recorder.open.fetch_sub(1, Ordering::Relaxed);
            data.end_time = SystemTime::now();
            recorder.exporter.take(data, &recorder.counts);
        }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Span").field(&self.place()).finish()
    }
}
