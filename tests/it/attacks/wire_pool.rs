//! C10: a second response on a connection is nobody's. Counted over thousands of tries with each
//! setting; `docs/pool-bleeding.md` has the table, and says how to repeat it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::support::Attack;
use crate::harness::{Builder, Client, Exchange, PATIENCE, Recorder, Request, Token, Watched};

/// How often each setting is tried.
fn tries() -> u64 {
    let usual = if cfg!(debug_assertions) { 200 } else { 10_000 };
    std::env::var("COUNTERSIGN_BLEED_TRIES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(usual)
}

/// When the second response is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// Together with the first one.
    Together,
    /// While the connection is idle, and long before the next request.
    Idle,
    /// At some moment around the next request: before, while or after it leaves.
    Around,
    /// Certainly after the next request was received: the residue.
    After,
}

#[derive(Debug, Default)]
struct Counts {
    own: u64,
    refused: u64,
    wrong_tenant: u64,
    wrong_user: u64,
    wrong_request: u64,
}

/// An upstream with a bug: it answers every request of user 5 twice. Each answer names whom it is
/// for. With `After` the second one waits until the next request has arrived on the connection.
fn twice(moment: Moment, echoes: bool, written: Arc<Watched<u64>>) -> Recorder {
    let seed = AtomicU64::new(0x9e37_79b9_7f4a_7c15);
    let owed: Arc<Mutex<BTreeMap<usize, Vec<u8>>>> = Arc::default();
    Recorder::forgetful(move |exchange: &mut Exchange<'_>| {
        let head = exchange.head.clone();
        let name = |name: &str| head.get(name).unwrap_or("-").to_owned();
        let own = format!(
            "{} {} {}",
            name("x-auth-tenant-id"),
            name("x-auth-user-id"),
            head.target()
        );
        let id = name("x-request-id");
        let answer = if echoes {
            format!(
                "HTTP/1.1 200 OK\r\nX-Request-Id: {id}\r\nContent-Length: {}\r\n\r\n{own}",
                own.len()
            )
        } else {
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{own}",
                own.len()
            )
        };
        let connection = exchange.connection();
        let late = owed.lock().expect("not poisoned").remove(&connection);
        if let Some(late) = late {
            exchange.send(&late);
        }
        let doubled = head.target().starts_with("/twice");
        if !doubled {
            exchange.send(answer.as_bytes());
            return;
        }
        match moment {
            Moment::Together => {
                exchange.send(answer.repeat(2).as_bytes());
            }
            Moment::Idle => {
                exchange.send(answer.as_bytes());
                std::thread::sleep(Duration::from_micros(200));
                exchange.send(answer.as_bytes());
                // Over loopback what is written is in the receiver's socket.
                written.update(|count| *count += 1);
            }
            Moment::Around => {
                exchange.send(answer.as_bytes());
                let turn = seed.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
                let mut turn = turn ^ (turn >> 31);
                turn = turn.wrapping_mul(0xbf58_476d_1ce4_e5b9);
                let micros = (turn >> 33) % 1500;
                let until = std::time::Instant::now() + Duration::from_micros(micros);
                while std::time::Instant::now() < until {
                    std::hint::spin_loop();
                }
                exchange.send(answer.as_bytes());
            }
            Moment::After => {
                exchange.send(answer.as_bytes());
                owed.lock()
                    .expect("not poisoned")
                    .insert(connection, answer.into_bytes());
            }
        }
    })
}

struct Setting {
    name: &'static str,
    upstream: &'static str,
    echoes: bool,
}

const SETTINGS: [Setting; 6] = [
    Setting {
        name: "isolate: none",
        upstream: "",
        echoes: false,
    },
    Setting {
        name: "isolate: tenant",
        upstream: ", isolate: tenant",
        echoes: false,
    },
    Setting {
        name: "isolate: user",
        upstream: ", isolate: user",
        echoes: false,
    },
    Setting {
        name: "reuse: false",
        upstream: ", reuse: false",
        echoes: false,
    },
    Setting {
        name: "request_id_echo: true",
        upstream: ", request_id_echo: true",
        echoes: true,
    },
    Setting {
        name: "isolate: user, request_id_echo: true",
        upstream: ", isolate: user, request_id_echo: true",
        echoes: true,
    },
];

const USERS: &str = r#"users:
  - { tenant: a, user: "5", account: "12", active: true }
  - { tenant: a, user: "7", account: "12", active: true }
  - { tenant: b, user: "5", account: "14", active: true }
"#;

