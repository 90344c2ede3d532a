//! Whole heads, read as they come out of hyper.

use std::time::Duration;

use super::*;
use crate::wire::WireError;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

fn limits() -> Limits {
    Limits {
        header_size: 1024,
        headers: 20,
        uri: 200,
        body: None,
        connections: 10,
        header_timeout: Duration::from_secs(10),
        token_cache: 0,
    }
}

fn connection(peer: &str) -> ConnectionInfo {
    ConnectionInfo {
        peer: peer.parse().unwrap(),
        local: "127.0.0.1:8080".parse().unwrap(),
        tls: false,
        server_name: None,
        trusted_proxies: Arc::from(["10.0.0.0/8".parse().unwrap()]),
        memo: crate::wire::Memo::default(),
    }
}

fn head(method: &str, target: &str, version: Version, lines: &[(&str, &str)]) -> Parts {
    let mut request = http::Request::builder()
        .method(method)
        .uri(target)
        .version(version);
    for (name, value) in lines {
        request = request.header(*name, value.as_bytes());
    }
    request.body(()).unwrap().into_parts().0
}

fn read_head(mut head: Parts, has_body: bool) -> Result<RawRequest, Box<Unreadable>> {
    let connection = connection("192.0.2.1:4000");
    RawRequest::read(&mut head, has_body, &connection, &limits(), &REQUEST_ID)
}

fn get(target: &str, lines: &[(&str, &str)]) -> Result<RawRequest, WireError> {
    let mut all = vec![("host", "a.example")];
    all.extend_from_slice(lines);
    read_head(head("GET", target, Version::HTTP_11, &all), false).map_err(|bad| bad.error)
}

fn host_of(target: &str, version: Version, lines: &[(&str, &str)]) -> Result<String, WireError> {
    read_head(head("GET", target, version, lines), false)
        .map(|raw| raw.host().authority().to_owned())
        .map_err(|bad| bad.error)
}

#[test]
fn a_plain_request_is_read() {
    let raw = get("/%61/b?x=/../y", &[("cookie", "a=1")]).unwrap();
    assert_eq!(raw.method(), Method::GET);
    assert_eq!(raw.path().as_str(), "/a/b");
    assert_eq!(raw.query(), Some("x=/../y"));
    assert_eq!(raw.client().to_string(), "192.0.2.1");
    assert_eq!(raw.own_origin(), "http://a.example");
    assert_eq!(raw.cookies().one("a").unwrap().as_deref(), Some("1"));
    assert!(raw.websocket().is_none() && !raw.is_preflight() && !raw.method_override());
    assert!(!format!("{raw:?}").contains("x="), "no query in Debug");
}

#[test]
fn b16_there_is_exactly_one_valid_host() {
    let read = |lines: &[_]| host_of("/", Version::HTTP_11, lines);
    assert_eq!(read(&[("host", "A.example.")]).as_deref(), Ok("a.example"));
    assert!(matches!(read(&[]), Err(WireError::Malformed(_))));
    assert!(matches!(
        read(&[("host", "a"), ("host", "a")]),
        Err(WireError::Ambiguous(_))
    ));
    for host in ["", "a b", "a b/c@d", "a,b", "a@b", "\u{e9}"] {
        assert!(
            matches!(read(&[("host", host)]), Err(WireError::Malformed(_))),
            "{host:?}"
        );
    }
    assert!(host_of("/", Version::HTTP_10, &[]).is_err());
}

#[test]
fn b17_an_absolute_form_agrees_with_the_host() {
    let read = |target, host| host_of(target, Version::HTTP_11, &[("host", host)]);
    assert_eq!(
        read("http://A.example:80/x", "a.example").as_deref(),
        Ok("a.example")
    );
    assert!(matches!(
        read("http://b.example/x", "a.example"),
        Err(WireError::Ambiguous(_))
    ));
    for target in ["ftp://a.example/x", "http://u@a.example/x"] {
        assert!(
            matches!(read(target, "a.example"), Err(WireError::Malformed(_))),
            "{target}"
        );
    }
    assert!(host_of("http://a.example/", Version::HTTP_11, &[]).is_err());
    let raw = get("http://a.example?x=1", &[]).unwrap();
    assert_eq!((raw.path().as_str(), raw.query()), ("/", Some("x=1")));
}

