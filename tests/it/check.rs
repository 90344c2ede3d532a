//! `check`: every mistake at once, each with file, line, key path and what would be right, before
//! a port opens.

use crate::harness::{Builder, Key, Output, Recorder, countersign};

#[track_caller]
fn check(builder: &Builder) -> Output {
    builder.write();
    run(builder)
}

#[track_caller]
fn run(builder: &Builder) -> Output {
    let env = builder.env_pairs();
    countersign(builder.folder(), &env, &["check", "-c", "countersign.yaml"])
}

fn complete() -> Builder {
    Builder::new().set(
        "upstreams",
        "[ { name: app, servers: [ \"http://127.0.0.1:1\" ] } ]",
    )
}

/// The configuration is refused, and each of these stands in what is said.
#[track_caller]
fn refused(builder: &Builder, said: &[&str]) {
    let output = check(builder);
    assert_eq!(output.code, Some(2), "{output:?}");
    for text in said {
        assert!(
            output.stderr.contains(text),
            "no {text:?} in:\n{}",
            output.stderr
        );
    }
    assert!(
        output.stderr.contains("countersign.yaml:"),
        "{}",
        output.stderr
    );
    // What cannot be checked cannot be served either.
    let env = builder.env_pairs();
    let served = countersign(builder.folder(), &env, &["serve", "-c", "countersign.yaml"]);
    assert_eq!(served.code, Some(2), "{served:?}");
}

#[test]
fn a_good_configuration_passes() {
    let output = check(&complete());
    assert_eq!(output.code, Some(0), "{output:?}");
}

