//! The list is asked about each token, again and again, and its silence lets nobody in.

use super::{LONG, SHORT, configured, get, given_again, made, mysql_tables, passes};
use super::{postgres_tables, scene};
use super::{tables, taken_back, token};
use crate::harness::{
    Database, Key, MariaDb, Recorder, Request, SECRET, Scene, Token, countersign, echo_on_ws,
    execute_sqlite, until, upgrade_headers,
};

fn database() -> Database {
    let rows = made("one", "5") + &made("two", "5") + &made("gone", "7") + &taken_back("gone");
    Database::with(&format!("{}{rows}", postgres_tables()))
}

#[test]
fn a_token_that_was_taken_back_is_refused_and_one_that_was_given_again_is_not() {
    let database = database();
    let scene = scene(&database, SHORT);
    assert!(!passes(&scene, &get("7", "gone")));
    // An access token, which SimpleJWT does not remember, is not there.
    assert!(passes(&scene, &get("7", "access")));
    assert!(passes(&scene, &get("5", "one")));
    database.run(&taken_back("one"));
    until("it is taken back", || !passes(&scene, &get("5", "one")));
    assert!(passes(&scene, &get("5", "two")));
    database.run(&given_again("one"));
    until("it is given again", || passes(&scene, &get("5", "one")));
    // One that is made known and taken back after it was asked about.
    database.run(&(made("access", "NULL") + &taken_back("access")));
    until("an access token is taken back", || {
        !passes(&scene, &get("7", "access"))
    });
}

#[test]
fn it_is_refused_in_every_place() {
    let database = database();
    let scene = Scene::before(Recorder::answering(echo_on_ws), |builder| {
        configured(builder, &database, SHORT).set(
            "credentials",
            "[ bearer: {}, cookie: { name: access_token }, query: { parameter: token, scope: websocket }, websocket_protocol: { prefix: \"bearer.\" } ]",
        )
    });
    for (id, refused) in [("one", false), ("gone", true)] {
        let token = token(if refused { "7" } else { "5" }, id).signed();
        let socket = |target: &str| {
            upgrade_headers(Request::get(target)).header("Origin", "http://app.test")
        };
        for request in [
            Request::get("/").bearer(&token),
            Request::get("/").header("Cookie", &format!("access_token={token}")),
            socket("/ws").bearer(&token),
            socket("/ws").header("Cookie", &format!("access_token={token}")),
            socket(&format!("/ws?token={token}")),
            socket("/ws").header("Sec-WebSocket-Protocol", &format!("bearer.{token}")),
        ] {
            let response = scene.gateway.send(&request);
            if refused {
                scene.check_refusal(&response, 401, "token_revoked");
            } else {
                assert!([101, 200].contains(&response.status()), "{response:?}");
            }
        }
    }
}

#[test]
fn a_token_without_an_id_is_refused_and_other_issuers_are_not_asked_about() {
    let database = database();
    let scene = Scene::with(|builder| {
        configured(builder, &database, SHORT)
            .set(
                "issuers",
                "- { name: app, algorithms: [HS256], secret: \"${JWT_SECRET}\", claims: { user: user_id } }\n\
                 - { name: other, issuer: other, algorithms: [HS384], secret: \"${JWT_SECRET}\", claims: { user: user_id } }",
            )
            .set("revocations", "{ simplejwt_blacklist: { issuers: [app] } }")
    });
    let key = Key::secret("HS384", SECRET);
    let other =
        |token: Token| Request::get("/").bearer(&token.claim("iss", "other").signed_by(&key));
    for token in [Token::user("5").without("jti"), token("5", "")] {
        let request = Request::get("/").bearer(&token.signed());
        scene.refuses(&request, 401, "claim_missing");
    }
    scene.passes(&other(Token::user("5").without("jti")));
    scene.passes(&other(token("7", "gone")));
    assert!(!passes(&scene, &get("7", "gone")));
}

