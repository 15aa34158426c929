//! How a stack comes up. In: wishes and the environment; out: a ready [`Stack`], or an error with
//! nothing left running.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Stack, greet::greet};
use crate::broker::{self, Cluster};
use crate::database;
use crate::error::StackError;
use crate::install::{self, Given, Installed};
use crate::layout::Layout;
use crate::part::Part;
use crate::process::Process;
use crate::progress::Progress;
use crate::proxy::Proxy;
use crate::secured::Secured;

/// Formatting takes 1.4 s on a quiet machine.
const FORMAT_PATIENCE: Duration = Duration::from_secs(60);

/// Wishes for a [`Stack`].
#[derive(Debug, Clone)]
pub struct Builder {
    brokers: usize,
    dir: Option<PathBuf>,
    fresh: bool,
    given: Given,
    proxied: bool,
    full_jit: bool,
    standalone: bool,
    #[cfg(feature = "secured")]
    secured: bool,
    properties: Vec<(String, String)>,
    progress: Progress,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            brokers: 1,
            dir: None,
            fresh: false,
            given: Given::from_environment(),
            proxied: false,
            full_jit: false,
            standalone: false,
            #[cfg(feature = "secured")]
            secured: false,
            properties: Vec::new(),
            progress: Progress::default(),
        }
    }
}

impl Builder {
    /// One node, or three where replicas and leader changes are the subject.
    #[must_use]
    pub fn brokers(mut self, count: usize) -> Self {
        self.brokers = count.max(1);
        self
    }

    /// Keeps configuration, data, ports and logs here. Without it a temporary directory is used,
    /// removed with the stack (but kept and named if the test panics).
    #[must_use]
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Wipes what a previous run kept in the directory.
    #[must_use]
    pub fn fresh(mut self, fresh: bool) -> Self {
        self.fresh = fresh;
        self
    }

    /// Ignores addresses in the environment: for tests that stop and kill the parts.
    #[must_use]
    pub fn own(self) -> Self {
        self.given(Given::default())
    }

    /// Uses these addresses in place of those in the environment.
    #[must_use]
    pub fn given(mut self, given: Given) -> Self {
        self.given = given;
        self
    }

    /// Puts a [`Proxy`] before every part that is started here.
    #[must_use]
    pub fn proxied(mut self, proxied: bool) -> Self {
        self.proxied = proxied;
        self
    }

    /// The broker's JVM compiles fully: slower to start, faster after minutes of load. For benches.
    #[must_use]
    pub fn full_jit(mut self, full_jit: bool) -> Self {
        self.full_jit = full_jit;
        self
    }

    /// The database is a member of no replica set, and says so: as a `mongod` is that nobody set up.
    #[must_use]
    pub fn standalone(mut self) -> Self {
        self.standalone = true;
        self
    }

    /// Broker and database speak TLS and know a user: see [`Secured`]. The broker
    /// keeps a listener without, for witnesses; the database does not.
    #[cfg(feature = "secured")]
    #[must_use]
    pub fn secured(mut self) -> Self {
        self.secured = true;
        self
    }

    /// Adds broker properties; they win over the stack's own.
    #[must_use]
    pub fn broker_properties<K: Into<String>, V: Into<String>>(
        mut self,
        properties: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.properties.extend(
            properties
                .into_iter()
                .map(|(key, value)| (key.into(), value.into())),
        );
        self
    }

    /// Tells nothing, also during installations.
    #[must_use]
    pub fn quiet(self) -> Self {
        self.progress(Progress::quiet())
    }

    /// Where notices go.
    #[must_use]
    pub fn progress(mut self, progress: Progress) -> Self {
        self.progress = progress;
        self
    }

