//! Context: what every part of resolution shares: the faults, the folder, the reading of secrets.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::config::raw;
use crate::config::types::{Fault, KeyPath, Secret};
use crate::config::words;
use crate::telemetry::Redacted;

/// Largest secret file in bytes.
const MAX_SECRET_BYTES: u64 = 64 << 10;

/// What resolution collects, and what it needs to know of the file.
pub(super) struct Context<'a> {
    base: &'a Path,
    broken: &'a [KeyPath],
    /// The mistakes.
    pub(super) faults: Vec<Fault>,
    /// What works, but should be known.
    pub(super) warnings: Vec<Fault>,
}

impl<'a> Context<'a> {
    pub(super) const fn new(base: &'a Path, broken: &'a [KeyPath]) -> Self {
        Self {
            base,
            broken,
            faults: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Records a mistake, unless an earlier one already stands at the same place.
    pub(super) fn fault(
        &mut self,
        at: &KeyPath,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        if !self.broken.iter().any(|broken| at.is_within(broken)) {
            self.faults.push(Fault::new(at, problem, remedy));
        }
    }

    /// Records something that works, but should be known.
    pub(super) fn warn(
        &mut self,
        at: &KeyPath,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.warnings.push(Fault::new(at, problem, remedy));
    }

    /// Whether a section is not what the user wrote, so that what refers to it cannot be judged.
    pub(super) fn is_broken(&self, section: &str) -> bool {
        let section = KeyPath::root().key(section);
        self.broken.iter().any(|broken| broken.is_within(&section))
    }

    /// Whether a name may stand in this list that could not be read: the list or an element of it is
    /// something else than it should be, or a name is.
    fn hides_names(&self, section: &str) -> bool {
        let list = KeyPath::root().key(section);
        self.broken.iter().any(|broken| {
            let inside = broken.as_str().strip_prefix(list.as_str());
            inside.is_some_and(|inside| {
                !inside.contains('.') || inside.rsplit('.').next() == Some("name")
            })
        })
    }

    /// The index of a name; an unknown one is a mistake.
    pub(super) fn index_of(
        &mut self,
        at: &KeyPath,
        what: &str,
        name: &str,
        names: &[&str],
        section: &str,
    ) -> Option<usize> {
        let index = names.iter().position(|known| *known == name);
        if index.is_none() && !self.hides_names(section) {
            let remedy = if names.is_empty() {
                format!("add it to {section}")
            } else {
                words::suggest(name, names, "there are")
            };
            self.fault(at, format!("there is no {what} `{name}`"), remedy);
        }
        index
    }

    /// Two elements with one name are a mistake of the second.
    pub(super) fn distinct_names<'n>(
        &mut self,
        what: &str,
        names: impl Iterator<Item = (KeyPath, &'n str)>,
    ) {
        let mut seen: Vec<&str> = Vec::new();
        for (at, name) in names {
            if seen.contains(&name) {
                self.fault(
                    &at,
                    format!("two {what}s are called `{name}`"),
                    "give each its own `name`",
                );
            } else {
                if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
                    self.fault(
                        &at,
                        "a name is 1 to 64 characters",
                        "write a short plain word",
                    );
                }
                seen.push(name);
            }
        }
    }

    /// A path, made absolute.
    pub(super) fn path(&self, written: &str) -> PathBuf {
        let joined = self.base.join(written);
        std::path::absolute(&joined).unwrap_or(joined)
    }

    /// A file that must exist and be readable.
    pub(super) fn file(&mut self, at: &KeyPath, written: &str) -> Option<PathBuf> {
        if written.is_empty() {
            self.fault(at, "the path is empty", "name a file");
            return None;
        }
        let path = self.path(written);
        let opened = File::open(&path).and_then(|file| file.metadata());
        match opened {
            Ok(metadata) if metadata.is_dir() => {
                self.fault(at, format!("{} is a folder", path.display()), "name a file");
                None
            }
            Ok(_) => Some(path),
            Err(error) => {
                self.fault(
                    at,
                    format!("{} cannot be read: {}", path.display(), plain(&error)),
                    "relative paths start at the configuration file's folder",
                );
                None
            }
        }
    }

    /// A secret: its text, or the text of its file. Empty ones are mistakes.
    pub(super) fn secret(&mut self, at: &KeyPath, raw: &raw::Secret) -> Option<Secret> {
        let (value, file) = match raw {
            raw::Secret::Text(text) => (text.clone(), None),
            raw::Secret::File(written) => {
                let at = at.key("file");
                let path = self.file(&at, written)?;
                let text = self.read_secret(&at, &path)?;
                (text, Some(path))
            }
        };
        if value.expose().trim().is_empty() {
            self.fault(
                at,
                "the secret is empty",
                "set its environment variable, or fill its file",
            );
            return None;
        }
        Some(Secret {
            at: at.clone(),
            value,
            file,
        })
    }

    fn read_secret(&mut self, at: &KeyPath, path: &Path) -> Option<Redacted> {
        let mut text = String::new();
        let read = File::open(path)
            .and_then(|file| file.take(MAX_SECRET_BYTES + 1).read_to_string(&mut text));
        match read {
            Ok(length) if length as u64 > MAX_SECRET_BYTES => {
                self.fault(
                    at,
                    format!("{} is larger than 64 KiB", path.display()),
                    "name the secret's own file",
                );
                None
            }
            Ok(_) => {
                if text.ends_with('\n') {
                    text.pop();
                    if text.ends_with('\r') {
                        text.pop();
                    }
                }
                Some(Redacted::new(text))
            }
            Err(error) => {
                self.fault(
                    at,
                    format!("{} cannot be read: {}", path.display(), plain(&error)),
                    "a secret's file is UTF-8 text",
                );
                None
            }
        }
    }

    /// A duration that must be more than nothing.
    pub(super) fn positive(&mut self, at: &KeyPath, raw: raw::Duration) -> std::time::Duration {
        if raw.0.is_zero() {
            self.fault(
                at,
                "this duration is zero",
                "write a longer one, such as 5s",
            );
        }
        raw.0
    }
}

/// An I/O error without its number.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((short, _)) => short.to_lowercase(),
        None => text,
    }
}
