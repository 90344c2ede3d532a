//! The triggers of PostgreSQL.
//!
//! They fire once a statement and see its rows as two tables (manual, CREATE TRIGGER, transition
//! tables), so that a statement that touches many rows says a few wide things and not many narrow
//! ones. What they say is sent when the transaction commits, and not at all when it does not; it is
//! shorter than the 8000 bytes that NOTIFY takes. An update is told when a watched column changed,
//! for whom it was and for whom it is.

use std::fmt::Write as _;

use super::text::{body, literal, name};
use crate::config::{
    Config, DirectorySource, Outbox, OutboxDatabase, PostgresNotify, PushedTable, PushedTenant,
};

/// Most messages of one statement; more become one for each tenant, or one for all.
const MESSAGES: usize = 100;
/// Longest message in bytes.
const LONGEST: usize = 7900;

/// The script, unless there is nothing to put into it.
pub(super) fn script(config: &Config) -> Option<String> {
    let invalidation = &config.directory.invalidation;
    let notify = invalidation.postgres_notify.as_ref();
    let notify = notify.filter(|notify| !notify.tables.is_empty());
    let outbox = invalidation.outbox.as_ref();
    let outbox = outbox.filter(|outbox| matches!(outbox.database, OutboxDatabase::Postgres(_)));
    let voices = [notify.map(Voice::notify), outbox.map(Voice::outbox)];
    let scripts: Vec<String> = voices
        .iter()
        .flatten()
        .map(|voice| of_voice(config, voice))
        .collect();
    (!scripts.is_empty()).then(|| scripts.join("\n"))
}

/// How what has changed is said.
struct Voice<'a> {
    /// What the names of triggers and functions begin with.
    prefix: &'a str,
    tables: &'a [PushedTable],
    /// Where it is said, for the reader of the script.
    place: String,
    /// What has to be there first.
    setting: String,
    /// What says each of the messages `m(said)`.
    says: String,
    /// Whose rights the function has.
    rights: &'static str,
}

impl<'a> Voice<'a> {
    fn notify(notify: &'a PostgresNotify) -> Self {
        let channel = &notify.channel;
        Self {
            prefix: channel,
            tables: &notify.tables,
            place: format!("over the channel \"{channel}\""),
            setting: String::new(),
            says: format!(
                "PERFORM pg_catalog.pg_notify({}, {})\n  FROM unnest(said) AS m(said)",
                literal(channel),
                bounded()
            ),
            rights: "",
        }
    }

    fn outbox(outbox: &'a Outbox) -> Self {
        let schema = outbox.schema.as_deref().unwrap_or("public");
        let table = format!("{}.{}", name(schema), name(&outbox.table));
        let shown = comment(&table);
        Self {
            prefix: &outbox.table,
            tables: &outbox.tables,
            place: format!("in the table {shown}"),
            setting: format!(
                "-- The app may write into it too: one JSON object a row, in the transaction that changes\n\
                 -- something. The gateway's role reads, and writes for POST /v1/invalidate:\n\
                 --   GRANT SELECT, INSERT ON {shown} TO the_gateways_role;\n\
                 -- Nothing is deleted by reading. Run this every few minutes, with a time that is longer than\n\
                 -- your longest transaction; it leaves the newest row, and nothing else may empty the table:\n\
                 --   DELETE FROM {shown} WHERE said_at < now() - interval '1 hour'\n\
                 --     AND id < (SELECT max(id) FROM {shown});\n\
                 CREATE TABLE IF NOT EXISTS {table} (\n  \
                   id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,\n  \
                   said_at timestamptz NOT NULL DEFAULT clock_timestamp(),\n  \
                   message text NOT NULL\n);\n\n"
            ),
            says: format!(
                "INSERT INTO {table} (message) SELECT {}\n  FROM unnest(said) AS m(said)",
                bounded()
            ),
            // The app's roles need no right to the outbox.
            rights: " SECURITY DEFINER",
        }
    }
}

fn bounded() -> String {
    format!("CASE WHEN octet_length(m.said) > {LONGEST} THEN '{{}}' ELSE m.said END")
}

