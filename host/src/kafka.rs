//! How to reach Kafka: addresses, security, and any other client property.
//!
//! In: the `KAFKA_*` variables. Out: properties for the client library, which it
//! does not know itself. Passwords are in the properties and nowhere else.

mod refusal;

use std::fmt;

use crate::env::{Reader, Secret, Var, certificates, private_key, secret, text};

pub use refusal::Refusal;

/// The variables of this module.
pub const VARS: &[Var] = &[
    Var::with_default(
        "KAFKA_BOOTSTRAP_SERVERS",
        "localhost:9092",
        "brokers to begin with, as host:port,host:port",
    ),
    Var::with_default(
        "KAFKA_SECURITY_PROTOCOL",
        "PLAINTEXT",
        "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL",
    ),
    Var::optional(
        "KAFKA_SASL_MECHANISM",
        "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; with a SASL protocol only",
    ),
    Var::optional(
        "KAFKA_SASL_USERNAME",
        "user name; with a SASL protocol only",
    ),
    Var::optional("KAFKA_SASL_PASSWORD", "password; with a SASL protocol only").secret(),
    Var::optional(
        "KAFKA_SSL_CA_LOCATION",
        "file with the brokers' CA certificates (PEM); with an SSL protocol only, without it the system's are trusted",
    ),
    Var::optional(
        "KAFKA_SSL_CERTIFICATE_LOCATION",
        "file with our own certificate (PEM), for brokers that ask for one; with an SSL protocol only",
    ),
    Var::optional(
        "KAFKA_SSL_KEY_LOCATION",
        "file with that certificate's key (PEM)",
    ),
    Var::optional(
        "KAFKA_SSL_KEY_PASSWORD",
        "password of that key, if it has one",
    )
    .secret(),
    PASS_THROUGH,
];

/// Stands in the table for the help; it is a family of variables, not one.
const PASS_THROUGH: Var = Var::optional(
    "KAFKA_CLIENT_<PROPERTY>",
    "any other client property, in capitals with _ for the dot: KAFKA_CLIENT_SOCKET_TIMEOUT_MS is socket.timeout.ms",
);

const PREFIX: &str = "KAFKA_CLIENT_";

/// Properties that have variables of their own.
const OWN: [(&str, &str); 9] = [
    ("bootstrap.servers", "KAFKA_BOOTSTRAP_SERVERS"),
    ("security.protocol", "KAFKA_SECURITY_PROTOCOL"),
    ("sasl.mechanism", "KAFKA_SASL_MECHANISM"),
    ("sasl.username", "KAFKA_SASL_USERNAME"),
    ("sasl.password", "KAFKA_SASL_PASSWORD"),
    ("ssl.ca.location", "KAFKA_SSL_CA_LOCATION"),
    ("ssl.certificate.location", "KAFKA_SSL_CERTIFICATE_LOCATION"),
    ("ssl.key.location", "KAFKA_SSL_KEY_LOCATION"),
    ("ssl.key.password", "KAFKA_SSL_KEY_PASSWORD"),
];

/// Other names that the client has for two of them.
const ALIASES: [(&str, &str); 2] = [
    ("metadata.broker.list", "KAFKA_BOOTSTRAP_SERVERS"),
    ("sasl.mechanisms", "KAFKA_SASL_MECHANISM"),
];

/// How to reach Kafka.
#[derive(Clone)]
pub struct KafkaSettings {
    properties: Vec<(String, String)>,
}

