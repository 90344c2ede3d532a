//! The scanner alone, and in step with hyper's own parser.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::AsyncWriteExt as _;

use super::*;

/// What was seen in each head of these bytes, fed in pieces of this size.
fn seen(bytes: &str, piece: usize) -> Vec<Option<Fault>> {
    let (heads, mut scanner) = scanned(Heads::default());
    for piece in bytes.as_bytes().chunks(piece) {
        scanner.feed(piece);
    }
    let waiting = (0..heads.waiting()).map(|_| heads.next()).collect();
    let lost = heads.faults().lost.then_some(Fault::OutOfStep);
    assert_eq!((heads.waiting(), heads.next()), (0, lost));
    waiting
}

fn scanned(heads: Heads) -> (Heads, Scanner) {
    (heads.clone(), Scanner::new(heads))
}

#[test]
fn b10_c1_c2_d4_what_hyper_hides_is_seen_however_it_is_cut() {
    for (bytes, expected) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", &[None][..]),
        (
            "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
            &[Some(Fault::Fragment)],
        ),
        ("GET / HTTP/1.1\nHost: a\n\n", &[Some(Fault::BareLf)]),
        (
            "GET / HTTP/1.1\r\nHost: a\nX-User-Id: 1\r\n\r\n",
            &[Some(Fault::BareLf)],
        ),
        (
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            &[Some(Fault::TwoFramings)],
        ),
        (
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: abc\r\n\r\n0\r\n\r\n",
            &[Some(Fault::TwoFramings)],
        ),
        // Two readers of octal and decimal numbers would part here.
        (
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 005\r\n\r\nhello",
            &[Some(Fault::TwoLengths)],
        ),
        (
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
            &[None],
        ),
        (
            "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n\n#\n\n\nGET /#x HTTP/1.1\r\n\r\n",
            &[None, Some(Fault::Fragment)],
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
             9;x=y\r\nGET /# \r\n\r\n0\r\nX: y\r\n\r\n\r\nGET /# HTTP/1.0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            &[None, Some(Fault::Fragment), None],
        ),
        (
            "POST / HTTP/1.1\r\nContent-Length: 2\r\ncontent-length:2 \r\n\r\nab\
             POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 02\r\n\r\nab",
            &[None, Some(Fault::TwoLengths)],
        ),
    ] {
        for piece in [1, 2, 3, 7, 4096] {
            assert_eq!(seen(bytes, piece), expected, "{bytes:?} by {piece}");
        }
    }
}

#[test]
fn c1_nothing_is_believed_behind_bytes_with_two_readings() {
    for bytes in [
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: 1\n\r\nGET: / HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\nGET / HTTP/1.1\r\n\r\n",
    ] {
        let (heads, mut scanner) = scanned(Heads::default());
        scanner.feed(bytes.as_bytes());
        assert_eq!(heads.next_fault(), None);
        let lost = Some(Fault::OutOfStep.error());
        assert_eq!((heads.next_fault(), heads.next_fault()), (lost, lost));
    }
    let (heads, mut scanner) = scanned(Heads::bounded(100, usize::MAX));
    scanner.feed(format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(100)).as_bytes());
    assert!(heads.next_fault().is_some());
}

