//! The soak: valid users and every kind of attack at once. The users see only right answers, the
//! attackers never a 200 that is not theirs, and memory, descriptors, threads and gauges end where
//! they began.
//!
//! `COUNTERSIGN_SOAK_SECONDS` says for how long.

mod attackers;
mod users;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Builder, Exchange, Gateway, Recorder, Request, accept};

const SECONDS: u64 = 20;
/// Load before the first measure, so that it is not taken of a process that has done nothing.
const WARM_UP: Duration = Duration::from_secs(3);
/// What memory may differ by at the end beside a quarter: what allocators keep.
const SLACK: u64 = 64 << 20;
/// Idle upstream connections live for two seconds, slow clients for three: what has not changed for
/// longer will not.
const STEADY: Duration = Duration::from_millis(3500);
/// Connections of the measuring itself, to the admin listener, that may or may not be over yet.
const OWN: usize = 2;
/// When to give up waiting for that.
const QUIET: Duration = Duration::from_secs(40);
/// Users 1 to 40; user N belongs to account 1000 + N.
const USERS: usize = 40;

/// What the threads share.
#[derive(Default)]
struct Run {
    over: AtomicBool,
    wrong: Mutex<Vec<String>>,
    http1: AtomicU64,
    http2: AtomicU64,
    messages: AtomicU64,
    attacks: AtomicU64,
}

impl Run {
    fn goes_on(&self) -> bool {
        !self.over.load(Relaxed)
    }

    fn report(&self, what: String) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.len() < 50 {
            wrong.push(what);
        }
        self.over.store(true, Relaxed);
    }

    fn wrong(&self) -> Vec<String> {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.clone()
    }
}

/// What can be counted of the gateway from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Measure {
    memory: u64,
    descriptors: usize,
    threads: usize,
    connections: i64,
    in_flight: i64,
    streams: i64,
}

impl Measure {
    fn take(gateway: &Gateway) -> Self {
        let process = format!("/proc/{}", gateway.process.id());
        let status = std::fs::read_to_string(format!("{process}/status")).expect("its status");
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name));
            let number = line.and_then(|line| line.split_whitespace().nth(1));
            number
                .and_then(|number| number.parse::<u64>().ok())
                .expect(name)
        };
        let descriptors = std::fs::read_dir(format!("{process}/fd")).expect("its descriptors");
        let metrics = gateway.admin(&Request::get("/metrics")).text();
        let gauge = |name: &str| {
            let find = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
            metrics.lines().find_map(find).expect(name)
        };
        Self {
            memory: field("VmRSS:") * 1024,
            descriptors: descriptors.count(),
            threads: usize::try_from(field("Threads:")).expect("a few"),
            connections: gauge("countersign_connections"),
            in_flight: gauge("countersign_requests_in_flight"),
            streams: gauge("countersign_streams"),
        }
    }

    /// Once nothing is going on any more, or when that does not come about.
    fn when_quiet(gateway: &Gateway) -> Self {
        let deadline = Instant::now() + QUIET;
        let (mut last, mut since) = (Self::take(gateway), Instant::now());
        loop {
            // There is no event for "an idle connection has been given up".
            std::thread::sleep(Duration::from_millis(200));
            let now = Self::take(gateway);
            let idle = now.connections == 0 && now.in_flight == 0 && now.streams == 0;
            if !idle || now.descriptors.abs_diff(last.descriptors) > OWN {
                since = Instant::now();
                last = now;
            }
            if since.elapsed() > STEADY || Instant::now() > deadline {
                return now;
            }
        }
    }
}

fn upstream() -> Recorder {
    Recorder::forgetful(|exchange: &mut Exchange<'_>| {
        let head = exchange.head.clone();
        if head.get("upgrade").is_some() {
            let user = head.get("x-auth-user-id").unwrap_or_default().to_owned();
            if let Some(mut socket) = accept(exchange, None) {
                while let Ok(message) = socket.read() {
                    let Ok(text) = message.to_text() else { break };
                    let answer = format!("{user}:{text}");
                    if message.is_text() && socket.send(answer.into()).is_err() {
                        break;
                    }
                }
            }
            exchange.close();
            return;
        }
        let (body, complete) = exchange.body();
        exchange.respond_json(&json!({
            "target": head.target(),
            "users": head.all("x-auth-user-id"),
            "accounts": head.all("x-auth-account-id"),
            "folded": head.names().iter().filter(|name| name.contains('_')).count(),
            "length": body.len(),
            "complete": complete,
        }));
    })
}