#[test]
fn b18_c17_d8_other_forms_and_methods_are_refused() {
    let read = |method: &str, target: &str| {
        let lines = [("host", "a.example")];
        read_head(head(method, target, Version::HTTP_11, &lines), false)
            .map(|raw| raw.method().clone())
            .map_err(|bad| bad.error)
    };
    for target in ["evil:80", "a.example:80", "*"] {
        assert!(
            matches!(read("GET", target), Err(WireError::Malformed(_))),
            "{target}"
        );
    }
    assert!(matches!(read("OPTIONS", "*"), Err(WireError::Malformed(_))));
    assert_eq!(
        read("CONNECT", "a.example:80"),
        Err(WireError::MethodNotAllowed)
    );
    assert_eq!(read("TRACE", "/"), Err(WireError::MethodNotAllowed));
    assert_eq!(
        read("get", "/").unwrap(),
        Method::from_bytes(b"get").unwrap()
    );
}

#[test]
fn b19_an_authority_agrees_with_the_host() {
    let read = |target, lines: &[_]| host_of(target, Version::HTTP_2, lines);
    assert_eq!(read("https://a.example/", &[]).as_deref(), Ok("a.example"));
    assert_eq!(
        read("http://a.example/", &[("host", "a.EXAMPLE:80")]).as_deref(),
        Ok("a.example")
    );
    for (target, lines) in [
        ("https://a.example/", &[("host", "b.example")][..]),
        ("/", &[("host", "a.example")]),
        ("/", &[]),
        ("https://u@a.example/", &[]),
        ("evil://a.example/", &[]),
        (
            "http://a.example/",
            &[("host", "a.example"), ("host", "a.example")],
        ),
    ] {
        assert!(read(target, lines).is_err(), "{target} {lines:?}");
    }
}

#[test]
fn a34_authorization_origin_and_fetch_site_stand_once() {
    for name in ["authorization", "origin", "sec-fetch-site"] {
        assert!(get("/", &[(name, "x")]).is_ok());
        assert!(
            matches!(
                get("/", &[(name, "x"), (name, "x")]),
                Err(WireError::Ambiguous(_))
            ),
            "{name}"
        );
    }
}

#[test]
fn c22_a_header_value_with_a_space_at_its_end_is_refused() {
    for value in [" a", "a ", "\ta"] {
        assert!(matches!(
            get("/", &[("x-a", value)]),
            Err(WireError::Malformed(_))
        ));
    }
}

#[test]
fn c24_limits_of_target_and_headers() {
    let target = |len: usize| format!("/{}", "x".repeat(len - 1));
    assert!(get(&target(200), &[]).is_ok());
    assert_eq!(get(&target(201), &[]).unwrap_err(), WireError::UriTooLong);
    let query = format!("/?{}", "x".repeat(200));
    assert_eq!(get(&query, &[]).unwrap_err(), WireError::UriTooLong);
    assert!(get("/", &[("x", "y"); 19]).is_ok());
    assert_eq!(
        get("/", &[("x", "y"); 20]).unwrap_err(),
        WireError::HeadersTooLarge
    );
    // The Host line takes 17 of the 1,024 bytes.
    let value = |len: usize| "y".repeat(len - "x".len() - 4);
    assert!(get("/", &[("x", &value(1007))]).is_ok());
    assert_eq!(
        get("/", &[("x", &value(1008))]).unwrap_err(),
        WireError::HeadersTooLarge
    );
}

