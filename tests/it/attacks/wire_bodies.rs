//! C6 to C9, C29, C30: bodies arrive whole or visibly broken, in a framing of our own.

use std::time::Duration;

use super::frames::{
    DATA, END_HEADERS, End, Frames, HEADERS, RST_STREAM, block, frame, headers, post,
};
use super::support::Attack;
use crate::harness::{Exchange, H2Client, H2Request, Recorder, Scene};

pub(super) const H2C: &str = "[ { address: \"127.0.0.1:{{port}}\", h2c: true } ]";

fn echo() -> Recorder {
    Recorder::answering(|exchange: &mut Exchange<'_>| {
        let (body, complete) = exchange.body();
        if complete {
            exchange.respond(200, &[], &body);
        }
    })
}

/// The newest request of `target` was seen to break off.
#[track_caller]
fn broke_off(attack: &Attack, target: &str) {
    let seen = attack
        .upstream()
        .wait(|seen| seen.head.target() == target && seen.complete.is_some());
    assert_eq!(seen.complete, Some(false), "{:?}", seen.head);
    let raw = attack.upstream().raw(seen.connection);
    assert!(!raw.ends_with(b"0\r\n\r\n"), "a clean end of {target}");
    attack.upstream().wait_ended(1);
}

#[test]
fn c6_bad_chunks_break_the_upload_and_the_connection() {
    let large = format!("1;{}\r\na\r\n", "x".repeat(20_000));
    for (index, bad) in [
        "0x2\r\nab\r\n0\r\n\r\n",
        "2\nab\r\n0\r\n\r\n",
        "2;a\nab\r\n0\r\n\r\n",
        "2\r\nabXX0\r\n\r\n",
        "2\r\nab\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\nab\r\n",
        "\r\nab\r\n0\r\n\r\n",
        "-1\r\n",
        " 2\r\nab\r\n",
        "g\r\n",
        "0\r\nX Y\r\n\r\n",
        &large,
    ]
    .iter()
    .enumerate()
    {
        let attack = Attack::before(echo());
        let target = format!("/{index}");
        let mut client = attack.client();
        client.send(&attack.bytes(&format!(
            "POST {target} HTTP/1.1\r\n{{auth}}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
        )));
        attack.upstream().wait(|seen| seen.body_length == 5);
        client.send(bad.as_bytes());
        let mut answers = Vec::new();
        while let Ok(response) = client.try_response("POST") {
            answers.push(response.status());
        }
        assert!(answers.len() <= 1, "{bad:?}: {answers:?}");
        assert!(
            answers.iter().all(|status| *status >= 400),
            "{bad:?}: {answers:?}"
        );
        broke_off(&attack, &target);
        drop(client);
        attack.calm();
    }
}

/// Space behind a chunk's size is tolerated by the parser, and gone in what is written anew.
#[test]
fn c6_space_behind_a_size_is_not_passed_on() {
    let attack = Attack::before(echo());
    let mut client = attack.client();
    client.send(&attack.bytes(
        "POST / HTTP/1.1\r\n{auth}Transfer-Encoding: chunked\r\n\r\n2 \t\r\nab\r\n0\r\n\r\n",
    ));
    let response = client.response("POST");
    assert!([200, 400].contains(&response.status()));
    if response.status() == 200 {
        assert_eq!(response.body, b"ab");
        assert!(
            attack
                .upstream()
                .raw(0)
                .ends_with(b"\r\n\r\n2\r\nab\r\n0\r\n\r\n")
        );
    }
    drop(client);
    attack.calm();
}

#[test]
fn c7_an_upload_that_the_client_gives_up_never_looks_complete() {
    for framing in [
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "Content-Length: 10\r\n\r\nhello",
    ] {
        for abrupt in [true, false] {
            let attack = Attack::before(echo());
            let mut client = attack.client();
            client.send(&attack.bytes(&format!("POST /up HTTP/1.1\r\n{{auth}}{framing}")));
            attack.upstream().wait(|seen| seen.body_length == 5);
            if abrupt {
                client.abort();
            } else {
                drop(client);
            }
            broke_off(&attack, "/up");
            attack.calm();
        }
    }
}

