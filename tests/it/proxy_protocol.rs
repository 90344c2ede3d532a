//! The PROXY protocol: required where configured, believed from trusted peers alone, and never
//! guessed.

use std::time::Duration;

use crate::harness::{Authority, Builder, Client, Gateway, Request, Scene, Token};

const V1: &[u8] = b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n";

/// A version 2 header.
fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend([command, family]);
    let length = u16::try_from(block.len()).expect("a short block");
    bytes.extend(length.to_be_bytes());
    bytes.extend(block);
    bytes
}

fn v2_ipv4(tlvs: &[u8]) -> Vec<u8> {
    let addresses = [198, 51, 100, 9, 10, 0, 0, 1, 0x12, 0x67, 1, 0xbb];
    v2(0x21, 0x11, &[&addresses, tlvs].concat())
}

fn listener(builder: Builder, trusted: &str) -> Builder {
    builder.set(
        "listeners",
        &format!(
            "[ {{ address: \"127.0.0.1:{{{{port}}}}\", proxy_protocol: true, \
             trusted_proxies: {trusted} }} ]"
        ),
    )
}

fn behind_a_proxy() -> Scene {
    Scene::with(|builder| listener(builder, "[127.0.0.1]"))
}

fn member() -> Request {
    Request::get("/").bearer(&Token::user("5").account("12").signed())
}

/// What the upstream is told of the client whose connection begins with `header`.
#[track_caller]
fn told(scene: &Scene, header: &[u8], request: &Request) -> String {
    let mut client = scene.gateway.client();
    client.send(header);
    client.exchange(request).expect_status(200);
    let seen = scene.upstream.last();
    let line = scene
        .gateway
        .audit(|line| line["request_id"] == seen.header("x-request-id").expect("an id"));
    let chain = seen.header("x-forwarded-for").expect("a chain").to_owned();
    let client = line["client"].as_str().expect("a client");
    let first = chain.split(", ").next().expect("one entry");
    assert_eq!(first, client, "upstream and audit agree");
    chain
}

/// The connection ends without a byte, and the upstream never hears of it.
#[track_caller]
fn closed(gateway: &Gateway, bytes: &[u8]) {
    let mut client = gateway.client();
    // It may be closed while the rest is still being sent.
    let _ = client.try_send(bytes);
    let shown = bytes.get(..60.min(bytes.len())).expect("in range");
    assert_eq!(client.rest(), b"", "after {}", shown.escape_ascii());
}

#[test]
fn b15_the_announced_source_is_the_client() {
    let scene = behind_a_proxy();
    assert_eq!(told(&scene, V1, &member()), "203.0.113.7");
    assert_eq!(told(&scene, &v2_ipv4(b""), &member()), "198.51.100.9");
    // A TLV of no meaning, not UTF-8, and one that claims more than there is.
    for tlv in [&b"\x02\x00\x03\xff\xfe\xfd"[..], b"\x02\xff\xff\x00"] {
        assert_eq!(told(&scene, &v2_ipv4(tlv), &member()), "198.51.100.9");
    }
    assert_eq!(
        told(&scene, &v2_ipv4(&[4; 4096]), &member()),
        "198.51.100.9"
    );
}

#[test]
fn b15_a_proxy_that_speaks_for_itself_stays_the_peer() {
    let scene = behind_a_proxy();
    let addresses = [198, 51, 100, 9, 10, 0, 0, 1, 0x12, 0x67, 1, 0xbb];
    for header in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN 198.51.100.9 and more\r\n".to_vec(),
        v2(0x20, 0x00, b""),
        v2(0x20, 0x11, &addresses),
        v2(0x21, 0x00, b""),
    ] {
        assert_eq!(told(&scene, &header, &member()), "127.0.0.1");
    }
}

#[test]
fn b15_forwarding_headers_count_for_the_announced_source() {
    let scene = behind_a_proxy();
    let spoofed = member()
        .header("X-Forwarded-For", "6.6.6.6")
        .header("X-Forwarded-Proto", "https");
    // The client itself writes them: nobody believes it, although the proxy's peer is trusted.
    assert_eq!(told(&scene, V1, &spoofed), "203.0.113.7");
    assert_eq!(
        scene.upstream.last().header("x-forwarded-proto"),
        Some("http")
    );
    // One trusted proxy behind another.
    let scene = Scene::with(|builder| listener(builder, "[127.0.0.1, 203.0.113.0/24]"));
    assert_eq!(told(&scene, V1, &spoofed), "6.6.6.6, 203.0.113.7");
    assert_eq!(
        scene.upstream.last().header("x-forwarded-proto"),
        Some("https")
    );
}

#[test]
fn b15_every_request_of_the_connection_has_that_client_and_only_one_header_is_read() {
    let scene = behind_a_proxy();
    let mut client = scene.gateway.client();
    client.send(V1);
    for _ in 0..2 {
        client.exchange(&member()).expect_status(200);
        let seen = scene.upstream.last();
        assert_eq!(seen.header("x-forwarded-for"), Some("203.0.113.7"));
    }
    // A second one is not HTTP.
    let before = scene.upstream.bytes();
    let mut client = scene.gateway.client();
    client.send(V1);
    let _ = client.try_send(&[&V1.replace_source(), &member().bytes()[..]].concat());
    let answer = client.rest();
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"),
        "{}",
        answer.escape_ascii()
    );
    assert_eq!(scene.upstream.bytes(), before);
}

