//! The part of JSON Schema that our own schema uses, as questions the walk can ask.
//!
//! A [`View`] is a place in the schema, a [`Shape`] one of the alternatives that a value there may
//! have: references are followed, `anyOf` and `oneOf` flattened. Patterns are not evaluated; what
//! has one also has a `format` that is checked by the parser of the value itself.

use serde_json::{Map, Value};

use super::placeholder::flow;
use super::raw::unsupported::{MARK, WORDS_MARK};
use super::raw::{Duration, Size};
use super::words;

/// A place in the schema.
#[derive(Clone, Copy)]
pub(super) struct View<'s> {
    root: &'s Value,
    node: &'s Value,
}

/// One alternative, without references.
#[derive(Clone, Copy)]
pub(super) struct Shape<'s> {
    view: View<'s>,
    /// Whether it is written in place under `oneOf`: a variant of an enum, not a struct.
    variant: bool,
}

impl<'s> View<'s> {
    pub(super) const fn new(root: &'s Value, node: &'s Value) -> Self {
        Self { root, node }
    }

    const fn to(self, node: &'s Value) -> Self {
        Self {
            root: self.root,
            node,
        }
    }

    /// Follows references.
    pub(super) fn target(self) -> Self {
        let mut view = self;
        while let Some(next) = view
            .node
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|reference| reference.strip_prefix('#'))
            .and_then(|pointer| view.root.pointer(pointer))
        {
            view = view.to(next);
        }
        view
    }

    /// The alternatives.
    pub(super) fn shapes(self) -> Vec<Shape<'s>> {
        let view = self.target();
        let branches = |name| view.node.get(name).and_then(Value::as_array);
        let (inner, one_of) = match (branches("anyOf"), branches("oneOf")) {
            _ if view.node.get("properties").is_some() => (None, false),
            (Some(any), _) => (Some(any), false),
            (None, one) => (one, true),
        };
        let Some(branches) = inner else {
            return vec![Shape {
                view,
                variant: false,
            }];
        };
        let mut shapes = Vec::new();
        for branch in branches {
            if one_of && branch.get("$ref").is_none() {
                shapes.push(Shape {
                    view: view.to(branch),
                    variant: true,
                });
            } else {
                shapes.extend(view.to(branch).shapes());
            }
        }
        shapes
    }

    /// A member of this node, or of what it refers to.
    fn member(self, name: &str) -> Option<&'s Value> {
        self.node.get(name).or_else(|| self.target().node.get(name))
    }

    pub(super) fn description(self) -> Option<&'s str> {
        self.member("description").and_then(Value::as_str)
    }

    pub(super) fn default(self) -> Option<&'s Value> {
        self.node.get("default")
    }

    /// Whether values here must not be repeated in messages.
    pub(super) fn is_secret(self) -> bool {
        let secret = |view: View<'_>| view.node.get("writeOnly") == Some(&Value::Bool(true));
        secret(self.target())
            || ["anyOf", "oneOf"]
                .into_iter()
                .filter_map(|name| self.node.get(name).and_then(Value::as_array))
                .flatten()
                .any(|branch| secret(self.to(branch).target()))
    }

    /// Whether this is a map none of whose keys is supported.
    pub(super) fn is_void(self) -> bool {
        self.shapes().iter().all(|shape| {
            shape.properties().is_some_and(|all| !all.is_empty())
                && shape.supported_keys().is_empty()
        })
    }

    pub(super) fn is_not_supported(self) -> bool {
        self.node.get(MARK).is_some()
    }

    /// Whether the value is listed in `enum`.
    pub(super) fn allows(self, value: &Value) -> bool {
        self.node
            .get("enum")
            .and_then(Value::as_array)
            .is_some_and(|allowed| allowed.contains(value))
    }

    pub(super) fn not_supported_words(self) -> Vec<&'s str> {
        self.member(WORDS_MARK)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }

    pub(super) fn admits_boolean(self) -> bool {
        self.shapes()
            .iter()
            .any(|shape| shape.admits(&Value::Bool(true)))
    }

    pub(super) fn first_example(self) -> Option<&'s Value> {
        self.member("examples").and_then(|list| list.get(0))
    }

    /// An example in YAML's flow form.
    pub(super) fn example(self) -> Option<String> {
        self.first_example().map(flow)
    }

    /// What a missing key is for, and what it may look like.
    pub(super) fn how_to_write(self) -> String {
        let what = self.description().unwrap_or_default();
        let what = what.trim_end_matches('.').replace('\n', " ");
        match self.example() {
            Some(example) => format!("{what}: for example {example}"),
            None => what,
        }
    }

    /// What may stand here, in a user's words.
    pub(super) fn expectation(self) -> String {
        if self.is_secret() {
            return "a secret".to_owned();
        }
        let shapes = self.shapes();
        let mut parts: Vec<String> = Vec::new();
        let choices: Vec<&str> = shapes.iter().filter_map(Shape::words).flatten().collect();
        if !choices.is_empty() {
            parts.push(match choices.as_slice() {
                [word] => format!("the word `{word}`"),
                _ => format!("one of {}", words::listed(&choices)),
            });
        }
        let kinds: Vec<&str> = shapes
            .iter()
            .filter(|shape| shape.is_kind())
            .filter_map(Shape::kind)
            .collect();
        if !kinds.is_empty() {
            parts.push(format!("a map with one of {}", words::listed(&kinds)));
        }
        for shape in shapes
            .iter()
            .filter(|shape| shape.words().is_none() && !shape.is_kind())
        {
            let part = shape.expectation();
            if !parts.contains(&part) && part != "null" {
                parts.push(part);
            }
        }
        parts.join(" or ")
    }
}

