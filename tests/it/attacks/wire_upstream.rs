//! C11, C13, C18 to C20, C26 to C28: what an upstream may answer, and how often it is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::support::Attack;
use crate::harness::{Exchange, H2Upstream, Recorder, Request, Scene, Token};

fn one_core(upstream: Recorder) -> Attack {
    Attack::on(Scene::before(upstream, |builder| {
        builder.set("workers", "1")
    }))
}

/// Answers `/bad` with these bytes, everything else with its target.
fn saying(answer: impl Into<Vec<u8>>, hangs_up: bool) -> Recorder {
    let answer = answer.into();
    Recorder::answering(move |exchange: &mut Exchange<'_>| {
        exchange.body();
        let target = exchange.head.target().to_owned();
        if target == "/bad" {
            exchange.send(&answer);
            if hangs_up {
                exchange.close();
            }
        } else {
            exchange.respond(200, &[], target.as_bytes());
        }
    })
}

fn other(target: &str) -> Request {
    Request::get(target).bearer(&Token::user("7").account("14").signed())
}

#[test]
fn c11_what_follows_a_response_is_nobodys() {
    const STOLEN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen";
    for first in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 304 Not Modified\r\n\r\nhello",
    ] {
        let attack = one_core(saying(format!("{first}{STOLEN}"), false));
        for _ in 0..5 {
            let response = attack.gateway().send(&attack.request("GET", "/bad"));
            assert!(!response.text().contains("stolen"), "{first:?}");
            assert_eq!(
                attack.gateway().send(&other("/own")).text(),
                "/own",
                "{first:?}"
            );
        }
        attack.calm();
    }
}

#[test]
fn c11_a_body_behind_head_is_nobodys() {
    let attack = one_core(saying(
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen",
        false,
    ));
    for _ in 0..5 {
        let mut client = attack.client();
        client.send(&attack.request("HEAD", "/bad").bytes());
        client.response("HEAD").expect_status(200);
        assert_eq!(attack.gateway().send(&other("/own")).text(), "/own");
    }
    attack.calm();
}

#[test]
fn c13_interim_answers_are_no_answers() {
    for interim in [
        "HTTP/1.1 100 Continue\r\n\r\n".to_owned(),
        "HTTP/1.1 103 Early Hints\r\nLink: </x.css>; rel=preload\r\nX-Auth-User-Id: 1\r\n\r\n"
            .to_owned(),
        "HTTP/1.1 102 Processing\r\n\r\n".repeat(1000),
        "HTTP/1.1 199 What\r\nContent-Length: 5\r\n\r\n".to_owned(),
    ] {
        let answer = format!("{interim}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nreal");
        let attack = one_core(saying(answer, false));
        let mut client = attack.client();
        client.send(&attack.request("GET", "/bad").bytes());
        let head = client.head();
        assert_eq!(
            head.status(),
            200,
            "an interim answer that nobody asked for"
        );
        let mut body = Vec::new();
        client.body(&head, &mut |bytes| body.extend_from_slice(bytes));
        assert_eq!(body, b"real");
        assert!(head.get("x-auth-user-id").is_none());
        assert_eq!(attack.gateway().send(&other("/own")).text(), "/own");
        drop(client);
        attack.calm();
    }
}

#[test]
fn c13_endless_interim_answers_run_into_the_deadline() {
    let upstream = Recorder::answering(|exchange: &mut Exchange<'_>| {
        if exchange.path() == "/bad" {
            while exchange.send(b"HTTP/1.1 102 Processing\r\n\r\n") {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            exchange.close();
        } else {
            exchange.respond(200, &[], b"fine");
        }
    });
    let url = upstream.url();
    let attack = Attack::on(Scene::before(upstream, |builder| {
        builder.set(
            "upstreams",
            &format!(
                "[ {{ name: app, servers: [ \"{url}\" ], timeouts: {{ response_head: 300ms }} }} ]"
            ),
        )
    }));
    let response = attack.gateway().send(&attack.request("GET", "/bad"));
    attack
        .scene
        .check_refusal(&response, 504, "upstream_timeout");
    attack.upstream().wait_ended(1);
    attack.calm();
}

#[test]
fn c18_what_is_no_response_is_a_bad_gateway() {
    for answer in [
        &b"nonsense\r\n\r\n"[..],
        b"HTTP/0.9 200 OK\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"<html>no status line</html>",
        b"HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 O\rK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: a\rSet-Cookie: evil=1\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: a\r\n Set-Cookie: evil=1\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    ] {
        let attack = one_core(saying(answer, true));
        let response = attack.gateway().send(&attack.request("GET", "/bad"));
        let shown = String::from_utf8_lossy(answer);
        assert_eq!(response.status(), 502, "{shown:?}");
        attack
            .scene
            .check_refusal(&response, 502, "upstream_protocol");
        assert!(response.header("set-cookie").is_none());
        assert_eq!(attack.upstream().count(), 1, "not asked again: {shown:?}");
        attack.calm();
    }
}

