//! Queries of the directory, read offline: one SELECT, known parameters, the needed columns.
//!
//! What cannot be parsed is left to the database, which has the last word anyway; what can be
//! parsed and lacks a column would only fail at the first request, and is refused here.

use sqlparser::ast::{Expr, SelectItem, SetExpr, Statement};
use sqlparser::dialect::{MySqlDialect, PostgreSqlDialect, SQLiteDialect};
use sqlparser::parser::Parser;

use super::Context;
use crate::config::types::KeyPath;
use crate::config::words;

/// What a query is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Query {
    /// `directory.source.….lookups`.
    Lookup,
    /// `tenants.sources[].domain`.
    Domain,
    /// `tenants.known`.
    Known,
}

/// The SQL that it is written in.
#[derive(Clone, Copy)]
pub(super) enum Dialect {
    /// PostgreSQL's.
    Postgres,
    /// SQLite's.
    Sqlite,
    /// MySQL's.
    MySql,
}

impl Query {
    const fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Lookup => &["id", "account", "active"],
            Self::Domain | Self::Known => &["tenant"],
        }
    }

    const fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Lookup => &["user", "tenant"],
            Self::Domain => &["host"],
            Self::Known => &["tenant"],
        }
    }

    /// The parameter without which the answer would not depend on the question.
    const fn needed(self) -> Option<&'static str> {
        match self {
            Self::Lookup => Some("user"),
            Self::Domain => Some("host"),
            Self::Known => None,
        }
    }
}

/// Checks a query.
pub(super) fn check(kind: Query, dialect: Dialect, text: &str, at: &KeyPath, cx: &mut Context<'_>) {
    if text.trim().is_empty() {
        cx.fault(at, "the query is empty", "write a SELECT");
        return;
    }
    let (numbered, used) = numbered(text);
    for name in &used {
        if !kind.parameters().contains(&name.as_str()) {
            let known: Vec<String> = kind.parameters().iter().map(|p| format!("${p}")).collect();
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            cx.fault(
                at,
                format!("unknown parameter `${name}`"),
                words::suggest(&format!("${name}"), &known, "there are"),
            );
        }
    }
    if let Some(needed) = kind.needed()
        && !used.iter().any(|name| name == needed)
    {
        cx.fault(
            at,
            format!("the query does not use `${needed}`"),
            format!("add it to the condition, such as WHERE … = ${needed}"),
        );
    }
    let columns = match output(dialect, &numbered) {
        Output::Unknown => return,
        Output::NotOneSelect => {
            cx.fault(
                at,
                "this is not one SELECT",
                "write a single query that only reads",
            );
            return;
        }
        Output::Columns(columns) => columns,
    };
    let missing: Vec<&str> = kind
        .columns()
        .iter()
        .copied()
        .filter(|wanted| !columns.iter().any(|column| column == wanted))
        .collect();
    if !missing.is_empty() {
        let examples: Vec<&str> = missing.iter().map(|column| example(column)).collect();
        let plural = if missing.len() == 1 { "" } else { "s" };
        cx.fault(
            at,
            format!(
                "the query lacks the column{plural} {}",
                words::listed(&missing)
            ),
            format!("select {}", examples.join(", ")),
        );
    }
}

/// Whether a query is known to lack this column.
pub(super) fn lacks(dialect: Dialect, text: &str, column: &str) -> bool {
    match output(dialect, &numbered(text).0) {
        Output::Columns(columns) => !columns.iter().any(|found| found == column),
        Output::Unknown | Output::NotOneSelect => false,
    }
}

fn example(column: &str) -> &'static str {
    match column {
        "id" => "the user's key AS id",
        "account" => "the user's account AS account (NULL AS account if there are none)",
        "active" => "a condition AS active (true AS active, if that is meant)",
        _ => "the tenant's name AS tenant",
    }
}

/// What a query puts out, as far as it can be known without the database.
enum Output {
    Columns(Vec<String>),
    NotOneSelect,
    Unknown,
}

/// Longest query in bytes that is parsed here; the database has its own limits.
const MAX_PARSED: usize = 16 << 10;
/// Stack of the parsing thread: syntax trees are as deep as a query has operators in a row, and
/// are walked and dropped by recursion.
const PARSER_STACK: usize = 64 << 20;

fn output(dialect: Dialect, query: &str) -> Output {
    if query.len() > MAX_PARSED {
        return Output::Unknown;
    }
    std::thread::scope(|scope| {
        let parser = std::thread::Builder::new().stack_size(PARSER_STACK);
        let parsing = parser.spawn_scoped(scope, || parse(dialect, query));
        parsing.map_or(Output::Unknown, |thread| {
            thread.join().unwrap_or(Output::Unknown)
        })
    })
}

fn parse(dialect: Dialect, query: &str) -> Output {
    let parsed = match dialect {
        Dialect::Postgres => Parser::parse_sql(&PostgreSqlDialect {}, query),
        Dialect::Sqlite => Parser::parse_sql(&SQLiteDialect {}, query),
        Dialect::MySql => Parser::parse_sql(&MySqlDialect {}, query),
    };
    let Ok(statements) = parsed else {
        return Output::Unknown;
    };
    match statements.as_slice() {
        [Statement::Query(query)] => {
            columns_of(&query.body).map_or(Output::Unknown, Output::Columns)
        }
        _ => Output::NotOneSelect,
    }
}

