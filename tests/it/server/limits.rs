//! Limits and deadlines: each has its own answer, and nobody may wait for ever.

use std::time::{Duration, Instant};

use crate::harness::{
    Client, Exchange, Recorder, Request, Scene, Token, WebSocket, echo_messages, until,
    upgrade_headers,
};

fn member(target: &str) -> Request {
    Request::get(target).bearer(&Token::user("5").account("12").signed())
}

#[track_caller]
fn is_refused(scene: &Scene, request: &Request, status: u16) {
    let mut client = scene.gateway.client();
    let _ = client.try_send(&request.bytes());
    // The protocol layer may answer by itself, without a body.
    assert_eq!(client.head().status(), status);
}

#[test]
fn c24_too_many_or_too_large_headers_are_431() {
    let scene = Scene::new();
    let mut many = member("/");
    for number in 0..150 {
        many = many.header(&format!("X-{number}"), "1");
    }
    is_refused(&scene, &many, 431);
    is_refused(
        &scene,
        &member("/").header("X-Large", &"x".repeat(40_000)),
        431,
    );
    is_refused(
        &scene,
        &member("/").header("X-Huge", &"x".repeat(500_000)),
        431,
    );
    scene.upstream.assert_untouched();
    scene.passes(&member("/").header("X-Fair", &"x".repeat(4_000)));
}

/// However many they are, the answer has its reason and its audit line.
#[test]
fn c24_too_many_fields_have_their_reason() {
    for (limit, fields, size) in [
        (100, 101, "32KiB"),
        (100, 4000, "1MiB"),
        (300, 301, "32KiB"),
    ] {
        let scene = Scene::with(|builder| {
            let limits = format!("{{ headers: {limit}, header_size: {size} }}");
            builder.set("limits", &limits)
        });
        let with = |fields: usize| {
            // Host and Authorization are two of them.
            (2..fields).fold(member("/"), |request, number| {
                request.header(&format!("X-{number}"), "1")
            })
        };
        scene.refuses(&with(fields), 431, "headers_too_large");
        scene.upstream.assert_untouched();
        scene.passes(&with(limit));
    }
}

#[test]
fn a_long_target_is_414() {
    let scene = Scene::new();
    is_refused(&scene, &member(&format!("/{}", "x".repeat(9_000))), 414);
    is_refused(&scene, &member(&format!("/?{}", "x".repeat(9_000))), 414);
    scene.upstream.assert_untouched();
    scene.passes(&member(&format!("/{}", "x".repeat(7_000))));
}

#[test]
fn the_limits_are_the_configured_ones() {
    let scene = Scene::with(|builder| {
        builder.set(
            "limits",
            "{ header_size: 4KiB, headers: 12, uri: 100, body: 10 }",
        )
    });
    is_refused(
        &scene,
        &member("/").header("X-Large", &"x".repeat(4_096)),
        431,
    );
    let mut many = member("/");
    for number in 0..15 {
        many = many.header(&format!("X-{number}"), "1");
    }
    is_refused(&scene, &many, 431);
    is_refused(&scene, &member(&format!("/{}", "x".repeat(101))), 414);
    let post = Request::post("/", &[b'x'; 11]).bearer(&Token::user("5").account("12").signed());
    is_refused(&scene, &post, 413);
    scene.upstream.assert_untouched();
    let post = Request::post("/", &[b'x'; 10]).bearer(&Token::user("5").account("12").signed());
    scene.passes(&post);
}

#[test]
fn a_route_may_have_its_own_body_limit() {
    let scene = Scene::with(|builder| {
        builder.set("limits", "{ body: 10 }").set(
            "routes",
            "[ { match: { path: /upload }, access: member, upstream: app, limits: { body: 1KiB } },
  { match: { path: / }, access: member, upstream: app } ]",
        )
    });
    let post = |target: &str| {
        Request::post(target, &[b'x'; 500]).bearer(&Token::user("5").account("12").signed())
    };
    scene.refuses(&post("/"), 413, "body_too_large");
    scene.passes(&post("/upload"));
}

fn impatient() -> Scene {
    Scene::with(|builder| builder.set("limits", "{ header_timeout: 300ms }"))
}

