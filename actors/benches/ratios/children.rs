//! Ten thousand children: started in order, each awaited, and stopped in reverse order, each awaited.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use actors::{Addr, ChildSpec, Cx, Failure, Stage, Strategy, SupervisorSpec, System};
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

pub(crate) const COUNT: usize = 10_000;

struct Idle;

#[derive(Default)]
struct Order {
    up: AtomicUsize,
    broken: AtomicBool,
}

/// One of ours: it checks that it is started after those before it, and ends before them.
struct InOrder {
    at: usize,
    order: Arc<Order>,
}

impl InOrder {
    fn expect(&self, up: usize) {
        if up != self.at {
            self.order.broken.store(true, Ordering::SeqCst);
        }
    }
}

impl Stage for InOrder {
    type Msg = ();

    async fn started(&mut self, _: &mut Cx<()>) -> Result<(), Failure> {
        self.expect(self.order.up.fetch_add(1, Ordering::SeqCst));
        Ok(())
    }

    async fn handle(&mut self, (): (), _: &mut Cx<()>) -> Result<(), Failure> {
        Ok(())
    }
}

impl Drop for InOrder {
    fn drop(&mut self) {
        self.expect(self.order.up.fetch_sub(1, Ordering::SeqCst) - 1);
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

pub(crate) async fn bare() -> Duration {
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

pub(crate) async fn ours() -> Duration {
    let order = Arc::<Order>::default();
    let mut spec = SupervisorSpec::new(Strategy::OneForOne);
    for at in 0..COUNT {
        let order = Arc::clone(&order);
        let make = move |_| InOrder {
            at,
            order: Arc::clone(&order),
        };
        spec = spec.child(ChildSpec::stage(at.to_string(), &Addr::new("idle"), make));
    }
    tokio::spawn(async move {
        let began = Instant::now();
        let system = System::start("bench", spec).await.unwrap();
        assert!(system.drain(Duration::from_secs(60)).await.is_clean());
        let took = began.elapsed();
        assert!(!order.broken.load(Ordering::SeqCst), "out of order");
        took
    })
    .await
    .unwrap()
}
