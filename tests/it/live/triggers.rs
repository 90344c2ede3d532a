//! The triggers that `countersign sql postgres` prints, in a real PostgreSQL: what a statement of
//! the app's says, and that the gateway's next answer is the new one.

use super::{PUSHED, TABLES, account_for, account_of, directory, until_account, until_push};
use crate::harness::{Builder, Database, Request, Scene, Token, countersign, until};

/// The script for this configuration.
pub(crate) fn script(builder: &Builder) -> String {
    builder.write();
    let env = builder.env_pairs();
    let arguments = ["sql", "postgres", "-c", "countersign.yaml"];
    let output = countersign(builder.folder(), &env, &arguments);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    output.stdout
}

fn configured(database: &Database, invalidation: &str) -> Builder {
    Builder::new()
        .set(
            "upstreams",
            "[ { name: app, servers: [ \"http://127.0.0.1:1\" ] } ]",
        )
        .env("DATABASE_URL", &database.url())
        .set("directory", &directory(invalidation))
}

/// A gateway on a database with the triggers.
fn scene(database: &Database) -> Scene {
    database.run(&script(&configured(database, PUSHED)));
    let scene = Scene::with(|builder| {
        builder
            .env("DATABASE_URL", &database.url())
            .set("directory", &directory(PUSHED))
    });
    until_push(&scene.gateway, true);
    scene
}

/// What a statement says on the channel, sorted.
pub(crate) fn said(database: &Database, sql: &str) -> Vec<String> {
    // psql prints a notification after the command that it comes with.
    let text = database.run_each(&["LISTEN countersign", sql, "SELECT 1"]);
    let mut said: Vec<String> = text
        .lines()
        .filter_map(|line| line.split_once("with payload \""))
        .filter_map(|(_, rest)| Some(rest.rsplit_once("\" received")?.0.to_owned()))
        .collect();
    said.sort();
    said
}

#[test]
fn what_the_app_writes_is_the_next_answer() {
    let database = Database::with(TABLES);
    let scene = scene(&database);
    assert_eq!(account_of(&scene, "5"), "12");
    for (sql, user, answer) in [
        ("UPDATE users SET account_id = 14 WHERE id = 5", "5", "14"),
        (
            "UPDATE users SET is_active = false WHERE id = 5",
            "5",
            "user_inactive",
        ),
        ("UPDATE users SET is_active = true WHERE id = 5", "5", "14"),
        (
            "UPDATE accounts SET status = 'closed' WHERE id = 14",
            "5",
            "account_inactive",
        ),
        (
            "UPDATE accounts SET status = 'active' WHERE id = 14",
            "5",
            "14",
        ),
        ("DELETE FROM users WHERE id = 5", "5", "user_unknown"),
        (
            "INSERT INTO users (id, account_id) VALUES (5, 13)",
            "5",
            "13",
        ),
        ("UPDATE users SET id = 8 WHERE id = 5", "5", "user_unknown"),
        (
            "INSERT INTO users (id, account_id) VALUES (5, 12) ON CONFLICT (id) DO NOTHING",
            "5",
            "12",
        ),
        (
            "INSERT INTO users (id, account_id) VALUES (5, 0) ON CONFLICT (id) DO UPDATE SET account_id = 14",
            "5",
            "14",
        ),
        (
            "BEGIN; UPDATE users SET account_id = 13 WHERE id = 5; SAVEPOINT s; UPDATE users SET account_id = 12 WHERE id = 5; ROLLBACK TO s; COMMIT",
            "5",
            "13",
        ),
        ("TRUNCATE users", "5", "user_unknown"),
    ] {
        database.run(sql);
        until_account(&scene, user, answer);
    }
}

