//! Session rows: Django's table, asked by key.
//!
//! The one query that the directory writes by itself. With a schema per tenant a plain table name
//! means the tenant's own table: a row of a schema behind it in the search path is another's.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::error::SourceError;
use super::super::record::time_text;
use super::super::sessions::{SessionData, StoredSession};
use super::parameters::{Dialect, Parameter, Query};
use super::reserved::quoted;
use crate::telemetry::{Redacted, UnixTime};

/// The columns of the query.
pub(super) const COLUMNS: [&str; 3] = ["session_key", "session_data", "expires"];

/// What a store says of a key.
#[derive(Debug)]
pub(in crate::directory) enum FoundSession {
    Session(Box<StoredSession>),
    NoSession,
    NoTenant,
}

/// The queries for PostgreSQL.
pub(super) fn postgres(
    tables: &BTreeMap<usize, Vec<String>>,
    schema_per_tenant: bool,
) -> BTreeMap<usize, Query> {
    let text = |table: &Vec<String>| {
        let own = if schema_per_tenant && table.len() == 1 {
            " AND s.tableoid IN (SELECT c.oid FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = pg_catalog.current_schema())"
        } else {
            ""
        };
        format!(
            "SELECT s.session_key, s.session_data, EXTRACT(EPOCH FROM s.expire_date) AS expires \
             FROM {} s WHERE s.session_key = $1{own}",
            table_name(table, Dialect::Postgres)
        )
    };
    queries(tables, text)
}

/// The queries for SQLite, where Django keeps times as text in UTC.
pub(super) fn sqlite(tables: &BTreeMap<usize, Vec<String>>) -> BTreeMap<usize, Query> {
    let text = |table: &Vec<String>| {
        format!(
            "SELECT session_key, session_data, expire_date AS expires \
             FROM {} WHERE session_key = ?1",
            table_name(table, Dialect::Sqlite)
        )
    };
    queries(tables, text)
}

/// The queries for MySQL, where Django keeps times in UTC.
pub(super) fn mysql(tables: &BTreeMap<usize, Vec<String>>) -> BTreeMap<usize, Query> {
    let text = |table: &Vec<String>| {
        format!(
            "SELECT session_key, session_data, expire_date AS expires \
             FROM {} WHERE session_key = ?",
            table_name(table, Dialect::MySql)
        )
    };
    queries(tables, text)
}

/// From the rows to the session of this key.
pub(super) fn one_session(
    rows: Vec<Map<String, Value>>,
    key: &str,
) -> Result<FoundSession, SourceError> {
    let mut rows = rows.into_iter();
    let Some(row) = rows.next() else {
        return Ok(FoundSession::NoSession);
    };
    if rows.next().is_some() {
        return Err(SourceError::new("two sessions have one key"));
    }
    let text = |column: &str| match row.get(column) {
        Some(Value::String(text)) => Ok(text.as_str()),
        _ => Err(SourceError::new(format!("column `{column}` is not text"))),
    };
    // A database that compares loosely finds another key's session.
    if text("session_key")? != key {
        return Ok(FoundSession::NoSession);
    }
    let expires = match row.get("expires") {
        Some(Value::Number(seconds)) => seconds.as_f64().and_then(|seconds| {
            // Before 1970 is as much over as 1970.
            UnixTime::from_secs_f64(seconds.max(0.0))
        }),
        Some(Value::String(time)) => time_text(time),
        _ => None,
    };
    let expires = expires.ok_or_else(|| SourceError::new("column `expire_date` is not a time"))?;
    let data = SessionData::Row(Redacted::new(text("session_data")?.to_owned()));
    Ok(FoundSession::Session(Box::new(StoredSession::new(
        data, expires,
    ))))
}

fn queries(
    tables: &BTreeMap<usize, Vec<String>>,
    text: impl Fn(&Vec<String>) -> String,
) -> BTreeMap<usize, Query> {
    let query = |table| Query {
        text: text(table).into(),
        parameters: vec![Parameter::Session],
    };
    tables
        .iter()
        .map(|(store, table)| (*store, query(table)))
        .collect()
}

/// A table's name, quoted, with its schema where it has one.
pub(super) fn table_name(table: &[String], dialect: Dialect) -> String {
    let part = |part: &String| match dialect {
        Dialect::MySql => format!("`{}`", part.replace('`', "``")),
        Dialect::Postgres | Dialect::Sqlite => quoted(part),
    };
    let parts: Vec<String> = table.iter().map(part).collect();
    parts.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rows(rows: &Value) -> Vec<Map<String, Value>> {
        serde_json::from_value(rows.clone()).unwrap()
    }

    #[test]
    fn a_row_is_a_session_of_just_this_key() {
        let row =
            json!({ "session_key": "abcdefgh", "session_data": "x", "expires": 1_800_000_000.5 });
        let found = |rows_of: &Value, key: &str| one_session(rows(rows_of), key);
        let found_text = |value: &Value| format!("{:?}", found(value, "abcdefgh"));
        assert!(matches!(
            found(&json!([row]), "abcdefgh"),
            Ok(FoundSession::Session(_))
        ));
        assert!(matches!(
            found(&json!([row]), "ABCDEFGH"),
            Ok(FoundSession::NoSession)
        ));
        assert!(matches!(
            found(&json!([]), "abcdefgh"),
            Ok(FoundSession::NoSession)
        ));
        assert!(found(&json!([row, row]), "abcdefgh").is_err());
        for (member, value) in [
            ("session_data", Value::Null),
            ("session_key", json!(5)),
            ("expires", Value::Null),
            ("expires", json!("soon")),
        ] {
            let mut bad = row.clone();
            bad[member] = value;
            assert!(found(&json!([bad]), "abcdefgh").is_err(), "{bad}");
        }
        for time in ["2027-01-15 08:00:00", "2027-01-15 08:00:00.123456"] {
            let mut good = row.clone();
            good["expires"] = json!(time);
            assert!(found(&json!([good]), "abcdefgh").is_ok(), "{time}");
        }
        assert!(
            !found_text(&json!([row])).contains("\"x\""),
            "data is a secret"
        );
    }

    #[test]
    fn names_are_quoted() {
        let tables = BTreeMap::from([(0, vec!["public".to_owned(), "Django\"x".to_owned()])]);
        let text = &postgres(&tables, true)[&0].text;
        assert!(text.contains(r#"FROM "public"."Django""x" s"#), "{text}");
        assert!(!text.contains("current_schema"), "a named schema is meant");
        let own = BTreeMap::from([(0, vec!["django_session".to_owned()])]);
        assert!(postgres(&own, true)[&0].text.contains("current_schema"));
        assert!(!postgres(&own, false)[&0].text.contains("current_schema"));
    }
}