impl<'s> Shape<'s> {
    pub(super) fn types(&self) -> Vec<&'s str> {
        let node = self.view.node;
        match node.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ if node.get("const").is_some() || node.get("enum").is_some() => vec!["string"],
            _ if node.get("properties").is_some() => vec!["object"],
            _ => Vec::new(),
        }
    }

    /// Whether a value of this type may stand here.
    pub(super) fn admits(&self, value: &Value) -> bool {
        let types = self.types();
        types.is_empty()
            || types.iter().any(|name| match (*name, value) {
                ("integer", Value::Number(number)) => number.is_u64() || number.is_i64(),
                ("string", Value::String(_))
                | ("number", Value::Number(_))
                | ("boolean", Value::Bool(_))
                | ("array", Value::Array(_))
                | ("object", Value::Object(_))
                | ("null", Value::Null) => true,
                _ => false,
            })
    }

    /// The words that a text must be one of.
    pub(super) fn words(&self) -> Option<Vec<&'s str>> {
        let node = self.view.node;
        if let Some(word) = node.get("const").and_then(Value::as_str) {
            return Some(vec![word]);
        }
        let list = node.get("enum").and_then(Value::as_array)?;
        Some(list.iter().filter_map(Value::as_str).collect())
    }

    pub(super) fn description(&self) -> Option<&'s str> {
        self.view.description()
    }

    pub(super) fn format(&self) -> Option<&'s str> {
        self.view.node.get("format").and_then(Value::as_str)
    }

    pub(super) fn number(&self, name: &str) -> Option<f64> {
        self.view.node.get(name).and_then(Value::as_f64)
    }

    pub(super) fn items(&self) -> Option<View<'s>> {
        self.view.node.get("items").map(|node| self.view.to(node))
    }

    pub(super) fn properties(&self) -> Option<&'s Map<String, Value>> {
        self.view.node.get("properties").and_then(Value::as_object)
    }

    pub(super) fn property(&self, name: &str) -> Option<View<'s>> {
        self.properties()?.get(name).map(|node| self.view.to(node))
    }

    /// The keys that may be written.
    pub(super) fn supported_keys(&self) -> Vec<&'s str> {
        self.properties()
            .into_iter()
            .flatten()
            .filter(|(_, node)| !self.view.to(node).is_not_supported())
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// What the values of keys that are not listed look like.
    pub(super) fn other_values(&self) -> Option<View<'s>> {
        self.view
            .node
            .get("additionalProperties")
            .filter(|node| !node.is_boolean())
            .map(|node| self.view.to(node))
    }

    /// Whether keys that are not listed are mistakes.
    pub(super) fn is_closed(&self) -> bool {
        self.view.node.get("additionalProperties") == Some(&Value::Bool(false))
    }

    pub(super) fn required(&self) -> Vec<&'s str> {
        self.view
            .node
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }

    /// Keys of which exactly one must be there.
    pub(super) fn exactly_one_of(&self) -> Vec<&'s str> {
        self.view
            .node
            .get("oneOf")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|branch| branch.pointer("/required/0").and_then(Value::as_str))
            .collect()
    }

    /// The only key of a one-key map.
    pub(super) fn kind(&self) -> Option<&'s str> {
        match self.required().as_slice() {
            [name] if self.properties().is_some_and(|all| all.len() == 1) => Some(*name),
            _ => None,
        }
    }

    /// Whether this is one kind among several.
    pub(super) fn is_kind(&self) -> bool {
        self.variant && self.kind().is_some()
    }

    fn expectation(&self) -> String {
        match self.format() {
            Some(Duration::FORMAT) => return "a duration such as 30s".to_owned(),
            Some(Size::FORMAT) => return "a size such as 64KiB".to_owned(),
            _ => {}
        }
        let names: Vec<&str> = self
            .types()
            .iter()
            .filter(|name| **name != "null")
            .map(|name| match *name {
                "string" => "text",
                "integer" => "a whole number",
                "number" => "a number",
                "boolean" => "true or false",
                "array" => "a list",
                "object" => "a map",
                other => other,
            })
            .collect();
        if names.is_empty() {
            "null".to_owned()
        } else {
            names.join(" or ")
        }
    }
}
