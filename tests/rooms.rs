//! The house rules that a compiler does not check: rooms use only rooms above them, one file each
//! names `serde_yaml` and reads wall time, files stay short and say what they are for, and the top
//! level of the repository stays small.
//!
//! Everything here reads source text. Comments and literals are blanked first, so that prose may
//! name what code may not.

#![allow(
    clippy::unwrap_used,
    reason = "a test helper that fails is a test that fails"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms, from the ground up: each may use those before it. `main.rs` and `lib.rs` may use all.
const ROOMS: &[&str] = &[
    "ids",
    "reason",
    "telemetry",
    "drain",
    "config",
    "wire",
    "net",
    "credential",
    "token",
    "session",
    "directory",
    "route",
    "auth",
    "forward",
    "upstream",
    "audit",
    "reject",
    "gateway",
    "admin",
    "server",
    "cli",
];

const MAX_LINES: usize = 400;

/// What people look for at the top of a repository, and what tools leave there.
const TOP_LEVEL: &[&str] = &[
    ".ci",
    ".cargo",
    ".clippy.toml",
    ".dockerignore",
    ".editorconfig",
    ".git",
    ".gitattributes",
    ".github",
    ".gitignore",
    ".idea",
    ".test-cache",
    ".venv",
    ".vscode",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "Dockerfile",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "SECURITY.md",
    "benches",
    "clients",
    "config",
    "deny.toml",
    "deploy",
    "docs",
    "rustfmt.toml",
    "src",
    "target",
    "test",
    "tests",
];

#[test]
fn a_room_uses_only_rooms_above_it() {
    let mut faults = Vec::new();
    for file in sources() {
        let Some(own) = file.room() else { continue };
        let Some(floor) = ROOMS.iter().position(|room| *room == own) else {
            faults.push(format!(
                "{}:1: `{own}` is not in the list of rooms",
                file.name
            ));
            continue;
        };
        for (line, used) in file.rooms_used() {
            match ROOMS.iter().position(|room| *room == used) {
                None => faults.push(format!(
                    "{}:{line}: `crate::{used}` is not a room",
                    file.name
                )),
                Some(place) if place > floor => faults.push(format!(
                    "{}:{line}: `{own}` uses `{used}`, which stands below it",
                    file.name
                )),
                Some(_) => {}
            }
        }
    }
    report(&faults);
}

#[test]
fn every_room_is_declared_in_the_library() {
    let library = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let declared: Vec<&str> = library
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    let mut faults = Vec::new();
    for room in ROOMS {
        if !declared.contains(room) {
            faults.push(format!("src/lib.rs: `pub mod {room};` is missing"));
        }
    }
    for name in declared {
        if !ROOMS.contains(&name) {
            faults.push(format!("src/lib.rs: `{name}` is not in the list of rooms"));
        }
    }
    report(&faults);
}

#[test]
fn the_yaml_library_is_named_in_one_file() {
    only_in("src/config/document.rs", &["serde_yaml"]);
}

#[test]
fn wall_time_is_read_in_one_file() {
    only_in(
        "src/telemetry/clock.rs",
        &[
            "SystemTime::now",
            "UNIX_EPOCH.elapsed",
            "Timestamp::now",
            "Zoned::now",
        ],
    );
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    let mut faults = Vec::new();
    for file in sources() {
        let lines = file.text.lines().count();
        if lines > MAX_LINES {
            faults.push(format!(
                "{}:{lines}: {lines} lines, {MAX_LINES} at most: this file is two rooms",
                file.name
            ));
        }
        if !file.text.starts_with("//!") {
            faults.push(format!(
                "{}:1: does not begin with `//!`: what it is, why it exists, what it must never do",
                file.name
            ));
        }
    }
    report(&faults);
}

#[test]
fn the_top_level_stays_small() {
    let mut faults = Vec::new();
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        if !TOP_LEVEL.contains(&name.as_str()) {
            faults.push(format!(
                "{name}:1: does not belong at the top of the repository"
            ));
        }
    }
    report(&faults);
}

