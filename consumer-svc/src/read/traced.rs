//! The span of a record: what becomes of it here is a part of the trace that it came with.
//!
//! In: a record's headers. Out: a span that ends when the record is stored or given up, or nothing at
//! all, where nobody records that trace. Without a collector no header is looked at.

use std::sync::Arc;

use host::span::{Span, Tracer};
use host::trace::TraceParent;
use purchases::wire;

use super::decode::Raw;
use crate::flow::Origin;

/// Begins the spans of one topic's records. Clones are cheap.
#[derive(Clone)]
pub(crate) struct Traced {
    tracer: Tracer,
    topic: Arc<str>,
}

impl Traced {
    pub(crate) fn new(tracer: Tracer, topic: Arc<str>) -> Self {
        Self { tracer, topic }
    }

    /// A record was read. Each is the only one of its span, so it is below its sender and not
    /// linked to it, as a span of a whole batch would have to be.
    pub(super) fn begin(&self, raw: &Raw<'_>, origin: &Origin) -> Span {
        if !self.tracer.is_on() {
            return Span::none();
        }
        let parent = raw
            .header(wire::TRACEPARENT)
            .and_then(TraceParent::parse_bytes);
        let state = raw.header(wire::TRACESTATE);
        let state = state.and_then(|state| std::str::from_utf8(state).ok());
        let mut span = self.tracer.follow(parent, state, ("process", &self.topic));
        if span.is_recorded() {
            span.set("messaging.system", "kafka");
            span.set("messaging.operation.type", "process");
            span.set("messaging.destination.name", self.topic.to_string());
            let partition = origin.partition.to_string();
            span.set("messaging.destination.partition.id", partition);
            span.set("messaging.kafka.offset", origin.offset);
        }
        span
    }
}
