//! A small good file, and ways to spoil it.

use std::path::Path;

use crate::config::{LoadError, Loaded, parse};

/// The smallest useful file; `directory` needs no file on disk.
pub(super) const SMALL: &str = r#"
issuers:
  - secret: "${JWT_SECRET}"
directory:
  source:
    http: { url: "https://app.internal/{tenant}/{user}" }
upstreams:
  - servers: [http://127.0.0.1:8000]
"#;

pub(super) fn environment(name: &str) -> Option<String> {
    match name {
        "JWT_SECRET" => Some("0123456789abcdef0123456789abcdef".to_owned()),
        "DATABASE_URL" => Some("postgres://app:canary@localhost/app".to_owned()),
        "DJANGO_SECRET_KEY" => {
            Some("django-canary-0123456789-0123456789-0123456789-abc".to_owned())
        }
        "COUNTERSIGN_ADMIN_TOKEN" => Some("admin-token-canary".to_owned()),
        "REDIS_URL" => Some("redis://app:canary@localhost/0".to_owned()),
        "EMPTY" => Some(String::new()),
        "TRUE" => Some("true".to_owned()),
        "SEVEN" => Some("7".to_owned()),
        _ => None,
    }
}

pub(super) fn read(text: &str) -> Result<Loaded, LoadError> {
    parse(text, Path::new("/nonexistent"), "test.yaml", &environment)
}

pub(super) fn good(text: &str) -> Loaded {
    read(text).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

/// The small file without its empty first line, and more of it from line 8 on.
pub(super) fn with(more: &str) -> String {
    format!("{}{more}\n", SMALL.trim_start())
}

/// One expected mistake: `LINE: key.path: words`, where a word is enough of the problem or remedy.
#[track_caller]
pub(super) fn refused(text: &str, expected: &[(usize, &str, &str)]) {
    let Err(error) = read(text) else {
        panic!("accepted:\n{text}")
    };
    let shown = error.to_string();
    for (line, at, words) in expected {
        let found = error.faults.iter().any(|(found, fault)| {
            *found == Some(*line)
                && fault.at.as_str() == *at
                && format!("{}; {}", fault.problem, fault.remedy).contains(words)
        });
        assert!(
            found,
            "expected {line}: {at}: {words}\nfound:\n{shown}\nin:\n{text}"
        );
    }
    assert_eq!(
        error.faults.len(),
        expected.len(),
        "one fault for one mistake:\n{shown}\nin:\n{text}"
    );
    assert!(!shown.contains("canary"), "a secret is shown:\n{shown}");
}

/// A table of mistakes: each line is `what is written => key path => words`. The text is put into
/// a file by `place`, and stands there on `line`; key paths are below `under`.
#[track_caller]
pub(super) fn table(place: impl Fn(&str) -> String, line: usize, under: &str, rows: &str) {
    for row in rows.lines().filter(|row| !row.is_empty()) {
        let [text, at, words] = row.split(" => ").collect::<Vec<_>>()[..] else {
            panic!("not a row: {row}")
        };
        let dot = if under.is_empty() || at.is_empty() {
            ""
        } else {
            "."
        };
        refused(&place(text), &[(line, &format!("{under}{dot}{at}"), words)]);
    }
}

/// The small file with this issuer, on line 3.
pub(super) fn issuer(keys: &str) -> String {
    let secret = "  - secret: \"${JWT_SECRET}\"";
    SMALL.replace(secret, &format!("  - {{ {keys} }}"))
}

/// The small file with this directory source, on line 6.
pub(super) fn source(source: &str) -> String {
    let http = "http: { url: \"https://app.internal/{tenant}/{user}\" }";
    SMALL.replace(http, source)
}