fn of_voice(config: &Config, voice: &Voice<'_>) -> String {
    let mut out = format!(
        "-- Triggers that tell Countersign, {}, what changes in the mapping of users\n\
         -- to accounts. Review it, then run it as the owner of the tables:\n\
         --   countersign sql postgres -c FILE | psql --single-transaction -v ON_ERROR_STOP=1 DATABASE\n\
         -- It can be run again at any time. PostgreSQL 11 or later.\n\n",
        comment(&voice.place)
    );
    out.push_str(&voice.setting);
    out.push_str(&removal(voice.prefix));
    for (index, table) in voice.tables.iter().enumerate() {
        out.push_str(&function(voice, index + 1, table));
    }
    for (index, table) in voice.tables.iter().enumerate() {
        if table.tenant != PushedTenant::Schema {
            for statement in triggers(voice.prefix, index + 1, &target(table)) {
                let _ = writeln!(out, "{statement};");
            }
            out.push('\n');
        }
    }
    out.push_str(&per_schema(config, voice));
    out
}

fn target(table: &PushedTable) -> String {
    match &table.schema {
        Some(schema) => format!("{}.{}", name(schema), name(&table.table)),
        None => name(&table.table),
    }
}

fn function_name(channel: &str, number: usize) -> String {
    name(&format!("{channel}_push_{number}"))
}

/// Triggers and functions of an earlier run, found by their functions' names.
fn removal(channel: &str) -> String {
    let prefix = format!("{channel}_push_");
    let functions = format!(
        "p.prokind = 'f' AND left(p.proname::text, {}) = {} AND substr(p.proname::text, {}) ~ '^[0-9]+$'",
        prefix.len(),
        literal(&prefix),
        prefix.len() + 1
    );
    let text = format!(
        "DECLARE
  found record;
BEGIN
  FOR found IN
    SELECT t.tgname, t.tgrelid::regclass AS relation
    FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
    WHERE NOT t.tgisinternal AND {functions}
  LOOP
    EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', found.tgname, found.relation);
  END LOOP;
  FOR found IN
    SELECT p.oid::regprocedure AS name FROM pg_catalog.pg_proc p WHERE {functions}
  LOOP
    EXECUTE format('DROP FUNCTION %s', found.name);
  END LOOP;
END"
    );
    format!("-- What an earlier run made goes.\nDO {};\n\n", body(&text))
}