    /// Installs what is missing, starts everything side by side, and returns when all is ready.
    pub async fn start(self) -> Result<Stack, StackError> {
        let began = Instant::now();
        let installed = self.install().await?;

        let layout = Layout::open(
            self.dir.as_deref(),
            self.fresh,
            self.brokers,
            &self.progress,
        )?;
        let state = layout.state().clone();
        #[cfg(feature = "secured")]
        let mut secured = match self.secured {
            true => Some(Secured::issue(layout.part("tls")?)?),
            false => None,
        };
        #[cfg(not(feature = "secured"))]
        let mut secured: Option<Secured> = None;
        let database = match (&self.given.mongodb_uri, &installed.engine) {
            (None, Some(engine)) => {
                let kind = (self.standalone, secured.as_ref());
                database::part(&layout, engine, state.database, kind)?
            }
            (address, _) => Part::new("database", address.clone().unwrap_or_default(), None),
        };
        let brokers = match (&self.given.bootstrap_servers, &installed.libs) {
            (None, Some(libs)) => {
                let cluster = Cluster {
                    libs,
                    ports: &state.brokers,
                    proxied: self.proxied,
                    full_jit: self.full_jit,
                    extra: &self.properties,
                    secured: secured.as_ref(),
                };
                if database.is_ours() {
                    database.launch()?;
                }
                let brokers = self.launch_brokers(&layout, &cluster).await?;
                let tool = broker::user_tool(&layout, &cluster)?;
                if let Some(secured) = &mut secured {
                    secured.user_tool = Some(tool);
                }
                brokers
            }
            (address, _) => {
                if database.is_ours() {
                    database.launch()?;
                }
                vec![Part::new(
                    "broker",
                    address.clone().unwrap_or_default(),
                    None,
                )]
            }
        };
        // From here on the stack owns the processes: an early return drops it, and with it them.
        let mut stack = Stack {
            broker_proxies: Vec::new(),
            database_proxy: None,
            database,
            brokers,
            secured,
            layout,
        };
        if self.proxied {
            self.add_proxies(&mut stack)?;
        }
        self.await_ready(&stack).await?;
        let took = began.elapsed().as_secs_f64();
        self.progress
            .start(format!("broker and database are ready after {took:.1} s"));
        Ok(stack)
    }

    /// Installations block for minutes, so they run off the runtime's threads.
    async fn install(&self) -> Result<Installed, StackError> {
        let (given, progress) = (self.given.clone(), self.progress.clone());
        let work = move || install::ensure(&given, &progress);
        tokio::task::spawn_blocking(work)
            .await
            .unwrap_or_else(|error| {
                Err(StackError::Refused {
                    what: "installing".to_owned(),
                    detail: error.to_string(),
                })
            })
    }

    /// Configures, formats and launches the nodes, all side by side.
    async fn launch_brokers(
        &self,
        layout: &Layout,
        cluster: &Cluster<'_>,
    ) -> Result<Vec<Part>, StackError> {
        let indices = 0..cluster.ports.len();
        let parts: Vec<Part> = indices
            .clone()
            .map(|index| broker::part(layout, cluster, index))
            .collect::<Result<_, _>>()?;
        let mut formatting: Vec<Process> = Vec::new();
        for index in indices {
            if let Some(spawn) = broker::format(layout, cluster, index)? {
                formatting.push(spawn.start()?);
            }
        }
        if !formatting.is_empty() {
            self.progress.start("formatting the broker's storage");
        }
        for process in formatting {
            match process.wait_exit(FORMAT_PATIENCE).await {
                Some(status) if status.success() => {}
                ended => {
                    let what = process.name().to_owned();
                    return Err(StackError::Refused {
                        what,
                        detail: format!("{ended:?}\n{}", process.log_tail(10)),
                    });
                }
            }
        }
        for part in &parts {
            self.progress
                .start(format!("starting {} on {}", part.name(), part.address()));
            part.launch()?;
        }
        Ok(parts)
    }

    fn add_proxies(&self, stack: &mut Stack) -> Result<(), StackError> {
        let state = stack.layout.state();
        let local = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if stack.brokers.iter().all(Part::is_ours) {
            for ports in &state.brokers {
                stack
                    .broker_proxies
                    .push(Proxy::start(ports.proxy, local(ports.client))?);
            }
        }
        if stack.database.is_ours() {
            stack.database_proxy = Some(Proxy::start(state.database_proxy, local(state.database))?);
        }
        Ok(())
    }

    async fn await_ready(&self, stack: &Stack) -> Result<(), StackError> {
        for part in stack.brokers.iter().chain([&stack.database]) {
            if part.is_ours() {
                part.ready().await?;
            } else {
                greet(part, self.given.secured).await?;
            }
        }
        Ok(())
    }
}
