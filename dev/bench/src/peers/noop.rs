//! The ceiling of the HTTP side: the services' own accept loop, warp's filters, JSON in and out,
//! and nothing in between.

use std::net::SocketAddr;
use std::time::Duration;

use host::serve::{Limits, Server};
use http::StatusCode;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use warp::Filter;

use crate::Failure;

/// The body of a purchase.
#[derive(serde::Deserialize)]
struct BuyRequest {
    username: String,
    user_id: String,
}

#[derive(Serialize)]
struct Echo<'a> {
    success: bool,
    username: &'a str,
    user_id: &'a str,
}

/// Serves until killed.
pub(super) async fn serve(addr: SocketAddr) -> Result<(), Failure> {
    let server = Server::bind("noop", addr, "--port", Limits::default())?;
    let buy = warp::path("buy")
        .and(warp::path::end())
        .and(warp::post())
        .and(warp::body::content_length_limit(16 * 1024))
        .and(warp::body::json())
        .map(|BuyRequest { username, user_id }| {
            let echo = Echo {
                success: true,
                username: &username,
                user_id: &user_id,
            };
            warp::reply::with_status(warp::reply::json(&echo), StatusCode::CREATED)
        });
    server
        .run(warp::service(buy), CancellationToken::new(), Duration::ZERO)
        .await;
    Ok(())
}
