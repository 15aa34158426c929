//! One connection: a request, its answer, the next request, until the run is over.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::answer::{Answer, read};
use super::{Phase, Tally, order};

/// Larger than any answer about one purchase.
pub(crate) const ROOM: usize = 8 * 1024;

/// Runs until the phase is over. A connection that fails is counted and not opened again: it is
/// a defect of the contestant, and a run with one is shown as such.
pub(super) async fn run(addr: SocketAddr, number: usize, tally: Rc<Tally>) {
    if let Err(error) = orders(addr, number, &tally).await {
        tally.failed(&error);
    }
}

async fn orders(addr: SocketAddr, number: usize, tally: &Tally) -> io::Result<()> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    let mut room = vec![0; ROOM];
    let orders = order::of_connection(addr, number);
    let mut next = orders.iter().cycle();
    while let Some(order) = next.next()
        && tally.phase.get() != Phase::Over
    {
        let sent = Instant::now();
        let status = exchange(&mut stream, order, &mut room).await?;
        tally.answered(status, sent.elapsed());
    }
    Ok(())
}

/// Sends one request and waits for the last byte of its answer; gives the status.
pub(crate) async fn exchange(
    stream: &mut TcpStream,
    request: &[u8],
    room: &mut [u8],
) -> io::Result<u16> {
    stream.write_all(request).await?;
    answer(stream, room).await
}

/// Reads one answer to its last byte. One request is on its way at a time, so nothing follows it.
async fn answer(stream: &mut TcpStream, room: &mut [u8]) -> io::Result<u16> {
    let mut filled = 0;
    loop {
        let count = stream.read(&mut room[filled..]).await?;
        if count == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "closed before the answer was complete",
            ));
        }
        filled += count;
        match read(&room[..filled]) {
            Answer::Complete(status) => return Ok(status),
            Answer::Partial if filled < room.len() => {}
            Answer::Partial => {
                return Err(io::Error::other(format!(
                    "an answer of more than {ROOM} bytes"
                )));
            }
            Answer::Unreadable(why) => return Err(io::Error::new(io::ErrorKind::InvalidData, why)),
        }
    }
}
