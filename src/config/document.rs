//! Document: the bytes of a configuration file become one JSON tree, or a list of faults.
//!
//! The only file that names `serde_yaml`, so that the library can be swapped. What YAML offers
//! beyond a tree of maps, lists and scalars is refused with its line: two documents, repeated keys,
//! keys that are not text, tags, bombs of aliases, bottomless nesting. Merge keys (`<<`) are
//! applied. It never reads the environment and never knows what a key means.

use serde_json::{Map, Value};

use super::lines::{self, Lines};
use super::types::{Fault, KeyPath};

/// Largest file in bytes.
pub(super) const MAX_FILE_BYTES: usize = 4 << 20;

/// A document and where its keys stand.
pub(super) struct Document {
    /// The tree.
    pub(super) tree: Value,
    /// The line of each key path.
    pub(super) lines: Lines,
}

/// Why there is no document: the faults, and the lines as far as they are known.
pub(super) struct Unreadable {
    /// What is wrong.
    pub(super) faults: Vec<Fault>,
    /// Where keys stand, with the line of faults that have no key.
    pub(super) lines: Lines,
}

impl Unreadable {
    fn at_line(line: usize, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            faults: vec![Fault::new(&KeyPath::root(), problem, remedy)],
            lines: Lines::starting_at(line),
        }
    }
}

/// Reads a file's bytes as one YAML document whose root is a map.
pub(super) fn read(bytes: &[u8]) -> Result<Document, Unreadable> {
    let text = text_of(bytes)?;
    let scan = lines::scan(text);
    if let Some(broken) = scan.broken {
        return Err(match broken.remedy {
            Some(remedy) => Unreadable::at_line(broken.line, broken.problem, remedy),
            None => syntax(text, broken.line, broken.problem),
        });
    }
    if !scan.faults.is_empty() {
        return Err(Unreadable {
            faults: scan.faults,
            lines: scan.lines,
        });
    }
    let lines = scan.lines;
    let mut yaml: serde_yaml::Value = serde_yaml::from_str(text).map_err(|error| {
        let line = error.location().map_or(1, |location| location.line());
        syntax(text, line, not_yaml(&error))
    })?;
    if let Err(error) = yaml.apply_merge() {
        return Err(Unreadable::at_line(
            1,
            format!("a merge key (<<) cannot be applied: {error}"),
            "merge maps only: `<<: *name`",
        ));
    }
    let mut faults = Vec::new();
    let tree = convert(yaml, &KeyPath::root(), &mut faults);
    if !faults.is_empty() {
        return Err(Unreadable { faults, lines });
    }
    match tree {
        Value::Object(_) => Ok(Document { tree, lines }),
        Value::Null => Err(Unreadable::at_line(
            1,
            "the file is empty",
            "name at least an issuer, a directory and an upstream",
        )),
        _ => Err(Unreadable::at_line(
            1,
            "the file is not a map of keys",
            "begin with a key such as `upstreams:`",
        )),
    }
}

/// Reads a YAML file of data, such as the file directory: one document, no tags, keys that are
/// text. Its size is the caller's to bound.
pub(crate) fn yaml_to_json(bytes: &[u8]) -> Result<Value, String> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let value: serde_yaml::Value =
        serde_yaml::from_slice(bytes).map_err(|error| error.to_string())?;
    serde_json::to_value(value).map_err(|error| error.to_string())
}

/// Writes a tree as YAML.
pub(super) fn write(tree: &Value) -> String {
    serde_yaml::to_string(tree).unwrap_or_default()
}

fn text_of(bytes: &[u8]) -> Result<&str, Unreadable> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(Unreadable::at_line(
            1,
            "the file is larger than 4 MiB",
            "not even 10,000 routes take that; is this the right file?",
        ));
    }
    if bytes.starts_with(&[0xFE, 0xFF]) || bytes.starts_with(&[0xFF, 0xFE]) {
        return Err(Unreadable::at_line(
            1,
            "the file is UTF-16",
            "save it as UTF-8",
        ));
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return Err(Unreadable::at_line(
            line_of(bytes, at),
            "the file holds a NUL byte",
            "remove it; a configuration is text",
        ));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        Unreadable::at_line(
            line_of(bytes, error.valid_up_to()),
            "the file is not UTF-8",
            "save it as UTF-8",
        )
    })
}

