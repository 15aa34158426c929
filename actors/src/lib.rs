//! Supervised pipelines: supervision, bounded flow, settling and graceful drain on ractor.
//!
//! In: stages, written as plain async functions, and a specification of who supervises whom. Out: a
//! running tree that restarts what fails and drains what is asked to end. It knows no domain, no
//! broker and no database.

mod addr;
mod batch;
mod batch_stage;
mod children;
mod credits;
mod cx;
mod epoch;
mod event;
mod exit;
mod guard;
mod lifeline;
mod metrics;
mod pipeline;
mod rate;
mod receipt;
mod reply;
mod restart;
mod spec;
mod stage;
mod stage_actor;
mod supervisor;
mod sync;
mod system;
#[cfg(feature = "testkit")]
pub mod testkit;
mod track;
mod tree;
mod watch;

pub use addr::{Addr, AskError, Undelivered};
pub use batch::{BatchLimits, Batcher};
pub use batch_stage::{BatchMsg, BatchSink, BatchStage};
pub use children::{Children, StartError, StopError, StopOutcome};
pub use credits::{Cost, Credits, Permit, Refused};
pub use cx::{Cx, Timer};
pub use epoch::Epoch;
pub use event::Event;
pub use exit::{Exit, Failure};
pub use pipeline::{
    Failed, Fate, Flow, Passed, Pipeline, Pulled, Sink, Source, Step, Unusable, Verdict,
};
pub use rate::Rate;
pub use receipt::{Delivery, Outcome, Outlet, Position, Receipt, Settle, Settled};
pub use reply::{Dropped, Reply};
pub use restart::{Backoff, Intensity};
pub use spec::{ChildSpec, Restart, Shutdown, Strategy, SupervisorSpec};
pub use stage::Stage;
pub use system::{DrainReport, Laggard, Overrun, System, SystemHandle};
pub use track::{TrackError, Tracker};
pub use tree::{Kind, State, Tree};
pub use watch::{Pulse, Watch};
