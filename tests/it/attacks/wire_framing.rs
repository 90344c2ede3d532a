//! C1 to C5: where a request ends has one reading, or it is refused and its connection ends.
//!
//! RFC 9112 lets a server take Transfer-Encoding over Content-Length; refusing both is stricter, and
//! chosen because a proxy in front may have taken the other one.

use super::support::Attack;

const AMBIGUOUS: &[&str] = &["ambiguous_request"];
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n";

#[test]
fn c1_both_framings_are_refused() {
    let attack = Attack::new();
    for framing in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nX-A: 1\r\ntransfer-encoding:chunked\r\n",
        "CONTENT-LENGTH: 5\r\nTRANSFER-ENCODING: CHUNKED\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\nContent-Length: 5\r\n",
    ] {
        for method in ["POST", "GET", "HEAD", "OPTIONS", "PUT"] {
            let text = format!("{method} / HTTP/1.1\r\n{{auth}}{framing}\r\n0\r\n\r\n{SMUGGLED}");
            if method == "HEAD" {
                continue;
            }
            attack.refused(&text, 400, AMBIGUOUS).expect("a reason");
        }
    }
    attack.calm();
}

#[test]
fn c1_both_framings_are_seen_on_every_request_of_a_connection() {
    let attack = Attack::new();
    let fair = "POST /fair HTTP/1.1\r\n{auth}Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nX-T: 1\r\n\r\n";
    let bad = "POST /bad HTTP/1.1\r\n{auth}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    for before in [0, 1, 7] {
        let seen = attack.upstream().count();
        let mut client = attack.client();
        client.send(&attack.bytes(&format!("{}{bad}{SMUGGLED}", fair.repeat(before))));
        for _ in 0..before {
            client.response("POST").expect_status(200);
        }
        let response = client.response("POST");
        attack
            .scene
            .check_refusal(&response, 400, "ambiguous_request");
        assert!(client.rest().is_empty());
        assert_eq!(attack.upstream().count(), seen + before);
    }
    attack.calm();
}

/// A trailer line that ends in a bare LF is where two readers of chunks part company; whoever reads
/// along to see both framings must not be led astray by one.
#[test]
fn c1_a_trailer_section_with_two_readings_hides_nothing() {
    let attack = Attack::new();
    for trailers in [
        "X-A: 1\n\r\nGET: / HTTP/1.1\r\nX-B: 1\r\n\r\n",
        "X-A: 1\n\nGET: / HTTP/1.1\r\nX-B: 1\r\n\r\n",
        "X-A: 1\n\r\n\r\n",
    ] {
        let first = format!(
            "POST /first HTTP/1.1\r\n{{auth}}Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n{trailers}"
        );
        let bad = "POST /bad HTTP/1.1\r\n{auth}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        let mut client = attack.client();
        client.send(&attack.bytes(&format!("{first}{bad}{SMUGGLED}")));
        let mut answers = Vec::new();
        while let Ok(response) = client.try_response("POST") {
            answers.push(response.status());
        }
        assert!(answers.len() <= 2, "{trailers:?}: {answers:?}");
        if answers.len() == 2 {
            assert_eq!(answers[1], 400, "{trailers:?}");
        }
    }
    for seen in attack.upstream().requests() {
        assert_eq!(seen.head.target(), "/first", "{:?}", seen.head);
    }
    attack.calm();
}

/// The same for a line that is longer than what is remembered between two reads.
#[test]
fn c1_a_line_that_is_too_long_to_follow_hides_nothing() {
    let attack =
        Attack::with(|builder| builder.set("limits", "{ header_size: 256KiB, headers: 100 }"));
    let long = format!(
        "GET /long HTTP/1.1\r\n{{auth}}X-Long: {}\r\n\r\n",
        "x".repeat(100_000)
    );
    let bad = "POST /bad HTTP/1.1\r\n{auth}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let mut client = attack.client();
    client.send(&attack.bytes(&long));
    let first = client.response("GET");
    assert!([200, 400, 431].contains(&first.status()), "{first:?}");
    if client.try_send(&attack.bytes(bad)).is_ok()
        && let Ok(second) = client.try_response("POST")
    {
        assert_eq!(second.status(), 400);
    }
    assert!(
        attack
            .upstream()
            .requests()
            .iter()
            .all(|seen| seen.head.target() != "/bad")
    );
    attack.calm();
}

#[test]
fn c2_a_bad_length_beside_chunks_is_refused() {
    let attack = Attack::new();
    for length in [
        "abc",
        "",
        "-1",
        "+5",
        "5, 6",
        "5 5",
        "0x5",
        "99999999999999999999",
    ] {
        for framing in [
            format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
            format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
        ] {
            let text = format!("POST / HTTP/1.1\r\n{{auth}}{framing}\r\n0\r\n\r\n{SMUGGLED}");
            attack.refused(&text, 400, AMBIGUOUS);
        }
    }
    attack.calm();
}

