//! The outbox and the triggers of MySQL and MariaDB.
//!
//! There are no triggers of whole statements there, so each row that changes says something, in the
//! app's own transaction. A column is compared by its bytes, because the usual collations pass over
//! case and accents. The triggers run with the rights of whoever runs the script.

use std::fmt::Write as _;

use crate::config::{Config, Outbox, PushedTable, PushedTenant, SqlDatabase};

/// A column of bytes that are no text must not stop the app from writing: then everything is read
/// again.
const UNREADABLE: &str = "  DECLARE CONTINUE HANDLER FOR 1300, 1366, 3854";

/// The script, unless there is nothing to put into it.
pub(super) fn script(config: &Config) -> Option<String> {
    let outbox = config.directory.invalidation.outbox.as_ref()?;
    if !matches!(outbox.database, SqlDatabase::MySql(_)) {
        return None;
    }
    let target = qualified(outbox.schema.as_deref(), &outbox.table);
    let shown = one_line(&target);
    let mut out = format!(
        "-- The outbox {shown}, and triggers that write into it what changes in the mapping of users\n\
         -- to accounts. Review it, then run it as a user who may make triggers on the tables:\n\
         --   countersign sql mysql -c FILE | mariadb DATABASE\n\
         -- It can be run again at any time. MariaDB 10.6 or MySQL 8.0, or later.\n\
         --\n\
         -- No trigger sees TRUNCATE, nor what a foreign key's ON DELETE or ON UPDATE does: after the\n\
         -- first insert '{{}}' into the outbox, and name the other table of the key too.\n\n\
         -- The app may write into it too: one JSON object a row, in the transaction that changes\n\
         -- something. The gateway's user reads it, writes for POST /v1/invalidate, and locks (MySQL asks\n\
         -- for the right to delete for that):\n\
         --   GRANT SELECT, INSERT, DELETE ON {shown} TO the_gateways_user;\n\
         -- Nothing is deleted by reading. Run this every few minutes, with a time that is longer than\n\
         -- your longest transaction; it leaves the newest row, and nothing else may empty the table:\n\
         --   DELETE FROM {shown} WHERE said_at < NOW() - INTERVAL 1 HOUR\n\
         --     AND id < (SELECT id FROM (SELECT MAX(id) AS id FROM {shown}) AS newest);\n\
         CREATE TABLE IF NOT EXISTS {target} (\n  \
           id bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,\n  \
           said_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),\n  \
           message mediumtext CHARACTER SET utf8mb4 NOT NULL\n\
         ) ENGINE = InnoDB;\n\n"
    );
    if outbox.tables.is_empty() {
        return Some(out);
    }
    let _ = write!(
        out,
        "-- Triggers of tables that were taken out of the configuration are found, and dropped, by hand:\n\
         --   SELECT trigger_schema, trigger_name, event_object_table FROM information_schema.triggers\n\
         --   WHERE trigger_name REGEXP '^{}_[0-9]+_(insert|update|delete)$';\n\
         DELIMITER $$\n\n",
        one_line(&outbox.table)
    );
    for (index, table) in outbox.tables.iter().enumerate() {
        out.push_str(&triggers(outbox, &target, index + 1, table));
    }
    let _ = write!(
        out,
        "DELIMITER ;\n\n\
         -- While a trigger was replaced, something may have been said by nobody.\n\
         INSERT INTO {target} (message) VALUES ('{{}}');\n"
    );
    Some(out)
}

fn triggers(outbox: &Outbox, target: &str, number: usize, table: &PushedTable) -> String {
    let on = qualified(table.schema.as_deref(), &table.table);
    let say = |row: &str| says(target, table, row);
    let update = format!(
        "  IF NOT ({}) THEN\n{}    IF NOT ({}) THEN\n{}    END IF;\n  END IF;\n",
        same(&compared(table)),
        say("OLD"),
        same(&keys(table)),
        say("NEW"),
    );
    let update = if table.watch.is_some() {
        update
    } else {
        // Without names there is nothing to compare.
        format!(
            "{}  IF NOT ({}) THEN\n{}  END IF;\n",
            say("OLD"),
            same(&keys(table)),
            say("NEW")
        )
    };
    let bodies = [
        ("insert", say("NEW")),
        ("update", update),
        ("delete", say("OLD")),
    ];
    let mut out = format!("-- Changes of {}.\n", one_line(&on));
    for (operation, text) in bodies {
        let trigger = qualified(
            table.schema.as_deref(),
            &format!("{}_{number}_{operation}", outbox.table),
        );
        let _ = write!(
            out,
            "DROP TRIGGER IF EXISTS {trigger}$$\n\
             CREATE TRIGGER {trigger} AFTER {} ON {on} FOR EACH ROW\nBEGIN\n{UNREADABLE} INSERT INTO {target} (message) VALUES ('{{}}');\n{text}END$$\n\n",
            operation.to_ascii_uppercase()
        );
    }
    out
}

