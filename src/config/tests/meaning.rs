//! Mistakes of meaning: each rule, with the place, the line and the words.

use super::helpers::{SMALL, environment, good, refused, with};
use crate::config::{self, HostMatch, KnownTenants, OnMismatch, TenantSource};

/// A file whose only issuer is this one, on line 2.
fn issuer(keys: &str) -> String {
    SMALL.replace(
        "  - secret: \"${JWT_SECRET}\"",
        &format!("  - {{ {keys} }}"),
    )
}

/// A file with this directory source, on line 6.
fn source(source: &str) -> String {
    SMALL.replace(
        "http: { url: \"https://app.internal/{tenant}/{user}\" }",
        source,
    )
}

const SQL: &str = "SELECT id, account, active FROM users WHERE id = $user";

#[test]
fn keys_and_algorithms_fit() {
    let secret = "secret: \"${JWT_SECRET}\"";
    let remote = "jwks_url: https://a/jwks, audiences: [x]";
    for (keys, at, words) in [
        (
            format!("{secret}, algorithms: [HS512]"),
            "secret",
            "has 32 bytes, but HS512 needs at least 64",
        ),
        (
            "secret: short".to_owned(),
            "secret",
            "has 5 bytes, but HS256 needs at least 32",
        ),
        (
            format!("{secret}, algorithms: [RS256]"),
            "algorithms",
            "RS256 does not fit a secret",
        ),
        (
            format!("{secret}, algorithms: [HS256, RS256]"),
            "algorithms",
            "mixed",
        ),
        (
            format!("{secret}, algorithms: [HS256, HS256]"),
            "algorithms[1]",
            "twice",
        ),
        (
            format!("{secret}, algorithms: [none]"),
            "algorithms[0]",
            "allowed:",
        ),
        (
            format!("{secret}, algorithms: HS256"),
            "algorithms",
            "a list",
        ),
        (
            format!("{remote}, algorithms: [HS256]"),
            "algorithms",
            "HS256 needs a `secret`",
        ),
        (remote.to_owned(), "algorithms", "no algorithm is named"),
        (
            "public_key_file: /dev/null, algorithms: [RS256, ES256]".to_owned(),
            "algorithms",
            "several families",
        ),
        (
            "jwks_url: https://a/jwks, algorithms: [RS256]".to_owned(),
            "audiences",
            "no audience is named",
        ),
        (
            "jwks_url: http://a/jwks, algorithms: [RS256], audiences: any".to_owned(),
            "jwks_url",
            "use https",
        ),
        (
            "jwks_url: ftp://a, algorithms: [RS256], audiences: any".to_owned(),
            "jwks_url",
            "neither http nor https",
        ),
        (
            "discovery_url: https://a, algorithms: [RS256], audiences: any".to_owned(),
            "discovery_url",
            "set `issuer`",
        ),
        (
            "jwks_file: /nonexistent/x, algorithms: [RS256]".to_owned(),
            "jwks_file",
            "no such file",
        ),
        (
            "public_key_file: /nonexistent, algorithms: [RS256]".to_owned(),
            "public_key_file",
            "folder",
        ),
        (
            "secret: { file: /nonexistent/s }".to_owned(),
            "secret.file",
            "no such file",
        ),
        (
            format!("{secret}, jwks_url: https://a"),
            "",
            "`secret` and `jwks_url` exclude each other",
        ),
        ("name: x".to_owned(), "", "none of `secret`"),
        (
            format!("{secret}, lookup: mail"),
            "lookup",
            "there is no directory lookup `mail`",
        ),
        (
            format!("{secret}, leeway: -1s"),
            "leeway",
            "a whole number and a unit",
        ),
        (
            format!("{secret}, max_lifetime: 0s"),
            "max_lifetime",
            "zero",
        ),
        (
            format!("{secret}, jwks: {{ refresh: 0s }}"),
            "jwks.refresh",
            "zero",
        ),
        (
            format!("{secret}, claims: {{ user: a..b }}"),
            "claims.user",
            "not the name of a claim",
        ),
        (
            format!("{secret}, require: {{ a: [1] }}"),
            "require.a",
            "text or a number or true or false",
        ),
        (format!("{secret}, tenants: []"), "tenants", "no tenant"),
        (
            format!("{secret}, tenants: [acme]"),
            "tenants[0]",
            "there is no tenant `acme`",
        ),
        (format!("{secret}, issuer: ''"), "issuer", "empty"),
    ] {
        let at = if at.is_empty() {
            "issuers[0]".to_owned()
        } else {
            format!("issuers[0].{at}")
        };
        refused(&issuer(&keys), &[(3, &at, words)]);
    }
    good(&issuer(
        "jwks_url: http://localhost:1/jwks, algorithms: [RS256, ES256, EdDSA], audiences: any",
    ));
    good(&issuer(
        "jwks_url: http://127.0.0.1:1/jwks, algorithms: [PS256], audiences: [x]",
    ));
}

