//! What the user reads once everything runs. In: ports and addresses; out: lines. It must not show
//! a password.

use std::time::Instant;

use devstack::Stack;
use devstack::install::Given;

use super::ports::Ports;
use crate::exit::Failure;
use crate::run_lock::RunLock;
use crate::say::say;

/// Shows every address, and tells a second `up` where the page is.
pub(super) fn show(
    stack: &Stack,
    ports: Ports,
    given: &Given,
    lock: &RunLock,
    began: Instant,
    built_at: Instant,
) -> Result<(), Failure> {
    let page = format!("http://127.0.0.1:{}", ports.page);
    lock.announce(&page)?;
    let outside = |given: bool| if given { "   (given)" } else { "" };
    // The password of a given URI is not for a terminal.
    let database = if given.mongodb_uri.is_some() {
        "MONGODB_URI".to_owned()
    } else {
        stack.mongodb_uri()
    };
    say("");
    say(&format!(
        "Purchase Management System is up ({:.1} s, of which {:.1} s installing and building)",
        began.elapsed().as_secs_f64(),
        built_at.duration_since(began).as_secs_f64()
    ));
    say("");
    say(&format!("  web page       {page}"));
    say(&format!(
        "  producer-svc   http://127.0.0.1:{}   (also {page}/api)",
        ports.producer
    ));
    say(&format!(
        "  consumer-svc   http://127.0.0.1:{}",
        ports.consumer
    ));
    say(&format!(
        "  admin ports    http://127.0.0.1:{}  and  http://127.0.0.1:{}",
        ports.producer_admin, ports.consumer_admin
    ));
    say("                 each with /metrics /livez /readyz /actors");
    say(&format!(
        "  broker         {}{}",
        stack.bootstrap_servers(),
        outside(given.bootstrap_servers.is_some())
    ));
    say(&format!(
        "  database       {database}{}",
        outside(given.mongodb_uri.is_some())
    ));
    say("  data and logs  .data/up");
    say("");
    say("Ctrl-C drains the services and stops everything.");
    say("");
    Ok(())
}
