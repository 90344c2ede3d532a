//! Presets: what each is written out to, what wins, what is refused, and how each serves.

use serde_json::Value;

use super::{complete, run};
use crate::harness::{
    Builder, Database, Recorder, Request, Scene, Token, WebSocket, countersign, decode_claims,
    echo_messages, upgrade_headers,
};

/// The long form of a file, as the binary prints it.
#[track_caller]
fn long_form(text: &str) -> String {
    let builder = complete()
        .env("DATABASE_URL", "postgres://a@127.0.0.1:1/b")
        .env("REDIS_URL", "redis://127.0.0.1:1")
        .env(
            "DJANGO_SECRET_KEY",
            "django-secret-of-the-tests-0123456789-abcdef",
        )
        .file("countersign.yaml", text);
    let args = ["check", "-c", "countersign.yaml", "--expand"];
    let output = countersign(builder.folder(), &builder.env_pairs(), &args);
    assert_eq!(output.code, Some(0), "{output:?}\n{text}");
    output.stdout
}

/// A short and a long file mean the same, and the long form has no preset.
#[track_caller]
fn same(short: &str, long: &str) {
    let expanded = long_form(short);
    assert_eq!(expanded, long_form(long));
    assert!(!expanded.contains("preset"), "{expanded}");
}

const UPSTREAMS: &str = "upstreams: [ { servers: [ \"http://127.0.0.1:8000\" ] } ]\n";
const USERS: &str = "directory: { source: { file: { path: users.yaml } } }\n";
const POSTGRES: &str = "directory: { source: { postgres: { url: \"${DATABASE_URL}\" } } }\n";
const ISSUER: &str = "issuers: [ { secret: \"${JWT_SECRET}\" } ]\n";

#[test]
fn simplejwt_is_the_access_tokens_of_simplejwt() {
    same(
        &format!("preset: simplejwt\n{ISSUER}{USERS}{UPSTREAMS}"),
        &format!(
            "issuers: [ {{ secret: \"${{JWT_SECRET}}\", algorithms: [HS256], \
             claims: {{ user: user_id }}, require: {{ token_type: access }} }} ]\n{USERS}{UPSTREAMS}"
        ),
    );
    same(
        &format!(
            "preset: [simplejwt]\n{ISSUER}{USERS}{UPSTREAMS}identity: {{ reissue: {{ ttl: 90s }} }}\n"
        ),
        &format!(
            "issuers: [ {{ secret: \"${{JWT_SECRET}}\", claims: {{ user: user_id }}, \
             require: {{ token_type: access }} }} ]\n{USERS}{UPSTREAMS}\
             credentials: [ bearer: {{ forward: reissue }} ]\n\
             identity: {{ reissue: {{ ttl: 90s, ids: string, claims: {{ token_type: access }} }} }}\n"
        ),
    );
}

#[test]
fn one_of_several_issuers_can_be_simplejwts() {
    let other = "{ name: other, issuer: other, secret: \"${JWT_SECRET}-other\" }";
    let several = |preset: &str| {
        format!(
            "issuers: [ {{ name: app, secret: \"${{JWT_SECRET}}\"{preset} }}, {other} ]\n{USERS}{UPSTREAMS}"
        )
    };
    same(
        &several(", preset: simplejwt"),
        &several(", claims: { user: user_id }, require: { token_type: access }"),
    );
}

#[test]
fn django_tenants_is_a_schema_for_each_host() {
    let tenants = "tenants: { sources: [ domain: { query: \"SELECT t.schema_name AS tenant\\nFROM \
                   public.tenants_domain d JOIN public.tenants_tenant t ON t.id = d.tenant_id\\nWHERE \
                   d.domain = regexp_replace($host, '^www\\\\.', '')\\n\" } ] }\n";
    let upstreams = UPSTREAMS.replace(" } ]", ", isolate: tenant } ]");
    let issuers = ISSUER.replace(" } ]", ", claims: { tenant: tenant_schema } } ]");
    let lookup = |password: &str| {
        POSTGRES.replace(
            "\" } } }",
            &format!(
                "\", schema_per_tenant: true, lookups: {{ default: \"SELECT id, NULL AS account, \
                 is_active AS active, email{password}\\nFROM auth_user\\nWHERE id = $user::bigint\\n\" }} }} }} }}"
            ),
        )
    };
    let nobody = "accounts: { on_no_account: allow }\n";
    same(
        &format!("preset: django_tenants\n{ISSUER}{POSTGRES}{UPSTREAMS}"),
        &format!("{tenants}{issuers}{}{nobody}{upstreams}", lookup("")),
    );
    // With sessions the password is looked up, and keys in Redis are the tenant's.
    let session = |more: &str| {
        format!(
            "credentials: [ bearer: {{}}, django_session: {{ secret_key: \"${{DJANGO_SECRET_KEY}}\", \
             store: {{ redis: {{ url: \"${{REDIS_URL}}\"{more} }} }} }} ]\n"
        )
    };
    let lookup = lookup(", password AS session_auth");
    same(
        &format!(
            "preset: django_tenants\n{ISSUER}{POSTGRES}{UPSTREAMS}{}",
            session("")
        ),
        &format!(
            "{tenants}{issuers}{lookup}{nobody}{upstreams}{}",
            session(", key_function: django_tenants")
        ),
    );
}