/// The function of one table: what is said, from the rows of one statement.
fn function(voice: &Voice<'_>, number: usize, table: &PushedTable) -> String {
    let changed = |rows: &str| format!("SELECT {} FROM {rows} AS r", keys(table));
    let both = |from: &str, without: &str| {
        let columns = format!("{}, {}", keys(table), watched(table));
        format!(
            "(SELECT {columns} FROM {from} AS r EXCEPT ALL SELECT {columns} FROM {without} AS r)"
        )
    };
    let updated = format!(
        "SELECT t, u, a FROM (\n      {}\n      UNION ALL\n      {}\n    ) AS r",
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
        let _ = write!(
            text,
            "  {word} TG_OP = '{operation}' THEN\n    said := ARRAY(\n      SELECT DISTINCT m.said FROM (\n    {rows}\n      ) AS c\n      CROSS JOIN LATERAL (VALUES {}) AS m(said)\n      WHERE m.said IS NOT NULL LIMIT {});\n",
            messages(table),
            MESSAGES + 1
        );
        if matches!(table.tenant, PushedTenant::Column(_)) {
            let _ = write!(
                text,
                "    IF cardinality(said) > {MESSAGES} THEN\n      said := ARRAY(SELECT DISTINCT {} FROM (\n    {rows}\n      ) AS c LIMIT {});\n    END IF;\n",
                of_tenant(),
                MESSAGES + 1
            );
        }
    }
    let everything = match table.tenant {
        PushedTenant::Only(_) | PushedTenant::Schema => {
            // Built as the others are, from the tenant that needs no row.
            format!(
                "ARRAY(SELECT {} FROM (SELECT {} AS t) AS c)",
                of_tenant(),
                tenant(table)
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

/// Tenant, user and account of a row `r`, as text.
fn keys(table: &PushedTable) -> String {
    let column = |column: &Option<String>| match column {
        Some(column) => format!("r.{}::text", name(column)),
        None => "NULL::text".to_owned(),
    };
    format!(
        "{} AS t, {} AS u, {} AS a",
        tenant(table),
        column(&table.user),
        column(&table.account)
    )
}

fn tenant(table: &PushedTable) -> String {
    match &table.tenant {
        PushedTenant::Column(column) => format!("r.{}::text", name(column)),
        PushedTenant::Schema => "TG_TABLE_SCHEMA::text".into(),
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

/// What is said of a changed row `c`: its user, its account, and where it names neither, its tenant.
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
    said.push(format!(
        "(CASE WHEN c.u IS NULL AND c.a IS NULL THEN {} END)",
        of_tenant()
    ));
    said.join(", ")
}

fn of_tenant() -> &'static str {
    "CASE WHEN c.t IS NULL THEN '{}' ELSE '{\"tenant\":' || to_json(c.t)::text || '}' END"
}

/// The triggers of one table.
fn triggers(channel: &str, number: usize, target: &str) -> Vec<String> {
    let operations = [
        ("insert", " REFERENCING NEW TABLE AS new_rows"),
        ("delete", " REFERENCING OLD TABLE AS old_rows"),
        (
            "update",
            " REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
        ),
        ("truncate", ""),
    ];
    let function = function_name(channel, number);
    let mut statements = Vec::new();
    for (operation, rows) in operations {
        let trigger = name(&format!("{channel}_{number}_{operation}"));
        statements.push(format!("DROP TRIGGER IF EXISTS {trigger} ON {target}"));
        statements.push(format!(
            "CREATE TRIGGER {trigger} AFTER {} ON {target}{rows} FOR EACH STATEMENT EXECUTE FUNCTION {function}()",
            operation.to_ascii_uppercase()
        ));
    }
    statements
}

/// With a schema per tenant: a function that puts the triggers into a schema, and its use in each.
fn per_schema(config: &Config, voice: &Voice<'_>) -> String {
    let channel = voice.prefix;
    let tables: Vec<(usize, &PushedTable)> = voice
        .tables
        .iter()
        .enumerate()
        .filter(|(_, table)| table.tenant == PushedTenant::Schema)
        .map(|(index, table)| (index + 1, table))
        .collect();
    if tables.is_empty() {
        return String::new();
    }
    let mut text = String::from("BEGIN\n");
    for (number, table) in tables {
        let _ = writeln!(
            text,
            "  IF to_regclass(format('%I.%I', tenant_schema, {0})) IS NOT NULL THEN",
            literal(&table.table)
        );
        for statement in triggers(channel, number, "COUNTERSIGN_TARGET") {
            let format = statement
                .replace('%', "%%")
                .replace("COUNTERSIGN_TARGET", "%I.%I");
            let _ = writeln!(
                text,
                "    EXECUTE format({}, tenant_schema, {});",
                literal(&format),
                literal(&table.table)
            );
        }
        text.push_str("  END IF;\n");
    }
    text.push_str("END");
    let attach = name(&format!("{channel}_attach"));
    let mut shared = vec!["'information_schema'".to_owned(), "'public'".to_owned()];
    if let DirectorySource::Postgres {
        search_path_also, ..
    } = &config.directory.source
    {
        shared.extend(search_path_also.iter().map(|schema| literal(schema)));
    }
    shared.dedup();
    let each = format!(
        "DECLARE
  tenant_schema text;
BEGIN
  FOR tenant_schema IN
    SELECT nspname::text FROM pg_catalog.pg_namespace
    WHERE nspname !~ '^pg_' AND nspname::text NOT IN ({}) ORDER BY 1
  LOOP
    PERFORM {attach}(tenant_schema);
  END LOOP;
END",
        shared.join(", ")
    );
    format!(
        "-- A tenant's tables. Call it for every schema that is made later, in the transaction that makes it:\n\
         --   SELECT {attach}('the_new_schema');\n\
         CREATE OR REPLACE FUNCTION {attach}(tenant_schema text) RETURNS void LANGUAGE plpgsql AS {};\n\n\
         -- Every schema that there is.\nDO {};\n",
        body(&text),
        body(&each)
    )
}

/// A name in a comment, which ends with its line.
fn comment(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}
