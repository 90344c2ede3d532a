//! Mistakes of structure: unknown keys, wrong types, what is not supported, the environment.

use super::helpers::{SMALL, good, read, refused, table, with};
use crate::config::{Audiences, CredentialPlace, ForwardCredential, KeyPath};

#[test]
fn the_smallest_file_has_every_default() {
    let config = good(SMALL).config;
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(config.listeners[0].address.to_string(), "127.0.0.1:8080");
    assert!(config.listeners[0].tls.is_empty());
    assert_eq!(config.admin.address.to_string(), "127.0.0.1:9090");
    assert!(config.admin.token.is_none());
    assert_eq!(config.tenants.default.as_ref().unwrap().as_str(), "default");
    assert!(!config.tenants.several);
    let issuer = &config.issuers[0];
    assert_eq!(issuer.name.as_ref(), "app");
    assert_eq!(issuer.algorithms, [jsonwebtoken::Algorithm::HS256]);
    assert_eq!(issuer.audiences, Audiences::Listed(Vec::new()));
    assert_eq!(issuer.claims.user.0.as_ref(), "sub");
    assert_eq!(config.credentials.len(), 1);
    assert_eq!(config.credentials[0].place, CredentialPlace::Bearer);
    assert_eq!(config.credentials[0].forward, ForwardCredential::Keep);
    assert_eq!(config.upstreams[0].name.as_str(), "app");
    assert_eq!(config.routes.len(), 1);
    assert_eq!(config.routes[0].path, "");
    assert_eq!(config.routes[0].credentials, [0]);
    assert_eq!(config.identity.headers.user, "x-auth-user-id");
    assert!(config.audit.block_when_full);
    assert!(config.workers >= 1);
}

#[test]
fn unknown_keys_say_what_was_meant() {
    refused(
        &with("limit: {}\nlimits:\n  header: 5\n  rats: 1"),
        &[
            (8, "limit", "did you mean `limits`?"),
            (10, "limits.header", "did you mean `headers`?"),
            (11, "limits.rats", "keys here are `header_size`, `headers`"),
        ],
    );
    refused(
        &SMALL.replace("- secret:", "- secrt:"),
        &[(3, "issuers[0].secrt", "did you mean `secret`?")],
    );
    refused(
        &SMALL.replace("servers:", "server:"),
        &[(8, "upstreams[0].server", "did you mean `servers`?")],
    );
}

#[test]
fn what_is_missing_is_named_with_an_example() {
    refused(
        "issuers: [{ secret: \"${JWT_SECRET}\" }]\n",
        &[
            (1, "directory", "`directory` is missing"),
            (1, "upstreams", "`upstreams` is missing"),
        ],
    );
    refused(
        &SMALL.replace("servers: [http://127.0.0.1:8000]", "name: app"),
        &[(
            8,
            "upstreams[0].servers",
            "for example [http://127.0.0.1:8000]",
        )],
    );
    refused(
        &with("identity:\n  assertion: {}"),
        &[(9, "identity.assertion.private_key", "is missing")],
    );
    refused(
        &SMALL.replace("[http://127.0.0.1:8000]", "[]"),
        &[(8, "upstreams[0].servers", "empty")],
    );
}

#[test]
fn wrong_types_say_what_was_found_and_what_belongs_there() {
    table(
        with,
        8,
        "",
        r#"
listeners: 5 => listeners => this is the number 5, but a list belongs here
admin: [] => admin => this is a list, but a map belongs here
workers: many => workers => allowed: `auto`
workers: 0 => workers => out of range
conflict: 5 => conflict => one of `reject` and `prefer_first`
conflict: prefer-first => conflict => did you mean `prefer_first`?
drain: { delay: 5 } => drain.delay => a duration such as 30s
drain: { delay: 5 seconds } => drain.delay => write a whole number and a unit
drain: { delay: null } => drain.delay => nothing (null)
limits: { uri: 8KB } => limits.uri => 64KiB
limits: { uri: -5 } => limits.uri => out of range
limits: { headers: -5 } => limits.headers => out of range
limits: { headers: 99999 } => limits.headers => from 1 to 10000
audit: { sink: stderr } => audit.sink => `stdout`
audit: { sink: [] } => audit.sink => the word `stdout` or a map
audit: { sink: { path: x } } => audit.sink.path => unknown key
admin: { token: 12345 } => admin.token => put it in quotes
admin: { token: { fil: x } } => admin.token.fil => did you mean `file`?
telemetry: => telemetry => nothing (null)
credentials: [bearer] => credentials[0] => a map
credentials: [{ basic: {} }] => credentials[0].basic => unknown key
credentials: [{}] => credentials[0] => none of `bearer`
credentials: [{ bearer: {}, cookie: { name: a } }] => credentials[0] => exclude each other
tenants: { sources: [{ hots: x }] } => tenants.sources[0].hots => did you mean `host`?
tenants: { sources: [{ host: "{tenant}.a", path: "/{tenant}" }] } => tenants.sources[0] => exactly one
tenants: { sources: [{}] } => tenants.sources[0] => exactly one
tenants: { default: a, known: some } => tenants.known => `any`
"#,
    );
}

#[test]
fn one_key_maps_say_which_kinds_exist() {
    refused(
        &SMALL.replace("http: {", "https: {"),
        &[(
            6,
            "directory.source.https",
            "did you mean `http`? there are `file`, `sqlite`, `postgres`, `mysql` and `http`",
        )],
    );
}