/// A bare LF ends a line for the parser: it is a header of its own, written anew as one.
#[test]
fn c18_a_bare_lf_in_a_response_splits_nothing() {
    let attack = one_core(saying(
        "HTTP/1.1 200 OK\nX-A: a\nContent-Length: 2\r\n\r\nok",
        false,
    ));
    let response = attack.gateway().send(&attack.request("GET", "/bad"));
    assert!([200, 502].contains(&response.status()));
    if response.status() == 200 {
        assert_eq!(response.header("x-a"), Some("a"));
        assert_eq!(response.text(), "ok");
    }
    attack.calm();
}

#[test]
fn c19_a_truncated_response_is_visibly_broken() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\nX: 1\r\n",
    ] {
        let attack = one_core(saying(answer, true));
        let response = attack.gateway().send(&attack.request("GET", "/bad"));
        assert_eq!(response.text(), "half", "{answer:?}");
        assert!(!response.end.complete, "{answer:?}");
        attack.calm();
    }
}

/// To a client of HTTP/1.0 a body without a length ends with the connection: an end in order would
/// make half a response a whole one.
#[test]
fn c19_a_truncated_response_is_a_reset_where_the_end_of_the_connection_is_its_end() {
    for answer in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
    ] {
        let attack = one_core(saying(answer, true));
        let mut client = attack.client();
        client.send(&attack.bytes("GET /bad HTTP/1.0\r\n{auth}\r\n"));
        let end = loop {
            match client.some() {
                Ok(_) => {}
                Err(error) => break error.kind(),
            }
        };
        assert_eq!(end, std::io::ErrorKind::ConnectionReset, "{answer:?}");
        drop(client);
        attack.calm();
    }
    // A whole one ends in order.
    let whole = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n\r\n";
    let attack = one_core(saying(whole, false));
    let mut client = attack.client();
    client.send(&attack.bytes("GET /bad HTTP/1.0\r\n{auth}\r\n"));
    let mut bytes = Vec::new();
    let end = loop {
        match client.some() {
            Ok(more) => bytes.extend(more),
            Err(error) => break error.kind(),
        }
    };
    assert_eq!(end, std::io::ErrorKind::UnexpectedEof);
    assert!(bytes.ends_with(b"\r\n\r\nwhole"));
    drop(client);
    attack.calm();
}

/// Over an HTTP/2 upstream all users share one connection's window: those who do not read what they
/// asked for must not keep what others asked for from coming.
#[test]
fn c23_readers_that_stop_do_not_hold_up_a_shared_upstream_connection() {
    let upstream = H2Upstream::start();
    let url = upstream.url();
    let attack = Attack::with(|builder| {
        builder.set("workers", "1").set(
            "upstreams",
            &format!("[ {{ name: app, servers: [ \"{url}\" ], protocol: h2c }} ]"),
        )
    });
    let data = vec![b'x'; 24 << 20];
    let stalled: Vec<_> = (0..6)
        .map(|_| {
            // The echo of all this comes back, and nobody takes it.
            let mut client = attack.client();
            client.send(&attack.request("POST", "/echo").body(&data).bytes());
            client
        })
        .collect();
    for round in 0..20 {
        let body = format!("fair {round}");
        let request = Request::post("/fair", body.as_bytes())
            .bearer(&Token::user("7").account("14").signed());
        let response = attack.gateway().send(&request).expect_status(200);
        assert_eq!(response.text(), body);
    }
    for client in stalled {
        client.abort();
    }
    attack.settled();
}

#[test]
fn c20_a_connection_that_closes_under_a_request_costs_no_second_post() {
    let upstream = Recorder::answering(|exchange: &mut Exchange<'_>| {
        exchange.body();
        exchange.respond(200, &[], b"fine");
        exchange.close();
    });
    let attack = one_core(upstream);
    for round in 1..=20 {
        let request = if round % 2 == 0 {
            attack.request("POST", "/").body(b"order")
        } else {
            attack.request("GET", "/")
        };
        attack.gateway().send(&request).expect_status(200);
        attack.upstream().wait_ended(round);
    }
    assert_eq!(attack.upstream().count(), 20, "each was sent once");
    attack.calm();
}

