//! Purchases at a fixed rate, some of them followed into the history. In: the two services' doors;
//! out: how long answers and histories took.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Failure;
use crate::load::client::{ROOM, exchange};
use crate::load::order;
use crate::sample::percentile;

/// Time between two purchases of one buyer's connection: longer than a purchase takes to be
/// answered and shown, so that the rate does not depend on either.
const TURN: Duration = Duration::from_millis(250);
/// Between two looks at one history.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// How long a purchase may stay unseen.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where to buy and where to look.
#[derive(Clone, Copy)]
pub(super) struct Doors {
    pub(super) buy: SocketAddr,
    pub(super) history: SocketAddr,
}

/// What one turn showed.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    /// Accepted a second.
    pub(super) rate: f64,
    /// From sending to the 201.
    pub(super) answer_p50_ms: f64,
    pub(super) answer_p99_ms: f64,
    /// From sending to the first history that has it.
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    /// How many histories were watched.
    pub(super) watched: usize,
}

/// When each purchase of a turn is due, and which are followed.
#[derive(Clone, Copy)]
struct Plan {
    began: Instant,
    rate: u32,
    purchases: u32,
    follow_every: u32,
}

/// Microseconds of one connection's purchases.
#[derive(Default)]
struct Times {
    answered: Vec<u32>,
    shown: Vec<u32>,
}

/// Buys for some seconds. `name` keeps the buyers of different turns apart.
pub(super) async fn run(
    doors: Doors,
    name: &str,
    rate: u32,
    seconds: f64,
    watched: u32,
) -> Result<Shown, Failure> {
    let purchases = (f64::from(rate) * seconds) as u32;
    let plan = Plan {
        began: Instant::now(),
        rate,
        purchases,
        follow_every: (rate / watched.max(1)).max(1),
    };
    let connections = (f64::from(rate) * TURN.as_secs_f64()).ceil() as u32;
    let mut buyers = JoinSet::new();
    for first in 0..connections.max(1) {
        buyers.spawn(buyer(
            doors,
            name.to_owned(),
            plan,
            first,
            connections.max(1),
        ));
    }
    let mut all = Times::default();
    while let Some(times) = buyers.join_next().await {
        let times = times??;
        all.answered.extend(times.answered);
        all.shown.extend(times.shown);
    }
    let took = plan.began.elapsed().as_secs_f64();
    all.answered.sort_unstable();
    all.shown.sort_unstable();
    let ms = |times: &[u32], share| f64::from(percentile(times, share)) / 1e3;
    Ok(Shown {
        rate: all.answered.len() as f64 / took,
        answer_p50_ms: ms(&all.answered, 0.5),
        answer_p99_ms: ms(&all.answered, 0.99),
        p50_ms: ms(&all.shown, 0.5),
        p99_ms: ms(&all.shown, 0.99),
        watched: all.shown.len(),
    })
}

/// One connection: every `step`th purchase from `first` on, each when it is due.
async fn buyer(
    doors: Doors,
    name: String,
    plan: Plan,
    first: u32,
    step: u32,
) -> Result<Times, Failure> {
    let mut buying = connect(doors.buy).await?;
    let mut looking = connect(doors.history).await?;
    let mut room = vec![0; ROOM];
    let mut times = Times::default();
    for number in (first..plan.purchases).step_by(step as usize) {
        let user = format!("{name}-{number}");
        let order = order::request(doors.buy, &user);
        let due = plan.began + Duration::from_secs_f64(f64::from(number) / f64::from(plan.rate));
        tokio::time::sleep_until(due.into()).await;
        let sent = Instant::now();
        let status = exchange(&mut buying, &order, &mut room).await?;
        times.answered.push(micros(sent));
        if status != 201 {
            return Err(format!("purchase {user} was answered with {status}").into());
        }
        if number % plan.follow_every == 0 {
            look(&mut looking, doors.history, &user, &mut room).await?;
            times.shown.push(micros(sent));
        }
    }
    Ok(times)
}

/// Looks until the buyer has a history.
async fn look(
    stream: &mut TcpStream,
    addr: SocketAddr,
    user: &str,
    room: &mut [u8],
) -> Result<(), Failure> {
    let request = format!("GET /purchases/{user}?limit=1 HTTP/1.1\r\nHost: {addr}\r\n\r\n");
    let deadline = Instant::now() + PATIENCE;
    loop {
        match exchange(stream, request.as_bytes(), room).await? {
            200 => return Ok(()),
            404 if Instant::now() < deadline => tokio::time::sleep(LOOK_EVERY).await,
            404 => {
                return Err(format!(
                    "the purchase of {user} is not in the history after {PATIENCE:?}"
                )
                .into());
            }
            other => return Err(format!("the history of {user} was answered with {other}").into()),
        }
    }
}

async fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn micros(since: Instant) -> u32 {
    u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX)
}
