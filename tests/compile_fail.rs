//! What must not type-check: each file under `tests/compile_fail/` is a way around the gateway that
//! a future change could open by accident.
//!
//! The line that must be refused ends with the compiler's error and a part of what it says there:
//! `//~ E0308 found UserId`. There must be no other error, and a file without such a line must compile:
//! one shows the way through, so that the refusals are not those of a broken test. The compiler is
//! given the library that cargo builds for this very test, with its default features: in `./test` that is
//! there already (trybuild would build every dependency once more).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test helper that fails is a test that fails"
)]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const MARK: &str = "//~ ";

#[test]
fn the_ways_around_do_not_compile() {
    let library = library();
    let scratch = tempfile::tempdir().unwrap();
    let (mut refused, mut compiled) = (0, 0);
    for entry in fs::read_dir("tests/compile_fail").unwrap() {
        let file = entry.unwrap().path();
        let errors = errors(&file, &library, scratch.path());
        let source = fs::read_to_string(&file).unwrap();
        let marks = source.lines().enumerate().filter_map(|(index, line)| {
            let (code, text) = line.split_once(MARK)?.1.split_once(' ')?;
            Some((index + 1, code.to_owned(), text.to_owned()))
        });
        let expected: Vec<_> = marks.collect();
        assert_eq!(
            errors.len(),
            expected.len(),
            "{}: {errors:#?}",
            file.display()
        );
        for ((line, code, text), error) in expected.iter().zip(&errors) {
            let fits = error.line == *line && error.code == *code && error.says.contains(text);
            assert!(fits, "{}: {error:#?}", file.display());
        }
        if expected.is_empty() {
            compiled += 1;
        } else {
            refused += 1;
        }
    }
    assert!(refused >= 8 && compiled >= 1, "{refused} and {compiled}");
}

#[derive(Debug)]
struct Error {
    line: usize,
    code: String,
    /// Its message and its label, without backticks.
    says: String,
}

/// The library that this test is built with; cargo says where it is.
fn library() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    let arguments = "test --locked --no-run --quiet --test compile_fail --message-format json";
    cargo.args(arguments.split(' '));
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let built = cargo.output().unwrap();
    let artifacts = messages(&built.stdout);
    let library = artifacts.iter().find_map(|artifact| {
        let is_ours = artifact["target"]["name"] == "countersign"
            && artifact["target"]["kind"] == serde_json::json!(["lib"]);
        let files = artifact["filenames"].as_array().filter(|_| is_ours)?;
        let paths = files.iter().filter_map(Value::as_str);
        paths
            .map(PathBuf::from)
            .find(|path| path.extension().is_some_and(|is| is == "rlib"))
    });
    library.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&built.stderr)))
}

/// What the compiler has against a file.
fn errors(file: &Path, library: &Path, scratch: &Path) -> Vec<Error> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut dependencies = std::ffi::OsString::from("dependency=");
    // cargo leaves a copy above the folder that has them all.
    let folder = library.parent().unwrap();
    dependencies.push(if folder.ends_with("deps") {
        folder.to_owned()
    } else {
        folder.join("deps")
    });
    let mut library_as = std::ffi::OsString::from("countersign=");
    library_as.push(library);
    let checked = Command::new(rustc)
        .args([
            "--edition",
            "2024",
            "--crate-type",
            "bin",
            "--emit",
            "metadata",
        ])
        .args([
            "--error-format",
            "json",
            "--cap-lints",
            "allow",
            "--out-dir",
        ])
        .arg(scratch)
        .arg("-L")
        .arg(dependencies)
        .arg("--extern")
        .arg(library_as)
        .arg(file)
        .output()
        .unwrap();
    let errors: Vec<Error> = messages(&checked.stderr).iter().filter_map(error).collect();
    assert_eq!(
        checked.status.success(),
        errors.is_empty(),
        "{}",
        file.display()
    );
    errors
}

/// One of the compiler's errors; its closing words ("aborting due to…") are at no place and are none.
fn error(message: &Value) -> Option<Error> {
    let spans = message["spans"]
        .as_array()
        .filter(|_| message["level"] == "error")?;
    let span = spans.iter().find(|span| span["is_primary"] == true)?;
    let texts = [&message["message"], &span["label"]];
    let says: Vec<&str> = texts.iter().filter_map(|text| text.as_str()).collect();
    Some(Error {
        line: usize::try_from(span["line_start"].as_u64()?).ok()?,
        code: message["code"]["code"]
            .as_str()
            .unwrap_or("none")
            .to_owned(),
        says: says.join(": ").replace('`', ""),
    })
}

/// Lines of JSON; what is none is passed over.
fn messages(output: &[u8]) -> Vec<Value> {
    let lines = output.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect()
}
