//! What comes back: nothing that a cache could show to another user, no reserved names, no
//! hop-by-hop headers.

use crate::harness::{Exchange, Recorder, Request, Response, Scene, Token};

/// An upstream that answers with the fields its `X-Answer-…` request headers say.
fn upstream() -> Recorder {
    Recorder::answering(|exchange: &mut Exchange<'_>| {
        let fields = exchange.head.fields.clone();
        let fields: Vec<(&str, &str)> = fields
            .iter()
            .filter_map(|(name, value)| {
                let lower = name.to_ascii_lowercase();
                let from = lower.strip_prefix("x-answer-").map(str::len)?;
                Some((&name[name.len() - from..], value.as_str()))
            })
            .collect();
        exchange.respond(200, &fields, b"hello");
    })
}

fn scene() -> Scene {
    Scene::before(upstream(), |builder| {
        builder.set(
            "routes",
            "[ { match: { path: /public }, access: public, upstream: app },
  { match: { path: /optional }, access: optional, upstream: app },
  { match: { path: /shared }, access: member, cache: upstream, upstream: app },
  { match: { path: / }, access: member, upstream: app } ]",
        )
    })
}

fn get(scene: &Scene, path: &str, fields: &[(&str, &str)]) -> Response {
    let mut request = Request::get(path).bearer(&Token::user("5").account("12").signed());
    for (name, value) in fields {
        request = request.header(&format!("X-Answer-{name}"), value);
    }
    scene.gateway.send(&request).expect_status(200)
}

fn directives(response: &Response) -> Vec<String> {
    let all = response.head.all("cache-control").join(",");
    let mut list: Vec<_> = all
        .split(',')
        .map(|directive| directive.trim().to_ascii_lowercase())
        .filter(|directive| !directive.is_empty())
        .collect();
    list.sort();
    list
}

#[test]
fn e27_an_answer_for_one_user_is_not_stored_for_others() {
    let scene = scene();
    for path in ["/", "/optional"] {
        let silent = get(&scene, path, &[]);
        assert_eq!(directives(&silent), ["no-store", "private"]);
        let public = get(
            &scene,
            path,
            &[("Cache-Control", "public, max-age=60, s-maxage=600")],
        );
        assert_eq!(directives(&public), ["max-age=60", "private"]);
        let stored = get(&scene, path, &[("Cache-Control", "no-store")]);
        assert!(directives(&stored).contains(&"no-store".to_owned()));
        let vary = silent.head.all("vary").join(",").to_ascii_lowercase();
        assert!(vary.contains("authorization"), "{vary}");
        let both = get(&scene, path, &[("Vary", "Accept-Language")]);
        let vary = both.head.all("vary").join(",").to_ascii_lowercase();
        assert!(
            vary.contains("accept-language") && vary.contains("authorization"),
            "{vary}"
        );
    }
}

#[test]
fn public_routes_and_shared_content_keep_the_upstreams_caching() {
    let scene = scene();
    for path in ["/public", "/shared"] {
        let response = get(&scene, path, &[("Cache-Control", "public, s-maxage=600")]);
        assert_eq!(directives(&response), ["public", "s-maxage=600"], "{path}");
        let silent = get(&scene, path, &[]);
        assert!(directives(&silent).is_empty(), "{path}");
    }
}

#[test]
fn b29_reserved_names_never_reach_the_client() {
    let scene = scene();
    let response = get(
        &scene,
        "/",
        &[
            ("X-Auth-User-Id", "1"),
            ("X-Auth-Account-Id", "1"),
            ("X-Auth-Token-Stale", "account"),
            ("Keep-Alive", "timeout=5"),
            ("X-Ordinary", "kept"),
            ("Set-Cookie", "a=1; Path=/"),
        ],
    );
    for name in [
        "x-auth-user-id",
        "x-auth-account-id",
        "x-auth-token-stale",
        "keep-alive",
    ] {
        assert_eq!(response.header(name), None, "{name}");
    }
    assert_eq!(response.header("x-ordinary"), Some("kept"));
    assert_eq!(response.header("set-cookie"), Some("a=1; Path=/"));
    assert_eq!(response.text(), "hello");
}

#[test]
fn several_cookies_stay_several() {
    let upstream = Recorder::answering(|exchange: &mut Exchange<'_>| {
        exchange.respond(200, &[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")], b"");
    });
    let scene = Scene::before(upstream, |builder| builder);
    let response = get(&scene, "/", &[]);
    assert_eq!(response.head.all("set-cookie"), ["a=1", "b=2"]);
}

fn echo_scene(echo: &str) -> Scene {
    Scene::before(upstream(), |builder| {
        builder.set("identity", &format!("{{ echo: {echo} }}"))
    })
}

#[test]
fn an_upstream_that_acted_as_somebody_else_is_not_heard() {
    let scene = echo_scene("{ user: X-Acted-As-User, account: X-Acted-As-Account }");
    let same = get(
        &scene,
        "/",
        &[("X-Acted-As-User", "5"), ("X-Acted-As-Account", "12")],
    );
    assert_eq!(same.header("x-acted-as-user"), None);
    assert_eq!(same.text(), "hello");
    get(&scene, "/", &[]);
    let request = Request::get("/")
        .bearer(&Token::user("5").account("12").signed())
        .header("X-Answer-X-Acted-As-User", "7");
    let response = scene.gateway.send(&request);
    scene.check_refusal(&response, 502, "echo_mismatch");
    assert!(!response.text().contains("hello"));
    let line = scene.audit_of(&response);
    assert!(line["acted_as"].to_string().contains('7'), "{line}");
    assert_eq!(scene.upstream.count(), 3, "no retry");
}

#[test]
fn an_echo_can_be_demanded_or_only_observed() {
    let scene = echo_scene("{ user: X-Acted-As-User, missing: block }");
    let request = Request::get("/").bearer(&Token::user("5").account("12").signed());
    let response = scene.gateway.send(&request);
    scene.check_refusal(&response, 502, "echo_mismatch");
    let scene = echo_scene("{ user: X-Acted-As-User, on_mismatch: observe }");
    let response = get(&scene, "/", &[("X-Acted-As-User", "7")]);
    assert_eq!(response.text(), "hello");
    scene
        .gateway
        .audit(|line| line["acted_as"].to_string().contains('7'));
}
