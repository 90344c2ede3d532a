//! Valid users: each takes no answer but its own.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;

use serde_json::{Value, json};

use super::{Run, USERS};
use crate::harness::{Client, H2Client, H2Request, Request, Token, WebSocket, upgrade_headers};

/// Requests or messages on one connection.
const EACH: usize = 60;

fn token(user: usize) -> String {
    let user = user % USERS + 1;
    Token::user(user.to_string())
        .account((1000 + user).to_string())
        .signed()
}

fn expect(run: &Run, user: usize, target: &str, length: usize, status: u16, body: &[u8]) {
    let user = user % USERS + 1;
    let own = json!({
        "target": target,
        "users": [user.to_string()],
        "accounts": [(1000 + user).to_string()],
        "folded": 0,
        "length": length,
        "complete": true,
    });
    let told: Value = serde_json::from_slice(body).unwrap_or_default();
    if status != 200 || told != own {
        let body = String::from_utf8_lossy(body);
        run.report(format!("{target} of user {user}: {status} {body}"));
    }
}

pub(super) fn http1(run: &Run, address: SocketAddr, number: usize) {
    let mut sequence = 0;
    while run.goes_on() {
        let mut client = Client::connect(address);
        for _ in 0..EACH {
            sequence += 1;
            let (user, target) = (number * 7 + sequence, format!("/{number}/{sequence}"));
            let body = vec![b'x'; sequence % 4 * 700];
            let request = match sequence % 4 {
                0 => Request::get(&target),
                1 => Request::new("PUT", &target).chunks(&[&body], &[]),
                _ => Request::post(&target, &body),
            };
            let request = request.bearer(&token(user));
            if let Err(error) = client.try_send(&request.bytes()) {
                return run.report(format!("{target}: cannot be sent: {error}"));
            }
            match client.try_response(&request.method) {
                Ok(answer) => {
                    expect(
                        run,
                        user,
                        &target,
                        body.len(),
                        answer.status(),
                        &answer.body,
                    );
                }
                Err(error) => return run.report(format!("{target}: no answer: {error}")),
            }
            run.http1.fetch_add(1, Relaxed);
            if !run.goes_on() {
                return;
            }
        }
    }
}

pub(super) fn http2(run: &Run, address: SocketAddr, number: usize) {
    let mut sequence = 0;
    while run.goes_on() {
        let client = H2Client::clear(address);
        for _ in 0..EACH {
            let asked: Vec<_> = (0..8)
                .map(|_| {
                    sequence += 1;
                    (sequence, format!("/h2/{number}/{sequence}"))
                })
                .collect();
            let request = |(user, target): &(usize, String)| {
                H2Request::get(&format!("app.test{target}")).bearer(&token(*user))
            };
            let answers = client.send_all(asked.iter().map(request).collect());
            for ((user, target), answer) in asked.iter().zip(answers) {
                match answer {
                    Ok(answer) => expect(run, *user, target, 0, answer.status, &answer.body),
                    Err(error) => return run.report(format!("{target}: no answer: {error}")),
                }
                run.http2.fetch_add(1, Relaxed);
            }
            if !run.goes_on() {
                return;
            }
        }
    }
}

pub(super) fn websockets(run: &Run, address: SocketAddr, number: usize) {
    let mut sequence = 0;
    while run.goes_on() {
        sequence += 1;
        let user = number + sequence;
        let request = upgrade_headers(Request::get("/ws").bearer(&token(user)));
        let mut socket = match WebSocket::try_open(address, &request) {
            Ok((socket, _)) => socket,
            Err(response) => return run.report(format!("handshake: {}", response.text())),
        };
        for message in 0..EACH {
            let wanted = format!("{}:{message}", user % USERS + 1);
            let sent = socket.try_send(&message.to_string());
            let answer = socket.try_receive().unwrap_or_default();
            if !sent || answer != wanted.as_bytes() {
                let answer = String::from_utf8_lossy(&answer);
                return run.report(format!("message {wanted} was answered {answer:?}"));
            }
            run.messages.fetch_add(1, Relaxed);
            if !run.goes_on() {
                return;
            }
        }
        socket.close();
    }
}