#[test]
fn c3_codings_other_than_one_chunked_are_refused() {
    let attack = Attack::new();
    for lines in [
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: ,chunked\r\n",
        "Transfer-Encoding: chunked,\r\n",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding:\r\n",
    ] {
        let text = format!("POST / HTTP/1.1\r\n{{auth}}{lines}\r\n0\r\n\r\n{SMUGGLED}");
        attack.refused(&text, 400, AMBIGUOUS);
    }
    attack.calm();
}

#[test]
fn c3_the_framing_towards_the_upstream_is_ours() {
    let attack = Attack::new();
    let text = "POST / HTTP/1.1\r\n{auth}tRANSFER-eNCODING:\t CHUNKED \r\nTE: trailers, deflate\r\n\r\n00003;x=\"y\"\r\nabc\r\n0\r\n\r\n";
    let mut client = attack.client();
    client.send(&attack.bytes(text));
    let response = client.response("POST").expect_status(200);
    let seen = attack.upstream().only();
    assert_eq!(seen.body, b"abc");
    assert_eq!(seen.head.all("transfer-encoding"), ["chunked"]);
    assert!(seen.head.all("content-length").is_empty());
    let raw = attack.upstream().raw(0);
    assert!(
        raw.ends_with(b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        "{:?}",
        String::from_utf8_lossy(&raw)
    );
    attack.audited(&response);
    drop(client);
    attack.calm();
}

#[test]
fn c4_what_only_looks_like_chunked_is_refused() {
    let attack = Attack::new();
    for line in [
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        "Transfer-Encoding: chunked;ext",
        "Transfer-Encoding: chunked ext",
        "Transfer-Encoding: chun\0ked",
        "X: y\r\n Transfer-Encoding: chunked",
        " Transfer-Encoding: chunked",
        "X: y\rTransfer-Encoding: chunked",
        "Transfer\u{2d}Encoding: c\u{ff}hunked",
    ] {
        let text = format!("POST / HTTP/1.1\r\n{{auth}}{line}\r\n\r\n0\r\n\r\n{SMUGGLED}");
        attack.refused(&text, 400, &["ambiguous_request", "malformed_request"]);
    }
    let old =
        format!("POST / HTTP/1.0\r\n{{auth}}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}");
    attack.refused(&old, 400, AMBIGUOUS);
    attack.calm();
}

/// A name with `_` frames nothing here and would elsewhere: it is not passed on.
#[test]
fn c4_an_alias_of_a_framing_header_is_dropped() {
    let attack = Attack::new();
    for alias in [
        "transfer_encoding: chunked",
        "Content_Length: 99",
        "transfer.encoding: chunked",
    ] {
        let text = format!("POST / HTTP/1.1\r\n{{auth}}{alias}\r\nContent-Length: 3\r\n\r\nabc");
        let mut client = attack.client();
        client.send(&attack.bytes(&text));
        client.response("POST").expect_status(200);
        let seen = attack.upstream().last();
        assert_eq!(seen.body, b"abc");
        for (name, _) in &seen.head.fields {
            let folded = name.to_ascii_lowercase().replace(['_', '.'], "-");
            assert!(folded != "transfer-encoding", "{alias}: {:?}", seen.head);
        }
        assert_eq!(seen.head.all("content-length"), ["3"]);
    }
    attack.calm();
}

#[test]
fn c5_a_length_that_is_no_plain_number_is_refused() {
    let attack = Attack::new();
    for lines in [
        "Content-Length: 2\r\nContent-Length: 3\r\n",
        "Content-Length: 2, 2\r\n",
        "Content-Length: 2,3\r\n",
        "Content-Length: +2\r\n",
        "Content-Length:\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length: 18446744073709551617\r\n",
        "Content-Length: 0x2\r\n",
        "Content-Length: 1_0\r\n",
        "Content-Length: 002\r\n",
        "Content-Length: 00\r\n",
        "Content-Length: 2 2\r\n",
        "Content-Length: 2.0\r\n",
        "Content-Length: \u{662}\r\n",
        "Content-Length : 2\r\n",
        "Content-Length: 2\r\ncontent-length: 02\r\n",
    ] {
        let text = format!("POST / HTTP/1.1\r\n{{auth}}{lines}\r\nab{SMUGGLED}");
        attack.refused(&text, 400, &["ambiguous_request", "malformed_request"]);
    }
    attack.calm();
}

#[test]
fn c5_the_same_length_twice_is_one() {
    let attack = Attack::new();
    let text = "POST / HTTP/1.1\r\n{auth}Content-Length: 2\r\nContent-Length: 2\r\n\r\nab";
    let mut client = attack.client();
    client.send(&attack.bytes(text));
    let response = client.response("POST").expect_status(200);
    let seen = attack.upstream().only();
    assert_eq!(seen.head.all("content-length"), ["2"]);
    assert_eq!(seen.body, b"ab");
    attack.audited(&response);
    drop(client);
    attack.calm();
}
