//! The service as a whole: where the stages meet.
//!
//! In: a configuration. Out: a running tree with its two ports, until it is told to stop; then a drain
//! in the reverse order of the start, and an account of it. Nothing here handles a request.

mod ending;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actors::{Addr, ChildSpec, Cost, Credits, Shutdown, Strategy, SupervisorSpec, System};
use host::Process;
use host::admin::{self, Admin};
use host::exit::{Code, Failure};
use host::levels::Levels;
use host::readiness::Readiness;
use host::serve::{Door, Limits, ServeReport, Server};
use host::signal::Hangup;
use host::span::Tracer;
use host::trace::Ids;
use host::web::shares::Shares;
use purchases::IdSource;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use self::ending::judge;
use crate::config::{Config, intake_share};
use crate::flow::{HistoryMsg, Order, PublishMsg};
use crate::history::HistoryProxy;
use crate::history::client::HistoryClient;
use crate::intake::{Bounds, Desk, Intake, IntakeMsg, Outlets};
use crate::link::Link;
use crate::metrics::Metrics;
use crate::publish::kafka::{KafkaLog, Partitions};
use crate::publish::{OpenLog, Publisher, PublisherArgs, RecordLog};
use crate::replay::Replays;
use crate::restock::{Restock, RestockMsg, Restocker};
use crate::select::ItemSelector;
use crate::shelf::Shelf;

/// What the process gives to the service.
pub struct Surroundings {
    /// Cancelled when the service is to stop.
    pub shutdown: CancellationToken,
    /// Where the service says that it can be given work.
    pub readiness: Readiness,
    /// What `/metrics` shows.
    pub metrics: host::metrics::Metrics,
    /// What is logged.
    pub levels: Levels,
    /// Told when the catalog's file is to be read again.
    pub hangup: Hangup,
    /// Where spans begin.
    pub tracer: Tracer,
}

/// Runs the service in its process.
///
/// # Errors
///
/// As [`App::build`] and [`App::run`].
pub async fn run(config: Config, process: Process) -> Result<(), Failure> {
    let Process {
        shutdown,
        readiness,
        metrics,
        levels,
        tracer,
        ..
    } = process;
    let listen = || Hangup::listen().map_err(|error| Failure::new(Code::Software, error));
    let hangup = listen()?;
    let _renewal = match &config.tls {
        Some(tls) => Some(tls.renew_on(listen()?)),
        None => None,
    };
    App::build(
        config,
        Surroundings {
            shutdown,
            readiness,
            metrics,
            levels,
            hangup,
            tracer,
        },
    )
    .await?
    .run()
    .await
}

/// The running service.
pub struct App {
    system: System,
    http_addr: SocketAddr,
    admin_addr: SocketAddr,
    shutdown: CancellationToken,
    drain_timeout: Duration,
    tracer: Tracer,
    intake: Arc<OnceLock<ServeReport>>,
    /// Serves until the end of the drain, so that the drain can be watched.
    _admin: AbortOnDropHandle<()>,
}

impl App {
    /// Starts everything, on Kafka.
    ///
    /// # Errors
    ///
    /// What cannot be had, with the exit code for it. A broker that is away is no error.
    pub async fn build(config: Config, surroundings: Surroundings) -> Result<Self, Failure> {
        let metrics = Arc::new(Metrics::new());
        let (kafka, counting) = (config.kafka.clone(), Arc::clone(&metrics));
        let partitions = Partitions::default();
        let open: OpenLog<KafkaLog> = Arc::new(move |reports| {
            let log = KafkaLog::open(&kafka, reports, Arc::clone(&counting))?;
            Ok(log.knowing(&partitions))
        });
        Self::build_on(open, metrics, config, surroundings).await
    }