#[test]
fn blanking_keeps_code_and_lines_and_drops_prose() {
    let blank = code_only(
        "use crate::ids; // crate::cli\n/* crate::a /* b */ crate::c */ let s = \"crate::d \\\" e\";\n\
         let r = r#\"crate::f \" \"#; let c = '\"'; fn f<'a>(x: &'a str) {} crate::wire\nlet n = '\\'';",
    );
    assert!(blank.contains("crate::ids") && blank.contains("crate::wire"));
    for gone in ["cli", "crate::a", "crate::c", "crate::d", "crate::f"] {
        assert!(!blank.contains(gone), "{gone} is still in {blank}");
    }
    assert_eq!(blank.lines().count(), 4);
    assert!(blank.contains("fn f<'a>(x: &'a str)"));
}

#[test]
fn references_are_found_in_every_form() {
    let file = Source {
        name: "src/wire/cookie.rs".into(),
        text: "use crate::ids::TenantId;\nuse crate::{\n    net::{Http, deep::cli},\n    self as me,\n    \
               reason,\n};\nfn f() { crate::config::x(); }\nuse super::super::audit::Line;\nuse super::route;"
            .into(),
    };
    let found: Vec<(usize, String)> = file.rooms_used();
    let expected = [
        (1, "ids"),
        (3, "net"),
        (5, "reason"),
        (7, "config"),
        (8, "audit"),
    ];
    assert_eq!(
        found,
        expected
            .map(|(line, room)| (line, room.to_owned()))
            .to_vec()
    );
}

/// One file under `src/`.
struct Source {
    /// Its path from the repository's root.
    name: String,
    text: String,
}

impl Source {
    /// The room that the file belongs to; none for `main.rs` and `lib.rs`.
    fn room(&self) -> Option<&str> {
        let first = self.name.strip_prefix("src/")?.split('/').next()?;
        let room = first.strip_suffix(".rs").unwrap_or(first);
        (room != "main" && room != "lib").then_some(room)
    }

    /// How many modules lie between the crate's root and this file's items.
    fn depth(&self) -> usize {
        let inside = self.name.trim_start_matches("src/");
        inside.matches('/').count() + usize::from(!inside.ends_with("/mod.rs"))
    }

    /// Every first path segment after `crate::`, and after a `super::` chain that ends at the
    /// crate's root, with its line.
    fn rooms_used(&self) -> Vec<(usize, String)> {
        let code = code_only(&self.text);
        let mut found = Vec::new();
        for (at, _) in code.match_indices("crate::") {
            if preceded_by_identifier(&code, at) {
                continue;
            }
            for (place, name) in heads(&code, at + "crate::".len()) {
                found.push((line_of(&code, place), name));
            }
        }
        for (at, _) in code.match_indices("super::") {
            if preceded_by_identifier(&code, at) || code.get(..at).unwrap().ends_with("super::") {
                continue;
            }
            let chain = code.get(at..).unwrap();
            let rest = chain.trim_start_matches("super::");
            let steps = (chain.len() - rest.len()) / "super::".len();
            if steps < self.depth() {
                continue;
            }
            for (place, name) in heads(&code, at + chain.len() - rest.len()) {
                // In a nested module (`mod tests`) the same chain ends one step earlier, at this
                // room itself; a name that is no room, or one of its own modules, is that.
                if ROOMS.contains(&name.as_str()) && !self.has_module(&name) {
                    found.push((line_of(&code, place), name));
                }
            }
        }
        found.sort();
        found
    }

    fn has_module(&self, name: &str) -> bool {
        let room = self.room().unwrap_or_default();
        let folder = root().join("src").join(room);
        folder.join(format!("{name}.rs")).exists() || folder.join(name).exists()
    }
}

