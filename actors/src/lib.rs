//! Supervised pipelines: supervision, bounded flow, settling and graceful drain on ractor.
//!
//! In: stages, written as plain async functions, and a specification of who supervises whom. Out: a
//! running tree that restarts what fails and drains what is asked to end. It knows no domain, no
//! broker and no database, and shows no ractor type.
//!
//! - [`Stage`] is the work of one actor; it lives at an [`Addr`] and has its hands in a [`Cx`].
//! - [`ChildSpec`] and [`SupervisorSpec`] say how it is started, restarted and stopped; [`System`] runs
//!   them, [`Children`] come and go, [`Watch`] looks after progress.
//! - [`Credits`] bound what is under way, a [`Receipt`] settles each [`Delivery`] exactly once, a
//!   [`Tracker`] says how far a lane is settled without a hole.
//! - [`BatchStage`] batches; a [`Flow`] plans a whole [`Pipeline`] from [`Source`] to [`Sink`].
//! - [`SystemHandle`] shows the live [`Tree`] and the stream of [`Event`]s.
//!
//! The words, the promises and a picture are in the crate's README.
//!
//! ```
//! use std::time::Duration;
//! use actors::{Addr, ChildSpec, Cx, Failure, Reply, Stage, Strategy, SupervisorSpec, System};
//!
//! struct Greeter;
//!
//! impl Stage for Greeter {
//!     type Msg = (&'static str, Reply<String>);
//!
//!     async fn handle(&mut self, (name, reply): Self::Msg, _cx: &mut Cx<Self::Msg>) -> Result<(), Failure> {
//!         reply.send(format!("hello {name}")).ok();
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Failure> {
//! let greeter = Addr::new("greeter");
//! let spec = SupervisorSpec::new(Strategy::OneForOne)
//!     .child(ChildSpec::stage("greeter", &greeter, |_epoch| Greeter));
//! let system = System::start("demo", spec).await?;
//! let second = Duration::from_secs(1);
//! assert_eq!(greeter.ask(second, |reply| ("you", reply)).await?, "hello you");
//! assert!(system.drain(second).await.is_clean());
//! # Ok(())
//! # }
//! ```

mod addr;
mod batch;
mod batch_stage;
mod bell;
mod children;
mod clock;
mod credits;
mod cx;
mod depth;
mod epoch;
mod event;
mod exit;
mod guard;
mod home;
mod inbox;
mod lifeline;
mod metrics;
mod owned;
mod pace;
mod pipeline;
mod pulse;
mod rate;
mod receipt;
mod reply;
mod report;
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
mod window;

pub use addr::{Addr, AskError, Undelivered};
pub use batch::BatchLimits;
pub use batch_stage::{BatchMsg, BatchSink, BatchStage};
pub use children::{Children, StartError, StopError, StopOutcome};
pub use credits::{Cost, Credits, Permit, Refused};
pub use cx::{Cx, Timer};
pub use epoch::Epoch;
pub use event::{Event, Events, NoEvent};
pub use exit::{Exit, Failure};
pub use owned::{Unanswered, owned_blocking_within, owned_within};
pub use pace::Pace;
pub use pipeline::{
    Closed, Failed, Fate, Flow, Passed, Pipeline, Pulled, Sink, Source, Step, Unusable,
};
pub use pulse::Pulse;
pub use rate::Rate;
pub use receipt::{Delivery, Origin, Outcome, Outlet, Position, Receipt, Settle, Settled};
pub use reply::{Dropped, Reply};
pub use report::{Casualty, DrainReport, Laggard, Overrun};
pub use restart::{Backoff, Intensity};
pub use spec::{ChildSpec, Restart, Shutdown, Strategy, SupervisorSpec};
pub use stage::Stage;
pub use system::{System, SystemHandle};
pub use track::{TrackError, Tracker};
pub use tree::{Account, Kind, State, Tree};
pub use watch::Watch;
