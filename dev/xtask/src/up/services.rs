//! What `up` starts on top of the stack, and how each shows that it is ready. In: places, ports
//! and the stack's addresses; out: services in the order of their start. It must not start them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use devstack::Stack;
use devstack::process::{Signal, Spawn};

use super::ports::Ports;
use crate::exit::Failure;

/// Variables that a service gets from here, whatever the environment says.
pub(crate) const SET_BY_US: [&str; 6] = [
    "HTTP_ADDR",
    "ADMIN_ADDR",
    "KAFKA_BOOTSTRAP_SERVERS",
    "MONGODB_URI",
    "CUSTOMER_MANAGEMENT_API_URL",
    "LOG_FORMAT",
];

/// One program that is kept running.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub(crate) name: &'static str,
    pub(crate) spawn: Spawn,
    /// It is ready when this path of this port is answered with 200.
    pub(crate) ready: (u16, &'static str),
    /// How it is asked to end.
    pub(crate) stop: Signal,
    /// Longer than its own deadline for draining.
    pub(crate) stop_patience: Duration,
}

/// All that the services need to know.
pub(crate) struct Launch<'a> {
    pub(crate) root: &'a Path,
    pub(crate) dir: &'a Path,
    pub(crate) binaries: &'a Path,
    pub(crate) ports: Ports,
    pub(crate) stack: &'a Stack,
}

impl Launch<'_> {
    /// consumer-svc, producer-svc, the web page: each finds what it needs already there.
    pub(crate) fn services(&self) -> Result<Vec<Service>, Failure> {
        Ok(vec![self.consumer()?, self.producer()?, self.frontend()?])
    }

    fn consumer(&self) -> Result<Service, Failure> {
        let spawn = self
            .service(
                "consumer-svc",
                self.ports.consumer,
                self.ports.consumer_admin,
            )?
            .env("MONGODB_URI", self.stack.mongodb_uri())
            // The only member there is. Under the same name it has its partitions back at once after
            // a crash; a nameless one waits until its predecessor's session has timed out.
            .env(
                "KAFKA_GROUP_INSTANCE_ID",
                std::env::var("KAFKA_GROUP_INSTANCE_ID").unwrap_or("up".to_owned()),
            );
        Ok(Service {
            name: "consumer-svc",
            spawn,
            ready: (self.ports.consumer_admin, "/readyz"),
            stop: Signal::Term,
            stop_patience: Duration::from_secs(45),
        })
    }

    fn producer(&self) -> Result<Service, Failure> {
        let spawn = self
            .service(
                "producer-svc",
                self.ports.producer,
                self.ports.producer_admin,
            )?
            .env(
                "CUSTOMER_MANAGEMENT_API_URL",
                format!("http://127.0.0.1:{}", self.ports.consumer),
            );
        Ok(Service {
            name: "producer-svc",
            spawn,
            ready: (self.ports.producer_admin, "/readyz"),
            stop: Signal::Term,
            stop_patience: Duration::from_secs(45),
        })
    }

    /// What both services have in common. They inherit the environment, so any other variable of
    /// theirs can be given to `up`.
    fn service(&self, name: &'static str, port: u16, admin: u16) -> Result<Spawn, Failure> {
        Ok(Spawn::new(name, self.binaries.join(name))
            .env("HTTP_ADDR", format!("127.0.0.1:{port}"))
            .env("ADMIN_ADDR", format!("127.0.0.1:{admin}"))
            .env("KAFKA_BOOTSTRAP_SERVERS", self.stack.bootstrap_servers())
            .env("LOG_FORMAT", "text")
            .current_dir(self.root)
            .log(self.log(name)?))
    }

    fn frontend(&self) -> Result<Service, Failure> {
        // nginx is where a user's PATH often does not look.
        let mut path = std::env::var_os("PATH").unwrap_or_default();
        path.push(":/usr/sbin:/sbin");
        let spawn = Spawn::new("frontend", self.root.join("frontend/nginx/start.sh"))
            .env("PATH", path)
            .env("FRONTEND_ROOT", self.root.join("frontend/public"))
            .env("FRONTEND_ADDR", "127.0.0.1")
            .env("FRONTEND_PORT", self.ports.page.to_string())
            .env(
                "PRODUCER_UPSTREAM",
                format!("127.0.0.1:{}", self.ports.producer),
            )
            .env("RUN_DIR", self.dir.join("frontend"))
            .log(self.log("frontend")?)
            // On SIGKILL of the master its workers would stay; on SIGTERM it takes them along.
            .on_parent_death(Signal::Term);
        Ok(Service {
            name: "frontend",
            spawn,
            ready: (self.ports.page, "/nginx-health"),
            stop: Signal::Quit,
            // An open stream of statistics would hold a graceful end up forever.
            stop_patience: Duration::from_secs(3),
        })
    }

    /// A new log each time; the one of the last time stays beside it.
    fn log(&self, name: &str) -> Result<PathBuf, Failure> {
        let dir = self.dir.join("logs");
        fs::create_dir_all(&dir).map_err(Failure::doing(format!("creating {}", dir.display())))?;
        let log = dir.join(format!("{name}.log"));
        if log.exists() {
            let last = dir.join(format!("{name}.last.log"));
            fs::rename(&log, &last)
                .map_err(Failure::doing(format!("renaming {}", log.display())))?;
        }
        Ok(log)
    }
}
