//! Who came which way: believed from nobody, unless the operator names them.

use super::member;
use crate::harness::{Builder, Request, Scene};

fn trusting(proxies: &str) -> impl FnOnce(Builder) -> Builder {
    let listener =
        format!("[ {{ address: \"127.0.0.1:{{{{port}}}}\", trusted_proxies: [{proxies}] }} ]");
    move |builder| builder.set("listeners", &listener)
}

const EVIL: &str = "evil-7";

const WAYS: [&str; 12] = [
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Uri",
    "X-Forwarded-Method",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Real-IP",
    "Forwarded",
    "X_Forwarded_For",
];

/// The member's request with this chain of addresses.
fn via(chain: &str) -> Request {
    member().header("X-Forwarded-For", chain)
}

#[test]
fn b13_what_a_stranger_says_of_its_way_is_replaced() {
    let scene = Scene::new();
    let mut request = member();
    for name in WAYS {
        request = request
            .header(name, EVIL)
            .header(&name.to_lowercase(), "6.6.6.6");
    }
    let (_, seen, line) = scene.passes_as(&request, "match");
    for (name, value) in &seen.head.fields {
        assert!(!value.contains(EVIL), "{name}: {value}");
        assert!(!value.contains("6.6.6.6"), "{name}: {value}");
    }
    assert_eq!(seen.head.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.head.all("x-forwarded-proto"), ["http"]);
    assert_eq!(seen.head.all("x-forwarded-host"), ["app.test"]);
    assert_eq!(seen.head.all("x-forwarded-port"), ["80"]);
    assert_eq!(seen.head.all("forwarded").len(), 1);
    for name in [
        "x-forwarded-prefix",
        "x-forwarded-uri",
        "x-forwarded-method",
        "x-real-ip",
    ] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert_eq!(line["client"], "127.0.0.1");
}

