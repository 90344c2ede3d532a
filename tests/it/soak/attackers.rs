//! Attackers: each does one thing again and again, and never gets further than it may.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use serde_json::json;

use super::Run;
use crate::harness::{
    Client, H2Client, H2Request, Key, Request, Token, WebSocket, sign_parts, upgrade_headers,
};

/// The gateway's two listeners: HTTP/1.1, and HTTP/2 in clear text as well.
type Attack = fn(&Run, SocketAddr, SocketAddr);

pub(super) const ALL: [Attack; 9] = [
    bad_tokens,
    unknown_users,
    spoofed_headers,
    smuggled_bytes,
    slow_clients,
    abandoned_requests,
    aborted_uploads,
    reset_streams,
    dropped_sockets,
];

/// Between two attacks of one kind: enough to be a nuisance, and to leave the machine to others.
const PAUSE: Duration = Duration::from_millis(if cfg!(debug_assertions) { 10 } else { 2 });
/// Silent connections at once.
const SLOW: usize = 60;

/// Seconds that a token lives which is made once: longer than any run.
const LASTING: i64 = 24 * 3600;

fn lasting(user: &str, account: &str) -> Token {
    Token::user(user).account(account).expires_in(LASTING)
}

/// Does something until the run is over.
fn again(run: &Run, mut attack: impl FnMut(u64)) {
    let mut number = 0;
    while run.goes_on() {
        number += 1;
        attack(number);
        run.attacks.fetch_add(1, Relaxed);
        std::thread::sleep(PAUSE);
    }
}

/// Sends a request that must be refused, over a connection of its own.
fn refused(run: &Run, address: SocketAddr, request: &Request, what: &str) {
    let Ok(mut client) = Client::try_connect(address) else {
        return run.report(format!("{what}: no connection"));
    };
    let _ = client.try_send(&request.bytes());
    match client.try_response(&request.method) {
        Ok(answer) if (400..500).contains(&answer.status()) => {}
        Ok(answer) => run.report(format!("{what}: {} {}", answer.status(), answer.text())),
        Err(error) => run.report(format!("{what}: no answer: {error}")),
    }
}

