//! What YAML itself can hide: F8 of the catalogue of attacks.

use super::helpers::{SMALL, good, read, refused, with};
use crate::config::{LoadError, load};

fn line_and_problem(text: &str) -> (Option<usize>, String) {
    let error = read(text).expect_err(text);
    assert_eq!(error.faults.len(), 1, "{error}");
    let (line, fault) = error.faults[0].clone();
    (line, format!("{}; {}", fault.problem, fault.remedy))
}

#[track_caller]
fn unreadable(text: &str, line: usize, words: &str) {
    let (found, problem) = line_and_problem(text);
    assert!(problem.contains(words), "{problem}");
    assert_eq!(found, Some(line), "{problem}");
}

#[test]
fn f8_an_empty_file() {
    for text in ["", "\n\n", "# only a comment\n", "---\n", "null\n", "~"] {
        unreadable(text, 1, "the file is empty");
    }
}

#[test]
fn f8_not_a_map() {
    unreadable("- a\n- b\n", 1, "not a map");
    unreadable("just text\n", 1, "not a map");
}

#[test]
fn f8_two_documents() {
    unreadable(
        &format!("{SMALL}---\nlisteners: []\n"),
        9,
        "second document",
    );
}

#[test]
fn f8_nul_and_other_encodings() {
    unreadable("a: 1\nb: \"\0\"\n", 2, "NUL");
    let bytes = |bytes: &[u8]| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.yaml");
        std::fs::write(&path, bytes).unwrap();
        load(&path, &|_| None).unwrap_err()
    };
    let first = |error: &LoadError| (error.faults[0].0, error.faults[0].1.problem.clone());
    assert_eq!(
        first(&bytes(b"a: 1\nb: \xff\n")),
        (Some(2), "the file is not UTF-8".to_owned())
    );
    assert_eq!(
        first(&bytes(b"\xff\xfea\0:\0")),
        (Some(1), "the file is UTF-16".to_owned())
    );
}

#[test]
fn f8_a_byte_order_mark_is_no_part_of_the_first_key() {
    good(&format!("\u{feff}{}", SMALL.trim_start()));
}

#[test]
fn f8_a_huge_file_is_not_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("huge.yaml");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(100 << 20).unwrap();
    let error = load(&path, &|_| None).unwrap_err();
    assert!(error.to_string().contains("larger than 4 MiB"), "{error}");
}

#[test]
fn f8_tabs() {
    unreadable("limits:\n\theaders: 5\n", 2, "tab");
    unreadable("issuers:\n  - secret: x\n\t  name: y\n", 3, "tab");
}

#[test]
fn f8_deep_nesting() {
    unreadable(&format!("a: {}\n", "[".repeat(100_000)), 1, "nested");
    let lines: Vec<String> = (0..100).map(|n| format!("{}a:", " ".repeat(n))).collect();
    let text = lines.join(
        "
",
    );
    unreadable(&text, 65, "nested more than 64");
    let flow = format!("a: {}1{}\n", "{b: ".repeat(70), "}".repeat(70));
    unreadable(&flow, 1, "nested");
}

#[test]
fn f8_an_alias_bomb() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..10 {
        let aliases = vec![format!("*a{}", n - 1); 10].join(", ");
        text = format!("{text}a{n}: &a{n} [{aliases}]\n");
    }
    let (_, problem) = line_and_problem(&text);
    assert!(problem.contains("500000 values"), "{problem}");
    let (_, problem) = line_and_problem("a: &a [*a]\n");
    assert!(
        problem.contains("alias") || problem.contains("anchor"),
        "{problem}"
    );
    let (_, problem) = line_and_problem("a: *nowhere\n");
    assert!(problem.contains("not YAML"), "{problem}");
}

#[test]
fn f8_repeated_keys() {
    refused(
        &with("limits:\n  headers: 5\n  uri: 8KiB\n  headers: 6"),
        &[(9, "limits.headers", "stands twice, on lines 9 and 11")],
    );
    refused(
        &with("directory: {}\nupstreams: []"),
        &[
            (3, "directory", "lines 3 and 8"),
            (6, "upstreams", "lines 6 and 9"),
        ],
    );
}

#[test]
fn f8_keys_that_are_not_text() {
    for key in ["5", "true", "null", "1.5"] {
        refused(
            &with(&format!("limits:\n  {key}: 5")),
            &[(9, &format!("limits.{key}"), "not text")],
        );
    }
    let (_, problem) = line_and_problem(&with("limits:\n  ? [a, b]\n  : 5"));
    assert!(problem.contains("not text"), "{problem}");
}

