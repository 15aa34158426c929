//! `POST /buy`: from bytes to a promise.
//!
//! In: headers and a body. Out: 201 when the log has the purchase, else a problem that says what is
//! known. The request waits once, for the verdict; nothing on its way spawns, locks out others or
//! waits for another request, except for a credit.

use std::error::Error;
use std::pin::pin;
use std::time::{Duration, Instant};

use actors::{Cost, Permit, Undelivered};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::FutureExt;
use host::problem::{self, Problem};
use host::serve::Unread;
use host::span::{Span, SpanKind};
use host::trace::TraceParent;
use host::web::accept;
use host::web::front::Client;
use http::{HeaderValue, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Body;
use purchases::PurchaseId;
use warp::reply::Response;

use super::desk::{Desk, now};
use super::headers::BuyHeaders;
use super::request::{BuyRequest, Invalid};
use super::retry::{self, Keyed, Told};
use super::{answer, pages};
use crate::flow::{Order, Origin, Ticket, Unsold};

/// Longest body in bytes. Two names of 100 characters need less than 2,000, escapes included.
pub(super) const MAX_BODY: usize = 16 * 1024;
/// How long a client may take to send it.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// What a purchase on its way takes beside its names: messages, headers, the library's queue.
const OVERHEAD: usize = 1024;
/// When to try again after a refusal.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Kind of the problem that the broker cannot be reached.
const KAFKA_UNAVAILABLE: &str = "/problems/kafka-unavailable";
/// Kind of the problem that nobody knows whether a purchase is stored.
const OUTCOME_UNKNOWN: &str = "/problems/outcome-unknown";

/// Ids and time of the request.
pub(super) struct Asked {
    pub(super) trace: TraceParent,
    pub(super) state: Option<Box<str>>,
    pub(super) request_id: HeaderValue,
    /// Whether that id is the trace's.
    pub(super) named_by_trace: bool,
    pub(super) since: Instant,
    pub(super) span: Span,
}

/// Buys.
pub(super) async fn buy(
    desk: &Desk,
    asked: &Asked,
    headers: BuyHeaders,
    body: impl Body<Error: Error + 'static>,
) -> Result<Response, Problem> {
    if let (Some(limiter), Some(Client(client))) = (&desk.limiter, headers.client) {
        let admitted = limiter.admit(client, asked.since);
        desk.metrics.limited(admitted.is_err(), limiter.clients());
        admitted.map_err(Problem::too_many_requests)?;
    }
    if headers.unacceptable {
        return Err(accept::not_acceptable("application/json"));
    }
    if !headers.json {
        return Err(Problem::unsupported_media_type("application/json"));
    }
    if headers.encoded {
        return Err(Problem::unsupported_encoding());
    }
    if headers
        .length
        .is_some_and(|length| length > MAX_BODY as u64)
    {
        return Err(Problem::too_large(MAX_BODY));
    }
    let key = headers
        .key
        .transpose()
        .map_err(|flaw| Problem::malformed(format!("{flaw}.")))?;
    let (body, waited) = read(body).await?;
    // How long a client takes to say what it wants is not time that the log had for it.
    let since = if waited { Instant::now() } else { asked.since };
    let (request, length) = (BuyRequest::parse(&body).map_err(invalid)?, body.len());
    // Its buffer is the connection's, which wants it back.
    drop(body);
    let keyed = key.map(|key| Keyed::new(&key, &request, since));
    let permit = match admitted(desk, length, keyed.as_ref()).await {
        Ok(permit) => permit,
        Err(told) => return told.map_err(|problem| *problem),
    };
    let accepted = now();
    // With the permit in hand: keys in use are as bounded as purchases under way.
    let (id, claim) = match &keyed {
        Some(keyed) => match keyed.claim(desk) {
            Ok(claim) => (keyed.id, Some(claim)),
            Err(known) => return keyed.answer(&known).map_err(|problem| *problem),
        },
        None => (desk.purchase_ids.fresh(accepted), None),
    };
    let tries = match &claim {
        None => Tries::Single,
        Some(claim) if claim.is_uncertain() => Tries::AfterUnknown,
        Some(_) => Tries::Keyed,
    };
    let (ticket, verdict) = Ticket::new(permit, since);
    let ticket = ticket.claiming(claim);
    let order = Box::new(Order {
        id,
        username: request.username,
        user_id: request.user_id,
        accepted,
        origin: Origin {
            trace: asked.trace,
            state: asked.state.clone(),
            request_id: (!asked.named_by_trace).then(|| asked.request_id.clone()),
            sending: asked
                .span
                .child(SpanKind::Producer, ("send", &desk.outlets.topic)),
        },
        ticket,
    });
    if let Err(Undelivered(order)) = desk.outlets.select.send(order) {
        order.ticket.answer(Err(Unsold::NotStored(
            "item selection is being restarted".to_owned(),
        )));
    }
    match verdict.await {
        Ok(stored) => Ok(pages::json(
            StatusCode::CREATED,
            answer::accepted(id, &stored).into(),
        )),
        Err(unsold) => Err(refusal(asked, id, tries, &unsold)),
    }
}

/// Whether another attempt at the same purchase may have been made before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tries {
    /// Every request is another purchase.
    Single,
    /// Not that this replica knows; but at another one, or here before a restart, there may have been.
    Keyed,
    /// There was, and it may be stored.
    AfterUnknown,
}

