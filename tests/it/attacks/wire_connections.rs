//! C12, C25: cancelled requests leave nothing behind, and each request is decided for itself.

use super::frames::{End, Frames, RST_STREAM, frame, get, headers};
use super::support::Attack;
use super::wire_bodies::H2C;
use crate::harness::{Builder, Exchange, Gate, Recorder, Request, Scene, Token, until};

fn user(user: &str) -> String {
    let account = if user == "7" { "14" } else { "12" };
    Token::user(user).account(account).signed()
}

fn gated(gate: &Gate) -> Recorder {
    let gate = gate.clone();
    Recorder::answering(move |exchange: &mut Exchange<'_>| {
        let target = exchange.head.target().to_owned();
        if target.starts_with("/head") {
            gate.pass();
        }
        if target.starts_with("/middle") {
            exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
            exchange.wait_for_end();
        } else if target.starts_with("/upload") {
            exchange.read_body(&mut |_| ());
        } else {
            exchange.respond(200, &[], target.as_bytes());
        }
    })
}

/// Cancelled while it uploads, waits for the head, reads the body: the upstream connection is never
/// used again, the gauges return to zero, and the next callers get their own answers.
#[test]
fn c12_a_cancelled_request_leaves_nothing_behind() {
    let gate = Gate::default();
    let attack = Attack::on(Scene::before(gated(&gate), |builder| {
        builder.set("workers", "1")
    }));
    for round in 0..10 {
        for place in ["head", "middle", "upload"] {
            let target = format!("/{place}/{round}");
            let mut client = attack.client();
            let request = if place == "upload" {
                attack
                    .request("POST", &target)
                    .header("Content-Length", "100")
            } else {
                attack.request("GET", &target)
            };
            client.send(&request.head_bytes());
            attack.upstream().wait(|seen| seen.head.target() == target);
            if place == "middle" {
                client.head();
            }
            if round % 2 == 0 {
                client.abort();
            } else {
                drop(client);
            }
        }
    }
    until("no request is in flight", || {
        attack.metric("countersign_requests_in_flight") == 0.0
    });
    gate.open();
    for round in 0..30 {
        let target = format!("/own/{round}");
        let request = Request::get(&target).bearer(&user("7"));
        assert_eq!(attack.gateway().send(&request).text(), target);
    }
    attack.calm();
}

#[test]
fn c12_a_cancelled_stream_leaves_nothing_behind() {
    let gate = Gate::default();
    let attack = Attack::on(Scene::before(gated(&gate), |builder| {
        builder.set("workers", "1").set("listeners", H2C)
    }));
    let bearer = format!("Bearer {}", attack.token);
    let mut client = Frames::open(attack.gateway().address(), &[]);
    for round in 0..20_u32 {
        let target = format!("/head/{round}");
        let stream = 2 * round + 1;
        client.send(&headers(stream, &get(&target, &bearer), true));
        attack.upstream().wait(|seen| seen.head.target() == target);
        client.send(&frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    until("no request is in flight", || {
        attack.metric("countersign_requests_in_flight") == 0.0
    });
    gate.open();
    client.send(&headers(101, &get("/own", &bearer), true));
    assert_eq!(client.end_of(101), End::Answered(b"/own".to_vec()));
    drop(client);
    attack.calm();
}

/// Cancelled while the directory is asked: the answer still lands for whoever else waits, and the
/// upstream is never sent a request that nobody waits for.
#[test]
fn c12_a_request_cancelled_during_its_look_up_never_leaves() {
    let gate = Gate::default();
    let directory = Recorder::answering({
        let gate = gate.clone();
        move |exchange: &mut Exchange<'_>| {
            let user = exchange.last_segment();
            if user == "5" {
                gate.pass();
            }
            let account = if user == "7" { "14" } else { "12" };
            exchange.respond_json(
                &serde_json::json!({ "user": user, "account": account, "active": true }),
            );
        }
    });
    let upstream = Recorder::start();
    let url = directory.url();
    let attack = Attack::on(Scene {
        gateway: Builder::new()
            .upstream(&upstream)
            .set(
                "directory",
                &format!("source: {{ http: {{ url: \"{url}/{{tenant}}/{{user}}\" }} }}"),
            )
            .start(),
        upstream,
    });
    for round in 0..10 {
        let mut client = attack.client();
        client.send(&attack.request("GET", &format!("/gone/{round}")).bytes());
        directory.wait(|seen| seen.head.target().ends_with("/5"));
        client.abort();
    }
    until("no request is in flight", || {
        attack.metric("countersign_requests_in_flight") == 0.0
    });
    attack.upstream().assert_untouched();
    gate.open();
    attack
        .gateway()
        .send(&attack.request("GET", "/own"))
        .expect_status(200);
    assert_eq!(attack.upstream().only().head.target(), "/own");
    attack.calm();
}

#[test]
fn c25_a_hundred_pipelined_requests_are_each_decided_alone() {
    let attack = Attack::new();
    let mut bytes = Vec::new();
    for round in 0..100 {
        let request = Request::get(&format!("/{round}"));
        let request = match round % 3 {
            0 => request.bearer(&attack.token),
            1 => request.bearer(&user("7")),
            _ => request,
        };
        bytes.extend(request.bytes());
    }
    let mut client = attack.client();
    client.send(&bytes);
    for round in 0..100 {
        let response = client.response("GET");
        if round % 3 == 2 {
            attack
                .scene
                .check_refusal(&response, 401, "credential_missing");
            continue;
        }
        let seen = response.expect_status(200).json();
        assert_eq!(seen["target"], format!("/{round}"));
        assert_eq!(seen["user"], ["5", "7"][round % 3]);
        assert_eq!(seen["account"], ["12", "14"][round % 3]);
    }
    assert_eq!(attack.upstream().count(), 67);
    drop(client);
    attack.calm();
}

#[test]
fn c25_interleaved_streams_are_each_decided_alone() {
    let attack = Attack::with(|builder| builder.set("listeners", H2C));
    let (five, seven) = (
        format!("Bearer {}", attack.token),
        format!("Bearer {}", user("7")),
    );
    let mut client = Frames::open(attack.gateway().address(), &[]);
    let mut bytes = Vec::new();
    for round in 0..90_u32 {
        let bearer = [five.as_str(), &seven, ""][round as usize % 3];
        bytes.extend(headers(
            2 * round + 1,
            &get(&format!("/{round}"), bearer),
            true,
        ));
    }
    client.send(&bytes);
    let mut answers = std::collections::BTreeMap::new();
    let mut bodies = std::collections::BTreeMap::<u32, Vec<u8>>::new();
    while answers.len() < 90 {
        let frame = client
            .next()
            .expect("a frame")
            .expect("the connection lives");
        if frame.kind == super::frames::DATA {
            bodies
                .entry(frame.stream)
                .or_default()
                .extend(&frame.payload);
        }
        if frame.kind <= 1 && frame.flags & super::frames::END_STREAM != 0 {
            answers.insert(
                frame.stream,
                bodies.remove(&frame.stream).unwrap_or_default(),
            );
        }
    }
    for (stream, body) in answers {
        let round = stream as usize / 2;
        let answer: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        if round % 3 == 2 {
            assert_eq!(answer["reason"], "credential_missing");
        } else {
            assert_eq!(answer["target"], format!("/{round}"));
            assert_eq!(answer["user"], ["5", "7"][round % 3]);
        }
    }
    drop(client);
    attack.calm();
}
