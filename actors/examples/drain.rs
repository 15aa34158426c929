//! A drain: children finish in reverse order under one deadline, and who does not is named.

use std::time::Duration;

use actors::{Addr, ChildSpec, Cx, Failure, Stage, Strategy, SupervisorSpec, System};

struct Worker(&'static str);

enum WorkerMsg {
    Work(Duration),
    Worked,
}

impl Stage for Worker {
    type Msg = WorkerMsg;

    async fn handle(&mut self, msg: WorkerMsg, cx: &mut Cx<WorkerMsg>) -> Result<(), Failure> {
        match msg {
            // An owned task: it is never dropped half way, and its result comes back here.
            WorkerMsg::Work(takes) => cx.spawn(async move {
                tokio::time::sleep(takes).await;
                WorkerMsg::Worked
            }),
            WorkerMsg::Worked => println!("{} worked, {} to go", self.0, cx.in_flight()),
        }
        Ok(())
    }

    async fn drained(&mut self, cx: &mut Cx<WorkerMsg>) -> Result<(), Failure> {
        println!("{} drains with {} in flight", self.0, cx.in_flight());
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let (store, intake) = (Addr::new("store"), Addr::new("intake"));
    let spec = SupervisorSpec::new(Strategy::RestForOne)
        .child(ChildSpec::stage("store", &store, |_| Worker("store")))
        .child(ChildSpec::stage("intake", &intake, |_| Worker("intake")));
    let system = System::start("drain", spec).await?;
    intake.send(WorkerMsg::Work(Duration::from_millis(50)))?;
    store.send(WorkerMsg::Work(Duration::from_millis(100)))?;
    store.send(WorkerMsg::Work(Duration::from_secs(3600)))?;

    let report = system.drain(Duration::from_millis(300)).await;
    for laggard in &report.laggards {
        println!(
            "{} {} ({} in flight)",
            laggard.path, laggard.overrun, laggard.in_flight
        );
    }
    println!("{} after {:?}", report.exit, report.took);
    assert_eq!(report.laggards.len(), 1, "the one with an hour of work");
    Ok(())
}

#[test]
fn it_runs() {
    main().expect("what it asserts holds");
}
