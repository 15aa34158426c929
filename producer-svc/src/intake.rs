//! The intake stage: owns the customers' port.
//!
//! In: HTTP requests. Out: orders to select and questions to history; answers to customers. The
//! stage holds the accept loop's life: it opens the port when it starts, again when it is restarted,
//! and while draining lets every accepted request have its answer. Requests themselves never pass
//! through its mailbox.

use std::convert::Infallible;
use std::error::Error;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actors::{Cx, Failure, Stage};
use host::serve::{Door, ServeReport};
use http::Request;
use hyper::body::Body;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower_service::Service;
use warp::reply::Response;

mod answer;
mod buy;
mod desk;
mod front;
mod headers;
mod openapi;
mod pages;
mod proxy;
mod request;
mod retry;
mod routes;

use front::Front;

pub use desk::{Bounds, Desk, Outlets};
pub use headers::{BadKey, BuyHeaders, ClientIds};
pub use request::{BuyRequest, Flaw, Invalid};

/// Mailbox of the intake stage.
pub enum IntakeMsg {
    /// The accept loop is over, and every connection with it.
    Ended(ServeReport),
}

/// Serves customers.
pub struct Intake {
    desk: Arc<Desk>,
    door: Door,
    /// How long accepted requests may take while draining.
    drain_within: Duration,
    /// What the drain met, for the one line about it.
    report: Arc<OnceLock<ServeReport>>,
    /// Closes the port, also when this stage fails: its successor needs it.
    open: Option<DropGuard>,
}

impl Intake {
    /// An intake at this door.
    pub fn new(
        desk: Arc<Desk>,
        door: Door,
        drain_within: Duration,
        report: Arc<OnceLock<ServeReport>>,
    ) -> Self {
        Self {
            desk,
            door,
            drain_within,
            report,
            open: None,
        }
    }
}

/// All routes. `closing` ends answers that would never end by themselves. What has no path, and what has another
/// number of hosts than one, is not to come here.
pub fn service<B>(
    desk: &Arc<Desk>,
    closing: &CancellationToken,
) -> impl Service<Request<B>, Response = Response, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static
where
    B: Body + Send + Sync + 'static,
    B::Data: Send,
    B::Error: Error + Send + Sync + 'static,
{
    let others = warp::service(routes::routes(Arc::clone(desk), closing.clone()));
    Front::new(Arc::clone(desk), others)
}

impl Stage for Intake {
    type Msg = IntakeMsg;

    async fn started(&mut self, cx: &mut Cx<IntakeMsg>) -> Result<(), Failure> {
        let server = self.door.server().await?;
        let closing = CancellationToken::new();
        self.open = Some(closing.clone().drop_guard());
        let service = service(&self.desk, &closing);
        let within = self.drain_within;
        let front = self.desk.front.clone();
        let service = move |peer| front.before(service.clone(), peer);
        cx.spawn(async move { IntakeMsg::Ended(server.run_for(service, closing, within).await) });
        Ok(())
    }

    async fn handle(&mut self, msg: IntakeMsg, _: &mut Cx<IntakeMsg>) -> Result<(), Failure> {
        let IntakeMsg::Ended(report) = msg;
        if self.open.is_some() {
            return Err(format!("the accept loop ended by itself: {report}").into());
        }
        if self.report.set(report).is_err() {
            tracing::debug!(%report, "drained a second time");
        }
        Ok(())
    }

    async fn drained(&mut self, _: &mut Cx<IntakeMsg>) -> Result<(), Failure> {
        // Dropping the guard closes the port and begins the end of every connection.
        self.open = None;
        Ok(())
    }
}
