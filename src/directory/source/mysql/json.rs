//! Rows as JSON, each value by the type that its column has.

use std::fmt::Write as _;

use serde_json::{Map, Number, Value};
use sqlx::mysql::{MySqlRow, MySqlValueRef};
use sqlx::{Column, Decode, MySql, Row, Type, TypeInfo, ValueRef};

use super::super::super::error::SourceError;

/// Largest value in bytes.
const MAX_VALUE: usize = 1024 * 1024;

/// A row as JSON.
pub(super) fn object(row: &MySqlRow) -> Result<Map<String, Value>, SourceError> {
    let mut members = Map::new();
    for (index, column) in row.columns().iter().enumerate() {
        let name = column.name();
        let value = row
            .try_get_raw(index)
            .map_err(|e| super::session::failed(&e))
            .and_then(|value| value_of(value, name))?;
        if members.insert(name.to_owned(), value).is_some() {
            return Err(SourceError::new(format!(
                "the query has two columns `{name}`"
            )));
        }
    }
    Ok(members)
}

fn value_of(value: MySqlValueRef<'_>, column: &str) -> Result<Value, SourceError> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    let unreadable = || SourceError::new(format!("column `{column}` cannot be read"));
    let unusable = || {
        SourceError::new(format!(
            "column `{column}` is no text and no number; select one"
        ))
    };
    let info = value.type_info().into_owned();
    let kind = info.name();
    let read = match kind {
        "FLOAT" | "DOUBLE" => <f64 as Decode<MySql>>::decode(value)
            .ok()
            .and_then(Number::from_f64)
            .map(Value::Number),
        "DATE" | "DATETIME" | "TIMESTAMP" => <&[u8] as Decode<MySql>>::decode(value)
            .ok()
            .and_then(time)
            .map(Value::String),
        // As many bits as it has, the highest first.
        "BIT" => <&[u8] as Decode<MySql>>::decode(value)
            .ok()
            .filter(|bytes| bytes.len() <= 8)
            .map(|bytes| bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)))
            .map(|bits| Value::Number(bits.into())),
        // A text with a binary collation, as MariaDB's JSON has, goes by the name of a blob too.
        "TIME" | "GEOMETRY" => return Err(unusable()),
        "BINARY" | "VARBINARY" | "TINYBLOB" | "BLOB" | "MEDIUMBLOB" | "LONGBLOB"
            if !<str as Type<MySql>>::compatible(&info) =>
        {
            return Err(unusable());
        }
        _ if is_integer(kind) && (kind.ends_with("UNSIGNED") || kind == "YEAR") => {
            <u64 as Decode<MySql>>::decode(value)
                .ok()
                .map(|number| Value::Number(number.into()))
        }
        _ if is_integer(kind) => <i64 as Decode<MySql>>::decode(value)
            .ok()
            .map(|number| Value::Number(number.into())),
        _ => <&str as Decode<MySql>>::decode(value)
            .ok()
            .filter(|text| text.len() <= MAX_VALUE)
            .map(|text| Value::String(text.to_owned())),
    };
    read.ok_or_else(unreadable)
}

fn is_integer(kind: &str) -> bool {
    kind.contains("INT") || kind == "BOOLEAN" || kind == "YEAR"
}

/// A time of the binary protocol (MySQL manual, binary protocol value), as RFC 3339 has it
/// without its offset: its length, then year, month, day, and as far as they are not zero, hour,
/// minute, second and microseconds. The zero date is no time.
fn time(bytes: &[u8]) -> Option<String> {
    let (length, bytes) = bytes.split_first()?;
    let bytes = bytes.get(..usize::from(*length))?;
    let [year_low, year_high, month, day, rest @ ..] = bytes else {
        return None;
    };
    let year = u16::from_le_bytes([*year_low, *year_high]);
    if year == 0 || *month == 0 || *day == 0 {
        return None;
    }
    let mut text = format!("{year:04}-{month:02}-{day:02}");
    let (hour, minute, second, micros) = match rest {
        [] => (0, 0, 0, None),
        [hour, minute, second] => (*hour, *minute, *second, None),
        [hour, minute, second, a, b, c, d] => {
            let micros = u32::from_le_bytes([*a, *b, *c, *d]);
            (*hour, *minute, *second, Some(micros))
        }
        _ => return None,
    };
    let _ = write!(text, " {hour:02}:{minute:02}:{second:02}");
    if let Some(micros) = micros {
        let _ = write!(text, ".{micros:06}");
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_far_as_they_are_sent() {
        let date = [4, 0xea, 0x07, 11, 21];
        assert_eq!(time(&date).unwrap(), "2026-11-21 00:00:00");
        let seconds = [7, 0xea, 0x07, 1, 2, 3, 4, 5];
        assert_eq!(time(&seconds).unwrap(), "2026-01-02 03:04:05");
        let micros = [11, 0xea, 0x07, 1, 2, 3, 4, 5, 7, 0, 0, 0];
        assert_eq!(time(&micros).unwrap(), "2026-01-02 03:04:05.000007");
        for bytes in [
            &[][..],
            &[0],
            &[4, 0, 0, 0, 0],
            &[7, 1],
            &[5, 0xea, 7, 1, 1, 1],
        ] {
            assert_eq!(time(bytes), None, "{bytes:?}");
        }
    }
}