#[test]
fn b13_the_client_is_the_right_most_stranger() {
    let scene = Scene::with(trusting("127.0.0.0/8, 10.0.0.0/8, 'fd00::/8'"));
    for (chain, client) in [
        ("6.6.6.6, 203.0.113.9", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9, 10.1.2.3", "203.0.113.9"),
        ("6.6.6.6,203.0.113.9,10.1.2.3 ,  10.0.0.7", "203.0.113.9"),
        ("203.0.113.9:4711, 10.0.0.7:80", "203.0.113.9"),
        ("203.0.113.9, ::ffff:10.0.0.1", "203.0.113.9"),
        ("6.6.6.6, [2001:db8::1]:4711, fd00::2", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("10.0.0.1, 10.0.0.2", "10.0.0.1"),
        // What is no address ends what is known: everything to its left is hearsay.
        ("6.6.6.6, unknown, 10.0.0.1", "10.0.0.1"),
        ("6.6.6.6, fe80::1%eth0", "127.0.0.1"),
        ("6.6.6.6, evil", "127.0.0.1"),
        ("6.6.6.6, ", "127.0.0.1"),
        ("6.6.6.6, 999.1.1.1", "127.0.0.1"),
        ("6.6.6.6, 0x7f.1", "127.0.0.1"),
        ("", "127.0.0.1"),
    ] {
        let (_, seen, line) = scene.passes_as(&via(chain), "match");
        assert_eq!(line["client"], client, "{chain:?}");
        let sent = seen.head.all("x-forwarded-for");
        assert_eq!(sent.len(), 1, "{chain:?}");
        assert!(sent[0].starts_with(client), "{chain:?}: {sent:?}");
        assert!(!sent[0].contains("6.6.6.6"), "{chain:?}: {sent:?}");
        let forwarded = seen.head.all("forwarded").join(", ");
        assert!(!forwarded.contains("6.6.6.6"), "{forwarded}");
    }
    // Two lines are one chain, in their order.
    let two = via("6.6.6.6, 203.0.113.8").header("x-forwarded-for", "10.0.0.9");
    let (_, _, line) = scene.passes_as(&two, "match");
    assert_eq!(line["client"], "203.0.113.8");
}

#[test]
fn b13_a_trusted_proxy_is_believed_in_the_scheme_and_in_nothing_else() {
    let scene = Scene::with(trusting("127.0.0.0/8"));
    let mut request = via("203.0.113.9").header("X-Forwarded-Proto", "https");
    for name in [
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X-Forwarded-Uri",
        "X-Forwarded-Method",
        "X-Real-IP",
        "Forwarded",
    ] {
        request = request.header(name, EVIL);
    }
    let (_, seen) = scene.passes(&request);
    for (name, value) in &seen.head.fields {
        assert!(!value.contains(EVIL), "{name}: {value}");
    }
    assert_eq!(seen.head.all("x-forwarded-proto"), ["https"]);
    assert_eq!(seen.head.all("x-forwarded-host"), ["app.test"]);
    assert_eq!(seen.head.all("x-forwarded-port"), ["443"]);
    let before = scene.upstream.bytes();
    for scheme in ["evil", "", "file", "https evil"] {
        let request = member().header("X-Forwarded-Proto", scheme);
        scene.refuses(&request, 400, "malformed_request");
    }
    assert_eq!(scene.upstream.bytes(), before);
}

#[test]
fn b13_a_request_id_is_believed_from_a_trusted_proxy_where_it_is_one() {
    let trusting = Scene::with(trusting("127.0.0.0/8"));
    let with = |id: &str| member().header("X-Request-Id", id);
    let (_, seen) = trusting.passes(&with("from-the-proxy-1"));
    assert_eq!(seen.head.all("x-request-id"), ["from-the-proxy-1"]);
    let long = "x".repeat(4096);
    for odd in [
        "",
        "a b",
        "\"}{\"x\":\"",
        "a,b",
        "<script>",
        "é",
        long.as_str(),
    ] {
        let (_, seen) = trusting.passes(&with(odd));
        let ids = seen.head.all("x-request-id");
        assert_eq!(ids.len(), 1);
        assert_ne!(ids[0], odd);
    }
    let (_, seen) = trusting.passes(&with("one").header("x-request-id", "two"));
    let ids = seen.head.all("x-request-id");
    assert!(ids.len() == 1 && !ids[0].contains(','), "{ids:?}");
    // From a stranger, never.
    let scene = Scene::new();
    let (_, seen) = scene.passes(&with("from-the-proxy-1"));
    assert_ne!(seen.head.all("x-request-id"), ["from-the-proxy-1"]);
}

#[test]
fn b13_a_chain_of_ten_thousand_is_read_and_bounded() {
    let scene = Scene::with(|builder| {
        trusting("127.0.0.0/8, 10.0.0.0/8")(builder).set("limits", "{ header_size: 256KiB }")
    });
    let chain = vec!["6.6.6.6"; 10_000].join(", ");
    let (_, seen, line) = scene.passes_as(&via(&chain), "match");
    assert_eq!(line["client"], "6.6.6.6");
    assert_eq!(seen.head.all("x-forwarded-for"), ["6.6.6.6, 127.0.0.1"]);
    let count = scene.upstream.count();
    // Within the ordinary limits it is too large at all.
    let ordinary = Scene::with(trusting("127.0.0.0/8"));
    ordinary.refuses(&via(&chain), 431, "headers_too_large");
    ordinary.upstream.assert_untouched();
    assert_eq!(scene.upstream.count(), count);
}

#[test]
fn b13_nobody_is_trusted_unless_named_and_never_everybody() {
    let scene = Scene::new();
    let (_, _, line) = scene.passes_as(&via("203.0.113.9"), "match");
    assert_eq!(line["client"], "127.0.0.1");
    for everybody in ["0.0.0.0/0", "'::/0'"] {
        let builder = trusting(everybody)(Builder::new()).set(
            "upstreams",
            "[ { name: app, servers: [ \"http://127.0.0.1:9\" ] } ]",
        );
        builder.write();
        let arguments = ["serve", "-c", "countersign.yaml"];
        let output =
            crate::harness::countersign(builder.folder(), &builder.env_pairs(), &arguments);
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(output.stderr.contains("trusted_proxies"), "{output:?}");
    }
}

#[test]
fn b14_side_channels_of_other_gateways_are_removed_from_everybody() {
    for scene in [Scene::new(), Scene::with(trusting("127.0.0.0/8"))] {
        let mut request = member();
        for name in [
            "X-Original-URL",
            "X-Original-URI",
            "X-Original-Method",
            "X-Original-Host",
            "X-Rewrite-URL",
            "x-envoy-original-path",
            "X-Envoy-External-Address",
            "X-Envoy-Internal",
            "X_Original_Url",
            "X.Rewrite.Url",
            "X-SSL-Client-Cert",
            "X-SSL-Client-Verify",
            "Script-Name",
            "Path-Info",
            "Daphne-Root-Path",
            "Remote-User",
            "Remote-Groups",
            "Proxy",
        ] {
            request = request.header(name, EVIL);
        }
        let (_, seen) = scene.passes(&request);
        for (name, value) in &seen.head.fields {
            assert!(!value.contains(EVIL), "{name}: {value}");
        }
        assert_eq!(seen.head.target(), "/records");
        assert_eq!(seen.head.all("x-auth-user-id"), ["5"]);
    }
}
