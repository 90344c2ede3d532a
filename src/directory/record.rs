//! Records: one row of a source, read into what the decision needs.
//!
//! Every source hands over one JSON object, so a column means the same everywhere. `id`, `account`
//! and `active` must be there; a column that is missing is an error that names it, never a default,
//! because a query that forgot `active` would let everybody in.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::strict_json;
use crate::ids::{AccountId, IdError, UserId};
use crate::telemetry::{Redacted, UnixTime};

/// The columns that a row must have.
pub(super) const REQUIRED: [&str; 3] = ["id", "account", "active"];

/// Most roles, and most memberships, in one row.
const MAX_LIST: usize = 4096;

/// What a source says about one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) user: UserId,
    pub(super) account: Option<AccountId>,
    pub(super) memberships: Box<[AccountId]>,
    pub(super) active: bool,
    pub(super) account_active: bool,
    /// Sorted, each once.
    pub(super) roles: Box<[Arc<str>]>,
    pub(super) tokens_valid_after: Option<UnixTime>,
    pub(super) session_auth: Option<Redacted>,
    /// Most have none.
    attributes: Option<Box<Attributes>>,
}

/// Every other column, as text.
type Attributes = BTreeMap<Arc<str>, String>;

impl Record {
    /// Reads a row; the error names the column and never its value.
    pub(super) fn read(row: Map<String, Value>) -> Result<Self, String> {
        if let Some(missing) = REQUIRED.iter().find(|name| !row.contains_key(**name)) {
            return Err(format!("the row has no column `{missing}`"));
        }
        let mut user = None;
        let mut record = Partial::default();
        for (name, value) in row {
            match name.as_str() {
                "id" => user = Some(UserId::from_json(&value).map_err(|e| blame("id", e))?),
                "account" => record.account = account(&value)?,
                "active" => record.active = flag("active", &value)?,
                "account_active" => record.account_active = Some(flag("account_active", &value)?),
                "roles" => record.roles = roles(&value)?,
                "memberships" => record.memberships = memberships(&value)?,
                "tokens_valid_after" => record.tokens_valid_after = time(&value)?,
                "session_auth" => record.session_auth = secret(value)?,
                _ => {
                    if let Some(text) = attribute(value) {
                        record.attributes.insert(name.into(), text);
                    }
                }
            }
        }
        Ok(Self {
            user: user.ok_or("the row has no column `id`")?,
            account: record.account,
            memberships: record.memberships.into(),
            active: record.active,
            account_active: record.account_active.unwrap_or(true),
            roles: record.roles.into(),
            tokens_valid_after: record.tokens_valid_after,
            session_auth: record.session_auth,
            attributes: (!record.attributes.is_empty()).then(|| Box::new(record.attributes)),
        })
    }

    /// Every other column, as text.
    pub(super) fn attributes(&self) -> &Attributes {
        static NONE: Attributes = Attributes::new();
        self.attributes.as_deref().unwrap_or(&NONE)
    }

    /// Whether the row names this account at all.
    pub(super) fn names_account(&self, account: &AccountId) -> bool {
        self.account.as_ref() == Some(account) || self.memberships.contains(account)
    }

    /// Whether the row was found only because the source reads the subject more loosely than ids
    /// are compared: `05`, `+5` or `5.0` for user `5`, another spelling of one UUID, another case
    /// of one name. Ids are compared byte by byte, so there is no such user.
    pub(super) fn respells(&self, subject: &UserId) -> bool {
        let (asked, found) = (subject.as_str(), self.user.as_str());
        asked != found && (folded(asked) == folded(found) || same_number(asked, found))
    }
}

#[derive(Default)]
struct Partial {
    account: Option<AccountId>,
    memberships: Vec<AccountId>,
    active: bool,
    account_active: Option<bool>,
    roles: Vec<Arc<str>>,
    tokens_valid_after: Option<UnixTime>,
    session_auth: Option<Redacted>,
    attributes: Attributes,
}

fn blame(column: &str, error: IdError) -> String {
    format!("column `{column}`: {error}")
}

fn account(value: &Value) -> Result<Option<AccountId>, String> {
    match value {
        Value::Null => Ok(None),
        value => AccountId::from_json(value)
            .map(Some)
            .map_err(|e| blame("account", e)),
    }
}

/// A truth value: NULL is false; SQLite has 0 and 1. Text is refused: `"false"` is no lie.
fn flag(column: &str, value: &Value) -> Result<bool, String> {
    match value {
        Value::Null => Ok(false),
        Value::Bool(flag) => Ok(*flag),
        Value::Number(number) if number.as_u64() == Some(0) => Ok(false),
        Value::Number(number) if number.as_u64() == Some(1) => Ok(true),
        _ => Err(format!("column `{column}` is neither true nor false")),
    }
}

