//! What a request may carry, and what is refused.

use super::*;
use crate::config::{ForwardCredential, KeyPath};

const TOKEN: &str = "aaa.bbb.ccc";

fn finder(places: Vec<CredentialPlace>) -> Finder {
    let credentials: Vec<Credential> = places
        .into_iter()
        .map(|place| Credential {
            at: KeyPath::root(),
            name: "c".into(),
            place,
            forward: ForwardCredential::Keep,
            django_session: None,
        })
        .collect();
    Finder::build(&credentials)
}

fn all() -> Finder {
    finder(vec![
        CredentialPlace::Bearer,
        CredentialPlace::Cookie("t".into()),
        CredentialPlace::Query("token".into()),
        CredentialPlace::WebSocketProtocol("bearer.".into()),
    ])
}

#[derive(Default)]
struct Sent<'a> {
    authorization: &'a [&'a str],
    cookie: Option<&'a str>,
    query: Option<&'a str>,
    websocket: Option<&'a [&'a str]>,
}

fn find(finder: &Finder, sent: &Sent<'_>, accepted: &[usize]) -> Result<Vec<String>, Reason> {
    let mut headers = HeaderMap::new();
    for line in sent.authorization {
        headers.append(AUTHORIZATION, line.parse().unwrap());
    }
    let cookie = |name: &str| match (name, sent.cookie) {
        ("t", Some("twice")) => Err(RepeatedCookie),
        ("t", value) => Ok(value.map(Cow::Borrowed)),
        _ => Ok(None),
    };
    let carriers = Carriers {
        headers: &headers,
        cookie: &cookie,
        query: sent.query,
        websocket: sent.websocket,
    };
    finder
        .find(&carriers, accepted)
        .map(|presented| {
            presented
                .tokens()
                .iter()
                .map(|token| format!("{}:{}", token.credential, token.token.expose()))
                .collect()
        })
        .map_err(|error| error.reason())
}

fn authorization(line: &str) -> Result<Vec<String>, Reason> {
    let sent = Sent {
        authorization: &[line],
        ..Sent::default()
    };
    find(&all(), &sent, &[0, 1, 2, 3])
}

#[test]
fn a34_the_scheme_is_read_without_case_and_with_one_space() {
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let line = format!("{scheme} {TOKEN}");
        assert_eq!(authorization(&line), Ok(vec![format!("0:{TOKEN}")]));
    }
    for line in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer  aaa.bbb.ccc",
        "Bearer\taaa.bbb.ccc",
        "Bearer aaa.bbb.ccc,Bearer x",
        "Bearer aaa.bbb.ccc, Basic eA",
        "Bearer aaa bbb",
        "Bearer ====",
        "Bearer a=b",
        "Bearer aaa.bbb.ccc\t",
        "Basic dTpw",
        "Token aaa.bbb.ccc",
        "aaa.bbb.ccc",
    ] {
        assert_eq!(
            authorization(line),
            Err(Reason::CredentialMalformed),
            "{line:?}"
        );
    }
}

#[test]
fn a34_two_authorization_lines_are_ambiguous() {
    for lines in [
        ["Bearer a.b.c", "Bearer a.b.c"],
        ["Basic eA", "Bearer a.b.c"],
    ] {
        let sent = Sent {
            authorization: &lines,
            ..Sent::default()
        };
        assert_eq!(find(&all(), &sent, &[0]), Err(Reason::AmbiguousRequest));
    }
}

#[test]
fn a_place_that_the_route_does_not_accept_is_not_looked_at() {
    let sent = Sent {
        authorization: &["Bearer not a token"],
        cookie: Some(TOKEN),
        ..Sent::default()
    };
    assert_eq!(find(&all(), &sent, &[1]), Ok(vec![format!("1:{TOKEN}")]));
    let basic = Sent {
        authorization: &["Basic eA"],
        cookie: Some(TOKEN),
        ..Sent::default()
    };
    assert_eq!(find(&all(), &basic, &[1]), Err(Reason::CredentialMalformed));
    let cookie_only = finder(vec![CredentialPlace::Cookie("t".into())]);
    assert_eq!(
        find(&cookie_only, &sent, &[0]),
        Err(Reason::CredentialMalformed)
    );
}

#[test]
fn cookies_are_one_value_or_none() {
    let with = |cookie| Sent {
        cookie: Some(cookie),
        ..Sent::default()
    };
    assert_eq!(find(&all(), &with(""), &[0, 1]), Ok(vec![]));
    assert_eq!(
        find(&all(), &with("twice"), &[0, 1]),
        Err(Reason::AmbiguousRequest)
    );
    assert_eq!(
        find(&all(), &with("\"a.b.c\""), &[0, 1]),
        Err(Reason::CredentialMalformed)
    );
}

#[test]
fn the_query_counts_on_websocket_handshakes_only() {
    let with = |query, websocket| Sent {
        query: Some(query),
        websocket,
        ..Sent::default()
    };
    let handshake: Option<&[&str]> = Some(&[]);
    let accepted = &[2];
    let found = |query| find(&all(), &with(query, handshake), accepted);
    assert_eq!(
        find(&all(), &with("token=a.b.c", None), accepted),
        Ok(vec![])
    );
    assert_eq!(found("x=1&token=a.b.c"), Ok(vec!["2:a.b.c".into()]));
    assert_eq!(found("token=a%2Eb.c"), Ok(vec!["2:a.b.c".into()]));
    assert_eq!(found("x=1"), Ok(vec![]));
    for query in ["token=a.b.c&token=a.b.c", "token=&%74oken=a.b.c"] {
        assert_eq!(found(query), Err(Reason::AmbiguousRequest), "{query}");
    }
    for query in ["token", "token=", "token=a%00b", "token=a+b", "token=%ff"] {
        assert_eq!(found(query), Err(Reason::CredentialMalformed), "{query}");
    }
}

#[test]
fn one_subprotocol_may_carry_a_token() {
    let with = |offered| Sent {
        websocket: Some(offered),
        ..Sent::default()
    };
    assert_eq!(
        find(&all(), &with(&["chat", "bearer.a.b.c"]), &[3]),
        Ok(vec!["3:a.b.c".into()])
    );
    assert_eq!(find(&all(), &with(&["chat"]), &[3]), Ok(vec![]));
    assert_eq!(
        find(&all(), &with(&["bearer.a", "bearer.b"]), &[3]),
        Err(Reason::AmbiguousRequest)
    );
    assert_eq!(
        find(&all(), &with(&["bearer."]), &[3]),
        Err(Reason::CredentialMalformed)
    );
}

#[test]
fn every_place_is_read_and_a_bad_one_never_falls_back() {
    let sent = Sent {
        authorization: &["Bearer a.b.c"],
        cookie: Some("d.e.f"),
        ..Sent::default()
    };
    assert_eq!(
        find(&all(), &sent, &[0, 1]),
        Ok(vec!["0:a.b.c".into(), "1:d.e.f".into()])
    );
    let bad = Sent {
        authorization: &["Bearer ?"],
        cookie: Some("d.e.f"),
        ..Sent::default()
    };
    assert_eq!(
        find(&all(), &bad, &[0, 1]),
        Err(Reason::CredentialMalformed)
    );
}

#[test]
fn a21_a_token_has_a_bearable_length() {
    let line = format!("Bearer {}", "a".repeat(MAX_TOKEN_BYTES));
    assert!(authorization(&line).is_ok());
    assert_eq!(
        authorization(&format!("{line}a")),
        Err(Reason::CredentialMalformed)
    );
}
