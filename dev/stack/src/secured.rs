//! What a secured stack has beside a plain one: certificates made for it, listeners with TLS and
//! SASL, and a user. In: a directory; out: the files in it, the broker's and database's settings
//! for them, and a way to make more users. Nothing here is a secret: it guards a loopback port.

#[cfg(feature = "secured")]
mod certificates;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::StackError;
use crate::process::Spawn;

/// The tool is a JVM of its own, and asks the broker twice.
const TOOL_PATIENCE: Duration = Duration::from_secs(60);

/// A listener that the broker of a secured stack has beside the plain one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// TLS, for everybody.
    Tls,
    /// TLS, for who shows a certificate.
    MutualTls,
    /// A user and a password, in the clear.
    Sasl,
    /// A user and a password, over TLS.
    SaslTls,
}

impl Listener {
    /// All of them, in the order of their ports.
    pub const ALL: [Self; 4] = [Self::Tls, Self::MutualTls, Self::Sasl, Self::SaslTls];

    /// What `security.protocol` is for it.
    pub fn protocol(self) -> &'static str {
        match self {
            Self::Tls | Self::MutualTls => "SSL",
            Self::Sasl => "SASL_PLAINTEXT",
            Self::SaslTls => "SASL_SSL",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tls => "TLS",
            Self::MutualTls => "MUTUAL",
            Self::Sasl => "SASL",
            Self::SaslTls => "SASLTLS",
        }
    }
}

/// The files and users of a secured stack.
#[derive(Debug, Clone)]
pub struct Secured {
    dir: PathBuf,
    pub(crate) user_tool: Option<Spawn>,
}

impl Secured {
    /// The user that the broker knows from the start, by every mechanism.
    pub const USER: &str = "shop";
    /// Its password.
    pub const PASSWORD: &str = "correct-horse-battery-staple";

    /// The authority that signed the servers' certificates.
    pub fn ca(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// An authority that signed nothing.
    pub fn strange_ca(&self) -> PathBuf {
        self.dir.join("strange-ca.pem")
    }

    /// A client's certificate and its key.
    pub fn client(&self) -> (PathBuf, PathBuf) {
        (self.dir.join("client.pem"), self.dir.join("client.key"))
    }

    /// A server's certificate for this machine, and its key.
    pub fn server(&self) -> (PathBuf, PathBuf) {
        (self.dir.join("server.pem"), self.dir.join("server.key"))
    }

    /// Gives the broker one more user, or an old one another password, by one of the SCRAM
    /// mechanisms: its tool takes one at a time. (The users of PLAIN are part of its configuration.)
    pub async fn create_user(
        &self,
        mechanism: &str,
        name: &str,
        password: &str,
    ) -> Result<(), StackError> {
        let refused = |detail: String| StackError::Refused {
            what: format!("making the user {name}"),
            detail,
        };
        let tool = self.user_tool.clone();
        let tool = tool.ok_or_else(|| refused("the broker is not ours".to_owned()))?;
        let credential = format!("{mechanism}=[password={password}]");
        let process = tool
            .args(["--alter", "--entity-type", "users", "--entity-name", name])
            .args(["--add-config", credential.as_str()])
            .start()?;
        match process.wait_exit(TOOL_PATIENCE).await {
            Some(status) if status.success() => Ok(()),
            ended => Err(refused(format!("{ended:?}\n{}", process.log_tail(10)))),
        }
    }

    fn file(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    /// The broker's settings for its secured listeners.
    pub(crate) fn properties(&self) -> String {
        let (user, password) = (Self::USER, Self::PASSWORD);
        let mut text = format!(
            "ssl.keystore.type=PEM
ssl.keystore.location={both}
ssl.truststore.type=PEM
ssl.truststore.location={ca}
listener.name.mutual.ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=true
super.users=User:ANONYMOUS;User:{user}
",
            both = self.file("server-both.pem"),
            ca = self.ca().display(),
        );
        let module = "org.apache.kafka.common.security";
        for listener in ["sasl", "sasltls"] {
            text.push_str(&format!(
                "listener.name.{listener}.plain.sasl.jaas.config={module}.plain.PlainLoginModule required user_{user}=\"{password}\";\n"
            ));
            for mechanism in ["scram-sha-256", "scram-sha-512"] {
                text.push_str(&format!(
                    "listener.name.{listener}.{mechanism}.sasl.jaas.config={module}.scram.ScramLoginModule required;\n"
                ));
            }
        }
        text
    }

    /// Makes the first user while the storage is formatted.
    pub(crate) fn first_user(&self) -> Vec<String> {
        let (user, password) = (Self::USER, Self::PASSWORD);
        ["SCRAM-SHA-256", "SCRAM-SHA-512"]
            .iter()
            .flat_map(|mechanism| {
                [
                    "--add-scram".to_owned(),
                    format!("{mechanism}=[name={user},password={password}]"),
                ]
            })
            .collect()
    }

    pub(crate) fn mongod_arguments(&self) -> Vec<String> {
        let both = self.file("server-both.pem");
        let ca = self.file("ca.pem");
        let own = [
            "--auth",
            "--tlsMode",
            "requireTLS",
            "--tlsCertificateKeyFile",
        ];
        own.map(str::to_owned)
            .into_iter()
            .chain([both, "--tlsCAFile".to_owned(), ca])
            .chain(["--tlsAllowConnectionsWithoutCertificates".to_owned()])
            .collect()
    }

    pub(crate) fn secantus_arguments(&self) -> Vec<String> {
        let path = |path: &Path| path.display().to_string();
        let (certificate, key) = self.server();
        vec![
            "--auth".to_owned(),
            "--tls-cert-file".to_owned(),
            path(&certificate),
            "--tls-key-file".to_owned(),
            path(&key),
        ]
    }
}
