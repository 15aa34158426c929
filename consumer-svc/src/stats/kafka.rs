//! Where the group stands, asked of the broker.

use std::sync::Arc;
use std::time::Duration;

use super::Standings;
use crate::flow::Learnt;
use crate::kafka::Observer;

/// How long one request may take. Nobody waits as long; it ends the thread's work.
const REQUEST: Duration = Duration::from_secs(2);
/// How long leaders may take to say where their logs end. Those that are away cost every reading as much.
const ENDS: Duration = Duration::from_millis(400);

/// Asks for all partitions of the topic.
pub struct KafkaStandings {
    observer: Arc<Observer>,
}

impl KafkaStandings {
    /// Asks through `observer`.
    pub fn new(observer: Arc<Observer>) -> Self {
        Self { observer }
    }
}

impl Standings for KafkaStandings {
    fn standings(&self) -> Result<Learnt, String> {
        self.observer.standings(None, (REQUEST, ENDS))
    }
}
