//! What is in the store, and what it means for a request.

use serde_json::json;

use super::django::{
    self, FALLBACK, FIVE, FORGED, GHOST, GONE, INACTIVE, NOBODY, OLD_NOBODY, OTHER_HASH,
};
use super::{
    ENVIRONMENT, LIVES, credential, database, dead, get, mysql, postgres, sqlite, with_session,
};
use crate::harness::{Database, Request, Scene, decode_claims, execute_sqlite, until};

fn every_kind(scene: &Scene) {
    let (_, seen, line) = scene.passes_as(&get(FIVE), "account_filled");
    assert_eq!(seen.header("x-auth-user-id"), Some("5"));
    assert_eq!(seen.header("x-auth-account-id"), Some("12"));
    assert_eq!(seen.header("x-auth-credential"), Some("django_session"));
    let cookie = format!("theme=dark; sessionid={FIVE}");
    assert_eq!(seen.header("cookie"), Some(&*cookie), "kept");
    assert_eq!(line["credential"], "django_session");
    assert!(line.get("issuer").is_none() && line.get("jti").is_none());
    let hash = line["session"].as_str().expect("the hash of the session");
    assert!(hash.len() == 32 && !hash.contains("five"), "{hash}");

    scene.passes(&get(FALLBACK));
    dead(scene, &get(GONE), "session_expired");
    dead(scene, &get(OTHER_HASH), "session_invalid");
    dead(scene, &get(FORGED), "session_invalid");
    dead(
        scene,
        &get("unknownunknownunknownunknownunkn"),
        "session_invalid",
    );
    for no_key in [
        "short",
        "with%00nul",
        "';DROP TABLE users;--",
        "\"a b c d e f\"",
    ] {
        dead(scene, &get(no_key), "session_invalid");
    }
    // Nobody's session, and a cookie that was emptied, are no credential.
    for nobody in [NOBODY, OLD_NOBODY, ""] {
        let response = scene.refuses(&get(nobody), 401, "credential_missing");
        assert_eq!(response.header("set-cookie"), None);
    }
    let response = scene.refuses(&get(INACTIVE), 403, "user_inactive");
    assert_eq!(response.header("set-cookie"), None);
    scene.refuses(&get(GHOST), 401, "user_unknown");
    // Two sessions are two readings.
    let twice = Request::get("/").header("Cookie", &format!("sessionid={FIVE}; sessionid={GONE}"));
    scene.refuses(&twice, 400, "ambiguous_request");
    for key in [FIVE, GONE, FORGED, "password-of-5"] {
        scene.never_written(key);
    }
}

#[test]
fn e8_sessions_in_postgres() {
    let database = database();
    every_kind(&postgres(&database, LIVES, |builder| builder));
}

#[test]
fn e8_sessions_in_sqlite() {
    every_kind(&sqlite(|builder| builder));
}

#[test]
fn e8_sessions_in_mysql() {
    let (database, scene) = mysql();
    every_kind(&scene);
    // The collation would find them.
    for key in [
        FIVE.to_uppercase(),
        format!("{FIVE} "),
        FIVE.replace('e', "é"),
    ] {
        let encoded = key.replace(' ', "%20").replace('é', "%C3%A9");
        dead(&scene, &get(&encoded), "session_invalid");
    }
    drop(database);
}

#[test]
fn a_quoted_cookie_is_read_as_django_reads_it() {
    let scene = sqlite(|builder| builder);
    scene.passes(&get(&format!("\"{FIVE}\"")));
}

#[test]
fn a_logout_and_a_password_change_count_as_soon_as_they_are_said() {
    let database = database();
    let scene = postgres(&database, LIVES, |builder| builder);
    scene.passes(&get(FIVE));
    scene.passes(&get(FALLBACK));
    database.run(&format!(
        "DELETE FROM django_session WHERE session_key = '{FIVE}'"
    ));
    scene.passes(&get(FIVE));
    let others = json!({ "tenant": "default", "session": FALLBACK });
    scene.gateway.invalidate(&others);
    scene.passes(&get(FIVE));
    scene
        .gateway
        .invalidate(&json!({ "tenant": "default", "session": FIVE }));
    dead(&scene, &get(FIVE), "session_invalid");
    database.run("UPDATE users SET password = 'a newer one' WHERE id = 5");
    scene
        .gateway
        .invalidate(&json!({ "tenant": "default", "user": "5" }));
    dead(&scene, &get(FALLBACK), "session_invalid");
}

