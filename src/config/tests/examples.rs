//! Every file in `config/` loads, and the schema there is the one that the code has.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::helpers;
use crate::config::{self, KeySource, Loaded};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config")
}

/// Loads a file of `config/` with all that it names.
fn example(name: &str) -> Loaded {
    let scratch = tempfile::tempdir().unwrap();
    let mut variables = HashMap::new();
    for (variable, file) in [
        ("TLS_CERTIFICATE", "tls.crt"),
        ("TLS_KEY", "tls.key"),
        ("ASSERTION_KEY", "assertion.pem"),
        ("AUDIT_FILE", "audit.jsonl"),
    ] {
        let path = scratch.path().join(file);
        std::fs::write(&path, "-----BEGIN\n").unwrap();
        variables.insert(variable, path.display().to_string());
    }
    config::load(&folder().join(name), &|variable| {
        variables
            .get(variable)
            .cloned()
            .or_else(|| helpers::environment(variable))
    })
    .unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_example_loads_and_names_its_schema() {
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.extension().is_none_or(|kind| kind != "yaml") || name.ends_with("-users.yaml") {
            continue;
        }
        let loaded = example(&name);
        assert_eq!(loaded.warnings, [], "{name}");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("# yaml-language-server: $schema=./countersign.schema.json\n"),
            "{name}"
        );
    }
}

#[test]
fn the_schema_in_the_folder_is_the_one_that_the_code_has() {
    let stored = std::fs::read_to_string(folder().join("countersign.schema.json")).unwrap();
    let current = config::schema_text();
    assert!(
        stored == current,
        "regenerate with: cargo run -- schema > config/countersign.schema.json"
    );
}

#[test]
fn the_reference_file_has_every_key_of_the_schema() {
    let text = std::fs::read_to_string(folder().join("reference.yaml")).unwrap();
    for line in config::reference().lines().skip(2) {
        let key = line.split('`').nth(1).unwrap();
        let last = key.rsplit('.').next().unwrap().trim_end_matches("[]");
        if last.starts_with('<') {
            continue;
        }
        assert!(text.contains(&format!("{last}:")), "{key}");
    }
}

#[test]
fn single_app_is_what_it_says() {
    let config = example("single-app.yaml").config;
    assert_eq!(config.issuers[0].name.as_ref(), "app");
    assert!(matches!(config.issuers[0].keys, KeySource::Secret(_)));
    assert_eq!(config.routes.len(), 3);
    assert!(config.routes.iter().all(|route| route.upstream == 0));
    assert!(config.identity.reissue.unwrap().integer_ids);
    assert!(!config.tenants.several);
}

#[test]
fn schema_per_tenant_is_what_it_says() {
    let config = example("schema-per-tenant.yaml").config;
    assert!(config.tenants.several);
    assert_eq!(config.credentials.len(), 4);
    assert!(config.accounts.allow_no_account);
}

#[test]
fn demo_is_self_contained() {
    let path = folder().join("demo.yaml");
    let loaded = config::load(&path, &|_| None).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(loaded.config.listeners[0].address.port(), 8080);
    assert_eq!(loaded.config.admin.address.port(), 9090);
}

#[test]
fn the_long_form_loads_and_means_the_same() {
    for name in ["demo.yaml", "single-app.yaml", "schema-per-tenant.yaml"] {
        let loaded = example(name);
        let long = config::expand(&loaded);
        assert!(
            !long.contains("canary") && !long.contains("everybody-knows"),
            "{long}"
        );
        assert!(long.contains("[redacted]"));
        // Secrets are put back, since a redacted one is refused as too short.
        let secret = helpers::environment("JWT_SECRET").unwrap();
        let long = long
            .replace("secret: '[redacted]'", &format!("secret: {secret}"))
            .replace("url: '[redacted]'", "url: postgres://a@b/c");
        let again = config::parse(&long, &folder(), name, &|_| None)
            .unwrap_or_else(|error| panic!("{error}\n{long}"));
        let plain = |loaded: &Loaded| format!("{:?}", loaded.config);
        assert_eq!(plain(&again), plain(&loaded), "{long}");
    }
}
