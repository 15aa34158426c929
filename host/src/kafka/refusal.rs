//! A broker that is there but does not let us in.
//!
//! In: the client library's words about a failed login or handshake, or a connection. Out: one sentence that
//! stays the same as long as the reason does, and names the variables to look at; it is kept until the
//! broker answers, because the library says it once and then only that there is no connection. Once a broker
//! has answered, the protocol is not what is wrong: a proxy that has lost its broker looks the same.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::KafkaSettings;

/// Whether a broker ever answered a client of this process: all of them are given the same protocol, and
/// one client follows another.
static ANSWERED: AtomicBool = AtomicBool::new(false);

/// Why the broker does not let us in, as of now. Clones are one thing.
#[derive(Debug, Clone)]
pub struct Refusal {
    why: Arc<Mutex<Option<Why>>>,
    answered: &'static AtomicBool,
}

impl Default for Refusal {
    fn default() -> Self {
        Self::knowing(&ANSWERED)
    }
}

#[derive(Debug)]
enum Why {
    /// The library says so.
    Refused(String),
    /// What it says of the last connection looks so. A broker that is just starting may, too.
    Suspected(String),
}

impl Refusal {
    fn knowing(answered: &'static AtomicBool) -> Self {
        let why = Arc::default();
        Self { why, answered }
    }

    fn was_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// Notes what the library said and gives it in our words.
    pub fn note(&self, settings: &KafkaSettings, said: &str) -> String {
        let words = settings.refusal(said, self.was_answered());
        *self.lock() = Some(Why::Refused(words.clone()));
        words
    }

    /// Hears what the library logs of a connection that failed. Where it ended as between two that speak different
    /// protocols, that is the reason until a connection fails otherwise, unless a broker has answered before.
    pub fn hear(&self, settings: &KafkaSettings, said: &str) {
        let mut why = self.lock();
        if let Some(Why::Refused(_)) = *why {
            return;
        }
        let misfit = is_misfit(said) && !self.was_answered();
        *why = misfit.then(|| Why::Suspected(settings.misfit()));
    }

    /// The broker let us in.
    pub fn lift(&self) {
        self.answered.store(true, Ordering::Relaxed);
        *self.lock() = None;
    }