/// A list: NULL is empty, an array or the text of a JSON array many, anything else one.
fn list(column: &str, value: &Value) -> Result<Vec<Value>, String> {
    let items = match value {
        Value::Null => Vec::new(),
        Value::Array(items) => items.clone(),
        Value::String(text) if text.is_empty() => Vec::new(),
        Value::String(text) if text.starts_with('[') => {
            strict_json::array(text.as_bytes()).unwrap_or_else(|| vec![value.clone()])
        }
        value => vec![value.clone()],
    };
    if items.len() > MAX_LIST {
        return Err(format!("column `{column}` has more than {MAX_LIST} items"));
    }
    Ok(items.into_iter().filter(|item| !item.is_null()).collect())
}

fn roles(value: &Value) -> Result<Vec<Arc<str>>, String> {
    let mut roles = list("roles", value)?
        .into_iter()
        .filter(|item| item.as_str() != Some(""))
        .map(|item| match item {
            Value::String(role) => Ok(Arc::from(role)),
            Value::Number(role) if role.is_i64() || role.is_u64() => {
                Ok(Arc::from(role.to_string()))
            }
            _ => Err("column `roles` holds something that is not text".to_owned()),
        })
        .collect::<Result<Vec<Arc<str>>, _>>()?;
    roles.sort_unstable();
    roles.dedup();
    Ok(roles)
}

fn memberships(value: &Value) -> Result<Vec<AccountId>, String> {
    let mut accounts = list("memberships", value)?
        .iter()
        .map(|item| AccountId::from_json(item).map_err(|e| blame("memberships", e)))
        .collect::<Result<Vec<_>, _>>()?;
    accounts.sort_unstable();
    accounts.dedup();
    Ok(accounts)
}

/// A time: RFC 3339, PostgreSQL's and SQLite's text (UTC where it names no offset), Unix seconds.
/// Times before 1970 refuse no token, PostgreSQL's `infinity` refuses every one.
fn time(value: &Value) -> Result<Option<UnixTime>, String> {
    let read = match value {
        Value::Null => return Ok(None),
        Value::Number(number) => number
            .as_f64()
            .and_then(|secs| UnixTime::from_secs_f64(secs.max(0.0))),
        Value::String(text) => match text.as_str() {
            "infinity" => Some(UnixTime::from_secs(u64::MAX)),
            "-infinity" => return Ok(None),
            text => time_text(text),
        },
        _ => None,
    };
    read.map(Some)
        .ok_or_else(|| "column `tokens_valid_after` is not a time".to_owned())
}

pub(super) fn time_text(text: &str) -> Option<UnixTime> {
    if let Ok(secs) = text.parse::<u64>() {
        return Some(UnixTime::from_secs(secs));
    }
    let with_offset = text.to_owned();
    let in_utc = format!("{text}Z");
    [with_offset, in_utc].iter().find_map(|text| {
        let time: jiff::Timestamp = text.parse().ok()?;
        Some(UnixTime::parse_rfc3339(text).unwrap_or_else(|| {
            // The text is a time, so the only way here is one before 1970.
            debug_assert!(time.as_second() <= 0);
            UnixTime::from_secs(0)
        }))
    })
}

fn secret(value: Value) -> Result<Option<Redacted>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(Redacted::new(text))),
        _ => Err("column `session_auth` is not text".into()),
    }
}

/// An attribute as text; NULL is absent.
fn attribute(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Some(value.to_string())
        }
    }
}

/// A text without what the comparison of a source may pass over: case, and the marks of a UUID.
fn folded(text: &str) -> String {
    let lower = text.to_lowercase();
    let digits: String = lower
        .chars()
        .filter(|c| !matches!(c, '{' | '}' | '-'))
        .collect();
    let is_uuid = digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if is_uuid { digits } else { lower }
}

/// Whether two texts are one number that is not spelt the same. Two canonical integers never are:
/// a number may well be the key to a row with another number.
fn same_number(a: &str, b: &str) -> bool {
    let canonical = |text: &str| text.parse::<i128>().is_ok_and(|n| n.to_string() == text);
    if canonical(a) && canonical(b) {
        return false;
    }
    match (number(a), number(b)) {
        #[expect(
            clippy::float_cmp,
            reason = "the very same number is what is asked for"
        )]
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

/// A number as generously as SQL sources read one: signs, leading zeros, `1_000`, `0x1f`, `1e3`.
fn number(text: &str) -> Option<f64> {
    let text = text.trim().replace('_', "").to_ascii_lowercase();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(&text);
    let radix = |prefix, radix| {
        let digits = digits.strip_prefix(prefix)?;
        #[expect(
            clippy::cast_precision_loss,
            reason = "compared as loosely as it is read"
        )]
        i64::from_str_radix(digits, radix).ok().map(|n| n as f64)
    };
    digits
        .starts_with(|c: char| c.is_ascii_digit() || c == '.')
        .then(|| {
            radix("0x", 16)
                .or_else(|| radix("0o", 8))
                .or_else(|| radix("0b", 2))
                .map(|n| if text.starts_with('-') { -n } else { n })
                .or_else(|| text.parse().ok())
        })
        .flatten()
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
