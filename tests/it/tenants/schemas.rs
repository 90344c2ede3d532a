//! A schema per tenant in a real PostgreSQL: each tenant's look-up sees its own schema alone.

use crate::harness::{Database, Request, Scene, Token};

const TABLES: &str = r#"
CREATE SCHEMA a; CREATE SCHEMA b; CREATE SCHEMA "we-ird";
CREATE TABLE a.users (id bigint PRIMARY KEY, account bigint, active boolean);
CREATE TABLE b.users (id bigint PRIMARY KEY, account bigint, active boolean);
CREATE TABLE "we-ird".users (id bigint PRIMARY KEY, account bigint, active boolean);
CREATE TABLE public.users (id bigint PRIMARY KEY, account bigint, active boolean);
INSERT INTO a.users VALUES (5, 12, true);
INSERT INTO b.users VALUES (5, 99, true), (6, 98, true);
INSERT INTO "we-ird".users VALUES (5, 77, true);
INSERT INTO public.users VALUES (5, 666, true), (9, 666, true);
CREATE TABLE public.tenants_domain (domain text, tenant text);
INSERT INTO public.tenants_domain VALUES ('shop.test', 'a'), ('other.test', 'b'), ('odd.test', 'public');
"#;

fn scene(database: &Database, tenants: &str) -> Scene {
    Scene::with(|builder| {
        builder
            .env("DATABASE_URL", &database.url())
            .set("tenants", tenants)
            .set(
                "directory",
                "source:
  postgres:
    url: \"${DATABASE_URL}\"
    schema_per_tenant: true
    lookups:
      default: |
        SELECT id, account, active FROM users WHERE id = $user::bigint",
            )
    })
}

fn at(host: &str, tenant: &str, user: &str) -> Request {
    let token = Token::user(user).tenant(tenant).signed();
    Request::get("/").host(host).bearer(&token)
}

const BY_HOST: &str = "sources: [ host: \"{tenant}.example.test\" ]";

#[test]
fn each_tenant_is_looked_up_in_its_own_schema() {
    let database = Database::with(TABLES);
    let scene = scene(&database, BY_HOST);
    for (tenant, account) in [("a", "12"), ("b", "99"), ("we-ird", "77"), ("a", "12")] {
        let (_, seen) = scene.passes(&at(&format!("{tenant}.example.test"), tenant, "5"));
        assert_eq!(seen.header("x-auth-account-id"), Some(account), "{tenant}");
    }
    // 6 is a user of b alone, 9 of public alone.
    scene.refuses(&at("a.example.test", "a", "6"), 401, "user_unknown");
    scene.refuses(&at("a.example.test", "a", "9"), 401, "user_unknown");
}

#[test]
fn reserved_schemas_and_missing_ones_are_no_tenants() {
    let database = Database::with(TABLES);
    let scene = scene(&database, "sources: [ token: {} ]");
    for tenant in [
        "public",
        "information_schema",
        "pg_catalog",
        "pg_toast",
        "pg_temp_1",
        "nope",
        "a; DROP SCHEMA b",
        "\"a\"",
        "a,public",
        "PUBLIC",
        "A",
    ] {
        let response = scene.gateway.send(&at("app.test", tenant, "5"));
        assert_eq!(response.status(), 404, "{tenant}: {}", response.text());
        assert_eq!(
            response.reason().as_deref(),
            Some("tenant_unknown"),
            "{tenant}"
        );
    }
    scene.upstream.assert_untouched();
    scene.passes(&at("app.test", "a", "5"));
    assert_eq!(database.run("SELECT count(*) FROM b.users").trim(), "2");
}

#[test]
fn a_host_that_names_a_reserved_schema_gets_nowhere() {
    let database = Database::with(TABLES);
    let scene = scene(&database, BY_HOST);
    for label in ["public", "pg-catalog", "nope"] {
        let host = format!("{label}.example.test");
        scene.refuses(&at(&host, label, "5"), 404, "tenant_unknown");
    }
}

const BY_DOMAIN: &str = "sources:
  - domain: { query: \"SELECT tenant FROM public.tenants_domain WHERE domain = $host\" }";

#[test]
fn a_domain_is_looked_up_live() {
    let database = Database::with(TABLES);
    let scene = scene(&database, BY_DOMAIN);
    let (_, seen) = scene.passes(&at("shop.test", "a", "5"));
    assert_eq!(seen.header("x-auth-tenant-id"), Some("a"));
    let (_, seen) = scene.passes(&at("OTHER.test:8080", "b", "5"));
    assert_eq!(seen.header("x-auth-tenant-id"), Some("b"));
    scene.refuses(&at("shop.test", "b", "5"), 403, "tenant_mismatch");
    let strange = scene.gateway.send(&at("strange.test", "a", "5"));
    assert!([400, 404].contains(&strange.status()), "{}", strange.text());
    scene.refuses(&at("odd.test", "public", "5"), 404, "tenant_unknown");
}

#[test]
fn known_tenants_can_be_rows() {
    let database = Database::with(TABLES);
    let tenants = "sources: [ host: \"{tenant}.example.test\" ]
known: { query: \"SELECT tenant FROM public.tenants_domain WHERE tenant <> 'b'\" }";
    let scene = scene(&database, tenants);
    scene.passes(&at("a.example.test", "a", "5"));
    scene.refuses(&at("b.example.test", "b", "5"), 404, "tenant_unknown");
}

#[test]
fn more_schemas_are_searched_only_on_purpose() {
    let database = Database::with(
        "CREATE SCHEMA a; CREATE TABLE public.users (id bigint, account bigint, active boolean);
         INSERT INTO public.users VALUES (5, 1, true)",
    );
    let lookups =
        "lookups: { default: \"SELECT id, account, active FROM users WHERE id = $user::bigint\" }";
    for (also, status) in [("", 503), ("search_path_also: [public]\n    ", 200)] {
        let scene = Scene::with(|builder| {
            builder
                .not_ready()
                .env("DATABASE_URL", &database.url())
                .set("tenants", BY_HOST)
                .set(
                    "directory",
                    &format!("source:\n  postgres:\n    url: \"${{DATABASE_URL}}\"\n    schema_per_tenant: true\n    {also}{lookups}"),
                )
        });
        let response = scene.gateway.send(&at("a.example.test", "a", "5"));
        assert_eq!(response.status(), status, "{also:?}: {}", response.text());
    }
}