#[test]
fn the_smallest_useful_file_passes() {
    let builder = complete();
    let small = "issuers: [ { name: app, algorithms: [HS256], secret: \"${JWT_SECRET}\" } ]
directory: { source: { file: { path: users.yaml } } }
upstreams: [ { name: app, servers: [ \"http://127.0.0.1:8000\" ] } ]
";
    let builder = builder.file("countersign.yaml", small);
    let output = run(&builder);
    assert_eq!(output.code, Some(0), "{output:?}");
}

#[test]
fn every_mistake_is_told_at_once_with_its_line() {
    let text = "listener: []
issuers:
  - name: app
    algorithms: [HS256]
    secret: \"${NOT_SET}\"
directory:
  source: { file: { path: users.yaml } }
upstreams:
  - name: app
    servers: [ \"http://127.0.0.1:8000\" ]
    colour: red
routes:
  - { match: { path: / }, access: member, upstream: nobody }
drain: { delay: soon }
";
    let builder = complete().file("countersign.yaml", text);
    let output = run(&builder);
    assert_eq!(output.code, Some(2), "{output:?}");
    for (line, said) in [
        (1, "listener"),
        (5, "issuers[0].secret"),
        (11, "upstreams[0].colour"),
        (13, "routes[0].upstream"),
        (14, "drain.delay"),
    ] {
        let place = format!("countersign.yaml:{line}");
        let told = output
            .stderr
            .lines()
            .any(|text| text.contains(&place) && text.contains(said));
        assert!(told, "no {place} with {said:?} in:\n{}", output.stderr);
    }
    assert!(
        output.stderr.contains("listeners"),
        "what would be right: {}",
        output.stderr
    );
}

fn issuer(more: &str) -> Builder {
    complete().set("issuers", &format!("- name: app\n{more}"))
}

#[test]
fn a9_a10_weak_or_unset_secrets_are_refused() {
    refused(
        &issuer("  algorithms: [HS256]\n  secret: \"${UNSET}\""),
        &["issuers[0].secret", "UNSET"],
    );
    let empty = issuer("  algorithms: [HS256]\n  secret: \"${EMPTY}\"").env("EMPTY", "");
    refused(&empty, &["issuers[0].secret"]);
    refused(
        &issuer("  algorithms: [HS256]\n  secret: \"\""),
        &["issuers[0].secret"],
    );
    let short = issuer("  algorithms: [HS256]\n  secret: \"${SHORT}\"").env("SHORT", "0123456789");
    refused(&short, &["issuers[0].secret"]);
    let output = check(&short);
    assert!(!output.stderr.contains("0123456789"), "the secret is shown");
    let for_512 =
        issuer("  algorithms: [HS512]\n  secret: \"${MIDDLE}\"").env("MIDDLE", &"x".repeat(40));
    refused(&for_512, &["issuers[0].secret"]);
}

const RSA_1024: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDJsdTObZbTMYkb/qji0KcVNe6Y
gxf0fW1VGAWbxqVuKmhGhOx89h/PMJ3ZEw3F7e1zDsrMeJxSYypOgJdwVQyvh8qT
pz3Gwpjzq8yDRj4OvVEF1IFIzp2HlIKSPxX040yf2gS+3FIIPA9qhRmoqT9zCFVm
eGU6scnQzN2ohp7g8QIDAQAB
-----END PUBLIC KEY-----
";

#[test]
fn keys_that_are_weak_or_do_not_fit_are_refused() {
    let file = |algorithm: &str, pem: &str| {
        issuer(&format!(
            "  algorithms: [{algorithm}]\n  public_key_file: key.pem"
        ))
        .file("key.pem", pem)
    };
    refused(&file("RS256", RSA_1024), &["issuers[0].public_key_file"]);
    refused(
        &file("RS256", &Key::generate("ES256").public_pem()),
        &["issuers[0]"],
    );
    refused(
        &file("ES256", &Key::generate("RS256").public_pem()),
        &["issuers[0]"],
    );
    refused(
        &file("HS256", &Key::generate("RS256").public_pem()),
        &["issuers[0]"],
    );
    refused(
        &file("RS256", "no key at all"),
        &["issuers[0].public_key_file"],
    );
    refused(
        &issuer("  algorithms: [RS256]\n  public_key_file: missing.pem"),
        &["issuers[0].public_key_file", "missing.pem"],
    );
    refused(
        &issuer("  algorithms: [RS256]\n  secret: \"${JWT_SECRET}\""),
        &["issuers[0]"],
    );
    refused(
        &issuer("  algorithms: [none]\n  secret: \"${JWT_SECRET}\""),
        &["issuers[0].algorithms"],
    );
    refused(
        &issuer("  algorithms: []\n  secret: \"${JWT_SECRET}\""),
        &["issuers[0].algorithms"],
    );
    refused(&issuer("  algorithms: [HS256]"), &["issuers[0]"]);
}

#[test]
fn an_issuer_with_a_key_set_names_its_audiences() {
    let url = "  algorithms: [RS256]\n  jwks_url: https://idp.test/keys";
    refused(&issuer(url), &["issuers[0].audiences"]);
    let any = check(&issuer(&format!("{url}\n  audiences: any")));
    assert_eq!(any.code, Some(0), "{any:?}");
}

#[test]
fn two_issuers_that_match_the_same_tokens_are_refused() {
    let two = "[ { name: a, algorithms: [HS256], secret: \"${JWT_SECRET}\" }, { name: b, algorithms: [HS256], secret: \"${JWT_SECRET}\" } ]";
    refused(&complete().set("issuers", two), &["issuers[1]"]);
}

#[test]
fn routes_that_tie_or_lead_nowhere_are_refused() {
    let routes = |routes: &str| complete().set("routes", routes);
    let tie = "[ { match: { path: /a }, access: member, upstream: app }, { match: { path: /a/ }, access: public, upstream: app } ]";
    refused(&routes(tie), &["routes[1]"]);
    let overlap = "[ { match: { path: /a, methods: [GET, POST] }, access: member, upstream: app }, { match: { path: /a, methods: [POST] }, access: public, upstream: app } ]";
    refused(&routes(overlap), &["routes[1]"]);
    let disjoint = "[ { match: { path: /a, methods: [GET] }, access: member, upstream: app }, { match: { path: /a, methods: [POST] }, access: public, upstream: app } ]";
    assert_eq!(check(&routes(disjoint)).code, Some(0));
    refused(
        &routes("[ { match: { path: / }, access: member, upstream: typo } ]"),
        &["routes[0].upstream", "app"],
    );
    refused(
        &routes("[ { match: { path: / }, access: everybody, upstream: app } ]"),
        &["routes[0].access"],
    );
    refused(
        &routes("[ { match: { path: / }, access: member, credentials: [cookie], upstream: app } ]"),
        &["routes[0].credentials"],
    );
    refused(
        &routes("[ { match: { path: a }, access: member, upstream: app } ]"),
        &["routes[0].match.path"],
    );
}

#[test]
fn an_upstream_that_nobody_names_is_refused() {
    let two = "[ { name: app, servers: [ \"http://127.0.0.1:1\" ] }, { name: idle, servers: [ \"http://127.0.0.1:1\" ] } ]";
    refused(&complete().set("upstreams", two), &["upstreams[1]", "idle"]);
    refused(
        &complete().set("upstreams", "[ { name: app, servers: [] } ]"),
        &["upstreams[0].servers"],
    );
    refused(
        &complete().set("upstreams", "[ { name: app, servers: [ \"ftp://x\" ] } ]"),
        &["upstreams[0].servers"],
    );
    refused(&complete().unset("upstreams"), &["upstreams"]);
}

#[test]
fn trusting_the_whole_world_is_refused() {
    for proxies in ["0.0.0.0/0", "\"::/0\"", "10.0.0.0/33"] {
        let listener = format!("[ {{ address: 127.0.0.1:1, trusted_proxies: [ {proxies} ] }} ]");
        refused(
            &complete().set("listeners", &listener),
            &["listeners[0].trusted_proxies"],
        );
    }
}

#[test]
fn a_query_without_its_columns_is_refused() {
    let postgres = |query: &str| {
        complete().set(
            "directory",
            &format!("source:\n  postgres:\n    url: postgres://localhost/x\n    lookups:\n      default: {query}"),
        )
    };
    refused(
        &postgres("SELECT id, account FROM users WHERE id = $user::bigint"),
        &["directory.source.postgres.lookups.default", "active"],
    );
    refused(
        &postgres("SELECT id, active FROM users WHERE id = $user::bigint"),
        &["directory.source.postgres.lookups.default", "account"],
    );
    refused(
        &postgres("SELECT account, active FROM users WHERE id = $user::bigint"),
        &["directory.source.postgres.lookups.default", "id"],
    );
    refused(
        &postgres("SELECT id, account, active FROM users"),
        &["directory.source.postgres.lookups.default", "$user"],
    );
    let good = check(&postgres(
        "SELECT id, account, active FROM users WHERE id = $user::bigint",
    ));
    assert_eq!(good.code, Some(0), "{good:?}");
}

#[test]
fn a_directory_has_one_source() {
    refused(
        &complete().set("directory", "cache: { ttl: 1s }"),
        &["directory.source"],
    );
    let two =
        "source: { file: { path: users.yaml }, http: { url: \"http://127.0.0.1:1/{user}\" } }";
    refused(&complete().set("directory", two), &["directory.source"]);
    refused(&complete().unset("directory"), &["directory"]);
}

#[test]
fn an_open_admin_interface_is_refused() {
    refused(
        &complete().set("admin", "{ address: \"0.0.0.0:9090\" }"),
        &["admin"],
    );
}

#[test]
fn f8_yaml_that_is_none_is_refused_with_its_line() {
    for text in [
        "",
        "[]",
        "a",
        "issuers: [",
        "drain: { delay: 1s }\ndrain: { delay: 2s }\n",
        "--- {}\n--- {}\n",
        "\tdrain: {}",
        "a: &a [*a, *a]\n",
        "x: \0",
    ] {
        let output = run(&complete().file("countersign.yaml", text));
        assert_eq!(output.code, Some(2), "{text:?}: {output:?}");
        assert!(
            output.stderr.contains("countersign.yaml"),
            "{text:?}: {output:?}"
        );
    }
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = level - 1;
        bomb.push_str(&format!(
            "a{level}: &a{level} [{}]\n",
            vec![format!("*a{before}"); 9].join(", ")
        ));
    }
    let nested = "[".repeat(100_000);
    for text in [bomb, nested, "x: ".to_owned() + &"y".repeat(50 << 20)] {
        let output = run(&complete().file("countersign.yaml", &text));
        assert_eq!(output.code, Some(2));
    }
}

#[test]
fn a_file_that_is_not_there_is_said() {
    let builder = complete();
    let env = builder.env_pairs();
    let output = countersign(builder.folder(), &env, &["check", "-c", "missing.yaml"]);
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stderr.contains("missing.yaml"), "{output:?}");
}

#[test]
fn what_is_not_built_yet_is_refused_by_name() {
    let not_yet = "not supported in this version";
    let sections = [
        ("decisions", "{ address: \"127.0.0.1:9091\" }"),
        ("limits", "{ rate: { requests: 1, per: 1s } }"),
        ("telemetry", "{ otlp: \"http://127.0.0.1:4317\" }"),
        ("revocations", "{ store: redis }"),
        (
            "listeners",
            "[ { address: \"127.0.0.1:1\", proxy_protocol: true } ]",
        ),
        (
            "credentials",
            "[ django_session: { cookie: sessionid, secret_key: \"${JWT_SECRET}\", store: { database: { table: django_session } } } ]",
        ),
        ("directory", "source: { mysql: { url: \"mysql://x/y\" } }"),
        (
            "upstreams",
            "[ { name: app, servers: [ \"http://127.0.0.1:1\" ], balance: least_requests } ]",
        ),
        (
            "upstreams",
            "[ { name: app, servers: [ \"http://127.0.0.1:1\" ], health_check: { path: /healthz } } ]",
        ),
    ];
    for (section, yaml) in sections {
        refused(&complete().set(section, yaml), &[not_yet, section]);
    }
}

#[test]
fn connect_tries_what_the_file_names() {
    let upstream = Recorder::start();
    let good = Builder::new().upstream(&upstream);
    good.write();
    let connect = |builder: &Builder| {
        let env = builder.env_pairs();
        countersign(
            builder.folder(),
            &env,
            &["check", "-c", "countersign.yaml", "--connect"],
        )
    };
    let output = connect(&good);
    assert_eq!(output.code, Some(0), "{output:?}");
    let dead = complete();
    dead.write();
    let output = connect(&dead);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(
        output.stderr.contains("upstreams[0]") || output.stderr.contains("127.0.0.1:1"),
        "{output:?}"
    );
}

#[test]
fn expand_prints_the_full_form_without_secrets() {
    let builder = complete();
    builder.write();
    let env = builder.env_pairs();
    let output = countersign(
        builder.folder(),
        &env,
        &["check", "-c", "countersign.yaml", "--expand"],
    );
    assert_eq!(output.code, Some(0), "{output:?}");
    for text in [
        "X-Auth-User-Id",
        "ttl_without_push",
        "header_timeout",
        "on_mismatch",
    ] {
        assert!(
            output.stdout.contains(text),
            "no {text} in:\n{}",
            output.stdout
        );
    }
    assert!(
        !output.stdout.contains(crate::harness::SECRET),
        "the secret is shown"
    );
}
