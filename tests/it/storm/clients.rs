//! The three kinds of clients: each asks as one user after the other, and takes no answer but its
//! own.

use std::net::SocketAddr;

use super::model::Model;
use crate::harness::{Client, H2Client, H2Request, WebSocket, upgrade_headers};

/// One request in so many is given up as soon as it is sent.
const CANCELLED: usize = 50;
/// Streams at once on one HTTP/2 connection.
const STREAMS: usize = 16;
/// Messages on one WebSocket.
const MESSAGES: usize = 40;

/// Numbers in no particular order, the same in every run.
struct Dice(usize);

impl Dice {
    fn roll(&mut self) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
}

fn expect_own(model: &Model, probe: &str, status: u16, body: &[u8]) {
    let own = format!("{{\"probe\":\"{probe}\"}}");
    if status != 200 || body != own.as_bytes() {
        let body = String::from_utf8_lossy(body);
        model.report(format!("probe {probe} was answered {status} {body}"));
    }
}

pub(super) fn http1(model: &Model, address: SocketAddr, number: usize) {
    let mut dice = Dice(number);
    let mut client = Client::connect(address);
    while !model.done() {
        let probe = model.probe(dice.roll());
        let request = model.request(probe, "1");
        if dice.roll().is_multiple_of(CANCELLED) {
            client.send(&request.bytes());
            client.abort();
            client = Client::connect(address);
            continue;
        }
        let response = client.exchange(&request);
        expect_own(model, &probe.to_string(), response.status(), &response.body);
    }
}

pub(super) fn http2(model: &Model, address: SocketAddr, number: usize) {
    let mut dice = Dice(1_000 + number);
    let client = H2Client::clear(address);
    while !model.done() {
        let probes: Vec<_> = (0..STREAMS).map(|_| model.probe(dice.roll())).collect();
        let request = |probe: &super::model::Probe| {
            let (host, token) = model.place(*probe);
            H2Request::get(&format!("{host}/"))
                .bearer(&token)
                .header("x-probe", &probe.to_string())
                .header("x-protocol", "2")
        };
        let responses = client.send_all(probes.iter().map(request).collect());
        for (probe, response) in probes.iter().zip(responses) {
            let response = response.expect("a response");
            expect_own(model, &probe.to_string(), response.status, &response.body);
        }
        let cancelled = model.probe(dice.roll());
        client.cancel(&request(&cancelled));
    }
}

pub(super) fn websockets(model: &Model, address: SocketAddr, number: usize) {
    let mut dice = Dice(2_000 + number);
    while !model.done() {
        let probe = model.probe(dice.roll());
        let request = upgrade_headers(model.request(probe, "ws"));
        let mut socket = match WebSocket::try_open(address, &request) {
            Ok((socket, _)) => socket,
            Err(response) => {
                let text = response.text();
                model.report(format!("handshake {probe}: {} {text}", response.status()));
                return;
            }
        };
        for _ in 0..MESSAGES {
            let own = model.probe(probe.caller).to_string();
            if !socket.try_send(&own) {
                model.ended.add();
                break;
            }
            match socket.try_receive() {
                Some(answer) if answer == own.as_bytes() => {}
                Some(answer) => {
                    let answer = String::from_utf8_lossy(&answer);
                    model.report(format!("message {own} was answered {answer}"));
                }
                None => {
                    model.ended.add();
                    break;
                }
            }
        }
    }
}
