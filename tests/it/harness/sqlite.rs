//! SQLite: an app's database in one file, written by real SQL.

use std::path::Path;

use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

/// Runs these statements on the database in this file, which is made where there is none.
pub(crate) fn execute_sqlite(path: &Path, sql: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let url = format!("sqlite://{}?mode=rwc", path.display());
    runtime.block_on(async {
        let mut connection = SqliteConnection::connect(&url).await.expect("a database");
        let query = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        query.execute(&mut connection).await.expect("executed");
        connection.close().await.expect("closed");
    });
}
