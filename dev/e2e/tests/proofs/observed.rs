//! What operators see: metrics that Prometheus accepts, the live tree, and failures in both.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use e2e::bins;
use e2e::ground::Ground;
use e2e::http::{Answer, Connection};
use e2e::records::good;
use e2e::service::{Plan, Service};
use e2e::shop::Shop;
use e2e::{until, until_text};
use http::Request;
use http_body_util::Full;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

const PATIENCE: Duration = Duration::from_secs(60);

/// A place in the tree: path, kind, state, restarts, last cause, and the credits it serves.
#[derive(Debug)]
struct Place {
    path: String,
    kind: String,
    state: String,
    restarts: u64,
    last_cause: String,
    credits: Vec<String>,
}

fn places(tree: &Value) -> Vec<Place> {
    fn walk(node: &Value, above: &str, found: &mut Vec<Place>) {
        let text = |name: &str| node[name].as_str().unwrap_or_default().to_owned();
        let path = if above.is_empty() {
            text("id")
        } else {
            format!("{above}/{}", text("id"))
        };
        found.push(Place {
            path: path.clone(),
            kind: text("kind"),
            state: text("state"),
            restarts: node["restarts"]
                .as_u64()
                .unwrap_or_else(|| panic!("no restarts in {node}")),
            last_cause: text("last_cause"),
            credits: node["credits"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|account| {
                    let limit = |unit: &str| account["limit"][unit].as_u64();
                    assert!(
                        limit("count") > Some(0) && limit("bytes") > Some(0),
                        "{node}"
                    );
                    account["name"].as_str().unwrap_or_default().to_owned()
                })
                .collect(),
        });
        for child in node["children"].as_array().into_iter().flatten() {
            walk(child, &path, found);
        }
    }
    let mut found = Vec::new();
    walk(tree, "", &mut found);
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_services_show_metrics_that_prometheus_accepts_and_a_tree_that_runs() {
    let shop = Shop::on(Ground::shared().await).await;
    let (producer, consumer) = shop.open().await;
    // Every kind of line is there once something happened.
    let attempts = shop.load(500).start().finish(PATIENCE).await;
    e2e::check::all_accepted(&attempts);
    shop.settles(PATIENCE).await;
    let user = shop.load(1).order(0).user_id;
    for (path, status) in [
        (format!("/purchases/{user}"), 200),
        ("/purchases/nobody".to_owned(), 404),
        ("/nothing".to_owned(), 404),
    ] {
        assert_eq!(producer.get(&path).await.status, status, "{path}");
    }
    for (name, service) in [("producer-svc", &producer), ("consumer-svc", &consumer)] {
        prometheus_accepts(service).await;
        shows_what_is_documented(name, service).await;
    }
    assert_eq!(
        producer
            .metric(
                "purchases_http_requests_total",
                &["route=\"/buy\"", "status=\"201\""]
            )
            .await,
        500.0
    );
    assert_eq!(
        consumer
            .metric("purchases_records_total", &["outcome=\"stored\""])
            .await,
        500.0
    );

    all_run(
        &producer,
        &["publish", "select", "restock", "history", "intake"],
    )
    .await;
    let stages = [
        "watch_mongodb",
        "watch_kafka",
        "schema",
        "query",
        "ingest",
        "ingest/commit",
        "ingest/dead_letter",
        "ingest/write_again",
        "ingest/write",
        "ingest/readers",
        "ingest/assign",
    ];
    let readers = ["ingest/readers/0", "ingest/readers/1", "ingest/readers/2"];
    all_run(&consumer, &[&stages[..], &readers[..]].concat()).await;

    for (service, expected) in [
        (
            &producer,
            &["publish: purchases", "history: history, streams"][..],
        ),
        (
            &consumer,
            &[
                "schema: mongodb_schema",
                "query: queries, totals, totals_from_10000, totals_from_40000, totals_from_160000, totals_from_640000, stats_streams, mongodb_histories",
                "stats: kafka_standings",
                "ingest/commit: mongodb_statistics",
                "ingest/write: mongodb_writes, in_flight",
            ][..],
        ),
    ] {
        let tree = service.tree().await;
        let served: Vec<_> = places(&tree)
            .into_iter()
            .filter(|place| !place.credits.is_empty())
            .map(|place| {
                let (_root, path) = place.path.split_once('/').expect("a child");
                format!("{path}: {}", place.credits.join(", "))
            })
            .collect();
        assert_eq!(served, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_services_can_be_asked_how_they_are_and_told_what_to_log() {
    let shop = Shop::on(Ground::shared().await).await;
    let (producer, consumer) = shop.open().await;
    for (binary, service) in [("producer-svc", &producer), ("consumer-svc", &consumer)] {
        let admin = service.admin_addr();
        assert_eq!(healthcheck(binary, &["healthcheck"], admin).await, Some(0));
        let live = ["healthcheck", "--live"];
        assert_eq!(healthcheck(binary, &live, admin).await, Some(0));
        let odd = ["healthcheck", "--odd"];
        assert_eq!(healthcheck(binary, &odd, admin).await, Some(64));

        let configured = service.admin("/log-level").await.json()["filter"].clone();
        let refused = put(admin, "/log-level", "actors=loud").await;
        assert_eq!(refused.status, 422, "{}", refused.text());
        assert_eq!(
            service.admin("/log-level").await.json()["filter"],
            configured
        );
        let changed = put(admin, "/log-level?for=1h", "debug").await;
        assert_eq!(changed.status, 200, "{}", changed.text());
        assert_eq!(changed.json()["returns_to"], configured);
    }
    assert!(shop.log("producer").contains("the log filter is changed"));
    let admin = producer.admin_addr();
    producer.drains(PATIENCE).await;
    let gone = healthcheck("producer-svc", &["healthcheck"], admin).await;
    assert_eq!(gone, Some(1), "nobody answers");
}

/// What a container's health command ends with, knowing nothing but the port.
async fn healthcheck(binary: &str, arguments: &[&str], admin: SocketAddr) -> Option<i32> {
    let mut command = Command::new(bins::binary(binary));
    command.env_clear().env("ADMIN_ADDR", admin.to_string());
    // Nothing else of the configuration has to be right.
    command.env("DRAIN_TIMEOUT", "soon").args(arguments);
    let output = command.kill_on_drop(true).output().await.expect("it runs");
    output.status.code()
}

async fn put(addr: SocketAddr, path: &str, body: &'static str) -> Answer {
    let request = Request::put(path)
        .body(Full::from(body))
        .expect("a request");
    let mut connection = Connection::open(addr).await.expect("it listens");
    connection.send(request).await.expect("an answer")
}

/// The stages are there, all of them running or done, none ever restarted, and each shown by its metrics.
async fn all_run(service: &Service, stages: &[&str]) {
    let tree = service.tree().await;
    let root = tree["id"].as_str().expect("a root");
    let places = places(&tree);
    for place in &places {
        // The one that has nothing more to do.
        let done = place.path.ends_with("/schema");
        assert_eq!(
            (place.state.as_str(), place.restarts),
            (if done { "ended" } else { "running" }, 0),
            "{place:?}"
        );
    }
    // Actors' numbers are carried over once a second.
    until("the last stage has metrics", PATIENCE, async || {
        let last = format!("actor=\"{root}/{}\"", stages[stages.len() - 1]);
        service
            .admin("/metrics")
            .await
            .text()
            .contains(&last)
            .then_some(())
    })
    .await;
    let metrics = service.admin("/metrics").await.text();
    for stage in stages {
        let path = format!("{root}/{stage}");
        let place = places.iter().find(|place| place.path == path);
        let place = place.unwrap_or_else(|| panic!("no {path} in {places:#?}"));
        if place.kind == "stage" {
            let known = metrics
                .lines()
                .any(|line| line.starts_with("actors_mailbox_depth{") && line.contains(&path));
            assert!(known, "no metrics of {path}");
        }
    }
}

/// What is shown is described and documented, and what is documented is shown, from the start.
async fn shows_what_is_documented(name: &str, service: &Service) {
    let mut section = "";
    let mut documented = BTreeSet::new();
    for line in include_str!("../../../../docs/metrics.md").lines() {
        if let Some(title) = line.strip_prefix("## ") {
            section = title;
        } else if (section == name || section == "Both services")
            && let Some(row) = line.strip_prefix("| `")
        {
            documented.insert(row.split(['`', '{']).next().unwrap_or_default());
        }
    }
    // Once every five seconds the client tells how its brokers are.
    let what = format!("{name} shows {documented:?}, described");
    until_text(&what, PATIENCE, async || {
        let text = service.admin("/metrics").await.text();
        let names = |kind: &str| -> BTreeSet<String> {
            let of_kind = text.lines().filter_map(|line| line.strip_prefix(kind));
            let names = of_kind.filter_map(|rest| rest.split(' ').next());
            // The system's own, of which there are more or fewer.
            let names = names.filter(|name| !name.starts_with("process_"));
            names.map(str::to_owned).collect()
        };
        let (shown, described) = (names("# TYPE "), names("# HELP "));
        let known: BTreeSet<String> = documented.iter().map(|name| (*name).to_owned()).collect();
        let odd: Vec<_> = shown.symmetric_difference(&known).collect();
        let mute: Vec<_> = shown.difference(&described).collect();
        match odd.is_empty() && mute.is_empty() {
            true => Ok(()),
            false => Err(format!(
                "in one place only: {odd:?}; without a text: {mute:?}"
            )),
        }
    })
    .await;
}

/// `promtool check metrics` speaks of syntax and of habits; it must have nothing to say.
async fn prometheus_accepts(service: &Service) {
    let answer = service.admin("/metrics").await;
    assert!(
        answer
            .header("content-type")
            .starts_with("text/plain; version=0.0.4"),
        "{:?}",
        answer.headers
    );
    let tool = std::env::var_os("PROMTOOL").unwrap_or_else(|| "promtool".into());
    let mut check = Command::new(&tool);
    check
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut running = check.kill_on_drop(true).spawn().unwrap_or_else(|error| {
        panic!("{tool:?} cannot be run ({error}): run `cargo xtask test`, which installs it, or install the package prometheus")
    });
    let mut input = running.stdin.take().expect("it has an input");
    input.write_all(&answer.body).await.expect("it reads");
    drop(input);
    let output = running.wait_with_output().await.expect("it ends");
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        output.status.success() && said.trim().is_empty(),
        "promtool: {said}\n{}",
        answer.text()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stage_that_fails_is_restarted_and_seen() {
    let shop = Shop::on(Ground::shared().await).await;
    // Two members of one name: the broker throws the older one out, for good (KIP-345).
    let named = |plan: Plan| plan.env("KAFKA_GROUP_INSTANCE_ID", "pod-0");
    let consumer = named(shop.consumer()).ready().await;
    let rival = named(shop.second_consumer()).start();
    let place = until_text("the member was restarted", PATIENCE, async || {
        let found = places(&consumer.tree().await);
        let text = format!("{found:#?}");
        let place = found
            .into_iter()
            .find(|place| place.kind == "stage" && place.restarts > 0);
        place.ok_or(text)
    })
    .await;
    rival.kill().await;
    assert!(place.last_cause.contains("Fenced"), "{place:?}");
    let label = format!("actor=\"{}\"", place.path);
    until("its metric counts it", PATIENCE, async || {
        (consumer.metric("actors_restarts_total", &[&label]).await >= 1.0).then_some(())
    })
    .await;
    // The rest of the tree was left as it is, and the member that came back reads on.
    let tree = places(&consumer.tree().await);
    let (ingest, _) = place.path.rsplit_once('/').expect("it has a parent");
    let others = tree
        .iter()
        .filter(|other| !other.path.starts_with(ingest) && other.restarts > 0);
    assert_eq!(others.count(), 0, "{tree:#?}");
    shop.witness.write(vec![good(0), good(1), good(2)]).await;
    until("what came later is stored", PATIENCE, async || {
        (shop.documents.count().await == 3).then_some(())
    })
    .await;
}
