//! Step 4b: an identity that rests on a cookie needs to know who sent the request.

use crate::harness::{Builder, Recorder, Request, Scene, Token, countersign};

fn scene() -> Scene {
    scene_with("{ allowed: [ \"https://web.test\" ] }", "keep")
}

fn scene_with(origins: &str, forward: &str) -> Scene {
    Scene::with(|builder| configured(builder, origins, forward))
}

fn configured(builder: Builder, origins: &str, forward: &str) -> Builder {
    let credentials = format!(
        "[ bearer: {{ forward: keep }}, cookie: {{ name: access_token, forward: {forward} }} ]"
    );
    builder
        .set("credentials", &credentials)
        .set("origins", origins)
}

fn with_cookie(method: &str) -> Request {
    let token = Token::user("5").account("12").signed();
    let request =
        Request::new(method, "/records").header("Cookie", &format!("access_token={token}"));
    if method == "GET" || method == "HEAD" || method == "OPTIONS" {
        request
    } else {
        request.body(b"x")
    }
}

type Fields<'a> = &'a [(&'a str, &'a str)];

fn sent(method: &str, fields: Fields<'_>) -> Request {
    let add = |request: Request, (name, value): &(&str, &str)| request.header(name, value);
    fields.iter().fold(with_cookie(method), add)
}

const ALLOWED: &[Fields<'static>] = &[
    &[],
    &[("Sec-Fetch-Site", "same-origin")],
    &[("Sec-Fetch-Site", "none")],
    &[("Origin", "https://web.test")],
    &[
        ("Origin", "https://web.test"),
        ("Sec-Fetch-Site", "cross-site"),
    ],
    &[("Origin", "http://app.test")],
];

const REFUSED: &[Fields<'static>] = &[
    &[("Sec-Fetch-Site", "cross-site")],
    &[("Sec-Fetch-Site", "same-site")],
    &[("Sec-Fetch-Site", "nonsense")],
    &[("Origin", "https://evil.test")],
    &[("Origin", "null")],
    &[("Origin", "https://web.test.evil.test")],
    &[("Origin", "http://web.test")],
    &[
        ("Origin", "https://evil.test"),
        ("Sec-Fetch-Site", "cross-site"),
    ],
];

#[test]
fn unsafe_methods_follow_the_table() {
    let scene = scene();
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        for fields in ALLOWED {
            let request = sent(method, fields);
            let response = scene.gateway.send(&request);
            assert_eq!(
                response.status(),
                200,
                "{method} {fields:?}: {}",
                response.text()
            );
        }
    }
    for fields in REFUSED {
        for method in ["POST", "DELETE"] {
            scene.refuses(&sent(method, fields), 403, "origin_not_allowed");
        }
    }
}

#[test]
fn reading_is_free() {
    let scene = scene();
    for method in ["GET", "HEAD", "OPTIONS"] {
        for fields in REFUSED {
            let response = scene.gateway.send(&sent(method, fields));
            assert_eq!(response.status(), 200, "{method} {fields:?}");
        }
    }
}

#[test]
fn a_bearer_rests_on_no_cookie() {
    let scene = scene();
    for fields in REFUSED {
        let token = Token::user("5").account("12").signed();
        let add = |request: Request, (name, value): &(&str, &str)| request.header(name, value);
        let request = fields
            .iter()
            .fold(Request::post("/", b"x").bearer(&token), add);
        scene.passes(&request);
    }
}

#[test]
fn the_app_may_check_for_itself_where_it_still_sees_the_cookie() {
    let scene = scene_with("{ allowed: [], unsafe_methods: upstream }", "keep");
    for fields in REFUSED {
        scene.passes(&sent("POST", fields));
    }
}

/// Holds that `check` refuses to leave unsafe methods to the app; gives what it says.
#[track_caller]
fn the_app_cannot_check(forward: &str, identity: &str) -> String {
    let builder = configured(
        Builder::new().upstream(&Recorder::start()),
        "{ allowed: [], unsafe_methods: upstream }",
        forward,
    )
    .set("identity", identity);
    builder.write();
    let env = builder.env_pairs();
    let output = countersign(builder.folder(), &env, &["check", "-c", "countersign.yaml"]);
    assert_eq!(output.code, Some(2), "{forward}: {output:?}");
    assert!(
        output.stderr.contains("origins.unsafe_methods"),
        "{output:?}"
    );
    output.stderr
}

/// A bearer token is what an app makes no check for.
#[test]
fn the_app_cannot_check_what_it_is_given_as_a_bearer() {
    let identity = "{ reissue: { issuer: app, also: authorization } }";
    let told = the_app_cannot_check("keep", identity);
    assert!(told.contains("bearer"), "{told}");
}

/// The gateway itself answers there, so that no app checks.
#[test]
fn the_token_endpoint_checks_who_rides_on_a_cookie_in_any_case() {
    const ENDPOINT: &str = "/.well-known/countersign/token";
    let scene = Scene::with(|builder| {
        configured(
            builder,
            "{ allowed: [ \"https://web.test\" ], unsafe_methods: upstream }",
            "keep",
        )
        .set(
            "identity",
            &format!("{{ reissue: {{ issuer: app, endpoint: {ENDPOINT} }} }}"),
        )
    });
    let cookie = format!("access_token={}", Token::user("5").account("12").signed());
    let ask = |fields: Fields<'_>| {
        let request = Request::post(ENDPOINT, b"").header("Cookie", &cookie);
        let add = |request: Request, (name, value): &(&str, &str)| request.header(name, value);
        fields.iter().fold(request, add)
    };
    for fields in REFUSED {
        scene.refuses(&ask(fields), 403, "origin_not_allowed");
    }
    for fields in ALLOWED {
        scene.gateway.send(&ask(fields)).expect_status(200);
    }
    // The app's own paths stay the app's to check.
    scene.passes(&sent("POST", REFUSED[0]));
}

#[test]
fn the_app_cannot_check_a_cookie_that_it_does_not_see() {
    for forward in ["remove", "reissue"] {
        the_app_cannot_check(forward, "{ reissue: { issuer: app } }");
    }
}
