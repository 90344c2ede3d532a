//! Responses: streamed as they come, whole or visibly broken.

use std::io;

use crate::harness::{Exchange, Gate, PATIENCE, Recorder, Request, Scene, Token};

fn get(target: &str) -> Request {
    Request::get(target).bearer(&Token::user("5").account("12").signed())
}

fn before(handler: impl Fn(&mut Exchange<'_>) + Send + Sync + 'static) -> Scene {
    Scene::before(Recorder::answering(handler), |builder| builder)
}

#[test]
fn events_arrive_one_by_one() {
    let (tell, told) = std::sync::mpsc::channel::<()>();
    let told = std::sync::Mutex::new(told);
    let scene = before(move |exchange| {
        exchange.begin_chunked(&[("Content-Type", "text/event-stream")]);
        for number in 0..5 {
            exchange.send_chunk(format!("data: {number}\n\n").as_bytes());
            // The next event is made only once the client has this one.
            let _ = told.lock().expect("not poisoned").recv_timeout(PATIENCE);
        }
        exchange.end_chunks();
    });
    let mut client = scene.gateway.client();
    client.send(&get("/events").bytes());
    let head = client.head();
    assert_eq!(head.status(), 200);
    assert_eq!(head.get("content-type"), Some("text/event-stream"));
    for number in 0..5 {
        let mut event = Vec::new();
        while !event.ends_with(b"\n\n") {
            event.extend(client.chunk().expect("an event"));
        }
        assert_eq!(
            String::from_utf8_lossy(&event),
            format!("data: {number}\n\n")
        );
        tell.send(()).expect("the upstream waits");
    }
    assert!(client.chunk().expect("the end").is_empty());
}

#[test]
fn a_response_of_any_framing_comes_whole() {
    let data: Vec<u8> = (0..300_000_u32).map(|index| (index % 249) as u8).collect();
    let sent = data.clone();
    let scene = before(move |exchange| match exchange.path() {
        "/length" => exchange.respond(200, &[], &sent),
        "/chunked" => {
            exchange.begin_chunked(&[]);
            for piece in sent.chunks(10_007) {
                exchange.send_chunk(piece);
            }
            exchange.end_chunks();
        }
        _ => {
            exchange.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
            exchange.send(&sent);
            exchange.close();
        }
    });
    for path in ["/length", "/chunked", "/close"] {
        let response = scene.gateway.send(&get(path)).expect_status(200);
        assert!(response.end.complete, "{path}");
        assert!(response.body == data, "{path}");
    }
}

#[test]
fn c19_a_truncated_response_never_looks_complete() {
    let scene =
        before(|exchange| {
            match exchange.path() {
                "/length" => exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf"),
                "/chunk" => exchange
                    .send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf"),
                _ => exchange
                    .send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
            };
            exchange.close();
        });
    for path in ["/length", "/chunk", "/last-chunk"] {
        let mut client = scene.gateway.client();
        client.send(&get(path).bytes());
        match client.try_response("GET") {
            Ok(response) => assert!(!response.end.complete, "{path}: {response:?}"),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof),
        }
    }
}

#[test]
fn answers_without_a_body_have_none_and_the_connection_goes_on() {
    let scene = before(|exchange| match exchange.path() {
        "/204" => exchange.respond(204, &[], b""),
        "/304" => exchange.respond(304, &[("ETag", "\"x\""), ("Content-Length", "7")], b""),
        _ => exchange.respond(200, &[], b"seventy"),
    });
    let mut client = scene.gateway.client();
    for _ in 0..2 {
        let response = client.exchange(&get("/204"));
        assert_eq!((response.status(), response.body.len()), (204, 0));
        assert_eq!(response.header("content-length"), None);
        let response = client.exchange(&get("/304"));
        assert_eq!((response.status(), response.body.len()), (304, 0));
        let head = Request::new("HEAD", "/").bearer(&Token::user("5").account("12").signed());
        let response = client.exchange(&head);
        assert_eq!((response.status(), response.body.len()), (200, 0));
        assert_eq!(response.header("content-length"), Some("7"));
        assert_eq!(client.exchange(&get("/")).text(), "seventy");
    }
}

#[test]
fn a_client_that_goes_away_ends_the_upstreams_work() {
    let gate = Gate::default();
    let scene = before({
        let gate = gate.clone();
        move |exchange| {
            exchange.begin_chunked(&[]);
            exchange.send_chunk(b"first");
            gate.open();
            exchange.wait_for_end();
        }
    });
    let mut client = scene.gateway.client();
    client.send(&get("/long").bytes());
    client.head();
    assert_eq!(client.chunk().expect("a chunk"), b"first");
    gate.pass();
    drop(client);
    scene.upstream.wait_ended(1);
}

#[test]
fn c13_interim_answers_do_not_end_the_wait() {
    let scene = before(|exchange| {
        exchange.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n");
        exchange.send(b"HTTP/1.1 102 Processing\r\n\r\n");
        exchange.respond(200, &[], b"at last");
    });
    let response = scene.gateway.send(&get("/"));
    assert_eq!(response.text(), "at last");
}

#[test]
fn a_long_answer_ends_without_its_last_chunk_when_the_user_moves() {
    let scene = before(|exchange| {
        exchange.begin_chunked(&[("Content-Type", "text/event-stream")]);
        exchange.send_chunk(b"data: 1\n\n");
        exchange.wait_for_end();
    });
    let mut client = scene.gateway.client();
    client.send(&get("/events").bytes());
    client.head();
    assert_eq!(client.chunk().expect("an event"), b"data: 1\n\n");
    scene
        .gateway
        .move_users("users: [ { user: \"5\", account: \"14\", active: true } ]\n");
    match client.chunk() {
        Ok(data) => panic!("the stream went on or ended cleanly: {data:?}"),
        Err(error) => assert_ne!(error.kind(), io::ErrorKind::WouldBlock, "still open"),
    }
    scene.upstream.wait_ended(1);
}

#[test]
fn c11_bytes_behind_a_response_are_not_the_next_ones() {
    let scene = before(|exchange| {
        let target = exchange.head.target().to_owned();
        if target != "/extra" {
            exchange.respond(200, &[], target.as_bytes());
            return;
        }
        // In one write, so that they are there when the response has been read: what comes after
        // the next request was sent cannot be told from its answer in HTTP/1.1.
        exchange.send(
            b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n/extra\
              HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen",
        );
    });
    for round in 0..20 {
        let response = scene.gateway.send(&get("/extra"));
        assert_eq!(response.text(), "/extra");
        let own = format!("/own/{round}");
        let response = scene.gateway.send(&get(&own));
        assert_eq!(response.text(), own);
    }
}
