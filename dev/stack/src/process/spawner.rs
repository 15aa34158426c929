//! The one thread that starts children. In: a command; out: the child. It must never end before
//! the process does: the kernel's parent-death signal is tied to the thread that forked, so a
//! child forked from a runtime's worker or a test's thread would die with that thread.

use std::io;
use std::process::{Child, Command};
use std::sync::{OnceLock, mpsc};

type Order = (Command, mpsc::Sender<io::Result<Child>>);

static ORDERS: OnceLock<mpsc::Sender<Order>> = OnceLock::new();

pub(super) fn spawn(command: Command) -> io::Result<Child> {
    let gone = || io::Error::other("the spawning thread is gone");
    let (reply, answer) = mpsc::channel();
    orders().send((command, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

fn orders() -> &'static mpsc::Sender<Order> {
    ORDERS.get_or_init(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        // The sender lives in a static, so this loop ends with the process only.
        let thread = std::thread::Builder::new().name("devstack-spawn".to_owned());
        let started = thread.spawn(move || {
            for (mut command, reply) in orders {
                // Nobody waiting any more means the child is dropped, which leaves it running;
                // it then ends with this thread like every other.
                drop(reply.send(command.spawn()));
            }
        });
        // If even a thread cannot be started, `spawn` reports it as the closed channel.
        drop(started);
        sender
    })
}
