//! gRPC's shape: bodies both ways, trailers at the end, over HTTP/2 from end to end.

use crate::harness::{
    Builder, Exchange, Gateway, H2Client, H2Request, H2Upstream, Recorder, Scene, Token,
};

const H2C: &str = "[ { address: \"127.0.0.1:{{port}}\", h2c: true } ]";

fn gateway(upstream: &H2Upstream) -> Gateway {
    Builder::new()
        .set("listeners", H2C)
        .set(
            "upstreams",
            &format!(
                "[ {{ name: app, servers: [ \"{}\" ], protocol: h2c }} ]",
                upstream.url()
            ),
        )
        .start()
}

fn call(token: &str) -> H2Request {
    H2Request::new("POST", "app.test/pkg.Service/Method")
        .bearer(token)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
}

#[test]
fn a_grpc_call_goes_through_with_its_trailers() {
    let upstream = H2Upstream::start();
    let gateway = gateway(&upstream);
    let client = H2Client::clear(gateway.address());
    let token = Token::user("5").account("12").signed();
    let request = call(&token)
        .data(b"\0\0\0\0\x05hello")
        .data(b"\0\0\0\0\x01!");
    let response = client.send(&request).expect("a response");
    assert_eq!(response.status, 200);
    assert_eq!(response.body, b"\0\0\0\0\x05hello\0\0\0\0\x01!");
    let trailers = response.trailers.expect("trailers");
    assert_eq!(trailers["grpc-status"], "0");
    assert!(!trailers.contains_key("x-auth-user-id"), "{trailers:?}");
    let seen = upstream.requests().pop().expect("a request");
    assert_eq!(seen.method, "POST");
    assert_eq!(seen.uri.path(), "/pkg.Service/Method");
    assert_eq!(seen.headers["x-auth-user-id"], "5");
    assert_eq!(seen.headers["te"], "trailers");
    assert_eq!(seen.headers.get_all("x-auth-user-id").iter().count(), 1);
}

#[test]
fn b8_trailers_of_the_client_carry_no_identity() {
    let upstream = H2Upstream::start();
    let gateway = gateway(&upstream);
    let client = H2Client::clear(gateway.address());
    let token = Token::user("5").account("12").signed();
    let request = call(&token)
        .data(b"x")
        .trailer("x-auth-user-id", "evil")
        .trailer("x_auth_user_id", "evil")
        .trailer("authorization", "evil");
    let response = client.send(&request).expect("a response");
    assert_eq!(response.status, 200);
    let seen = upstream.requests().pop().expect("a request");
    let trailers = seen.trailers.unwrap_or_default();
    assert!(
        trailers.values().all(|value| value != "evil"),
        "{trailers:?}"
    );
}

#[test]
fn a_refused_call_is_a_problem_and_reaches_nobody() {
    let upstream = H2Upstream::start();
    let gateway = gateway(&upstream);
    let client = H2Client::clear(gateway.address());
    let request = H2Request::new("POST", "app.test/pkg.Service/Method").data(b"x");
    let response = client.send(&request).expect("a response");
    assert_eq!(response.status, 401);
    assert_eq!(response.json()["reason"], "credential_missing");
    assert!(upstream.requests().is_empty());
}

#[test]
fn many_calls_share_an_upstream_connection_without_mixing() {
    let upstream = H2Upstream::start();
    let gateway = gateway(&upstream);
    let client = H2Client::clear(gateway.address());
    let five = Token::user("5").account("12").signed();
    let seven = Token::user("7").account("14").signed();
    let requests = (0..100_u32).map(|number| {
        let token = if number % 2 == 0 { &five } else { &seven };
        call(token).data(format!("{number}").as_bytes())
    });
    for (number, response) in client.send_all(requests.collect()).into_iter().enumerate() {
        let response = response.expect("a response");
        assert_eq!(response.body, number.to_string().into_bytes());
    }
    for seen in upstream.requests() {
        let number: u32 = String::from_utf8_lossy(&seen.body)
            .parse()
            .expect("a number");
        let user = if number.is_multiple_of(2) { "5" } else { "7" };
        assert_eq!(seen.headers["x-auth-user-id"], user);
    }
}

#[test]
fn trailers_of_an_http1_upstream_reach_an_http2_client() {
    let upstream = Recorder::answering(|exchange: &mut Exchange<'_>| {
        exchange.begin_chunked(&[("Trailer", "X-Sum, X-Auth-User-Id")]);
        exchange.send_chunk(b"data");
        exchange.send(b"0\r\nX-Sum: 42\r\nX-Auth-User-Id: forged\r\n\r\n");
    });
    let scene = Scene::before(upstream, |builder| builder.set("listeners", H2C));
    let client = H2Client::clear(scene.gateway.address());
    let token = Token::user("5").account("12").signed();
    let request = H2Request::get("app.test/")
        .bearer(&token)
        .header("te", "trailers");
    let response = client.send(&request).expect("a response");
    assert_eq!(response.body, b"data");
    let trailers = response.trailers.expect("trailers");
    assert_eq!(trailers["x-sum"], "42");
    assert!(!trailers.contains_key("x-auth-user-id"));
}