/// A credit for a purchase; or why there is none, unless something is known of the key.
async fn admitted(desk: &Desk, length: usize, keyed: Option<&Keyed>) -> Result<Permit, Told> {
    let refused = |refusal: Problem| match keyed {
        Some(keyed) => keyed.refused(desk, refusal),
        None => Err(Box::new(refusal)),
    };
    if desk.kafka.is_hopeless(desk.bounds.patience) {
        return Err(refused(out_of_reach()));
    }
    let cost = Cost {
        count: 1,
        bytes: OVERHEAD + 2 * length,
    };
    let credits = &desk.bounds.purchases;
    if let Some(keyed) = keyed {
        if let Ok(permit) = credits.try_take(cost) {
            return Ok(permit);
        }
        // A retry that has its answer does not stand in line for it.
        if let Some(told) = keyed.told(desk) {
            return Err(told);
        }
    }
    let permit = credits.take(cost, desk.bounds.max_wait).await;
    permit.map_err(|_| refused(Problem::overloaded(RETRY_AFTER)))
}

/// The whole body, but no more than is allowed, whatever its declared length; and whether it had to be waited for.
async fn read(body: impl Body<Error: Error + 'static>) -> Result<(Bytes, bool), Problem> {
    let mut all = pin!(async {
        let mut body = pin!(body);
        let (mut whole, mut rest) = (Bytes::new(), None::<BytesMut>);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| unread(&error))?;
            // Trailers say nothing that is asked for.
            let Ok(mut chunk) = frame.into_data() else {
                continue;
            };
            let size = rest.as_ref().map_or(whole.len(), BytesMut::len) + chunk.remaining();
            if size > MAX_BODY {
                return Err(Problem::too_large(MAX_BODY));
            }
            // Nearly always the only one, and then it is not copied.
            let chunk = chunk.copy_to_bytes(chunk.remaining());
            match &mut rest {
                None if whole.is_empty() => whole = chunk,
                // Room for all there can be, once, however small the pieces are.
                None => {
                    let mut all = BytesMut::with_capacity(MAX_BODY);
                    all.extend_from_slice(&whole);
                    all.extend_from_slice(&chunk);
                    rest = Some(all);
                }
                Some(all) => all.extend_from_slice(&chunk),
            }
        }
        Ok(rest.map_or(whole, BytesMut::freeze))
    });
    // Nearly always it is here, and then no clock is read for it.
    if let Some(read) = all.as_mut().now_or_never() {
        return Ok((read?, false));
    }
    match tokio::time::timeout(BODY_WITHIN, all).await {
        Ok(read) => Ok((read?, true)),
        Err(_) => Err(too_slow()),
    }
}