impl KafkaSettings {
    /// Reads the variables of this module. `reserved` are the client properties on
    /// which the service's promises rest: passing them through is an error. `takes` asks the client whether
    /// it takes a property with this value, each alone, so that all that it refuses are named.
    pub fn read(
        reader: &mut Reader<'_>,
        reserved: &[&str],
        takes: fn(&str, &str) -> Result<(), String>,
    ) -> Option<Self> {
        let servers = reader.get("KAFKA_BOOTSTRAP_SERVERS", bootstrap_servers);
        let protocol = reader.get("KAFKA_SECURITY_PROTOCOL", protocol);
        let mechanism = reader.optional("KAFKA_SASL_MECHANISM", mechanism);
        let username = reader.optional("KAFKA_SASL_USERNAME", text);
        let password = reader.optional("KAFKA_SASL_PASSWORD", secret);
        let ca = reader.optional("KAFKA_SSL_CA_LOCATION", certificates);
        let certificate = reader.optional("KAFKA_SSL_CERTIFICATE_LOCATION", certificates);
        let key = reader.optional("KAFKA_SSL_KEY_LOCATION", private_key);
        let key_password = reader.optional("KAFKA_SSL_KEY_PASSWORD", secret);
        let family = reader.optional(PASS_THROUGH.name, text);
        if let Some(protocol) = protocol {
            let (sasl, ssl) = (protocol.starts_with("SASL"), protocol.ends_with("SSL"));
            let given = [
                ("KAFKA_SASL_MECHANISM", is_given(&mechanism), sasl, true),
                ("KAFKA_SASL_USERNAME", is_given(&username), sasl, true),
                ("KAFKA_SASL_PASSWORD", is_given(&password), sasl, true),
                ("KAFKA_SSL_CA_LOCATION", is_given(&ca), ssl, false),
                (
                    "KAFKA_SSL_CERTIFICATE_LOCATION",
                    is_given(&certificate),
                    ssl,
                    false,
                ),
                ("KAFKA_SSL_KEY_LOCATION", is_given(&key), ssl, false),
                (
                    "KAFKA_SSL_KEY_PASSWORD",
                    is_given(&key_password),
                    ssl,
                    false,
                ),
            ];
            for (name, given, used, needed) in given {
                match given {
                    Some(true) if !used => {
                        reader.fail(
                            name,
                            format!("is set, but KAFKA_SECURITY_PROTOCOL is {protocol}"),
                        );
                    }
                    Some(false) if used && needed => {
                        reader.fail(
                            name,
                            format!("is required, because KAFKA_SECURITY_PROTOCOL is {protocol}"),
                        );
                    }
                    _ => {}
                }
            }
        }
        let pair = [
            ("KAFKA_SSL_CERTIFICATE_LOCATION", is_given(&certificate)),
            ("KAFKA_SSL_KEY_LOCATION", is_given(&key)),
        ];
        for ((missing, given), (other, other_given)) in [(pair[0], pair[1]), (pair[1], pair[0])] {
            if given == Some(false) && other_given == Some(true) {
                reader.fail(missing, format!("is required, because {other} is set"));
            }
        }
        if is_given(&key_password) == Some(true) && is_given(&key) == Some(false) {
            reader.fail(
                "KAFKA_SSL_KEY_PASSWORD",
                "is set, but KAFKA_SSL_KEY_LOCATION is not",
            );
        }
        let properties = passed_through(reader, reserved, takes);
        family?;
        let mut properties = properties?;
        let values = [
            Some(servers?),
            Some(protocol?.to_owned()),
            mechanism?.map(str::to_owned),
            username?,
            password?.map(|hidden: Secret| hidden.expose().to_owned()),
            ca?,
            certificate?,
            key?,
            key_password?.map(|hidden: Secret| hidden.expose().to_owned()),
        ];
        for ((property, _), value) in OWN.iter().zip(values) {
            properties.extend(value.map(|value| ((*property).to_owned(), value)));
        }
        Some(Self { properties })
    }

    /// Settings for these brokers without security, as tests need them.
    pub fn plain(bootstrap_servers: impl Into<String>) -> Self {
        Self {
            properties: vec![("bootstrap.servers".to_owned(), bootstrap_servers.into())],
        }
    }

    /// The properties for the client, passwords included. Those passed through come
    /// first, so that what the service sets after them stands.
    pub fn client_properties(&self) -> &[(String, String)] {
        &self.properties
    }