#[test]
fn what_is_no_http1_any_more_is_left_alone() {
    let tunnel = "GET / HTTP/1.1\r\n\r\n\u{1}\u{2}frame\nGET /# HTTP/1.1\r\n\r\n";
    assert_eq!(seen(tunnel, 4096), [None]);
    let broken =
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nGET /# HTTP/1.1\r\n\r\n";
    assert_eq!(seen(broken, 4096), [None]);
    let endless = format!("GET /{}", "a".repeat(1 << 20));
    assert!(seen(&endless, 4096).is_empty());

    let (heads, mut scanner) = scanned(Heads::default());
    scanner.feed(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(heads.next_fault(), None);
    heads.stop();
    scanner.feed(b"GET /# HTTP/1.1\r\n\r\n");
    assert_eq!((heads.waiting(), heads.next_fault()), (0, None));
}

/// What came right behind a handshake was cut when nobody knew yet that it was one.
#[tokio::test]
async fn a_tunnel_is_read_on_whatever_stood_behind_its_handshake() {
    use tokio::io::AsyncReadExt as _;

    let (mut client, server) = tokio::io::duplex(1 << 20);
    let heads = Heads::bounded(1 << 16, 1);
    let mut io = WatchedIo::new(server, heads.clone());
    let sent = "GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\na: b\r\nc: d\r\n\r\n";
    client.write_all(sent.as_bytes()).await.unwrap();
    let mut read = vec![0; 1024];
    assert!(io.read(&mut read).await.unwrap() < sent.len());
    assert!(io.scanner.is_cut());
    assert_eq!(heads.next_fault(), None);
    heads.stop();
    client.write_all(b"a frame").await.unwrap();
    let waited = std::time::Duration::from_secs(10);
    let again = tokio::time::timeout(waited, io.read(&mut read)).await;
    assert_eq!(again.expect("nothing is read any more").unwrap(), 7);
    drop(client);
    assert_eq!(io.read(&mut read).await.unwrap(), 0);
}

/// One request, and whether something in it is to be refused.
fn request() -> impl Strategy<Value = (String, bool)> {
    let chunks = prop::collection::vec("[a-z#\n]{1,20}", 0..4);
    prop_oneof![
        Just(("GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), false)),
        Just(("\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), false)),
        Just(("GET /#x HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), true)),
        Just(("GET / HTTP/1.1\nHost: a\r\n\r\n".to_owned(), true)),
        "[a-z#\n ]{0,40}".prop_map(|body| {
            let head = format!(
                "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}",
                body.len()
            );
            (format!("{head}\r\n\r\n{body}"), false)
        }),
        (chunks, any::<bool>()).prop_map(|(chunks, trailer)| {
            let mut text = "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
            for chunk in chunks {
                let size = format!("{:X};e=\"#\"", chunk.len());
                text.extend([&size, "\r\n", &chunk, "\r\n"]);
            }
            text += if trailer {
                "0\r\nX-T: #\r\n\r\n"
            } else {
                "0\r\n\r\n"
            };
            (text, false)
        }),
    ]
}

/// What hyper's service is told of each request of a pipeline.
async fn served(bytes: String) -> Vec<bool> {
    let (mut client, server) = tokio::io::duplex(1 << 20);
    let heads = Heads::default();
    let told = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let service = service_fn(|request: http::Request<hyper::body::Incoming>| {
        told.borrow_mut().push(heads.next_fault().is_some());
        async move {
            let _ = request.into_body().collect().await;
            Ok::<_, Infallible>(http::Response::new(Empty::<Bytes>::new()))
        }
    });
    client.write_all(bytes.as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    let io = TokioIo::new(WatchedIo::new(server, heads.clone()));
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(io, service)
        .await;
    told.take()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn c25_the_scanner_keeps_step_with_hyper(requests in prop::collection::vec(request(), 1..8)) {
        let bytes = requests.iter().map(|(text, _)| text.as_str()).collect::<String>();
        let expected = requests.iter().map(|(_, refused)| *refused).collect::<Vec<_>>();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        prop_assert_eq!(runtime.block_on(served(bytes)), expected);
    }
}

/// What the parser is shown of these bytes, read in pieces of this size, and the faults in it.
async fn shown(bytes: &str, fields: usize, piece: usize) -> (String, Vec<Option<WireError>>) {
    use tokio::io::AsyncReadExt as _;

    let (mut client, server) = tokio::io::duplex(1 << 20);
    client.write_all(bytes.as_bytes()).await.unwrap();
    drop(client);
    let heads = Heads::bounded(1 << 16, fields);
    let mut io = WatchedIo::new(server, heads.clone());
    let (mut text, mut part) = (Vec::new(), vec![0; piece]);
    while !io.scanner.is_cut() {
        match io.read(&mut part).await.unwrap() {
            0 => break,
            count => text.extend_from_slice(&part[..count]),
        }
    }
    let mut faults = Vec::new();
    while heads.waiting() > 0 {
        faults.push(heads.next_fault());
    }
    (String::from_utf8(text).unwrap(), faults)
}

#[tokio::test]
async fn c24_one_field_too_many_ends_what_is_shown_however_it_is_cut() {
    let first = "GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\n\r\n";
    let two = "GET /2 HTTP/1.1\r\nA: 1\r\nB: 2\r\n";
    for piece in 1..=90 {
        let sent = format!("{first}{two}C: 3\r\nD: 4\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n");
        let (text, faults) = shown(&sent, 2, piece).await;
        assert_eq!(text, format!("{first}{two}\n"), "in pieces of {piece}");
        assert_eq!(
            faults,
            [None, Some(WireError::HeadersTooLarge)],
            "in pieces of {piece}"
        );
        let (text, faults) = shown(first, 2, piece).await;
        assert_eq!(
            (&*text, &*faults),
            (first, &[None][..]),
            "in pieces of {piece}"
        );
    }
}
