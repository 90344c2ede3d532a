//! Load: from a file to [`Loaded`], or to every mistake in it.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde_json::Value;

use super::document::{self, MAX_FILE_BYTES};
use super::environment::{self, Lookup};
use super::lines::Lines;
use super::types::{Config, Fault, KeyPath};
use super::walk::walk;
use super::{preset, raw, resolve};

/// A configuration and what is known of its file.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What works, but should be known.
    pub warnings: Vec<Fault>,
    /// The file's name, as given.
    pub name: String,
    /// Where keys stand.
    pub lines: Lines,
    pub(super) raw: raw::File,
}

impl Loaded {
    /// The line of a key path, or of its nearest ancestor in the file.
    #[must_use]
    pub fn line(&self, at: &KeyPath) -> Option<usize> {
        self.lines.line(at)
    }

    /// A fault as `check` prints it.
    #[must_use]
    pub fn render(&self, fault: &Fault) -> String {
        render_fault(&self.name, &self.lines, fault)
    }
}

/// Why there is no configuration: every mistake, in the order of the file.
#[derive(Debug, Clone)]
pub struct LoadError {
    /// The file's name, as given.
    pub name: String,
    /// The mistakes, with their lines.
    pub faults: Vec<(Option<usize>, Fault)>,
}

impl LoadError {
    fn new(name: &str, lines: &Lines, faults: Vec<Fault>) -> Self {
        let mut faults: Vec<_> = faults
            .into_iter()
            .map(|fault| (lines.line(&fault.at), fault))
            .collect();
        faults.sort_by_key(|(line, _)| *line);
        faults.dedup();
        Self {
            name: name.to_owned(),
            faults,
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (line, fault)) in self.faults.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&rendered(&self.name, *line, fault))?;
        }
        Ok(())
    }
}

impl std::error::Error for LoadError {}

/// A fault on one line: `FILE:LINE: key.path: problem; remedy`.
#[must_use]
pub fn render_fault(name: &str, lines: &Lines, fault: &Fault) -> String {
    rendered(name, lines.line(&fault.at), fault)
}

/// Reads, checks and resolves a configuration file.
pub fn load(path: &Path, environment: Lookup<'_>) -> Result<Loaded, LoadError> {
    let name = path.display().to_string();
    let bytes = read(path).map_err(|error| LoadError {
        name: name.clone(),
        faults: vec![(
            None,
            Fault::new(
                &KeyPath::root(),
                format!("the file cannot be read: {error}"),
                "name a configuration file with -c",
            ),
        )],
    })?;
    let base = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    from_bytes(&bytes, base, &name, environment)
}

/// Checks and resolves a configuration that is already text; relative paths start at `base`.
pub fn parse(
    text: &str,
    base: &Path,
    name: &str,
    environment: Lookup<'_>,
) -> Result<Loaded, LoadError> {
    from_bytes(text.as_bytes(), base, name, environment)
}

/// The long form: every default filled in, secrets redacted.
#[must_use]
pub fn expand(loaded: &Loaded) -> String {
    let tree = serde_json::to_value(&loaded.raw).unwrap_or(Value::Null);
    document::write(&tree)
}

fn from_bytes(
    bytes: &[u8],
    base: &Path,
    name: &str,
    environment: Lookup<'_>,
) -> Result<Loaded, LoadError> {
    let document = document::read(bytes)
        .map_err(|unreadable| LoadError::new(name, &unreadable.lines, unreadable.faults))?;
    let (mut tree, lines) = (document.tree, document.lines);
    let expansion = environment::expand(&mut tree, environment);
    let mut faults = expansion.faults.clone();
    faults.extend(preset::expand(&mut tree));
    let walked = walk(&raw::schema(), &mut tree, &expansion);
    faults.extend(walked.faults);
    let mut file: raw::File = if let Ok(file) = serde_json::from_value(tree) {
        file
    } else {
        // The walk knows less than serde only by a defect; the file is refused all the same.
        // serde's own words would repeat values, secret ones too.
        if faults.is_empty() {
            faults.push(Fault::new(
                &KeyPath::root(),
                "the configuration passed its schema but cannot be read",
                "this is a defect of countersign; please report it",
            ));
        }
        return Err(LoadError::new(name, &lines, faults));
    };
    resolve::fill(&mut file);
    let mut resolved = resolve::resolve(&file, base, &walked.broken);
    for fault in resolved.faults.iter_mut().chain(&mut resolved.warnings) {
        expansion.hide(fault);
    }
    faults.extend(resolved.faults);
    match resolved.config {
        Some(config) if faults.is_empty() => Ok(Loaded {
            config,
            warnings: resolved.warnings,
            name: name.to_owned(),
            lines,
            raw: file,
        }),
        _ => Err(LoadError::new(name, &lines, faults)),
    }
}

/// The file's bytes; one more than is allowed shows that it is too large.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    file.take(MAX_FILE_BYTES as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn rendered(name: &str, line: Option<usize>, fault: &Fault) -> String {
    let mut parts = vec![match line {
        Some(line) => format!("{name}:{line}"),
        None => name.to_owned(),
    }];
    if !fault.at.as_str().is_empty() {
        parts.push(fault.at.to_string());
    }
    parts.push(if fault.remedy.is_empty() {
        fault.problem.clone()
    } else {
        format!("{}; {}", fault.problem, fault.remedy)
    });
    // A key may hold a line break; a fault is one line.
    parts.join(": ").replace(|c: char| c.is_control(), " ")
}
