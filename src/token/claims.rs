//! Claims by dotted path.
//!
//! `a.b` is the claim that is called `a.b` itself, or else `b` within the object `a`. Names that are
//! URLs, as OpenID providers use them, are whole names.

use serde_json::{Map, Value};

use super::json::{Json, Object};
use crate::config::ClaimPath;

/// An object's members by name.
pub(super) trait Members: Sized {
    /// What a member is.
    type Value;

    /// The member of this name.
    fn member(&self, name: &str) -> Option<&Self::Value>;

    /// The members of a value that is an object.
    fn of(value: &Self::Value) -> Option<&Self>;
}

impl Members for Map<String, Value> {
    type Value = Value;

    fn member(&self, name: &str) -> Option<&Value> {
        self.get(name)
    }

    fn of(value: &Value) -> Option<&Self> {
        value.as_object()
    }
}

impl<'a> Members for Object<'a> {
    type Value = Json<'a>;

    fn member(&self, name: &str) -> Option<&Json<'a>> {
        self.get(name)
    }

    fn of<'b>(value: &'b Json<'a>) -> Option<&'b Self> {
        match value {
            Json::Object(object) => Some(object),
            _ => None,
        }
    }
}

/// The claim at `path`.
pub(super) fn find<'a, M: Members>(claims: &'a M, path: &ClaimPath) -> Option<&'a M::Value> {
    find_in(claims, &path.0)
}

/// Puts `value` at `path`; `false` when something that is not an object stands in the way.
#[must_use]
pub(super) fn put(claims: &mut Map<String, Value>, path: &ClaimPath, value: Value) -> bool {
    put_in(claims, &path.0, value)
}

fn find_in<'a, M: Members>(claims: &'a M, path: &str) -> Option<&'a M::Value> {
    claims.member(path).or_else(|| {
        splits(path).find_map(|(outer, inner)| find_in(M::of(claims.member(outer)?)?, inner))
    })
}

fn put_in(claims: &mut Map<String, Value>, path: &str, value: Value) -> bool {
    let standing = !claims.contains_key(path) && !path.contains("://");
    // Into an object that stands there, else into a new one, else under the name itself.
    let split = splits(path)
        .filter(|_| standing)
        .find(|(outer, _)| claims.contains_key(*outer))
        .or_else(|| splits(path).next().filter(|_| standing));
    let Some((outer, inner)) = split else {
        claims.insert(path.to_owned(), value);
        return true;
    };
    match claims
        .entry(outer)
        .or_insert_with(|| Value::Object(Map::new()))
    {
        Value::Object(object) => put_in(object, inner, value),
        _ => false,
    }
}

fn splits(path: &str) -> impl Iterator<Item = (&str, &str)> {
    path.match_indices('.').filter_map(|(at, _)| {
        let (outer, inner) = (path.get(..at)?, path.get(at + 1..)?);
        (!outer.is_empty() && !inner.is_empty()).then_some((outer, inner))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_path_reaches_into_objects_unless_the_name_is_whole() {
        let claims = object(&json!({
            "a": {"b": {"c": 1}, "d": null},
            "x.y": 2,
            "x": {"y": 3},
            "https://e.example/claims": {"tenant": 4},
        }));
        let text = Value::Object(claims.clone()).to_string();
        let read = Object::read(&text).unwrap();
        let found = |path: &str| {
            let path = ClaimPath(path.into());
            let owned = find(&claims, &path);
            match (owned, find(&read, &path)) {
                (Some(owned), Some(read)) => assert_eq!(*read, *owned),
                (owned, read) => assert!(owned.is_none() && read.is_none(), "{path:?}"),
            }
            owned.cloned()
        };
        assert_eq!(found("a.b.c"), Some(json!(1)));
        assert_eq!(found("x.y"), Some(json!(2)));
        assert_eq!(found("https://e.example/claims.tenant"), Some(json!(4)));
        assert_eq!(found("a.d"), Some(json!(null)));
        for path in ["a.c", "a.b.c.d", "", ".", "a.", ".a", "b"] {
            assert_eq!(found(path), None, "{path}");
        }
    }

    #[test]
    fn what_is_put_is_found_there() {
        for path in ["sub", "a.b", "a.new", "n.e.w", "x.y", "https://e.example/t"] {
            let mut claims = object(&json!({"a": {"b": 1}, "x.y": 2}));
            let path = ClaimPath(path.into());
            assert!(put(&mut claims, &path, json!("v")));
            assert_eq!(find(&claims, &path), Some(&json!("v")));
        }
        let mut claims = object(&json!({"a": 5}));
        assert!(!put(&mut claims, &ClaimPath("a.b".into()), json!(1)));
    }
}