/// An upstream that takes the request on a reused connection and hangs up may have acted: a GET is
/// tried once more, a POST never.
#[test]
fn c20_c28_what_may_have_been_acted_on_is_not_sent_again() {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let upstream = Recorder::answering(move |exchange: &mut Exchange<'_>| {
        exchange.body();
        if exchange.path() == "/order" {
            count.fetch_add(1, Ordering::SeqCst);
            exchange.close();
        } else {
            exchange.respond(200, &[], b"fine");
        }
    });
    let attack = one_core(upstream);
    for _ in 0..10 {
        attack.gateway().send(&other("/warm")).expect_status(200);
        let before = seen.load(Ordering::SeqCst);
        let request = attack.request("POST", "/order").body(b"order");
        let response = attack.gateway().send(&request);
        attack
            .scene
            .check_refusal(&response, 502, "upstream_protocol");
        assert_eq!(seen.load(Ordering::SeqCst), before + 1);
        let request = attack.request("POST", "/order").chunks(&[b"order"], &[]);
        assert_eq!(attack.gateway().send(&request).status(), 502);
        assert_eq!(seen.load(Ordering::SeqCst), before + 2);
    }
    attack.calm();
}

/// Authentication that binds to a connection is not carried: with `isolate: user` a connection is
/// one user's, and without it nobody may rely on whose it was.
#[test]
fn c26_a_connection_that_a_user_authenticated_is_never_anothers() {
    let upstream = Recorder::answering(|exchange: &mut Exchange<'_>| {
        let user = exchange
            .head
            .get("x-auth-user-id")
            .unwrap_or("nobody")
            .to_owned();
        exchange.respond(200, &[], user.as_bytes());
    });
    let url = upstream.url();
    let attack = Attack::on(Scene::before(upstream, |builder| {
        builder.set("workers", "1").set(
            "upstreams",
            &format!("[ {{ name: app, servers: [ \"{url}\" ], isolate: user }} ]"),
        )
    }));
    let mut client = attack.client();
    for _ in 0..10 {
        assert_eq!(client.exchange(&attack.request("GET", "/")).text(), "5");
        assert_eq!(client.exchange(&other("/")).text(), "7");
    }
    let mut owners = std::collections::BTreeMap::new();
    for seen in attack.upstream().requests() {
        let user = seen.header("x-auth-user-id").expect("a user").to_owned();
        assert_eq!(*owners.entry(seen.connection).or_insert(user.clone()), user);
    }
    drop(client);
    attack.calm();
}

/// A scheme that no credential is configured for never reaches the upstream.
#[test]
fn c26_negotiate_and_ntlm_are_refused() {
    let attack = Attack::new();
    for scheme in ["NTLM TlRMTVNTUAABAAAA", "Negotiate YII="] {
        let request = Request::get("/").header("Authorization", scheme);
        attack.scene.refuses(&request, 401, "credential_malformed");
    }
    attack.calm();
}

#[test]
fn c27_upstreams_that_close_are_understood_and_not_kept() {
    for (answer, hangs_up) in [
        ("HTTP/1.0 200 OK\r\n\r\nbody", true),
        ("HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nbody", true),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nbody", true),
        (
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody",
            false,
        ),
        ("HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nbody", false),
    ] {
        let attack = one_core(saying(answer, hangs_up));
        for round in 1..=3 {
            let response = attack.gateway().send(&attack.request("GET", "/bad"));
            assert_eq!(response.text(), "body", "{answer:?}");
            assert!(response.end.complete);
            attack.upstream().wait_ended(round);
        }
        assert_eq!(attack.upstream().connections(), 3, "{answer:?}");
        attack.calm();
    }
    // Keep-alive that is a lie: it says so and hangs up.
    let lie = "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\nbody";
    let attack = one_core(saying(lie, true));
    for _ in 0..10 {
        assert_eq!(
            attack.gateway().send(&attack.request("GET", "/bad")).text(),
            "body"
        );
    }
    attack.calm();
}

#[test]
fn c28_a_body_that_was_begun_is_never_replayed() {
    let upstream = Recorder::answering(|exchange: &mut Exchange<'_>| {
        if exchange.path() == "/calm" || exchange.path() == "/warm" {
            exchange.respond(200, &[], b"fine");
        } else {
            exchange.chunk();
            exchange.close();
        }
    });
    let attack = one_core(upstream);
    for round in 1..=5 {
        attack.gateway().send(&other("/warm")).expect_status(200);
        let mut client = attack.client();
        client.send(&attack.bytes(
            "POST /half HTTP/1.1\r\n{auth}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        ));
        let response = client.response("POST");
        assert!([400, 502].contains(&response.status()), "{response:?}");
        let halves = attack.upstream().requests();
        let halves = halves.iter().filter(|seen| seen.head.target() == "/half");
        assert_eq!(halves.count(), round);
    }
    attack.calm();
}
