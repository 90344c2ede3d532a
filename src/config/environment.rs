//! Environment: `${NAME}` and `${NAME:-default}` in the document's scalars.
//!
//! Read after parsing, in values only: what a variable holds can never become a key, a list or a
//! second line of YAML. `$$` is a dollar, and a `$` before anything else is itself, so that
//! `$user` in a query needs no quoting. Variables come through an argument, never from the process.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::types::{Fault, KeyPath};

/// What the environment is asked through.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What expansion found.
#[derive(Default)]
pub(super) struct Expansion {
    /// Variables that are not set, and references that cannot be read.
    pub(super) faults: Vec<Fault>,
    /// Scalars that came from a variable; they may be read as numbers and booleans, and are never
    /// repeated in a message.
    pub(super) expanded: HashMap<KeyPath, Vec<Variable>>,
    /// Scalars whose value is not known.
    pub(super) unknown: HashSet<KeyPath>,
}

/// A variable and what it held.
pub(super) struct Variable {
    name: String,
    value: String,
}

/// Shortest value that is hidden in messages; hiding shorter ones would only garble them.
const HIDDEN_FROM: usize = 3;

impl Expansion {
    /// Takes what variables held out of a message about the scalar that they stand in: anything
    /// may have been put there by mistake, a secret too.
    pub(super) fn hide(&self, fault: &mut Fault) {
        for Variable { name, value } in self.expanded.get(&fault.at).into_iter().flatten() {
            if value.len() >= HIDDEN_FROM {
                let reference = format!("${{{name}}}");
                fault.problem = fault.problem.replace(value.as_str(), &reference);
                fault.remedy = fault.remedy.replace(value.as_str(), &reference);
            }
        }
    }
}

/// Replaces every reference in the tree.
pub(super) fn expand(tree: &mut Value, environment: Lookup<'_>) -> Expansion {
    let mut expansion = Expansion::default();
    walk(tree, &KeyPath::root(), environment, &mut expansion);
    expansion
}

fn walk(value: &mut Value, at: &KeyPath, environment: Lookup<'_>, found: &mut Expansion) {
    match value {
        Value::String(text) if text.contains('$') => match replace(text, environment) {
            Ok((new, None)) => *text = new,
            Ok((new, Some(variables))) => {
                *text = new;
                found.expanded.insert(at.clone(), variables);
            }
            Err(bad) => {
                found.faults.push(bad.fault(at));
                found.unknown.insert(at.clone());
            }
        },
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                walk(item, &at.index(index), environment, found);
            }
        }
        Value::Object(entries) => {
            for (key, inner) in entries.iter_mut() {
                walk(inner, &at.key(key), environment, found);
            }
        }
        _ => {}
    }
}

enum Bad {
    Unset(String),
    Unclosed,
    Name(String),
}

impl Bad {
    fn fault(self, at: &KeyPath) -> Fault {
        match self {
            Self::Unset(name) => Fault::new(
                at,
                format!("environment variable {name} is not set"),
                format!("set it, or give a default: ${{{name}:-default}}"),
            ),
            Self::Unclosed => Fault::new(
                at,
                "`${` has no closing `}`",
                "write ${NAME}, or $${ for the text itself",
            ),
            Self::Name(name) => Fault::new(
                at,
                format!("`{name}` is not the name of an environment variable"),
                "write ${NAME} or ${NAME:-default}: letters, digits and _, no nesting",
            ),
        }
    }
}

/// A text with its references replaced, and the variables if there were references.
type Replaced = (String, Option<Vec<Variable>>);

fn replace(text: &str, environment: Lookup<'_>) -> Result<Replaced, Bad> {
    let mut out = String::with_capacity(text.len());
    let mut variables = None;
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some(tail) = after.strip_prefix('{') {
            let (reference, tail) = tail.split_once('}').ok_or(Bad::Unclosed)?;
            let (variable, default) = value_of(reference, environment)?;
            out.push_str(default.unwrap_or(&variable.value));
            variables.get_or_insert_with(Vec::new).push(variable);
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    Ok((out, variables))
}

/// The variable, and the default where that serves in its place.
fn value_of<'r>(
    reference: &'r str,
    environment: Lookup<'_>,
) -> Result<(Variable, Option<&'r str>), Bad> {
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    let mut bytes = name.bytes();
    let valid = bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && default.is_none_or(|text| !text.contains("${"));
    if !valid {
        return Err(Bad::Name(name.to_owned()));
    }
    // As in a shell, `:-` serves for a variable that is unset or empty.
    let held = environment(name);
    if held.is_none() && default.is_none() {
        return Err(Bad::Unset(name.to_owned()));
    }
    let value = held.unwrap_or_default();
    let default = default.filter(|_| value.is_empty());
    let name = name.to_owned();
    Ok((Variable { name, value }, default))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn environment(name: &str) -> Option<String> {
        match name {
            "PORT" => Some("8080".into()),
            "EMPTY" => Some(String::new()),
            "EVIL" => Some("a: ${PORT}\n$$ b".into()),
            _ => None,
        }
    }

    fn expanded(text: &str) -> String {
        let mut tree = json!({ "k": text });
        let found = expand(&mut tree, &environment);
        assert!(found.faults.is_empty(), "{text}: {:?}", found.faults);
        tree["k"].as_str().unwrap().to_owned()
    }

    fn refused(text: &str) -> String {
        let mut tree = json!({ "k": [text] });
        let found = expand(&mut tree, &environment);
        assert_eq!(found.faults.len(), 1, "{text}");
        assert_eq!(found.faults[0].at.as_str(), "k[0]");
        found.faults[0].problem.clone()
    }

    #[test]
    fn references_defaults_and_dollars() {
        assert_eq!(expanded("http://a:${PORT}/"), "http://a:8080/");
        assert_eq!(expanded("${NONE:-x-y}"), "x-y");
        assert_eq!(expanded("${EMPTY:-x}"), "x");
        assert_eq!(expanded("${EMPTY}"), "");
        assert_eq!(expanded("$${PORT} $$user"), "${PORT} $user");
        assert_eq!(
            expanded("id = $user AND t = $tenant$"),
            "id = $user AND t = $tenant$"
        );
    }

    #[test]
    fn a_variable_is_data_and_is_not_read_again() {
        assert_eq!(expanded("${EVIL}"), "a: ${PORT}\n$$ b");
    }

    #[test]
    fn what_cannot_be_replaced_is_said() {
        assert_eq!(refused("${NONE}"), "environment variable NONE is not set");
        assert!(refused("${PORT").contains("no closing"));
        for text in ["${}", "${1A}", "${A B}", "${A-B}", "${NONE:-${PORT}}"] {
            assert!(refused(text).contains("not the name"), "{text}");
        }
    }

    #[test]
    fn keys_are_never_read() {
        let mut tree = json!({ "${PORT}": "x" });
        expand(&mut tree, &environment);
        assert_eq!(tree, json!({ "${PORT}": "x" }));
    }
}