#[test]
fn two_issuers_need_names_and_different_iss() {
    let two = |first: &str, second: &str| {
        SMALL.replace(
            "  - secret: \"${JWT_SECRET}\"",
            &format!("  - {{ secret: \"${{JWT_SECRET}}\", {first} }}\n  - {{ secret: \"${{JWT_SECRET}}\", {second} }}"),
        )
    };
    good(&two("name: a", "name: b, issuer: b"));
    refused(
        &two("name: a", "name: b"),
        &[(4, "issuers[1].issuer", "without `iss`")],
    );
    refused(
        &two("name: a, issuer: x", "name: b, issuer: x"),
        &[(
            4,
            "issuers[1].issuer",
            "another issuer already has the `iss` `x`",
        )],
    );
    refused(
        &two("name: a", "name: a, issuer: x"),
        &[(4, "issuers[1].name", "two issuers are called `a`")],
    );
    refused(
        &two("name: a", "issuer: x"),
        &[(4, "issuers[1]", "no name")],
    );
}

#[test]
fn no_issuer_only_where_everything_is_public() {
    let without = SMALL.replace("issuers:\n  - secret: \"${JWT_SECRET}\"\n", "\n\n");
    refused(&without, &[(1, "issuers", "no issuer is named")]);
    good(&format!(
        "{without}routes: [{{ match: {{ path: / }}, access: public }}]\n"
    ));
}

#[test]
fn listeners() {
    for (text, at, words) in [
        (
            "listeners: [{ address: \":8080\" }]",
            "listeners[0].address",
            "write 0.0.0.0:8080",
        ),
        (
            "listeners: [{ address: localhost }]",
            "listeners[0].address",
            "not an address",
        ),
        ("listeners: []", "listeners", "empty"),
        (
            "listeners: [{ trusted_proxies: [\"::/0\"] }]",
            "listeners[0].trusted_proxies[0]",
            "everyone",
        ),
        (
            "listeners: [{ trusted_proxies: [10.0.0.0/33] }]",
            "listeners[0].trusted_proxies[0]",
            "not a network",
        ),
        ("listeners: [{ tls: [] }]", "listeners[0].tls", "empty"),
        (
            "listeners: [{}, {}]",
            "listeners[1].address",
            "another listener already has 127.0.0.1:8080",
        ),
        (
            "admin: { address: 127.0.0.1:8080 }",
            "admin.address",
            "another listener",
        ),
        (
            "admin: { hosts: [\"http://x\"] }",
            "admin.hosts[0]",
            "not a host name",
        ),
        (
            "listeners: [{ tls: { certificate: /nonexistent/c } }]",
            "listeners[0].tls.private_key",
            "is missing",
        ),
    ] {
        if text.contains("certificate") {
            refused(
                &with(text),
                &[
                    (8, at, words),
                    (8, "listeners[0].tls.certificate", "no such file"),
                ],
            );
        } else {
            refused(&with(text), &[(8, at, words)]);
        }
    }
    // Without a token only health and metrics exist, so that the address may be any.
    good(&with("admin: { address: 0.0.0.0:9090 }"));
    let loaded = good(&with(
        "listeners: [{ trusted_proxies: [10.1.2.3, fd00::/8] }]",
    ));
    assert_eq!(
        loaded.config.listeners[0].trusted_proxies[0].prefix_len(),
        32
    );
}

