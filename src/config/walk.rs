//! Walk: the document is held against the JSON Schema, and every mistake is told at once.
//!
//! serde would stop at the first mistake and cannot say what was meant. The walk knows the part of
//! JSON Schema that our own schema uses (`schema_view.rs`). What is wrong is taken out of the
//! document or replaced by something of the right shape, and remembered as broken, so that the
//! meaning of the rest can still be checked in the same run; nothing replaced is ever used, since
//! a run with faults yields no configuration.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::environment::{Expansion, Variable};
use super::placeholder::placeholder;
use super::raw;
use super::schema_view::{Shape, View};
use super::types::{Fault, KeyPath};
use super::words;

/// What the walk found.
pub(super) struct Walked {
    /// The mistakes.
    pub(super) faults: Vec<Fault>,
    /// Where the document no longer says what the user wrote.
    pub(super) broken: Vec<KeyPath>,
}

/// Holds a document against the schema.
pub(super) fn walk(schema: &Value, tree: &mut Value, expansion: &Expansion) -> Walked {
    let mut walk = Walk {
        expanded: &expansion.expanded,
        unknown: &expansion.unknown,
        found: Walked {
            faults: Vec::new(),
            broken: Vec::new(),
        },
    };
    walk.value(View::new(schema, schema), tree, &KeyPath::root());
    walk.found
}

struct Walk<'e> {
    expanded: &'e HashMap<KeyPath, Vec<Variable>>,
    unknown: &'e HashSet<KeyPath>,
    found: Walked,
}

