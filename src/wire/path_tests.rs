//! The path rules, case by case and by random inputs.

use proptest::prelude::*;

use super::*;

fn read(path: &str) -> Result<String, WireError> {
    CanonicalPath::parse(path).map(|path| path.as_str().to_owned())
}

#[test]
fn d1_unreserved_characters_are_decoded_once_and_nothing_else_changes() {
    for (sent, canonical) in [
        ("/", "/"),
        ("/admin", "/admin"),
        ("/%61dmin", "/admin"),
        ("/%41%2D%2e%5F%7e", "/A-._~"),
        ("/ADMIN/", "/ADMIN/"),
        ("/a%20b", "/a%20b"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/100%25", "/100%25"),
        ("/a:b@c!$&'()*+,=", "/a:b@c!$&'()*+,="),
        ("/a[b]{c}|^", "/a[b]{c}|^"),
        ("/a%3ab", "/a%3Ab"),
        ("/.well-known/x", "/.well-known/x"),
        ("/...", "/..."),
        ("/a..b/..c/d..", "/a..b/..c/d.."),
        ("/admin.json", "/admin.json"),
    ] {
        assert_eq!(read(sent).as_deref(), Ok(canonical), "{sent}");
    }
}

#[test]
fn d2_dot_segments_are_refused_in_every_reading() {
    for sent in [
        "/.",
        "/..",
        "/./admin",
        "/admin/.",
        "/public/../admin",
        "/public/%2e%2e/admin",
        "/public/%2E%2e/admin",
        "/public/.%2e/admin",
        "/public/..%2fadmin",
        "/public/%2e%2e%2fadmin",
        "/public/..%5cadmin",
        "/public/..;/admin",
        "/public/..;x=1/admin",
        "/public/.;/admin",
        "/public/..%3b/admin",
        "/public/%252e%252e/admin",
        "/public/..%252fadmin",
        "/public/%25252e%25252e/admin",
        "/public/..%3fx",
        "/public/..%23x",
        "/public/..%20/admin",
        "/a%2f..%2fb",
        "/a%5c..",
    ] {
        assert_eq!(read(sent), Err(DOTS), "{sent}");
    }
}

#[test]
fn d2_malformed_paths_are_refused() {
    for sent in [
        "",
        "*",
        "admin",
        "\\admin",
        "/a\\b",
        "/admin%",
        "/admin%2",
        "/admin%zz",
        "/%u0061",
        "/%%61",
        "/admin%00",
        "/admin%0a",
        "/admin%0D%0A",
        "/admin%7f",
        "/admin%2500",
        "/a%c2%85b",
        "/%c0%ae",
        "/%ff",
        "/%e9",
        "/%25c0%25ae",
        "/\u{e9}",
        "/a b",
        "/a\tb",
        "/a\u{0}",
        "/a\"b",
        "/a<b",
        "/a>b",
        "/a`b",
        "/a#b",
    ] {
        assert!(
            matches!(read(sent), Err(WireError::Malformed(_))),
            "{sent:?}"
        );
    }
}

#[test]
fn d2_what_is_encoded_too_deeply_is_refused() {
    assert_eq!(read("/%2525252541"), Err(DEEP));
    let deep = format!("/%{}41", "25".repeat(4000));
    assert_eq!(read(&deep), Err(DEEP));
}

#[test]
fn d2_forms_with_a_second_reading_are_recorded_with_it() {
    let none = PathAllowances::default();
    for (sent, forms, alternative) in [
        ("/a/b", none, None),
        ("/100%25", none, None),
        ("/a%20b", none, None),
        ("/a%3Ab", none, Some("/a:b")),
        ("/admin%3fx", none, Some("/admin")),
        ("/admin%23/x", none, Some("/admin")),
        (
            "/admin%2fx",
            PathAllowances {
                encoded_slash: true,
                ..none
            },
            Some("/admin/x"),
        ),
        (
            "/admin%5cx",
            PathAllowances {
                encoded_backslash: true,
                ..none
            },
            Some("/admin/x"),
        ),
        (
            "/admin;x=1/y",
            PathAllowances {
                semicolon: true,
                ..none
            },
            Some("/admin/y"),
        ),
        (
            "//admin",
            PathAllowances {
                double_slash: true,
                ..none
            },
            Some("/admin"),
        ),
        (
            "///admin//",
            PathAllowances {
                double_slash: true,
                ..none
            },
            Some("/admin/"),
        ),
        (
            "/%2561dmin",
            PathAllowances {
                double_encoding: true,
                ..none
            },
            Some("/admin"),
        ),
        (
            "/%25%36%31dmin",
            PathAllowances {
                double_encoding: true,
                ..none
            },
            Some("/admin"),
        ),
        (
            "/a%252fb;c//d%5ce",
            PathAllowances {
                double_encoding: true,
                semicolon: true,
                double_slash: true,
                encoded_backslash: true,
                ..none
            },
            Some("/a/b/d/e"),
        ),
    ] {
        let path = CanonicalPath::parse(sent).unwrap();
        assert_eq!(path.forms(), forms, "{sent}");
        assert_eq!(path.alternative(), alternative, "{sent}");
    }
}

#[test]
fn an_empty_path_before_a_query_is_the_root() {
    let target: PathAndQuery = "?x=1".parse().unwrap();
    assert_eq!(CanonicalPath::read(&target).unwrap().as_str(), "/");
}

#[test]
fn segments_are_what_stands_between_slashes() {
    let segments = |path| {
        let path = CanonicalPath::parse(path).unwrap();
        path.segments().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(segments("/"), [""]);
    assert_eq!(segments("/a/b"), ["a", "b"]);
    assert_eq!(segments("/a/b/"), ["a", "b", ""]);
}

/// Pieces from which nasty paths are made.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9._~-]{1,3}",
        "%[0-9a-fA-F]{2}",
        "%25[0-9a-fA-F]{2}",
        Just("/".to_owned()),
        Just(".".to_owned()),
        Just("..".to_owned()),
        Just(";".to_owned()),
        Just("%2e".to_owned()),
        Just("%2F".to_owned()),
        Just("%5c".to_owned()),
        Just("%3B".to_owned()),
        "\\PC{1,2}",
    ]
}

