//! A port whose owner may be restarted.
//!
//! In: an address. Out: a bound server, taken eagerly the first time, so that a port in use ends
//! the process with a clear message, and again for every successor of the first owner.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{BindError, Limits, Server, Tls};
use crate::web::cors::Cors;

/// How long a successor waits for its predecessor to let go of the port.
const REOPEN_WITHIN: Duration = Duration::from_secs(2);
/// Pause between its attempts.
const REOPEN_EVERY: Duration = Duration::from_millis(20);

/// A port that is held for whoever serves it. Clones are one thing.
#[derive(Clone, Debug)]
pub struct Door {
    waiting: Arc<Mutex<Option<Server>>>,
    name: &'static str,
    addr: SocketAddr,
    variable: &'static str,
    limits: Limits,
    tls: Option<Tls>,
    cors: Option<Cors>,
}

impl Door {
    /// Takes the port, inside the runtime; the arguments are those of [`Server::bind`].
    pub fn open(
        name: &'static str,
        addr: SocketAddr,
        variable: &'static str,
        limits: Limits,
    ) -> Result<Self, BindError> {
        let server = Server::bind(name, addr, variable, limits)?;
        // The port that was found stays the same for every successor, also where 0 was asked for.
        let addr = server.local_addr();
        Ok(Self {
            waiting: Arc::new(Mutex::new(Some(server))),
            name,
            addr,
            variable,
            limits,
            tls: None,
            cors: None,
        })
    }

    /// The same with TLS, if there is something to show.
    #[must_use]
    pub fn tls(self, tls: Option<Tls>) -> Self {
        Self { tls, ..self }
    }

    /// The same for pages of these origins.
    #[must_use]
    pub fn cors(self, cors: Option<Cors>) -> Self {
        Self { cors, ..self }
    }

    /// The address that was taken.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The server, for one owner. A successor gets a new one on the same port, as soon as its
    /// predecessor's is closed; after two seconds the port counts as taken by somebody else.
    pub async fn server(&self) -> Result<Server, BindError> {
        let first = self
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(server) = first {
            return Ok(self.furnished(server));
        }
        let until = Instant::now() + REOPEN_WITHIN;
        loop {
            match Server::bind(self.name, self.addr, self.variable, self.limits) {
                Ok(server) => return Ok(self.furnished(server)),
                Err(error) if Instant::now() >= until => return Err(error),
                Err(_) => sleep(REOPEN_EVERY).await,
            }
        }
    }

    fn furnished(&self, server: Server) -> Server {
        server.tls(self.tls.clone()).cors(self.cors.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door() -> Door {
        Door::open(
            "test",
            SocketAddr::from(([127, 0, 0, 1], 0)),
            "HTTP_ADDR",
            Limits::default(),
        )
        .unwrap()
    }

    #[tokio::test]
    async fn a_successor_gets_the_same_port_once_it_is_free() {
        let door = door();
        let first = door.server().await.unwrap();
        let (waiting, release) = tokio::join!(door.server(), async {
            tokio::task::yield_now().await;
            drop(first);
        });
        let () = release;
        assert_eq!(waiting.unwrap().local_addr(), door.addr());
    }

    #[tokio::test(start_paused = true)]
    async fn a_port_that_stays_taken_is_an_error_that_names_it() {
        let door = door();
        let _first = door.server().await.unwrap();
        let error = door.server().await.unwrap_err().to_string();
        assert!(
            error.contains("HTTP_ADDR") && error.contains(&door.addr().to_string()),
            "{error}"
        );
    }
}