impl Walk<'_> {
    fn fault(&mut self, at: &KeyPath, problem: impl Into<String>, remedy: impl Into<String>) {
        self.found.faults.push(Fault::new(at, problem, remedy));
        self.found.broken.push(at.clone());
    }

    fn value(&mut self, view: View<'_>, value: &mut Value, at: &KeyPath) {
        if self.unknown.contains(at) {
            self.found.broken.push(at.clone());
            *value = placeholder(view);
            return;
        }
        self.read_expanded(view, value, at);
        let shapes = view.shapes();
        let fitting: Vec<&Shape<'_>> = shapes.iter().filter(|shape| shape.admits(value)).collect();
        if fitting.is_empty() {
            self.wrong_type(view, value, at);
            return;
        }
        let complaint = match value {
            Value::String(text) => self.text(view, &fitting, text, at),
            Value::Number(number) => out_of_range(&fitting, number),
            Value::Array(items) => self.list(&fitting, items, at),
            Value::Object(entries) => {
                self.map(view, &fitting, entries, at);
                None
            }
            _ => None,
        };
        if let Some((problem, remedy)) = complaint {
            self.fault(at, problem, remedy);
            *value = placeholder(view);
        }
    }

    /// What came out of the environment is text; where no such text may stand, it is read as the
    /// scalar that it looks like.
    fn read_expanded(&self, view: View<'_>, value: &mut Value, at: &KeyPath) {
        let Some(text) = value.as_str().filter(|_| self.expanded.contains_key(at)) else {
            return;
        };
        let shapes = view.shapes();
        let stands = shapes.iter().any(|shape| {
            shape.admits(value)
                && match (shape.words(), shape.format()) {
                    (Some(words), _) => words.contains(&text),
                    (None, Some(format)) => raw::check_format(format, text).is_ok(),
                    (None, None) => true,
                }
        });
        let again = read_again(text).filter(|_| !stands);
        if let Some(again) = again
            && shapes.iter().any(|shape| shape.admits(&again))
        {
            *value = again;
        }
    }

    /// What is wrong with a list as such, if anything; its items are walked.
    fn list(
        &mut self,
        fitting: &[&Shape<'_>],
        items: &mut [Value],
        at: &KeyPath,
    ) -> Option<(String, String)> {
        if let Some(inner) = fitting.iter().find_map(|shape| shape.items()) {
            for (index, item) in items.iter_mut().enumerate() {
                self.value(inner, item, &at.index(index));
            }
        }
        let least = fitting.iter().find_map(|shape| shape.number("minItems"));
        (items.is_empty() && least.is_some_and(|least| least > 0.0)).then(|| {
            (
                "the list is empty".to_owned(),
                "name at least one".to_owned(),
            )
        })
    }

    fn wrong_type(&mut self, view: View<'_>, value: &mut Value, at: &KeyPath) {
        let show = !self.expanded.contains_key(at) && !view.is_secret();
        let expected = view.expectation();
        let problem = format!(
            "this is {}, but {expected} belongs here",
            words::found(value, show)
        );
        let remedy = match (&*value, view.example()) {
            (Value::Number(_), _) if view.is_secret() => {
                "put it in quotes, so that it is text".to_owned()
            }
            (Value::String(text), _)
                if view.admits_boolean() && ["on", "yes"].contains(&&*text.to_lowercase()) =>
            {
                "write true".to_owned()
            }
            (Value::String(text), _)
                if view.admits_boolean() && ["off", "no"].contains(&&*text.to_lowercase()) =>
            {
                "write false".to_owned()
            }
            (_, Some(example)) => format!("for example {example}"),
            (_, None) => format!("write {expected}, or leave the key out"),
        };
        self.fault(at, problem, remedy);
        *value = placeholder(view);
    }

    /// What is wrong with a text, if anything.
    fn text(
        &self,
        view: View<'_>,
        fitting: &[&Shape<'_>],
        text: &str,
        at: &KeyPath,
    ) -> Option<(String, String)> {
        let mut choices = Vec::new();
        let mut remedy = None;
        for shape in fitting {
            if let Some(words) = shape.words() {
                if words.contains(&text) {
                    return None;
                }
                choices.extend(words);
            } else if let Some(format) = shape.format() {
                match raw::check_format(format, text) {
                    Ok(()) => return None,
                    Err(wanted) => remedy = Some(wanted),
                }
            } else {
                return None;
            }
        }
        let shown = if self.expanded.contains_key(at) || text.len() > 60 {
            "this text".to_owned()
        } else {
            format!("`{text}`")
        };
        if let Some(wanted) = remedy {
            return Some((
                format!("{shown} is not {}", view.expectation()),
                wanted.to_owned(),
            ));
        }
        if view.not_supported_words().contains(&text) {
            return Some(not_supported(text, &choices));
        }
        Some((
            format!("{shown} is not one of the words allowed here"),
            words::suggest(text, &choices, "allowed:"),
        ))
    }

    fn map(
        &mut self,
        view: View<'_>,
        fitting: &[&Shape<'_>],
        entries: &mut Map<String, Value>,
        at: &KeyPath,
    ) {
        match fitting {
            [only] if !only.is_kind() => self.record(only, entries, at),
            kinds => self.kind(view, kinds, entries, at),
        }
    }

    /// A map with exactly one key, which says of what kind it is.
    fn kind(
        &mut self,
        view: View<'_>,
        kinds: &[&Shape<'_>],
        entries: &mut Map<String, Value>,
        at: &KeyPath,
    ) {
        let names: Vec<&str> = kinds.iter().filter_map(|shape| shape.kind()).collect();
        let given: Vec<String> = entries.keys().cloned().collect();
        let replacement = match given.as_slice() {
            [name] => {
                let shape = kinds.iter().find(|shape| shape.kind() == Some(name));
                if let (Some(shape), Some(inner)) = (shape, entries.get_mut(name)) {
                    if let Some(view) = shape.property(name) {
                        self.value(view, inner, &at.key(name));
                    }
                    return;
                }
                let (problem, remedy) = if view.not_supported_words().contains(&name.as_str()) {
                    not_supported(name, &names)
                } else {
                    (
                        format!("unknown kind `{name}`"),
                        words::suggest(name, &names, "there are"),
                    )
                };
                self.fault(&at.key(name), problem, remedy);
                self.found.broken.push(at.clone());
                placeholder(view)
            }
            [] => {
                self.fault(
                    at,
                    "the map is empty",
                    format!("name exactly one of {}", words::listed(&names)),
                );
                placeholder(view)
            }
            several => {
                self.fault(
                    at,
                    format!("{} stand side by side", words::listed(several)),
                    format!("keep exactly one of {}", words::listed(&names)),
                );
                placeholder(view)
            }
        };
        if let Value::Object(replaced) = replacement {
            *entries = replaced;
        }
    }

    /// A map whose keys are known, or whose values are all alike.
    fn record(&mut self, shape: &Shape<'_>, entries: &mut Map<String, Value>, at: &KeyPath) {
        let mut refused = false;
        let names: Vec<String> = entries.keys().cloned().collect();
        for name in &names {
            let inner_at = at.key(name);
            if let Some(inner) = shape.property(name) {
                if inner.is_not_supported() {
                    let value = entries.remove(name).unwrap_or_default();
                    if !inner.allows(&value) {
                        refused = true;
                        let (problem, remedy) = not_supported(name, &[]);
                        self.fault(&inner_at, problem, remedy);
                    }
                } else if let Some(value) = entries.get_mut(name) {
                    self.value(inner, value, &inner_at);
                }
            } else if let Some(inner) = shape.other_values() {
                if let Some(value) = entries.get_mut(name) {
                    self.value(inner, value, &inner_at);
                }
            } else if shape.is_closed() {
                refused = true;
                entries.remove(name);
                let (problem, remedy) = if name == "preset" {
                    let problem = "presets do not stand here".to_owned();
                    (problem, "write it at the top of the file".to_owned())
                } else {
                    let known: Vec<&str> = shape.supported_keys();
                    (
                        format!("unknown key `{name}`"),
                        words::suggest(name, &known, "keys here are"),
                    )
                };
                self.fault(&inner_at, problem, remedy);
            }
        }
        for name in shape.required() {
            if entries.contains_key(name) {
                continue;
            }
            let inner = shape.property(name);
            let at = at.key(name);
            if refused {
                // The refused key may well be this one, misspelt: one fault for one mistake.
                self.found.broken.push(at);
            } else {
                let remedy = inner.map_or_else(String::new, View::how_to_write);
                self.fault(&at, format!("`{name}` is missing"), remedy);
            }
            if let Some(inner) = inner {
                entries.insert(name.to_owned(), placeholder(inner));
            }
        }
        self.exactly_one(shape, entries, at, refused);
    }

    fn exactly_one(
        &mut self,
        shape: &Shape<'_>,
        entries: &Map<String, Value>,
        at: &KeyPath,
        refused: bool,
    ) {
        let choices = shape.exactly_one_of();
        if choices.is_empty() {
            return;
        }
        let given: Vec<&str> = choices
            .iter()
            .copied()
            .filter(|name| entries.get(*name).is_some_and(|value| !value.is_null()))
            .collect();
        match given.as_slice() {
            [_] => {}
            [] if refused => self.found.broken.push(at.clone()),
            [] => self.fault(
                at,
                format!("none of {} is here", words::listed(&choices)),
                "name exactly one of them",
            ),
            several => self.fault(
                at,
                format!("{} exclude each other", words::listed(several)),
                "keep one of them",
            ),
        }
    }
}

fn not_supported(name: &str, instead: &[&str]) -> (String, String) {
    let remedy = if instead.is_empty() {
        "leave the key out".to_owned()
    } else {
        format!("use {}", words::listed(instead))
    };
    (format!("`{name}` is not supported in this version"), remedy)
}

fn out_of_range(fitting: &[&Shape<'_>], number: &serde_json::Number) -> Option<(String, String)> {
    let value = number.as_f64()?;
    let least = fitting.iter().find_map(|shape| shape.number("minimum"));
    let most = fitting.iter().find_map(|shape| shape.number("maximum"));
    if least.is_none_or(|least| value >= least) && most.is_none_or(|most| value <= most) {
        return None;
    }
    let remedy = match (least, most) {
        (Some(least), Some(most)) => format!("write a number from {least} to {most}"),
        (Some(least), None) => format!("write a number from {least}"),
        (None, Some(most)) => format!("write a number up to {most}"),
        (None, None) => String::new(),
    };
    Some((format!("{number} is out of range"), remedy))
}

/// What came out of the environment, read as the scalar that it looks like.
fn read_again(text: &str) -> Option<Value> {
    match text {
        "true" => Some(Value::Bool(true)),
        "false" => Some(Value::Bool(false)),
        "null" => Some(Value::Null),
        _ => text
            .parse::<u64>()
            .map(Value::from)
            .or_else(|_| text.parse::<i64>().map(Value::from))
            .ok(),
    }
}