/// The identifiers that a path can go on with at `at`: one, or the heads of a `{…}` group.
fn heads(code: &str, at: usize) -> Vec<(usize, String)> {
    let rest = code.get(at..).unwrap();
    if !rest.starts_with('{') {
        let name = identifier(rest);
        return if name.is_empty() {
            Vec::new()
        } else {
            vec![(at, name.to_owned())]
        };
    }
    let mut found = Vec::new();
    let mut depth = 0_usize;
    let mut expects_head = false;
    for (offset, letter) in rest.char_indices() {
        match letter {
            '{' => {
                depth += 1;
                expects_head = depth == 1;
            }
            '}' => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            ',' if depth == 1 => expects_head = true,
            letter if expects_head && !letter.is_whitespace() => {
                expects_head = false;
                let name = identifier(rest.get(offset..).unwrap());
                if !name.is_empty() && name != "self" {
                    found.push((at + offset, name.to_owned()));
                }
            }
            _ => {}
        }
    }
    found
}

fn identifier(text: &str) -> &str {
    let end = text
        .find(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .unwrap_or(text.len());
    text.get(..end).unwrap()
}

fn preceded_by_identifier(code: &str, at: usize) -> bool {
    code.get(..at)
        .unwrap()
        .chars()
        .next_back()
        .is_some_and(|letter| letter.is_alphanumeric() || letter == '_')
}

fn line_of(code: &str, at: usize) -> usize {
    code.get(..at).unwrap().matches('\n').count() + 1
}

/// The text with comments and the insides of literals turned into spaces; lines stay where they are.
fn code_only(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let peek = |at: usize| letters.get(at).copied().unwrap_or('\0');
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < letters.len() {
        let end = match (peek(at), peek(at + 1)) {
            ('/', '/') => (at..letters.len())
                .find(|&i| peek(i) == '\n')
                .unwrap_or(letters.len()),
            ('/', '*') => end_of_block_comment(&letters, at),
            ('"', _) => end_of_string(&letters, at),
            ('r', '"' | '#') if !out.ends_with(|c: char| c.is_alphanumeric() || c == '_') => {
                end_of_raw_string(&letters, at).unwrap_or(at)
            }
            ('\'', '\\') => (at + 3..letters.len())
                .find(|&i| peek(i) == '\'')
                .map_or(letters.len(), |i| i + 1),
            ('\'', _) if peek(at + 2) == '\'' => at + 3,
            _ => at,
        };
        if end == at {
            out.push(peek(at));
            at += 1;
        } else {
            out.extend((at..end).map(|i| if peek(i) == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

fn end_of_block_comment(letters: &[char], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while at < letters.len() {
        match (letters.get(at), letters.get(at + 1)) {
            (Some('/'), Some('*')) => {
                depth += 1;
                at += 2;
            }
            (Some('*'), Some('/')) => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    letters.len()
}

fn end_of_string(letters: &[char], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(letter) = letters.get(at) {
        match letter {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    letters.len()
}

fn end_of_raw_string(letters: &[char], start: usize) -> Option<usize> {
    let hashes = letters
        .get(start + 1..)?
        .iter()
        .take_while(|letter| **letter == '#')
        .count();
    let open = start + 1 + hashes;
    if letters.get(open) != Some(&'"') {
        return None;
    }
    let close = (open + 1..letters.len()).find(|&i| {
        letters.get(i) == Some(&'"') && (1..=hashes).all(|h| letters.get(i + h) == Some(&'#'))
    })?;
    Some(close + hashes + 1)
}

fn only_in(home: &str, names: &[&str]) {
    let mut faults = Vec::new();
    for file in sources().iter().filter(|file| file.name != home) {
        for (index, line) in code_only(&file.text).lines().enumerate() {
            for name in names.iter().filter(|name| line.contains(**name)) {
                faults.push(format!(
                    "{}:{}: `{name}` belongs in {home} alone",
                    file.name,
                    index + 1
                ));
            }
        }
    }
    report(&faults);
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap();
                found.push(Source {
                    name: name.to_string_lossy().replace('\\', "/"),
                    text: fs::read_to_string(&path).unwrap(),
                });
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!found.is_empty(), "no source file was found");
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn report(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}
