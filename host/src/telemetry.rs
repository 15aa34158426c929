//! Logs: one line per event on standard output, as text or as JSON.
//!
//! In: format and filter. Out: the process-wide subscriber, and the handle by which
//! [`levels`] changes the filter while the process runs.

use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, reload};

use crate::env::{Reader, Var};
use crate::levels::{self, Levels};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one flat object per line.
    Json,
}

/// The variables of this module; [`crate::frame`] adds them to every service's.
pub const VARS: &[Var] = &[
    Var::with_default("LOG_FORMAT", "text", "text for people, json for machines"),
    Var::with_default(
        "RUST_LOG",
        // The actor runtime's own spans name actors by number; our fields name them better.
        "info,ractor=warn",
        "what is logged: a level, or directives such as info,actors=debug; PUT /log-level on the admin port changes it while running",
    ),
];

/// What the variables of this module say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// How log lines look.
    pub format: LogFormat,
    /// What is logged, in the syntax of `RUST_LOG`.
    pub filter: String,
}

impl LogSettings {
    /// Reads the variables of this module.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let format = reader.get("LOG_FORMAT", |text| match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err("is neither text nor json"),
        });
        let filter = reader.get("RUST_LOG", |text| {
            levels::filter(text).map(|_| text.to_owned())
        });
        Some(Self {
            format: format?,
            filter: filter?,
        })
    }
}

/// Sets the process-wide subscriber, and logs panics through it: a panic that a
/// supervisor catches is an event like others, not loose text on standard error.
pub fn init(settings: &LogSettings) -> Result<Levels, TryInitError> {
    let filter = EnvFilter::try_new(&settings.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let (filter, handle) = reload::Layer::new(filter);
    let lines = tracing_subscriber::fmt::layer();
    let lines = match settings.format {
        LogFormat::Text => lines.with_ansi(std::io::stdout().is_terminal()).boxed(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()?;
    log_panics();
    Ok(Levels::new(handle))
}

/// Logs panics, for whoever sets a subscriber of his own; [`init`] does it.
pub fn log_panics() {
    crate::panics::set_hook();
}