#[test]
fn nobody_is_let_in_while_the_list_does_not_answer() {
    let database = database();
    let scene = scene(&database, SHORT);
    assert!(passes(&scene, &get("5", "one")));
    database.run("ALTER TABLE token_blacklist_blacklistedtoken RENAME TO away");
    for id in ["two", "unknown"] {
        scene.refuses(&get("5", id), 503, "directory_unavailable");
    }
    until("the answer has had its time", || {
        scene.gateway.send(&get("5", "one")).status() == 503
    });
    database.run("ALTER TABLE away RENAME TO token_blacklist_blacklistedtoken");
    assert!(passes(&scene, &get("5", "two")));
}

#[test]
fn a_list_in_a_database_of_its_own_is_told_apart() {
    let database = Database::alone_with(&format!(
        "{}{}{}",
        postgres_tables(),
        made("gone", "7"),
        taken_back("gone")
    ));
    let scene = Scene::with(|builder| {
        builder
            .env("DATABASE_URL", &database.url())
            .set(
                "revocations",
                "{ simplejwt_blacklist: { url: \"${DATABASE_URL}\" } }",
            )
            .set(
                "directory",
                &format!("source: {{ file: {{ path: users.yaml }} }}\n{SHORT}"),
            )
    });
    assert!(passes(&scene, &get("5", "one")));
    assert!(!passes(&scene, &get("7", "gone")));
    let readiness = || {
        let ready = scene.gateway.admin(&Request::get("/readyz"));
        (
            ready.status(),
            ready.json()["components"]["blacklist"]["ready"].clone(),
        )
    };
    assert_eq!(readiness(), (200, true.into()));
    database.stop();
    scene.refuses(&get("5", "two"), 503, "directory_unavailable");
    assert_eq!(readiness(), (503, false.into()));
    database.start_again();
    until("it answers again", || readiness() == (200, true.into()));
    assert!(passes(&scene, &get("5", "two")));
    assert!(!passes(&scene, &get("7", "gone")));
}

#[test]
fn the_list_of_an_sqlite_directory() {
    let scene = Scene::with(|builder| {
        let file = builder.folder().join("app.db");
        execute_sqlite(&file, &tables("INTEGER", "TEXT"));
        execute_sqlite(&file, &(made("gone", "7") + &taken_back("gone")));
        builder
            .set(
                "directory",
                &format!("source: {{ sqlite: {{ path: app.db, lookups: {{ default: \"{}\" }} }} }}\n{LONG}", super::LOOKUP),
            )
            .set("revocations", "{ simplejwt_blacklist: {} }")
    });
    assert!(passes(&scene, &get("5", "one")));
    assert!(!passes(&scene, &get("7", "gone")));
    assert!(passes(&scene, &get("7", "GONE")), "another id");
}

#[test]
fn the_list_of_a_mysql_directory_compares_ids_byte_by_byte() {
    let rows = made("gone", "7") + &taken_back("gone");
    let database = MariaDb::with(&format!("{}{rows}", mysql_tables()));
    let scene = Scene::with(|builder| {
        builder
            .env("DATABASE_URL", &database.url())
            .set(
                "directory",
                &format!("source: {{ mysql: {{ url: \"${{DATABASE_URL}}\", lookups: {{ default: \"{}\" }} }} }}\n{LONG}", super::LOOKUP),
            )
            .set("revocations", "{ simplejwt_blacklist: {} }")
    });
    assert!(passes(&scene, &get("5", "one")));
    assert!(!passes(&scene, &get("7", "gone")));
    for other in ["GONE", "gone ", "gon\u{e9}"] {
        assert!(passes(&scene, &get("7", other)), "{other:?} is another id");
    }
}

#[test]
fn check_connect_says_that_the_tables_are_missing() {
    let database = database();
    let scene = scene(&database, SHORT);
    database.run("DROP TABLE token_blacklist_blacklistedtoken");
    let url = database.url();
    let environment = [
        ("JWT_SECRET", SECRET),
        ("COUNTERSIGN_ADMIN_TOKEN", crate::harness::ADMIN_TOKEN),
        ("DATABASE_URL", &url),
    ];
    let arguments = ["check", "-c", "countersign.yaml", "--connect"];
    let output = countersign(scene.gateway.folder(), &environment, &arguments);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("blacklist: "), "{output:?}");
}