fn gateway(upstream: &Recorder) -> Gateway {
    let user = |user: usize| {
        let account = 1000 + user;
        format!(
            "  - {{ user: \"{user}\", account: \"{account}\", active: true }}
"
        )
    };
    let users: String = (1..=USERS).map(user).collect();
    let users = format!(
        "users:
{users}"
    );
    Builder::new()
        .upstream_with(upstream, ", timeouts: { body_idle: 2s }")
        .users(&users)
        .set(
            "listeners",
            "- address: \"127.0.0.1:{{port}}\"\n- { address: \"127.0.0.1:{{port2}}\", h2c: true }",
        )
        .set(
            "limits",
            "{ header_timeout: 3s, connections: 4000, token_cache: 4MiB }",
        )
        .set("audit", "{ sink: { file: audit.log, rotate: 8MiB } }")
        .start()
}

#[test]
fn valid_users_are_served_through_every_attack_and_nothing_is_left() {
    let seconds = std::env::var("COUNTERSIGN_SOAK_SECONDS").ok();
    let seconds = seconds.map_or(SECONDS, |text| text.parse().expect("a number"));
    let upstream = upstream();
    let gateway = gateway(&upstream);

    let warm_up = Run::default();
    during(WARM_UP, &gateway, &warm_up, true);
    assert!(warm_up.wrong().is_empty(), "{:#?}", warm_up.wrong());
    let before = Measure::when_quiet(&gateway);
    println!("soak: before {before:?}");

    let run = Run::default();
    let most = during(Duration::from_secs(seconds), &gateway, &run, false);
    let after = Measure::when_quiet(&gateway);
    println!(
        "soak: {seconds} s; {} requests over HTTP/1.1, {} over HTTP/2 and {} WebSocket messages of \
         valid users, {} attacks, {} wrong answers",
        run.http1.load(Relaxed),
        run.http2.load(Relaxed),
        run.messages.load(Relaxed),
        run.attacks.load(Relaxed),
        run.wrong().len()
    );
    println!("soak: at most {most:?}");
    println!("soak: after  {after:?}");
    assert!(run.wrong().is_empty(), "{:#?}", run.wrong());
    assert!(run.http1.load(Relaxed) > 0 && run.http2.load(Relaxed) > 0);
    assert!(run.messages.load(Relaxed) > 0 && run.attacks.load(Relaxed) > 0);
    assert_eq!(
        (after.connections, after.in_flight, after.streams),
        (0, 0, 0),
        "gauges"
    );
    assert!(after.descriptors <= before.descriptors + OWN, "descriptors");
    // One more may be waiting for the next file to be read.
    assert!(after.threads <= before.threads + 1, "threads");
    let allowed = before.memory + before.memory / 4 + SLACK;
    assert!(
        after.memory <= allowed,
        "memory: {} > {allowed}",
        after.memory
    );
    let log = gateway.log();
    assert!(!log.contains("ERROR"), "{log}");
}

/// Lets users, and unless `alone` attackers, run for so long; gives the largest of each measure.
fn during(time: Duration, gateway: &Gateway, run: &Run, alone: bool) -> Measure {
    let end = Instant::now() + time;
    std::thread::scope(|scope| {
        let (first, second) = (gateway.address(), gateway.second_address());
        for number in 0..4 {
            scope.spawn(move || users::http1(run, first, number));
        }
        for number in 0..2 {
            scope.spawn(move || users::http2(run, second, number));
            scope.spawn(move || users::websockets(run, first, number));
        }
        if !alone {
            for attack in attackers::ALL {
                scope.spawn(move || attack(run, first, second));
            }
        }
        let mut most = Measure::take(gateway);
        let mut told = Instant::now();
        while Instant::now() < end && run.goes_on() {
            std::thread::sleep(Duration::from_millis(200));
            let now = Measure::take(gateway);
            most = Measure {
                memory: most.memory.max(now.memory),
                descriptors: most.descriptors.max(now.descriptors),
                threads: most.threads.max(now.threads),
                connections: most.connections.max(now.connections),
                in_flight: most.in_flight.max(now.in_flight),
                streams: most.streams.max(now.streams),
            };
            if told.elapsed() > Duration::from_mins(1) {
                told = Instant::now();
                println!("soak: {now:?}");
            }
        }
        run.over.store(true, Relaxed);
        most
    })
}
