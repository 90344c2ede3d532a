//! TLS towards clients: TLS 1.2 and 1.3 by rustls, certificates by SNI, re-read when they change.
//!
//! A listener with one certificate shows it to everybody; one with several shows a certificate only
//! to whom names it, and ends every other handshake with an alert, so that no tenant's certificate
//! is ever a default. A new certificate that does not parse or fit its key leaves the old one in
//! place and says so in the log. There is no 0-RTT and no renegotiation.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::config::{Fault, Listener, ListenerTls};

/// A certificate with its names and the state of its files.
#[derive(Debug)]
struct Loaded {
    key: Arc<CertifiedKey>,
    stamp: Stamp,
}

/// What a change of a file changes: its time, length and inode, through symbolic links.
type Stamp = Vec<Option<(SystemTime, u64, u64)>>;

/// The certificates of one listener.
pub(super) struct Certificates {
    configured: Vec<ListenerTls>,
    loaded: Vec<ArcSwap<Loaded>>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("count", &self.loaded.len())
            .finish_non_exhaustive()
    }
}

impl Certificates {
    /// Reads every certificate of a listener; `None` for clear text.
    pub(super) fn build(listener: &Listener) -> Result<Option<Arc<Self>>, Vec<Fault>> {
        if listener.tls.is_empty() {
            return Ok(None);
        }
        let mut loaded = Vec::new();
        let mut faults = Vec::new();
        for tls in &listener.tls {
            match load(tls, tls.private_key.value.expose().as_bytes()) {
                Ok(certificate) => loaded.push(ArcSwap::from_pointee(certificate)),
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() {
            Ok(Some(Arc::new(Self {
                configured: listener.tls.clone(),
                loaded,
            })))
        } else {
            Err(faults)
        }
    }

    /// Reads again what has changed on disk. Called from time to time by the control runtime.
    pub(super) fn refresh(&self) {
        for (tls, slot) in self.configured.iter().zip(&self.loaded) {
            if stamp(tls) == slot.load().stamp {
                continue;
            }
            let key = match &tls.private_key.file {
                Some(path) => std::fs::read(path).map_err(|error| error.to_string()),
                None => Ok(tls.private_key.value.expose().as_bytes().to_vec()),
            };
            let outcome = key.and_then(|key| load(tls, &key).map_err(|fault| fault.problem));
            match outcome {
                Ok(certificate) => {
                    slot.store(Arc::new(certificate));
                    tracing::info!(certificate = %tls.certificate.display(), "certificate re-read");
                }
                Err(problem) => {
                    tracing::error!(certificate = %tls.certificate.display(), problem, "certificate not re-read; the old one stays");
                }
            }
        }
    }

    /// Which certificate a name leads to.
    pub(super) fn index_of(&self, name: &str) -> Option<usize> {
        if self.loaded.len() == 1 {
            return Some(0);
        }
        let name = ServerName::try_from(name).ok()?;
        self.loaded
            .iter()
            .position(|slot| covers(&slot.load().key, &name))
    }

    /// The rustls configuration of the listener.
    pub(super) fn server_config(self: &Arc<Self>) -> Result<rustls::ServerConfig, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let index = match hello.server_name() {
            Some(name) => self.index_of(name)?,
            None if self.loaded.len() == 1 => 0,
            None => return None,
        };
        self.loaded
            .get(index)
            .map(|slot| Arc::clone(&slot.load().key))
    }
}

fn covers(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
    key.cert
        .first()
        .and_then(|leaf| ParsedCertificate::try_from(leaf).ok())
        .is_some_and(|leaf| rustls::client::verify_server_name(&leaf, name).is_ok())
}

fn load(tls: &ListenerTls, key_pem: &[u8]) -> Result<Loaded, Fault> {
    let at = tls.at.key("certificate");
    let stamp = stamp(tls);
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&tls.certificate)
        .and_then(Iterator::collect)
        .map_err(|error| {
            Fault::new(
                &at,
                format!("the certificate cannot be read: {error}"),
                "a PEM file, leaf first",
            )
        })?;
    if chain.is_empty() {
        return Err(Fault::new(
            &at,
            "the file holds no certificate",
            "a PEM file, leaf first",
        ));
    }
    let key_at = tls.at.key("private_key");
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|error| {
        Fault::new(
            &key_at,
            format!("the private key cannot be read: {error}"),
            "an unencrypted PEM private key",
        )
    })?;
    let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).map_err(|error| {
        Fault::new(
            &key_at,
            format!("the private key cannot be used: {error}"),
            "an RSA (2048 bits or more), ECDSA or Ed25519 key",
        )
    })?;
    let key = CertifiedKey::new(chain, signing);
    key.keys_match().map_err(|_| {
        Fault::new(
            &key_at,
            "the private key is not the certificate's",
            "the key that the certificate was made for",
        )
    })?;
    Ok(Loaded {
        key: Arc::new(key),
        stamp,
    })
}

fn stamp(tls: &ListenerTls) -> Stamp {
    [
        Some(tls.certificate.as_path()),
        tls.private_key.file.as_deref(),
    ]
    .into_iter()
    .map(|path| path.and_then(look))
    .collect()
}

fn look(path: &Path) -> Option<(SystemTime, u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}
