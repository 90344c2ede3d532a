//! The documents say what the code does: every reason is explained, every status is the same
//! everywhere, every header that the README names is one that the code knows, and every example in
//! it is a configuration that `check` accepts.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test helper that fails is a test that fails"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use countersign::reason::Reason;

#[test]
fn every_reason_is_explained_in_the_order_of_the_decision() {
    let documented: Vec<String> = reasons().into_iter().map(|entry| entry.code).collect();
    let all: Vec<&str> = Reason::ALL.iter().map(|reason| reason.code()).collect();
    for code in &all {
        assert!(
            documented.iter().any(|known| known == code),
            "docs/reasons.md does not explain `{code}`"
        );
    }
    for code in &documented {
        assert!(
            all.contains(&code.as_str()),
            "docs/reasons.md explains `{code}`, which is no reason"
        );
    }
    assert_eq!(documented, all, "docs/reasons.md is in another order");
}

#[test]
fn every_refusal_tells_client_and_operator_what_to_do() {
    for entry in reasons() {
        let reason = Reason::from_code(&entry.code).unwrap();
        let code = entry.code;
        if reason.allows() {
            assert_eq!(entry.status, None, "`{code}` allows, and has a status");
        } else {
            let status = entry.status;
            assert!(
                status.is_some_and(|status| (400..600).contains(&status)),
                "`{code}` has no status of a refusal"
            );
            for line in ["- Client: ", "- Operator: "] {
                assert!(entry.text.contains(line), "`{code}` has no `{line}` line");
            }
        }
    }
}

#[test]
fn the_decision_table_and_the_reasons_agree_on_every_status() {
    let by_code: BTreeMap<String, Option<u16>> = reasons()
        .into_iter()
        .map(|entry| (entry.code, entry.status))
        .collect();
    let readme = read("README.md");
    let mut named = Vec::new();
    for row in section(&readme, "decisions").lines() {
        let Some(fails_with) = row.trim_end_matches(" |").rsplit('|').next() else {
            continue;
        };
        let mut status = None;
        for word in fails_with.split([' ', ',', ';']) {
            if let Ok(number) = word.parse::<u16>() {
                status = Some(number);
            } else if let Some(code) = word
                .strip_prefix('`')
                .and_then(|word| word.strip_suffix('`'))
            {
                assert_eq!(
                    by_code.get(code),
                    Some(&status),
                    "README.md: the status of `{code}`"
                );
                named.push(code.to_owned());
            }
        }
    }
    for entry in reasons() {
        let refusal = entry.status.is_some() && !entry.text.contains("Reserved: ");
        assert!(
            !refusal || named.contains(&entry.code),
            "README.md: the decision table lacks `{}`",
            entry.code
        );
    }
}

#[test]
fn every_allowed_reason_is_in_the_readme() {
    let readme = read("README.md");
    for reason in Reason::ALL.iter().filter(|reason| reason.allows()) {
        assert!(
            readme.contains(&format!("`{reason}`")),
            "README.md does not name `{reason}`"
        );
    }
}

/// The header names of the README's tables stand in the code, in any case of letters.
#[test]
fn every_header_in_the_readme_is_known_to_the_code() {
    let readme = read("README.md");
    let mut source = String::new();
    read_tree(&root().join("src"), &mut source);
    let source = source.to_ascii_lowercase().replace('_', "-");
    let mut names = 0;
    for row in section(&readme, "headers").lines() {
        let Some(cell) = row.strip_prefix("| ").and_then(|row| row.split('|').next()) else {
            continue;
        };
        for name in cell.split('`').skip(1).step_by(2) {
            if name.contains('.') {
                continue;
            }
            names += 1;
            let name = name.to_ascii_lowercase();
            // A literal of our own, or a constant of the `http` crate (CACHE_CONTROL).
            assert!(
                source
                    .split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-')
                    .any(|word| word == name),
                "README.md names the header `{name}`, which no line of src/ does"
            );
        }
    }
    assert!(names >= 14, "only {names} headers were found");
}

#[test]
fn every_example_in_the_readme_passes_check() {
    let readme = read("README.md");
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in blocks(&readme, "file") {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let examples = blocks(&readme, "example");
    assert_eq!(examples.len(), 3, "examples of the README");
    for (name, text) in examples {
        let path = folder.path().join(&name);
        fs::write(&path, text).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_countersign"))
            .arg("check")
            .arg("-c")
            .arg(&path)
            .env("JWT_SECRET", "0123456789abcdef0123456789abcdef")
            .env("DJANGO_SIGNING_KEY", "0123456789abcdef0123456789abcdef")
            .env("DATABASE_URL", "postgres://countersign@127.0.0.1:1/app")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "README.md, {name}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn every_link_into_the_repository_leads_somewhere() {
    for (file, folder) in [
        ("README.md", ""),
        ("SECURITY.md", ""),
        ("CHANGELOG.md", ""),
        ("deploy/README.md", "deploy"),
        ("docs/reasons.md", "docs"),
    ] {
        let text = read(file);
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let path = target.split('#').next().unwrap_or_default();
            if target.contains("://") || path.is_empty() {
                continue;
            }
            let full = root().join(folder).join(path);
            assert!(full.exists(), "{file}: {target} leads nowhere");
        }
    }
}

struct Entry {
    code: String,
    /// None where the reason allows.
    status: Option<u16>,
    text: String,
}

/// The entries of docs/reasons.md: "### `code`", then "**status.** meaning", then its lines.
fn reasons() -> Vec<Entry> {
    let text = read("docs/reasons.md");
    text.split("\n### `")
        .skip(1)
        .map(|block| {
            let block = block.split("\n## ").next().unwrap();
            let (code, rest) = block.split_once("`\n**").unwrap();
            let (status, text) = rest.split_once(".** ").unwrap();
            Entry {
                code: code.to_owned(),
                status: if status == "Allowed" {
                    None
                } else {
                    Some(status.parse().unwrap())
                },
                text: text.to_owned(),
            }
        })
        .collect()
}

/// What stands between `<!-- name:begin -->` and `<!-- name:end -->`.
fn section<'a>(text: &'a str, name: &str) -> &'a str {
    let (_, rest) = text.split_once(&format!("<!-- {name}:begin -->")).unwrap();
    rest.split_once(&format!("<!-- {name}:end -->")).unwrap().0
}

/// The YAML blocks that follow a `<!-- kind: name -->` line.
fn blocks(text: &str, kind: &str) -> Vec<(String, String)> {
    text.split(&format!("<!-- {kind}: "))
        .skip(1)
        .map(|rest| {
            let (name, rest) = rest.split_once(" -->\n```yaml\n").unwrap();
            let (block, _) = rest.split_once("\n```").unwrap();
            (name.to_owned(), format!("{block}\n"))
        })
        .collect()
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn read_tree(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_tree(&path, into);
        } else {
            into.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
