//! Rows, types, loose comparisons, failures.

use serde_json::json;

use super::{LOOKUP, TABLES, account_of, configured, get};
use crate::harness::{Builder, MariaDb, Request, Scene, Token, countersign, until};

const LONG: &str = "cache: { ttl: 1h, ttl_without_push: 1h, negative_ttl: 1h }";
const SHORT: &str =
    "cache: { ttl: 50ms, ttl_without_push: 50ms, negative_ttl: 50ms }\nlimits: { timeout: 1s }";

fn scene(database: &MariaDb, lookup: &str, more: &str) -> Scene {
    Scene::with(|builder| {
        configured(builder, database, lookup, more).set(
            "identity",
            "{ attributes: { email: X-Auth-Email, big: X-Auth-Big, price: X-Auth-Price, day: X-Auth-Day, at: X-Auth-At } }",
        )
    })
}

const TYPES: &str = r#"
CREATE TABLE users (
  id bigint unsigned PRIMARY KEY, account_id int, is_active tinyint(1), staff bit(1), role enum('admin', 'guest'),
  roles json, email varchar(100), big bigint unsigned, price decimal(10, 2), day date, at datetime(6),
  since timestamp(3) NULL, memberships json);
INSERT INTO users VALUES
  (5, 12, 1, b'1', 'admin', '["writer", "admin"]', 'zoë@example.test', 18446744073709551615, 12.50, '2026-01-02', '2026-01-02 03:04:05.000007', NULL, '[12, 14]'),
  (6, NULL, 1, b'1', 'guest', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (7, 12, 0, b'1', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (8, 12, NULL, b'1', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (9, 12, 1, b'0', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (10, 12, 1, b'1', NULL, NULL, NULL, NULL, NULL, NULL, NULL, UTC_TIMESTAMP() + INTERVAL 1 HOUR, NULL);
"#;

#[test]
fn a_row_is_a_record_whatever_its_types() {
    let database = MariaDb::with(TYPES);
    let lookup = "SELECT id, account_id AS account, is_active AS active, staff AS account_active,\n\
                  COALESCE(roles, role) AS roles, memberships, email, big, price, day, at, since AS tokens_valid_after\n\
                  FROM users WHERE id = $user";
    let scene = scene(&database, lookup, LONG);
    let (_, seen) = scene.passes(&get("5"));
    for (header, value) in [
        ("x-auth-account-id", "12"),
        ("x-auth-roles", "admin,writer"),
        ("x-auth-email", "UTF-8''zo%C3%AB%40example.test"),
        ("x-auth-big", "18446744073709551615"),
        ("x-auth-price", "12.50"),
        ("x-auth-day", "2026-01-02 00:00:00"),
        ("x-auth-at", "2026-01-02 03:04:05.000007"),
    ] {
        assert_eq!(seen.header(header), Some(value), "{header}");
    }
    scene.refuses(&get("6"), 403, "account_missing");
    scene.refuses(&get("7"), 403, "user_inactive");
    scene.refuses(&get("8"), 403, "user_inactive");
    scene.refuses(&get("9"), 403, "account_inactive");
    scene.refuses(&get("10"), 401, "token_revoked");
    scene.refuses(&get("11"), 401, "user_unknown");
}

#[test]
fn what_the_server_bends_to_compare_it_is_nobody() {
    let database = MariaDb::with(
        "CREATE TABLE users (id bigint PRIMARY KEY, account_id bigint);
         INSERT INTO users VALUES (0, 1), (5, 12), (9007199254740992, 13), (9007199254740993, 14), (-5, 15);",
    );
    let plain = "SELECT id, account_id AS account, true AS active FROM users WHERE id = $user";
    let cast = "SELECT id, account_id AS account, true AS active FROM users WHERE id = CAST($user AS UNSIGNED)";
    // Without an index, a text is compared with every row as a fraction.
    let slow = "SELECT id, account_id AS account, true AS active FROM users WHERE id + 0 = $user ORDER BY id LIMIT 1";
    for lookup in [plain, cast, slow] {
        let scene = scene(&database, lookup, LONG);
        assert_eq!(account_of(&scene, "5"), "12", "{lookup}");
        for user in [
            "5abc",
            "5.0",
            "05",
            "+5",
            "5e0",
            "0x5",
            "acme",
            "5; DROP TABLE users",
            "' OR 1=1 -- ",
            "99999999999999999999999",
            "٥",
        ] {
            let user = user.trim();
            assert_eq!(account_of(&scene, user), "user_unknown", "{lookup}: {user}");
        }
        let large = account_of(&scene, "9007199254740993");
        assert!(
            ["14", "user_unknown"].contains(&&*large),
            "{lookup}: {large}"
        );
    }
}

#[test]
fn what_a_collation_passes_over_is_nobody() {
    let database = MariaDb::with(
        "CREATE TABLE users (id varchar(50) COLLATE utf8mb4_general_ci PRIMARY KEY, tenant varchar(50), account_id bigint);
         INSERT INTO users VALUES ('ann', 'acme', 12), ('josé', 'acme', 13), ('straße', 'acme', 14);",
    );
    let lookup = "SELECT id, account_id AS account, true AS active FROM users WHERE id = $user";
    let alone = scene(&database, lookup, LONG);
    for (user, account) in [
        ("ann", "12"),
        ("Ann", "user_unknown"),
        ("ANN", "user_unknown"),
        ("änn", "user_unknown"),
        ("josé", "identity_unsafe"),
        ("jose", "user_unknown"),
        ("strase", "user_unknown"),
        ("strasse", "user_unknown"),
        ("ann\u{301}", "user_unknown"),
    ] {
        assert_eq!(account_of(&alone, user), account, "{user}");
    }
    // Tenants too.
    let lookup = "SELECT id, account_id AS account, true AS active FROM users WHERE id = $user AND tenant = $tenant";
    let scene = Scene::with(|builder| {
        configured(builder, &database, lookup, LONG).set(
            "tenants",
            "sources: [ token: {} ]\nknown: { query: \"SELECT DISTINCT tenant FROM users\" }",
        )
    });
    let ask = |tenant: &str| {
        let token = Token::user("ann").claim("tenant_schema", json!(tenant));
        scene
            .gateway
            .send(&Request::get("/").bearer(&token.signed()))
    };
    assert_eq!(ask("acme").status(), 200);
    for tenant in ["ACME", "Acme", "àcme", "acme2"] {
        let refused = ask(tenant);
        assert_eq!(
            refused.reason().as_deref(),
            Some("tenant_unknown"),
            "{tenant}"
        );
    }
}

#[test]
fn tenants_come_from_domains() {
    let database = MariaDb::with(
        "CREATE TABLE domains (domain varchar(100), tenant varchar(50));
         INSERT INTO domains VALUES ('acme.test', 'acme'), ('globex.test', 'globex');
         CREATE TABLE users (id bigint, tenant varchar(50), account_id bigint, PRIMARY KEY (tenant, id));
         INSERT INTO users VALUES (5, 'acme', 12), (5, 'globex', 13);",
    );
    let lookup = "SELECT id, account_id AS account, true AS active FROM users WHERE tenant = $tenant AND id = $user";
    let scene = Scene::with(|builder| {
        configured(builder, &database, lookup, LONG).set(
            "tenants",
            "sources: [ domain: { query: \"SELECT tenant FROM domains WHERE domain = $host\" } ]",
        )
    });
    for (host, tenant, account) in [("acme.test", "acme", "12"), ("globex.test", "globex", "13")] {
        let token = Token::user("5").claim("tenant_schema", json!(tenant));
        let request = Request::get("/").host(host).bearer(&token.signed());
        let (_, seen) = scene.passes(&request);
        assert_eq!(seen.header("x-auth-account-id"), Some(account), "{host}");
        assert_eq!(seen.header("x-auth-tenant-id"), Some(tenant), "{host}");
    }
    let token = Token::user("5").claim("tenant_schema", json!("acme"));
    let elsewhere = Request::get("/").host("other.test").bearer(&token.signed());
    scene.refuses(&elsewhere, 404, "tenant_unknown");
}

#[test]
fn e22_what_cannot_be_answered_is_refused_with_503_and_comes_back() {
    let database = MariaDb::alone_with(TABLES);
    let patient = SHORT.replace("timeout: 1s", "timeout: 3s");
    let scene = scene(&database, LOOKUP, &patient);
    assert_eq!(account_of(&scene, "5"), "12");
    database.run("RENAME TABLE users TO people");
    until("it is refused", || {
        account_of(&scene, "5") == "directory_unavailable"
    });
    let refused = scene.refuses(&get("5"), 503, "directory_unavailable");
    assert!(refused.header("retry-after").is_some());
    database.run("RENAME TABLE people TO users");
    until("it is answered", || account_of(&scene, "5") == "12");
    // Connections that were kept are dead; nobody notices.
    for _ in 0..3 {
        database.cut_connections();
        assert_eq!(account_of(&scene, "6"), "13");
    }
    let frozen = database.freeze();
    until("it is refused", || {
        account_of(&scene, "5") == "directory_unavailable"
    });
    drop(frozen);
    until("it is answered", || account_of(&scene, "5") == "12");
    database.stop();
    until("it is refused", || {
        account_of(&scene, "5") == "directory_unavailable"
    });
    database.start_again();
    until("it is answered", || account_of(&scene, "5") == "12");
}

#[test]
fn e23_an_answer_that_comes_too_late_is_nobody_elses() {
    let database = MariaDb::with(TABLES);
    let lookup = "SELECT u.id, u.account_id AS account, true AS active FROM users u WHERE u.id = $user AND (u.id <> 5 OR SLEEP(3) = 0)";
    let scene = scene(&database, lookup, SHORT);
    for _ in 0..2 {
        scene.refuses(&get("5"), 503, "directory_unavailable");
        assert_eq!(account_of(&scene, "6"), "13");
        assert_eq!(account_of(&scene, "7"), "14");
    }
}

#[test]
fn look_ups_can_change_nothing_and_two_rows_are_an_error() {
    let database = MariaDb::with(
        "CREATE TABLE users (id bigint, account_id bigint); INSERT INTO users VALUES (5, 12), (5, 14), (6, 13), (7, 1);
         DELIMITER $$
         CREATE FUNCTION touch() RETURNS int BEGIN DELETE FROM users WHERE id = 7; RETURN 1; END$$",
    );
    let plain = "SELECT id, account_id AS account, true AS active FROM users WHERE id = $user";
    let first = scene(&database, plain, SHORT);
    first.refuses(&get("5"), 503, "directory_unavailable");
    assert_eq!(account_of(&first, "6"), "13");
    let touching =
        "SELECT id, account_id AS account, touch() AS active FROM users WHERE id = $user";
    let scene = Scene::with(|builder| configured(builder.not_ready(), &database, touching, SHORT));
    scene.refuses(&get("6"), 503, "directory_unavailable");
    assert_eq!(
        database
            .run("SELECT count(*) FROM users WHERE id = 7")
            .trim(),
        "1"
    );
}

#[test]
fn check_names_what_is_wrong_with_a_query() {
    let database = MariaDb::with(TABLES);
    let upstream = "[ { name: app, servers: [ \"http://127.0.0.1:1\" ] } ]";
    for (lookup, wanted) in [
        (
            "SELECT id, account_id AS account FROM users WHERE id = $user",
            "`active`",
        ),
        ("SELECT * FROM users WHERE id = $user", "`account`"),
        (
            "SELECT id, account, active FROM nothing WHERE id = $user",
            "nothing",
        ),
        (
            "SELECT id, nobody AS account, true AS active FROM users WHERE id = $user",
            "nobody",
        ),
        (
            "SELECT id, id, account_id AS account, true AS active FROM users WHERE id = $user",
            "id",
        ),
    ] {
        let builder =
            configured(Builder::new(), &database, lookup, LONG).set("upstreams", upstream);
        builder.write();
        let arguments = ["check", "-c", "countersign.yaml", "--connect"];
        let output = countersign(builder.folder(), &builder.env_pairs(), &arguments);
        let said = format!("{}{}", output.stdout, output.stderr);
        assert_ne!(output.code, Some(0), "{lookup}: {said}");
        assert!(said.contains(wanted), "{lookup}: {said}");
    }
}