#[test]
fn d3_the_query_takes_no_part_in_the_path() {
    let raw = get("/admin?x=/public/health/../%zz", &[]).unwrap();
    assert_eq!(raw.path().as_str(), "/admin");
    assert_eq!(
        get("/admin?/public", &[]).unwrap().path().as_str(),
        "/admin"
    );
}

#[test]
fn d7_method_override_headers_are_seen() {
    for name in [
        "X-HTTP-Method-Override",
        "x-http-method",
        "X-Method-Override",
    ] {
        assert!(get("/", &[(name, "DELETE")]).unwrap().method_override());
    }
}

#[test]
fn d8_a_preflight_is_an_options_with_both_headers_and_no_body() {
    let read = |method: &str, lines: &[(&str, &str)], has_body| {
        let mut all = vec![("host", "a.example")];
        all.extend_from_slice(lines);
        read_head(head(method, "/", Version::HTTP_11, &all), has_body)
            .unwrap()
            .preflight_method()
    };
    let origin = ("origin", "https://b.example");
    let asked = ("access-control-request-method", "PATCH");
    assert_eq!(
        read("OPTIONS", &[origin, asked], false),
        Some(Method::PATCH)
    );
    for (method, lines, has_body) in [
        ("OPTIONS", &[origin][..], false),
        ("OPTIONS", &[asked], false),
        ("OPTIONS", &[origin, asked], true),
        ("OPTIONS", &[origin, asked, asked], false),
        (
            "OPTIONS",
            &[origin, ("access-control-request-method", "")],
            false,
        ),
        ("GET", &[origin, asked], false),
        ("options", &[origin, asked], false),
    ] {
        assert_eq!(read(method, lines, has_body), None, "{method} {lines:?}");
    }
}

#[test]
fn f20_our_own_via_is_a_loop() {
    let via = format!("1.1 {}", crate::wire::pseudonym());
    assert_eq!(
        get("/", &[("via", &via)]).unwrap_err(),
        WireError::LoopDetected
    );
    assert!(get("/", &[("via", "1.1 other")]).is_ok());
}

#[test]
fn b13_only_a_trusted_peer_speaks_for_the_client() {
    let lines = [
        ("host", "a.example:443"),
        ("x-forwarded-for", "9.9.9.9, 6.6.6.6"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil.example"),
        ("x-request-id", "theirs"),
    ];
    let read = |peer| {
        let mut head = head("GET", "/", Version::HTTP_11, &lines);
        RawRequest::read(&mut head, false, &connection(peer), &limits(), &REQUEST_ID).unwrap()
    };
    let believed = read("10.0.0.1:4000");
    assert_eq!(believed.client().to_string(), "6.6.6.6");
    assert_eq!(believed.own_origin(), "https://a.example");
    assert_eq!(believed.request_id().as_str(), "theirs");
    let stranger = read("192.0.2.1:4000");
    assert_eq!(stranger.client().to_string(), "192.0.2.1");
    assert_eq!(stranger.own_origin(), "http://a.example:443");
    assert_ne!(stranger.request_id().as_str(), "theirs");
    assert!(stranger.into_parts().proxies.is_empty());
}

#[test]
fn an_unreadable_request_can_still_be_answered_and_logged() {
    let lines = [
        ("host", "a.example"),
        ("accept", "text/html"),
        ("origin", "https://b.example"),
    ];
    let target = "/public/..%2fadmin?token=secret";
    let bad = read_head(head("POST", target, Version::HTTP_11, &lines), true).unwrap_err();
    assert!(matches!(bad.error, WireError::Ambiguous(_)));
    assert_eq!(bad.error.reason().code(), "ambiguous_request");
    assert_eq!(bad.path, "/public/..%2fadmin");
    assert_eq!(bad.method, Method::POST);
    assert_eq!(bad.origin.unwrap(), "https://b.example");
    assert!(bad.wants_html);
    assert_eq!(bad.client.to_string(), "192.0.2.1");
    assert_eq!(bad.request_id.as_str().len(), 32);
}
