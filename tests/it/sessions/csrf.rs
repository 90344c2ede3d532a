//! CSRF: where a session becomes a bearer token the app makes no check any more, so it is made here.

use super::django::{self, FIVE};
use super::{ENVIRONMENT, credential, sqlite};
use crate::harness::{Request, Scene, Token, execute_sqlite};

const SECRET: &str = "abcdefghijklmnopqrstuvwxyzABCDEF";
/// That secret, masked by a real Django.
const MASKED: &str = "rGSBBuwEVwEi8hUFh4YuvFWNoJTUw0pUrHUEFzCL3FOtku8UxlgNP0iaM8jlYtTp";

const REISSUE: &str = "{ reissue: { issuer: app, also: authorization } }";

fn scene_with(more: &str, identity: &str) -> Scene {
    sqlite(|builder| {
        builder
            .set(
                "credentials",
                &format!("[ {}, bearer: {{ forward: keep }} ]", credential(more)),
            )
            .set("identity", identity)
            .set("origins", "{ allowed: [ \"https://web.test\" ] }")
    })
}

fn scene() -> Scene {
    scene_with(", forward: reissue", REISSUE)
}

fn post(cookie: &str, fields: &[(&str, &str)]) -> Request {
    let cookie = format!("sessionid={FIVE}{cookie}");
    let request = Request::post("/records", b"x").header("Cookie", &cookie);
    fields.iter().fold(request, |request, (name, value)| {
        request.header(name, value)
    })
}

#[test]
fn e10_an_unsafe_method_needs_djangos_token() {
    let scene = scene();
    let cookie = format!("; csrftoken={SECRET}");
    for good in [SECRET, MASKED] {
        let (_, seen) = scene.passes(&post(&cookie, &[("X-CSRFToken", good)]));
        assert!(seen.header("authorization").is_some());
        assert_eq!(seen.header("cookie"), Some(&*format!("csrftoken={SECRET}")));
    }
    for (cookie, fields) in [
        (&*cookie, &[][..]),
        ("", &[("X-CSRFToken", SECRET)]),
        ("", &[]),
        (
            &*cookie,
            &[("X-CSRFToken", "abcdefghijklmnopqrstuvwxyzABCDEG")],
        ),
        (&*cookie, &[("X-CSRFToken", "")]),
        (
            &*cookie,
            &[("X-CSRFToken", SECRET), ("X-CSRFToken", SECRET)],
        ),
        ("; csrftoken=", &[("X-CSRFToken", "")]),
        ("; csrftoken=x", &[("X-CSRFToken", "x")]),
    ] {
        scene.refuses(&post(cookie, fields), 403, "csrf_failed");
    }
    // The form's field is in the body, which is not read.
    let form = post(
        &cookie,
        &[("Content-Type", "application/x-www-form-urlencoded")],
    );
    scene.refuses(&form, 403, "csrf_failed");
}

#[test]
fn safe_methods_and_bearers_need_none() {
    let scene = scene();
    for method in ["GET", "HEAD", "OPTIONS"] {
        let request = Request::new(method, "/").header("Cookie", &format!("sessionid={FIVE}"));
        assert_eq!(scene.gateway.send(&request).status(), 200, "{method}");
    }
    let bearer = Token::user("5").account("12").signed();
    scene.passes(&Request::post("/", b"x").bearer(&bearer));
    // A bearer token beside the session cannot have been sent by another site.
    scene.passes(&post("", &[]).bearer(&bearer));
}

#[test]
fn e10_another_origin_never_passes() {
    let scene = scene();
    let cookie = format!("; csrftoken={SECRET}");
    let with = |name, value| post(&cookie, &[("X-CSRFToken", SECRET), (name, value)]);
    scene.passes(&with("Origin", "http://app.test"));
    scene.passes(&with("Origin", "https://web.test"));
    scene.refuses(
        &with("Origin", "http://evil.test"),
        403,
        "origin_not_allowed",
    );
    // The browser's own word is not enough where Django would look at the Origin.
    let both = with("Origin", "http://evil.test").header("Sec-Fetch-Site", "same-origin");
    scene.refuses(&both, 403, "csrf_failed");
}

#[test]
fn a_session_that_stays_a_session_is_the_apps_to_check() {
    let scene = scene_with(", forward: keep", "{}");
    scene.passes(&post("", &[]));
    let scene = scene_with(", forward: keep", REISSUE);
    scene.refuses(&post("", &[]), 403, "csrf_failed");
}

#[test]
fn the_secret_can_stand_in_the_session_and_names_can_differ() {
    let in_session = scene_with(", forward: reissue, csrf: { in_session: true }", REISSUE);
    let mut session = django::login("5", "password-of-5");
    session["_csrftoken"] = SECRET.into();
    let key = "withcsrfwithcsrfwithcsrfwithcsrf";
    execute_sqlite(
        &in_session.gateway.folder().join("app.db"),
        &django::insert(key, &django::stored(&session), 3600),
    );
    let request = |key: &str| {
        Request::post("/", b"x")
            .header("Cookie", &format!("sessionid={key}; csrftoken={SECRET}"))
            .header("X-CSRFToken", SECRET)
    };
    in_session.passes(&request(key));
    in_session.refuses(&request(FIVE), 403, "csrf_failed");
    let named = scene_with(
        ", forward: reissue, csrf: { cookie: xsrf, header: X-Xsrf }",
        REISSUE,
    );
    named.refuses(&request(FIVE), 403, "csrf_failed");
    let cookie = format!("; xsrf={SECRET}");
    named.passes(&post(&cookie, &[("X-Xsrf", SECRET)]));
}

#[test]
fn a_session_cannot_be_reissued_in_its_own_place() {
    let scene = scene();
    let text = std::fs::read_to_string(scene.gateway.folder().join("countersign.yaml"));
    let text = text.expect("readable").replace(", also: authorization", "");
    scene.gateway.replace_file("bad.yaml", &text);
    let folder = scene.gateway.folder();
    let check = crate::harness::countersign(folder, &ENVIRONMENT, &["check", "-c", "bad.yaml"]);
    assert_eq!(check.code, Some(2), "{check:?}");
    assert!(check.stderr.contains("also: authorization"), "{check:?}");
}

/// Its answer is a bearer token too.
#[test]
fn e10_the_token_endpoint_needs_djangos_token() {
    const ENDPOINT: &str = "/.well-known/countersign/token";
    for more in ["", ", also: authorization"] {
        let identity = format!("{{ reissue: {{ issuer: app, endpoint: {ENDPOINT}{more} }} }}");
        let scene = scene_with("", &identity);
        let ask = |cookie: &str, fields: &[(&str, &str)]| {
            let request =
                Request::post(ENDPOINT, b"").header("Cookie", &format!("sessionid={FIVE}{cookie}"));
            let add = |request: Request, (name, value): &(&str, &str)| request.header(name, value);
            fields.iter().fold(request, add)
        };
        let cookie = format!("; csrftoken={SECRET}");
        for fields in [
            &[][..],
            &[("Sec-Fetch-Site", "same-origin")],
            &[("X-CSRFToken", "abcdefghijklmnopqrstuvwxyzABCDEG")],
        ] {
            scene.refuses(&ask(&cookie, fields), 403, "csrf_failed");
        }
        let good = ask(&cookie, &[("X-CSRFToken", MASKED)]);
        scene.gateway.send(&good).expect_status(200);
        scene.upstream.assert_untouched();
    }
}
