//! CORS in a real browser: a page of one origin calls the gateway on another, in headless Chromium.
//!
//! Listed origins read answers and refusals, an origin that is not listed reads neither, and what
//! reaches the upstream for a preflight carries no identity and no credential. Nothing here sends
//! CORS headers for the gateway: what the page can read is what a browser lets it read.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test helper that fails is a test that fails"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use countersign::telemetry::Clock;
use serde_json::{Value, json};

const SECRET: &str = "a-secret-of-this-test-alone-0123456789";
const START: Duration = Duration::from_secs(30);
const BROWSER: Duration = Duration::from_mins(1);

#[test]
fn a_browser_reads_what_the_gateway_lets_its_origin_read() {
    let first = Page::serve();
    let second = Page::serve();
    let stranger = Page::serve();
    let upstream = Upstream::serve(vec![first.origin(), second.origin()]);
    let gateway = Gateway::start(upstream.address, &[first.origin(), second.origin()]);

    for page in [&first, &second] {
        let seen = page.visit(&gateway);
        assert_readable(&seen);
    }
    let seen = stranger.visit(&gateway);
    for (case, outcome) in seen.as_object().unwrap() {
        assert_eq!(
            outcome,
            &json!({ "error": "TypeError" }),
            "an origin that is not listed reads `{case}`"
        );
    }

    let requests = upstream.requests.lock().unwrap();
    let mut preflights = 0;
    for request in requests.iter() {
        let identity: Vec<_> = request
            .headers
            .keys()
            .filter(|name| name.starts_with("x-auth-"))
            .collect();
        if request.method == "OPTIONS" {
            preflights += 1;
            assert!(identity.is_empty(), "a preflight carries {identity:?}");
            for name in ["authorization", "cookie"] {
                assert!(!request.headers.contains_key(name), "a preflight: {name}");
            }
        } else {
            assert_eq!(request.header("x-auth-user-id"), "5");
            assert_eq!(request.header("x-auth-account-id"), "12");
            assert_ne!(request.header("origin"), stranger.origin());
        }
    }
    assert!(preflights > 0, "no preflight reached the upstream");
    // Per listed page: good, put, stale. Refusals reach it never.
    assert_eq!(requests.len() - preflights, 6);
}

fn assert_readable(seen: &Value) {
    for case in ["good", "put", "stale"] {
        let outcome = &seen[case];
        assert_eq!(outcome["status"], 200, "{case}: {outcome}");
        assert_eq!(outcome["body"]["user"], "5", "{case}: {outcome}");
        assert_eq!(outcome["body"]["account"], "12", "{case}: {outcome}");
        assert!(
            outcome["headers"]["X-Request-Id"].is_string(),
            "{case}: {outcome}"
        );
        let stale = if case == "stale" {
            json!("account")
        } else {
            Value::Null
        };
        assert_eq!(outcome["headers"]["X-Auth-Token-Stale"], stale, "{case}");
    }
    for (case, reason) in [
        ("missing", "credential_missing"),
        ("nonsense", "credential_malformed"),
        ("expired", "token_expired"),
    ] {
        let outcome = &seen[case];
        assert_eq!(outcome["status"], 401, "{case}: {outcome}");
        assert_eq!(outcome["body"]["reason"], reason, "{case}: {outcome}");
        let headers = &outcome["headers"];
        assert_eq!(
            headers["X-Request-Id"], outcome["body"]["request_id"],
            "{case}: {outcome}"
        );
        assert!(headers["X-Request-Id"].is_string(), "{case}: {outcome}");
        let challenge = headers["WWW-Authenticate"].as_str().unwrap_or_default();
        assert!(challenge.starts_with("Bearer"), "{case}: {outcome}");
        assert_eq!(
            challenge.contains("error="),
            case != "missing",
            "{case}: {outcome}"
        );
        let kind = headers["Content-Type"].as_str().unwrap_or_default();
        assert!(
            kind.starts_with("application/problem+json"),
            "{case}: {outcome}"
        );
    }
}

// --- the gateway --------------------------------------------------------------------------------