#[test]
fn tenants() {
    for (text, at, words) in [
        ("{}", "", "every request would be refused"),
        (
            "{ sources: [{ host: \"example.com\" }] }",
            "sources[0].host",
            "not a host pattern",
        ),
        (
            "{ sources: [{ host: \"{tenant}x.com\" }] }",
            "sources[0].host",
            "not a host pattern",
        ),
        (
            "{ sources: [{ host: \"{tenant}.com:80\" }] }",
            "sources[0].host",
            "not a host pattern",
        ),
        (
            "{ sources: [{ path: \"/t{tenant}\" }] }",
            "sources[0].path",
            "not a path pattern",
        ),
        (
            "{ sources: [{ path: \"/{tenant}/../x\" }] }",
            "sources[0].path",
            "not a path pattern",
        ),
        (
            "{ sources: [{ header: \"X Tenant\" }] }",
            "sources[0].header",
            "not a header name",
        ),
        (
            "{ sources: [{ header: Cookie }] }",
            "sources[0].header",
            "belongs to the protocol",
        ),
        (
            "{ sources: [{ domain: { query: SELECT } }] }",
            "sources[0].domain.query",
            "needs a database",
        ),
        (
            "{ sources: [{ token: {} }] }",
            "sources[0]",
            "no issuer says",
        ),
        (
            "{ default: a, known: [b] }",
            "default",
            "not one of the known",
        ),
        ("{ default: ' a' }", "default", "not a tenant"),
        (
            "{ sources: [{ path: \"/t/{tenant}\" }], known: [] }",
            "known",
            "empty",
        ),
    ] {
        let at = if at.is_empty() {
            "tenants".to_owned()
        } else {
            format!("tenants.{at}")
        };
        refused(&with(&format!("tenants: {text}")), &[(8, &at, words)]);
    }
    let config = good(&with(
        "tenants: { sources: [{ host: \"{tenant}.Example.com\" }, { path: \"/t/{tenant}/x/\" }], known: [a, 5] }",
    ))
    .config;
    assert!(config.tenants.several);
    assert!(
        matches!(&config.tenants.sources[0], TenantSource::Host { prefix, suffix } if prefix.is_empty() && suffix == ".example.com")
    );
    assert!(
        matches!(&config.tenants.sources[1], TenantSource::Path { prefix, suffix } if prefix == "/t/" && suffix == "/x")
    );
    assert!(
        matches!(&config.tenants.known, KnownTenants::Listed(known) if known[1].as_str() == "5")
    );
}

#[test]
fn credentials_and_origins() {
    for (text, at, words) in [
        (
            "credentials: [{ bearer: {} }, { bearer: {} }]",
            "credentials[1]",
            "already read",
        ),
        (
            "credentials: [{ cookie: { name: a } }, { cookie: { name: b } }]",
            "credentials[1].name",
            "two credentials are called `cookie`",
        ),
        (
            "credentials: [{ cookie: { name: \"a;b\" } }]",
            "credentials[0].cookie.name",
            "not a cookie's name",
        ),
        (
            "credentials: [{ cookie: {} }]",
            "credentials[0].cookie.name",
            "is missing",
        ),
        (
            "credentials: [{ query: { parameter: t, scope: http } }]",
            "credentials[0].query.scope",
            "`websocket`",
        ),
        (
            "credentials: [{ bearer: { forward: reissue } }]",
            "credentials[0].bearer.forward",
            "nothing to reissue with",
        ),
        (
            "credentials: []",
            "routes[0].credentials",
            "no credential is accepted",
        ),
        (
            "origins: { allowed: [\"*\"] }",
            "origins.allowed[0]",
            "every site",
        ),
        (
            "origins: { allowed: [https://a/] }",
            "origins.allowed[0]",
            "no path",
        ),
        (
            "cors: { origins: [a.example.com] }",
            "cors.origins[0]",
            "not an origin",
        ),
        (
            "{origins: { unsafe_methods: upstream }, credentials: [{ cookie: { name: a } }]}",
            "origins.unsafe_methods",
            "never sees the cookie",
        ),
    ] {
        let text = text
            .trim_start_matches('{')
            .replace("]}]}", "]")
            .replace("}, credentials", "}\ncredentials");
        let text = text
            .strip_suffix("]}")
            .filter(|_| text.starts_with("origins: { unsafe"))
            .map_or(text.clone(), |cut| format!("{cut}]"));
        let line = if at.starts_with("routes") { 1 } else { 8 };
        refused(&with(&text), &[(line, at, words)]);
    }
    good(&with(
        "origins: { unsafe_methods: upstream, allowed: [HTTPS://App.example.com:443] }\ncredentials: [{ cookie: { name: a, forward: keep } }]",
    ));
}

