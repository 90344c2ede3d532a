//! C24: sizes have limits, each with its answer, and what is over them costs no memory.

use super::support::Attack;
use crate::harness::until;

fn answered(attack: &Attack, bytes: &[u8]) -> u16 {
    let before = attack.upstream().bytes();
    let mut client = attack.client();
    let _ = client.try_send(bytes);
    let response = client.try_response("GET").expect("an answer");
    if let Some(reason) = response.reason() {
        attack
            .scene
            .check_refusal(&response, response.status(), &reason);
    }
    assert_eq!(attack.upstream().bytes(), before);
    response.status()
}

#[test]
fn c24_heads_beyond_the_limits_are_refused() {
    let attack = Attack::new();
    let base = attack.request("GET", "/");
    let many = |count: usize| {
        (0..count).fold(base.clone(), |request, number| {
            request.header(&format!("X-{number}"), "1")
        })
    };
    let cookies =
        |count: usize| (0..count).fold(base.clone(), |request, _| request.header("Cookie", "a=1"));
    for (request, status) in [
        (many(101), 431),
        (many(1_000), 431),
        (cookies(5_000), 431),
        (base.clone().header("X-Large", &"x".repeat(40_000)), 431),
        (base.clone().header("X-Huge", &"x".repeat(500_000)), 431),
        (base.clone().header(&"x".repeat(40_000), "1"), 431),
        (base.clone().header(&"x".repeat(70_000), "1"), 400),
        (
            attack.request("GET", &format!("/{}", "x".repeat(9_000))),
            414,
        ),
        (
            attack.request("GET", &format!("/{}", "x".repeat(70_000))),
            414,
        ),
        (
            attack.request("GET", &format!("/?{}", "x".repeat(70_000))),
            414,
        ),
        (
            attack.request("GET", &format!("/{}", "x".repeat(500_000))),
            431,
        ),
    ] {
        let got = answered(&attack, &request.bytes());
        let length = request.head_bytes().len();
        // What no buffer takes is answered by the protocol layer, with whatever it calls it.
        let beyond = length > 60_000 && [400, 414, 431].contains(&got);
        assert!(got == status || beyond, "{length}: {got} for {status}");
    }
    attack.calm();
}

/// A header section that never ends costs no more than its limit.
#[test]
fn c24_an_endless_head_costs_no_memory() {
    let attack = Attack::new();
    let before = attack.gateway().peak_memory();
    for _ in 0..20 {
        let mut client = attack.client();
        if client
            .try_send(b"GET / HTTP/1.1\r\nHost: app.test\r\n")
            .is_err()
        {
            continue;
        }
        let piece = format!("X-A: {}\r\n", "x".repeat(8_000)).repeat(16);
        for _ in 0..64 {
            if client.try_send(piece.as_bytes()).is_err() {
                break;
            }
        }
    }
    let grown = attack.gateway().peak_memory().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown}");
    attack.upstream().assert_untouched();
    attack.calm();
}

#[test]
fn c24_a_body_without_a_length_is_cut_at_the_limit() {
    let attack = Attack::with(|builder| builder.set("limits", "{ body: 1KiB }"));
    let mut client = attack.client();
    client.send(&attack.bytes("POST /big HTTP/1.1\r\n{auth}Transfer-Encoding: chunked\r\n\r\n"));
    let piece = format!("200\r\n{}\r\n", "x".repeat(0x200));
    for _ in 0..6 {
        let _ = client.try_send(piece.as_bytes());
    }
    let response = client.response("POST");
    attack.scene.check_refusal(&response, 413, "body_too_large");
    assert!(client.rest().is_empty());
    let seen = attack.upstream().wait(|seen| seen.complete.is_some());
    assert_eq!(seen.complete, Some(false));
    assert!(seen.body_length <= 1024);
    let declared = attack
        .request("POST", "/big")
        .header("Content-Length", "1025");
    let before = attack.upstream().bytes();
    let mut client = attack.client();
    client.send(&declared.head_bytes());
    let response = client.response("POST");
    attack.scene.check_refusal(&response, 413, "body_too_large");
    assert_eq!(attack.upstream().bytes(), before);
    drop(client);
    let fits = attack
        .request("POST", "/fits")
        .chunks(&[&[b'x'; 1024]], &[]);
    attack.gateway().send(&fits).expect_status(200);
    attack.calm();
}

#[test]
fn c24_a_length_of_many_terabytes_is_no_allocation() {
    let attack = Attack::new();
    let before = attack.gateway().peak_memory();
    for length in [
        "18446744073709551615",
        "9223372036854775807",
        "99999999999999",
    ] {
        let mut client = attack.client();
        let request = attack
            .request("POST", "/huge")
            .header("Content-Length", length);
        client.send(&request.head_bytes());
        let _ = client.try_send(b"some");
        client.abort();
    }
    let mut client = attack.client();
    client.send(&attack.bytes(
        "POST /huge HTTP/1.1\r\n{auth}Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\nabc",
    ));
    client.abort();
    let grown = attack.gateway().peak_memory().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown}");
    until("the uploads have ended", || {
        attack.metric("countersign_requests_in_flight") == 0.0
    });
    for seen in attack.upstream().requests() {
        assert_ne!(seen.complete, Some(true));
    }
    attack.calm();
}