#[test]
fn a_logout_counts_within_the_life_of_what_nobody_pushes() {
    let database = database();
    let lives = "cache: { ttl: 1h, ttl_without_push: 100ms, negative_ttl: 100ms }";
    let scene = postgres(&database, lives, |builder| builder);
    scene.passes(&get(FIVE));
    database.run("DELETE FROM django_session");
    until("the logout counts", || {
        scene.gateway.send(&get(FIVE)).status() != 200
    });
    dead(&scene, &get(FIVE), "session_invalid");
    // And a login within that of its absence.
    database.run(&django::insert(
        FIVE,
        &django::stored(&django::login("5", "password-of-5")),
        60,
    ));
    until("the login counts", || {
        scene.gateway.send(&get(FIVE)).status() == 200
    });
}

#[test]
fn a_moved_user_is_right_without_a_new_session() {
    let database = database();
    let scene = postgres(&database, LIVES, |builder| builder);
    scene.passes(&get(FIVE));
    database.run("UPDATE users SET account = 14 WHERE id = 5");
    scene
        .gateway
        .invalidate(&json!({ "tenant": "default", "user": "5" }));
    let (_, seen) = scene.passes(&get(FIVE));
    assert_eq!(seen.header("x-auth-account-id"), Some("14"));
}

#[test]
fn a_database_that_fails_is_not_a_dead_session() {
    let database = Database::with(&format!("{}{}", django::TABLES, django::rows()));
    let scene = postgres(&database, LIVES, |builder| builder);
    database.run("DROP TABLE django_session");
    let response = scene.refuses(&get(FIVE), 503, "directory_unavailable");
    assert_eq!(response.header("set-cookie"), None, "nobody is logged out");
}

#[test]
fn the_cookie_can_have_another_name_path_and_domain() {
    let more = ", cookie: __Secure-sid, path: /app, domain: example.test";
    let scene = sqlite(|builder| builder.set("credentials", &format!("[ {} ]", credential(more))));
    let request = |key: &str| Request::get("/").header("Cookie", &format!("__Secure-sid={key}"));
    scene.passes(&request(FIVE));
    let response = scene.refuses(&request(GONE), 401, "session_expired");
    assert_eq!(
        response.header("set-cookie"),
        Some(
            "__Secure-sid=; Path=/app; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; HttpOnly; \
             SameSite=Lax; Domain=example.test; Secure"
        )
    );
}

#[test]
fn a_browser_with_a_dead_session_is_sent_to_log_in_once() {
    let scene = sqlite(|builder| {
        builder.set(
            "routes",
            "[ { match: { path: / }, access: member, upstream: app, login: \"/login/?next={path}\" }, \
               { match: { path: /login/ }, access: public, upstream: app } ]",
        )
    });
    let page = Request::get("/page?x=1")
        .header("Accept", "text/html")
        .header("Sec-Fetch-Mode", "navigate")
        .header("Sec-Fetch-Dest", "document");
    let response = scene.gateway.send(&with_session(page.clone(), GONE));
    assert_eq!(response.status(), 303);
    assert_eq!(
        response.header("location"),
        Some("/login/?next=%2Fpage%3Fx%3D1")
    );
    assert_eq!(response.header("set-cookie"), Some(super::DELETED));
    let without = scene.gateway.send(&page);
    assert_eq!(without.status(), 303);
    assert_eq!(without.header("set-cookie"), None);
    // A public route never looks, and so never deletes.
    let login = with_session(Request::get("/login/"), GONE);
    assert_eq!(scene.gateway.send(&login).header("set-cookie"), None);
}