#[test]
fn directory_sources() {
    for (text, at, words) in [
        ("file: { path: /nonexistent/u.yaml }".to_owned(), "file.path", "no such file"),
        ("file: { path: '' }".to_owned(), "file.path", "empty"),
        ("http: { url: \"https://a/\" }".to_owned(), "http.url", "{user}"),
        ("http: { url: \"https://{tenant}.a/{user}\" }".to_owned(), "http.url", "host would depend"),
        ("http: { url: \"https://a/{usr}/{user}\" }".to_owned(), "http.url", "placeholders"),
        ("http: { url: \"https://a/{user}\", headers: { \"a b\": x } }".to_owned(), "http.headers.a b", "not a header name"),
        ("http: { url: \"https://a/{user}\", headers: { X-Key: \"\" } }".to_owned(), "http.headers.X-Key", "secret is empty"),
        (format!("postgres: {{ url: mysql://canary@a/b, lookups: {{ default: \"{SQL}\" }} }}"), "postgres.url", "not the URL of a PostgreSQL"),
        ("postgres: { url: \"${DATABASE_URL}\", lookups: {} }".to_owned(), "postgres.lookups", "no look-up"),
        ("postgres: { url: \"${DATABASE_URL}\", lookups: { default: '' } }".to_owned(), "postgres.lookups.default", "empty"),
        ("postgres: { url: \"${DATABASE_URL}\", lookups: { default: SELECT id FROM u WHERE id = $user } }".to_owned(), "postgres.lookups.default", "lacks the columns `account` and `active`"),
        (format!("postgres: {{ url: \"${{DATABASE_URL}}\", lookups: {{ default: \"{SQL} AND $host = 1\" }} }}"), "postgres.lookups.default", "unknown parameter `$host`"),
        (format!("postgres: {{ url: \"${{DATABASE_URL}}\", lookups: {{ default: \"{SQL}\" }}, max_connections: 0 }}"), "postgres.max_connections", "out of range"),
        (format!("postgres: {{ url: \"${{DATABASE_URL}}\", lookups: {{ default: \"{SQL}\" }}, search_path_also: [public] }}"), "postgres.search_path_also", "schema_per_tenant"),
        (format!("postgres: {{ url: \"${{DATABASE_URL}}\", lookups: {{ mail: \"{SQL}\" }} }}"), "", ""),
    ] {
        if at.is_empty() {
            refused(&source(&text), &[(2, "issuers[0].lookup", "there is no directory lookup `default`")].map(|(_, at, words)| (3, at, words)));
        } else {
            refused(&source(&text), &[(6, &format!("directory.source.{at}"), words)]);
        }
    }
    refused(
        &SMALL.replace("  source:", "  cache: { ttl: 0s, capacity: 0 }\n  limits: { timeout: 0s, concurrent: 0 }\n  source:"),
        &[
            (5, "directory.cache.ttl", "zero"),
            (5, "directory.cache.capacity", "out of range"),
            (6, "directory.limits.timeout", "zero"),
            (6, "directory.limits.concurrent", "out of range"),
        ],
    );
}

