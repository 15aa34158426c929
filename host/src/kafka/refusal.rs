//! A broker that is there but does not let us in.
//!
//! In: the client library's words about a failed login or handshake. Out: one sentence that stays
//! the same as long as the reason does, and names the variables to look at; it is kept until the
//! broker answers, because the library says it once and then only that there is no connection.

use std::sync::{Arc, Mutex, PoisonError};

use super::KafkaSettings;

/// Why the broker does not let us in, as of now. Clones are one thing.
#[derive(Debug, Clone, Default)]
pub struct Refusal(Arc<Mutex<Option<String>>>);

impl Refusal {
    /// Notes what the library said and gives it in our words.
    pub fn note(&self, settings: &KafkaSettings, said: &str) -> String {
        let words = settings.refusal(said);
        *self.lock() = Some(words.clone());
        words
    }

    /// The broker let us in.
    pub fn lift(&self) {
        *self.lock() = None;
    }

    /// The last reason, if it was not lifted since.
    pub fn reason(&self) -> Option<String> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KafkaSettings {
    /// Without what differs between two attempts (which broker, how long it took), and with what
    /// to look at. A handshake that simply ends is what a listener of another protocol looks like.
    fn refusal(&self, said: &str) -> String {
        let core = match said.split_once("://") {
            Some((_, rest)) => rest.split_once(": ").map_or(said, |(_, core)| core),
            None => said,
        };
        let core = core.split(" (after ").next().unwrap_or(core).trim();
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

    #[test]
    fn two_attempts_with_one_reason_are_one_sentence_that_names_the_variables() {
        let refusal = Refusal::default();
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
    fn an_unknown_authority_names_the_file_that_was_trusted() {
        let said = "ssl://kafka:9093/bootstrap: SSL handshake failed: certificate verify failed (after 9ms in state SSL_HANDSHAKE)";
        let words = settings(&[("ssl.ca.location", "/etc/kafka/ca.pem")]).refusal(said);
        assert!(
            words.ends_with("check KAFKA_SSL_CA_LOCATION (/etc/kafka/ca.pem)"),
            "{words}"
        );
        let words = settings(&[]).refusal(said);
        assert!(words.contains("KAFKA_SSL_CA_LOCATION (not set"), "{words}");
    }
}