fn unread(error: &(dyn Error + 'static)) -> Problem {
    match error.downcast_ref() {
        // It would have had longer, and another replica gives it that.
        Some(Unread::Late) => too_slow().retry_after(RETRY_AFTER),
        _ => Problem::malformed("The body could not be read to its end."),
    }
}

/// 408: the client takes too long to send what it announced.
pub(super) fn too_slow() -> Problem {
    let detail = "The body did not arrive in time.";
    Problem::new(
        StatusCode::REQUEST_TIMEOUT,
        "/problems/timeout",
        "Too slow",
        detail,
    )
}

fn invalid(invalid: Invalid) -> Problem {
    match invalid {
        Invalid::Malformed(reason) => {
            Problem::malformed(format!("The body is not JSON: {reason}."))
        }
        Invalid::Fields(flaws) => Problem::validation(
            flaws
                .into_iter()
                .map(|flaw| problem::Invalid::new(flaw.pointer, flaw.detail))
                .collect(),
        ),
    }
}

/// A retry is harmless where no earlier attempt stored anything, or where all have the same key.
fn refusal(asked: &Asked, id: PurchaseId, tries: Tries, unsold: &Unsold) -> Problem {
    let (request_id, traceparent) = (asked.request_id.to_str().unwrap_or_default(), asked.trace);
    let keyed = tries != Tries::Single;
    match unsold {
        Unsold::NotStored(why) => {
            tracing::debug!(%id, request_id, %traceparent, why, "an attempt at a purchase stored nothing");
            match tries {
                Tries::Single => not_taken(),
                Tries::Keyed => retry::of_this_attempt(not_taken()),
                Tries::AfterUnknown => outcome_unknown(id, keyed),
            }
        }
        Unsold::Unknown(why) => {
            tracing::warn!(%id, request_id, %traceparent, why, keyed, "the outcome of a purchase is unknown");
            outcome_unknown(id, keyed)
        }
    }
}

/// 503: the log is away, and the purchase was not begun.
pub(super) fn out_of_reach() -> Problem {
    let detail = "The event log cannot be reached. This attempt stored nothing.";
    Problem::unavailable(KAFKA_UNAVAILABLE, detail, RETRY_AFTER)
}

/// 503: the log has certainly not stored what this attempt gave it.
fn not_taken() -> Problem {
    let detail = "The event log did not take the purchase. This attempt stored nothing.";
    Problem::unavailable(KAFKA_UNAVAILABLE, detail, RETRY_AFTER)
}

/// 503: this attempt at the purchase, or one before it, may be stored.
pub(super) fn outcome_unknown(id: PurchaseId, keyed: bool) -> Problem {
    let detail = if keyed {
        "It is not known whether the purchase was stored. Send it again with the same \
         Idempotency-Key: it will be stored once."
    } else {
        "It is not known whether the purchase was stored. Look at the history before you send it \
         again, and send an Idempotency-Key to be able to retry safely."
    };
    Problem::unavailable(OUTCOME_UNKNOWN, detail, RETRY_AFTER).with("purchase_id", id.to_string())
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_in_is_given_up_in_time_and_by_size() {
        let every = |pause: Duration, bytes: &'static [u8]| {
            let chunks = stream::unfold((), move |()| async move {
                tokio::time::sleep(pause).await;
                let chunk = Frame::data(Bytes::from_static(bytes));
                Some((Ok::<_, std::io::Error>(chunk), ()))
            });
            StreamBody::new(chunks)
        };
        let begun = tokio::time::Instant::now();
        let problem = read(every(Duration::from_secs(1), b" ")).await.unwrap_err();
        assert_eq!(problem.status(), StatusCode::REQUEST_TIMEOUT);
        assert_eq!(begun.elapsed().as_secs(), BODY_WITHIN.as_secs());

        let problem = read(every(Duration::ZERO, &[b' '; 1000]))
            .await
            .unwrap_err();
        assert_eq!(problem.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
}