    /// The brokers to begin with, for messages.
    pub fn bootstrap_servers(&self) -> &str {
        self.property("bootstrap.servers").unwrap_or_default()
    }

    /// The variable of the property that a text of the client is about; the family's name if it is
    /// about none that was set.
    pub fn variable_in(&self, text: &str) -> String {
        let named = |property: &str| text.contains(property);
        let own = OWN.iter().filter(|(own, _)| named(own));
        let longest = own.max_by_key(|(own, _)| own.len());
        let passed = self.properties.iter().find(|(property, _)| named(property));
        match (longest, passed) {
            (Some((_, variable)), _) => (*variable).to_owned(),
            (None, Some((property, _))) => {
                format!("{PREFIX}{}", property.to_uppercase().replace('.', "_"))
            }
            (None, None) => "KAFKA_…".to_owned(),
        }
    }

    fn property(&self, name: &str) -> Option<&str> {
        let found = self.properties.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// `None` if one of them had an error.
fn passed_through(
    reader: &mut Reader<'_>,
    reserved: &[&str],
    takes: fn(&str, &str) -> Result<(), String>,
) -> Option<Vec<(String, String)>> {
    let (mut properties, mut good) = (Vec::new(), true);
    for (name, value) in reader.prefixed(PREFIX) {
        let property = name[PREFIX.len()..].to_lowercase().replace('_', ".");
        let own = OWN.iter().chain(&ALIASES).find(|(own, _)| *own == property);
        let wrong = if let Some((_, own)) = own {
            Some(format!("is not passed through: set {own} instead"))
        } else if property.is_empty() {
            Some("names no property".to_owned())
        } else if reserved.contains(&property.as_str()) {
            Some(format!(
                "is not passed through: the service's promises rest on its own {property}"
            ))
        } else if value.is_empty() {
            continue;
        } else {
            let taken = takes(&property, &value);
            // Without the value, which may be a secret under a wrong name.
            taken
                .err()
                .map(|reason| format!("is refused by the Kafka client: {property}: {reason}"))
        };
        match wrong {
            Some(reason) => {
                reader.fail(&name, reason);
                good = false;
            }
            None => properties.push((property, value)),
        }
    }
    good.then_some(properties)
}

/// `None` if the variable had an error of its own, which is enough said.
fn is_given<T>(read: &Option<Option<T>>) -> Option<bool> {
    read.as_ref().map(Option::is_some)
}

fn bootstrap_servers(text: &str) -> Result<String, String> {
    let broker = |broker: &str| {
        let parts = broker.trim().rsplit_once(':');
        parts.is_some_and(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
        })
    };
    match text.split(',').all(broker) {
        true => Ok(text.split(',').map(str::trim).collect::<Vec<_>>().join(",")),
        false => Err("is not a list such as kafka-0:9092,kafka-1:9092".to_owned()),
    }
}

fn protocol(text: &str) -> Result<&'static str, String> {
    one_of(text, &["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])
}

fn mechanism(text: &str) -> Result<&'static str, String> {
    one_of(text, &["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
}

fn one_of(text: &str, choices: &[&'static str]) -> Result<&'static str, String> {
    let chosen = choices
        .iter()
        .find(|choice| choice.eq_ignore_ascii_case(text));
    chosen
        .copied()
        .ok_or_else(|| format!("is none of {}", choices.join(", ")))
}

/// Everything that may authenticate is hidden; that includes what was passed through.
impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HIDDEN: [&str; 6] = [
            "password",
            "secret",
            "token",
            "pem",
            "jaas",
            "oauthbearer.config",
        ];
        let shown = self.properties.iter().map(|(name, value)| {
            let hide = HIDDEN.iter().any(|part| name.contains(part));
            (name, if hide { "(hidden)" } else { value })
        });
        f.debug_map().entries(shown).finish()
    }
}