/// User 5 of tenant a asks and is answered twice; then somebody else asks over the same core.
fn measure(setting: &Setting, moment: Moment, tries: u64) -> Counts {
    let written = Arc::new(Watched::new(0));
    let upstream = twice(moment, setting.echoes, Arc::clone(&written));
    let gateway = Builder::new()
        .users(USERS)
        .set("workers", "1")
        .set("tenants", "sources: [ token: {} ]")
        .upstream_with(&upstream, setting.upstream)
        .start();
    let token = |tenant: &str, user: &str| {
        let account = if tenant == "a" { "12" } else { "14" };
        Token::user(user).tenant(tenant).account(account).signed()
    };
    let callers = [("a", "5"), ("a", "7"), ("b", "5")]
        .map(|(tenant, user)| (tenant, user, token(tenant, user)));
    let mut counts = Counts::default();
    let mut client = gateway.client();
    let mut ask = |client: &mut Client, caller: &(&str, &str, String), target: &str| {
        let (tenant, user, token) = caller;
        let response = client
            .try_send(&Request::get(target).bearer(token).bytes())
            .and_then(|()| client.try_response("GET"));
        let Ok(response) = response else {
            *client = gateway.client();
            counts.refused += 1;
            return;
        };
        if response.status() != 200 || !response.end.complete {
            counts.refused += 1;
            return;
        }
        let text = response.text();
        let mut words = text.split(' ');
        let told = (
            words.next().unwrap_or(""),
            words.next().unwrap_or(""),
            words.next().unwrap_or(""),
        );
        if told.0 != *tenant {
            counts.wrong_tenant += 1;
        } else if told.1 != *user {
            counts.wrong_user += 1;
        } else if told.2 != target {
            counts.wrong_request += 1;
        } else {
            counts.own += 1;
        }
    };
    for turn in 0..tries {
        ask(&mut client, &callers[0], &format!("/twice/{turn}"));
        if moment == Moment::Idle {
            let there = |count: &u64| (*count > turn).then_some(());
            written.within(PATIENCE, there).expect("a second answer");
        }
        let other = &callers[1 + (turn % 2) as usize];
        ask(&mut client, other, &format!("/own/{turn}"));
        if turn % 3 == 0 {
            // The same user once more: its own connection, with `isolate: user`.
            ask(&mut client, &callers[0], &format!("/own/again/{turn}"));
        }
    }
    counts
}

#[track_caller]
fn print(name: &str, moment: Moment, counts: &Counts) {
    println!(
        "| {name} | {moment:?} | {} | {} | {} | {} | {} |",
        counts.own, counts.refused, counts.wrong_tenant, counts.wrong_user, counts.wrong_request
    );
}

/// Tries one setting at every moment.
///
/// Promised with every one: what is there before the next request is written reaches nobody. The
/// residue of HTTP/1.1: what arrives after that is taken for the next answer; then `isolate` says who
/// can be hit, and `reuse: false` or an echoed id that nobody is.
#[track_caller]
fn bleed(name: &str) {
    let setting = SETTINGS.iter().find(|setting| setting.name == name);
    let setting = setting.expect("a setting");
    for moment in [
        Moment::Together,
        Moment::Idle,
        Moment::Around,
        Moment::After,
    ] {
        let early = matches!(moment, Moment::Together | Moment::Idle);
        let tries = if early { tries() / 2 } else { tries() };
        let counts = measure(setting, moment, tries.max(1));
        print(name, moment, &counts);
        let tight = setting.echoes || name == "reuse: false";
        if early || tight {
            assert_eq!(counts.wrong_request, 0, "{moment:?}");
        }
        if early || tight || name == "isolate: user" {
            assert_eq!(counts.wrong_user, 0, "{moment:?}");
        }
        if early || name != "isolate: none" {
            assert_eq!(counts.wrong_tenant, 0, "{moment:?}");
        }
        if early {
            assert_eq!(counts.refused, 0, "{moment:?}");
        }
    }
}

#[test]
fn c10_a_second_response_with_isolate_none() {
    bleed("isolate: none");
}

#[test]
fn c10_a_second_response_with_isolate_tenant() {
    bleed("isolate: tenant");
}

#[test]
fn c10_a_second_response_with_isolate_user() {
    bleed("isolate: user");
}

#[test]
fn c10_a_second_response_without_reuse() {
    bleed("reuse: false");
}

#[test]
fn c10_a_second_response_with_an_echoed_id() {
    bleed("request_id_echo: true");
}

#[test]
fn c10_a_second_response_with_an_echoed_id_and_isolated_users() {
    bleed("isolate: user, request_id_echo: true");
}

/// HTTP/2 ties each answer to its request: a second one has nowhere to go.
#[test]
fn c10_over_h2c_a_second_response_has_no_place() {
    let upstream = crate::harness::H2Upstream::start();
    let url = upstream.url();
    let recorder = Recorder::start();
    let gateway = Builder::new()
        .users(USERS)
        .set("workers", "1")
        .set("tenants", "sources: [ token: {} ]")
        .upstream(&recorder)
        .set(
            "upstreams",
            &format!("[ {{ name: app, servers: [ \"{url}\" ], protocol: h2c }} ]"),
        )
        .start();
    let mut client = gateway.client();
    let tries = tries();
    for turn in 0..tries {
        let user = ["5", "7"][(turn % 2) as usize];
        let token = Token::user(user).tenant("a").account("12").signed();
        let own = format!("{user}-{turn}");
        let request = Request::post("/", own.as_bytes()).bearer(&token);
        let response = client.exchange(&request).expect_status(200);
        assert_eq!(response.text(), own);
    }
    print(
        "protocol: h2c",
        Moment::Together,
        &Counts {
            own: tries,
            ..Counts::default()
        },
    );
}

/// What the client of a connection is answered is also what the audit says.
#[test]
fn c10_a_withheld_answer_is_a_bad_gateway() {
    let upstream = Recorder::answering(|exchange: &mut Exchange<'_>| {
        if exchange.path() == "/calm" {
            exchange.respond(200, &[], b"calm");
        } else {
            exchange.respond(200, &[("X-Request-Id", "somebody-elses")], b"stolen");
        }
    });
    let url = upstream.url();
    let attack = Attack::on(crate::harness::Scene::before(upstream, |builder| {
        builder.set(
            "upstreams",
            &format!("[ {{ name: app, servers: [ \"{url}\" ], request_id_echo: true }} ]"),
        )
    }));
    let response = attack.gateway().send(&attack.request("GET", "/"));
    attack
        .scene
        .check_refusal(&response, 502, "upstream_protocol");
    assert!(!response.text().contains("stolen"));
    attack.upstream().wait_ended(1);
    attack.calm();
}
