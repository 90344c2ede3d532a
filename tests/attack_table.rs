//! The table of attacks: every case, what is sent, and the tests that show its outcome.
//!
//! `docs/attacks.md` is made from the names of the tests, which begin with their cases (`a13_…`,
//! `a5_a8_…`), and compared here; a case without a test and without a stated reason fails. Write it
//! anew with `COUNTERSIGN_WRITE_DOCS=1 cargo test --test attack_table`.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test helper that fails is a test that fails"
)]

#[path = "attack_table/cases.rs"]
mod cases;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use cases::{CASES, NOT_APPLICABLE, PENDING, SECTIONS, UNIT_ONLY};

const TABLE: &str = "docs/attacks.md";

/// A section's letter and a number.
type Case = (char, u8);

/// One test that names cases.
struct Test {
    file: String,
    name: String,
}

impl Test {
    /// Whether it goes through the real binary.
    fn is_integration(&self) -> bool {
        self.file.starts_with("tests/")
    }

    /// What it shows: its name without the cases.
    fn outcome(&self) -> String {
        let words = self.name.split('_').skip(ids(&self.name).len());
        words.collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn every_case_has_a_test_or_a_reason() {
    let tests = tests();
    let mut faults = Vec::new();
    for (case, _) in all_cases() {
        let found = tests.get(&case).map_or(&[][..], Vec::as_slice);
        let (letter, number) = case;
        let name = format!("{letter}{number}");
        let excused = reason(NOT_APPLICABLE, case).is_some();
        if excused && !found.is_empty() {
            faults.push(format!("{name} has a test, and a reason why it has none"));
        }
        if found.is_empty() && !excused && !PENDING.contains(&case) {
            faults.push(format!("{name} has neither a test nor a reason"));
        }
        let through_the_binary = found.iter().any(Test::is_integration);
        let only_units = !found.is_empty() && !through_the_binary;
        if only_units && reason(UNIT_ONLY, case).is_none() && !PENDING.contains(&case) {
            faults.push(format!("{name} has no test through the real binary"));
        }
    }
    let known: BTreeSet<Case> = all_cases().map(|(case, _)| case).collect();
    for (case, tests) in &tests {
        if !known.contains(case) {
            let names: Vec<&str> = tests.iter().map(|test| test.name.as_str()).collect();
            faults.push(format!("{}{} is no case: {names:?}", case.0, case.1));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_cases_are_counted_without_a_gap() {
    for (letter, count, _) in SECTIONS {
        let numbers: Vec<u8> = all_cases()
            .filter(|((of, _), _)| of == letter)
            .map(|((_, number), _)| number)
            .collect();
        assert_eq!(numbers, (1..=*count).collect::<Vec<u8>>(), "{letter}");
    }
}

#[test]
fn the_table_is_that_of_the_tests() {
    let made = table();
    if std::env::var_os("COUNTERSIGN_WRITE_DOCS").is_some() {
        fs::write(root().join(TABLE), &made).unwrap();
        return;
    }
    let stands = fs::read_to_string(root().join(TABLE)).unwrap_or_default();
    assert!(
        stands == made,
        "{TABLE} is not that of the tests; write it with COUNTERSIGN_WRITE_DOCS=1 cargo test --test attack_table"
    );
}

#[test]
fn cases_are_read_off_a_name() {
    assert_eq!(ids("a13_crit_is_refused"), [('A', 13)]);
    assert_eq!(ids("a05_a8_a_mixed_set"), [('A', 5), ('A', 8)]);
    assert_eq!(ids("e27_shared_caches"), [('E', 27)]);
    assert_eq!(ids("a_b64_payload"), []);
    assert_eq!(ids("http1_is_spoken"), []);
}

fn all_cases() -> impl Iterator<Item = (Case, &'static str)> {
    CASES.iter().flat_map(|(letter, cases)| {
        let numbered = cases.iter().enumerate();
        numbered.map(|(at, sent)| ((*letter, u8::try_from(at + 1).unwrap()), *sent))
    })
}

fn reason(list: &[(Case, &'static str)], case: Case) -> Option<&'static str> {
    let entry = list.iter().find(|(of, _)| *of == case)?;
    Some(entry.1)
}

/// The whole document.
fn table() -> String {
    let tests = tests();
    let mut text = String::from(
        "# Attacks, and what becomes of them\n\n\
         Each case is sent to the real binary by a client that writes exact bytes, in front of an\n\
         upstream that records every byte; what is named as a unit test decides a pure function.\n\
         This table is made from the names of the tests by `tests/attack_table.rs`, which fails when\n\
         a case has neither a test nor a reason. To write it anew:\n\
         `COUNTERSIGN_WRITE_DOCS=1 cargo test --test attack_table`.\n",
    );
    for (letter, count, title) in SECTIONS {
        let covered = tests.keys().filter(|case| case.0 == *letter).count();
        let _ = write!(
            text,
            "\n## {letter}. {title}\n\n{count} cases, {covered} with tests.\n\n\
             | case | sent, or what fails | outcome | tests |\n|---|---|---|---|\n"
        );
        for (case, sent) in all_cases().filter(|((of, _), _)| of == letter) {
            let found = tests.get(&case).map_or(&[][..], Vec::as_slice);
            let _ = writeln!(
                text,
                "| {}{} | {sent} | {} | {} |",
                case.0,
                case.1,
                outcome(case, found),
                places(found)
            );
        }
    }
    text
}

/// What the tests that come nearest to an attacker show.
fn outcome(case: Case, found: &[Test]) -> String {
    if let Some(why) = reason(NOT_APPLICABLE, case) {
        return format!("does not apply: {why}");
    }
    if found.is_empty() {
        return "**pending**".to_owned();
    }
    let dedicated = |test: &&Test| test.file.starts_with("tests/it/attacks/");
    let any = found.iter().any(|test| dedicated(&test));
    let through = found.iter().any(Test::is_integration);
    let mut shown: Vec<String> = Vec::new();
    for test in found {
        let near = if any {
            dedicated(&test)
        } else {
            test.is_integration() || !through
        };
        let outcome = test.outcome();
        if near && !shown.contains(&outcome) {
            shown.push(outcome);
        }
    }
    let mut shown = shown.join("; ");
    if let Some(why) = reason(UNIT_ONLY, case) {
        let _ = write!(shown, " (unit tests only: {why})");
    }
    shown
}

/// The tests, by file.
fn places(found: &[Test]) -> String {
    let mut by_file: BTreeMap<(bool, &str), Vec<String>> = BTreeMap::new();
    for test in found {
        let key = (!test.is_integration(), test.file.as_str());
        by_file
            .entry(key)
            .or_default()
            .push(format!("`{}`", test.name));
    }
    let files = by_file.into_iter().map(|((unit, file), names)| {
        let kind = if unit { " (unit)" } else { "" };
        format!("[{file}](../{file}){kind}: {}", names.join(", "))
    });
    files.collect::<Vec<_>>().join("<br>")
}

/// Every test that names cases, by case, in the order of files and lines.
fn tests() -> BTreeMap<Case, Vec<Test>> {
    let mut files = Vec::new();
    for folder in ["src", "tests"] {
        collect(&root().join(folder), &mut files);
    }
    files.sort();
    let mut tests: BTreeMap<Case, Vec<Test>> = BTreeMap::new();
    for path in files {
        let file = path.strip_prefix(root()).unwrap().to_string_lossy();
        for name in names(&fs::read_to_string(&path).unwrap()) {
            for case in ids(&name) {
                // The sections that have a table.
                if SECTIONS.iter().any(|(letter, ..)| *letter == case.0) {
                    tests.entry(case).or_default().push(Test {
                        file: file.clone().into_owned(),
                        name: name.clone(),
                    });
                }
            }
        }
    }
    tests
}

/// The names of the tests in a source file: functions under an attribute that ends in `test`.
fn names(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut pending = false;
    for line in source.lines().map(str::trim) {
        if let Some(attribute) = line.strip_prefix("#[") {
            let path = attribute.split(['(', ']']).next().unwrap_or_default();
            pending |= path == "test" || path.ends_with("::test");
        } else if let Some((_, rest)) = line.split_once("fn ") {
            if pending {
                let name = rest.split(['(', '<']).next().unwrap_or_default();
                names.push(name.to_owned());
            }
            pending = false;
        }
    }
    names
}

/// The cases that a name begins with.
fn ids(name: &str) -> Vec<Case> {
    let mut ids = Vec::new();
    for word in name.split('_') {
        let mut letters = word.chars();
        let Some(letter) = letters.next().filter(|letter| ('a'..='f').contains(letter)) else {
            break;
        };
        let Ok(number) = letters.as_str().parse() else {
            break;
        };
        ids.push((letter.to_ascii_uppercase(), number));
    }
    ids
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !path.ends_with("tests/attack_table.rs")
        {
            files.push(path);
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
