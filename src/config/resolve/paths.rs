//! Paths and hosts of routes in their canonical form, the one that requests are matched in.

use crate::config::types::HostMatch;

use super::urls;

/// A route's path without its trailing slash (`/` is the empty string); the error is the problem.
pub(super) fn canonical(path: &str) -> Result<String, String> {
    if !path.starts_with('/') {
        return Err("it does not start with `/`".to_owned());
    }
    if path.contains("//") {
        return Err("it holds an empty segment (`//`)".to_owned());
    }
    if path
        .split('/')
        .any(|segment| segment == "." || segment == "..")
    {
        return Err("it holds a `.` or `..` segment".to_owned());
    }
    if let Some(bad) = path.chars().find(|c| {
        !c.is_ascii_graphic()
            || matches!(
                c,
                '?' | '#' | '\\' | ';' | '*' | '{' | '}' | '"' | '<' | '>' | '^' | '`' | '|'
            )
    }) {
        return Err(match bad {
            '?' => "it holds a query (`?`)".to_owned(),
            '*' | '{' => format!("it holds `{bad}`; routes are prefixes, not patterns"),
            bad if bad.is_ascii() => format!("it holds {bad:?}"),
            bad => format!("it holds `{bad}`, which travels percent-encoded"),
        });
    }
    percent(path)?;
    Ok(path.strip_suffix('/').unwrap_or(path).to_owned())
}

/// Percent-encoding has one canonical form: upper-case, and never of what needs none.
fn percent(path: &str) -> Result<(), String> {
    for (index, _) in path.match_indices('%') {
        let code = path
            .get(index + 1..index + 3)
            .filter(|code| code.bytes().all(|b| b.is_ascii_hexdigit()))
            .ok_or("`%` is not followed by two hexadecimal digits")?;
        let byte = u8::from_str_radix(code, 16).unwrap_or_default();
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            return Err(format!(
                "`%{code}` is written `{}` in canonical form",
                char::from(byte)
            ));
        }
        if matches!(byte, 0 | b'/' | b'\\' | b'%' | b';') {
            return Err(format!("`%{code}` has a second reading"));
        }
        if code.bytes().any(|b| b.is_ascii_lowercase()) {
            return Err(format!("`%{code}` is written `%{}`", code.to_uppercase()));
        }
    }
    Ok(())
}

/// Whether `outer` is `inner` or a prefix of whole segments of it, both canonical.
pub(super) fn covers(outer: &str, inner: &str) -> bool {
    inner
        .strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `*`, a host, or `*.example.com`.
pub(super) fn host(text: &str) -> Result<HostMatch, &'static str> {
    if text == "*" {
        return Ok(HostMatch::Any);
    }
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_suffix('.').unwrap_or(&lower);
    if let Some(suffix) = lower.strip_prefix('*') {
        return match suffix.strip_prefix('.') {
            Some(rest) if urls::is_host(rest) => Ok(HostMatch::Suffix(suffix.to_owned())),
            _ => Err("a wildcard stands for one whole label: *.example.com"),
        };
    }
    let bare = lower
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'));
    if urls::is_host(bare.unwrap_or(lower)) && (bare.is_some() || !lower.contains(':')) {
        Ok(HostMatch::Exact(lower.to_owned()))
    } else {
        Err("write a host name without scheme, port and path")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trailing_slash_means_nothing() {
        assert_eq!(canonical("/admin/").unwrap(), "/admin");
        assert_eq!(canonical("/admin").unwrap(), "/admin");
        assert_eq!(canonical("/").unwrap(), "");
        assert_eq!(canonical("/a%20b").unwrap(), "/a%20b");
    }

    #[test]
    fn what_has_a_second_reading_is_no_path() {
        for bad in [
            "", "admin", "//", "/a//b", "/a/../b", "/a/.", "/..", "/%61", "/a%2fb", "/a%2Fb", "/%",
            "/%zz", "/%c3%a9", "/é", "/a b", "/a?b", "/a#b", "/a\\b", "/a;b", "/a/*", "/{id}",
            "/%00", "/%25",
        ] {
            assert!(canonical(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn prefixes_are_whole_segments() {
        assert!(covers("/api", "/api") && covers("/api", "/api/x") && covers("", "/x"));
        assert!(!covers("/api", "/apix") && !covers("/api/x", "/api"));
    }

    #[test]
    fn hosts() {
        assert_eq!(host("*").unwrap(), HostMatch::Any);
        assert_eq!(
            host("A.Example.com.").unwrap(),
            HostMatch::Exact("a.example.com".into())
        );
        assert_eq!(
            host("*.Example.com").unwrap(),
            HostMatch::Suffix(".example.com".into())
        );
        for bad in [
            "", "a:80", "http://a", "a/b", "*a.com", "*.", "a.*", "*.*.com", "::1",
        ] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }
}
