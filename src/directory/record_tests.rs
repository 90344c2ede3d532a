//! Tests of the one function from a row to a record.

use serde_json::json;

use super::*;

fn read(value: Value) -> Result<Record, String> {
    let Value::Object(row) = value else {
        panic!("a row is an object")
    };
    Record::read(row)
}

#[test]
fn a_missing_column_is_an_error_that_names_it() {
    for missing in REQUIRED {
        let mut row = json!({"id": 5, "account": null, "active": true});
        row.as_object_mut().unwrap().remove(missing);
        let error = read(row).unwrap_err();
        assert!(error.contains(missing), "{error}");
    }
}

#[test]
fn the_smallest_row() {
    let record = read(json!({"id": 5, "account": null, "active": true})).unwrap();
    assert_eq!(record.user.as_str(), "5");
    assert_eq!(record.account, None);
    assert!(record.active && record.account_active);
    assert!(record.roles.is_empty() && record.attributes().is_empty());
}

#[test]
fn null_is_not_active() {
    let record =
        read(json!({"id": 5, "account": 1, "active": null, "account_active": null})).unwrap();
    assert!(!record.active && !record.account_active);
}

#[test]
fn only_a_truth_value_is_true() {
    for value in [
        json!("true"),
        json!("1"),
        json!(2),
        json!(1.5),
        json!([]),
        json!({}),
    ] {
        assert!(
            read(json!({"id": 5, "account": 1, "active": value})).is_err(),
            "{value}"
        );
    }
    assert!(
        read(json!({"id": 5, "account": 1, "active": 1}))
            .unwrap()
            .active
    );
    assert!(
        !read(json!({"id": 5, "account": 1, "active": 0}))
            .unwrap()
            .active
    );
}

#[test]
fn ids_are_strings_or_integers() {
    for id in [json!(null), json!(5.0), json!(true), json!(""), json!([5])] {
        assert!(
            read(json!({"id": id, "account": 1, "active": true})).is_err(),
            "{id}"
        );
    }
    assert!(read(json!({"id": 5, "account": 1.5, "active": true})).is_err());
}

#[test]
fn roles_are_one_or_many() {
    let roles = |value: Value| -> Vec<String> {
        read(json!({"id": 5, "account": 1, "active": true, "roles": value}))
            .unwrap()
            .roles
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    assert_eq!(roles(json!("admin")), ["admin"]);
    assert_eq!(roles(json!("admin,staff")), ["admin,staff"]);
    assert_eq!(roles(json!(["b", "a", "b", null])), ["a", "b"]);
    assert_eq!(roles(json!("[\"b\",\"a\"]")), ["a", "b"]);
    assert_eq!(roles(json!("[odd")), ["[odd"]);
    assert!(roles(json!(null)).is_empty());
    assert!(roles(json!("")).is_empty());
    assert!(read(json!({"id": 5, "account": 1, "active": true, "roles": true})).is_err());
    assert!(read(json!({"id": 5, "account": 1, "active": true, "roles": [["a"]]})).is_err());
    let many: Vec<u32> = (0..5000).collect();
    assert!(read(json!({"id": 5, "account": 1, "active": true, "roles": many})).is_err());
}

#[test]
fn memberships_are_ids() {
    let record =
        read(json!({"id": 5, "account": 1, "active": true, "memberships": "[12, \"14\"]"}))
            .unwrap();
    let member = |id: &str| record.names_account(&AccountId::parse(id).unwrap());
    assert!(member("12") && member("14") && member("1") && !member("2"));
    assert!(read(json!({"id": 5, "account": 1, "active": true, "memberships": [1.5]})).is_err());
}

#[test]
fn times_in_every_form_that_sources_write() {
    let at = |value: Value| {
        read(json!({"id": 5, "account": 1, "active": true, "tokens_valid_after": value}))
            .map(|record| record.tokens_valid_after.map(UnixTime::as_secs))
    };
    for text in [
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00+00:00",
        "2026-01-01T01:00:00+01:00",
        "2026-01-01 00:00:00+00",
        "2026-01-01 00:00:00",
        "2026-01-01T00:00:00",
        "2026-01-01 00:00:00.000000",
        "1767225600",
    ] {
        assert_eq!(at(json!(text)), Ok(Some(1_767_225_600)), "{text}");
    }
    assert_eq!(at(json!(1_767_225_600)), Ok(Some(1_767_225_600)));
    // A year that says "no token any more".
    assert_eq!(
        at(json!("2999-01-01 00:00:00+00")),
        Ok(Some(32_472_144_000))
    );
    assert_eq!(at(json!("9999-12-30 00:00:00")), Ok(Some(253_402_128_000)));
    assert_eq!(at(json!(null)), Ok(None));
    assert_eq!(at(json!("-infinity")), Ok(None));
    assert_eq!(at(json!("infinity")), Ok(Some(u64::MAX)));
    assert_eq!(at(json!("1950-01-01T00:00:00Z")), Ok(Some(0)));
    assert_eq!(at(json!(-5)), Ok(Some(0)));
    for value in [json!("soon"), json!(""), json!(true), json!([])] {
        assert!(at(value.clone()).is_err(), "{value}");
    }
}

#[test]
fn every_other_column_is_an_attribute_and_the_password_is_not() {
    let record = read(json!({
        "id": 5, "account": 1, "active": true, "session_auth": "pbkdf2$x",
        "email": "a@example.com", "plan": null, "seats": 3, "beta": false, "tags": ["x", 1],
    }))
    .unwrap();
    let attributes: Vec<(&str, &str)> = record
        .attributes()
        .iter()
        .map(|(name, value)| (&**name, value.as_str()))
        .collect();
    assert_eq!(
        attributes,
        [
            ("beta", "false"),
            ("email", "a@example.com"),
            ("seats", "3"),
            ("tags", "[\"x\",1]")
        ]
    );
    assert_eq!(record.session_auth.as_ref().unwrap().expose(), "pbkdf2$x");
    assert!(!format!("{record:?}").contains("pbkdf2"));
}

#[test]
fn another_spelling_is_another_user() {
    let found = |id: &str, subject: &str| {
        !read(json!({"id": id, "account": 1, "active": true}))
            .unwrap()
            .respells(&UserId::parse(subject).unwrap())
    };
    assert!(found("5", "5"));
    assert!(found("5", "a@example.com"));
    assert!(found("5", "4915112345678"));
    for subject in ["05", "+5", "5.0", "5e0", "0x5", "0b101", "00_5"] {
        assert!(!found("5", subject), "{subject}");
    }
    assert!(!found("-5", "-05"));
    assert!(found("5", "-5"));
    let uuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    assert!(!found(uuid, &uuid.to_uppercase()));
    assert!(!found(uuid, "{a0eebc999c0b4ef8bb6d6bb9bd380a11}"));
    assert!(!found("bob", "Bob"));
}
