//! Certificate and key of a port, and the handshake.
//!
//! In: the paths of two PEM files. Out: encrypted streams for the accept loop. Both files are read
//! at the start, so that what is wrong with them is said by the variables' names, and again by
//! [`Tls::reload`]: connections that are open keep what they began with, new ones get the new.

use std::fmt;
use std::path::PathBuf;
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

/// Why the files are of no use: the variable to look at, and the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {reason}")]
pub struct TlsError {
    /// The variable whose file is meant.
    pub variable: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

impl Tls {
    /// Reads the variables of this module: `Some(None)` if none is set, `None` if errors were noted.
    pub fn read(reader: &mut Reader<'_>) -> Option<Option<Self>> {
        let certificate = reader.optional(CERTIFICATE, text);
        let key = reader.optional(KEY, text);
        match (certificate?, key?) {
            (None, None) => Some(None),
            (Some(certificate), Some(key)) => match Self::open(certificate, key) {
                Ok(tls) => Some(Some(tls)),
                Err(error) => {
                    reader.fail(error.variable, error.reason);
                    None
                }
            },
            (None, Some(_)) => {
                reader.fail(CERTIFICATE, format!("is required, because {KEY} is set"));
                None
            }
            (Some(_), None) => {
                reader.fail(KEY, format!("is required, because {CERTIFICATE} is set"));
                None
            }
        }
    }

    /// Reads the files.
    ///
    /// # Errors
    /// What is wrong with which.
    pub fn open(
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Result<Self, TlsError> {
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
    pub fn reload(&self) -> Result<(), TlsError> {
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

fn load(certificate: &PathBuf, key: &PathBuf) -> Result<Arc<ServerConfig>, TlsError> {
    let about = |variable: &'static str, path: &PathBuf| {
        let path = path.display().to_string();
        move |error: &dyn fmt::Display| TlsError {
            variable,
            reason: format!("{path:?} {error}"),
        }
    };
    let (wrong_certificate, wrong_key) = (about(CERTIFICATE, certificate), about(KEY, key));
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let bytes =
        std::fs::read(certificate).map_err(|error| wrong_certificate(&unreadable(error)))?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong_certificate(&format!("is not readable as PEM: {error}")))?;
    if chain.is_empty() {
        return Err(wrong_certificate(
            &"does not hold a certificate in PEM form",
        ));
    }
    let bytes = std::fs::read(key).map_err(|error| wrong_key(&unreadable(error)))?;
    let secret = PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| {
        wrong_key(&"does not hold a private key in PEM form (one with a password is not taken)")
    })?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong_certificate(&error))?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|error| wrong_key(&format!("does not go with {CERTIFICATE}: {error}")))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
