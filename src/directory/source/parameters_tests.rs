//! Tests of the one reading of a configured query.

use super::Dialect::{MySql, Postgres, Sqlite};
use super::*;

fn text(sql: &str, dialect: Dialect) -> String {
    Query::read(sql, dialect, Kind::Lookup)
        .unwrap_or_else(|problem| panic!("{sql}: {problem}"))
        .text
        .to_string()
}

fn problem(sql: &str, dialect: Dialect) -> String {
    Query::read(sql, dialect, Kind::Lookup).expect_err(sql)
}

#[test]
fn parameters_are_numbered_in_the_order_they_come() {
    let sql = "SELECT 1 WHERE t = $tenant AND u = $user::bigint OR u2=$user";
    let query = Query::read(sql, Postgres, Kind::Lookup).unwrap();
    assert_eq!(
        &*query.text,
        "SELECT 1 WHERE t = $1 AND u = $2::bigint OR u2=$2"
    );
    assert_eq!(query.parameters, [Parameter::Tenant, Parameter::User]);
    assert_eq!(
        text(sql.split("::").next().unwrap(), Sqlite),
        "SELECT 1 WHERE t = ?1 AND u = ?2"
    );
}

#[test]
fn a_name_inside_something_else_stays_what_it_is() {
    for inside in [
        "'$user'",
        "'it''s $user'",
        "'\\'",
        "\"$user\"",
        "\"a\"\"$user\"",
        "/* $user */ 1",
        "-- $user\n 1",
    ] {
        for dialect in [Postgres, Sqlite] {
            let sql = format!("SELECT {inside} WHERE u = $user");
            let out = text(&sql, dialect);
            assert!(out.contains(inside), "{out}");
        }
    }
    for inside in [
        "$$ $user ' $$",
        "$t$ $user $$ $t$",
        "E'\\' $user'",
        "e'\\\\'",
        "/* /* $user */ $user */ 1",
        "a$user",
        "x.tag$user",
        "ärger$user",
    ] {
        let sql = format!("SELECT {inside} WHERE u = $user");
        assert_eq!(
            text(&sql, Postgres),
            format!("SELECT {inside} WHERE u = $1"),
        );
    }
    for inside in ["`$user`", "[$user]"] {
        let sql = format!("SELECT {inside} WHERE u = $user");
        assert_eq!(text(&sql, Sqlite), format!("SELECT {inside} WHERE u = ?1"));
    }
}

#[test]
fn names_that_end_in_e_do_not_escape() {
    let sql = "SELECT name'\\' WHERE u = $user";
    assert_eq!(text(sql, Postgres), "SELECT name'\\' WHERE u = $1");
}

#[test]
fn a_semicolon_may_end_the_query_and_nothing_follows() {
    assert_eq!(
        text("SELECT $user ; -- done\n", Postgres),
        "SELECT $1  -- done"
    );
    for sql in [
        "SELECT $user; DROP TABLE users",
        "SELECT $user; SELECT 1",
        "SELECT $user; /* */ x",
    ] {
        assert!(problem(sql, Postgres).contains("more than one"), "{sql}");
    }
    assert_eq!(text("SELECT ';', $user", Postgres), "SELECT ';', $1");
}

#[test]
fn what_would_break_out_of_its_frame_is_refused() {
    for sql in [
        "SELECT $user) AS x, (SELECT 2",
        "SELECT ($user",
        "SELECT $user)",
        "SELECT $user /* open",
        "SELECT $user 'open",
        "SELECT $user \"open",
        "SELECT $user $x$ open",
        "",
        "-- nothing",
        ";",
        "DELETE FROM users WHERE id = $user",
        "UPDATE users SET id = $user",
    ] {
        for dialect in [Postgres, Sqlite] {
            assert!(
                Query::read(sql, dialect, Kind::Lookup).is_err(),
                "{dialect:?} {sql}"
            );
        }
    }
}

#[test]
fn only_the_parameters_of_its_kind() {
    assert!(problem("SELECT $1, $user", Postgres).contains("$1"));
    assert!(problem("SELECT $usr", Postgres).contains("$usr"));
    assert!(problem("SELECT $host, $user", Postgres).contains("$host"));
    assert!(problem("SELECT $users, $user", Postgres).contains("$users"));
    for other in ["?", "?1", ":user", "@user"] {
        let sql = format!("SELECT {other}, $user");
        assert!(Query::read(&sql, Sqlite, Kind::Lookup).is_err(), "{sql}");
    }
    assert!(Query::read("SELECT $host", Postgres, Kind::Domain).is_ok());
    assert!(Query::read("SELECT $user", Postgres, Kind::Domain).is_err());
    assert!(Query::read("SELECT 1 AS tenant", Postgres, Kind::Known).is_ok());
}

#[test]
fn e1_a_query_that_ignores_the_user_is_refused() {
    assert!(problem("SELECT 1 AS id, 2 AS account, true AS active", Postgres).contains("same row"));
    assert!(problem("SELECT '$user'", Postgres).contains("same row"));
    assert!(Query::read("SELECT 1 AS tenant", Postgres, Kind::Domain).is_err());
}

#[test]
fn mysql_binds_each_place_by_itself_and_compares_tenants_by_their_bytes() {
    let sql = "SELECT `a$user`, '$user' WHERE t = $tenant AND u = $user OR u2=$user -- $user\n";
    let query = Query::read(sql, MySql, Kind::Lookup).unwrap();
    assert_eq!(
        &*query.text,
        "SELECT `a$user`, '$user' WHERE t = (CONVERT(? USING utf8mb4) COLLATE utf8mb4_bin) AND u = ? OR u2=? -- $user"
    );
    assert_eq!(
        query.parameters,
        [Parameter::Tenant, Parameter::User, Parameter::User]
    );
    for sql in [
        "SELECT 'a\\' FROM u WHERE id = $user",
        "SELECT \"a\\\" FROM u WHERE id = $user",
        "SELECT 1 --5 FROM u WHERE id = $user",
        "SELECT 1 /*! , 2 */ FROM u WHERE id = $user",
        "SELECT 1 /*M!100100 , 2 */ FROM u WHERE id = $user",
        "SELECT 1 # x\n FROM u WHERE id = $user",
        "SELECT @x FROM u WHERE id = $user",
        "SELECT ? FROM u WHERE id = $user",
        "SELECT 1 FROM u WHERE id = $user; DROP TABLE u",
    ] {
        problem(sql, MySql);
    }
}
