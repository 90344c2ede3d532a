//! TLS towards others: whom the gateway trusts, and the client configuration that says so.
//!
//! The crypto provider is aws-lc-rs, named explicitly, so that no dependency's feature can change
//! it. Certificates are always verified: there is no switch that turns this off.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Why a TLS client cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file of roots cannot be read.
    #[error("cannot read the trusted roots in {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The file holds no usable root.
    #[error("{0} holds no certificate that can be a trusted root")]
    NoRoots(PathBuf),
    /// The library refuses the configuration.
    #[error("TLS cannot be configured")]
    Config(#[from] rustls::Error),
}

/// The certificate authorities that a server must be vouched for by.
#[derive(Debug, Clone)]
pub struct TlsRoots(Arc<RootCertStore>);

impl TlsRoots {
    /// The operating system's roots. A system without any gives an empty set: then every
    /// connection over TLS fails, and says why.
    #[must_use]
    pub fn system() -> Self {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "some of the system's trusted roots cannot be read");
        }
        let mut store = RootCertStore::empty();
        let (added, ignored) = store.add_parsable_certificates(found.certs);
        tracing::debug!(added, ignored, "loaded the system's trusted roots");
        if added == 0 {
            tracing::warn!("the system has no trusted roots; https connections will fail");
        }
        Self(Arc::new(store))
    }

    /// The roots in a PEM file.
    pub fn from_pem_file(path: &Path) -> Result<Self, TlsError> {
        let read = |source| TlsError::Read {
            path: path.to_owned(),
            source,
        };
        let mut store = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(path).map_err(read)? {
            store.add(certificate.map_err(read)?)?;
        }
        if store.is_empty() {
            return Err(TlsError::NoRoots(path.to_owned()));
        }
        Ok(Self(Arc::new(store)))
    }

    /// Whether nobody is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A client that trusts these roots, offers these protocols (ALPN, RFC 7301), and has no
    /// certificate of its own.
    pub fn client_config(&self, alpn: &[&[u8]]) -> Result<ClientConfig, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(Arc::clone(&self.0))
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_certificate_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        assert!(matches!(
            TlsRoots::from_pem_file(&path),
            Err(TlsError::Read { .. })
        ));
        std::fs::write(&path, "not a certificate\n").unwrap();
        assert!(matches!(
            TlsRoots::from_pem_file(&path),
            Err(TlsError::NoRoots(_))
        ));
        let authority = rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap();
        std::fs::write(&path, authority.cert.pem()).unwrap();
        assert!(!TlsRoots::from_pem_file(&path).unwrap().is_empty());
    }

    #[test]
    fn alpn_is_the_callers() {
        let config = TlsRoots(Arc::new(RootCertStore::empty()))
            .client_config(&[b"h2", b"http/1.1"])
            .unwrap();
        assert_eq!(
            config.alpn_protocols,
            [b"h2".to_vec(), b"http/1.1".to_vec()]
        );
    }
}
