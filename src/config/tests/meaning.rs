//! Mistakes of meaning, a table a section: `what is written => key path => words`.

use super::helpers::{SMALL, good, issuer, refused, source, table, with};
use crate::config::{KnownTenants, TenantSource};

#[test]
fn keys_and_algorithms_fit() {
    table(
        issuer,
        3,
        "issuers[0]",
        r#"
secret: "${JWT_SECRET}", algorithms: [HS512] => secret => has 32 bytes, but HS512 needs at least 64
secret: short => secret => has 5 bytes, but HS256 needs at least 32
secret: "${JWT_SECRET}", algorithms: [RS256] => algorithms => RS256 does not fit a secret
secret: "${JWT_SECRET}", algorithms: [HS256, RS256] => algorithms => mixed
secret: "${JWT_SECRET}", algorithms: [HS256, HS256] => algorithms[1] => twice
secret: "${JWT_SECRET}", algorithms: [none] => algorithms[0] => allowed:
secret: "${JWT_SECRET}", algorithms: HS256 => algorithms => a list
jwks_url: https://a/jwks, audiences: [x], algorithms: [HS256] => algorithms => HS256 needs a `secret`
jwks_url: https://a/jwks, audiences: [x] => algorithms => no algorithm is named
public_key_file: /dev/null, algorithms: [RS256, ES256] => algorithms => several families
jwks_url: https://a/jwks, algorithms: [RS256] => audiences => no audience is named
jwks_url: http://a/jwks, algorithms: [RS256], audiences: any => jwks_url => use https
jwks_url: ftp://a, algorithms: [RS256], audiences: any => jwks_url => neither http nor https
discovery_url: https://a, algorithms: [RS256], audiences: any => discovery_url => set `issuer`
jwks_file: /nonexistent/x, algorithms: [RS256] => jwks_file => no such file
public_key_file: /nonexistent, algorithms: [RS256] => public_key_file => no such file
secret: { file: /nonexistent/s } => secret.file => no such file
secret: "${JWT_SECRET}", jwks_url: https://a =>  => `secret` and `jwks_url` exclude each other
name: x =>  => none of `secret`
secret: "${JWT_SECRET}", lookup: mail => lookup => there is no directory lookup `mail`
secret: "${JWT_SECRET}", leeway: -1s => leeway => a whole number and a unit
secret: "${JWT_SECRET}", max_lifetime: 0s => max_lifetime => zero
secret: "${JWT_SECRET}", jwks: { refresh: 0s } => jwks.refresh => zero
secret: "${JWT_SECRET}", claims: { user: a..b } => claims.user => not the name of a claim
secret: "${JWT_SECRET}", require: { a: [1] } => require.a => text or a number or true or false
secret: "${JWT_SECRET}", tenants: [] => tenants => no tenant
secret: "${JWT_SECRET}", tenants: [acme] => tenants[0] => there is no tenant `acme`
secret: "${JWT_SECRET}", issuer: '' => issuer => empty
"#,
    );
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
    table(
        with,
        8,
        "",
        r#"
listeners: [{ address: ":8080" }] => listeners[0].address => write 0.0.0.0:8080
listeners: [{ address: localhost }] => listeners[0].address => not an address
listeners: [] => listeners => empty
listeners: [{ trusted_proxies: ["::/0"] }] => listeners[0].trusted_proxies[0] => everyone
listeners: [{ trusted_proxies: [10.0.0.0/33] }] => listeners[0].trusted_proxies[0] => not a network
listeners: [{ proxy_protocol: true }] => listeners[0].proxy_protocol => name your load balancer's networks
listeners: [{ tls: [] }] => listeners[0].tls => empty
listeners: [{}, {}] => listeners[1].address => another listener already has 127.0.0.1:8080
admin: { address: 127.0.0.1:8080 } => admin.address => another listener
admin: { hosts: ["http://x"] } => admin.hosts[0] => not a host name
"#,
    );
    refused(
        &with("listeners: [{ tls: { certificate: /nonexistent/c } }]"),
        &[
            (8, "listeners[0].tls.private_key", "is missing"),
            (8, "listeners[0].tls.certificate", "no such file"),
        ],
    );
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
    table(
        |text| with(&format!("tenants: {text}")),
        8,
        "tenants",
        r#"
{} =>  => every request would be refused
{ sources: [{ host: "example.com" }] } => sources[0].host => not a host pattern
{ sources: [{ host: "{tenant}x.com" }] } => sources[0].host => not a host pattern
{ sources: [{ host: "{tenant}.com:80" }] } => sources[0].host => not a host pattern
{ sources: [{ path: "/t{tenant}" }] } => sources[0].path => not a path pattern
{ sources: [{ path: "/{tenant}/../x" }] } => sources[0].path => not a path pattern
{ sources: [{ header: "X Tenant" }] } => sources[0].header => not a header name
{ sources: [{ header: Cookie }] } => sources[0].header => belongs to the protocol
{ sources: [{ domain: { query: SELECT } }] } => sources[0].domain.query => needs a database
{ sources: [{ token: {} }] } => sources[0] => no issuer says
{ default: a, known: [b] } => default => not one of the known
{ default: ' a' } => default => not a tenant
{ sources: [{ path: "/t/{tenant}" }], known: [] } => known => empty
"#,
    );
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
    table(
        with,
        8,
        "",
        r#"
credentials: [{ bearer: {} }, { bearer: {} }] => credentials[1] => already read
credentials: [{ cookie: { name: a } }, { cookie: { name: b } }] => credentials[1].name => two credentials are called `cookie`
credentials: [{ cookie: { name: "a;b" } }] => credentials[0].cookie.name => not a cookie's name
credentials: [{ cookie: {} }] => credentials[0].cookie.name => is missing
credentials: [{ query: { parameter: t, scope: http } }] => credentials[0].query.scope => `websocket`
credentials: [{ bearer: { forward: reissue } }] => credentials[0].bearer.forward => nothing to reissue with
origins: { allowed: ["*"] } => origins.allowed[0] => every site
origins: { allowed: [https://a/] } => origins.allowed[0] => no path
cors: { origins: [a.example.com] } => cors.origins[0] => not an origin
"#,
    );
    refused(
        &with("credentials: []"),
        &[(1, "routes[0].credentials", "no credential is accepted")],
    );
    let also = "origins: { unsafe_methods: upstream }\n\
                credentials: [{ cookie: { name: a, forward: keep } }]\n\
                identity: { reissue: { also: authorization } }";
    refused(
        &with(also),
        &[(8, "origins.unsafe_methods", "gets a bearer token")],
    );
    good(&with(&also.replace("upstream", "check")));
    let cookie = "origins: { unsafe_methods: upstream, allowed: [HTTPS://App.example.com:443] }\n\
                  credentials: [{ cookie: { name: a, forward: keep } }]";
    good(&with(cookie));
    refused(
        &with(&cookie.replace("keep", "remove")),
        &[(8, "origins.unsafe_methods", "never sees the cookie")],
    );
}

#[test]
fn directory_sources() {
    table(
        source,
        6,
        "directory.source",
        r#"
file: { path: /nonexistent/u.yaml } => file.path => no such file
file: { path: '' } => file.path => empty
http: { url: "https://a/" } => http.url => {user}
http: { url: "https://{tenant}.a/{user}" } => http.url => host would depend
http: { url: "https://a/{usr}/{user}" } => http.url => placeholders
http: { url: "https://a/{user}", headers: { "a b": x } } => http.headers.a b => not a header name
http: { url: "https://a/{user}", headers: { X-Key: "" } } => http.headers.X-Key => secret is empty
postgres: { url: mysql://canary@a/b, lookups: { default: "SELECT id, account, active FROM users WHERE id = $user" } } => postgres.url => not the URL of a PostgreSQL
mysql: { url: "mysql://canary@a", lookups: { default: "SELECT id, account, active FROM users WHERE id = $user" } } => mysql.url => not the URL of a MySQL
mysql: { url: "postgres://canary@a/b", lookups: { default: "SELECT id, account, active FROM users WHERE id = $user" } } => mysql.url => not the URL of a MySQL
mysql: { url: "mysql://a/b", lookups: {} } => mysql.lookups => no look-up
mysql: { url: "mysql://a/b", lookups: { default: "SELECT id, `account` FROM users WHERE id = $user" } } => mysql.lookups.default => `active`
mysql: { url: "mysql://a/b", schema_per_tenant: true, lookups: { default: "SELECT id, account, active FROM users WHERE id = $user" } } => mysql.schema_per_tenant => unknown key
postgres: { url: "${DATABASE_URL}", lookups: {} } => postgres.lookups => no look-up
postgres: { url: "${DATABASE_URL}", lookups: { default: '' } } => postgres.lookups.default => empty
postgres: { url: "${DATABASE_URL}", lookups: { default: SELECT id FROM u WHERE id = $user } } => postgres.lookups.default => lacks the columns `account` and `active`
postgres: { url: "${DATABASE_URL}", lookups: { default: "SELECT id, account, active FROM users WHERE id = $user AND $host = 1" } } => postgres.lookups.default => unknown parameter `$host`
postgres: { url: "${DATABASE_URL}", lookups: { default: "SELECT id, account, active FROM users WHERE id = $user" }, max_connections: 0 } => postgres.max_connections => out of range
postgres: { url: "${DATABASE_URL}", lookups: { default: "SELECT id, account, active FROM users WHERE id = $user" }, search_path_also: [public] } => postgres.search_path_also => schema_per_tenant
"#,
    );
    let by_mail = "postgres: { url: \"${DATABASE_URL}\", lookups: { mail: \"SELECT id, account, active FROM u WHERE m = $user\" } }";
    refused(
        &source(by_mail),
        &[(
            3,
            "issuers[0].lookup",
            "there is no directory lookup `default`",
        )],
    );
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
    table(
        |text| with(&format!("identity:\n  {text}")),
        9,
        "identity",
        r"
headers: { user: Authorization } => headers.user => belongs to the protocol
headers: { user: Content-Language } => headers.user => belongs to the protocol
headers: { user: Connection } => headers.user => belongs to the protocol
headers: { user: X_User } => headers.user => write X-User
headers: { user: X-Auth-Account-ID } => headers.account => another identity value
attributes: { email: x-auth-user-id } => attributes.email => another identity value
attributes: { email: 'X Email' } => attributes.email => not a header name
attributes: { session_auth: X-Hash } => attributes.session_auth => no attribute
allow: [X-Auth_User-Id] => allow[0] => clients could forge it
allow: [X-Forwarded-For] => allow[0] => clients could forge it
allow: [Upgrade] => allow[0] => never forwarded
echo: { user: X-Acted-As-Tenant } => echo.tenant => another identity value
assertion: { private_key: x, algorithm: HS256 } => assertion.algorithm => secret that every upstream knows
assertion: { private_key: x, ttl: 0s } => assertion.ttl => zero
assertion: { private_key: x, header: X-Auth-Roles } => assertion.header => another identity value
reissue: { issuer: ap, also: authorization } => reissue.issuer => did you mean `app`?
reissue: { endpoint: /.well-known/countersign/jwks.json } => reissue.endpoint => public keys of assertions
reissue: { endpoint: token } => reissue.endpoint => does not start with `/`
reissue: { ids: number } => reissue.ids => `string`
",
    );
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
    table(
        |text| SMALL.replace("servers: [http://127.0.0.1:8000]", &format!("{{ {text} }}")),
        8,
        "upstreams[0]",
        r#"
servers: [127.0.0.1:8000] => servers[0] => no scheme
servers: ["http://u:canary@a"] => servers[0] => this is not a server
servers: [http://a/x] => servers[0] => it has a path
servers: [http://a, http://a:80] => servers[1] => twice
servers: [http://a, https://b] => servers => mixed
servers: [http://a], protocol: http2 => servers[0] => http2 is spoken over TLS
servers: [https://a], protocol: h2c => servers[0] => h2c is clear text
servers: [http://a], tls: { server_name: b } => tls => speaks TLS
servers: [https://a], tls: { ca: /nonexistent/ca } => tls.ca => no such file
servers: [http://a], host: "http://b" => host => cannot be a Host
servers: [http://a], timeouts: { connect: 0s } => timeouts.connect => zero
servers: [http://a], retries: { attempts: 99 } => retries.attempts => from 0 to 10
servers: [http://a], retries: { when: [always] } => retries.when[0] => `connect_failure`
"#,
    );
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
    table(
        |text| with(&format!("routes:\n  - {{ {text} }}")),
        9,
        "routes[0]",
        r#"
match: { path: admin } => match.path => does not start with `/`
match: { path: /a/../b } => match.path => `..`
match: { path: /a//b } => match.path => empty segment
match: { path: /%61 } => match.path => written `a`
match: { path: /a* } => match.path => not patterns
match: { path: /, host: "http://a" } => match.host => not a host
match: { path: /, host: "a.*" } => match.host => not a host
match: { path: /, methods: [get] } => match.methods[0] => write GET
match: { path: /, methods: [] } => match.methods => no method would pass
match: { path: /, methods: [CONNECT] } => match.methods[0] => not forwarded
match: { path: /, allow: [slash] } => match.allow[0] => allowed:
access: public => match => `match` is missing
match: { path: / }, access: publc => access => did you mean `public`?
match: { path: / }, upstream: ap => upstream => there is no upstream `ap`
match: { path: / }, credentials: [cookie] => credentials[0] => there is no credential `cookie`
match: { path: / }, credentials: [] => credentials => no credential is accepted
match: { path: / }, access: public, roles: [a] => roles => knows nobody
match: { path: / }, access: public, attributes: { plan: pro } => attributes => knows nobody
match: { path: / }, attributes: { plan: [] } => attributes.plan => every request would be refused
match: { path: / }, attributes: { roles: x } => attributes.roles => no attribute
match: { path: / }, access: public, credentials: [bearer] => credentials => knows nobody
match: { path: / }, access: public, accounts: { on_mismatch: reject } => accounts => knows nobody
match: { path: / }, audit: refusals => audit => who acts is recorded
match: { path: / }, access: optional, audit: refusals => audit => who acts is recorded
match: { path: / }, access: public, audit: none => audit => `refusals`
match: { path: / }, roles: ["a,b"] => roles[0] => nobody's role
match: { path: / }, login: //evil.example => login => not a place on this site
match: { path: / }, login: https://evil.example => login => not a place on this site
match: { path: /api }, strip_prefix: /ap => strip_prefix => does not begin every path
match: { path: / }, timeouts: { connect: 0s } => timeouts.connect => zero
"#,
    );
    refused(
        &with("routes: []"),
        &[
            (8, "routes", "empty"),
            (7, "upstreams[0]", "no route leads"),
        ],
    );
}

#[test]
fn operation() {
    table(
        with,
        8,
        "",
        r"
streams: { idle: 0s } => streams.idle => zero
streams: { on_expiry: ignore } => streams.on_expiry => `close`
limits: { header_timeout: 0s } => limits.header_timeout => zero
limits: { header_size: 2KiB } => limits.uri => larger than the whole
audit: { sink: { file: /nonexistent/a/b } } => audit.sink.file => cannot be written
audit: { sink: { file: /tmp/a, rotate: 1KiB } } => audit.sink.rotate => every few lines
audit: { warn_age: 0s } => audit.warn_age => zero
telemetry: { log: xml } => telemetry.log => `json`
",
    );
    refused(
        &with("limits: { header_size: 10 }"),
        &[
            (8, "limits.header_size", "out of range"),
            (8, "limits.uri", "larger"),
        ],
    );
}
