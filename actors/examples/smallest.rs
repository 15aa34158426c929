//! The smallest supervised actor: it counts, is asked, fails, and is there again.

use std::time::Duration;

use actors::{Addr, ChildSpec, Cx, Failure, Reply, Stage, Strategy, SupervisorSpec, System};

struct Counter {
    count: u64,
}

enum CounterMsg {
    Add(u64),
    Get(Reply<u64>),
    Fail,
}

impl Stage for Counter {
    type Msg = CounterMsg;

    async fn handle(&mut self, msg: CounterMsg, _cx: &mut Cx<CounterMsg>) -> Result<(), Failure> {
        match msg {
            CounterMsg::Add(more) => self.count += more,
            CounterMsg::Get(reply) => {
                // Whoever asked may have given up waiting, and that is fine.
                reply.send(self.count).ok();
            }
            CounterMsg::Fail => return Err("asked to fail".into()),
        }
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let counter = Addr::new("counter");
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(ChildSpec::stage(
        "counter",
        &counter,
        |_epoch| Counter { count: 0 },
    ));
    let system = System::start("smallest", spec).await?;

    counter.send(CounterMsg::Add(2))?;
    counter.send(CounterMsg::Add(3))?;
    println!(
        "counted {}",
        counter.ask(Duration::from_secs(1), CounterMsg::Get).await?
    );

    let mut events = system.handle().events();
    counter.send(CounterMsg::Fail)?;
    while !matches!(events.recv().await?, actors::Event::Restarted { .. }) {}
    println!(
        "after a restart {}",
        counter.ask(Duration::from_secs(1), CounterMsg::Get).await?
    );

    // A service waits for whichever comes first: a signal, or the end of its root, after which its
    // process should exit with a failure and be replaced.
    let signal = tokio::time::sleep(Duration::from_millis(50));
    tokio::select! {
        exit = system.ended() => return Err(exit.to_string().into()),
        () = signal => println!("asked to end"),
    }
    let report = system.drain(Duration::from_secs(5)).await;
    println!("{} after {:?}", report.exit, report.took);
    assert!(report.is_clean());
    Ok(())
}

#[test]
fn it_runs() {
    main().expect("what it asserts holds");
}
