//! Keeps the services and the stack's parts running. In: services and the end of any process;
//! out: their logs on the terminal, restarts with backoff, and at last an orderly end. A part that
//! fails again and again ends the whole, with its reason.

mod restarts;
mod service;

use std::time::{Duration, Instant};

use devstack::{Part, Stack};

use self::restarts::{Restarts, Verdict};
use self::service::Running;
use super::StopSignal;
use super::services::Service;
use crate::exit::Failure;
use crate::say::say;

/// How often logs and processes are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Why the keeping ended.
pub(crate) enum Ending {
    /// By a signal.
    Asked,
    /// Something could not be kept running.
    GaveUp(Failure),
}

/// The services that are kept running, in the order of their start.
pub(crate) struct Keeper {
    services: Vec<Running>,
}

impl Keeper {
    pub(crate) fn new(services: Vec<Service>) -> Self {
        Self {
            services: services.into_iter().map(Running::new).collect(),
        }
    }

    /// Starts them one after the other, each ready before the next.
    pub(crate) async fn start(&mut self) -> Result<(), Failure> {
        for index in 0..self.services.len() {
            say(&format!("  starting {}", self.services[index].name()));
            self.services[index].launch()?;
            self.until_ready(index).await?;
        }
        Ok(())
    }

    async fn until_ready(&mut self, index: usize) -> Result<(), Failure> {
        loop {
            self.services.iter_mut().for_each(Running::relay_log);
            if let Some(reason) = self.services[index].ended() {
                return Err(self.services[index].failure(reason));
            }
            if self.services[index].look_whether_ready().await? {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Watches until a signal comes or something cannot be kept running.
    pub(crate) async fn keep(&mut self, stack: &Stack, stop: &mut StopSignal) -> Ending {
        let failure = tokio::select! {
            () = stop.next() => return Ending::Asked,
            failure = self.keep_services() => failure,
            failure = keep_part(stack.broker(0)) => failure,
            failure = keep_part(stack.database()) => failure,
        };
        Ending::GaveUp(failure)
    }

    /// Never returns but with the reason for giving up.
    async fn keep_services(&mut self) -> Failure {
        loop {
            for service in &mut self.services {
                if let Err(failure) = service.keep().await {
                    return failure;
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Ends them in reverse order, each awaited.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        let mut outcome = Ok(());
        while let Some(mut service) = self.services.pop() {
            let stopped = service.stop().await;
            self.services.iter_mut().for_each(Running::relay_log);
            outcome = outcome.and(stopped);
        }
        outcome
    }
}

/// Starts a broker or database that died again, on its port and data. Never returns but with the
/// reason for giving up.
async fn keep_part(part: &Part) -> Failure {
    let name = part.name();
    let mut restarts = Restarts::default();
    if !part.is_ours() {
        std::future::pending::<()>().await;
    }
    loop {
        part.ended().await;
        match restarts.after_failure(Instant::now()) {
            Verdict::GiveUp { failures } => {
                let tail = part.log_tail(15);
                return Failure::software(format!(
                    "{name} ended {failures} times within a minute; the end of its log:\n{tail}"
                ));
            }
            Verdict::Again { after, nth } => {
                say(&format!(
                    "! {name} ended by itself; starting it again ({nth}) in {:.1} s",
                    after.as_secs_f64()
                ));
                tokio::time::sleep(after).await;
                match part.restart().await {
                    Ok(()) => say(&format!("! {name} is back")),
                    Err(error) => say(&format!("! {name} did not come back: {error}")),
                }
            }
        }
    }
}