#[test]
fn a_session_that_is_its_own_cookie() {
    let scene = Scene::with(|builder| {
        super::with_keys(builder)
            .users("users:\n  - { user: \"5\", account: \"12\", active: true, session_auth: password-of-5 }\n  - { user: \"6\", account: \"12\", active: true }\n")
            .set(
                "credentials",
                &format!("[ {} ]", credential(", store: { signed_cookies: {} }, cookie_age: 1h")),
            )
            .set("issuers", "[]")
    });
    let cookie = |session: &serde_json::Value, secret: &str, age: i64| {
        django::dumps(session, django::COOKIE, secret, age)
    };
    let five = django::login("5", "password-of-5");
    let (_, seen) = scene.passes(&get(&cookie(&five, django::SECRET_KEY, 0)));
    assert_eq!(seen.header("x-auth-account-id"), Some("12"));
    scene.passes(&get(&cookie(&five, django::SECRET_KEY, 3500)));
    dead(
        &scene,
        &get(&cookie(&five, django::SECRET_KEY, 3700)),
        "session_expired",
    );
    dead(
        &scene,
        &get(&cookie(&five, "another secret", 0)),
        "session_invalid",
    );
    dead(&scene, &get(&django::stored(&five)), "session_invalid");
    dead(&scene, &get(FIVE), "session_invalid");
    // A record without a password column lets no session in.
    let six = django::login("6", "");
    dead(
        &scene,
        &get(&cookie(&six, django::SECRET_KEY, 0)),
        "session_invalid",
    );
    let nobody = cookie(&json!({ "cart": [] }), django::SECRET_KEY, 0);
    scene.refuses(&get(&nobody), 401, "credential_missing");
}

#[test]
fn a_reissued_session_is_a_bearer_token_of_the_apps_own() {
    let scene = sqlite(|builder| {
        builder
            .set("credentials", &format!("[ {} ]", credential(", forward: reissue")))
            .set(
                "identity",
                "{ reissue: { issuer: app, ttl: 2h, also: authorization, claims: { token_type: access } } }",
            )
    });
    let (_, seen) = scene.passes(&get(FIVE));
    assert_eq!(
        seen.header("cookie"),
        Some("theme=dark"),
        "the session is gone"
    );
    let authorization = seen.header("authorization").expect("a bearer token");
    let token = authorization
        .strip_prefix("Bearer ")
        .expect("a bearer token");
    let claims = decode_claims(token);
    assert_eq!(claims["user_id"], "5");
    assert_eq!(claims["account_id"], "12");
    assert_eq!(claims["token_type"], "access");
    let left = claims["exp"].as_i64().expect("a time") - crate::harness::now();
    assert!(
        (3500..=3601).contains(&left),
        "not beyond the session: {left}"
    );
}

#[test]
fn check_says_what_a_session_needs() {
    let scene = sqlite(|builder| builder);
    let path = scene.gateway.folder().join("countersign.yaml");
    let text = std::fs::read_to_string(&path).expect("readable");
    let check = |text: &str| {
        std::fs::write(&path, text).expect("written");
        let folder = scene.gateway.folder();
        crate::harness::countersign(
            folder,
            &ENVIRONMENT,
            &["check", "-c", "countersign.yaml", "--connect"],
        )
    };
    let bad = check(&text.replace(", password AS session_auth", ""));
    assert_eq!(bad.code, Some(2), "{bad:?}");
    assert!(bad.stderr.contains("session_auth"), "{bad:?}");
    execute_sqlite(
        &scene.gateway.folder().join("app.db"),
        "DROP TABLE django_session",
    );
    let missing = check(&text);
    let said = format!("{}{}", missing.stdout, missing.stderr);
    assert!(said.contains("session table"), "{said}");
}

#[test]
fn a_revoked_users_sessions_are_refused_too() {
    let database = database();
    let scene = postgres(&database, LIVES, |builder| builder);
    scene.passes(&get(FIVE));
    let until = jiff::Timestamp::from_second(crate::harness::now() + 3600).expect("a time");
    let revoke = |message: &serde_json::Value| {
        scene.gateway.revoke(message).expect_status(200);
    };
    // An issuer's tokens are no sessions.
    revoke(
        &json!({ "tenant": "default", "user": "5", "issuer": "app", "until": until.to_string() }),
    );
    scene.passes(&get(FIVE));
    revoke(&json!({ "tenant": "default", "user": "5", "until": until.to_string() }));
    scene.refuses(&get(FIVE), 401, "token_revoked");
    scene.passes(&get(super::django::SEVEN));
}
