//! Section by section: what is refused, and what is right.

use super::{check, complete, refused, run};
use crate::harness::{Builder, Recorder, countersign};

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
fn an_admin_listener_without_a_token_may_be_open_since_it_shows_health_alone() {
    let builder = complete().set("admin", "{ address: \"0.0.0.0:9090\" }");
    builder.write();
    let output = run(&builder);
    assert_eq!(output.code, Some(0), "{output:?}");
}

#[test]
fn what_is_not_built_yet_is_refused_by_name() {
    let not_yet = "not supported in this version";
    let sections = [
        ("decisions", "{ address: \"127.0.0.1:9091\" }"),
        ("limits", "{ rate: { requests: 1, per: 1s } }"),
        ("telemetry", "{ otlp: \"http://127.0.0.1:4317\" }"),
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