#[test]
fn identity() {
    for (text, at, words) in [
        (
            "headers: { user: Authorization }",
            "headers.user",
            "belongs to the protocol",
        ),
        (
            "headers: { user: Content-Language }",
            "headers.user",
            "belongs to the protocol",
        ),
        (
            "headers: { user: Connection }",
            "headers.user",
            "belongs to the protocol",
        ),
        ("headers: { user: X_User }", "headers.user", "write X-User"),
        (
            "headers: { user: X-Auth-Account-ID }",
            "headers.account",
            "another identity value",
        ),
        (
            "attributes: { email: x-auth-user-id }",
            "attributes.email",
            "another identity value",
        ),
        (
            "attributes: { email: 'X Email' }",
            "attributes.email",
            "not a header name",
        ),
        (
            "allow: [X-Auth_User-Id]",
            "allow[0]",
            "clients could forge it",
        ),
        (
            "allow: [X-Forwarded-For]",
            "allow[0]",
            "clients could forge it",
        ),
        ("allow: [Upgrade]", "allow[0]", "never forwarded"),
        (
            "echo: { user: X-Acted-As-Tenant }",
            "echo.tenant",
            "another identity value",
        ),
        (
            "assertion: { private_key: x, algorithm: HS256 }",
            "assertion.algorithm",
            "secret that every upstream knows",
        ),
        (
            "assertion: { private_key: x, ttl: 0s }",
            "assertion.ttl",
            "zero",
        ),
        (
            "assertion: { private_key: x, header: X-Auth-Roles }",
            "assertion.header",
            "another identity value",
        ),
        (
            "reissue: { issuer: ap, also: authorization }",
            "reissue.issuer",
            "did you mean `app`?",
        ),
        (
            "reissue: { endpoint: token }",
            "reissue.endpoint",
            "does not start with `/`",
        ),
        ("reissue: { ids: number }", "reissue.ids", "`string`"),
    ] {
        refused(
            &with(&format!("identity:\n  {text}")),
            &[(9, &format!("identity.{at}"), words)],
        );
    }
    let public = issuer("jwks_url: https://a/jwks, algorithms: [RS256], audiences: any");
    refused(
        &format!("{public}identity: {{ reissue: {{ also: authorization }} }}\n"),
        &[(
            9,
            "identity.reissue.issuer",
            "needs an issuer with a `secret`",
        )],
    );
    let loaded = good(&with("identity: { reissue: {} }"));
    assert_eq!(loaded.warnings[0].problem, "nothing is reissued");
}

#[test]
fn upstreams() {
    for (text, at, words) in [
        ("servers: [127.0.0.1:8000]", "servers[0]", "no scheme"),
        ("servers: [http://a/x]", "servers[0]", "it has a path"),
        ("servers: [http://a, http://a:80]", "servers[1]", "twice"),
        ("servers: [http://a, https://b]", "servers", "mixed"),
        (
            "servers: [http://a], protocol: http2",
            "servers[0]",
            "http2 is spoken over TLS",
        ),
        (
            "servers: [https://a], protocol: h2c",
            "servers[0]",
            "h2c is clear text",
        ),
        (
            "servers: [http://a], tls: { server_name: b }",
            "tls",
            "speaks TLS",
        ),
        (
            "servers: [https://a], tls: { ca: /nonexistent/ca }",
            "tls.ca",
            "no such file",
        ),
        (
            "servers: [http://a], host: \"http://b\"",
            "host",
            "cannot be a Host",
        ),
        (
            "servers: [http://a], timeouts: { connect: 0s }",
            "timeouts.connect",
            "zero",
        ),
        (
            "servers: [http://a], retries: { attempts: 99 }",
            "retries.attempts",
            "from 0 to 10",
        ),
        (
            "servers: [http://a], retries: { when: [always] }",
            "retries.when[0]",
            "`connect_failure`",
        ),
    ] {
        let text = SMALL.replace("servers: [http://127.0.0.1:8000]", &format!("{{ {text} }}"));
        let line = 8;
        refused(&text, &[(line, &format!("upstreams[0].{at}"), words)]);
    }
    let two = format!("{}  - servers: [http://b]\n", SMALL.trim_start());
    refused(
        &two,
        &[
            (7, "upstreams[0]", "no name"),
            (8, "upstreams[1]", "no name"),
            (1, "routes", "several upstreams and no routes"),
        ],
    );
}