trait ReplaceSource {
    fn replace_source(&self) -> Vec<u8>;
}

impl ReplaceSource for [u8] {
    fn replace_source(&self) -> Vec<u8> {
        let text = String::from_utf8(self.to_vec()).expect("ASCII");
        text.replace("203.0.113.7", "6.6.6.6").into_bytes()
    }
}

#[test]
fn b15_absent_malformed_or_oversized_headers_close_the_connection() {
    let scene = behind_a_proxy();
    let request = member().bytes();
    let before_request = |header: &[u8]| [header, &request].concat();
    closed(&scene.gateway, &request);
    closed(&scene.gateway, b"\x16\x03\x01\x00\xff");
    for line in [
        &b"PROXY TCP4 203.0.113.7 10.0.0.1 4711\r\n"[..],
        b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\n",
        b"PROXY TCP4 203.0.113.07 10.0.0.1 4711 443\r\n",
        b"PROXY TCP6 203.0.113.7 10.0.0.1 4711 443\r\n",
        b"proxy TCP4 203.0.113.7 10.0.0.1 4711 443\r\n",
        b"\r\nPROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n",
    ] {
        closed(&scene.gateway, &before_request(line));
    }
    let long = [b"PROXY UNKNOWN ", &[b'x'; 200][..], b"\r\n"].concat();
    closed(&scene.gateway, &before_request(&long));
    for header in [
        v2_ipv4(&[4; 4097]),
        v2_ipv4(&vec![4; 65_000]),
        v2(0x21, 0x31, &[b'/'; 216]),
        v2(0x21, 0x12, &[0; 12]),
        v2(0x21, 0x11, &[0; 11]),
        v2(0x22, 0x11, &[0; 12]),
        v2(0x11, 0x11, &[0; 12]),
    ] {
        closed(&scene.gateway, &before_request(&header));
    }
    scene.upstream.assert_untouched();
    let metrics = scene.gateway.admin(&Request::get("/metrics")).text();
    assert!(
        metrics.contains("countersign_protocol_errors_total 16"),
        "{metrics}"
    );
}

#[test]
fn b15_a_truncated_header_is_given_up() {
    let scene = Scene::with(|builder| {
        listener(builder, "[127.0.0.1]").set("limits", "{ header_timeout: 300ms }")
    });
    for end in [0, 1, 6, 14, V1.len() - 1] {
        closed(&scene.gateway, &V1[..end]);
    }
    let header = v2_ipv4(&[4; 64]);
    for end in [12, 15, 16, header.len() - 1] {
        closed(&scene.gateway, &header[..end]);
    }
    scene.upstream.assert_untouched();
}

#[test]
fn b15_a_peer_that_is_not_trusted_is_closed() {
    let scene = Scene::with(|builder| listener(builder, "[127.0.0.2]"));
    let request = member().bytes();
    closed(&scene.gateway, &[V1, &request[..]].concat());
    closed(
        &scene.gateway,
        &[v2(0x20, 0, b""), request.clone()].concat(),
    );
    closed(&scene.gateway, &request);
    scene.upstream.assert_untouched();
}

#[test]
fn b15_a_header_that_nobody_asked_for_is_never_read() {
    let scene = Scene::with(|builder| {
        builder.set(
            "listeners",
            "[ { address: \"127.0.0.1:{{port}}\", trusted_proxies: [127.0.0.1] } ]",
        )
    });
    for header in [V1.to_vec(), v2_ipv4(b"")] {
        let mut client = scene.gateway.client();
        let _ = client.try_send(&[header, member().bytes()].concat());
        let answer = client.rest();
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"),
            "{}",
            answer.escape_ascii()
        );
    }
    scene.upstream.assert_untouched();
}

#[test]
fn b15_the_header_stands_before_tls() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue(&["app.test"]);
    let scene = Scene::with(|builder| {
        builder
            .file("tls.crt", &certificate)
            .file("tls.key", &key)
            .set(
                "listeners",
                "[ { address: \"127.0.0.1:{{port}}\", proxy_protocol: true, \
                 trusted_proxies: [127.0.0.1], \
                 tls: { certificate: tls.crt, private_key: { file: tls.key } } } ]",
            )
    });
    let address = scene.gateway.address();
    for header in [V1, b"PROXY UNKNOWN\r\n", &v2_ipv4(&[4; 700])] {
        let mut client =
            Client::try_tls_after(address, header, "app.test", &authority).expect("a handshake");
        client.exchange(&member()).expect_status(200);
        let seen = scene.upstream.last();
        assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
        let client = seen.header("x-forwarded-for").expect("a client");
        assert_ne!(client, "", "{}", header.escape_ascii());
    }
    assert_eq!(
        scene.upstream.last().header("x-forwarded-for"),
        Some("198.51.100.9")
    );
    let without = Client::try_tls_after(address, b"", "app.test", &authority);
    assert!(without.is_err(), "TLS without the header");
}

#[test]
fn b15_the_header_may_come_in_pieces() {
    let scene = behind_a_proxy();
    for header in [V1.to_vec(), v2_ipv4(&[4; 9])] {
        let mut client = scene.gateway.client();
        for byte in &header {
            client.send(&[*byte]);
        }
        client.exchange(&member()).expect_status(200);
    }
    let mut client = scene.gateway.client();
    assert!(client.is_silent_for(Duration::from_millis(1)));
}