#[test]
fn c7_an_upload_whose_stream_is_reset_never_looks_complete() {
    for length in [None, Some("10")] {
        for code in [8_u32, 0, 5] {
            let attack = Attack::on(Scene::before(echo(), |b| b.set("listeners", H2C)));
            let bearer = format!("Bearer {}", attack.token);
            let mut client = Frames::open(attack.gateway().address(), &[]);
            let mut fields = post("/up", &bearer);
            fields.extend(length.map(|length| ("content-length", length)));
            client.send(&headers(1, &fields, false));
            client.send(&frame(DATA, 0, 1, b"hello"));
            attack.upstream().wait(|seen| seen.body_length == 5);
            client.send(&frame(RST_STREAM, 0, 1, &code.to_be_bytes()));
            broke_off(&attack, "/up");
            drop(client);
            attack.calm();
        }
    }
}

#[test]
fn c7_an_upload_over_http2_that_loses_its_connection_never_looks_complete() {
    let attack = Attack::on(Scene::before(echo(), |b| b.set("listeners", H2C)));
    let bearer = format!("Bearer {}", attack.token);
    let mut client = Frames::open(attack.gateway().address(), &[]);
    let fields = post("/up", &bearer);
    client.send(&frame(HEADERS, END_HEADERS, 1, &block(&fields)));
    client.send(&frame(DATA, 0, 1, b"hello"));
    attack.upstream().wait(|seen| seen.body_length == 5);
    drop(client);
    broke_off(&attack, "/up");
    attack.calm();
}

/// The whole of a body reaches the upstream as a body, whatever the method; an upstream that ignores
/// bodies answers what is inside as a second request, and that answer is nobody's.
#[test]
fn c8_a_body_is_never_a_second_request_of_somebody_else() {
    let deaf = Recorder::answering(|exchange: &mut Exchange<'_>| {
        let target = exchange.head.target().to_owned();
        exchange.respond(200, &[], target.as_bytes());
        if exchange
            .head
            .get("content-length")
            .is_some_and(|length| length != "0")
        {
            // It takes the body for a request of its own, and answers that one while somebody else's
            // is on its way.
            std::thread::sleep(Duration::from_millis(5));
            exchange.respond(200, &[], b"smuggled");
        }
    });
    let attack = Attack::on(Scene::before(deaf, |b| b.set("workers", "1")));
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n";
    for round in 0..50 {
        for method in ["GET", "OPTIONS", "DELETE"] {
            let target = format!("/{method}/{round}");
            let request = attack.request(method, &target).body(smuggled.as_bytes());
            let response = attack.gateway().send(&request).expect_status(200);
            assert_eq!(response.text(), target);
            let own = format!("/own/{round}");
            let token = crate::harness::Token::user("7").account("14").signed();
            let other = crate::harness::Request::get(&own).bearer(&token);
            assert_eq!(attack.gateway().send(&other).text(), own);
        }
    }
    for seen in attack.upstream().requests() {
        let method = seen.head.method().to_owned();
        let framings =
            seen.head.all("content-length").len() + seen.head.all("transfer-encoding").len();
        let expected = usize::from(!seen.head.target().starts_with("/own"));
        assert_eq!(framings, expected, "{method} {:?}", seen.head);
    }
    attack.calm();
}

#[test]
fn c8_head_with_a_body_is_one_request() {
    let attack = Attack::before(echo());
    let mut client = attack.client();
    client.send(&attack.bytes("HEAD /h HTTP/1.1\r\n{auth}Content-Length: 43\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n\r\nGET /next HTTP/1.1\r\n{auth}\r\n"));
    let first = client.response("HEAD");
    assert!([200, 400, 411].contains(&first.status()));
    if let Ok(next) = client.try_response("GET") {
        assert_eq!(next.status(), 200);
    }
    for seen in attack.upstream().requests() {
        assert!(
            ["/h", "/next"].contains(&seen.head.target()),
            "{:?}",
            seen.head
        );
    }
    drop(client);
    attack.calm();
}

