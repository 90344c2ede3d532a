//! TLS towards upstreams: whom it believes, and that the pool works the same under it.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

use super::*;

/// A throwaway CA.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    pub(super) fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A server for `name` that offers `protocols` by ALPN.
    pub(super) fn acceptor(&self, name: &str, protocols: &[&str]) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()])
            .unwrap()
            .signed_by(&key, &self.issuer)
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

fn secure(address: SocketAddr, authority: &Authority, name: Option<&str>) -> Upstream {
    let mut config = upstream(&[address]);
    config.servers[0].tls = true;
    config.tls_ca = Some(authority.ca_file());
    config.tls_server_name = name.map(str::to_owned);
    config.retries.attempts = 0;
    config
}

/// Answers each request of each connection with the connection's number.
fn serve(listener: TcpListener, acceptor: TlsAcceptor) {
    tokio::task::spawn_local(async move {
        for number in 0.. {
            let tcp = accept(&listener).await;
            let acceptor = acceptor.clone();
            tokio::task::spawn_local(async move {
                let Ok(mut tls) = acceptor.accept(tcp).await else {
                    return;
                };
                let mut bytes = Vec::new();
                while tls.read_buf(&mut bytes).await.is_ok_and(|count| count > 0) {
                    if bytes.ends_with(b"\r\n\r\n") {
                        bytes.clear();
                        tls.write_all(ok(&number.to_string()).as_bytes())
                            .await
                            .unwrap();
                    }
                }
            });
        }
    });
}

#[tokio::test]
async fn a_certificate_of_the_configured_authority_is_believed_and_the_connection_reused() {
    core(async {
        let authority = Authority::new();
        let (listener, address) = listen().await;
        serve(listener, authority.acceptor("app.internal", &["http/1.1"]));
        let pools = pools(secure(address, &authority, Some("app.internal")));
        for _ in 0..20 {
            assert_eq!(fetch(&pools, "/").await.unwrap(), "0");
        }
    })
    .await;
}

#[tokio::test]
async fn a_wrong_name_or_authority_is_unreachable() {
    core(async {
        let (authority, other) = (Authority::new(), Authority::new());
        let (listener, address) = listen().await;
        serve(listener, authority.acceptor("app.internal", &[]));
        for config in [
            secure(address, &authority, Some("other.internal")),
            secure(address, &authority, None),
            secure(address, &other, Some("app.internal")),
        ] {
            let error = fetch(&pools(config), "/").await.unwrap_err();
            assert!(matches!(error, UpstreamError::Unreachable(_)), "{error}");
        }
    })
    .await;
}

#[test]
fn what_cannot_work_is_said_before_it_starts() {
    let address = "127.0.0.1:1".parse().unwrap();
    let authority = Authority::new();
    let bad = authority.folder.path().join("bad.pem");
    std::fs::write(&bad, "no certificate").unwrap();
    let cases: [(&str, Upstream); 6] = [
        ("upstreams[0].servers", upstream(&[])),
        (
            "upstreams[0].servers[0]",
            Upstream {
                protocol: UpstreamProtocol::Http2,
                ..upstream(&[address])
            },
        ),
        (
            "upstreams[0].servers[0]",
            Upstream {
                protocol: UpstreamProtocol::H2c,
                ..secure(address, &authority, None)
            },
        ),
        (
            "upstreams[0].tls.ca",
            Upstream {
                tls_ca: Some(bad),
                ..secure(address, &authority, None)
            },
        ),
        (
            "upstreams[0].tls.ca",
            Upstream {
                tls_ca: Some(PathBuf::from("/nonexistent/ca.pem")),
                ..secure(address, &authority, None)
            },
        ),
        (
            "upstreams[0].servers[0]",
            secure(address, &authority, Some("not a name")),
        ),
    ];
    for (at, config) in cases {
        let faults = Upstreams::build(&[config]).unwrap_err();
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert_eq!(faults[0].at.as_str(), at, "{faults:?}");
    }
}
