//! What consumer-svc answers, passed on.
//!
//! In: a path below consumer-svc. Out: its status, its headers and its body as it arrives. Where it
//! gives none, a 503 that says so, never an answer of our own making.

use actors::{Cost, Credits, Reply, Undelivered};
use futures_util::StreamExt;
use host::problem::Problem;
use host::span::SpanKind;
use host::trace::{TRACEPARENT, TRACESTATE, TraceParent, X_REQUEST_ID};
use host::web::front::Client;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use warp::Reply as _;
use warp::reply::Response;

use super::buy::Asked;
use super::desk::Desk;
use super::headers;
use crate::flow::{Ask, Fetched, HistoryMsg};
use crate::whose;

/// Kind of the problem that consumer-svc does not answer.
const HISTORY_UNAVAILABLE: &str = "/problems/history-unavailable";
/// When to try again after a refusal.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// One question to be passed on.
pub(super) struct Question<'a> {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Option<&'a str>,
    pub(super) headers: &'a HeaderMap,
    pub(super) route: &'static str,
    pub(super) asked: &'a Asked,
    pub(super) client: Option<Client>,
    /// Whether the answer is meant never to end; it then ends with `closing`.
    pub(super) endless: bool,
}

/// Asks consumer-svc.
pub(super) async fn pass_on(
    desk: &Desk,
    question: Question<'_>,
    closing: &CancellationToken,
) -> Result<Response, Problem> {
    let (credits, each): (&Credits, _) = if question.endless {
        (&desk.bounds.streams, &desk.bounds.streams_each)
    } else {
        (&desk.bounds.requests, &desk.bounds.requests_each)
    };
    // Before the credit: who waits for one stands in the way of others, too.
    let share = match (each, question.client) {
        (Some(each), Some(Client(client))) => {
            let share = each.take(client);
            Some(share.ok_or_else(|| too_many(question.endless))?)
        }
        _ => None,
    };
    let permit = credits
        .take(Cost { count: 1, bytes: 1 }, desk.bounds.max_wait)
        .await;
    let permit = permit.map_err(|_| overloaded(question.endless))?;
    let (endless, asked) = (question.endless, question.asked);
    let name = (question.method.as_str(), question.route);
    let mut asking = asked.span.child(SpanKind::Client, name);
    let trace = asking.place().unwrap_or(asked.trace);
    let (reply, fetched) = Reply::channel();
    let ask = HistoryMsg::Fetch {
        ask: ask(question, trace),
        permit,
        reply,
    };
    let mut failed = |why: &str| {
        asking.fail(why);
        let request_id = asked.request_id.to_str().unwrap_or_default();
        let traceparent = asked.trace;
        tracing::debug!(request_id, %traceparent, why, "a question was not answered");
        unavailable()
    };
    desk.outlets
        .history
        .send(ask)
        .map_err(|Undelivered(_)| failed("the history stage is being replaced"))?;
    let fetched = match fetched.await {
        Ok(Ok(fetched)) => fetched,
        Ok(Err(why)) => return Err(failed(&why.to_string())),
        Err(_) => return Err(failed("the question was lost")),
    };
    if let Some(problem) = none_of_its_own(&fetched) {
        let instead = whose::shown(fetched.status, &fetched.headers);
        failed(&format!("something else answered: {instead}"));
        return Err(problem);
    }
    asking.answered(fetched.status.as_u16());
    drop(asking);
    let body = fetched.body.inspect(move |_| {
        // Held until the answer's last byte.
        let _held = &share;
    });
    let mut response = if endless {
        let ended = closing.clone().cancelled_owned();
        warp::reply::stream(body.take_until(ended)).into_response()
    } else {
        warp::reply::stream(body).into_response()
    };
    *response.status_mut() = fetched.status;
    *response.headers_mut() = fetched.headers;
    Ok(response)
}

/// 429: this client has all that it may have at once.
pub(super) fn too_many(endless: bool) -> Problem {
    Problem::too_many_requests(RETRY_AFTER).because(if endless {
        "This client has as many live streams open as it may. One that is closed makes room for another."
    } else {
        "This client has as many requests under way at once as it may."
    })
}

/// 503: all clients together have.
pub(super) fn overloaded(endless: bool) -> Problem {
    let problem = Problem::overloaded(RETRY_AFTER);
    if endless {
        problem.because(
            "As many live streams are open as the service passes on. This one was not begun.",
        )
    } else {
        problem
    }
}

/// 503: consumer-svc cannot be asked.
pub(super) fn unavailable() -> Problem {
    let detail = "The management service does not answer. This says nothing about what is stored.";
    Problem::unavailable(HISTORY_UNAVAILABLE, detail, RETRY_AFTER)
}

/// 502: what answered in the place of consumer-svc does not take the question.
pub(super) fn misunderstood() -> Problem {
    let detail = "What stands in the place of the management service did not take the question. This says nothing \
                  about what is stored.";
    Problem::new(
        StatusCode::BAD_GATEWAY,
        "/problems/bad-gateway",
        "Bad gateway",
        detail,
    )
}

/// The answer in the place of one that is not consumer-svc's. What a parser or a proxy says is for whoever speaks
/// to it, and that is this service.
fn none_of_its_own(fetched: &Fetched) -> Option<Problem> {
    let status = fetched.status;
    if whose::is_theirs(status, &fetched.headers) {
        None
    } else if status.is_server_error() {
        Some(unavailable())
    } else {
        Some(misunderstood())
    }
}

fn ask(question: Question<'_>, trace: TraceParent) -> Ask {
    let mut headers = headers::passed_on(question.headers);
    headers.insert(X_REQUEST_ID, question.asked.request_id.clone());
    if let Ok(trace) = HeaderValue::from_bytes(&trace.to_text()) {
        headers.insert(TRACEPARENT, trace);
    }
    let state = question.asked.state.as_deref().map(HeaderValue::from_str);
    if let Some(Ok(state)) = state {
        headers.insert(TRACESTATE, state);
    }
    let path = match question.query {
        Some(query) => format!("{}?{query}", question.path),
        None => question.path,
    };
    Ask {
        method: question.method,
        path,
        headers,
        endless: question.endless,
    }
}
