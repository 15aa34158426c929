//! The wiring: the one file that names every stage and every adapter.
//!
//! In: configuration. Out: a running supervision tree, its addresses, and an orderly end.

mod ending;
mod errand;
mod ingest;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actors::{Addr, ChildSpec, Cost, Credits, Exit, Shutdown, Strategy, SupervisorSpec, System};
use host::Process;
use host::admin::{self, Admin};
use host::exit::{Code, Failure};
use host::readiness::Latch;
use host::serve::{Door, Server};
use host::signal::Hangup;
use host::trace::Ids;
use host::web::docs::Docs;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::assign::Held;
use crate::board::Board;
use crate::config::Config;
use crate::health::{Health, watch_kafka, watch_lag, watch_mongodb};
use crate::kafka::{Observer, refused};
use crate::lane::Report;
use crate::metrics;
use crate::mongo::connect;
use crate::query::fair::Fair;
use crate::query::history::Histories;
use crate::query::http::Api;
use crate::query::mongo::MongoHistory;
use crate::query::openapi;
use crate::query::stats::StatsApi;
use crate::query::{LIMITS, Query};
use crate::schema::{self, mongo::MongoSchema};
use crate::stats::kafka::KafkaStandings;
use crate::stats::{self, Stats};
use crate::tally::mongo::MongoTallies;
use crate::write::mongo::MongoStore;

use self::ending::{Partitions, judge};
use self::errand::errand;
use self::ingest::Ingest;

/// The service, running.
pub struct App {
    /// Where the query API listens.
    pub http_addr: SocketAddr,
    /// Where the admin port listens.
    pub admin_addr: SocketAddr,
    system: System,
    process: Process,
    drain_timeout: Duration,
    held: Held,
    /// Ends with the app: it must answer while the app drains.
    _admin: AbortOnDropHandle<()>,
}

/// Builds the service and runs it until it is told to end.
///
/// # Errors
/// Why it could not start, or what ended it.
pub async fn run(config: Config, process: Process) -> Result<(), Failure> {
    let _renewal = match &config.tls {
        Some(tls) => {
            let hangup = Hangup::listen().map_err(|error| Failure::new(Code::Software, error))?;
            Some(tls.renew_on(hangup))
        }
        None => None,
    };
    App::build(config, process).await?.run().await
}

