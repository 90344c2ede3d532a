//! `directory.invalidation` and `revocations`: mistakes of meaning.

use super::helpers::{SMALL, good, refused, table, with};

#[test]
fn push_names_its_database_channel_and_tables() {
    let postgres = |text: &str| {
        SMALL
            .replace(
                "http: { url: \"https://app.internal/{tenant}/{user}\" }",
                "postgres: { url: \"${DATABASE_URL}\", lookups: { default: \"SELECT id, account, active FROM users WHERE id = $user\" } }",
            )
            .replace("  source:", &format!("  invalidation: {{ postgres_notify: {{ {text} }} }}\n  source:"))
    };
    table(
        postgres,
        5,
        "directory.invalidation.postgres_notify",
        r#"
channel: Count => channel => lower-case
channel: "a b" => channel => not the name of a channel
channel: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa => channel => 1 to 40
channel: "" => channel => not the name of a channel
url: "redis://x" => url => not the URL of a PostgreSQL database
tables: [{ table: users }] => tables[0] => whom a change
tables: [{ table: "", user: id }] => tables[0].table => not the name of a table
tables: [{ table: a, user: "" }] => tables[0].user => not the name of a table or column
tables: [{ table: a, session: "" }] => tables[0].session => not the name of a table or column
tables: [{ table: a, user: id, watch: ["\n"] }] => tables[0].watch[0] => not the name of a table or column
tables: [{ user: id }] => tables[0].table => missing
"#,
    );
    let outbox =
        |text: &str| postgres("").replace("postgres_notify: {", &format!("outbox: {{ {text}"));
    table(
        outbox,
        5,
        "directory.invalidation.outbox",
        r#"
poll: 0s => poll => zero
poll: 11s => poll => too long
poll: often => poll => duration
table: "" => table => not the name of a table
table: "a." => table => not the name of a table
table: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa => table => 1 to 40
url: "redis://x" => url => not the URL of a PostgreSQL database
url: "mysql://canary@x" => url => not the URL of a MySQL
tables: [{ table: users }] => tables[0] => whom a change
channel: x => channel => unknown key
"#,
    );
    good(&outbox("url: \"mysql://u:canary@h/app\""));
    good(&outbox("table: app.countersign_outbox, poll: 100ms"));
    refused(
        &SMALL.replace("  source:", "  invalidation: { outbox: {} }\n  source:"),
        &[(5, "directory.invalidation.outbox", "no database")],
    );
    let redis = |text: &str| {
        SMALL.replace(
            "  source:",
            &format!("  invalidation: {{ redis: {{ {text} }} }}\n  source:"),
        )
    };
    table(
        redis,
        5,
        "directory.invalidation.redis",
        r#"
channel: x => url => missing
url: "http://x" => url => not the URL of a Redis server
url: "redis://u:canary@h:x" => url => not the URL of a Redis server
url: "redis://h", channel: "" => channel => not the name of a channel
"#,
    );
    good(&redis("url: \"rediss://u:canary@h:6379/0\""));
    good(&postgres("tables: [{ table: users, user: id }]"));
    good(&postgres(
        "tables: [{ table: django_session, session: session_key }]",
    ));
    refused(
        &SMALL.replace(
            "  source:",
            "  invalidation: { postgres_notify: {} }\n  source:",
        ),
        &[(
            5,
            "directory.invalidation.postgres_notify",
            "no PostgreSQL database",
        )],
    );
    good(&SMALL.replace(
        "  source:",
        "  invalidation: { postgres_notify: { url: \"${DATABASE_URL}\" } }\n  source:",
    ));
}

#[test]
fn revocations_name_their_store() {
    table(
        |text| with(&format!("revocations: {text}")),
        8,
        "revocations",
        r#"
{ store: disk } => store => postgres
{ store: postgres } => store => which server that is
{ store: redis } => store => which server that is
{ store: redis, url: "http://x" } => url => not the URL of a Redis server
{ url: "redis://x" } => url => without a store
{ refresh: 0s } => refresh => zero
"#,
    );
    good(&with(
        "revocations: { store: redis, url: \"${REDIS_URL}\" }",
    ));
    good(&with(
        "revocations: { store: postgres, url: \"${DATABASE_URL}\" }",
    ));
}

#[test]
fn a_blacklist_names_its_issuers_database_and_tables() {
    let blacklist = |text: &str| {
        with(&format!(
            "revocations: {{ simplejwt_blacklist: {{ {text} }} }}"
        ))
    };
    table(
        blacklist,
        8,
        "revocations.simplejwt_blacklist",
        r#"
issuers: [ap], url: "${DATABASE_URL}" => issuers[0] => there is no issuer `ap`
issuers: [], url: "${DATABASE_URL}" => issuers => no issuer is named
issuers: app, url: "${DATABASE_URL}" => issuers => a list
refresh: 2s, url: "${DATABASE_URL}" => refresh => unknown key
url: "http://x" => url => not the URL of a PostgreSQL database
url: "mysql://canary@x" => url => not the URL of a MySQL
url: "${DATABASE_URL}", outstanding: "" => outstanding => not a table's name
url: "${DATABASE_URL}", blacklisted: a.b.c => blacklisted => not a table's name
"#,
    );
    refused(
        &blacklist(""),
        &[(
            8,
            "revocations.simplejwt_blacklist",
            "the directory is no database",
        )],
    );
    for text in [
        "url: \"${DATABASE_URL}\"",
        "url: \"mysql://u:canary@h/app\", issuers: [app]",
        "url: \"${DATABASE_URL}\", outstanding: auth.made, blacklisted: auth.taken_back",
    ] {
        let loaded = good(&blacklist(text));
        let list = loaded.config.directory.blacklist.as_ref();
        let asked = list.map(|list| list.issuers.iter().copied().collect::<Vec<_>>());
        assert_eq!(asked, Some(vec![0]), "{text}");
    }
    let without = good(&with(""));
    assert!(without.config.directory.blacklist.is_none());
}

#[test]
fn a_blacklist_is_pushed_where_its_tenant_is_known() {
    let directory = |tenants: &str, blacklist: &str| {
        format!(
            "issuers: [ {{ secret: \"${{JWT_SECRET}}\", claims: {{ tenant: t }} }} ]\n\
             tenants: {tenants}\n\
             directory:\n  source: {{ postgres: {{ url: \"${{DATABASE_URL}}\", lookups: {{ default: \"SELECT id, account, active FROM users WHERE id = $user AND t = $tenant\" }} }} }}\n  \
             invalidation: {{ postgres_notify: {{}} }}\n\
             revocations: {{ simplejwt_blacklist: {{ {blacklist} }} }}\n\
             upstreams: [ {{ servers: [ \"http://127.0.0.1:1\" ] }} ]\n"
        )
    };
    let one = good(&directory("{ default: acme }", ""));
    assert!(one.config.directory.pushes_blacklist());
    let several = "{ sources: [ token: {} ] }";
    let shared = good(&directory(several, ""));
    assert!(!shared.config.directory.pushes_blacklist());
    assert_eq!(shared.warnings.len(), 1, "{:?}", shared.warnings);
    let own = directory(several, "").replace("lookups", "schema_per_tenant: true, lookups");
    assert!(good(&own).config.directory.pushes_blacklist());
    let elsewhere = good(&directory(
        "{ default: acme }",
        "url: \"postgres://u:canary@h/other\"",
    ));
    assert!(!elsewhere.config.directory.pushes_blacklist());
}
