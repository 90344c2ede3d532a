//! A schema per tenant: each tenant's own list speaks of its own tokens.

use std::fmt::Write as _;

use super::push::{served, unserved};
use super::{LONG, LOOKUP, made, passes, postgres_tables, taken_back, token};
use crate::harness::{Builder, Database, Ended, Request, Scene, WebSocket, upgrade_headers};
use crate::live::triggers::{said, script};

/// Tenants a, b and `o'ne` with the same users and tokens; c has no list, but `public` has one.
fn database() -> Database {
    let mut sql = String::new();
    for schema in ["a", "b", "\"o'ne %s\"", "c", "public"] {
        if schema != "public" {
            let _ = write!(sql, "CREATE SCHEMA {schema};");
        }
        let _ = write!(sql, "SET search_path = {schema};{}", postgres_tables());
        sql.push_str(&(made("same", "5") + &made("seven", "7")));
    }
    sql.push_str(
        "DROP TABLE c.token_blacklist_blacklistedtoken, c.token_blacklist_outstandingtoken;",
    );
    Database::with(&sql)
}

fn configured(builder: Builder, database: &Database, blacklist: &str) -> Builder {
    let directory = format!(
        "source: {{ postgres: {{ url: \"${{DATABASE_URL}}\", schema_per_tenant: true, search_path_also: [public], \
         lookups: {{ default: \"{LOOKUP}::bigint\" }} }} }}\n{LONG}\ninvalidation: {{ postgres_notify: {{}} }}"
    );
    builder
        .env("DATABASE_URL", &database.url())
        .set("tenants", "sources: [ token: {} ]")
        .set("directory", &directory)
        .set(
            "revocations",
            &format!("{{ simplejwt_blacklist: {{ {blacklist} }} }}"),
        )
}

fn signed(tenant: &str, user: &str, id: &str) -> String {
    token(user, id).tenant(tenant).signed()
}

fn get(tenant: &str, user: &str, id: &str) -> Request {
    Request::get("/").bearer(&signed(tenant, user, id))
}

fn open(scene: &Scene, tenant: &str) -> WebSocket {
    let request = upgrade_headers(Request::get("/ws")).bearer(&signed(tenant, "5", "same"));
    let mut socket = WebSocket::open(scene.gateway.address(), &request);
    socket.echo("before");
    socket
}

#[test]
fn e14_one_tenants_list_says_nothing_of_anothers_token() {
    let database = database();
    database.run(&script(&configured(unserved(), &database, "")));
    let scene = served(|builder| configured(builder, &database, ""));
    let (mut a, mut b) = (open(&scene, "a"), open(&scene, "b"));
    database.run(&format!("SET search_path = a; {}", taken_back("same")));
    assert_eq!(a.ended(), Ended::Code(4401));
    assert!(!passes(&scene, &get("a", "5", "same")));
    b.echo("after");
    assert!(passes(&scene, &get("b", "5", "same")));
    assert!(passes(&scene, &get("a", "7", "seven")));
    // A tenant without a list is no tenant whose list is empty, and `public`'s list is not its own.
    scene.refuses(&get("c", "5", "same"), 503, "directory_unavailable");
    scene.refuses(&get("nobody", "5", "same"), 404, "tenant_unknown");
    scene.refuses(&get("public", "5", "same"), 404, "tenant_unknown");
}

#[test]
fn e14_what_a_tenants_list_says_names_its_tenant() {
    let database = database();
    let script = script(&configured(unserved(), &database, ""));
    database.run(&script);
    database.run(&script);
    let path = |schema: &str| format!("SET search_path = {schema}; {}", taken_back("same"));
    // In one session, one after the other.
    let both = format!("{}; {}", path("a"), path("b"));
    assert_eq!(
        said(&database, &both),
        [
            r#"{"tenant":"a","user":"5"}"#,
            r#"{"tenant":"b","user":"5"}"#
        ]
    );
    assert_eq!(
        said(&database, &path("\"o'ne %s\"")),
        [r#"{"tenant":"o'ne %s","user":"5"}"#]
    );
    assert!(said(&database, &path("public")).is_empty());
    assert_eq!(
        said(&database, "TRUNCATE a.token_blacklist_blacklistedtoken"),
        [r#"{"tenant":"a"}"#]
    );
}

#[test]
fn a_list_that_all_tenants_share_is_named_on_purpose() {
    let database = database();
    let shared = "outstanding: public.token_blacklist_outstandingtoken, blacklisted: public.token_blacklist_blacklistedtoken";
    database.run(&format!("SET search_path = public; {}", taken_back("same")));
    let scene = served(|builder| configured(builder, &database, shared));
    for tenant in ["a", "b", "c"] {
        assert!(!passes(&scene, &get(tenant, "5", "same")));
        assert!(passes(&scene, &get(tenant, "7", "seven")));
    }
}
