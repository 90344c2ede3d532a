//! The blacklist's rows: SimpleJWT's two tables, asked by a token's id.
//!
//! With a schema per tenant a plain name means the tenant's own table and no other: the search path
//! is the tenant's schema alone, so that a tenant without the tables is an error, and what another
//! schema's list says is no answer.

use serde_json::{Map, Value};

use super::super::error::SourceError;
use super::parameters::{Dialect, Parameter, Query};
use super::sessions::table_name;
use crate::config::Blacklist;
use crate::ids::UserId;

/// The columns of the query.
pub(super) const COLUMNS: [&str; 3] = ["jti", "user_id", "blacklisted"];

/// What the list says of an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::directory) enum ListedToken {
    /// It has the token.
    Made {
        /// Whose it is, where it says so.
        user: Option<UserId>,
        /// Whether it was taken back.
        blacklisted: bool,
    },
    /// It does not know the token, so it has not taken it back.
    Unknown,
    /// There is no such tenant.
    NoTenant,
}

impl ListedToken {
    /// Whose it is, where the list says so.
    pub(in crate::directory) const fn user(&self) -> Option<&UserId> {
        match self {
            Self::Made { user, .. } => user.as_ref(),
            Self::Unknown | Self::NoTenant => None,
        }
    }
}

/// The query.
pub(super) fn query(config: &Blacklist, dialect: Dialect) -> Query {
    let text = format!(
        "SELECT o.jti, o.user_id, EXISTS (SELECT 1 FROM {} b WHERE b.token_id = o.id) AS blacklisted \
         FROM {} o WHERE o.jti = {}",
        table_name(&config.blacklisted, dialect),
        table_name(&config.outstanding, dialect),
        Query::placeholder(dialect, 1)
    );
    Query {
        text: text.into(),
        parameters: vec![Parameter::Token],
    }
}

/// From the first two rows to what they say of this id.
pub(super) fn one_token(rows: &[Map<String, Value>], id: &str) -> Result<ListedToken, SourceError> {
    // A database that compares loosely finds other tokens too, which may hide this one.
    let is_it = |row: &&Map<String, Value>| row.get("jti").and_then(Value::as_str) == Some(id);
    let row = match (rows.iter().find(is_it), rows.len()) {
        (Some(row), _) if rows.iter().filter(is_it).count() == 1 => row,
        (None, 0 | 1) => return Ok(ListedToken::Unknown),
        _ => return Err(SourceError::new("two tokens of the blacklist have one id")),
    };
    let blacklisted = match row.get("blacklisted") {
        Some(Value::Bool(blacklisted)) => *blacklisted,
        Some(Value::Number(number)) => number.as_u64() != Some(0),
        _ => return Err(SourceError::new("column `blacklisted` is neither 0 nor 1")),
    };
    let user = row.get("user_id");
    let user = user.and_then(|user| UserId::from_json(user).ok());
    Ok(ListedToken::Made { user, blacklisted })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(rows: &Value) -> Result<ListedToken, SourceError> {
        let rows: Vec<Map<String, Value>> = serde_json::from_value(rows.clone()).unwrap();
        one_token(&rows, "abc")
    }

    fn row(id: &str, blacklisted: &Value) -> Value {
        json!({ "jti": id, "user_id": 5, "blacklisted": blacklisted })
    }

    #[test]
    fn a_row_speaks_of_just_this_id() {
        for (flag, blacklisted) in [(json!(true), true), (json!(0), false), (json!(1), true)] {
            let user = Some(UserId::parse("5").unwrap());
            let made = ListedToken::Made { user, blacklisted };
            assert_eq!(told(&json!([row("abc", &flag)])), Ok(made.clone()));
            let other = row("ABC", &json!(true));
            assert_eq!(told(&json!([other, row("abc", &flag)])), Ok(made));
        }
        assert_eq!(told(&json!([])), Ok(ListedToken::Unknown));
        assert_eq!(
            told(&json!([row("ABC", &json!(true))])),
            Ok(ListedToken::Unknown)
        );
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_never_not_blacklisted() {
        let (no, yes) = (row("abc", &json!(false)), row("ABC", &json!(true)));
        for rows in [
            json!([no, no]),
            json!([yes, yes]),
            json!([row("abc", &json!(null))]),
            json!([{ "jti": "abc" }]),
        ] {
            assert!(told(&rows).is_err(), "{rows}");
        }
    }
}