    /// Starts everything, on any log.
    ///
    /// # Errors
    ///
    /// What cannot be had, with the exit code for it.
    pub async fn build_on<L: RecordLog>(
        open: OpenLog<L>,
        metrics: Arc<Metrics>,
        config: Config,
        surroundings: Surroundings,
    ) -> Result<Self, Failure> {
        let Surroundings {
            shutdown,
            readiness,
            metrics: exposition,
            levels,
            hangup,
            tracer,
        } = surroundings;
        let reached = readiness.latch("kafka");
        let limits = Limits {
            connections: config.intake.max_connections,
            ..Limits::default()
        };
        let door = Door::open("customers", config.http_addr, "HTTP_ADDR", limits)?;
        let door = door.tls(config.tls).cors(config.cors);
        let admin = Server::bind("operators", config.admin_addr, "ADMIN_ADDR", admin::LIMITS)?;
        let (http_addr, admin_addr) = (door.addr(), admin.local_addr());

        let publish: Addr<PublishMsg> = Addr::new("publish");
        let select: Addr<Box<Order>> = Addr::new("select");
        let history: Addr<HistoryMsg> = Addr::new("history");
        let intake: Addr<IntakeMsg> = Addr::new("intake");
        let restocking: Addr<RestockMsg> = Addr::new("restock");
        let (kafka_link, history_link) = (Link::default(), Link::default());
        let report = Arc::new(OnceLock::new());

        let publisher = PublisherArgs {
            open,
            link: kafka_link.clone(),
            reached: {
                let latch = reached.clone();
                Arc::new(move || latch.meet())
            },
            waiting: {
                let latch = reached.clone();
                Arc::new(move |why| latch.waits(why))
            },
            barred: Arc::new(move |why| reached.reopen_because(why)),
            linger: config.kafka.linger,
            hold_timeout: config.kafka.hold_timeout(),
            report_timeout: config.kafka.report_timeout(),
            metrics: Arc::clone(&metrics),
        };
        let shelf = Shelf::new(config.catalog);
        let restock = Restock {
            file: config.catalog_file,
            shelf: shelf.clone(),
            hangup,
            metrics: Arc::clone(&metrics),
        };
        let client = Arc::new(HistoryClient::new(&config.history));
        let bounds = Bounds {
            purchases: Credits::new(
                "purchases",
                Cost {
                    count: config.intake.max_purchases,
                    bytes: config.intake.max_bytes,
                },
            ),
            requests: by_count("history", config.history.max_requests),
            streams: by_count("streams", config.history.max_streams),
            requests_each: shares(config.history.requests_each, config.history.max_requests),
            streams_each: shares(config.history.streams_each, config.history.max_streams),
            max_wait: config.intake.max_wait,
            patience: config.kafka.delivery_timeout,
        };
        let replays = Replays::new(config.replays, Arc::clone(&metrics));
        let (room, requests, streams) = (
            bounds.purchases.clone(),
            bounds.requests.clone(),
            bounds.streams.clone(),
        );
        let desk = Desk::new(
            Outlets {
                select: select.clone(),
                history: history.clone(),
                topic: config.kafka.topic.clone(),
            },
            bounds,
            (kafka_link, history_link.clone()),
            Arc::clone(&metrics),
            replays.clone(),
            shelf.clone(),
            entropy()?,
        );
        let desk = desk.behind(config.rate_limit, config.client_header);
        let desk = Arc::new(desk.traced(tracer.clone()));
        let root = SupervisorSpec::new(Strategy::OneForOne)
            .child(child(
                ChildSpec::stage("publish", &publish, move |_| {
                    Publisher::new(publisher.clone())
                })
                .credits(&room),
            ))
            .child(child(ChildSpec::stage("select", &select, move |_| {
                ItemSelector::new(&shelf, publish.clone())
            })))
            .child(child(ChildSpec::stage("restock", &restocking, move |_| {
                Restocker::new(restock.clone())
            })))
            .child(child(
                ChildSpec::stage("history", &history, move |_| {
                    HistoryProxy::new(
                        Arc::clone(&client),
                        history_link.clone(),
                        Arc::clone(&metrics),
                    )
                })
                .credits(&requests)
                .credits(&streams),
            ))
            .child(child(ChildSpec::stage("intake", &intake, {
                let (report, within) = (Arc::clone(&report), intake_share(config.drain_timeout));
                move |_| Intake::new(Arc::clone(&desk), door.clone(), within, Arc::clone(&report))
            })));
        let system = System::start("producer-svc", root)
            .await
            .map_err(|error| Failure::new(Code::Software, error))?;
        let (tree, gauges) = (system.handle(), system.handle());
        let pages = Admin::new(readiness, exposition, levels, move || {
            serde_json::to_value(tree.tree()).unwrap_or_default()
        })
        .refresh(move || {
            gauges.publish_metrics();
            replays.publish_metrics();
        });
        tracing::info!(%http_addr, %admin_addr, "serving");
        Ok(Self {
            system,
            http_addr,
            admin_addr,
            shutdown,
            drain_timeout: config.drain_timeout,
            tracer,
            intake: report,
            _admin: pages.spawn(admin),
        })
    }

    /// Where customers are served.
    pub fn http_addr(&self) -> SocketAddr {
        self.http_addr
    }

    /// Where operators are served.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }

    /// Runs until told to stop, then drains.
    ///
    /// # Errors
    ///
    /// If the tree gave up, or if the drain had to give something up.
    pub async fn run(self) -> Result<(), Failure> {
        tokio::select! {
            () = self.shutdown.cancelled() => self.drain().await,
            exit = self.system.ended() => Err(Failure::new(Code::Software, format!("the service ended by itself: {exit}"))),
        }
    }

    async fn drain(&self) -> Result<(), Failure> {
        let drain = self.system.drain(self.drain_timeout).await;
        let intake = self.intake.get().copied().unwrap_or_default();
        let took = drain.took;
        let left = self.drain_timeout.saturating_sub(took);
        self.tracer.close(left).await;
        let end = judge(&drain, &intake, self.drain_timeout);
        match &end {
            Ok(()) if intake.untaken > 0 => {
                tracing::warn!(%intake, ?took, "drained: every accepted request was answered, and not every client took its answer");
            }
            Ok(()) => {
                tracing::info!(%intake, ?took, "drained: every accepted request has its answer");
            }
            // Why, and with which code, is said once, where the process ends.
            Err(_) => tracing::warn!(%intake, ?took, "the drain was not whole"),
        }
        end
    }
}

/// Every stage is given what is left of the one deadline for all.
fn child(spec: ChildSpec) -> ChildSpec {
    spec.shutdown(Shutdown::Infinity)
}

/// Credits that are counted and not weighed.
fn by_count(name: &str, count: usize) -> Credits {
    Credits::new(
        name,
        Cost {
            count,
            bytes: count,
        },
    )
}

/// What one client may have of all, unless that is all.
fn shares(each: usize, all: usize) -> Option<Shares> {
    (each < all).then(|| Shares::new(each))
}

/// What must differ between processes.
fn entropy() -> Result<(IdSource, Ids), Failure> {
    let broken =
        |error: getrandom::Error| Failure::new(Code::Software, format!("no randomness: {error}"));
    let mut unique = [0; 5];
    getrandom::fill(&mut unique).map_err(broken)?;
    let start = getrandom::u32().map_err(broken)?;
    Ok((IdSource::new(unique, start), Ids::new().map_err(broken)?))
}