struct Gateway {
    address: SocketAddr,
    _process: Process,
    _folder: tempfile::TempDir,
}

impl Gateway {
    fn start(upstream: SocketAddr, origins: &[String]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (address, admin) = (free_port(), free_port());
        let config = json!({
            "listeners": [{ "address": address.to_string() }],
            "admin": { "address": admin.to_string() },
            "issuers": [{
                "name": "app",
                "algorithms": ["HS256"],
                "secret": "${BROWSER_TEST_SECRET}",
                "leeway": "0s",
                "claims": { "user": "user_id", "account": "account_id" },
            }],
            "credentials": [{ "bearer": { "forward": "remove" } }],
            "cors": { "preflight": "forward", "origins": origins },
            "directory": { "source": { "file": { "path": "users.yaml" } } },
            "upstreams": [{ "name": "app", "servers": [format!("http://{upstream}")] }],
            "routes": [{ "match": { "path": "/" }, "access": "member", "upstream": "app" }],
        });
        // JSON is YAML.
        let file = folder.path().join("countersign.yaml");
        fs::write(&file, config.to_string()).unwrap();
        fs::write(
            folder.path().join("users.yaml"),
            "users:\n  - { user: \"5\", account: \"12\", active: true }\n",
        )
        .unwrap();
        let mut process = Process(
            Command::new(env!("CARGO_BIN_EXE_countersign"))
                .args(["serve", "-c"])
                .arg(&file)
                .env("BROWSER_TEST_SECRET", SECRET)
                .stdout(Stdio::null())
                .spawn()
                .unwrap(),
        );
        let deadline = Instant::now() + START;
        while !is_ready(admin) {
            if let Some(status) = process.0.try_wait().unwrap() {
                panic!("the gateway ended: {status}; its output stands above");
            }
            assert!(Instant::now() < deadline, "the gateway is not ready");
            thread::sleep(Duration::from_millis(20));
        }
        Self {
            address,
            _process: process,
            _folder: folder,
        }
    }
}

fn is_ready(admin: SocketAddr) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(admin)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(
            stream,
            "GET /readyz HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// A port that was free a moment ago.
fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

fn token(account: &str, expires_in: i64) -> String {
    let now = i64::try_from(Clock.now().unwrap().as_secs()).unwrap();
    jsonwebtoken::encode(
        &jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256),
        &json!({
            "user_id": 5,
            "account_id": account,
            "iat": now - 600,
            "exp": now + expires_in,
        }),
        &jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes()),
    )
    .unwrap()
}

// --- the page and the browser -------------------------------------------------------------------

/// A web site of its own origin, with one page.
struct Page {
    address: SocketAddr,
    result: Arc<(Mutex<Option<Value>>, Condvar)>,
}

impl Page {
    fn serve() -> Self {
        let result = Arc::new((Mutex::new(None), Condvar::new()));
        let page = fs::read_to_string(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/page.html"),
        )
        .unwrap();
        let shared = Arc::clone(&result);
        let address = serve(move |request| {
            let (slot, arrived) = &*shared;
            match (request.method.as_str(), request.path.as_str()) {
                ("POST", "/result") => {
                    *slot.lock().unwrap() = serde_json::from_slice(&request.body).ok();
                    arrived.notify_all();
                    reply("204 No Content", &[], "")
                }
                ("GET", "/done") => {
                    let guard = slot.lock().unwrap();
                    let _ = arrived
                        .wait_timeout_while(guard, BROWSER, |slot| slot.is_none())
                        .unwrap();
                    reply("204 No Content", &[], "")
                }
                ("GET", "/") => reply("200 OK", &[("Content-Type", "text/html")], &page),
                _ => reply("404 Not Found", &[], ""),
            }
        });
        Self { address, result }
    }

    fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Opens the page in a browser of its own and answers with what the page could read.
    fn visit(&self, gateway: &Gateway) -> Value {
        let profile = tempfile::tempdir().unwrap();
        let url = format!(
            "{}/?gateway=http://{}&good={}&stale={}&expired={}",
            self.origin(),
            gateway.address,
            token("12", 300),
            token("7", 300),
            token("12", -60),
        );
        let mut browser = Process(
            Command::new(chromium())
                .args([
                    "--headless",
                    "--no-sandbox",
                    "--disable-gpu",
                    "--disable-quic",
                    "--disable-dev-shm-usage",
                    "--no-first-run",
                    "--no-proxy-server",
                    "--disable-background-networking",
                    "--disable-component-update",
                    "--disable-sync",
                    "--dump-dom",
                ])
                .arg(format!("--user-data-dir={}", profile.path().display()))
                .arg(url)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        );
        let (slot, arrived) = &*self.result;
        let (result, _) = arrived
            .wait_timeout_while(slot.lock().unwrap(), BROWSER, |slot| slot.is_none())
            .unwrap();
        let seen = result.clone().expect("the page did not report in time");
        drop(result);
        // The page is loaded now, so the browser writes it out and ends by itself.
        browser.0.wait().unwrap();
        seen
    }
}

fn chromium() -> String {
    let named = std::env::var("COUNTERSIGN_CHROMIUM").ok();
    named
        .into_iter()
        .chain(["chromium", "chromium-browser", "google-chrome"].map(str::to_owned))
        .find(|name| {
            Command::new(name)
                .arg("--version")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        })
        .expect("no Chromium: apt-get install chromium, or name one in COUNTERSIGN_CHROMIUM")
}

// --- the upstream -------------------------------------------------------------------------------

/// An app that answers its own preflights, for the origins it knows, as apps with CORS do.
struct Upstream {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Upstream {
    fn serve(origins: Vec<String>) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&requests);
        let address = serve(move |request| {
            let origin = request.header("origin").to_owned();
            let mut headers = Vec::new();
            if origins.contains(&origin) {
                headers.push(("Access-Control-Allow-Origin", origin.as_str()));
                headers.push(("Vary", "Origin"));
            }
            let answer = if request.method == "OPTIONS" {
                headers.push(("Access-Control-Allow-Methods", "GET, PUT"));
                headers.push((
                    "Access-Control-Allow-Headers",
                    "authorization, content-type",
                ));
                reply("204 No Content", &headers, "")
            } else {
                headers.push(("Content-Type", "application/json"));
                let body = json!({
                    "user": request.header("x-auth-user-id"),
                    "account": request.header("x-auth-account-id"),
                });
                reply("200 OK", &headers, &body.to_string())
            };
            shared.lock().unwrap().push(request);
            answer
        });
        Self { address, requests }
    }
}

// --- a server of a few lines --------------------------------------------------------------------

struct Request {
    method: String,
    path: String,
    /// Names in lower case; repeated lines joined by a comma.
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Request {
    fn read(stream: &TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let mut words = line.split_whitespace();
        let method = words.next()?.to_owned();
        let path = words.next()?.split('?').next()?.to_owned();
        let mut headers: BTreeMap<String, String> = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            headers
                .entry(name.to_ascii_lowercase())
                .and_modify(|old| *old = format!("{old}, {}", value.trim()))
                .or_insert_with(|| value.trim().to_owned());
        }
        let length = headers
            .get("content-length")
            .map_or(Some(0), |length| length.parse().ok())?;
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        Some(Self {
            method,
            path,
            headers,
            body,
        })
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// Answers every request by `handler`, one a connection, for as long as the test process lives.
fn serve(handler: impl Fn(Request) -> String + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let handler = Arc::new(handler);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let handler = Arc::clone(&handler);
            thread::spawn(move || {
                // A connection that a browser opens ahead and never uses ends here without a request.
                if let Some(request) = Request::read(&stream) {
                    let _ = stream.write_all(handler(request).as_bytes());
                }
            });
        }
    });
    address
}

fn reply(status: &str, headers: &[(&str, &str)], body: &str) -> String {
    use std::fmt::Write;
    let mut text = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
    for (name, value) in headers {
        write!(text, "{name}: {value}\r\n").unwrap();
    }
    if !status.starts_with("204") {
        write!(text, "Content-Length: {}\r\n", body.len()).unwrap();
    }
    text + "\r\n" + body
}

/// A child process that does not outlive the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
