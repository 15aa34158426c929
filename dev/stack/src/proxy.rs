//! A TCP proxy that misbehaves on demand. In: a target address and, at any time, a [`Fault`];
//! out: an address to connect to instead. It must not look into the bytes.
//!
//! It runs on a thread and runtime of its own, so it also works when the caller's runtime is
//! busy, paused or replaced by the next test's.

mod link;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::error::StackError;

/// How a proxy treats its connections, old and new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    /// Bytes pass.
    #[default]
    None,
    /// Bytes pass, each direction delayed by this much (throughput stays).
    Latency(Duration),
    /// Connections are reset, new ones right after they were accepted.
    Reset,
    /// Connections stay open but nothing passes, and nothing tells. What was held back passes
    /// when the fault ends.
    Blackhole,
    /// Connections are reset and new ones refused, as if nobody listened.
    Refuse,
}

/// A running proxy; dropping it ends it and its connections.
pub struct Proxy {
    address: SocketAddr,
    fault: watch::Sender<Option<Fault>>,
    open: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens on 127.0.0.1 at `port` and forwards to `target`.
    pub fn start(port: u16, target: SocketAddr) -> Result<Self, StackError> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let failed = move |e: std::io::Error| StackError::Refused {
            what: format!("starting a proxy on {address}"),
            detail: e.to_string(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let listener = std::net::TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (fault, seen) = watch::channel(Some(Fault::None));
        let open = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&open);
        let thread = std::thread::Builder::new()
            .name(format!("proxy {port}"))
            .spawn(move || runtime.block_on(run(listener, address, target, seen, counted)))
            .map_err(failed)?;
        Ok(Self {
            address,
            fault,
            open,
            thread: Some(thread),
        })
    }

    /// Where to connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes how it treats all connections from now on.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(Some(fault));
    }

    /// How it treats them now.
    pub fn fault(&self) -> Fault {
        self.fault.borrow().unwrap_or_default()
    }

    /// Connections it holds open towards its clients.
    pub fn connections(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // `None` is the end. The runtime goes with its thread, the connections with the runtime.
        self.fault.send_replace(None);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy")
            .field("address", &self.address)
            .field("fault", &self.fault())
            .finish_non_exhaustive()
    }
}

async fn run(
    first: std::net::TcpListener,
    address: SocketAddr,
    target: SocketAddr,
    mut fault: watch::Receiver<Option<Fault>>,
    open: Arc<AtomicUsize>,
) {
    let mut listener = TcpListener::from_std(first).ok();
    loop {
        let Some(now) = *fault.borrow_and_update() else {
            return;
        };
        if now == Fault::Refuse {
            listener = None;
        } else if listener.is_none() {
            listener = TcpListener::bind(address).await.ok();
        }
        let changed = async { fault.changed().await.is_ok() };
        let Some(bound) = &listener else {
            // Refusing, or the port is not to be had this moment.
            let retry = async {
                if now == Fault::Refuse {
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
                true
            };
            let go_on = tokio::select! { alive = changed => alive, alive = retry => alive };
            if !go_on {
                return;
            }
            continue;
        };
        tokio::select! {
            alive = changed => if !alive { return },
            accepted = bound.accept() => if let Ok((client, _)) = accepted {
                let seen = fault.clone();
                let counted = link::Counted::new(&open);
                tokio::spawn(async move {
                    link::serve(client, target, seen).await;
                    drop(counted);
                });
            }
        }
    }
}
