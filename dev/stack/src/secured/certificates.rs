//! Certificates, made anew for every start. In: a directory; out: PEM files of an authority, of a
//! server at this machine, of a client, and of an authority that nobody should trust.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::Secured;
use crate::error::StackError;

impl Secured {
    /// Makes the files in this directory.
    ///
    /// # Errors
    /// A file that cannot be written, or no randomness for a key.
    pub fn issue(dir: PathBuf) -> Result<Self, StackError> {
        let authority = authority("the stack's authority").map_err(failed)?;
        let strange = self::authority("a strange authority").map_err(failed)?;
        write(&dir, "ca.pem", &authority.0)?;
        write(&dir, "strange-ca.pem", &strange.0)?;
        let names = ["localhost", "127.0.0.1", "::1"];
        for (name, names) in [("server", &names[..]), ("client", &[])] {
            let (certificate, key) = signed(name, names, &authority.1).map_err(failed)?;
            write(&dir, &format!("{name}.pem"), &certificate)?;
            write(&dir, &format!("{name}.key"), &key)?;
            write(
                &dir,
                &format!("{name}-both.pem"),
                &format!("{key}{certificate}"),
            )?;
        }
        Ok(Self {
            dir,
            user_tool: None,
        })
    }
}

fn failed(error: rcgen::Error) -> StackError {
    StackError::Refused {
        what: "making certificates".to_owned(),
        detail: error.to_string(),
    }
}

fn write(dir: &Path, name: &str, text: &str) -> Result<(), StackError> {
    let path = dir.join(name);
    fs::write(&path, text).map_err(StackError::io("write", &path))
}

fn named(name: &str, names: &[&str]) -> Result<CertificateParams, rcgen::Error> {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

fn authority(name: &str) -> Result<(String, Issuer<'static, KeyPair>), rcgen::Error> {
    let mut params = named(name, &[])?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), Issuer::new(params, key)))
}

fn signed(
    name: &str,
    names: &[&str],
    authority: &Issuer<'_, KeyPair>,
) -> Result<(String, String), rcgen::Error> {
    let mut params = named(name, names)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, authority)?;
    Ok((certificate.pem(), key.serialize_pem()))
}