    /// The last reason, if it was not lifted since.
    pub fn reason(&self) -> Option<String> {
        match &*self.lock() {
            None => None,
            Some(Why::Refused(words) | Why::Suspected(words)) => Some(words.clone()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Why>> {
        self.why.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the other side ended a connection before a word of its own: so it does where TLS is spoken there and
/// not here, or here and not there.
fn is_misfit(said: &str) -> bool {
    let early = ["APIVERSION_QUERY", "SSL_HANDSHAKE"];
    said.contains("Disconnected")
        && early
            .iter()
            .any(|state| said.contains(&format!("in state {state}")))
}

impl KafkaSettings {
    fn misfit(&self) -> String {
        let servers = self.bootstrap_servers();
        let protocol = self.property("security.protocol").unwrap_or("PLAINTEXT");
        format!(
            "{servers} (KAFKA_BOOTSTRAP_SERVERS) ends connections as soon as they are open: most likely \
             KAFKA_SECURITY_PROTOCOL ({protocol}) is not what is spoken at that port"
        )
    }

    /// Without what differs between two attempts (which broker, how long it took), and with what
    /// to look at. A handshake that simply ends is what a listener of another protocol looks like, if none was
    /// `answered` before.
    fn refusal(&self, said: &str, answered: bool) -> String {
        let core = match said.split_once("://") {
            Some((_, rest)) => rest.split_once(": ").map_or(said, |(_, core)| core),
            None => said,
        };
        let core = core.split(" (after ").next().unwrap_or(core).trim();
        // The library guesses at the protocol, too.
        let core = match core.split_once(": connecting to a ") {
            Some((core, _)) if answered => core,
            _ => core,
        };
        // Said in two ways in turn.
        let untrusted = core.contains("certificate verify failed");
        let core = if untrusted {
            "its certificate cannot be verified (certificate verify failed)"
        } else {
            core
        };
        let own = self.property("ssl.certificate.location").is_some();
        let look = if untrusted {
            match self.property("ssl.ca.location") {
                Some(path) => format!("KAFKA_SSL_CA_LOCATION ({path})"),
                None => "KAFKA_SSL_CA_LOCATION (not set: the system's certificates are trusted)"
                    .to_owned(),
            }
        } else if core.contains("SASL") || core.contains("uthentication") {
            "KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and KAFKA_SASL_MECHANISM".to_owned()
        } else if core.contains("certificate") || own {
            "KAFKA_SSL_CERTIFICATE_LOCATION and KAFKA_SSL_KEY_LOCATION".to_owned()
        } else if answered {
            "what stands at that port now: a broker has answered there before".to_owned()
        } else {
            "KAFKA_SECURITY_PROTOCOL".to_owned()
        };
        let servers = self.bootstrap_servers();
        format!("{servers} (KAFKA_BOOTSTRAP_SERVERS) refuses this service: {core}; check {look}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(properties: &[(&str, &str)]) -> KafkaSettings {
        let mut settings = KafkaSettings::plain("kafka:9093");
        let more = properties
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        settings.properties.extend(more);
        settings
    }

    /// In a process of its own.
    fn refusal() -> Refusal {
        Refusal::knowing(Box::leak(Box::default()))
    }

    const ENDED: &str = "[thrd:kafka:9093/bootstrap]: kafka:9093/bootstrap: Disconnected: connection closed by peer: receive 0 \
                         after POLLIN (after 0ms in state APIVERSION_QUERY)";

    #[test]
    fn two_attempts_with_one_reason_are_one_sentence_that_names_the_variables() {
        let refusal = refusal();
        let settings = settings(&[("sasl.password", "hunter2")]);
        let first = refusal.note(
            &settings,
            "sasl_ssl://kafka:9093/bootstrap: SASL authentication error: Authentication failed (after 312ms in state AUTH_REQ)",
        );
        let second = refusal.note(
            &settings,
            "sasl_ssl://kafka-1:9093/1: SASL authentication error: Authentication failed (after 7ms in state AUTH_REQ, 4 identical error(s) suppressed)",
        );
        assert_eq!(first, second);
        assert_eq!(
            first,
            "kafka:9093 (KAFKA_BOOTSTRAP_SERVERS) refuses this service: SASL authentication error: Authentication failed; \
             check KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and KAFKA_SASL_MECHANISM"
        );
        assert_eq!(refusal.reason(), Some(first));
        refusal.lift();
        assert_eq!(refusal.reason(), None);
    }

    #[test]
    fn a_connection_that_ends_at_once_is_laid_to_the_protocol_until_one_fails_otherwise() {
        let refusal = refusal();
        let settings = settings(&[("security.protocol", "PLAINTEXT")]);
        refusal.hear(&settings, ENDED);
        assert_eq!(
            refusal.reason().as_deref(),
            Some(
                "kafka:9093 (KAFKA_BOOTSTRAP_SERVERS) ends connections as soon as they are open: most likely \
                 KAFKA_SECURITY_PROTOCOL (PLAINTEXT) is not what is spoken at that port"
            )
        );
        refusal.hear(
            &settings,
            "kafka:9093/bootstrap: Connect to ipv4#10.0.0.1:9093 failed: Connection refused (after 0ms in state CONNECT)",
        );
        assert_eq!(refusal.reason(), None);
        // What is known counts for more than what is guessed.
        let known = refusal.note(&settings, "SASL authentication error");
        refusal.hear(&settings, ENDED);
        assert_eq!(refusal.reason(), Some(known));
    }

    #[test]
    fn a_protocol_that_was_answered_once_is_not_suspected_by_any_client_again() {
        let (first, settings) = (refusal(), settings(&[("security.protocol", "SSL")]));
        first.hear(&settings, ENDED);
        assert!(first.reason().is_some());
        first.lift();
        let later = Refusal::knowing(first.answered);
        for refusal in [&first, &later] {
            refusal.hear(&settings, ENDED);
            assert_eq!(refusal.reason(), None);
        }
        let words = later.note(
            &settings,
            "ssl://kafka:9093/bootstrap: SSL handshake failed: Disconnected: connecting to a PLAINTEXT broker listener? \
             (after 3ms in state SSL_HANDSHAKE)",
        );
        assert_eq!(
            words,
            "kafka:9093 (KAFKA_BOOTSTRAP_SERVERS) refuses this service: SSL handshake failed: Disconnected; check what \
             stands at that port now: a broker has answered there before"
        );
        // A wrong password is one at any time.
        let words = later.note(
            &settings,
            "sasl_ssl://kafka:9093/bootstrap: SASL authentication error: Authentication failed",
        );
        assert!(words.contains("KAFKA_SASL_PASSWORD"), "{words}");
    }

    #[test]
    fn an_unknown_authority_names_the_file_that_was_trusted() {
        let said = "ssl://kafka:9093/bootstrap: SSL handshake failed: certificate verify failed (after 9ms in state SSL_HANDSHAKE)";
        let words = settings(&[("ssl.ca.location", "/etc/kafka/ca.pem")]).refusal(said, false);
        assert!(
            words.ends_with("check KAFKA_SSL_CA_LOCATION (/etc/kafka/ca.pem)"),
            "{words}"
        );
        let words = settings(&[]).refusal(said, false);
        assert!(words.contains("KAFKA_SSL_CA_LOCATION (not set"), "{words}");
    }
}