#[test]
fn routes() {
    for (text, at, words) in [
        (
            "match: { path: admin }",
            "match.path",
            "does not start with `/`",
        ),
        ("match: { path: /a/../b }", "match.path", "`..`"),
        ("match: { path: /a//b }", "match.path", "empty segment"),
        ("match: { path: /%61 }", "match.path", "written `a`"),
        ("match: { path: /a* }", "match.path", "not patterns"),
        (
            "match: { path: /, host: \"http://a\" }",
            "match.host",
            "not a host",
        ),
        (
            "match: { path: /, host: \"a.*\" }",
            "match.host",
            "not a host",
        ),
        (
            "match: { path: /, methods: [get] }",
            "match.methods[0]",
            "write GET",
        ),
        (
            "match: { path: /, methods: [] }",
            "match.methods",
            "no method would pass",
        ),
        (
            "match: { path: /, methods: [CONNECT] }",
            "match.methods[0]",
            "not forwarded",
        ),
        (
            "match: { path: /, allow: [slash] }",
            "match.allow[0]",
            "allowed:",
        ),
        ("access: public", "match", "`match` is missing"),
        (
            "match: { path: / }, access: publc",
            "access",
            "did you mean `public`?",
        ),
        (
            "match: { path: / }, upstream: ap",
            "upstream",
            "there is no upstream `ap`",
        ),
        (
            "match: { path: / }, credentials: [cookie]",
            "credentials[0]",
            "there is no credential `cookie`",
        ),
        (
            "match: { path: / }, credentials: []",
            "credentials",
            "no credential is accepted",
        ),
        (
            "match: { path: / }, access: public, roles: [a]",
            "roles",
            "knows nobody",
        ),
        (
            "match: { path: / }, access: public, attributes: { plan: pro }",
            "attributes",
            "knows nobody",
        ),
        (
            "match: { path: / }, access: public, credentials: [bearer]",
            "credentials",
            "knows nobody",
        ),
        (
            "match: { path: / }, access: public, accounts: { on_mismatch: reject }",
            "accounts",
            "knows nobody",
        ),
        (
            "match: { path: / }, roles: [\"a,b\"]",
            "roles[0]",
            "nobody's role",
        ),
        (
            "match: { path: / }, login: //evil.example",
            "login",
            "not a place on this site",
        ),
        (
            "match: { path: / }, login: https://evil.example",
            "login",
            "not a place on this site",
        ),
        (
            "match: { path: /api }, strip_prefix: /ap",
            "strip_prefix",
            "does not begin every path",
        ),
        (
            "match: { path: / }, timeouts: { connect: 0s }",
            "timeouts.connect",
            "zero",
        ),
    ] {
        refused(
            &with(&format!("routes:\n  - {{ {text} }}")),
            &[(9, &format!("routes[0].{at}"), words)],
        );
    }
    refused(
        &with("routes: []"),
        &[
            (8, "routes", "empty"),
            (7, "upstreams[0]", "no route leads"),
        ],
    );
}

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
        ("path: =/a", "path: =/a/"),
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
fn operation() {
    for (text, at, words) in [
        ("streams: { idle: 0s }", "streams.idle", "zero"),
        (
            "streams: { on_expiry: ignore }",
            "streams.on_expiry",
            "`close`",
        ),
        (
            "limits: { header_timeout: 0s }",
            "limits.header_timeout",
            "zero",
        ),
        (
            "limits: { header_size: 100 }",
            "limits.header_size",
            "out of range",
        ),
        (
            "limits: { header_size: 2KiB }",
            "limits.uri",
            "larger than the whole",
        ),
        (
            "audit: { sink: { file: /nonexistent/a/b } }",
            "audit.sink.file",
            "cannot be written",
        ),
        (
            "audit: { sink: { file: /tmp/a, rotate: 1KiB } }",
            "audit.sink.rotate",
            "every few lines",
        ),
        ("audit: { warn_age: 0s }", "audit.warn_age", "zero"),
        ("telemetry: { log: xml }", "telemetry.log", "`json`"),
    ] {
        let text = with(text);
        if at == "limits.uri" {
            refused(&text, &[(8, at, words)]);
        } else if text.contains("header_size: 100") {
            refused(&text, &[(8, at, words), (8, "limits.uri", "larger")]);
        } else {
            refused(&text, &[(8, at, words)]);
        }
    }
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
    assert_eq!(first.name.as_ref(), "*.example.com/a");
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
