//! What a Redis server complains of, as text.

use redis::RedisError;

/// What comes before the arguments of a command that a server does not know; they can be a session's
/// key or a password.
const ARGUMENTS: &str = ", with args";

/// The error as the log and `/readyz` tell it; it never holds the URL, nor what was asked.
pub(super) fn blamed(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => {
            let detail = detail.split(ARGUMENTS).next().unwrap_or_default();
            format!("{code} {detail}")
        }
        (Some(code), None) => code.to_owned(),
        (None, _) => error.category().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use redis::{ErrorKind, ServerErrorKind};

    use super::*;

    /// A server whose commands were renamed, as hosted ones are, repeats what it was told.
    #[test]
    fn f7_what_was_asked_is_not_repeated() {
        let said =
            "unknown command 'PUBLISH', with args beginning with: 'c' '{\"session\":\"k\"}' ";
        let kind = ErrorKind::Server(ServerErrorKind::ResponseError);
        let error = RedisError::from((kind, "an error", said.to_owned()));
        assert_eq!(blamed(&error), "ERR unknown command 'PUBLISH'");
    }
}
