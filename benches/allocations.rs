//! How often and how much one request allocates, held against the figures in the repository.
//!
//!     cargo test --test allocations                 # count; fails when a figure has risen
//!     cargo test --test allocations -- --accept     # count, and keep what was counted
//!
//! A real server with one core serves one keep-alive client that sends one request after the other,
//! before an upstream that answers at once; client and upstream are threads here that allocate
//! nothing. What the process allocated meanwhile, the audit writer's share included, is divided by
//! the requests. Each case has a process of its own. Unlike times, the figures repeat: what is left
//! of the background (the audit writer gathers lines for some milliseconds) is far below one
//! allocation a request and is rounded away.
//!
//! When a change allocates more on purpose, run it with `--accept` and say in the commit what it
//! buys; when it allocates less, accept that too, so that it stays.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets the unexpected fails on the spot"
)]
#![allow(missing_docs, reason = "a test has no users")]

#[path = "../tests/it/harness/tokens.rs"]
#[allow(
    dead_code,
    reason = "what the tests' own file has is not all needed here"
)]
mod tokens;

use std::alloc::System;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use countersign::server::Server;
use serde_json::{Map, Value, json};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokens::Key;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const FIGURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/allocations.json");
const SECRET: &str = "a-secret-of-the-count-0123456789-abcdefghij";
/// As those of `benches/instructions`: the full job with a token seen before, the same verified each
/// time, a public route.
const CASES: [(&str, &str); 3] = [
    (
        "member",
        "access: member, upstream: app } ]\nlimits: { token_cache: 32MiB }\nidentity: { assertion: { private_key: { file: assertion.pem }, ttl: 10m } }",
    ),
    (
        "member_verified_each_time",
        "access: member, upstream: app } ]\nlimits: { token_cache: 0 }",
    ),
    (
        "public",
        "access: public, upstream: app } ]\nlimits: { token_cache: 32MiB }",
    ),
];
const WARM_UP: u64 = 300;
const REQUESTS: u64 = 2000;
/// How far bytes may rise: they depend on the build more than the number does.
const MOST_BYTES: f64 = 1.03;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|one| one == "--list") {
        // Whoever lists tests finds none that can be chosen.
        return ExitCode::SUCCESS;
    }
    if let Some(case) = arguments.iter().find_map(|one| one.strip_prefix("--case=")) {
        let (_, sections) = CASES.iter().find(|(name, _)| *name == case).unwrap();
        println!("{}", count(sections));
        return ExitCode::SUCCESS;
    }
    let accept = arguments.iter().any(|one| one == "--accept");
    let figures = std::fs::read_to_string(FIGURES).unwrap_or_else(|_| "{}".into());
    let figures: Map<String, Value> = serde_json::from_str(&figures).expect("figures in JSON");
    let (mut counted, mut worse) = (Map::new(), Vec::new());
    for (name, _) in CASES {
        let child = Command::new(std::env::current_exe().unwrap())
            .arg(format!("--case={name}"))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&child.stdout).into_owned();
        assert!(
            child.status.success(),
            "{name}: {text}{}",
            String::from_utf8_lossy(&child.stderr)
        );
        let now: Value = serde_json::from_str(text.trim()).expect("a count in JSON");
        let of = |from: &Value, key: &str| from[key].as_f64().unwrap_or(f64::INFINITY);
        let known = figures.get(name).cloned().unwrap_or_else(|| json!({}));
        println!(
            "allocations: {name}: {} of {} bytes a request (kept: {known})",
            now["allocations"], now["bytes"]
        );
        if of(&now, "allocations") > of(&known, "allocations")
            || of(&now, "bytes") > of(&known, "bytes") * MOST_BYTES
        {
            worse.push(name);
        }
        counted.insert(name.to_owned(), now);
    }
    if accept {
        std::fs::write(FIGURES, format!("{:#}\n", Value::Object(counted))).unwrap();
    } else if !worse.is_empty() {
        println!(
            "allocations: above benches/allocations.json: {}",
            worse.join(", ")
        );
        println!(
            "allocations: bring them down, or keep them with --accept and say in the commit what they buy"
        );
        return ExitCode::FAILURE;
    } else if !figures.keys().eq(counted.keys()) {
        println!("allocations: benches/allocations.json has other cases; run with --accept");
        return ExitCode::FAILURE;
    }
    println!("test result: ok. {} passed", CASES.len());
    ExitCode::SUCCESS
}

