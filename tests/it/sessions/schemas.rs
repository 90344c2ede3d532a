//! A schema per tenant: a session is its tenant's, and the same key in another schema another's.

use std::fmt::Write as _;

use super::django::{self, FIVE, NOBODY, insert, login, stored};
use super::{credential, dead, with_keys, with_session};
use crate::harness::{Database, Request, Scene, Token};

/// Users 5 in a and b with passwords of their own; the key FIVE is in a, a key of b's in b, and
/// `public` has both tables too.
fn tables() -> String {
    let mut sql = String::new();
    for (schema, password) in [("a", "of-a"), ("b", "of-b"), ("public", "of-public")] {
        let tables = django::TABLES.replace("password-of-5", password);
        if schema != "public" {
            let _ = write!(sql, "CREATE SCHEMA {schema};");
        }
        let _ = write!(sql, "SET search_path = {schema};{tables}");
    }
    let session = |schema: &str, key: &str, password: &str| {
        let row = insert(key, &stored(&login("5", password)), 3600);
        row.replace(
            "INTO django_session",
            &format!("INTO {schema}.django_session"),
        )
    };
    sql.push_str(&session("a", FIVE, "of-a"));
    sql.push_str(&session("b", NOBODY, "of-b"));
    sql.push_str(&session("b", CARRIED, "of-a"));
    sql.push_str(&session("public", SHARED, "of-a"));
    sql.push_str("CREATE SCHEMA c; CREATE TABLE c.users AS TABLE a.users;");
    sql
}

/// A row in b whose user's password is that of a's user 5.
const CARRIED: &str = "carriedcarriedcarriedcarriedcarr";
/// A row in `public` of a's user 5.
const SHARED: &str = "sharedsharedsharedsharedsharedsh";

fn scene(database: &Database, table: &str) -> Scene {
    Scene::with(|builder| {
        with_keys(builder)
            .env("DATABASE_URL", &database.url())
            .set("tenants", "sources: [ host: \"{tenant}.example.test\" ]")
            .set(
                "credentials",
                &format!(
                    "[ {}, bearer: {{}} ]",
                    credential(&format!(", store: {{ database: {{ table: {table} }} }}"))
                ),
            )
            .set(
                "directory",
                "source:
  postgres:
    url: \"${DATABASE_URL}\"
    schema_per_tenant: true
    search_path_also: [public]
    lookups:
      default: SELECT id, account, active, password AS session_auth FROM users WHERE id = $user::bigint",
            )
    })
}

fn at(tenant: &str, key: &str) -> Request {
    let request = Request::get("/").host(&format!("{tenant}.example.test"));
    with_session(request, key)
}

#[test]
fn e14_a_session_of_one_tenant_is_none_of_another() {
    let database = Database::with(&tables());
    let scene = scene(&database, "django_session");
    let (_, seen) = scene.passes(&at("a", FIVE));
    assert_eq!(seen.header("x-auth-tenant-id"), Some("a"));
    let (_, seen) = scene.passes(&at("b", NOBODY));
    assert_eq!(seen.header("x-auth-tenant-id"), Some("b"));
    dead(&scene, &at("b", FIVE), "session_invalid");
    dead(&scene, &at("a", NOBODY), "session_invalid");
    // The row is there, but its hash is that of another tenant's user of this id.
    dead(&scene, &at("b", CARRIED), "session_invalid");
    // A row behind the tenant's schema in the search path is not the tenant's.
    dead(&scene, &at("a", SHARED), "session_invalid");
    dead(&scene, &at("c", SHARED), "session_invalid");
    scene.refuses(&at("nobody", FIVE), 404, "tenant_unknown");
    // A token of a beside a session of a, on a and on b.
    let token = Token::user("5").account("12").tenant("a").signed();
    scene.passes(&at("a", FIVE).bearer(&token));
    scene.refuses_any_status(
        &at("b", NOBODY).bearer(&token),
        &["credential_conflict", "tenant_mismatch"],
    );
}

#[test]
fn a_shared_table_is_named_on_purpose() {
    let database = Database::with(&tables());
    let scene = scene(&database, "public.django_session");
    let (_, seen) = scene.passes(&at("a", SHARED));
    assert_eq!(seen.header("x-auth-tenant-id"), Some("a"));
    // The hash ties it to a's user all the same.
    dead(&scene, &at("b", SHARED), "session_invalid");
    dead(&scene, &at("a", FIVE), "session_invalid");
}
