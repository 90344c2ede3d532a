//! A whole connection: bytes into hyper with the gateway's reading around it, against a strict
//! parser of RFC 9112. Every request that is accepted is one that the strict parser finds at the
//! same place, with the same method, target, Host and body; never one that hides in another's body.
#![no_main]

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use countersign::config::Config;
use countersign::forward::{Forwarder, RequestBody};
use countersign::wire::{Heads, WatchedIo};
use countersign_fuzz::{configuration, connection, read};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

static CONFIG: LazyLock<Config> = LazyLock::new(configuration);
static FORWARDER: LazyLock<Forwarder> = LazyLock::new(|| Forwarder::build(&CONFIG, None, None));

#[derive(Debug, PartialEq, Eq)]
struct Seen {
    method: String,
    target: String,
    host: String,
    /// `None` for a body that broke off.
    body: Option<Vec<u8>>,
}

fuzz_target!(|data: &[u8]| {
    let Some((&size, stream)) = data.split_first() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let (accepted, _) = runtime.block_on(serve(stream, usize::from(size)));
    let wanted = strict(stream);
    for (index, seen) in accepted.iter().enumerate() {
        let Some(expected) = wanted.get(index) else {
            panic!("request {index} is none to a strict parser: {seen:?}\n{wanted:?}");
        };
        assert_eq!(seen.method, expected.method);
        assert_eq!(seen.target, expected.target);
        assert_eq!(seen.host, expected.host);
        // A body that the gateway breaks off ends everything; hyper judges chunk extensions and
        // trailers, which the strict parser reads over.
        if seen.body.is_none() {
            assert_eq!(index + 1, accepted.len(), "requests after a broken body");
        } else {
            assert_eq!(seen.body, expected.body, "{}", seen.target);
        }
    }
});

/// What the service accepted, in order, up to its first refusal, which ends the connection.
async fn serve(stream: &[u8], size: usize) -> (Vec<Seen>, bool) {
    let (mut client, server) = tokio::io::duplex(1 << 20);
    let seen = Rc::new(RefCell::new((Vec::new(), false)));
    // As the gateway bounds them: hyper by itself has room for 100 fields.
    let heads = Heads::bounded(64 * 1024, 100);
    let service = {
        let (seen, heads) = (Rc::clone(&seen), heads.clone());
        hyper::service::service_fn(move |request: Request<Incoming>| {
            let fault = heads.next_fault();
            let seen = Rc::clone(&seen);
            async move {
                let accepted = match fault {
                    None => handle(request).await,
                    Some(_) => None,
                };
                let mut seen = seen.borrow_mut();
                let mut response = Response::new(Full::new(Bytes::from_static(b"ok")));
                match accepted {
                    Some(one) if !seen.1 => seen.0.push(one),
                    Some(_) => {}
                    None => {
                        seen.1 = true;
                        let close = http::HeaderValue::from_static("close");
                        response.headers_mut().insert("connection", close);
                    }
                }
                Ok::<_, Infallible>(response)
            }
        })
    };
    let connection = hyper::server::conn::http1::Builder::new()
        .header_read_timeout(None)
        .max_buf_size(64 * 1024)
        .half_close(false)
        .serve_connection(TokioIo::new(WatchedIo::new(server, heads)), service);
    let write = async {
        for piece in stream.chunks(if size == 0 { stream.len().max(1) } else { size }) {
            if client.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let _ = client.shutdown().await;
        let mut answers = Vec::new();
        let _ = client.read_to_end(&mut answers).await;
    };
    let both = async { tokio::join!(connection, write) };
    let (ended, ()) = tokio::time::timeout(Duration::from_secs(5), both)
        .await
        .expect("the connection ends");
    // How hyper calls the end is its own affair.
    drop(ended);
    seen.take()
}

async fn handle(request: Request<Incoming>) -> Option<Seen> {
    let (head, body) = request.into_parts();
    let raw = read(head, !body.is_end_stream(), &CONFIG).ok()?;
    let mut target = raw.path().as_str().to_owned();
    if let Some(query) = raw.query() {
        target.push('?');
        target.push_str(query);
    }
    let mut seen = Seen {
        method: raw.method().to_string(),
        target,
        host: raw.host().authority().to_owned(),
        body: None,
    };
    let _ = FORWARDER.sanitize(raw, RequestBody::empty().0, &connection());
    seen.body = body.collect().await.ok().map(|body| body.to_bytes().to_vec());
    Some(seen)
}

/// The requests that a strict parser finds; it stops at the first thing that it does not like.
fn strict(mut stream: &[u8]) -> Vec<Seen> {
    let mut found = Vec::new();
    while let Some((seen, rest)) = strict_one(stream) {
        let whole = seen.body.is_some();
        found.push(seen);
        if !whole {
            break;
        }
        stream = rest;
    }
    found
}

fn strict_one(stream: &[u8]) -> Option<(Seen, &[u8])> {
    // Empty lines before a request line are skipped (RFC 9112, section 2.2).
    let mut rest = stream;
    loop {
        rest = match rest {
            [b'\r', b'\n', rest @ ..] => rest,
            [b'\n', rest @ ..] => rest,
            _ => break,
        };
    }
    let end = rest.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, body) = (&rest[..end + 2], &rest[end + 4..]);
    let head = std::str::from_utf8(head).ok().map(str::to_owned).unwrap_or_else(|| {
        head.iter().copied().map(char::from).collect()
    });
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() || !["HTTP/1.1", "HTTP/1.0"].contains(&version) {
        return None;
    }
    let (mut length, mut chunked, mut host) = (None, false, None);
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':')?;
        if line.contains(['\n', '\r', '\0']) || name.is_empty() {
            return None;
        }
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)) {
            return None;
        }
        let value = value.trim_matches([' ', '\t']);
        match &*name.to_ascii_lowercase() {
            "content-length" if length.is_some_and(|other| other != value) => return None,
            "content-length" => length = Some(value),
            "transfer-encoding" if chunked || !value.eq_ignore_ascii_case("chunked") => {
                return None;
            }
            "transfer-encoding" => chunked = true,
            "host" if host.is_some() => return None,
            "host" => host = Some(value.to_ascii_lowercase()),
            _ => {}
        }
    }
    if chunked && (length.is_some() || version == "HTTP/1.0") {
        return None;
    }
    let (body, rest) = if chunked {
        strict_chunks(body)
    } else {
        let length = match length {
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse::<usize>().ok()?
            }
            Some(_) => return None,
            None => 0,
        };
        match body.get(..length) {
            Some(whole) => (Some(whole.to_vec()), &body[length..]),
            None => (None, &[][..]),
        }
    };
    let (target, named) = spelled(target);
    let host = named.or(host)?;
    let host = host.strip_suffix(":80").unwrap_or(&host);
    let host = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => {
            format!("{}:{port}", name.strip_suffix('.').unwrap_or(name))
        }
        _ => host.strip_suffix('.').unwrap_or(host).to_owned(),
    };
    let seen = Seen {
        method: method.to_owned(),
        target,
        host,
        body,
    };
    Some((seen, rest))
}

