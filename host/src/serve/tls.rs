//! Certificate and key of a port, and the handshake.
//!
//! In: the paths of two PEM files. Out: encrypted streams for the accept loop. Both files are read
//! at the start, so that what is wrong with them is said by the variables' names, and again by
//! [`Tls::reload`]: connections that are open keep what they began with, new ones get the new.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

use crate::env::{Reader, Var, text};
use crate::signal::Hangup;

/// The variables of this module.
pub const VARS: &[Var] = &[
    Var::optional(
        CERTIFICATE,
        "file with the certificate chain (PEM) of HTTP_ADDR, which then speaks TLS only; read again on SIGHUP",
    ),
    Var::optional(
        KEY,
        "file with that certificate's private key (PEM, without a password)",
    ),
];

const CERTIFICATE: &str = "HTTP_TLS_CERTIFICATE";
const KEY: &str = "HTTP_TLS_KEY";

/// What a port shows of itself. Clones are one thing.
#[derive(Clone)]
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    config: Arc<RwLock<Arc<ServerConfig>>>,
}

/// Why a file is of no use: the variable to look at, and the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {reason}")]
pub struct TlsError {
    /// The variable whose file is meant.
    pub variable: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

/// All that is wrong with both files. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct TlsErrors(pub Vec<TlsError>);

impl fmt::Display for TlsErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, error) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { "; " };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl Tls {
    /// Reads the variables of this module: `Some(None)` if none is set, `None` if errors were noted.
    pub fn read(reader: &mut Reader<'_>) -> Option<Option<Self>> {
        let certificate = reader.optional(CERTIFICATE, text);
        let key = reader.optional(KEY, text);
        let missing = |variable, other: &str| TlsError {
            variable,
            reason: format!("is required, because {other} is set"),
        };
        let errors = match (certificate?, key?) {
            (None, None) => return Some(None),
            (Some(certificate), Some(key)) => match Self::open(certificate, key) {
                Ok(tls) => return Some(Some(tls)),
                Err(TlsErrors(errors)) => errors,
            },
            (None, Some(key)) => {
                let wrong = private_key(key.as_ref()).err();
                [missing(CERTIFICATE, KEY)]
                    .into_iter()
                    .chain(wrong)
                    .collect()
            }
            (Some(certificate), None) => {
                let wrong = chain(certificate.as_ref()).err();
                wrong
                    .into_iter()
                    .chain([missing(KEY, CERTIFICATE)])
                    .collect()
            }
        };
        for error in errors {
            reader.fail(error.variable, error.reason);
        }
        None
    }

    /// Reads the files.
    ///
    /// # Errors
    /// What is wrong with which.
    pub fn open(
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Result<Self, TlsErrors> {
        let (certificate, key) = (certificate.into(), key.into());
        let config = Arc::new(RwLock::new(load(&certificate, &key)?));
        Ok(Self {
            certificate,
            key,
            config,
        })
    }

    /// Reads the files again, for connections from now on.
    ///
    /// # Errors
    /// What is wrong with which; then everything stays as it was.
    pub fn reload(&self) -> Result<(), TlsErrors> {
        let config = load(&self.certificate, &self.key)?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// Reads the files again whenever told, and says how that went, until the handle is dropped.
    pub fn renew_on(&self, hangup: Hangup) -> AbortOnDropHandle<()> {
        let tls = self.clone();
        AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                hangup.told().await;
                let read = tls.clone();
                match tokio::task::spawn_blocking(move || read.reload()).await {
                    Ok(Ok(())) => tracing::info!("the certificate was read again and is in use"),
                    Ok(Err(error)) => {
                        tracing::error!(%error, "the certificate is not valid: the one in use stays");
                    }
                    Err(error) => tracing::error!(%error, "the certificate was not read again"),
                }
            }
        }))
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&config))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("certificate", &self.certificate)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

fn load(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsErrors> {
    let (chain, secret) = match (chain(certificate), private_key(key)) {
        (Ok(chain), Ok(secret)) => (chain, secret),
        (chain, secret) => {
            let errors = chain.err().into_iter().chain(secret.err());
            return Err(TlsErrors(errors.collect()));
        }
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsErrors(vec![wrong(CERTIFICATE, certificate, &error)]))?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|error| {
            let detail = format!("does not go with {CERTIFICATE}: {error}");
            TlsErrors(vec![wrong(KEY, key, &detail)])
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |detail: &str| wrong(CERTIFICATE, path, &detail);
    let bytes = std::fs::read(path).map_err(|error| wrong(&unreadable(&error)))?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(&format!("is not readable as PEM: {error}")))?;
    match chain.is_empty() {
        true => Err(wrong("does not hold a certificate in PEM form")),
        false => Ok(chain),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let wrong = |detail: &str| wrong(KEY, path, &detail);
    let bytes = std::fs::read(path).map_err(|error| wrong(&unreadable(&error)))?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| {
        wrong("does not hold a private key in PEM form (one with a password is not taken)")
    })
}

fn wrong(variable: &'static str, path: &Path, detail: &dyn fmt::Display) -> TlsError {
    let path = path.display().to_string();
    TlsError {
        variable,
        reason: format!("{path:?} {detail}"),
    }
}

fn unreadable(error: &std::io::Error) -> String {
    format!("cannot be read: {error}")
}
