//! The identity storm: 64 clients as 500 users of four tenants that share their ids, over HTTP/1.1,
//! HTTP/2 and WebSockets at once, with cancelled requests, slow answers, and users being moved all
//! the while. Whoever the upstream is told is always the caller, and once a move is acknowledged
//! never the caller of before.

mod clients;
mod model;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::harness::{Builder, Gateway, Recorder};
use model::Model;

const HTTP1_CLIENTS: usize = 40;
const HTTP2_CLIENTS: usize = 12;
const WEBSOCKET_CLIENTS: usize = 12;

/// How many requests and messages the upstream must have seen.
fn wanted() -> u64 {
    let default = if cfg!(debug_assertions) {
        20_000
    } else {
        200_000
    };
    let set = std::env::var("COUNTERSIGN_STORM_REQUESTS").ok();
    set.map_or(default, |set| set.parse().expect("a number"))
}

fn gateway(model: &Arc<Model>, upstream: &Recorder) -> Gateway {
    Builder::new()
        .upstream(upstream)
        .users(&model.users_file())
        .set(
            "listeners",
            "- address: \"127.0.0.1:{{port}}\"\n- { address: \"127.0.0.1:{{port2}}\", h2c: true }",
        )
        .set("tenants", "sources: [ host: \"{tenant}.example.test\" ]")
        .set(
            "directory",
            "source: { file: { path: users.yaml } }\ncache: { ttl: 1h, ttl_without_push: 1h }",
        )
        .set("audit", "{ sink: { file: audit.log, rotate: 8MiB } }")
        .start()
}

#[test]
fn identities_are_never_mixed_and_moves_count_at_once() {
    let model = Arc::new(Model::new(wanted()));
    let upstream = {
        let model = Arc::clone(&model);
        Recorder::forgetful(move |exchange| model.serve(exchange))
    };
    let gateway = gateway(&model, &upstream);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let mut clients = Vec::new();
        for number in 0..HTTP1_CLIENTS {
            let (model, address) = (&model, gateway.address());
            clients.push(scope.spawn(move || clients::http1(model, address, number)));
        }
        for number in 0..HTTP2_CLIENTS {
            let (model, address) = (&model, gateway.second_address());
            clients.push(scope.spawn(move || clients::http2(model, address, number)));
        }
        for number in 0..WEBSOCKET_CLIENTS {
            let (model, address) = (&model, gateway.address());
            clients.push(scope.spawn(move || clients::websockets(model, address, number)));
        }
        move_users(&model, &gateway);
        for client in clients {
            client.join().expect("no client fails");
        }
    });
    let took = begun.elapsed().as_secs_f64();
    let seen = model.seen();
    println!(
        "identity storm: {seen} requests and messages reached the upstream in {took:.1} s \
         ({} over HTTP/1.1, {} over HTTP/2, {} on WebSockets), {} moves of users acknowledged, \
         {} streams ended by moves, peak memory {} MiB",
        model.http1.get(),
        model.http2.get(),
        model.websocket.get(),
        model.moves.get(),
        model.ended.get(),
        gateway.peak_memory() >> 20,
    );
    assert_eq!(model.wrong(), Vec::<String>::new());
    assert!(seen >= wanted());
    assert!(
        model.moves.get() > 0 && model.ended.get() > 0,
        "nothing was tried"
    );
}

/// Moves users about until the clients are done.
fn move_users(model: &Model, gateway: &Gateway) {
    let mut round = 0;
    while !model.done() {
        let moved = model.announce(round);
        gateway.replace_users(&model.users_file());
        if round % 2 == 0 {
            gateway.invalidate(&serde_json::json!({}));
        } else {
            for (tenant, user) in moved {
                gateway.invalidate(&serde_json::json!({ "tenant": tenant, "user": user }));
            }
        }
        model.acknowledge();
        round += 1;
        // Lets some requests through between two moves; nothing waits for this.
        std::thread::sleep(Duration::from_millis(20));
    }
}