impl App {
    /// Takes the ports and starts the tree. Broker and database need not be there yet.
    ///
    /// # Errors
    /// A port that is taken, or a client that refuses its configuration.
    pub async fn build(config: Config, process: Process) -> Result<Self, Failure> {
        metrics::describe();
        let http = Door::open("query", config.http_addr, "HTTP_ADDR", LIMITS)?;
        let http = http.tls(config.tls.clone()).cors(config.cors.clone());
        let admin = Server::bind("admin", config.admin_addr, "ADMIN_ADDR", admin::LIMITS)?;
        let (http_addr, admin_addr) = (http.addr(), admin.local_addr());
        let latch = |name| process.readiness.latch(name);
        let (mongodb, kafka, shape) = (latch("mongodb"), latch("kafka"), latch("schema"));

        let client = connect(&config.mongo)
            .await
            .map_err(|cause| Failure::new(Code::Usage, cause))?;
        let names = (
            config.mongo.database.as_str(),
            config.mongo.collection.as_str(),
        );
        let store = MongoStore::new(
            &client,
            names.0,
            names.1,
            (config.mongo.write_timeout, config.flow.writers),
        );
        let query_timeout = config.mongo.query_timeout;
        let fair = Fair::new(config.queries, config.long_queries, query_timeout);
        let history = MongoHistory::new(&client, names, (query_timeout, fair.most()));
        let schema = MongoSchema::new(&client, names, config.mongo.write_timeout);
        let health = Health::default();
        let tallies = Arc::new(MongoTallies::new(
            &client,
            names,
            (&config.kafka.group_id, &config.kafka.topic),
            config.mongo.write_timeout.min(config.mongo.query_timeout),
        ));
        let observer = Observer::new(&config.kafka).map_err(|cause| {
            Failure::new(Code::Usage, format!("kafka consumer: {}", refused(&cause)))
        })?;
        let observer = Arc::new(observer);
        let ingest = Ingest::new(
            &config,
            store.clone(),
            Arc::clone(&tallies),
            &observer,
            (stops(latch("partitions")), &process.tracer),
        )?;
        let stats_addr = Addr::new("stats");
        let board = Board::new(stats::waker(stats_addr.clone()));

        let api = Arc::new(Api {
            histories: Histories::new(history.clone(), fair.clone()),
            health: health.clone(),
            ids: Ids::new().map_err(|cause| Failure::new(Code::Software, cause.to_string()))?,
            tracer: process.tracer.clone(),
            stats: StatsApi {
                board: board.clone(),
                streams: Credits::new("stats_streams", Cost::pieces(config.stats_streams)),
                wait: config.mongo.query_timeout,
            },
            docs: Docs::new(&openapi::document(process.version)),
            version: process.version,
        });
        let standings = Arc::new(KafkaStandings::new(Arc::clone(&observer)));
        let asking = stats::one_question();
        let shown = asking.clone();
        let stats = ChildSpec::stage("stats", &stats_addr, move |_| {
            let broker = (Arc::clone(&standings), asking.clone());
            Stats::new(Arc::clone(&tallies), broker, board.clone())
        })
        .credits(&shown);
        let streams = api.stats.streams.clone();
        let query = query(http, api, config.drain_timeout);
        let query = fair
            .credits()
            .iter()
            .fold(query, |query, credits| query.credits(credits));
        let query = query.credits(&streams).credits(history.pending());
        let watch_mongodb = {
            let health = health.clone();
            move || watch_mongodb(health.clone(), history.clone(), mongodb.clone())
        };
        let watch_kafka = {
            let (slot, held, topic) = (ingest.slot(), ingest.held(), config.kafka.topic.clone());
            move || {
                let (health, observer) = (health.clone(), Arc::clone(&observer));
                let lag = watch_lag(health.clone(), observer, held.clone(), kafka.clone());
                let (slot, topic) = (slot.clone(), topic.clone());
                let look = watch_kafka(health, slot, topic, held.clone(), kafka.clone());
                async {
                    tokio::join!(look, lag);
                }
            }
        };
        let making = schema.pending().clone();
        let keep_schema = move || schema::keep(schema.clone(), shape.clone());
        let held = ingest.held();
        // The first to start are the last to drain: dependencies are looked at until the end.
        let root = SupervisorSpec::new(Strategy::OneForOne)
            .child(errand("watch_mongodb", watch_mongodb))
            .child(errand("watch_kafka", watch_kafka))
            .child(errand("schema", keep_schema).credits(&making))
            .child(query)
            .child(stats)
            .child(ingest.child());
        let system = System::start("consumer-svc", root)
            .await
            .map_err(|cause| Failure::new(Code::Software, cause))?;
        let (tree, gauges) = (system.handle(), system.handle());
        let serving = Admin::new(
            process.readiness.clone(),
            process.metrics.clone(),
            process.levels.clone(),
            move || serde_json::to_value(tree.tree()).unwrap_or_default(),
        )
        .refresh(move || gauges.publish_metrics());
        let serving = serving.spawn(admin);
        info!(http = %http_addr, admin = %admin_addr, "listening");
        Ok(Self {
            http_addr,
            admin_addr,
            system,
            drain_timeout: config.drain_timeout,
            held,
            _admin: serving,
            process,
        })
    }

    /// Runs until the shutdown signal, then drains; or until the tree gives up.
    ///
    /// # Errors
    /// What the tree gave up on.
    pub async fn run(self) -> Result<(), Failure> {
        tokio::select! {
            () = self.process.shutdown.cancelled() => {}
            exit = self.system.ended() => return Err(gave_up(&exit)),
        }
        let report = self.system.drain(self.drain_timeout).await;
        for laggard in &report.laggards {
            warn!(
                actor = laggard.path,
                mailbox = laggard.mailbox,
                in_flight = laggard.in_flight,
                "{}",
                laggard.overrun
            );
        }
        for casualty in &report.failed {
            warn!(actor = casualty.path, exit = %casualty.exit, "failed in the drain");
        }
        let back = self.held.given_back();
        let held = self.held.partitions().len();
        let partitions = Partitions { back, held };
        let took = report.took;
        let left = self.drain_timeout.saturating_sub(took);
        self.process.tracer.close(left).await;
        let end = judge(&report, &partitions, self.drain_timeout);
        let (partitions, unsettled, uncommitted) =
            (back.partitions, back.unsettled, back.uncommitted);
        match &end {
            Ok(()) => info!(
                ?took,
                partitions, "drained: everything read is settled and committed"
            ),
            // Nothing is lost: what was not committed is read again by the next owner. Why the process
            // ends with a failure is said once, where it ends.
            Err(_) => warn!(
                ?took,
                partitions, held, unsettled, uncommitted, "the drain was not whole"
            ),
        }
        end
    }
}

/// Readiness says which partitions are stopped, and why.
fn stops(latch: Latch) -> Report {
    Box::new(move |stopped| match stopped {
        None => latch.meet(),
        Some(reason) => latch.reopen_because(reason),
    })
}

fn gave_up(exit: &Exit) -> Failure {
    Failure::new(
        Code::Software,
        format!("the supervision tree gave up: {exit}"),
    )
}

fn query(door: Door, api: Arc<Api<MongoHistory>>, drain: Duration) -> ChildSpec {
    let make = move |_| Query::new(door.clone(), Arc::clone(&api), drain);
    ChildSpec::stage("query", &Addr::new("query"), make).shutdown(Shutdown::Infinity)
}
