//! Ten thousand children: started in order, each awaited, and stopped in reverse order, each awaited.

use std::time::{Duration, Instant};

use actors::{Addr, ChildSpec, Cx, Failure, Stage, Strategy, SupervisorSpec, System};
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

pub(crate) const COUNT: usize = 10_000;

struct Idle;

impl Stage for Idle {
    type Msg = ();

    async fn handle(&mut self, (): (), _: &mut Cx<()>) -> Result<(), Failure> {
        Ok(())
    }
}

impl Actor for Idle {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<()>,
        _: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

pub(crate) async fn bare(_: u64) -> Duration {
    // In a task of the runtime, as the supervisor is.
    tokio::spawn(async {
        let (parent, _) = <Idle as Actor>::spawn(None, Idle, ()).await.unwrap();
        let began = Instant::now();
        let mut children = Vec::with_capacity(COUNT);
        for _ in 0..COUNT {
            children.push(
                <Idle as Actor>::spawn_linked(None, Idle, (), parent.get_cell())
                    .await
                    .unwrap(),
            );
        }
        for (child, ended) in children.into_iter().rev() {
            child.stop(None);
            ended.await.unwrap();
        }
        began.elapsed()
    })
    .await
    .unwrap()
}

pub(crate) async fn ours(_: u64) -> Duration {
    let mut spec = SupervisorSpec::new(Strategy::OneForOne);
    for at in 0..COUNT {
        spec = spec.child(ChildSpec::stage(at.to_string(), &Addr::new("idle"), |_| {
            Idle
        }));
    }
    tokio::spawn(async {
        let began = Instant::now();
        let system = System::start("bench", spec).await.unwrap();
        assert!(system.drain(Duration::from_secs(60)).await.is_clean());
        began.elapsed()
    })
    .await
    .unwrap()
}
