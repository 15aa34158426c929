//! Every refusal of `POST /buy` that is described is met on the real service and broker, and is as it is
//! described: status, media type, headers, body, and the kind of problem.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use devstack::free_port;
use e2e::ground::Ground;
use e2e::http::{self, Answer, Connection};
use e2e::service::Service;
use e2e::shop::Shop;
use e2e::until;
use futures_util::future::join_all;
use http_body_util::Full;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(30);
const PROBLEM: &str = "application/problem+json";
/// Only a defect leads to it.
const DEFECT: &str = "internal";

/// The description, and which of its refusals were met.
struct Described {
    document: Value,
    met: BTreeSet<String>,
}

impl Described {
    fn responses(&self) -> &Value {
        &self.document["paths"]["/buy"]["post"]["responses"]
    }

    /// The answer is this refusal, and all of it is as described.
    fn holds(&mut self, answer: &Answer, status: u16, kind: &str) {
        let problem = answer.json();
        let met = (answer.status, problem["type"].as_str().unwrap_or_default());
        assert_eq!(
            met,
            (status, format!("/problems/{kind}").as_str()),
            "{problem}"
        );
        assert_eq!(answer.header("content-type"), PROBLEM, "{problem}");
        let described = &self.responses()[status.to_string()];
        let content = &described["content"][PROBLEM];
        assert!(
            content["examples"][kind].is_object(),
            "{status} {kind} is not described"
        );
        let schema =
            json!({ "allOf": [content["schema"]], "components": self.document["components"] });
        let validator = jsonschema::draft202012::new(&schema).expect("a schema");
        if let Err(error) = validator.validate(&problem) {
            panic!("{status} {kind}: {error} in {problem}");
        }
        let headers = described["headers"].as_object().expect("headers");
        for (name, header) in headers {
            let sometimes = header["required"] == false;
            let there = !answer.header(name).is_empty();
            assert!(there || sometimes, "{status} {kind} has no {name}");
        }
        let again = ["retry-after", "allow"].map(|name| !answer.header(name).is_empty());
        let said = ["Retry-After", "Allow"].map(|name| headers.contains_key(name));
        assert_eq!(again, said, "{status} {kind}: Retry-After, Allow");
        self.met.insert(kind.to_owned());
    }

    /// Kinds that are described, of all statuses.
    fn kinds(&self) -> BTreeSet<String> {
        let each = self.responses().as_object().expect("responses").values();
        let examples = each.filter_map(|one| one["content"][PROBLEM]["examples"].as_object());
        examples
            .flat_map(|examples| examples.keys().cloned())
            .collect()
    }
}

/// What a purchase is made of, and what can be wrong with it.
struct Wish<'a> {
    body: &'a str,
    headers: &'a [(&'a str, &'a str)],
}

const JSON: (&str, &str) = ("content-type", "application/json");
const BODY: &str = r#"{"username": "Ann", "user_id": "ann"}"#;

impl Default for Wish<'_> {
    fn default() -> Self {
        Self {
            body: BODY,
            headers: &[JSON],
        }
    }
}

