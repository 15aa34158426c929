//! One proxied connection. In: the client's stream, the target, the fault as it changes; out:
//! bytes in both directions, or a reset. It ends with either side.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::Fault;

type Faults = watch::Receiver<Option<Fault>>;

/// Pieces under way in one direction; with 64 KiB each, 4 MiB of delayed bytes.
const UNDER_WAY: usize = 64;

/// Counts a connection for as long as it lives.
pub(super) struct Counted(Arc<AtomicUsize>);

impl Counted {
    pub(super) fn new(counter: &Arc<AtomicUsize>) -> Self {
        counter.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(counter))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(super) async fn serve(mut client: TcpStream, target: SocketAddr, mut faults: Faults) {
    let mut broken = faults.clone();
    let broken = async {
        // An ended sender is a dropped proxy: the runtime ends this task anyway.
        broken
            .wait_for(|fault| matches!(fault, None | Some(Fault::Reset | Fault::Refuse)))
            .await
            .is_ok()
    };
    let mut server = None;
    let talk = async {
        passing(&mut faults).await;
        let Ok(stream) = TcpStream::connect(target).await else {
            return;
        };
        let server = server.insert(stream);
        // Delays are ours to add; the kernel's would blur them.
        if client.set_nodelay(true).is_err() || server.set_nodelay(true).is_err() {
            return;
        }
        let (client_in, client_out) = client.split();
        let (server_in, server_out) = server.split();
        tokio::join!(
            pump(client_in, server_out, faults.clone()),
            pump(server_in, client_out, faults.clone())
        );
    };
    let reset = tokio::select! { reset = broken => reset, () = talk => false };
    if reset {
        for stream in [Some(&client), server.as_ref()].into_iter().flatten() {
            // A zero linger turns the close into a reset; if it fails, a close it is.
            drop(stream.set_zero_linger());
        }
    }
}

/// Moves bytes until the source ends or a side fails. Reading and writing are decoupled, so a
/// latency delays bytes without limiting how many are under way.
async fn pump(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, mut faults: Faults) {
    let (sender, mut pieces) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY);
    let reading_faults = faults.clone();
    let reading = async move {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            let delay = match *reading_faults.borrow() {
                Some(Fault::Latency(delay)) => delay,
                _ => Duration::ZERO,
            };
            if sender
                .send((Instant::now() + delay, buffer[..count].to_vec()))
                .await
                .is_err()
            {
                return;
            }
        }
    };
    let writing = async move {
        while let Some((due, piece)) = pieces.recv().await {
            tokio::time::sleep_until(due).await;
            passing(&mut faults).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
        passing(&mut faults).await;
        // The other side may be gone already; then there is no end left to tell it of.
        drop(to.shutdown().await);
    };
    tokio::join!(reading, writing);
}

/// Returns when bytes may pass.
async fn passing(faults: &mut Faults) {
    if faults
        .wait_for(|fault| *fault != Some(Fault::Blackhole))
        .await
        .is_err()
    {
        std::future::pending::<()>().await;
    }
}
