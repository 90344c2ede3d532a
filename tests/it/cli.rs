//! The command line: verbs, exit statuses, and what they print.

use std::path::Path;

use serde_json::Value;

use crate::harness::{
    Builder, Output, Recorder, Request, Scene, Token, countersign, decode_claims, free_port, now,
};

#[track_caller]
fn run(builder: &Builder, arguments: &[&str]) -> Output {
    countersign(builder.folder(), &builder.env_pairs(), arguments)
}

#[track_caller]
fn bare(arguments: &[&str]) -> Output {
    countersign(Path::new("/"), &[], arguments)
}

fn written() -> Builder {
    let builder = Builder::new().set(
        "upstreams",
        "[ { name: app, servers: [ \"http://127.0.0.1:1\" ] } ]",
    );
    builder.write();
    builder
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    for arguments in [
        &["nonsense"] as &[&str],
        &["serve"],
        &["serve", "--nonsense"],
        &["check"],
        &["completions", "nonsense"],
        &["token", "--issuer", "app"],
    ] {
        let output = bare(arguments);
        assert_eq!(output.code, Some(2), "{arguments:?}: {output:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}: {}", output.stdout);
    }
}

#[test]
fn every_verb_has_help_with_an_example() {
    let output = bare(&["--help"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    for verb in [
        "demo",
        "serve",
        "check",
        "explain",
        "token",
        "schema",
        "health",
        "completions",
    ] {
        assert!(output.stdout.contains(verb), "{verb} is not listed");
        let help = bare(&[verb, "--help"]);
        assert_eq!(help.code, Some(0), "{help:?}");
        assert!(
            help.stdout.contains(&format!("countersign {verb}")),
            "no example: {}",
            help.stdout
        );
    }
    let version = bare(&["--version"]);
    assert_eq!(version.code, Some(0));
    assert!(
        version.stdout.contains(env!("CARGO_PKG_VERSION")),
        "{version:?}"
    );
}

#[test]
fn the_schema_is_json_schema() {
    let output = bare(&["schema"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    let schema: Value = serde_json::from_str(&output.stdout).expect("JSON");
    assert!(
        schema["$schema"]
            .as_str()
            .is_some_and(|url| url.contains("json-schema.org"))
    );
    let sections = schema["properties"].as_object().expect("properties");
    for section in [
        "issuers",
        "directory",
        "upstreams",
        "routes",
        "identity",
        "tenants",
    ] {
        assert!(sections.contains_key(section), "no {section}");
    }
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn completions_are_printed_for_each_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let output = bare(&["completions", shell]);
        assert_eq!(output.code, Some(0), "{output:?}");
        assert!(output.stdout.contains("explain"), "{shell}");
    }
}

#[test]
fn a_minted_token_is_one_that_the_gateway_takes() {
    let builder = written();
    let output = run(
        &builder,
        &[
            "token",
            "-c",
            "countersign.yaml",
            "--issuer",
            "app",
            "--user",
            "5",
            "--account",
            "12",
            "--tenant",
            "default",
            "--ttl",
            "90s",
            "--claim",
            "scope=read",
        ],
    );
    assert_eq!(output.code, Some(0), "{output:?}");
    let token = output.stdout.trim();
    let claims = decode_claims(token);
    assert_eq!(claims["user_id"], "5");
    assert_eq!(claims["account_id"], "12");
    assert_eq!(claims["tenant_schema"], "default");
    assert_eq!(claims["scope"], "read");
    let left = claims["exp"].as_i64().expect("a time") - now();
    assert!((60..=91).contains(&left), "{left}");
    let scene = Scene::new();
    scene.passes_as(&Request::get("/").bearer(token), "match");
}

#[test]
fn a_token_of_nobody_is_not_minted() {
    let builder = written();
    let output = run(
        &builder,
        &[
            "token",
            "-c",
            "countersign.yaml",
            "--issuer",
            "nobody",
            "--user",
            "5",
        ],
    );
    assert_ne!(output.code, Some(0));
    assert!(
        output.stderr.contains("app"),
        "which there are: {}",
        output.stderr
    );
}

#[test]
fn health_tells_by_its_exit_status() {
    let scene = Scene::new();
    let env = [
        ("JWT_SECRET", crate::harness::SECRET),
        ("COUNTERSIGN_ADMIN_TOKEN", crate::harness::ADMIN_TOKEN),
    ];
    let arguments = ["health", "-c", "countersign.yaml"];
    let output = countersign(scene.gateway.folder(), &env, &arguments);
    assert_eq!(output.code, Some(0), "{output:?}");
    let builder = written();
    let output = run(&builder, &arguments);
    assert_eq!(output.code, Some(1), "{output:?}");
}

#[test]
fn f21_a_port_that_is_taken_is_said() {
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = taken.local_addr().expect("its address").port();
    let builder = written();
    let yaml = builder.yaml(port, free_port(), free_port());
    let builder = builder.file("countersign.yaml", &yaml);
    let output = run(&builder, &["serve", "-c", "countersign.yaml"]);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains(&port.to_string()), "{output:?}");
}

fn explained() -> Builder {
    let builder = Builder::new()
        .users("users: [ { user: \"5\", account: \"14\", active: true, roles: [staff] } ]")
        .set(
            "upstreams",
            "[ { name: app, servers: [ \"http://127.0.0.1:1\" ] } ]",
        );
    builder.write();
    builder
}

fn explain(builder: &Builder, header: &str, more: &[&str]) -> Output {
    let mut arguments = vec![
        "explain",
        "-c",
        "countersign.yaml",
        "http://app.test/records",
    ];
    if !header.is_empty() {
        arguments.extend(["-H", header]);
    }
    arguments.extend(more);
    run(builder, &arguments)
}

#[test]
fn explain_shows_each_step_and_what_the_upstream_would_get() {
    let token = Token::user("5").account("12").signed();
    let header = format!("Authorization: Bearer {token}");
    let output = explain(&explained(), &header, &[]);
    assert_eq!(output.code, Some(0), "{output:?}");
    for text in [
        "live_account",
        "12",
        "14",
        "X-Auth-Account-Id",
        "default",
        "bearer",
        "app",
    ] {
        let shown = output.stdout.to_lowercase().contains(&text.to_lowercase());
        assert!(shown, "no {text} in:\n{}", output.stdout);
    }
    assert!(!output.stdout.contains(&token), "the token is shown");
}

#[test]
fn explain_decides_as_serve_does() {
    let stale = Token::user("5").account("12").signed();
    let unknown = Token::user("9").account("12").signed();
    let expired = Token::user("5").expires_in(-60).signed();
    for (header, reason) in [
        (String::new(), "credential_missing"),
        (format!("Authorization: Bearer {stale}"), "live_account"),
        (format!("Authorization: Bearer {unknown}"), "user_unknown"),
        (format!("Authorization: Bearer {expired}"), "token_expired"),
        (
            "Authorization: Basic eA==".to_owned(),
            "credential_malformed",
        ),
    ] {
        let output = explain(&explained(), &header, &["--json"]);
        let answer: Value =
            serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        assert_eq!(answer["reason"], reason, "{answer}");
    }
}

#[test]
fn explain_forwards_nothing() {
    let upstream = Recorder::start();
    let builder = Builder::new().upstream(&upstream);
    builder.write();
    let header = format!(
        "Authorization: Bearer {}",
        Token::user("5").account("12").signed()
    );
    let output = explain(&builder, &header, &["--json"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    let answer: Value = serde_json::from_str(&output.stdout).expect("JSON");
    assert_eq!(answer["reason"], "match", "{answer}");
    upstream.assert_untouched();
}

#[test]
fn the_demo_runs_by_itself() {
    use crate::harness::{PATIENCE, Process, binary};
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = std::process::Command::new(binary());
    command.arg("demo").current_dir(folder.path());
    let mut process = Process::spawn(command);
    process.wait_for_output("curl");
    assert!(
        process.stdout_text().contains("http://127.0.0.1"),
        "{}",
        process.stdout_text()
    );

    // Ended as soon as it has said what it is, it leaves nothing behind.
    let text = process.stdout_text();
    let file = text.lines().find_map(|line| {
        let path = line.trim_start().strip_prefix("directory")?.trim_start();
        Some(Path::new(path.split("   ").next()?).to_owned())
    });
    let file = file.expect("the directory's file is named");
    assert!(file.exists(), "{file:?}");
    process.end(PATIENCE);
    let left = file.parent().expect("a folder");
    assert!(!left.exists(), "{left:?} is left behind");
}

/// Cargo reads `.cargo/config.toml` only where the build can see it: a Dockerfile that does not copy it
/// builds with the allocator's own settings, and nothing else would tell.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn the_allocators_settings_are_built_in() {
    let binary = std::fs::read(crate::harness::binary()).expect("the binary");
    let settings = b"tcache_nslots_small_min:128";
    let found = binary
        .windows(settings.len())
        .any(|bytes| bytes == settings);
    assert!(found, "built without .cargo/config.toml");
}
