//! Pure: whether a client reaches nobody.
//!
//! In: what became of the last question it was asked, and what it says of its connections. Out: whether both
//! speak against it. Either alone may be wrong of a client that is well: a question waits behind a fetch that
//! was told to wait long, and a connection that nobody needs is closed.

use rdkafka::statistics::Statistics;

/// What is known of one client's connections. Nothing speaks against a new one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Contact {
    unanswered: bool,
    unconnected: bool,
}

impl Contact {
    /// It was asked something, and answered or not.
    pub(super) fn asked(&mut self, answered: bool) {
        self.unanswered = !answered;
    }

    /// It told of its connections.
    pub(super) fn told(&mut self, statistics: &Statistics) {
        let mut brokers = statistics.brokers.values();
        // The coordinator counts, too: it is one more connection to a broker.
        let connected = brokers.any(|broker| {
            broker.source != "internal" && ["UP", "UPDATE", "REAUTH"].contains(&&*broker.state)
        });
        self.unconnected = !connected;
    }

    /// Whether it reaches nobody.
    pub(super) fn is_silent(&self) -> bool {
        self.unconnected && self.unanswered
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::statistics::Broker;

    use super::*;

    fn brokers(all: &[(&str, &str)]) -> Statistics {
        let broker = |(source, state): &(&str, &str)| {
            let (source, state) = ((*source).to_owned(), (*state).to_owned());
            let broker = Broker {
                source: source.clone(),
                state,
                ..Broker::default()
            };
            (source, broker)
        };
        Statistics {
            brokers: all.iter().map(broker).collect(),
            ..Statistics::default()
        }
    }

    #[test]
    fn a_client_that_neither_answers_nor_is_connected_is_silent() {
        let mut contact = Contact::default();
        contact.asked(false);
        assert!(!contact.is_silent(), "it has told nothing");
        contact.told(&brokers(&[("internal", "UP"), ("logical", "INIT")]));
        assert!(contact.is_silent());
        contact.asked(true);
        assert!(!contact.is_silent());
    }

    #[test]
    fn a_client_that_is_connected_is_not_silent_though_it_answers_too_late() {
        for source in ["configured", "learned", "logical"] {
            let mut contact = Contact::default();
            contact.asked(false);
            contact.told(&brokers(&[("internal", "INIT"), (source, "UP")]));
            assert!(!contact.is_silent(), "{source}");
            contact.told(&brokers(&[(source, "TRY_CONNECT")]));
            assert!(contact.is_silent(), "{source}");
        }
    }
}