/// Each from an address of its own, as far as the service can see.
async fn ask(service: &Service, client: u8, wish: Wish<'_>) -> Answer {
    let mut request =
        ::http::Request::post("/buy").header("x-forwarded-for", format!("10.0.0.{client}"));
    for (name, value) in wish.headers {
        request = request.header(*name, *value);
    }
    let body = Full::new(Bytes::copy_from_slice(wish.body.as_bytes()));
    let request = request.body(body).expect("a request");
    let mut connection = Connection::open(service.http()).await.expect("it listens");
    connection.send(request).await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refusal_of_a_purchase_is_met_and_is_as_described() {
    let shop = Shop::on(Ground::shared().await).await;
    let crowded = [
        ("KAFKA_LINGER", "1500ms"),
        ("INTAKE_MAX_PURCHASES", "2"),
        ("INTAKE_MAX_WAIT", "20ms"),
        ("RATE_LIMIT", "1"),
        ("RATE_LIMIT_BURST", "2"),
        ("TRUSTED_PROXY_HEADER", "x-forwarded-for"),
    ];
    let plan = crowded
        .into_iter()
        .fold(shop.producer(), |plan, (name, value)| plan.env(name, value));
    // A broker that answers late, when told to: the client library's own mock of one.
    let mock: MockCluster<'static, DefaultProducerContext> = MockCluster::new(1).expect("a mock");
    mock.create_topic(&shop.witness.topic, 3, 1)
        .expect("a topic");
    let unsure = shop
        .another_producer("unsure")
        .env("KAFKA_BOOTSTRAP_SERVERS", mock.bootstrap_servers())
        .env("KAFKA_DELIVERY_TIMEOUT", "500ms");
    let nowhere = format!("127.0.0.1:{}", free_port());
    let alone = shop
        .another_producer("alone")
        .env("KAFKA_BOOTSTRAP_SERVERS", nowhere)
        .start();
    let (crowded, unsure) = tokio::join!(plan.ready(), unsure.ready());
    let document = crowded.get("/openapi.json").await.json();
    let mut described = Described {
        document,
        met: BTreeSet::new(),
    };

    // Ten seconds of waiting for a body, meanwhile everything else.
    let slow = tokio::spawn(half_a_body(crowded.http()));
    let text = [("content-type", "text/plain")];
    let html = [JSON, ("accept", "text/html")];
    let no_key = [JSON, ("idempotency-key", "no key")];
    let gzip = [JSON, ("content-encoding", "gzip")];
    let large = format!("{BODY}{}", " ".repeat(16 * 1024));
    for (client, (body, headers, status, kind)) in [
        ("{", &[JSON][..], 400, "malformed"),
        (BODY, &no_key, 400, "malformed"),
        (BODY, &html, 406, "not-acceptable"),
        (&large, &[JSON], 413, "too-large"),
        (BODY, &text, 415, "unsupported-media-type"),
        (BODY, &gzip, 415, "unsupported-encoding"),
        (r#"{"username": ""}"#, &[JSON], 422, "validation"),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = ask(&crowded, client as u8, Wish { body, headers }).await;
        described.holds(&answer, status, kind);
    }
    let answer = http::get(crowded.http(), "/buy").await.expect("an answer");
    described.holds(&answer, 405, "method-not-allowed");
    one_after_the_other(&crowded, &mut described).await;
    let in_a_row = (0..3).map(|_| {
        ask(
            &crowded,
            90,
            Wish {
                body: "{",
                ..Wish::default()
            },
        )
    });
    let answers = join_all(in_a_row).await;
    let limited = answers.iter().find(|answer| answer.status == 429);
    described.holds(limited.expect("one is too many"), 429, "too-many-requests");

    let late = mock.broker_round_trip_time(-1, Duration::from_secs(3));
    late.expect("it will be late");
    let answer = ask(&unsure, 91, Wish::default()).await;
    described.holds(&answer, 503, "outcome-unknown");
    until("it answers", PATIENCE, async || {
        http::get(alone.http(), "/").await.ok()
    })
    .await;
    let answer = ask(&alone, 92, Wish::default()).await;
    described.holds(&answer, 503, "kafka-unavailable");
    described.holds(&slow.await.expect("an answer"), 408, "timeout");

    let missing: BTreeSet<String> = described
        .kinds()
        .difference(&described.met)
        .cloned()
        .collect();
    assert!(
        missing.iter().all(|kind| kind == DEFECT),
        "described and not met: {missing:?}"
    );
}

/// Two purchases may be on their way, and linger there; the first has a key.
async fn one_after_the_other(service: &Service, described: &mut Described) {
    let keyed = [JSON, ("idempotency-key", "one")];
    let first = Wish {
        headers: &keyed,
        ..Wish::default()
    };
    let other = Wish {
        headers: &keyed,
        body: r#"{"username": "Bob", "user_id": "ann"}"#,
    };
    let labels = ["credits=\"purchases\"", "unit=\"records\""];
    let taken = async |count: f64| {
        until(&format!("{count} are on their way"), PATIENCE, async || {
            let taken = service.metric("credits_in_use", &labels).await;
            (taken == count).then_some(())
        })
        .await;
    };
    let later = async {
        taken(1.0).await;
        let again = Wish {
            headers: &keyed,
            ..Wish::default()
        };
        let conflict = ask(service, 81, again).await;
        let one_more = async {
            taken(2.0).await;
            ask(service, 83, Wish::default()).await
        };
        let (second, refused) = tokio::join!(ask(service, 82, Wish::default()), one_more);
        assert_eq!(second.status, 201, "{}", second.text());
        (conflict, refused)
    };
    let (first, (conflict, refused)) = tokio::join!(ask(service, 80, first), later);
    assert_eq!(first.status, 201, "{}", first.text());
    described.holds(&conflict, 409, "conflict");
    described.holds(&refused, 503, "overloaded");
    let changed = ask(service, 84, other).await;
    described.holds(&changed, 422, "idempotency-key-reused");
}

/// Announces a body, sends a part of it, and waits for the answer.
async fn half_a_body(addr: std::net::SocketAddr) -> Answer {
    let mut stream = TcpStream::connect(addr).await.expect("it listens");
    let head = "POST /buy HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ncontent-length: 40\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    // It closes behind an answer to what is not whole.
    let read = stream.read_to_string(&mut answer).await;
    read.expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let headers = lines.filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        Some((name.parse().ok()?, value.parse().ok()?))
    });
    Answer {
        status: status
            .and_then(|status| status.parse().ok())
            .expect("a status"),
        headers: headers
            .collect::<Vec<(::http::HeaderName, ::http::HeaderValue)>>()
            .into_iter()
            .collect(),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}