#[track_caller]
fn is_put_out(mut client: Client) {
    let begun = Instant::now();
    let last = client.rest();
    let text = String::from_utf8_lossy(&last);
    assert!(
        text.is_empty() || text.contains(" 408 ") || text.contains(" 400 "),
        "{text}"
    );
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn c23_clients_that_keep_silent_are_put_out() {
    let scene = impatient();
    for sent in [
        "",
        "G",
        "PRI",
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: app.test\r\nX-A: ",
    ] {
        let mut client = scene.gateway.client();
        client.send(sent.as_bytes());
        is_put_out(client);
    }
    scene.upstream.assert_untouched();
}

#[test]
fn c23_a_second_request_that_stops_halfway_is_put_out_too() {
    let scene = impatient();
    let mut client = scene.gateway.client();
    client.exchange(&member("/")).expect_status(200);
    client.send(b"GET /second HTTP/1.1\r\nHost:");
    is_put_out(client);
    assert_eq!(scene.upstream.count(), 1);
}

#[test]
fn c23_bytes_one_by_one_do_not_stretch_the_deadline() {
    let scene = impatient();
    let mut client = scene.gateway.client();
    let begun = Instant::now();
    let mut sent = 0;
    while client.try_send(b"G").is_ok() && sent < 100 {
        sent += 1;
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    scene.upstream.assert_untouched();
}

#[test]
fn c23_a_body_that_stops_is_not_waited_for_for_ever() {
    let upstream = crate::harness::Recorder::start();
    let url = upstream.url();
    let scene = Scene::before(upstream, |builder| {
        builder.set(
            "upstreams",
            &format!(
                "[ {{ name: app, servers: [ \"{url}\" ], timeouts: {{ body_idle: 300ms }} }} ]"
            ),
        )
    });
    let mut client = scene.gateway.client();
    let request = Request::new("POST", "/")
        .bearer(&Token::user("5").account("12").signed())
        .header("Content-Length", "10");
    client.send(&request.head_bytes());
    client.send(b"hello");
    let head = client.try_head();
    assert!(
        head.as_ref()
            .map_or(true, |head| [408, 502, 504].contains(&head.status())),
        "{head:?}"
    );
    let seen = scene.upstream.wait(|seen| seen.complete.is_some());
    assert_eq!(seen.complete, Some(false));
}

#[test]
fn only_so_many_connections_are_served_at_once() {
    let scene = Scene::with(|builder| builder.set("limits", "{ connections: 8 }"));
    let mut clients: Vec<_> = (0..8).map(|_| scene.gateway.client()).collect();
    for client in &mut clients {
        client.exchange(&member("/")).expect_status(200);
    }
    let mut ninth = scene.gateway.client();
    let _ = ninth.try_send(&member("/ninth").bytes());
    let answered = !ninth.is_silent_for(Duration::from_millis(300));
    assert!(
        scene
            .upstream
            .requests()
            .iter()
            .all(|seen| seen.head.target() != "/ninth")
    );
    if answered {
        if let Ok(head) = ninth.try_head() {
            assert_eq!(head.status(), 503);
        }
        drop(clients);
        until("there is room again", || {
            let mut client = scene.gateway.client();
            client.try_send(&member("/").bytes()).is_ok()
                && client
                    .try_response("GET")
                    .is_ok_and(|response| response.status() == 200)
        });
    } else {
        // It waits for its turn, which comes.
        drop(clients);
        ninth.response("GET").expect_status(200);
    }
}

#[test]
fn an_open_websocket_keeps_its_place() {
    let upstream = Recorder::answering(|exchange: &mut Exchange<'_>| {
        if exchange.path() == "/ws" {
            echo_messages(exchange);
        } else {
            exchange.respond(200, &[], b"ok");
        }
    });
    let scene = Scene::before(upstream, |builder| {
        builder.set("limits", "{ connections: 2 }")
    });
    let open = || WebSocket::open(scene.gateway.address(), &upgrade_headers(member("/ws")));
    let (mut first, mut second) = (open(), open());
    first.echo("one");
    second.echo("two");
    let metrics = scene.gateway.admin(&Request::get("/metrics")).text();
    assert!(metrics.contains("countersign_connections 2\n"), "{metrics}");
    let mut third = scene.gateway.client();
    let _ = third.try_send(&member("/third").bytes());
    assert!(third.is_silent_for(Duration::from_millis(300)));
    first.echo("still open");
    drop(first);
    third.response("GET").expect_status(200);
    second.echo("still open");
}

#[test]
fn a_flood_of_connections_that_do_nothing_harms_nobody() {
    let scene = Scene::new();
    let idle: Vec<_> = (0..200).map(|_| scene.gateway.client()).collect();
    scene.passes(&member("/"));
    drop(idle);
    scene.passes(&member("/"));
}
