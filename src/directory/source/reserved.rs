//! Reserved schemas: names that are schemas of every PostgreSQL database, and so nobody's tenant.
//!
//! With a schema per tenant, a tenant called `public` would read what all tenants share, and
//! `pg_catalog` the system's own tables. `$user` stands for a schema in a search path even when it
//! is quoted.

/// Whether this name can never be a tenant's schema.
pub(super) fn is_reserved(schema: &str, shared: &[String]) -> bool {
    let folded = schema.to_ascii_lowercase();
    folded.starts_with("pg_")
        || matches!(folded.as_str(), "public" | "information_schema" | "$user")
        || shared.iter().any(|shared| shared == schema)
}

/// A quoted identifier (PostgreSQL manual, section 4.1.1).
pub(super) fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_and_shared_schemas_are_no_tenants() {
        let shared = ["shared".to_owned()];
        for name in [
            "public",
            "PUBLIC",
            "information_schema",
            "pg_catalog",
            "pg_temp",
            "pg_toast",
            "Pg_x",
            "$user",
            "shared",
        ] {
            assert!(is_reserved(name, &shared), "{name}");
        }
        for name in ["acme", "publicity", "pga", "Shared"] {
            assert!(!is_reserved(name, &shared), "{name}");
        }
    }

    #[test]
    fn a_quote_in_a_name_stays_in_it() {
        assert_eq!(quoted("acme"), "\"acme\"");
        assert_eq!(quoted("a\", public; --"), "\"a\"\", public; --\"");
    }
}
