//! What one table's trigger says.
//!
//! An update is told when a watched column changed, for whom it was and for whom it is. Where a row
//! names its user only through another table's row, that table is the one beside it: in a schema
//! per tenant the function is shared, so the schema comes from the trigger. The search path never
//! names it, since a function of its owner's could then take the place of a built-in one.

use std::fmt::Write as _;

use super::super::text::{body, literal, name};
use super::{Voice, comment, function_name, target};
use crate::config::{PushedTable, PushedTenant};

/// Most messages of one statement; more become one for each tenant, or one for all.
const MESSAGES: usize = 100;

/// Stands for the other table's name, and the one below for the tenant's, until the statement runs;
/// no name holds a control character.
const OTHER: &str = "\u{1}";
const TENANT: &str = "\u{2}";

/// The function of one table: what is said, from the rows of one statement.
pub(super) fn function(voice: &Voice<'_>, number: usize, table: &PushedTable) -> String {
    let changed = |rows: &str| format!("SELECT {} FROM {}", keys(table), from(table, rows));
    let both = |from: &str, without: &str| {
        let columns = format!("{}, {}", keys(table), watched(table));
        format!(
            "(SELECT {columns} FROM {} EXCEPT ALL SELECT {columns} FROM {})",
            self::from(table, from),
            self::from(table, without)
        )
    };
    let updated = format!(
        "SELECT t, u, a, s FROM (\n      {}\n      UNION ALL\n      {}\n    ) AS r",
        both("old_rows", "new_rows"),
        both("new_rows", "old_rows")
    );
    let branches = [
        ("INSERT", changed("new_rows")),
        ("DELETE", changed("old_rows")),
        ("UPDATE", updated),
    ];
    let mut text = String::from("#variable_conflict use_column\nDECLARE\n  said text[];\nBEGIN\n");
    for (index, (operation, rows)) in branches.iter().enumerate() {
        let word = if index == 0 { "IF" } else { "ELSIF" };
        let said = format!(
            "ARRAY(\n      SELECT DISTINCT m.said FROM (\n    {rows}\n      ) AS c\n      CROSS JOIN LATERAL (VALUES {}) AS m(said)\n      WHERE m.said IS NOT NULL LIMIT {})",
            messages(table),
            MESSAGES + 1
        );
        let _ = write!(
            text,
            "  {word} TG_OP = '{operation}' THEN\n    {};\n",
            assigned(table, &said)
        );
        if matches!(table.tenant, PushedTenant::Column(_)) {
            let said = format!(
                "ARRAY(SELECT DISTINCT {} FROM (\n    {rows}\n      ) AS c LIMIT {})",
                of_tenant(),
                MESSAGES + 1
            );
            let _ = write!(
                text,
                "    IF cardinality(said) > {MESSAGES} THEN\n      {};\n    END IF;\n",
                assigned(table, &said)
            );
        }
    }
    let everything = match table.tenant {
        PushedTenant::Only(_) | PushedTenant::Schema => {
            // Built as the others are, from the tenant that needs no row.
            format!(
                "ARRAY(SELECT {} FROM (SELECT {} AS t) AS c)",
                of_tenant(),
                tenant(table).replace(TENANT, "TG_TABLE_SCHEMA")
            )
        }
        PushedTenant::Column(_) | PushedTenant::Unknown => "ARRAY['{}']".to_owned(),
    };
    let _ = write!(
        text,
        "  ELSE -- TRUNCATE\n    said := {everything};\n  END IF;\n  IF cardinality(said) > {MESSAGES} THEN\n    said := {everything};\n  END IF;\n  {};\n  RETURN NULL;\nEND",
        voice.says
    );
    format!(
        "-- Changes of {}.\nCREATE OR REPLACE FUNCTION {}() RETURNS trigger LANGUAGE plpgsql{}\nSET search_path = pg_catalog, pg_temp AS {};\n\n",
        comment(&target(table)),
        function_name(voice.prefix, number),
        voice.rights,
        body(&text)
    )
}

/// Sets `said` to this. What looks into the other table is put together when it runs.
fn assigned(table: &PushedTable, said: &str) -> String {
    match &table.through {
        Some(other) if other.schema.is_none() => {
            let text = format!("SELECT {said}").replace('%', "%%");
            let text = text.replace(OTHER, "%1$I.%2$I").replace(TENANT, "%1$L");
            format!(
                "EXECUTE format({}, TG_TABLE_SCHEMA, {}) INTO said",
                literal(&text),
                literal(&other.table)
            )
        }
        _ => format!("said := {}", said.replace(TENANT, "TG_TABLE_SCHEMA")),
    }
}

/// The rows `r`, and where they do not name their user, the row `o` that does.
fn from(table: &PushedTable, rows: &str) -> String {
    let Some(other) = &table.through else {
        return format!("{rows} AS r");
    };
    let named = match &other.schema {
        Some(schema) => format!("{}.{}", name(schema), name(&other.table)),
        None => OTHER.to_owned(),
    };
    format!(
        "{rows} AS r LEFT JOIN {named} AS o ON o.{} = r.{}",
        name(&other.id),
        name(&other.key)
    )
}

/// Tenant, user, account and session of a row `r`, as text.
fn keys(table: &PushedTable) -> String {
    let column = |row: char, column: &Option<String>| match column {
        Some(column) => format!("{row}.{}::text", name(column)),
        None => "NULL::text".to_owned(),
    };
    let user_is_in = if table.through.is_some() { 'o' } else { 'r' };
    format!(
        "{} AS t, {} AS u, {} AS a, {} AS s",
        tenant(table),
        column(user_is_in, &table.user),
        column('r', &table.account),
        column('r', &table.session)
    )
}

fn tenant(table: &PushedTable) -> String {
    match &table.tenant {
        PushedTenant::Column(column) => format!("r.{}::text", name(column)),
        PushedTenant::Schema => format!("{TENANT}::text"),
        PushedTenant::Only(tenant) => format!("{}::text", literal(tenant.as_str())),
        PushedTenant::Unknown => "NULL::text".into(),
    }
}

/// What a row `r` is compared by, as text: types without equality (json, point) can be watched too.
fn watched(table: &PushedTable) -> String {
    match &table.watch {
        None => "r::text AS w".into(),
        Some(columns) if columns.is_empty() => "NULL::text AS w".into(),
        Some(columns) => {
            let columns: Vec<String> = columns
                .iter()
                .enumerate()
                .map(|(index, column)| format!("r.{}::text AS w{index}", name(column)))
                .collect();
            columns.join(", ")
        }
    }
}

/// What is said of a changed row `c`: its user, its account, its session, and where it names none,
/// its tenant.
fn messages(table: &PushedTable) -> String {
    let one = |key: &str, column: &str| {
        format!(
            "(CASE WHEN c.t IS NULL THEN '{{}}' WHEN c.{column} IS NOT NULL THEN '{{\"tenant\":' || to_json(c.t)::text || ',\"{key}\":' || to_json(c.{column})::text || '}}' END)"
        )
    };
    let mut said = Vec::new();
    if table.user.is_some() {
        said.push(one("user", "u"));
    }
    if table.account.is_some() {
        said.push(one("account", "a"));
    }
    if table.session.is_some() {
        said.push(one("session", "s"));
    }
    said.push(format!(
        "(CASE WHEN c.u IS NULL AND c.a IS NULL AND c.s IS NULL THEN {} END)",
        of_tenant()
    ));
    said.join(", ")
}

fn of_tenant() -> &'static str {
    "CASE WHEN c.t IS NULL THEN '{}' ELSE '{\"tenant\":' || to_json(c.t)::text || '}' END"
}
