//! One place for a service: it is started there, hurt, and started again. In: a recipe. Out: what
//! should not have happened. It plays the orchestrator: who ends by itself is started again, and noted.

use std::time::Duration;

use devstack::process::Signal;
use e2e::service::{Plan, Service};
use e2e::wrongs::Wrongs;

/// How long a service has for what it accepted; shorter than its default, because a campaign that
/// waits hurts nobody.
pub(crate) const DRAIN: &str = "12s";
/// After this long, a service that was told to end does not end.
const OVERDUE: Duration = Duration::from_secs(40);
/// Everything accepted is finished.
const DRAINED: i32 = 0;
/// Not everything could be finished in time, as when the broker is away.
const OVERRAN: i32 = 75;

/// A place and who stands there.
#[derive(Debug)]
pub(crate) struct Slot {
    name: String,
    plan: Plan,
    service: Option<Service>,
}

impl Slot {
    pub(crate) fn new(name: String, plan: Plan) -> Self {
        let plan = plan.env("DRAIN_TIMEOUT", DRAIN);
        Self {
            name,
            plan,
            service: None,
        }
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn service(&self) -> Option<&Service> {
        self.service.as_ref()
    }

    pub(crate) fn start(&mut self) {
        self.service = Some(self.plan.start());
    }

    /// Starts it again if it has ended by itself, which is wrong.
    pub(crate) fn look(&mut self, wrongs: &mut Wrongs) {
        let Some(service) = &self.service else {
            return;
        };
        let Some(status) = service.process().exit() else {
            return;
        };
        wrongs.add("services that ended by themselves", || {
            format!(
                "{}: {status}\n{}",
                self.name,
                service.process().log_tail(25)
            )
        });
        self.start();
    }

    pub(crate) async fn kill(&mut self) {
        if let Some(service) = self.service.take() {
            service.kill().await;
        }
    }

    pub(crate) fn freeze(&self) {
        if let Some(service) = &self.service {
            service.process().freeze();
        }
    }

    pub(crate) fn thaw(&self) {
        if let Some(service) = &self.service {
            service.signal(Signal::Cont);
        }
    }

    /// SIGTERM. It must drain, or say that it could not in time.
    pub(crate) async fn leave(&mut self) -> Wrongs {
        let mut wrongs = Wrongs::default();
        let Some(service) = self.service.take() else {
            return wrongs;
        };
        service.signal(Signal::Term);
        let ended = service.process().wait_exit(OVERDUE).await;
        let code = ended.and_then(|status| status.code());
        if !matches!(code, Some(DRAINED | OVERRAN)) {
            wrongs.add("services that did not end well on SIGTERM", || {
                let tail = service.process().log_tail(25);
                format!("{}: {ended:?}\n{tail}", self.name)
            });
        }
        wrongs
    }
}
