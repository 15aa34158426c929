//! The ports of `up`. In: wishes; out: a port for each listener: the wished one or an error that
//! names it, else the usual one or, where that is taken, a free one.

use devstack::{free_port, is_free, reserve};

use crate::exit::Failure;
use crate::say::say;

/// Ports the user insists on.
#[derive(clap::Args)]
pub(crate) struct Wishes {
    /// Port of the web page [default: 8080, or a free one]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Port of producer-svc [default: 8000, or a free one]
    #[arg(long, value_name = "PORT")]
    producer_port: Option<u16>,
    /// Port of consumer-svc [default: 8001, or a free one]
    #[arg(long, value_name = "PORT")]
    consumer_port: Option<u16>,
    /// Admin port of producer-svc [default: 9000, or a free one]
    #[arg(long, value_name = "PORT")]
    producer_admin_port: Option<u16>,
    /// Admin port of consumer-svc [default: 9001, or a free one]
    #[arg(long, value_name = "PORT")]
    consumer_admin_port: Option<u16>,
}

/// Every port that is listened on, all on 127.0.0.1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) page: u16,
    pub(crate) producer: u16,
    pub(crate) consumer: u16,
    pub(crate) producer_admin: u16,
    pub(crate) consumer_admin: u16,
}

impl Ports {
    pub(crate) fn choose(wishes: &Wishes) -> Result<Self, Failure> {
        // The wished ones first, lest a usual one is given out that another wish names.
        let mut taken = Vec::new();
        for (option, wish) in [
            ("--port", wishes.port),
            ("--producer-port", wishes.producer_port),
            ("--consumer-port", wishes.consumer_port),
            ("--producer-admin-port", wishes.producer_admin_port),
            ("--consumer-admin-port", wishes.consumer_admin_port),
        ] {
            if let Some(port) = wish {
                insist(option, port, &taken)?;
                taken.push(port);
            }
        }
        Ok(Self {
            page: wishes.port.unwrap_or_else(|| usual("the web page", 8080)),
            producer: wishes
                .producer_port
                .unwrap_or_else(|| usual("producer-svc", 8000)),
            consumer: wishes
                .consumer_port
                .unwrap_or_else(|| usual("consumer-svc", 8001)),
            producer_admin: wishes
                .producer_admin_port
                .unwrap_or_else(|| usual("producer-svc's admin port", 9000)),
            consumer_admin: wishes
                .consumer_admin_port
                .unwrap_or_else(|| usual("consumer-svc's admin port", 9001)),
        })
    }
}

fn insist(option: &str, port: u16, taken: &[u16]) -> Result<(), Failure> {
    if port == 0 || taken.contains(&port) {
        let message =
            format!("{option} {port}: choose a port from 1 to 65535 that no other option names");
        return Err(Failure::new(crate::exit::USAGE, message));
    }
    if reserve(port) {
        return Ok(());
    }
    let reason = if is_free(port) {
        "reserved by another run of this project"
    } else {
        "in use by another program"
    };
    Err(Failure::unavailable(format!(
        "{option} {port}: the port is {reason} on 127.0.0.1 (or not allowed to this user). Stop that program, name \
         another port, or leave the option away and a free one is chosen"
    )))
}

fn usual(what: &str, port: u16) -> u16 {
    if reserve(port) {
        return port;
    }
    let other = free_port();
    say(&format!("  port {port} is taken, so {what} is on {other}"));
    other
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::{Ports, Wishes, free_port};
    use crate::exit::{UNAVAILABLE, USAGE};

    fn wish(port: Option<u16>, producer_port: Option<u16>) -> Wishes {
        Wishes {
            port,
            producer_port,
            consumer_port: None,
            producer_admin_port: None,
            consumer_admin_port: None,
        }
    }

    #[test]
    fn a_wished_port_in_use_is_named_with_the_option_and_the_remedy() {
        let squatter = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = squatter.local_addr().unwrap().port();
        let failure = Ports::choose(&wish(Some(port), None)).unwrap_err();
        assert_eq!(failure.code, UNAVAILABLE);
        assert!(
            failure.message.starts_with(&format!("--port {port}: ")),
            "{failure}"
        );
        assert!(
            failure.message.contains("in use by another program"),
            "{failure}"
        );
    }

    #[test]
    fn one_port_for_two_things_is_wrong_usage() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let failure = Ports::choose(&wish(Some(port), Some(port))).unwrap_err();
        assert_eq!(failure.code, USAGE);
        assert!(failure.message.contains("--producer-port"), "{failure}");
    }

    #[test]
    fn ports_that_are_not_wished_are_all_different() {
        let wished = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let ports = Ports::choose(&wish(Some(wished), None)).unwrap();
        let mut all = [
            ports.page,
            ports.producer,
            ports.consumer,
            ports.producer_admin,
            ports.consumer_admin,
        ];
        assert_eq!(ports.page, wished);
        all.sort_unstable();
        assert!(all.windows(2).all(|pair| pair[0] != pair[1]), "{all:?}");
        assert!(!all.contains(&free_port()));
    }
}