/// A chunked body; trailers are read over.
fn strict_chunks(mut body: &[u8]) -> (Option<Vec<u8>>, &[u8]) {
    let mut whole = Vec::new();
    loop {
        let Some(end) = body.windows(2).position(|two| two == b"\r\n") else {
            return (None, &[]);
        };
        let line = &body[..end];
        let digits = line.iter().position(|b| !b.is_ascii_hexdigit()).unwrap_or(end);
        let size = std::str::from_utf8(&line[..digits]).expect("digits");
        let Ok(size) = usize::from_str_radix(size, 16) else { return (None, &[]) };
        body = &body[end + 2..];
        if size == 0 {
            break;
        }
        let Some(data) = body.get(..size) else { return (None, &[]) };
        if body.get(size..size + 2) != Some(b"\r\n") {
            return (None, &[]);
        }
        whole.extend_from_slice(data);
        body = &body[size + 2..];
    }
    loop {
        let Some(end) = body.windows(2).position(|two| two == b"\r\n") else {
            return (None, &[]);
        };
        body = &body[end + 2..];
        if end == 0 {
            return (Some(whole), body);
        }
    }
}

/// A target in origin form with escapes as the gateway writes them, and the host of an absolute one.
fn spelled(target: &str) -> (String, Option<String>) {
    let lower = target.to_ascii_lowercase();
    let scheme = ["http://", "https://"].into_iter().find(|s| lower.starts_with(s));
    let (target, host) = match scheme {
        None => (target.to_owned(), None),
        Some(scheme) => {
            let rest = &target[scheme.len()..];
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (host, path) = rest.split_at(end);
            let slash = if path.starts_with('/') { "" } else { "/" };
            (format!("{slash}{path}"), Some(host.to_ascii_lowercase()))
        }
    };
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (&*target, None),
    };
    let mut text = String::new();
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        let value = rest.get(at + 1..at + 3).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match value {
            Some(value) if value.is_ascii_alphanumeric() || b"-._~".contains(&value) => {
                text.push(char::from(value));
                rest = &rest[at + 3..];
            }
            Some(value) => {
                text.push_str(&format!("%{value:02X}"));
                rest = &rest[at + 3..];
            }
            None => {
                text.push('%');
                rest = &rest[at + 1..];
            }
        }
    }
    text.push_str(rest);
    if let Some(query) = query {
        text.push('?');
        text.push_str(query);
    }
    (text, host)
}
