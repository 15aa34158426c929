//! `/log-level`: what is logged, shown and changed.
//!
//! In: `PUT` with directives in the syntax of `RUST_LOG` as the body, `?for=10m` to have them taken
//! back by themselves. Out: the directives in force. What cannot be read changes nothing.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use serde_json::json;

use super::{JSON, page};
use crate::env;
use crate::levels::Levels;
use crate::problem::{Invalid, Problem};
use crate::serve::{Received, Unread};

const ALLOWED: &str = "GET, HEAD, PUT";
/// Longest text of directives.
const MAX_BODY: usize = 4096;
/// How long a body may take.
const BODY_WITHIN: Duration = Duration::from_secs(5);
/// Longest while. Who wants it for longer wants it for good.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) async fn answer(
    levels: &Levels,
    request: Request<Received>,
) -> Result<Response<Full<Bytes>>, Problem> {
    match *request.method() {
        Method::GET | Method::HEAD => {}
        Method::PUT => change(levels, request).await?,
        _ => return Err(Problem::method_not_allowed(ALLOWED)),
    }
    Ok(page(StatusCode::OK, JSON, shown(levels)))
}

fn shown(levels: &Levels) -> String {
    let mut shown = json!({ "filter": levels.current() });
    if let Some((before, left)) = levels.returning() {
        shown["returns_to"] = before.into();
        shown["returns_in_seconds"] = left.as_secs().into();
    }
    format!("{shown}\n")
}

async fn change(levels: &Levels, request: Request<Received>) -> Result<(), Problem> {
    let time = time(request.uri().query().unwrap_or_default());
    let body = directives(request.into_body()).await?;
    let wrong = |reason| Problem::validation(vec![Invalid::new("/filter", reason)]);
    match (time, body.trim()) {
        (Err(flaw), _) => Err(Problem::validation(vec![flaw])),
        (_, "") => Err(wrong(
            "is empty; the body must be directives such as info,actors=debug".to_owned(),
        )),
        (Ok(None), text) => levels.set(text).map_err(wrong),
        (Ok(Some(time)), text) => levels.lend(text, time).map_err(wrong),
    }
}

/// The `for` of the query. A name that is not known is refused: mistyped, it would be for good.
fn time(query: &str) -> Result<Option<Duration>, Invalid> {
    let mut time = None;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("for", text)) => {
                let wrong = |why: String| Invalid::new("/for", why);
                let read = env::duration(text).map_err(wrong)?;
                if read.is_zero() || read > LONGEST {
                    return Err(wrong("is not between 1ms and 24h".to_owned()));
                }
                time = Some(read);
            }
            _ => {
                let name = pair.split('=').next().unwrap_or_default();
                return Err(Invalid::new(
                    format!("/{name}"),
                    "is not known; try for=10m",
                ));
            }
        }
    }
    Ok(time)
}

async fn directives(body: Received) -> Result<String, Problem> {
    let whole = tokio::time::timeout(BODY_WITHIN, Limited::new(body, MAX_BODY).collect()).await;
    let whole = match whole {
        Ok(Ok(whole)) => whole.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            return Err(Problem::too_large(MAX_BODY));
        }
        Ok(Err(error)) if !matches!(error.downcast_ref(), Some(Unread::Late)) => {
            return Err(Problem::malformed("The body could not be read to its end."));
        }
        Ok(Err(_)) | Err(_) => return Err(Problem::malformed("The body did not arrive in time.")),
    };
    String::from_utf8(whole.into()).map_err(|_| Problem::malformed("The body is not UTF-8."))
}