fn line_of(bytes: &[u8], offset: usize) -> usize {
    bytes
        .iter()
        .take(offset)
        .filter(|byte| **byte == b'\n')
        .count()
        + 1
}

/// The parser's complaint without its own position, and without a value, which may be secret.
fn not_yaml(error: &serde_yaml::Error) -> String {
    let text = error.to_string();
    if text.contains("128") && text.contains("integer") {
        return "a number has more digits than a number can have; text stands in quotes".to_owned();
    }
    let short = text.split(" at line ").next().unwrap_or(&text);
    format!("this is not YAML: {short}")
}

/// A mistake of syntax. A tab is blamed where it stands: parsers notice it a line early.
fn syntax(text: &str, line: usize, problem: String) -> Unreadable {
    let tabbed = text
        .lines()
        .enumerate()
        .skip(line.saturating_sub(1))
        .take(2)
        .find(|(_, found)| {
            let indent = found.len() - found.trim_start().len();
            found
                .get(..indent)
                .is_some_and(|indent| indent.contains('\t'))
        });
    match tabbed {
        Some((index, _)) => Unreadable::at_line(
            index + 1,
            "the line is indented by a tab",
            "indent with spaces",
        ),
        None => Unreadable::at_line(
            line,
            problem,
            "check indentation, colons and quotes on this line and the one before",
        ),
    }
}

fn convert(yaml: serde_yaml::Value, at: &KeyPath, faults: &mut Vec<Fault>) -> Value {
    match yaml {
        serde_yaml::Value::Null => Value::Null,
        serde_yaml::Value::Bool(value) => Value::Bool(value),
        serde_yaml::Value::Number(number) => number_of(&number).unwrap_or_else(|| {
            faults.push(Fault::new(
                at,
                format!("`{number}` is not a finite number"),
                "write a plain number, or put it in quotes if it is text",
            ));
            Value::Null
        }),
        serde_yaml::Value::String(text) => Value::String(text),
        serde_yaml::Value::Sequence(items) => Value::Array(
            items
                .into_iter()
                .enumerate()
                .map(|(index, item)| convert(item, &at.index(index), faults))
                .collect(),
        ),
        serde_yaml::Value::Mapping(entries) => {
            let mut map = Map::new();
            for (key, value) in entries {
                let serde_yaml::Value::String(name) = key else {
                    faults.push(Fault::new(
                        &at.key(&plain(&key)),
                        "this key is not text",
                        "put the key in quotes",
                    ));
                    continue;
                };
                let inner = at.key(&name);
                map.insert(name, convert(value, &inner, faults));
            }
            Value::Object(map)
        }
        serde_yaml::Value::Tagged(tagged) => {
            faults.push(Fault::new(
                at,
                format!("the tag `{}` has no meaning here", tagged.tag),
                "remove the tag",
            ));
            Value::Null
        }
    }
}

fn number_of(number: &serde_yaml::Number) -> Option<Value> {
    if let Some(value) = number.as_u64() {
        return Some(Value::from(value));
    }
    if let Some(value) = number.as_i64() {
        return Some(Value::from(value));
    }
    number
        .as_f64()
        .and_then(serde_json::Number::from_f64)
        .map(Value::Number)
}

/// A key that is not text, as it reads in the file.
fn plain(key: &serde_yaml::Value) -> String {
    match key {
        serde_yaml::Value::Null => "null".to_owned(),
        serde_yaml::Value::Bool(value) => value.to_string(),
        serde_yaml::Value::Number(number) => number.to_string(),
        _ => "?".to_owned(),
    }
}
