//! What a good file becomes, and what it is warned of.

use super::helpers::{environment, good, refused, with};
use crate::config::{self, HostMatch, OnMismatch};

#[test]
fn d11_two_routes_that_tie() {
    let two = |first: &str, second: &str| {
        with(&format!(
            "routes:\n  - {{ match: {{ {first} }} }}\n  - {{ match: {{ {second} }} }}"
        ))
    };
    for (first, second) in [
        ("path: /a", "path: /a/"),
        (
            "path: /a, methods: [GET, POST]",
            "path: /a, methods: [POST]",
        ),
        ("path: /a, methods: [GET]", "path: /a"),
        ("path: =/a", "path: =/a"),
        (
            "path: /, host: A.example.com",
            "path: /, host: a.example.com",
        ),
    ] {
        refused(
            &two(first, second),
            &[(10, "routes[1].match", "claim the same requests")],
        );
    }
    for (first, second) in [
        ("path: /a, methods: [GET]", "path: /a, methods: [POST]"),
        ("path: /a", "path: =/a"),
        ("path: /a", "path: /A"),
        (
            "path: /, host: a.example.com",
            "path: /, host: \"*.example.com\"",
        ),
    ] {
        good(&two(first, second));
    }
}

#[test]
fn ten_thousand_routes_and_the_tie_among_them() {
    use std::fmt::Write as _;
    let mut routes = "routes:\n".to_owned();
    for number in 0..10_000 {
        let host = number % 100;
        writeln!(
            routes,
            "  - {{ match: {{ host: h{host}.example.com, path: /service-{number}, methods: [GET] }}, login: /login, roles: [a, b] }}"
        )
        .unwrap();
    }
    let loaded = good(&with(&routes));
    assert_eq!(loaded.config.routes.len(), 10_000);
    routes += "  - { match: { host: h77.example.com, path: /service-77/ } }\n";
    refused(
        &with(&routes),
        &[(10_009, "routes[10000].match", "this route and routes[77]")],
    );
}

#[test]
fn observe_works_and_warns() {
    let loaded = good(&with("accounts: { on_mismatch: observe }"));
    assert_eq!(
        loaded.config.routes[0].accounts.on_mismatch,
        OnMismatch::Observe
    );
    assert_eq!(loaded.warnings.len(), 1);
    assert_eq!(loaded.warnings[0].at.as_str(), "accounts.on_mismatch");
    let loaded = good(&with(
        "routes: [{ match: { path: / }, accounts: { on_mismatch: observe } }]",
    ));
    assert_eq!(
        loaded.warnings[0].at.as_str(),
        "routes[0].accounts.on_mismatch"
    );
    let shared =
        with("tenants: { sources: [{ host: \"{tenant}.a.com\" }] }").replace("/{tenant}/", "/");
    assert!(
        good(&shared).warnings[0]
            .problem
            .contains("does not name {tenant}")
    );
}

#[test]
fn a_login_page_behind_itself_is_warned_of() {
    let login = |more: &str| {
        with(&format!(
            "routes:\n  - {{ match: {{ path: / }}, login: \"/login/?next={{path}}\" }}\n{more}"
        ))
    };
    let warned = good(&login("")).warnings;
    assert_eq!(warned[0].at.as_str(), "routes[0].login");
    let public = login("  - { match: { path: /login }, access: public }");
    assert_eq!(good(&public).warnings, []);
}

#[test]
fn routes_inherit_what_they_do_not_say() {
    let config = good(&with(
        r#"accounts: { on_mismatch: reject, on_no_account: allow, bypass_roles: [dev] }
limits: { body: 1MiB }
routes:
  - { match: { path: /a/, host: "*.Example.com" }, accounts: { on_mismatch: use_live }, limits: { body: 5 }, timeouts: { connect: 1s } }
  - { match: { path: =/b }, strip_prefix: /b/ }"#,
    ))
    .config;
    let (first, second) = (&config.routes[0], &config.routes[1]);
    assert_eq!(first.path, "/a");
    assert_eq!(first.host, HostMatch::Suffix(".example.com".into()));
    assert_eq!(first.name.as_str(), "*.example.com/a");
    assert_eq!(first.accounts.on_mismatch, OnMismatch::UseLive);
    assert!(first.accounts.allow_no_account);
    assert_eq!(first.accounts.bypass_roles, ["dev"]);
    assert_eq!(first.body_limit, Some(5));
    assert_eq!(first.timeouts.connect.as_secs(), 1);
    assert_eq!(first.timeouts.body_idle.as_secs(), 60);
    assert!(second.exact);
    assert_eq!(second.path, "/b");
    assert_eq!(second.strip_prefix.as_deref(), Some("/b"));
    assert_eq!(second.body_limit, Some(1 << 20));
    assert_eq!(second.accounts.on_mismatch, OnMismatch::Reject);
}

#[test]
fn files_are_found_beside_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("users.yaml"), "users: []\n").unwrap();
    std::fs::write(
        folder.path().join("secret"),
        "0123456789abcdef0123456789abcdef\r\n",
    )
    .unwrap();
    std::fs::write(folder.path().join("empty"), "\n").unwrap();
    std::fs::write(folder.path().join("large"), "x".repeat(70_000)).unwrap();
    let text = |secret: &str| {
        format!(
            "issuers: [{{ secret: {{ file: {secret} }} }}]\ndirectory: {{ source: {{ file: {{ path: users.yaml }} }} }}\nupstreams: [{{ servers: [http://a] }}]\n"
        )
    };
    let path = folder.path().join("c.yaml");
    std::fs::write(&path, text("secret")).unwrap();
    let loaded = config::load(&path, &environment).unwrap();
    let config::KeySource::Secret(secret) = &loaded.config.issuers[0].keys else {
        panic!("a secret");
    };
    assert_eq!(secret.value.expose().len(), 32);
    assert_eq!(
        secret.file.as_deref(),
        Some(folder.path().join("secret").as_path())
    );
    let config::DirectorySource::File { path: users, .. } = &loaded.config.directory.source else {
        panic!("a file");
    };
    assert_eq!(users, &folder.path().join("users.yaml"));
    for (file, words) in [
        ("empty", "the secret is empty"),
        ("large", "larger than 64 KiB"),
        (".", "is a folder"),
    ] {
        std::fs::write(&path, text(file)).unwrap();
        let error = config::load(&path, &environment).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        assert!(error.contains("c.yaml:1: issuers[0].secret"), "{error}");
    }
}
