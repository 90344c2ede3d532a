//! `sql`: prints the triggers that push changes of the mapping to the gateway.
//!
//! The script is for the user to review and run; the gateway itself never changes a database's
//! tables. It can be run again: what an earlier run made is replaced, and triggers of tables that
//! are no longer configured go.

mod postgres;
mod text;

use std::path::PathBuf;

use super::{Outcome, Stop};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The database: postgres
    database: String,
    /// The configuration file
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    match arguments.database.as_str() {
        "postgres" => {}
        "mysql" => {
            return Err(Stop::Wrong(
                "`sql mysql` is not supported in this version".into(),
            ));
        }
        other => {
            return Err(Stop::Wrong(format!(
                "`{other}` is no database that pushes; write: countersign sql postgres -c FILE"
            )));
        }
    }
    let Some(config) = &arguments.config else {
        return Err(Stop::Wrong(
            "which tables to watch stands in the configuration; add: -c FILE".into(),
        ));
    };
    let loaded = super::load(config)?;
    for warning in &loaded.warnings {
        eprintln!("warning: {}", loaded.render(warning));
    }
    match postgres::script(&loaded.config) {
        Some(script) => super::print(&script),
        None => Err(Stop::Wrong(
            "no table is named in directory.invalidation.postgres_notify.tables, and there is no \
             outbox in PostgreSQL; add such as `tables: [ { table: users, user: id } ]`"
                .into(),
        )),
    }
}