#[test]
fn f8_tags() {
    refused(
        &with("limits:\n  headers: !secret 5"),
        &[(9, "limits.headers", "tag")],
    );
}

#[test]
fn f8_merge_keys_and_anchors_work() {
    let loaded = good(
        r#"
issuers: [{ secret: "${JWT_SECRET}" }]
directory: { source: { http: { url: "https://a/{user}" } } }
upstreams:
  - &one { name: one, servers: [http://127.0.0.1:1], reuse: false }
  - { <<: *one, name: two, servers: [http://127.0.0.1:2] }
routes:
  - { match: { path: /one }, upstream: one }
  - { match: { path: /two }, upstream: two }
"#,
    );
    assert!(!loaded.config.upstreams[1].reuse);
    assert_eq!(loaded.config.upstreams[1].servers[0].port, 2);
    refused(&with("limits: { <<: 5 }"), &[(1, "", "merge")]);
}

#[test]
fn f8_scalars_that_only_look_like_numbers() {
    for (value, words) in [
        ("0123", "the text `0123`"),
        ("1e3", "a whole number"),
        ("1.0", "a whole number"),
        ("5_000", "the text"),
        ("'5'", "the text `5`"),
    ] {
        refused(
            &with(&format!("limits:\n  headers: {value}")),
            &[(9, "limits.headers", words)],
        );
    }
    refused(
        &with("limits:\n  headers: .nan"),
        &[(9, "limits.headers", "finite")],
    );
}

#[test]
fn f8_a_number_beyond_every_number() {
    let (line, problem) = line_and_problem(&with("limits:\n  headers: 99999999999999999999999"));
    assert_eq!(line, Some(9));
    assert!(
        problem.contains("more digits") && !problem.contains("9999"),
        "{problem}"
    );
}

#[test]
fn f8_yes_and_no_are_text() {
    refused(
        &with("listeners:\n  - h2c: on"),
        &[(9, "listeners[0].h2c", "write true")],
    );
    refused(
        &with("listeners:\n  - h2c: No"),
        &[(9, "listeners[0].h2c", "write false")],
    );
}

#[test]
fn what_is_no_yaml_has_its_line() {
    let (line, problem) = line_and_problem("limits:\n  headers: [5\nupstreams: []\n");
    assert!(line.is_some_and(|line| line >= 2), "{line:?} {problem}");
    let (line, _) = line_and_problem("a: 'unclosed\n");
    assert!(line.is_some());
}

#[test]
fn a_file_that_is_not_there() {
    let error = load(std::path::Path::new("/nonexistent/x.yaml"), &|_| None).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("/nonexistent/x.yaml: the file cannot be read: No such file"),
        "{error}"
    );
}

/// Every file that can be made of the reference by small spoilings is read or refused: nothing
/// panics, and what the walk lets pass serde can read.
mod spoilt {
    use super::*;
    use proptest::prelude::*;

    const REFERENCE: &str = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/config/reference.yaml"
    ));
    const SCRAPS: &[&str] = &[
        "",
        "null",
        "5",
        "-1",
        "true",
        "[]",
        "{}",
        "x",
        "*",
        "&a",
        "!t",
        "\t",
        "\n",
        ": ",
        "- ",
        "'",
        "${X}",
        "${JWT_SECRET}",
        "1e999",
        "é",
        "[[",
        "}",
        "0s",
        "%zz",
        "\u{0}",
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn f8_spoilt_files_never_panic(
            spoilings in prop::collection::vec((any::<prop::sample::Index>(), 0..12_usize, 0..SCRAPS.len()), 1..4),
        ) {
            let mut text: Vec<char> = REFERENCE.chars().collect();
            for (at, length, scrap) in spoilings {
                let start = at.index(text.len());
                let end = (start + length).min(text.len());
                text.splice(start..end, SCRAPS[scrap].chars());
            }
            let text: String = text.into_iter().collect();
            if let Err(error) = read(&text) {
                let shown = error.to_string();
                prop_assert!(!shown.contains("a defect"), "{}", shown);
                prop_assert!(!shown.contains("canary"), "{}", shown);
                prop_assert_eq!(shown.lines().count(), error.faults.len());
            }
        }
    }
}
