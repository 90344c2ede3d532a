//! The triggers of PostgreSQL.
//!
//! They fire once a statement and see its rows as two tables (manual, CREATE TRIGGER, transition
//! tables), so that a statement that touches many rows says a few wide things and not many narrow
//! ones. What they say is sent when the transaction commits, and not at all when it does not; it is
//! shorter than the 8000 bytes that NOTIFY takes.

mod function;

use std::fmt::Write as _;

use super::text::{body, literal, name};
use crate::config::{
    Config, DirectorySource, Outbox, PostgresNotify, PushedTable, PushedTenant, SqlDatabase,
};

/// Longest message in bytes.
const LONGEST: usize = 7900;

/// The script, unless there is nothing to put into it.
pub(super) fn script(config: &Config) -> Option<String> {
    let invalidation = &config.directory.invalidation;
    let notify = invalidation.postgres_notify.as_ref();
    let notify = notify.filter(|notify| !notify.tables.is_empty());
    let outbox = invalidation.outbox.as_ref();
    let outbox = outbox.filter(|outbox| matches!(outbox.database, SqlDatabase::Postgres(_)));
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
        out.push_str(&function::function(voice, index + 1, table));
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