fn bad_tokens(run: &Run, address: SocketAddr, _: SocketAddr) {
    let other = Key::secret("HS256", "another secret, 0123456789abcdef0123456789abcdef");
    let claims = lasting("1", "1001").claims().to_string();
    let mut kinds = vec![
        String::new(),
        "x".to_owned(),
        "a.b.c".to_owned(),
        "é.e30.".to_owned(),
        ".".repeat(4_000),
        "A".repeat(12_000),
        Token::user("1").account("1001").expires_in(-60).signed(),
        lasting("1", "1001").signed_by(&other),
        sign_parts(r#"{"alg":"none"}"#, &claims, &other),
        sign_parts(r#"{"alg":"HS256","crit":["exp"]}"#, &claims, &other),
    ];
    let valid = lasting("1", "1001").signed();
    for at in [3, valid.len() / 2, valid.len() - 3] {
        let mut changed = valid.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        kinds.push(String::from_utf8(changed).expect("ASCII"));
    }
    again(run, |number| {
        let token = match number % 3 {
            // A key id that nobody has: nothing is fetched for it.
            0 => sign_parts(
                &format!(r#"{{"alg":"HS256","kid":"{number}","jku":"http://127.0.0.1:1/"}}"#),
                &claims,
                &other,
            ),
            _ => kinds[usize::try_from(number).expect("small") % kinds.len()].clone(),
        };
        refused(
            run,
            address,
            &Request::get("/bad").bearer(&token),
            "a bad token",
        );
    });
}

fn unknown_users(run: &Run, address: SocketAddr, _: SocketAddr) {
    again(run, |number| {
        let token = Token::user(format!("stranger-{number}"))
            .expires_in(LASTING)
            .signed();
        refused(
            run,
            address,
            &Request::get("/").bearer(&token),
            "an unknown user",
        );
    });
}

fn spoofed_headers(run: &Run, address: SocketAddr, _: SocketAddr) {
    let token = lasting("3", "1003").signed();
    let request = Request::get("/spoofed")
        .bearer(&token)
        .header("X-Auth-User-Id", "1")
        .header("x_auth_user_id", "1")
        .header("X-Auth_Account-Id", "1001")
        .header("X.Auth.User.Id", "1")
        .header("Connection", "X-Auth-User-Id, Authorization, Host")
        .header("X-Forwarded-User", "1")
        .header("Remote-User", "1");
    again(run, |_| {
        let Ok(mut client) = Client::try_connect(address) else {
            return run.report("spoofed headers: no connection".to_owned());
        };
        let _ = client.try_send(&request.bytes());
        let Ok(answer) = client.try_response("GET") else {
            return run.report("spoofed headers: no answer".to_owned());
        };
        let told = answer.json();
        let own = told["users"] == json!(["3"]) && told["accounts"] == json!(["1003"]);
        if answer.status() != 200 || !own || told["folded"] != 0 {
            run.report(format!("spoofed headers: {told}"));
        }
    });
}

fn smuggled_bytes(run: &Run, address: SocketAddr, _: SocketAddr) {
    let token = lasting("4", "1004").signed();
    let head = |fields: &str| {
        format!(
            "POST /s HTTP/1.1\r\nHost: app.test\r\nAuthorization: Bearer {token}\r\n{fields}\r\n"
        )
    };
    let hidden = "GET /hidden HTTP/1.1\r\nHost: app.test\r\n\r\n";
    let kinds = [
        head("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\nG" + hidden,
        head("Transfer-Encoding: chunked\r\nContent-Length: 6\r\n") + "0\r\n\r\n" + hidden,
        head("Transfer-Encoding: xchunked\r\n") + "0\r\n\r\n" + hidden,
        head("Transfer-Encoding: gzip, chunked\r\n") + "0\r\n\r\n" + hidden,
        head("Content-Length: 1\r\nContent-Length: 2\r\n") + "ab" + hidden,
        head("Content-Length: +3\r\n") + "abc" + hidden,
        head("Transfer-Encoding: chunked\r\n") + "FFFFFFFFFFFFFFFFF\r\n" + hidden,
        head("Transfer-Encoding: chunked\r\n") + "3\r\nabcdef\r\n0\r\n\r\n" + hidden,
        head("Host: other.test\r\n") + hidden,
        head("X: a\n\nGET /hidden HTTP/1.1\r\n") + hidden,
        format!("GET /a#b HTTP/1.1\r\nHost: app.test\r\n\r\n{hidden}"),
        format!("GET /a/../b HTTP/1.1\r\nHost: app.test\r\n\r\n{hidden}"),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "CONNECT app.test:80 HTTP/1.1\r\nHost: app.test\r\n\r\n".to_owned() + hidden,
        "\0\u{1}\u{2}".repeat(2_000),
    ];
    again(run, |number| {
        let Ok(mut client) = Client::try_connect(address) else {
            return run.report("smuggled bytes: no connection".to_owned());
        };
        let kind = &kinds[usize::try_from(number).expect("small") % kinds.len()];
        let _ = client.try_send(kind.as_bytes());
        if let Ok(answer) = client.try_response("POST")
            && answer.status() == 200
        {
            run.report(format!("{kind:?} was answered {}", answer.text()));
        }
        client.abort();
    });
}

/// Connections that say nothing, half a head, or one byte of a body in a long while.
fn slow_clients(run: &Run, address: SocketAddr, second: SocketAddr) {
    let token = lasting("5", "1005").signed();
    let body = format!(
        "POST /slow HTTP/1.1\r\nHost: app.test\r\nAuthorization: Bearer {token}\r\nContent-Length: 9\r\n\r\nx"
    );
    let kinds: [&[u8]; 5] = [
        b"",
        b"G",
        b"GET / HTTP/1.1\r\nHost: app",
        body.as_bytes(),
        b"PRI * HT",
    ];
    let mut held = Vec::new();
    again(run, |number| {
        let number = usize::try_from(number).expect("small");
        let place = if number.is_multiple_of(2) {
            address
        } else {
            second
        };
        if let Ok(mut client) = Client::try_connect(place) {
            let _ = client.try_send(kinds[number % kinds.len()]);
            held.push((client, Instant::now()));
        }
        if held.len() >= SLOW {
            // The oldest has been given up, or will be.
            let (mut client, since) = held.remove(0);
            let left = Duration::from_secs(8).saturating_sub(since.elapsed());
            if !left.is_zero() && run.goes_on() {
                std::thread::sleep(Duration::from_millis(50).min(left));
            }
            let _ = client.try_send(b"x");
        }
    });
}

fn abandoned_requests(run: &Run, address: SocketAddr, _: SocketAddr) {
    let token = lasting("6", "1006").signed();
    let request = Request::get("/abandoned").bearer(&token).bytes();
    again(run, |number| {
        let Ok(mut client) = Client::try_connect(address) else {
            return run.report("abandoned requests: no connection".to_owned());
        };
        for _ in 0..=number % 5 {
            let _ = client.try_send(&request);
        }
        client.abort();
    });
}

fn aborted_uploads(run: &Run, address: SocketAddr, _: SocketAddr) {
    let token = lasting("7", "1007").signed();
    let chunked = Request::new("POST", "/upload")
        .bearer(&token)
        .header("Transfer-Encoding", "chunked");
    let counted = Request::new("PUT", "/upload")
        .bearer(&token)
        .header("Content-Length", "1000000");
    again(run, |number| {
        let Ok(mut client) = Client::try_connect(address) else {
            return run.report("aborted uploads: no connection".to_owned());
        };
        if number % 2 == 0 {
            let _ = client.try_send(&chunked.head_bytes());
            let _ = client.try_send(b"400\r\nhalf of it");
        } else {
            let _ = client.try_send(&counted.head_bytes());
            let _ = client.try_send(&vec![b'x'; 30_000]);
        }
        client.abort();
    });
}

fn reset_streams(run: &Run, _: SocketAddr, second: SocketAddr) {
    let token = lasting("8", "1008").signed();
    let request = H2Request::new("POST", "app.test/reset").bearer(&token);
    again(run, |_| {
        let client = H2Client::clear(second);
        for _ in 0..100 {
            if !client.try_cancel(&request) {
                break;
            }
        }
    });
}

fn dropped_sockets(run: &Run, address: SocketAddr, _: SocketAddr) {
    let token = lasting("9", "1009").signed();
    let good = upgrade_headers(Request::get("/ws").bearer(&token));
    let stranger = upgrade_headers(Request::get("/ws").bearer("x"));
    again(run, |number| {
        if number % 2 == 0 {
            if WebSocket::try_open(address, &stranger).is_ok() {
                run.report("a WebSocket without a credential".to_owned());
            }
        } else if let Ok((mut socket, _)) = WebSocket::try_open(address, &good) {
            let _ = socket.try_send("gone");
        }
    });
}