#[test]
fn a_statement_says_whom_it_concerns_and_no_more() {
    let database = Database::with(TABLES);
    database.run(&script(&configured(&database, PUSHED)));
    let user = |id: u32| format!(r#"{{"tenant":"default","user":"{id}"}}"#);
    for (sql, expected) in [
        (
            "UPDATE users SET account_id = 14 WHERE id = 5",
            vec![user(5)],
        ),
        // Nothing that is watched changed.
        ("UPDATE users SET seen = now(), settings = '{}'", vec![]),
        ("UPDATE users SET account_id = account_id", vec![]),
        ("UPDATE users SET account_id = 1 WHERE false", vec![]),
        ("UPDATE accounts SET note = 'x'", vec![]),
        (
            "UPDATE users SET role = 'x'",
            vec![user(5), user(6), user(7)],
        ),
        (
            "UPDATE users SET role = NULL WHERE id < 7",
            vec![user(5), user(6)],
        ),
        (
            "UPDATE users SET id = 9 WHERE id = 5",
            vec![user(5), user(9)],
        ),
        (
            "UPDATE accounts SET status = 'closed' WHERE id = 12",
            vec![r#"{"tenant":"default","account":"12"}"#.to_owned()],
        ),
        (
            "INSERT INTO users (id) SELECT g FROM generate_series(1000, 1099) g",
            (1000..1100).map(user).collect(),
        ),
        (
            "INSERT INTO users (id) SELECT g FROM generate_series(2000, 2100) g",
            vec![r#"{"tenant":"default"}"#.to_owned()],
        ),
        (
            "DELETE FROM users WHERE id >= 1000",
            vec![r#"{"tenant":"default"}"#.to_owned()],
        ),
        ("TRUNCATE users", vec![r#"{"tenant":"default"}"#.to_owned()]),
        ("BEGIN; INSERT INTO users (id) VALUES (5); ROLLBACK", vec![]),
    ] {
        assert_eq!(said(&database, sql), expected, "{sql}");
    }
}

#[test]
fn hostile_names_and_ids_change_nothing() {
    let database = Database::with(
        r#"CREATE SCHEMA "a.b"; CREATE TABLE "we""ird $countersign$ 'x'" ("i d" text, "t'" text, "a" text, t json, u point);"#,
    );
    let invalidation = r#"postgres_notify: { tables: [ { table: "we\"ird $countersign$ 'x'", user: "i d", account: a, tenant: "t'", watch: [t, u] } ] }"#;
    let script = script(&configured(&database, invalidation));
    database.run(&script);
    database.run(&script);
    let table = r#""we""ird $countersign$ 'x'""#;
    let long = "x".repeat(9000);
    for (values, expected) in [
        (
            r#"('5"}', 'a\b', NULL, '{}', NULL)"#,
            vec![r#"{"tenant":"a\\b","user":"5\"}"}"#.to_owned()],
        ),
        (
            "(NULL, 'a', NULL, NULL, NULL)",
            vec![r#"{"tenant":"a"}"#.to_owned()],
        ),
        ("('5', NULL, '7', NULL, NULL)", vec!["{}".to_owned()]),
        (
            "('5', 'a', '7', NULL, NULL)",
            vec![
                r#"{"tenant":"a","account":"7"}"#.to_owned(),
                r#"{"tenant":"a","user":"5"}"#.to_owned(),
            ],
        ),
        (
            &*format!("('{long}', 'a', NULL, NULL, NULL)"),
            vec!["{}".to_owned()],
        ),
    ] {
        let sql = format!("INSERT INTO {table} VALUES {values}");
        assert_eq!(said(&database, &sql), expected, "{values}");
    }
    let sql = format!("UPDATE {table} SET u = '(1,2)' WHERE \"i d\" = '5' AND \"t'\" = 'a'");
    assert_eq!(said(&database, &sql).len(), 2);
    let sql = format!("INSERT INTO {table} SELECT 'u', 't' || g FROM generate_series(1, 101) g");
    assert_eq!(said(&database, &sql), ["{}"]);
    let sql =
        format!("INSERT INTO {table} SELECT 'u' || g, 't' || g % 2 FROM generate_series(1, 101) g");
    assert_eq!(
        said(&database, &sql),
        [r#"{"tenant":"t0"}"#, r#"{"tenant":"t1"}"#]
    );
}

#[test]
fn without_watch_every_column_counts() {
    let database = Database::with(TABLES);
    let invalidation = "postgres_notify: { tables: [ { table: users, user: id } ] }";
    database.run(&script(&configured(&database, invalidation)));
    let five = r#"{"tenant":"default","user":"5"}"#;
    assert_eq!(
        said(
            &database,
            "UPDATE users SET settings = '{\"a\":1}' WHERE id = 5"
        ),
        [five]
    );
    assert!(said(&database, "UPDATE users SET settings = settings").is_empty());
}

#[test]
fn running_it_again_replaces_what_was_there() {
    let database = Database::with(TABLES);
    let first = script(&configured(&database, PUSHED));
    database.run(&first);
    database.run(&first);
    let count = "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal";
    assert_eq!(database.run(count).trim(), "8");
    let fewer = "postgres_notify: { tables: [ { table: accounts, account: id } ] }";
    database.run(&script(&configured(&database, fewer)));
    assert_eq!(database.run(count).trim(), "4");
    assert!(said(&database, "DELETE FROM users").is_empty());
}

const TENANTS: &str = r#"
CREATE TABLE public.tenants (name text);
CREATE FUNCTION make(s text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
  EXECUTE format('CREATE SCHEMA %I; CREATE TABLE %I.users (id bigint PRIMARY KEY, account_id bigint, is_active boolean DEFAULT true)', s, s);
  EXECUTE format('INSERT INTO %I.users VALUES (5, 12)', s);
END $$;
SELECT make('acme'), make('o''ne "x"');
CREATE SCHEMA empty;
CREATE TABLE public.users (id bigint, account_id bigint, is_active boolean);
"#;

#[test]
fn e1_with_a_schema_per_tenant_a_change_concerns_its_own_tenant() {
    let database = Database::with(TENANTS);
    let directory = "source: { postgres: { url: \"${DATABASE_URL}\", schema_per_tenant: true, lookups: { default: \"SELECT id, account_id AS account, is_active AS active FROM users WHERE id = $user::bigint\" } } }\n\
        cache: { ttl: 1h, ttl_without_push: 100ms, negative_ttl: 1h }\n\
        invalidation: { postgres_notify: { tables: [ { table: users, user: id }, { table: public.tenants, account: name } ] } }";
    let configure = |builder: Builder| {
        builder
            .env("DATABASE_URL", &database.url())
            .set("tenants", "{ sources: [ { token: {} } ] }")
            .set("directory", directory)
    };
    let builder = configure(Builder::new().set(
        "upstreams",
        "[ { name: app, servers: [ \"http://127.0.0.1:1\" ] } ]",
    ));
    database.run(&script(&builder));
    assert_eq!(
        said(&database, r#"UPDATE "o'ne ""x""".users SET account_id = 1"#),
        [r#"{"tenant":"o'ne \"x\"","user":"5"}"#]
    );
    assert!(said(&database, "INSERT INTO public.users VALUES (5, 1, true)").is_empty());
    assert_eq!(said(&database, "INSERT INTO tenants VALUES ('x')"), ["{}"]);

    let scene = Scene::with(configure);
    until_push(&scene.gateway, true);
    let account = |tenant: &str| {
        let token = Token::user("5").tenant(tenant).signed();
        account_for(&scene, &Request::get("/").bearer(&token))
    };
    assert_eq!(account("acme"), "12");
    let before = scene.gateway.metric("countersign_directory_lookups_total");
    database.run("UPDATE acme.users SET account_id = 14");
    until("the new account", || account("acme") == "14");
    // A tenant that is made later.
    assert_eq!(account("late"), "tenant_unknown");
    database.run("BEGIN; SELECT make('late'); SELECT countersign_attach('late'); UPDATE late.users SET account_id = 7; COMMIT");
    until("the new tenant", || account("late") == "7");
    database.run("UPDATE late.users SET account_id = 8");
    until("the new tenant's change", || account("late") == "8");
    assert!(scene.gateway.metric("countersign_directory_lookups_total") > before);
}

#[test]
fn the_script_needs_tables_and_a_configuration() {
    let database = Database::with("");
    let builder = configured(&database, "postgres_notify: {}");
    builder.write();
    for (arguments, words) in [
        (
            &["sql", "postgres", "-c", "countersign.yaml"][..],
            "no table is named",
        ),
        (&["sql", "postgres"], "-c FILE"),
        (
            &["sql", "mysql", "-c", "countersign.yaml"],
            "no outbox in MySQL",
        ),
        (&["sql", "oracle", "-c", "countersign.yaml"], "sql postgres"),
    ] {
        let output = countersign(builder.folder(), &builder.env_pairs(), arguments);
        assert_eq!(output.code, Some(2), "{arguments:?}");
        assert!(output.stderr.contains(words), "{}", output.stderr);
    }
}
