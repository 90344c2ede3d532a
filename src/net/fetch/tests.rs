//! Every way in which an answer can be wrong, from a real server.

use super::super::loopback::{Answer, Loopback};
use super::*;

async fn get(server: &Loopback, limits: FetchLimits) -> Result<Fetched, FetchError> {
    let fetcher = Fetcher::new(&TlsRoots::system()).unwrap();
    let url = HttpUrl::parse(&server.url("/keys?x=1")).unwrap();
    fetcher.fetch(&url, &[], limits).await
}

const SOON: FetchLimits = FetchLimits::within(Duration::from_secs(10));

#[tokio::test]
async fn a_plain_answer_arrives_whole() {
    let server = Loopback::start(Answer::json("{}")).await;
    let fetched = get(&server, SOON).await.unwrap();
    assert_eq!(
        (fetched.status, &*fetched.body),
        (StatusCode::OK, &b"{}"[..])
    );
    server.answer(Answer::raw(
        "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
    ));
    let fetched = get(&server, SOON).await.unwrap();
    assert_eq!((fetched.status.as_u16(), &*fetched.body), (404, &b"no"[..]));
}

#[tokio::test]
async fn a39_redirects_and_codings_are_errors() {
    let server = Loopback::start(Answer::raw(
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    ))
    .await;
    assert!(matches!(
        get(&server, SOON).await,
        Err(FetchError::Redirect(StatusCode::FOUND))
    ));
    server.answer(Answer::raw(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x0b",
    ));
    assert!(matches!(
        get(&server, SOON).await,
        Err(FetchError::ContentCoding)
    ));
    assert_eq!(server.asked(), 2);
}

#[tokio::test]
async fn a39_sizes_are_capped_announced_or_not() {
    let server = Loopback::start(Answer::Flood(
        b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n".to_vec(),
    ))
    .await;
    assert!(matches!(
        get(&server, SOON).await,
        Err(FetchError::TooLarge(_))
    ));
    server.answer(Answer::Flood(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()));
    assert!(matches!(
        get(&server, SOON).await,
        Err(FetchError::TooLarge(_))
    ));
    server.answer(Answer::Flood(b"HTTP/1.1 200 OK\r\nX: ".to_vec()));
    assert!(matches!(
        get(&server, SOON).await,
        Err(FetchError::Protocol(_))
    ));
}

#[tokio::test]
async fn a39_silence_ends_at_the_deadline() {
    let soon = FetchLimits::within(Duration::from_millis(100));
    for sent in [
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1",
    ] {
        let server = Loopback::start(Answer::Hang(sent.as_bytes().to_vec())).await;
        assert!(
            matches!(get(&server, soon).await, Err(FetchError::Timeout)),
            "{sent:?}"
        );
    }
}

#[tokio::test]
async fn a_body_cut_short_is_no_answer() {
    let server = Loopback::start(Answer::raw(
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
    ))
    .await;
    assert!(matches!(
        get(&server, SOON).await,
        Err(FetchError::Protocol(_))
    ));
}

#[tokio::test]
async fn a_certificate_nobody_vouches_for_is_refused() {
    let ours = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(
        vec![ours.cert.der().clone()],
        rustls::pki_types::PrivateKeyDer::Pkcs8(ours.signing_key.serialize_der().into()),
    )
    .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                use tokio::io::{AsyncReadExt, AsyncWriteExt};
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    .await;
                let _ = stream.shutdown().await;
            });
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, pem: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, pem).unwrap();
        Fetcher::new(&TlsRoots::from_pem_file(&path).unwrap()).unwrap()
    };
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let trusting = write("ours.pem", ours.cert.pem());
    let doubting = write("other.pem", other.cert.pem());
    let url = HttpUrl::parse(&format!("https://localhost:{port}/")).unwrap();
    let fetched = trusting.fetch(&url, &[], SOON).await.unwrap();
    assert_eq!(&*fetched.body, b"ok");
    assert!(matches!(
        doubting.fetch(&url, &[], SOON).await,
        Err(FetchError::Tls(_))
    ));
    let elsewhere = HttpUrl::parse(&format!("https://127.0.0.1:{port}/")).unwrap();
    assert!(matches!(
        trusting.fetch(&elsewhere, &[], SOON).await,
        Err(FetchError::Tls(_))
    ));
}
