//! What goes through the tunnel, unchanged, of any size, in any pieces.

use crate::harness::{
    Recorder, Request, Scene, Token, WebSocket, accept, echo_messages, upgrade_headers,
};

fn scene() -> Scene {
    let upstream = Recorder::counting(|exchange| {
        echo_messages(exchange);
    });
    Scene::before(upstream, |builder| builder)
}

fn open(scene: &Scene) -> WebSocket {
    let token = Token::user("5").account("12").signed();
    let request = upgrade_headers(Request::get("/ws")).bearer(&token);
    WebSocket::open(scene.gateway.address(), &request)
}

fn pattern(length: usize) -> Vec<u8> {
    (0..=250).cycle().take(length).collect()
}

#[test]
fn a_message_of_16_mib_comes_back_whole() {
    let scene = scene();
    let mut socket = open(&scene);
    let sent = pattern(16 << 20);
    socket.send_binary(sent.clone());
    assert!(socket.receive() == sent, "the same bytes");
}

#[test]
fn fragments_come_back_as_one_message() {
    let scene = scene();
    let mut socket = open(&scene);
    let sent = pattern(300_000);
    let pieces: Vec<&[u8]> = sent.chunks(7_001).collect();
    socket.send_fragments(&pieces);
    assert!(socket.receive() == sent, "the same bytes");
    socket.send_fragments(&[b"", b"a", b"", b"b"]);
    assert_eq!(socket.receive(), b"ab");
}

#[test]
fn many_small_messages_keep_their_order() {
    let scene = scene();
    let mut socket = open(&scene);
    for number in 0..1000 {
        socket.send(&number.to_string());
    }
    for number in 0..1000 {
        assert_eq!(socket.receive(), number.to_string().into_bytes());
    }
}

#[test]
fn the_clients_close_reaches_the_upstream() {
    let (tell, heard) = std::sync::mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let upstream = Recorder::answering(move |exchange| {
        let code = echo_messages(exchange);
        let _ = tell.lock().expect("not poisoned").send(code);
    });
    let scene = Scene::before(upstream, |builder| builder);
    let mut socket = open(&scene);
    socket.echo("x");
    socket.close();
    heard
        .recv_timeout(crate::harness::PATIENCE)
        .expect("the close arrives");
    scene.upstream.wait_ended(1);
}

#[test]
fn the_upstreams_end_reaches_the_client() {
    let upstream = Recorder::answering(|exchange| {
        if let Some(mut socket) = accept(exchange, None) {
            let _ = socket.read();
        }
        exchange.close();
    });
    let scene = Scene::before(upstream, |builder| builder);
    let mut socket = open(&scene);
    socket.send("end");
    socket.ended();
}

#[test]
fn a_client_that_vanishes_ends_the_upstreams_side() {
    let scene = scene();
    let mut socket = open(&scene);
    socket.echo("x");
    drop(socket);
    scene.upstream.wait_ended(1);
}