/// The names of the output columns; `None` when they cannot be known from here.
fn columns_of(body: &SetExpr) -> Option<Vec<String>> {
    match body {
        SetExpr::Select(select) => select.projection.iter().map(column).collect(),
        SetExpr::Query(query) => columns_of(&query.body),
        SetExpr::SetOperation { left, .. } => columns_of(left),
        _ => None,
    }
}

/// One column's name; a wildcard hides every name.
fn column(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(named(alias)),
        SelectItem::UnnamedExpr(expr) => Some(expression(expr)),
        _ => None,
    }
}

fn expression(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(name) => named(name),
        Expr::CompoundIdentifier(parts) => parts.last().map(named).unwrap_or_default(),
        Expr::Nested(inner) => expression(inner),
        Expr::Cast { expr, .. } => expression(expr),
        Expr::Function(function) => function
            .name
            .0
            .last()
            .map(|part| part.to_string().to_lowercase())
            .unwrap_or_default(),
        // In MySQL "id" may be a text, whose column has its name.
        Expr::Value(value) => value.to_string().trim_matches(['"', '\'']).to_lowercase(),
        _ => String::new(),
    }
}

/// A name as the database reports it: folded, unless quoted.
fn named(name: &sqlparser::ast::Ident) -> String {
    if name.quote_style.is_some() {
        name.value.clone()
    } else {
        name.value.to_lowercase()
    }
}

/// The query with numbered parameters, which every dialect can parse, and their names.
fn numbered(text: &str) -> (String, Vec<String>) {
    let mut out = String::with_capacity(text.len());
    let mut names: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['$', '\'', '"']) {
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.push_str(before);
        let mut chars = from.chars();
        let first = chars.next().unwrap_or_default();
        let tail = chars.as_str();
        out.push(first);
        if first == '$' {
            let length = tail
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(tail.len());
            let (name, after) = tail.split_at_checked(length).unwrap_or((tail, ""));
            if name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && !after.starts_with('$')
            {
                let number = names.iter().position(|known| known == name);
                let number = number.unwrap_or_else(|| {
                    names.push(name.to_owned());
                    names.len() - 1
                });
                out.push_str(&(number + 1).to_string());
            } else {
                out.push_str(name);
            }
            rest = after;
        } else {
            // A quoted string or name: its dollars are its own.
            let end = tail.find(first).map_or(tail.len(), |end| end + 1);
            let (quoted, after) = tail.split_at_checked(end).unwrap_or((tail, ""));
            out.push_str(quoted);
            rest = after;
        }
    }
    out.push_str(rest);
    (out, names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn problems(kind: Query, text: &str) -> Vec<String> {
        let mut cx = Context::new(Path::new("/"), &[]);
        for dialect in [Dialect::Postgres, Dialect::Sqlite, Dialect::MySql] {
            check(kind, dialect, text, &KeyPath::root(), &mut cx);
        }
        let mut found: Vec<String> = cx.faults.into_iter().map(|fault| fault.problem).collect();
        found.dedup();
        found
    }

    #[test]
    fn good_queries_pass() {
        for text in [
            "SELECT u.id, u.tenant_id AS account, u.is_active AS active FROM users u WHERE u.id = $user",
            "SELECT * FROM live WHERE id = $user",
            "SELECT l.* FROM live l WHERE id = $user AND tenant = $tenant",
            "WITH x AS (SELECT 1) SELECT \"id\", NULL AS account, true AS active FROM x WHERE '$nobody' = $user",
            "SELECT id, account, active FROM a WHERE id = $user UNION SELECT id, account, active FROM b",
            "SELECT CAST(id AS text), account, active FROM a WHERE id = $user;",
            "SELECT this is not SQL that we know WHERE $user",
        ] {
            assert_eq!(
                problems(Query::Lookup, text),
                Vec::<String>::new(),
                "{text}"
            );
        }
    }

    #[test]
    fn missing_columns_and_parameters_are_named() {
        assert_eq!(
            problems(
                Query::Lookup,
                "SELECT u.id, u.tenant_id FROM users u WHERE u.id = $user"
            ),
            ["the query lacks the columns `account` and `active`"]
        );
        assert_eq!(
            problems(Query::Lookup, "SELECT id, account, active FROM users"),
            ["the query does not use `$user`"]
        );
        assert_eq!(
            problems(
                Query::Domain,
                "SELECT schema_name FROM d WHERE domain = $host"
            ),
            ["the query lacks the column `tenant`"]
        );
        assert!(
            problems(
                Query::Lookup,
                "SELECT * FROM u WHERE id = $usr AND $user = 1"
            )[0]
            .contains("$usr")
        );
    }

    #[test]
    fn f8_a_query_of_many_operators_does_not_exhaust_the_stack() {
        for operators in [8_000, 400_000] {
            let text = format!(
                "SELECT id, account, active FROM u WHERE {} 1 = $user",
                "1+".repeat(operators)
            );
            assert_eq!(problems(Query::Lookup, &text), Vec::<String>::new());
        }
    }

    #[test]
    fn only_one_reading_statement() {
        for text in [
            "DELETE FROM users WHERE id = $user RETURNING id, account, active",
            "SELECT id, account, active FROM a WHERE id = $user; DROP TABLE a",
        ] {
            assert_eq!(
                problems(Query::Lookup, text),
                ["this is not one SELECT"],
                "{text}"
            );
        }
    }
}