/// Serves `REQUESTS` requests in this process; what one of them allocates.
fn count(sections: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let upstream = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = start(
        folder.path(),
        upstream.local_addr().unwrap().port(),
        sections,
    );
    std::thread::spawn(move || answer(&upstream));
    let mut client = connect(port);
    let now = tokens::now();
    let token = Key::secret("HS256", SECRET).token(&json!({
        "sub": "5", "account_id": "12", "iat": now, "exp": now + 3600, "jti": "0".repeat(32), "token_type": "access",
    }));
    let request = format!(
        "GET /items/1?page=2 HTTP/1.1\r\nHost: app.test\r\nUser-Agent: count/1\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n\
         Cookie: theme=dark; lang=en\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    for _ in 0..WARM_UP {
        ask(&mut client, request.as_bytes());
    }
    let region = Region::new(ALLOCATOR);
    for _ in 0..REQUESTS {
        ask(&mut client, request.as_bytes());
    }
    let change = region.change();
    let each = |count: usize| u64::try_from(count).unwrap() / REQUESTS;
    // Growing in place or by moving asks the allocator as well.
    json!({ "allocations": each(change.allocations + change.reallocations), "bytes": each(change.bytes_allocated) })
}

/// Starts the server; its port.
fn start(folder: &Path, upstream: u16, sections: &str) -> u16 {
    // Both at once, or they could be the same one.
    let free = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let [port, admin] = free.map(|one| one.local_addr().unwrap().port());
    std::fs::write(
        folder.join("users.yaml"),
        "users: [ { user: \"5\", account: \"12\", roles: [member] } ]\n",
    )
    .unwrap();
    std::fs::write(
        folder.join("assertion.pem"),
        Key::generate("ES256").private_pem(),
    )
    .unwrap();
    let text = format!(
        "workers: 1\nlisteners: [ {{ address: \"127.0.0.1:{port}\" }} ]\nadmin: {{ address: \"127.0.0.1:{admin}\" }}\n\
         issuers: [ {{ name: app, secret: \"${{SECRET}}\", algorithms: [HS256], claims: {{ user: sub, account: account_id }} }} ]\n\
         credentials: [ {{ bearer: {{ forward: keep }} }} ]\n\
         directory: {{ source: {{ file: {{ path: users.yaml }} }}, cache: {{ ttl: 10m, ttl_without_push: 10m }} }}\n\
         upstreams: [ {{ name: app, servers: [\"http://127.0.0.1:{upstream}\"], timeouts: {{ pool_idle: 60s }} }} ]\n\
         audit: {{ sink: {{ file: audit.log }} }}\n\
         routes: [ {{ match: {{ path: / }}, {sections}\n"
    );
    let environment = |name: &str| (name == "SECRET").then(|| SECRET.to_owned());
    let loaded = countersign::config::parse(&text, folder, "count.yaml", &environment);
    let config = loaded.unwrap_or_else(|error| panic!("{error}")).config;
    let server = Server::build(&config).unwrap_or_else(|error| panic!("{error:?}"));
    // It serves until the process ends.
    std::thread::spawn(move || server.run());
    port
}

/// Answers every head on one connection after the other.
fn answer(upstream: &TcpListener) {
    while let Ok((mut client, _)) = upstream.accept() {
        while read_head(&mut client).is_some() {
            let answered = client.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n",
            );
            if answered.is_err() {
                break;
            }
        }
    }
}

fn connect(port: u16) -> TcpStream {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            Ok(client) => return client,
            Err(error) => assert!(
                Instant::now() < deadline,
                "the server does not start: {error}"
            ),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// One exchange; allocates nothing.
fn ask(client: &mut TcpStream, request: &[u8]) {
    client.write_all(request).unwrap();
    let (head, length) = read_head(client).expect("an answer");
    let head = &head[..length];
    assert!(
        head.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(head)
    );
    assert!(head.ends_with(b"ok\n"), "{}", String::from_utf8_lossy(head));
}

/// What comes up to the end of a head, and what came with it; `None` when the peer has gone.
fn read_head(from: &mut TcpStream) -> Option<([u8; 8192], usize)> {
    let (mut buffer, mut filled) = ([0; 8192], 0);
    loop {
        let read = from
            .read(&mut buffer[filled..])
            .ok()
            .filter(|read| *read > 0)?;
        filled += read;
        let ends = buffer[..filled]
            .windows(4)
            .position(|four| four == b"\r\n\r\n");
        // The answer's three bytes may come by themselves.
        if ends.is_some_and(|at| !buffer.starts_with(b"HTTP/") || filled >= at + 4 + 3) {
            return Some((buffer, filled));
        }
    }
}
