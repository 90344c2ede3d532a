//! What a Redis server complains of, as text.

use redis::RedisError;

/// The error as the log and `/readyz` tell it; it never holds the URL.
pub(super) fn blamed(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (Some(code), None) => code.to_owned(),
        (None, _) => error.category().to_owned(),
    }
}