#[test]
fn channels_is_every_place_where_a_socket_has_its_token() {
    let places = |forward: &str| {
        format!(
            "query: {{ parameter: token, forward: {forward} }}, \
             websocket_protocol: {{ prefix: \"bearer.\", forward: {forward} }}, \
             cookie: {{ name: access_token, forward: {forward} }}"
        )
    };
    let file = format!("{ISSUER}{USERS}{UPSTREAMS}");
    same(
        &format!("preset: channels\n{file}"),
        &format!(
            "{file}credentials: [ bearer: {{ forward: keep }}, {} ]\n",
            places("keep")
        ),
    );
    let reissue = "identity: { reissue: {} }\n";
    same(
        &format!("preset: channels\n{file}{reissue}"),
        &format!(
            "{file}{reissue}credentials: [ bearer: {{ forward: reissue }}, {} ]\n",
            places("reissue")
        ),
    );
    // Places that are named keep what is said of them, and stand first.
    let own = "cookie: { name: jwt, forward: remove }";
    let rest = places("keep");
    let rest = rest.split(", cookie").next().expect("the others");
    same(
        &format!("preset: channels\n{file}credentials: [ {own} ]\n"),
        &format!("{file}credentials: [ {own}, {rest} ]\n"),
    );
}

#[test]
fn what_is_written_wins() {
    let written = "issuers: [ { name: x, secret: \"${JWT_SECRET}\", \
        claims: { user: sub, account: team_id, tenant: org }, require: { token_type: sliding, aal: 2 } } ]
tenants: { sources: [ host: \"{tenant}.example.test\" ] }
directory: { source: { postgres: { url: \"${DATABASE_URL}\", schema_per_tenant: true, \
        lookups: { default: \"SELECT id, team AS account, active FROM people WHERE id = $user\" } } } }
upstreams: [ { servers: [ \"http://127.0.0.1:8000\" ], isolate: none } ]
";
    same(
        &format!("preset: [simplejwt, django_tenants]\n{written}"),
        written,
    );
}

#[test]
fn what_is_no_preset_or_fits_nothing_is_refused() {
    let whole = |preset: &str| format!("{preset}\n{ISSUER}{USERS}{UPSTREAMS}");
    for (text, said) in [
        (
            whole("preset: django"),
            &[
                "`simplejwt`",
                "`django_tenants` and `channels`",
                ":1: preset",
            ][..],
        ),
        (
            whole("preset: [channels, simple_jwt]"),
            &["did you mean `simplejwt`", "preset[1]"],
        ),
        (
            whole("preset: { simplejwt: {} }"),
            &["preset", "`simplejwt`"],
        ),
        (
            whole("preset: [channels, channels]"),
            &["`channels` stands here twice"],
        ),
        (
            whole("preset: django_tenants"),
            &["directory.source", "use a postgres source"],
        ),
        (
            whole("preset: simplejwt").replace("issuers: [ {", "issuers: [ { preset: simplejwt,"),
            &["issuers[0].preset", "at the top of the file too"],
        ),
        (
            whole("preset: simplejwt").replace(
                " } ]\ndir",
                " }, { name: b, issuer: b, secret: \"${JWT_SECRET}-b\" } ]\ndir",
            ),
            &["preset", "write `preset: simplejwt` into that issuer"],
        ),
        (
            whole("preset: simplejwt").replace(ISSUER, "issuers: []\n"),
            &["preset", "there is no issuer"],
        ),
        (
            whole("preset: simplejwt").replace(ISSUER, ""),
            &["issuers", "secret"],
        ),
        (
            whole("preset: channels").replace("issuers: [ {", "issuers: [ { preset: channels,"),
            &["issuers[0].preset", "`simplejwt`"],
        ),
        (
            whole("accounts: { preset: simplejwt }"),
            &["accounts.preset", "at the top of the file"],
        ),
    ] {
        let output = run(&complete().file("countersign.yaml", &text));
        assert_eq!(output.code, Some(2), "{output:?}\n{text}");
        for words in said {
            assert!(
                output.stderr.contains(words),
                "no {words:?} in:\n{}",
                output.stderr
            );
        }
    }
}

fn served(upstream: Recorder, preset: &str, change: impl FnOnce(Builder) -> Builder) -> Scene {
    Scene::before(upstream, |builder| {
        change(builder.unset("credentials").set("preset", preset))
    })
}

#[test]
fn simplejwt_serves_access_tokens_and_reissues_them() {
    let scene = served(Recorder::start(), "simplejwt", |builder| {
        builder
            .set(
                "issuers",
                "- secret: \"${JWT_SECRET}\"\n  claims: { account: account_id }",
            )
            .set("identity", "{ reissue: {} }")
    });
    let token = |kind: &str| Token::user("5").account("99").claim("token_type", kind);
    let stale = token("access").claim("jti", "of-the-client").signed();
    let (_, seen) = scene.passes(&Request::get("/").bearer(&stale));
    let fresh = seen.header("authorization").expect("a token");
    let claims: Value = decode_claims(fresh.strip_prefix("Bearer ").expect("a bearer token"));
    assert_eq!(claims["user_id"], "5");
    assert_eq!(claims["account_id"], "12");
    assert_eq!(claims["token_type"], "access");
    assert_ne!(claims["jti"], "of-the-client");
    let refresh = Request::get("/").bearer(&token("refresh").signed());
    scene.refuses_any(&refresh, 401, &["claim_missing"]);
}

const SCHEMAS: &str = "
CREATE TABLE public.tenants_tenant (id bigint PRIMARY KEY, schema_name text);
CREATE TABLE public.tenants_domain (domain text UNIQUE, tenant_id bigint);
INSERT INTO public.tenants_tenant VALUES (1, 'acme'), (2, 'globex');
INSERT INTO public.tenants_domain VALUES ('acme.test', 1), ('globex.test', 2);
CREATE SCHEMA acme; CREATE SCHEMA globex;
CREATE TABLE acme.auth_user (id bigint PRIMARY KEY, is_active boolean, email text);
CREATE TABLE globex.auth_user (id bigint PRIMARY KEY, is_active boolean, email text);
INSERT INTO acme.auth_user VALUES (5, true, 'five@acme');
INSERT INTO globex.auth_user VALUES (5, true, 'five@globex'), (6, true, 'six@globex');
";

#[test]
fn all_three_serve_a_tenants_app_with_sockets() {
    let database = Database::with(SCHEMAS);
    let upstream = Recorder::answering(|exchange| {
        if exchange.head.all("upgrade").is_empty() {
            crate::harness::answer_by_default(exchange);
        } else {
            echo_messages(exchange);
        }
    });
    let scene = served(
        upstream,
        "[simplejwt, django_tenants, channels]",
        |builder| {
            builder
                .env("DATABASE_URL", &database.url())
                .set("issuers", "- secret: \"${JWT_SECRET}\"")
                .set(
                    "directory",
                    "source: { postgres: { url: \"${DATABASE_URL}\" } }",
                )
                .set("identity", "{ attributes: { email: X-Auth-Email } }")
        },
    );
    let token = Token::user("5")
        .claim("token_type", "access")
        .tenant("acme")
        .signed();
    let (_, seen) = scene.passes(&Request::get("/").host("www.acme.test").bearer(&token));
    assert_eq!(seen.header("x-auth-tenant-id"), Some("acme"));
    assert_eq!(seen.header("x-auth-email"), Some("five@acme"));
    assert_eq!(seen.header("x-auth-account-id"), None);
    let elsewhere = Request::get("/").host("globex.test");
    scene.refuses(&elsewhere.clone().bearer(&token), 403, "tenant_mismatch");
    scene.refuses(&elsewhere.host("nobody.test"), 404, "tenant_unknown");

    let socket = |host: &str, place: &str| {
        let target = if place == "query" {
            format!("/ws?token={token}")
        } else {
            "/ws".into()
        };
        let request = upgrade_headers(Request::get(&target)).host(host);
        match place {
            "protocol" => {
                request.header("Sec-WebSocket-Protocol", &format!("bearer.{token}, chat"))
            }
            "cookie" => request
                .header("Cookie", &format!("access_token={token}"))
                .header("Origin", &format!("http://{host}")),
            _ => request,
        }
    };
    for place in ["query", "protocol", "cookie"] {
        WebSocket::open(scene.gateway.address(), &socket("acme.test", place)).echo("hello");
        scene.refuses(&socket("globex.test", place), 403, "tenant_mismatch");
    }
    scene.refuses(&socket("acme.test", "none"), 401, "credential_missing");
}

#[test]
fn the_long_form_is_a_file_that_serves_the_same() {
    let short = format!("preset: [simplejwt, channels]\n{ISSUER}{USERS}{UPSTREAMS}");
    let long = long_form(&short).replace("'[redacted]'", "\"${JWT_SECRET}\"");
    let builder = complete().file("countersign.yaml", &long);
    let output = run(&builder);
    assert_eq!(output.code, Some(0), "{output:?}\n{long}");
    assert_eq!(long_form(&long), long_form(&short));
}