#[test]
fn what_is_not_built_is_refused_and_its_null_form_accepted() {
    let words = "not supported in this version";
    for (text, at) in [
        ("decisions: { address: 127.0.0.1:9091 }", "decisions"),
        ("limits: { rate: { client: 5 } }", "limits.rate"),
        ("telemetry: { otlp: http://x }", "telemetry.otlp"),
        (
            "routes: [{ match: { path: / }, limits: { rate: 5 } }]",
            "routes[0].limits.rate",
        ),
    ] {
        refused(&with(text), &[(8, at, words)]);
    }
    for (text, at) in [
        ("balance: least_requests", "upstreams[0].balance"),
        (
            "health_check: { path: /healthz }",
            "upstreams[0].health_check",
        ),
        (
            "tls: { client_certificate: x }",
            "upstreams[0].tls.client_certificate",
        ),
    ] {
        refused(&format!("{SMALL}    {text}\n"), &[(9, at, words)]);
    }
    good(&format!(
        "{SMALL}    health_check: null\n    tls: {{ client_certificate: null }}\n{}",
        "decisions: null\nrevocations: { store: null }\n\
         limits: { rate: null }\ntelemetry: { otlp: null }\n"
    ));
    good(&SMALL.replace("  source:", "  invalidation: null\n  source:"));
    good(&SMALL.replace("  source:", "  invalidation: { outbox: null }\n  source:"));
}

#[test]
fn the_environment() {
    good(&with(
        "limits: { headers: \"${SEVEN}\" }\nlisteners: [{ h2c: \"${TRUE}\" }]\nworkers: ${SEVEN}",
    ));
    refused(
        &with(
            "limits:\n  headers: ${TRUE}\n  uri: ${NOWHERE}\naudit: { sink: \"${ALSO_NOWHERE}\" }",
        ),
        &[
            (
                9,
                "limits.headers",
                "this is a text, but a whole number belongs here",
            ),
            (10, "limits.uri", "environment variable NOWHERE is not set"),
            (
                11,
                "audit.sink",
                "environment variable ALSO_NOWHERE is not set",
            ),
        ],
    );
    for secret in ["${NOWHERE}", "${EMPTY}", "${EMPTY:-}", "", "' '"] {
        let text = SMALL.replace(
            "\"${JWT_SECRET}\"",
            &format!("\"{secret}\"").replace("\"' '\"", "' '"),
        );
        let words = if secret == "${NOWHERE}" {
            "environment variable NOWHERE is not set"
        } else {
            "the secret is empty"
        };
        refused(&text, &[(3, "issuers[0].secret", words)]);
    }
}

#[test]
fn f6_values_from_the_environment_are_not_repeated() {
    let text = with(
        "conflict: ${COUNTERSIGN_ADMIN_TOKEN}\nlimits: { headers: \"${COUNTERSIGN_ADMIN_TOKEN}\" }\nadmin: { token: \"${COUNTERSIGN_ADMIN_TOKEN}\" }\nlisteners: \"${COUNTERSIGN_ADMIN_TOKEN}\"",
    );
    let error = read(&text).unwrap_err().to_string();
    assert!(!error.contains("canary"), "{error}");
    refused(
        &with("admin: { address: \"a-${COUNTERSIGN_ADMIN_TOKEN}\" }"),
        &[(
            8,
            "admin.address",
            "`a-${COUNTERSIGN_ADMIN_TOKEN}` is not an address",
        )],
    );
    let loaded = good(&with("admin: { token: \"${COUNTERSIGN_ADMIN_TOKEN}\" }"));
    assert!(!format!("{loaded:?}").contains("canary"));
    assert!(!crate::config::expand(&loaded).contains("canary"));
}

#[test]
fn mistakes_of_structure_and_of_meaning_come_together() {
    refused(
        r#"
issuers:
  - secret: "${NOWHERE}"
    algorithms: [RS256]
listeners:
  - adress: 127.0.0.1:1
    trusted_proxies: [0.0.0.0/0]
directory:
  source:
    sqlite: { path: /nonexistent/db, lookups: { default: "SELECT id FROM u WHERE id = $user" } }
upstreams:
  - name: app
    servers: [http://127.0.0.1:8000]
  - name: other
    servers: [http://127.0.0.1:8001]
routes:
  - { match: { path: /a }, upstream: app }
  - { match: { path: /a/ }, upstream: app }
"#,
        &[
            (3, "issuers[0].secret", "NOWHERE"),
            (4, "issuers[0].algorithms", "does not fit a secret"),
            (6, "listeners[0].adress", "did you mean `address`?"),
            (7, "listeners[0].trusted_proxies[0]", "everyone"),
            (10, "directory.source.sqlite.path", "no such file"),
            (
                10,
                "directory.source.sqlite.lookups.default",
                "`account` and `active`",
            ),
            (14, "upstreams[1]", "no route leads to the upstream `other`"),
            (18, "routes[1].match", "claim the same requests"),
        ],
    );
}

#[test]
fn lines_fall_back_to_the_nearest_ancestor() {
    let loaded = good(SMALL);
    let at = |path: &str| {
        let key = path.split('.').fold(KeyPath::root(), |at, key| at.key(key));
        loaded.line(&key)
    };
    assert_eq!(at("directory.source.http.headers.x"), Some(6));
    assert_eq!(at("directory.cache.ttl"), Some(4));
    assert_eq!(at("limits.uri"), Some(1));
    assert_eq!(
        loaded.line(
            &KeyPath::root()
                .key("upstreams")
                .index(0)
                .key("tls")
                .key("ca")
        ),
        Some(8)
    );
    assert_eq!(
        loaded.render(&crate::config::Fault::new(
            &KeyPath::root().key("directory").key("source"),
            "it is wrong",
            "make it right"
        )),
        "test.yaml:5: directory.source: it is wrong; make it right"
    );
}
