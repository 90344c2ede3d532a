//! Tests of the file directory: what is refused, and that a bad file changes nothing.

use super::*;
use std::io::Write;

fn parsed(text: &str) -> Result<Snapshot, String> {
    parse(text.as_bytes())
}

fn key(tenant: &str, user: &str) -> Key {
    Key {
        tenant: TenantId::parse(tenant).unwrap(),
        lookup: "default".into(),
        subject: UserId::parse(user).unwrap(),
    }
}

fn user(tenant: &str, user: &str) -> Invalidation {
    Invalidation::User {
        tenant: TenantId::parse(tenant).unwrap(),
        user: UserId::parse(user).unwrap(),
    }
}

/// Replaces the file as it should be replaced.
fn replace(path: &Path, text: &str) {
    let folder = path.parent().unwrap();
    let mut file = tempfile::NamedTempFile::new_in(folder).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.persist(path).unwrap();
}

fn account(source: &FileSource, tenant: &str, user: &str) -> Option<String> {
    match source.find(&key(tenant, user)) {
        Answer::Row(record) => record.account.map(|account| account.to_string()),
        Answer::Absent(_) => None,
    }
}

fn source(folder: &Path, text: &str) -> (PathBuf, FileSource) {
    let path = folder.join("users.yaml");
    replace(&path, text);
    let source = FileSource::build(&KeyPath::root(), &path).unwrap();
    (path, source)
}

#[test]
fn every_key_is_read() {
    let snapshot = parsed(
        "users:\n\
         - { tenant: a, user: \"5\", account: \"12\", active: true, account_active: true, roles: [admin], \
             memberships: [\"12\", 14], tokens_valid_after: 2026-01-01T00:00:00Z, session_auth: x, \
             attributes: { email: a@example.com, seats: 3, none: null } }\n\
         - { user: 6 }\n",
    )
    .unwrap();
    let five = &snapshot[&TenantId::parse("a").unwrap()][&UserId::parse("5").unwrap()];
    assert_eq!(five.account.as_ref().unwrap().as_str(), "12");
    assert_eq!(five.memberships.len(), 2);
    assert_eq!(*five.roles, [Arc::from("admin")]);
    assert_eq!(five.tokens_valid_after.unwrap().as_secs(), 1_767_225_600);
    assert_eq!(five.attributes().len(), 2);
    let six = &snapshot[&TenantId::parse("default").unwrap()][&UserId::parse("6").unwrap()];
    assert!(six.active && six.account_active && six.account.is_none());
}

#[test]
fn e24_what_cannot_be_one_directory_is_refused() {
    for text in [
        "",
        "[]",
        "users",
        "users:",
        "users: {}",
        "user: []",
        "users: []\nextra: 1",
        "users: [ { user: 5, role: admin } ]",
        "users: [ { account: 5 } ]",
        "users: [ { user: null } ]",
        "users: [ { user: 5.0 } ]",
        "users: [ { user: 5, tenant: '' } ]",
        "users: [ { user: 5, active: 'yes' } ]",
        "users: [ { user: 5 }, { user: '5' } ]",
        "users: [ { user: 5, user: 6 } ]",
        "users: [ { user: 5, attributes: [x] } ]",
        "users: [ { user: 5, attributes: { active: true } } ]",
        "users: [ { user: 5, attributes: { id: 6 } } ]",
        "users: [ 5 ]",
        "users: [ { user: 5 }",
        "users: [ { user: !x 5 } ]",
        "users: []\n---\nusers: []",
    ] {
        assert!(parsed(text).is_err(), "{text}");
    }
    assert!(parsed("users: []").is_ok());
    assert!(parsed("\u{feff}users: [ { user: 5 } ]").is_ok());
    assert!(parsed("users: [ { user: 5 }, { user: 5, tenant: b } ]").is_ok());
    assert!(parsed("users: [ { user: 5 }, { user: '05' } ]").is_ok());
}

#[test]
fn a_directory_that_never_was_good_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users.yaml");
    assert!(FileSource::build(&KeyPath::root(), &path).is_err());
    std::fs::write(&path, "users: {}").unwrap();
    let faults = FileSource::build(&KeyPath::root().key("file"), &path).unwrap_err();
    assert_eq!(faults[0].at.as_str(), "file.path");
    assert!(FileSource::build(&KeyPath::root(), folder.path()).is_err());
}

#[tokio::test]
async fn what_changed_is_told_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (path, source) = source(
        folder.path(),
        "users: [ { user: 1, account: 1 }, { user: 2, account: 1 }, { user: 3, account: 1 } ]",
    );
    assert_eq!(source.reread().await, []);
    replace(
        &path,
        "users: [ { user: 1, account: 2 }, { user: 2, account: 1 }, { user: 4, account: 1 } ]",
    );
    let mut changed = source.reread_if_changed().await;
    changed.sort_by_key(|what| format!("{what:?}"));
    let expected = ["1", "3", "4"].map(|id| user("default", id));
    assert_eq!(changed, expected);
    assert_eq!(account(&source, "default", "1").unwrap(), "2");
    assert_eq!(account(&source, "default", "3"), None);
    let many: Vec<String> = (0..2 * MANY_CHANGES)
        .map(|n| format!("{{ user: {n} }}"))
        .collect();
    replace(&path, &format!("users: [ {} ]", many.join(", ")));
    assert_eq!(source.reread().await, [Invalidation::All]);
}

#[tokio::test]
async fn e24_the_last_good_file_serves_on() {
    let folder = tempfile::tempdir().unwrap();
    let (path, source) = source(folder.path(), "users: [ { user: 1, account: 1 } ]");
    for bad in [
        "",
        "users: [ { user: 1, acc",
        "users: [ { user: 1 }, { user: 1 } ]",
    ] {
        replace(&path, bad);
        assert_eq!(source.reread_if_changed().await, []);
        assert_eq!(account(&source, "default", "1").unwrap(), "1");
        assert!(source.problem().is_some());
    }
    std::fs::remove_file(&path).unwrap();
    assert_eq!(source.reread_if_changed().await, []);
    assert_eq!(source.reread().await, []);
    assert_eq!(account(&source, "default", "1").unwrap(), "1");
    assert!(source.problem().is_some());
    replace(&path, "users: [ { user: 1, account: 2 } ]");
    assert_eq!(source.reread_if_changed().await, [user("default", "1")]);
    assert_eq!(source.problem(), None);
    assert_eq!(account(&source, "default", "1").unwrap(), "2");
}

#[tokio::test]
async fn e24_a_swapped_symbolic_link_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("1.yaml"), folder.path().join("2.yaml"));
    std::fs::write(&one, "users: [ { user: 1, account: 1 } ]").unwrap();
    std::fs::write(&two, "users: [ { user: 1, account: 2 } ]").unwrap();
    let (path, next) = (folder.path().join("users.yaml"), folder.path().join("next"));
    std::os::unix::fs::symlink(&one, &path).unwrap();
    let source = FileSource::build(&KeyPath::root(), &path).unwrap();
    std::os::unix::fs::symlink(&two, &next).unwrap();
    std::fs::rename(&next, &path).unwrap();
    assert_eq!(source.reread_if_changed().await, [user("default", "1")]);
    assert_eq!(account(&source, "default", "1").unwrap(), "2");
}
