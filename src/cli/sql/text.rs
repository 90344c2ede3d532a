//! Text of SQL: names, literals and bodies that nothing in them can end.

/// A quoted identifier (PostgreSQL manual, section 4.1.1).
pub(super) fn name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A string literal (section 4.1.2.1); one with a backslash means the same whatever
/// `standard_conforming_strings` says.
pub(super) fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        format!("E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

/// A dollar-quoted body (section 4.1.2.4), under a tag that does not stand in it.
pub(super) fn body(text: &str) -> String {
    let mut tag = String::from("$countersign$");
    let mut number = 0_u32;
    while text.contains(&tag) {
        number += 1;
        tag = format!("$countersign{number}$");
    }
    format!("{tag}\n{}\n{tag}", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_name_a_literal_or_a_body() {
        assert_eq!(name(r#"a"; DROP TABLE x"#), r#""a""; DROP TABLE x""#);
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\' b"), r"E'a\\'' b'");
        assert_eq!(body("x"), "$countersign$\nx\n$countersign$");
        let hostile = body("a $countersign$ b $countersign1$ c");
        assert!(hostile.starts_with("$countersign2$\n"), "{hostile}");
    }
}
