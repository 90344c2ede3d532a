//! TLS: the right certificate, the right versions, and no way from one name to another.

use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use crate::harness::{Authority, Client, H2Client, H2Request, Request, Scene, Token, until};

fn scene(authority: &Authority) -> Scene {
    Scene::with(|builder| builder.tls(authority, &["app.test"]))
}

fn member() -> Request {
    Request::get("/").bearer(&Token::user("5").account("12").signed())
}

#[test]
fn requests_over_tls_are_https_to_the_upstream() {
    let authority = Authority::new();
    let scene = scene(&authority);
    let mut client = Client::tls(scene.gateway.address(), "app.test", &authority);
    let response = client.exchange(&member()).expect_status(200);
    assert_eq!(response.json()["user"], "5");
    let seen = scene.upstream.only();
    assert_eq!(seen.head.all("x-forwarded-proto"), ["https"]);
    assert_eq!(seen.head.all("host"), ["app.test"]);
}

#[test]
fn clear_text_is_not_spoken_there() {
    let authority = Authority::new();
    let scene = scene(&authority);
    let mut client = scene.gateway.client();
    client.send(&member().bytes());
    let answer = client.rest();
    assert!(!String::from_utf8_lossy(&answer).contains("200 OK"));
    scene.upstream.assert_untouched();
}

#[test]
fn a_client_that_never_says_hello_is_put_out() {
    let authority = Authority::new();
    let scene = Scene::with(|builder| {
        builder
            .tls(&authority, &["app.test"])
            .set("limits", "{ header_timeout: 300ms }")
    });
    for hello in [b"".as_slice(), b"\x16\x03\x01\x02\x00\x01"] {
        let mut client = scene.gateway.client();
        client.send(hello);
        client.rest();
    }
    // Nor one that stops after the handshake.
    let mut client = Client::tls(scene.gateway.address(), "app.test", &authority);
    client.rest();
}

#[test]
fn f11_a_new_certificate_is_served_without_a_restart() {
    let old = Authority::new();
    let new = Authority::new();
    let scene = scene(&old);
    let address = scene.gateway.address();
    assert!(Client::try_tls(address, "app.test", &new).is_err());
    let mut kept = Client::tls(address, "app.test", &old);
    kept.exchange(&member()).expect_status(200);
    let (certificate, key) = new.issue(&["app.test"]);
    // In two steps: between them key and certificate do not fit, and the old pair goes on.
    scene.gateway.replace_file("tls.crt", &certificate);
    scene.gateway.replace_file("tls.key", &key);
    until("the new one is served", || {
        Client::try_tls(address, "app.test", &new).is_ok()
    });
    kept.exchange(&member()).expect_status(200);
}

#[test]
fn f11_a_broken_certificate_changes_nothing_and_is_said() {
    let authority = Authority::new();
    let scene = scene(&authority);
    scene
        .gateway
        .replace_file("tls.crt", "-----BEGIN CERTIFICATE-----\nbroken\n");
    scene.gateway.wait_for_log("tls.crt");
    let mut client = Client::tls(scene.gateway.address(), "app.test", &authority);
    client.exchange(&member()).expect_status(200);
}

#[test]
fn old_versions_are_not_spoken() {
    let authority = Authority::new();
    let scene = scene(&authority);
    // A TLS 1.0 hello that offers nothing newer.
    let mut hello = vec![0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 1];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0, 0x2f, 1, 0]);
    let mut socket = TcpStream::connect(scene.gateway.address()).expect("it listens");
    std::io::Write::write_all(&mut socket, &hello).expect("sent");
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("set");
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    // An alert (21), or nothing; never a server's hello (22).
    assert_ne!(answer.first(), Some(&22), "{answer:?}");
}

fn two_tenants(authority: &Authority) -> Scene {
    Scene::with(|builder| {
        builder.tls(authority, &["a.example.test", "b.example.test"])
            .set("tenants", "sources: [ host: \"{tenant}.example.test\" ]")
            .users("users: [ { tenant: a, user: \"5\", account: \"12\", active: true }, { tenant: b, user: \"5\", account: \"99\", active: true } ]")
    })
}

#[test]
fn b22_a_connection_to_one_tenant_does_not_serve_another() {
    let authority = Authority::new();
    let scene = two_tenants(&authority);
    let request = |tenant: &str| {
        Request::get("/")
            .host(&format!("{tenant}.example.test"))
            .bearer(&Token::user("5").tenant(tenant).signed())
    };
    let mut client = Client::tls(scene.gateway.address(), "a.example.test", &authority);
    client.exchange(&request("a")).expect_status(200);
    let response = client.exchange(&request("b"));
    scene.check_refusal(&response, 421, "host_mismatch");
    assert_eq!(scene.upstream.count(), 1);
    let client = H2Client::tls(scene.gateway.address(), "a.example.test", &authority);
    let token = Token::user("5").tenant("b").signed();
    let fronted = client
        .send(&H2Request::get("b.example.test/").bearer(&token))
        .expect("a response");
    assert_eq!(fronted.status, 421);
    assert_eq!(fronted.json()["reason"], "host_mismatch");
}

#[test]
fn several_certificates_are_chosen_by_name() {
    let authority = Authority::new();
    let (one, one_key) = authority.issue(&["one.test"]);
    let (two, two_key) = authority.issue(&["two.test"]);
    let scene = Scene::with(|builder| {
        builder
            .file("one.crt", &one)
            .file("one.key", &one_key)
            .file("two.crt", &two)
            .file("two.key", &two_key)
            .set(
                "listeners",
                "[ { address: \"127.0.0.1:{{port}}\", tls: [ { certificate: one.crt, private_key: { file: one.key } }, { certificate: two.crt, private_key: { file: two.key } } ] } ]",
            )
    });
    for name in ["one.test", "two.test"] {
        let mut client = Client::tls(scene.gateway.address(), name, &authority);
        client.exchange(&member().host(name)).expect_status(200);
    }
    assert!(Client::try_tls(scene.gateway.address(), "three.test", &authority).is_err());
}
