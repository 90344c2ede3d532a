//! `sql`: prints the triggers that push changes of the mapping to the gateway.
//!
//! The script is for the user to review and run; the gateway itself never changes a database's
//! tables. It can be run again: what an earlier run made is replaced, and triggers of tables that
//! are no longer configured go.

mod mysql;
mod postgres;
mod text;

use std::path::PathBuf;

use super::{Outcome, Stop};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The database: postgres or mysql
    database: String,
    /// The configuration file
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let database = match arguments.database.as_str() {
        "postgres" => Database::Postgres,
        "mysql" => Database::MySql,
        other => {
            return Err(Stop::Wrong(format!(
                "`{other}` is no database that pushes; write: countersign sql postgres -c FILE, or \
                 sql mysql"
            )));
        }
    };
    let Some(config) = &arguments.config else {
        return Err(Stop::Wrong(
            "which tables to watch stands in the configuration; add: -c FILE".into(),
        ));
    };
    let loaded = super::load(config)?;
    for warning in &loaded.warnings {
        eprintln!("warning: {}", loaded.render(warning));
    }
    let (script, nothing) = match database {
        Database::Postgres => (
            postgres::script(&loaded.config),
            "no table is named in directory.invalidation.postgres_notify.tables, and there is no \
             outbox in PostgreSQL; add such as `tables: [ { table: users, user: id } ]`",
        ),
        Database::MySql => (
            mysql::script(&loaded.config),
            "there is no outbox in MySQL; add such as \
             `directory.invalidation: { outbox: { tables: [ { table: users, user: id } ] } }`",
        ),
    };
    match script {
        Some(script) => super::print(&script),
        None => Err(Stop::Wrong(nothing.into())),
    }
}

#[derive(Clone, Copy)]
enum Database {
    Postgres,
    MySql,
}
