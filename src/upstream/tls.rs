//! TLS towards upstreams: whose certificates are believed, and which protocol is offered.
//!
//! The crypto provider is named explicitly, so that no process-wide default decides. Verification
//! has no switch: there is no configuration that turns it off.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::error::with_causes;
use crate::config::{Fault, Upstream, UpstreamProtocol};

/// The TLS client configuration of an upstream.
pub(super) fn client_config(upstream: &Upstream) -> Result<Arc<ClientConfig>, Fault> {
    let roots = match &upstream.tls_ca {
        Some(path) => roots_of_file(upstream, path)?,
        None => roots_of_system(upstream)?,
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| {
            Fault::new(
                &upstream.at.key("tls"),
                format!("TLS cannot be set up: {error}"),
                "a build with TLS 1.2 and 1.3",
            )
        })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![match upstream.protocol {
        UpstreamProtocol::Http1 => b"http/1.1".to_vec(),
        UpstreamProtocol::Http2 | UpstreamProtocol::H2c => b"h2".to_vec(),
    }];
    Ok(Arc::new(config))
}

fn roots_of_file(upstream: &Upstream, path: &Path) -> Result<RootCertStore, Fault> {
    let at = upstream.at.key("tls").key("ca");
    let remedy = "a PEM file with at least one CA certificate";
    let fault = |problem: String| Fault::new(&at, problem, remedy);
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path)
        .map_err(|error| fault(format!("{} cannot be read: {error}", path.display())))?;
    for certificate in certificates {
        certificate
            .map_err(|error| with_causes(&error))
            .and_then(|der| roots.add(der).map_err(|error| with_causes(&error)))
            .map_err(|error| {
                fault(format!(
                    "{} holds a bad certificate: {error}",
                    path.display()
                ))
            })?;
    }
    if roots.is_empty() {
        return Err(fault(format!("{} holds no certificate", path.display())));
    }
    Ok(roots)
}

fn roots_of_system(upstream: &Upstream) -> Result<RootCertStore, Fault> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Systems ship roots that no longer parse; those are skipped, as every TLS client does.
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        let why = found
            .errors
            .first()
            .map_or_else(String::new, |error| format!(": {error}"));
        return Err(Fault::new(
            &upstream.at.key("tls").key("ca"),
            format!("the system has no trusted roots{why}"),
            "tls.ca, or the system's ca-certificates package",
        ));
    }
    Ok(roots)
}
