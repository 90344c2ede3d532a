//! The harness itself, without a gateway in between: what the tests lean on holds.

use super::*;

#[test]
fn the_recorder_keeps_every_byte() {
    let upstream = Recorder::start();
    let mut client = Client::connect(upstream.address());
    let request = Request::post("/x", b"hello").header("X-Auth-User-Id", "5");
    let answer = client.exchange(&request).expect_status(200).json();
    assert_eq!(answer["user"], "5");
    let chunked = Request::new("POST", "/y").chunks(&[b"ab", b"c"], &[("X-Sum", "1")]);
    client.exchange(&chunked).expect_status(200);
    let seen = upstream.requests();
    assert_eq!(upstream.raw(0), [request.bytes(), chunked.bytes()].concat());
    assert_eq!(seen[0].body, b"hello");
    assert_eq!(seen[1].body, b"abc");
    assert_eq!(seen[1].trailers, [("X-Sum".to_owned(), "1".to_owned())]);
    assert_eq!(seen[1].complete, Some(true));
    assert_eq!((upstream.count(), upstream.connections()), (2, 1));
    drop(client);
    upstream.wait_ended(1);
}

#[test]
fn half_a_body_is_seen_as_half() {
    let upstream = Recorder::start();
    let mut client = Client::connect(upstream.address());
    client.send(
        &Request::new("POST", "/")
            .header("Content-Length", "9")
            .head_bytes(),
    );
    client.send(b"half");
    upstream.wait(|seen| seen.body_length == 4);
    client.abort();
    let seen = upstream.wait(|seen| seen.complete.is_some());
    assert_eq!(seen.complete, Some(false));
}

#[test]
fn half_an_answer_is_seen_as_half() {
    let upstream = Recorder::answering(|exchange| {
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
        exchange.close();
    });
    let response = Client::connect(upstream.address()).exchange(&Request::get("/"));
    assert!(!response.end.complete);
    assert_eq!(response.body, b"half");
}

#[test]
fn websockets_echo() {
    let upstream = Recorder::counting(|exchange| {
        echo_messages(exchange);
    });
    let request = upgrade_headers(Request::get("/"));
    let mut socket = WebSocket::open(upstream.address(), &request);
    socket.echo("hello");
    socket.send_fragments(&[b"a", b"b", b"c"]);
    assert_eq!(socket.receive(), b"abc");
    socket.send_binary(vec![1; 16 << 20]);
    assert_eq!(socket.receive().len(), 16 << 20);
    socket.close();
    upstream.wait_ended(1);
}

#[test]
fn http2_echoes_with_trailers() {
    let upstream = H2Upstream::start();
    let address = upstream
        .url()
        .trim_start_matches("http://")
        .parse()
        .expect("an address");
    let client = H2Client::clear(address);
    let request = H2Request::new("POST", "app.test/x")
        .data(b"hello")
        .trailer("x-sum", "1");
    let response = client.send(&request).expect("a response");
    assert_eq!(response.body, b"hello");
    assert_eq!(response.trailers.expect("trailers")["grpc-status"], "0");
    let seen = upstream.requests().pop().expect("a request");
    assert_eq!(seen.trailers.expect("trailers")["x-sum"], "1");
    let all = client.send_all(vec![request.clone(), request]);
    assert!(all.iter().all(Result::is_ok));
    client.cancel(&H2Request::new("POST", "app.test/y"));
}

#[test]
fn tokens_verify_with_another_library() {
    use jsonwebtoken::{Algorithm, DecodingKey, crypto::verify};
    let of = |algorithm: &'static str| (Key::generate(algorithm).with_kid("k"), algorithm);
    let keys = ["RS256", "PS256", "ES256", "ES384", "EdDSA"].map(of);
    for (key, algorithm) in &keys {
        let token = Token::user("5").signed_by(key);
        let (message, signature) = token.rsplit_once('.').expect("a JWS");
        let jwk = serde_json::from_value(key.jwk()).expect("a JWK");
        let by_jwk = DecodingKey::from_jwk(&jwk).expect("a key");
        let pem = key.public_pem();
        let by_pem = match &algorithm[..2] {
            "ES" => DecodingKey::from_ec_pem(pem.as_bytes()),
            "Ed" => DecodingKey::from_ed_pem(pem.as_bytes()),
            _ => DecodingKey::from_rsa_pem(pem.as_bytes()),
        }
        .expect("a key");
        let algorithm: Algorithm = algorithm.parse().expect("known");
        for decoding in [by_jwk, by_pem] {
            let verified = verify(signature, message.as_bytes(), &decoding, algorithm);
            assert!(verified.expect("readable"), "{algorithm:?}");
        }
        assert!(key.private_pem().contains("PRIVATE KEY"));
    }
}

#[test]
fn postgres_serves_each_test_its_own_database() {
    let database = Database::with("CREATE TABLE x (id bigint); INSERT INTO x VALUES (5)");
    assert_eq!(database.run("SELECT id FROM x").trim(), "5");
    let mut session = database.session();
    session.run("BEGIN");
    session.run("SELECT pg_advisory_xact_lock(7)");
    session.run("COMMIT");
    let other = Database::with("");
    assert_eq!(
        other
            .run("SELECT count(*) FROM pg_tables WHERE tablename = 'x'")
            .trim(),
        "0"
    );
    assert!(other.url().contains("127.0.0.1"));
}

#[test]
fn postgres_stops_and_starts_again() {
    let database = Database::alone_with("CREATE TABLE x (id bigint); INSERT INTO x VALUES (5)");
    database.stop();
    database.start_again();
    assert_eq!(database.run("SELECT id FROM x").trim(), "5");
}