/// Says whom the row concerns: its user, its account, its session, and where it names none, its
/// tenant.
fn says(target: &str, table: &PushedTable, row: &str) -> String {
    let text = |column: &str| format!("CONVERT({row}.{} USING utf8mb4)", name(column));
    let user = |column: &String| match &table.through {
        None => text(column),
        Some(other) => format!(
            "CONVERT((SELECT o.{} FROM {} AS o WHERE o.{} = {row}.{}) USING utf8mb4)",
            name(column),
            qualified(
                other.schema.as_deref().or(table.schema.as_deref()),
                &other.table
            ),
            name(&other.id),
            name(&other.key)
        ),
    };
    let tenant = match &table.tenant {
        PushedTenant::Column(column) => Some(text(column)),
        PushedTenant::Only(tenant) => Some(literal(tenant.as_str())),
        // A schema is no tenant here.
        PushedTenant::Schema | PushedTenant::Unknown => None,
    };
    let message = |member: &str| match &tenant {
        None => "'{}'".to_owned(),
        Some(tenant) => {
            format!("IF({tenant} IS NULL, '{{}}', JSON_OBJECT('tenant', {tenant}{member}))")
        }
    };
    let insert = |condition: &str, member: &str| {
        format!(
            "    IF {condition} THEN\n      INSERT INTO {target} (message) VALUES ({});\n    END IF;\n",
            message(member)
        )
    };
    let other = |column: &Option<String>| column.as_deref().map(text);
    let named: Vec<(&str, String)> = [
        ("user", table.user.as_ref().map(user)),
        ("account", other(&table.account)),
        ("session", other(&table.session)),
    ]
    .into_iter()
    .filter_map(|(member, column)| Some((member, column?)))
    .collect();
    let mut out = String::new();
    for (member, column) in &named {
        out.push_str(&insert(
            &format!("{column} IS NOT NULL"),
            &format!(", '{member}', {column}"),
        ));
    }
    let none: Vec<String> = named
        .iter()
        .map(|(_, column)| format!("{column} IS NULL"))
        .collect();
    out.push_str(&insert(&none.join(" AND "), ""));
    out
}

/// The columns that say whom a row concerns.
fn keys(table: &PushedTable) -> Vec<&str> {
    let tenant = match &table.tenant {
        PushedTenant::Column(column) => Some(column),
        PushedTenant::Only(_) | PushedTenant::Schema | PushedTenant::Unknown => None,
    };
    // Whom another table's row names, this row says by what points there.
    let user = match &table.through {
        Some(other) => Some(&other.key),
        None => table.user.as_ref(),
    };
    let keys = [user, table.account.as_ref(), table.session.as_ref(), tenant];
    keys.into_iter().flatten().map(String::as_str).collect()
}

/// And those whose change counts.
fn compared(table: &PushedTable) -> Vec<&str> {
    let mut columns = keys(table);
    for column in table.watch.iter().flatten() {
        if !columns.contains(&column.as_str()) {
            columns.push(column);
        }
    }
    columns
}

/// Whether these columns are the same, byte by byte.
fn same(columns: &[&str]) -> String {
    let same: Vec<String> = columns
        .iter()
        .map(|column| {
            let column = name(column);
            format!("CAST(OLD.{column} AS BINARY) <=> CAST(NEW.{column} AS BINARY)")
        })
        .collect();
    same.join(" AND ")
}

fn qualified(schema: Option<&str>, table: &str) -> String {
    match schema {
        Some(schema) => format!("{}.{}", name(schema), name(table)),
        None => name(table),
    }
}

/// A quoted identifier (MySQL manual, schema object names).
fn name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A string literal that means the same whatever `sql_mode` says.
fn literal(text: &str) -> String {
    let mut hex = String::new();
    for byte in text.bytes() {
        let _ = write!(hex, "{byte:02x}");
    }
    if text.contains('\\') {
        format!("CONVERT(x'{hex}' USING utf8mb4)")
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

/// A name in a comment, which ends with its line.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_name_or_a_literal() {
        assert_eq!(name("a`; DROP TABLE x"), "`a``; DROP TABLE x`");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\'"), "CONVERT(x'615c27' USING utf8mb4)");
    }
}
