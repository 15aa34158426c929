//! One running service and a client for it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use host::levels::Levels;
use host::signal::Hangup;
use host::span::Tracer;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use producer_svc::app::{App, Surroundings};
use producer_svc::config::SERVICE;
use producer_svc::metrics::Metrics;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::memory_log::MemoryBroker;

/// No test waits longer for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Shop {
    pub(crate) broker: MemoryBroker,
    pub(crate) addr: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) hangup: Hangup,
    ended: JoinHandle<Result<(), host::exit::Failure>>,
    http: Client<HttpConnector, Full<Bytes>>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .unwrap_or_else(|| panic!("no {name}: {self:?}"))
            .to_str()
            .unwrap()
    }

    /// Checks that this is a whole problem with this status and of this kind.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16, kind: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["type"], format!("/problems/{kind}"), "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["request_id"], self.header("x-request-id"));
        assert!(
            problem["detail"].is_string()
                && problem["title"].is_string()
                && problem["retryable"].is_boolean()
        );
        problem
    }
}

/// The recorder is one per process, and so are its series.
fn exposition() -> host::metrics::Metrics {
    static METRICS: OnceLock<host::metrics::Metrics> = OnceLock::new();
    METRICS
        .get_or_init(|| host::metrics::Metrics::install().expect("nobody else installs a recorder"))
        .clone()
}

impl Shop {
    /// A shop with these variables, on a broker that is there.
    pub(crate) async fn open(vars: &[(&str, &str)]) -> Self {
        let shop = Self::open_on(MemoryBroker::default(), vars).await;
        shop.until("the broker is reached", || async {
            shop.get_admin("/readyz").await.status == 200
        })
        .await;
        shop
    }

    /// A shop on this broker, whether it is there or not.
    pub(crate) async fn open_on(broker: MemoryBroker, vars: &[(&str, &str)]) -> Self {
        let mut env: HashMap<String, String> = HashMap::from([
            ("HTTP_ADDR".to_owned(), "127.0.0.1:0".to_owned()),
            ("ADMIN_ADDR".to_owned(), "127.0.0.1:0".to_owned()),
            // Nobody listens there.
            (
                "CUSTOMER_MANAGEMENT_API_URL".to_owned(),
                "http://127.0.0.1:1".to_owned(),
            ),
        ]);
        env.extend(
            vars.iter()
                .map(|&(name, value)| (name.to_owned(), value.to_owned())),
        );
        let (config, _) = SERVICE
            .configured(&env)
            .expect("the test's configuration is valid");
        let (shutdown, hangup) = (CancellationToken::new(), Hangup::default());
        let surroundings = Surroundings {
            shutdown: shutdown.clone(),
            readiness: host::readiness::Readiness::new(shutdown.clone()),
            metrics: exposition(),
            levels: Levels::detached(),
            hangup: hangup.clone(),
            tracer: Tracer::off(),
        };
        let opened = broker.clone();
        let app = App::build_on(
            Arc::new(move |reports| opened.open(reports)),
            Arc::new(Metrics::new()),
            config,
            surroundings,
        )
        .await
        .expect("the shop opens");
        let (addr, admin) = (app.http_addr(), app.admin_addr());
        let http = Client::builder(TokioExecutor::new()).build_http();
        Self {
            broker,
            addr,
            admin,
            shutdown,
            hangup,
            ended: tokio::spawn(app.run()),
            http,
        }
    }

    /// Tells it to stop and waits for its end.
    pub(crate) async fn close(self) -> Result<(), host::exit::Failure> {
        self.shutdown.cancel();
        self.ended().await
    }

    /// Waits for its end.
    pub(crate) async fn ended(self) -> Result<(), host::exit::Failure> {
        tokio::time::timeout(PATIENCE, self.ended)
            .await
            .expect("the shop ends")
            .expect("the shop does not panic")
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        send(&self.http, request).await
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.addr))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path).body(Full::default()).unwrap())
            .await
    }

    pub(crate) async fn get_admin(&self, path: &str) -> Answer {
        let request = Request::get(format!("http://{}{path}", self.admin))
            .body(Full::default())
            .unwrap();
        self.send(request).await
    }

    pub(crate) fn buy_request(
        &self,
        body: impl Into<Bytes>,
        headers: &[(&str, &str)],
    ) -> Request<Full<Bytes>> {
        let mut request = self
            .request("POST", "/buy")
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Full::new(body.into())).unwrap()
    }

    /// Sends a body to `/buy`.
    pub(crate) async fn buy_with(
        &self,
        body: impl Into<Bytes>,
        headers: &[(&str, &str)],
    ) -> Answer {
        self.send(self.buy_request(body, headers)).await
    }

    /// Buys as this user.
    pub(crate) async fn buy(&self, user_id: &str) -> Answer {
        self.buy_with(
            format!(r#"{{"username": "john_doe", "user_id": "{user_id}"}}"#),
            &[],
        )
        .await
    }

    /// Buys in the background.
    pub(crate) fn start_buying(&self, user_id: &str) -> JoinHandle<Answer> {
        let body = format!(r#"{{"username": "john_doe", "user_id": "{user_id}"}}"#);
        self.start_buying_with(body, &[])
    }

    /// Sends a body to `/buy` in the background.
    pub(crate) fn start_buying_with(
        &self,
        body: impl Into<Bytes>,
        headers: &[(&str, &str)],
    ) -> JoinHandle<Answer> {
        let request = self.buy_request(body, headers);
        let http = self.http.clone();
        tokio::spawn(async move { send(&http, request).await })
    }

    /// Waits until something holds.
    pub(crate) async fn until<F: Future<Output = bool>>(&self, what: &str, holds: impl Fn() -> F) {
        let deadline = Instant::now() + PATIENCE;
        while !holds().await {
            assert!(Instant::now() < deadline, "in vain: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until this many records are with the broker and not reported on.
    pub(crate) async fn until_held(&self, count: usize) {
        self.until("records are held", || async { self.broker.held() == count })
            .await;
    }
}

async fn send(http: &Client<HttpConnector, Full<Bytes>>, request: Request<Full<Bytes>>) -> Answer {
    let answer = tokio::time::timeout(PATIENCE, http.request(request))
        .await
        .expect("an answer in time")
        .unwrap();
    let (head, body) = answer.into_parts();
    let body = tokio::time::timeout(PATIENCE, body.collect())
        .await
        .expect("a body in time")
        .unwrap()
        .to_bytes();
    Answer {
        status: head.status,
        headers: head.headers,
        body,
    }
}