#[test]
fn c9_an_early_answer_ends_the_upload_and_its_connection() {
    let upstream = Recorder::answering(|exchange: &mut Exchange<'_>| {
        if exchange.path() == "/early" {
            exchange.respond(413, &[], b"too much");
            exchange.wait_for_end();
        } else {
            exchange.body();
            exchange.respond(200, &[], b"fine");
        }
    });
    let attack = Attack::on(Scene::before(upstream, |b| b.set("workers", "1")));
    for framing in [
        "Content-Length: 100000\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n186A0\r\n",
    ] {
        let before = attack.upstream().count();
        let mut client = attack.client();
        client.send(&attack.bytes(&format!("POST /early HTTP/1.1\r\n{{auth}}{framing}")));
        client.send(&[b'x'; 1000]);
        let response = client.response("POST");
        assert_eq!(
            (response.status(), response.text().as_str()),
            (413, "too much")
        );
        attack.audited(&response);
        // What is sent from now on is still body, and never a request.
        let _ = client.try_send(b"GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n");
        drop(client);
        let next = attack
            .gateway()
            .send(&attack.request("POST", "/next").body(b"x"));
        assert_eq!(next.text(), "fine");
        let seen = attack.upstream().requests();
        assert_eq!(seen.len(), before + 2);
        assert_ne!(seen[before].connection, seen[before + 1].connection);
    }
    attack.calm();
}

#[test]
fn c29_a_streamed_body_survives_every_change_of_version() {
    let attack = Attack::on(Scene::before(echo(), |b| b.set("listeners", H2C)));
    let client = H2Client::clear(attack.gateway().address());
    for method in ["POST", "PUT", "PATCH", "DELETE", "GET", "OPTIONS"] {
        let request = H2Request::new(method, "app.test/h2")
            .bearer(&attack.token)
            .data(b"hel")
            .data(b"")
            .data(b"lo");
        let response = client.send(&request).expect("a response");
        assert_eq!(
            (response.status, &*response.body),
            (200, &b"hello"[..]),
            "{method}"
        );
        let seen = attack.upstream().last();
        assert_eq!(seen.body, b"hello", "{method}");
        assert_eq!(seen.complete, Some(true));
        assert!(
            seen.head.start.ends_with(" HTTP/1.1"),
            "{}",
            seen.head.start
        );
        assert_eq!(seen.head.all("transfer-encoding"), ["chunked"]);
    }
    drop(client);
    let mut old = attack.client();
    old.send(&attack.bytes("POST /old HTTP/1.0\r\n{auth}Content-Length: 5\r\n\r\nhello"));
    assert_eq!(old.response("POST").expect_status(200).body, b"hello");
    assert!(attack.upstream().last().head.start.ends_with(" HTTP/1.1"));
    drop(old);
    attack.calm();
}

/// Chosen: forwarded whole. A refusal would break clients that search by GET with a body.
#[test]
fn c30_a_chunked_get_is_forwarded_whole() {
    let attack = Attack::before(echo());
    for method in ["GET", "OPTIONS", "DELETE", "PATCH", "PUT"] {
        let request = attack.request(method, "/q").chunks(&[b"hel", b"lo"], &[]);
        let response = attack.gateway().send(&request).expect_status(200);
        assert_eq!(response.body, b"hello", "{method}");
        let seen = attack.upstream().last();
        assert_eq!(seen.body, b"hello", "{method}");
        assert_eq!(seen.head.all("transfer-encoding"), ["chunked"], "{method}");
        assert_eq!(seen.complete, Some(true));
        attack.audited(&response);
    }
    let request = attack.request("HEAD", "/q").chunks(&[b"hel", b"lo"], &[]);
    let mut client = attack.client();
    client.send(&request.bytes());
    client.response("HEAD").expect_status(200);
    assert_eq!(attack.upstream().last().body, b"hello");
    drop(client);
    attack.calm();
}

#[test]
fn c7_an_end_without_data_over_http2_is_whole() {
    let attack = Attack::on(Scene::before(echo(), |b| b.set("listeners", H2C)));
    let bearer = format!("Bearer {}", attack.token);
    let mut client = Frames::open(attack.gateway().address(), &[]);
    let fields = post("/up", &bearer);
    client.send(&headers(1, &fields, false));
    client.send(&frame(DATA, 0, 1, b"hello"));
    client.send(&frame(DATA, 1, 1, b""));
    assert_eq!(client.end_of(1), End::Answered(b"hello".to_vec()));
    assert_eq!(attack.upstream().only().complete, Some(true));
    drop(client);
    attack.calm();
}
