//! Bodies that fit into no memory: constant memory, and back-pressure from end to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::harness::{Exchange, Gate, Recorder, Request, Scene, Token};

const PIECE: usize = 256 << 10;

/// How much more memory a body of any size may cost.
const ALLOWED: u64 = 48 << 20;

fn size() -> u64 {
    let default = if cfg!(debug_assertions) {
        128 << 20
    } else {
        1 << 30
    };
    let set = std::env::var("COUNTERSIGN_BIG_BYTES").ok();
    set.map_or(default, |set| set.parse().expect("a number"))
}

fn member(method: &str, target: &str) -> Request {
    Request::new(method, target).bearer(&Token::user("5").account("12").signed())
}

fn mib(bytes: u64) -> u64 {
    bytes >> 20
}

#[track_caller]
fn assert_flat(scene: &Scene, before: u64, what: &str) {
    let peak = scene.gateway.peak_memory();
    let size = mib(size());
    println!(
        "{what} of {size} MiB: peak memory {} MiB, {} MiB before",
        mib(peak),
        mib(before)
    );
    assert!(peak < before + ALLOWED, "{} MiB", mib(peak));
}

#[test]
fn a_huge_upload_takes_constant_memory() {
    let upstream = Recorder::counting(|exchange: &mut Exchange<'_>| {
        let mut count = 0_u64;
        let complete = exchange.read_body(&mut |piece| count += piece.len() as u64);
        exchange.respond(200, &[], format!("{count} {complete}").as_bytes());
    });
    let scene = Scene::before(upstream, |builder| builder);
    scene.passes(&member("GET", "/warm-up"));
    let before = scene.gateway.peak_memory();
    for chunked in [false, true] {
        let request = member("POST", "/upload");
        let request = if chunked {
            request.header("Transfer-Encoding", "chunked")
        } else {
            request.header("Content-Length", &size().to_string())
        };
        let mut client = scene.gateway.client();
        client.send(&request.head_bytes());
        let piece = vec![7; PIECE];
        for _ in 0..size() / PIECE as u64 {
            if chunked {
                client.send(format!("{PIECE:x}\r\n").as_bytes());
                client.send(&piece);
                client.send(b"\r\n");
            } else {
                client.send(&piece);
            }
        }
        if chunked {
            client.send(b"0\r\n\r\n");
        }
        let response = client.response("POST");
        assert_eq!(response.text(), format!("{} true", size()));
    }
    assert_flat(&scene, before, "upload");
}

/// An upstream that sends as fast as it is allowed to, and counts.
fn source(sent: &Arc<AtomicU64>) -> Recorder {
    let sent = Arc::clone(sent);
    Recorder::counting(move |exchange: &mut Exchange<'_>| {
        if exchange.path() == "/warm-up" {
            return exchange.respond(200, &[], b"");
        }
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", size());
        exchange.send(head.as_bytes());
        let piece = vec![7; PIECE];
        for _ in 0..size() / PIECE as u64 {
            if !exchange.send(&piece) {
                break;
            }
            sent.fetch_add(PIECE as u64, Ordering::SeqCst);
        }
    })
}

#[test]
fn a_huge_download_takes_constant_memory() {
    let scene = Scene::before(source(&Arc::default()), |builder| builder);
    scene.passes(&member("GET", "/warm-up"));
    let before = scene.gateway.peak_memory();
    let mut client = scene.gateway.client();
    client.send(&member("GET", "/download").bytes());
    let head = client.head();
    let mut count = 0;
    let end = client.body(&head, &mut |piece| count += piece.len() as u64);
    assert!(end.complete);
    assert_eq!(count, size());
    assert_flat(&scene, before, "download");
}

#[test]
fn f14_a_client_that_does_not_read_holds_the_upstream_back() {
    let sent = Arc::new(AtomicU64::new(0));
    let scene = Scene::before(source(&sent), |builder| builder);
    scene.passes(&member("GET", "/warm-up"));
    let before = scene.gateway.peak_memory();
    let mut client = scene.gateway.client();
    client.send(&member("GET", "/download").bytes());
    client.head();
    // Until it stands still: then everything on the way is full.
    let mut last = u64::MAX;
    while last != sent.load(Ordering::SeqCst) {
        last = sent.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(300));
    }
    println!(
        "{} MiB were taken from the upstream for a client that reads nothing",
        mib(last)
    );
    assert!(last < 64 << 20, "{} MiB", mib(last));
    assert_flat(&scene, before, "unread download");
}

#[test]
fn f14_an_upstream_that_does_not_read_holds_the_client_back() {
    let gate = Gate::default();
    let upstream = Recorder::counting({
        let gate = gate.clone();
        move |exchange: &mut Exchange<'_>| {
            if exchange.path() == "/warm-up" {
                return exchange.respond(200, &[], b"");
            }
            gate.pass();
            exchange.close();
        }
    });
    let scene = Scene::before(upstream, |builder| builder);
    scene.passes(&member("GET", "/warm-up"));
    let before = scene.gateway.peak_memory();
    let sent = Arc::new(AtomicU64::new(0));
    let mut client = scene.gateway.client();
    let request = member("POST", "/upload").header("Content-Length", &size().to_string());
    client.send(&request.head_bytes());
    let sender = std::thread::spawn({
        let sent = Arc::clone(&sent);
        move || {
            let piece = vec![7; PIECE];
            while sent.load(Ordering::SeqCst) < size() && client.try_send(&piece).is_ok() {
                sent.fetch_add(PIECE as u64, Ordering::SeqCst);
            }
        }
    });
    let mut last = u64::MAX;
    while last != sent.load(Ordering::SeqCst) {
        last = sent.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(300));
    }
    println!(
        "{} MiB were taken from the client for an upstream that reads nothing",
        mib(last)
    );
    assert!(last < 64 << 20, "{} MiB", mib(last));
    assert_flat(&scene, before, "unread upload");
    gate.open();
    sender.join().expect("no panic");
}