proptest! {
    #[test]
    fn the_canonical_path_is_a_fixed_point(pieces in prop::collection::vec(piece(), 0..12)) {
        let sent = format!("/{}", pieces.concat());
        if let Ok(once) = CanonicalPath::parse(&sent) {
            let twice = CanonicalPath::parse(once.as_str()).unwrap();
            prop_assert_eq!(once.as_str(), twice.as_str());
            prop_assert_eq!(once.forms(), twice.forms());
            prop_assert_eq!(once.alternative(), twice.alternative());
        }
    }

    #[test]
    fn no_reading_of_a_canonical_path_holds_what_is_refused(
        pieces in prop::collection::vec(piece(), 0..12)
    ) {
        let sent = format!("/{}", pieces.concat());
        if let Ok(path) = CanonicalPath::parse(&sent) {
            let text = path.as_str();
            prop_assert!(text.starts_with('/') && text.is_ascii());
            prop_assert!(!text.contains(['\\', '"', '<', '>', '`', '#', ' ']));
            prop_assert!(!text.bytes().any(|byte| byte.is_ascii_control()));
            prop_assert!(text.parse::<http::Uri>().is_ok());
            for reading in [text, path.alternative().unwrap_or(text)] {
                prop_assert!(!reading.split('/').any(|part| part == "." || part == ".."));
            }
            if let Some(alternative) = path.alternative() {
                // The second reading is stable itself, but for what may not stand raw.
                let again = CanonicalPath::parse(alternative).unwrap();
                prop_assert_eq!(again.as_str(), alternative);
                prop_assert_eq!(again.alternative(), None);
                prop_assert_eq!(again.forms(), PathAllowances::default());
            }
        }
    }

    #[test]
    fn any_target_is_read_without_panic(sent in "\\PC{0,40}") {
        let _ = CanonicalPath::parse(&sent);
    }
}
