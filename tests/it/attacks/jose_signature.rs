//! Signatures and their encodings: one canonical form, and nothing that hangs on it.

use super::{get, issuer, never_written, refuses_token, token};
use crate::harness::{Key, Request, Scene, Token};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The order of P-256's group (FIPS 186-4, D.1.2.3), big-endian.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

fn es256(key: &Key) -> Scene {
    let lines = "algorithms: [ES256]\npublic_key_file: key.pem";
    Scene::with(|builder| {
        builder
            .file("key.pem", &key.public_pem())
            .set("issuers", &issuer(lines))
    })
}

/// The token with another signature, and its own.
fn split(token: &str) -> (&str, Vec<u8>) {
    let (message, signature) = token.rsplit_once('.').expect("a signature");
    (
        message,
        URL_SAFE_NO_PAD.decode(signature).expect("base64url"),
    )
}

fn with_signature(message: &str, signature: &[u8]) -> String {
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// `ORDER - number`, both below `ORDER`.
fn negated(number: &[u8]) -> Vec<u8> {
    let mut borrow = 0_i16;
    let mut result = vec![0; 32];
    for at in (0..32).rev() {
        let mut digit = i16::from(ORDER[at]) - i16::from(number[at]) - borrow;
        borrow = i16::from(digit < 0);
        digit += 256 * borrow;
        result[at] = u8::try_from(digit).expect("a byte");
    }
    result
}

/// The signature in ASN.1 DER, as X.509 has it.
fn der(signature: &[u8]) -> Vec<u8> {
    let integer = |number: &[u8]| {
        let mut number = number.to_vec();
        if number[0] & 0x80 != 0 {
            number.insert(0, 0);
        }
        let length = u8::try_from(number.len()).expect("short");
        [vec![2, length], number].concat()
    };
    let both = [integer(&signature[..32]), integer(&signature[32..])].concat();
    let length = u8::try_from(both.len()).expect("short");
    [vec![0x30, length], both].concat()
}

#[test]
fn a31_degenerate_ecdsa_signatures_verify_nothing() {
    let key = Key::generate("ES256");
    let scene = es256(&key);
    let good = token().signed_by(&key);
    let (message, signature) = split(&good);
    let (r, s) = signature.split_at(32);
    let zero = [0; 32];
    let mut above = ORDER;
    above[31] += 1;
    for odd in [
        [zero, zero].concat(),
        [&zero, s].concat(),
        [r, &zero].concat(),
        [&ORDER, s].concat(),
        [r, &ORDER].concat(),
        [ORDER, ORDER].concat(),
        [&above, s].concat(),
        [r, &above].concat(),
        [[0xff; 32], [0xff; 32]].concat(),
        [s, r].concat(),
        der(&signature),
        signature[..63].to_vec(),
        [&signature[..], &[0]].concat(),
        [&[0], &signature[..]].concat(),
    ] {
        refuses_token(&scene, &with_signature(message, &odd), "signature_invalid");
    }
    let empty = with_signature(message, &[]);
    scene.refuses_any(
        &get(&empty),
        401,
        &["signature_invalid", "credential_malformed"],
    );
    scene.upstream.assert_untouched();
    scene.passes_as(&get(&good), "match");
}

#[test]
fn a32_a_second_signature_of_one_token_escapes_no_revocation() {
    let users = |after: &str| {
        format!("users:\n  - {{ user: \"5\", account: \"12\", active: true{after} }}\n")
    };
    let key = Key::generate("ES256");
    let lines = "algorithms: [ES256]\npublic_key_file: key.pem";
    let scene = Scene::with(|builder| {
        builder
            .file("key.pem", &key.public_pem())
            .set("issuers", &issuer(lines))
            .users(&users(""))
    });
    let one = token().issued_ago(60).claim("jti", "once").signed_by(&key);
    let (message, signature) = split(&one);
    let other = with_signature(
        message,
        &[&signature[..32], &negated(&signature[32..])].concat(),
    );
    assert_ne!(one, other);
    for token in [&one, &other] {
        scene.passes_as(&get(token), "match");
    }
    // Known by its claims, not by its bytes: what ends one ends the other.
    let now = jiff::Timestamp::now();
    scene
        .gateway
        .move_users(&users(&format!(", tokens_valid_after: {now}")));
    for token in [&one, &other] {
        refuses_token(&scene, token, "token_revoked");
    }
    assert_eq!(scene.upstream.count(), 2);
}

#[test]
fn a33_base64url_has_one_form() {
    let scene = Scene::new();
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    // A token in which the letters that differ between the alphabets do occur.
    let good = (0..1000)
        .map(|number| token().claim("n", number).claim("t", "??>>~~").signed())
        .find(|token| token.contains('-') && token.contains('_'))
        .expect("one of them");
    let parts: Vec<&str> = good.split('.').collect();
    let (header, claims, signature) = (parts[0], parts[1], parts[2]);
    // 32 bytes are 43 letters, the last of which has two bits to spare.
    let last = signature.bytes().last().expect("a letter");
    let at = alphabet.iter().position(|letter| *letter == last);
    let twin = alphabet[at.expect("base64url") ^ 1] as char;
    let stem = &signature[..signature.len() - 1];
    for odd in [
        format!("{header}.{claims}.{signature}="),
        format!("{header}=.{claims}.{signature}"),
        format!("{header}.{claims}=.{signature}"),
        format!("{header}.{claims}==.{signature}"),
        format!("{header}.{claims}.{stem}{twin}"),
        good.replace('-', "+"),
        good.replace('_', "/"),
        format!("{header}.{claims} .{signature}"),
        format!("{header}. {claims}.{signature}"),
        format!("{header}.{claims}.{stem}\t{last}", last = last as char),
        format!("{header}.{claims}.{signature}%0a"),
        format!("{header}.{claims}.ä{signature}"),
    ] {
        scene.refuses(&get(&odd), 401, "credential_malformed");
    }
    // 44 letters are 33 bytes: well formed, and no signature of this key.
    let longer = format!("{header}.{claims}.{signature}A");
    refuses_token(&scene, &longer, "signature_invalid");
    // What no header value can hold ends before anybody reads it as a token.
    for odd in [
        format!("{header}.{claims}\0.{signature}"),
        format!("{header}.{claims}\n.{signature}"),
        format!("{header}.{claims}\r\n .{signature}"),
    ] {
        let mut client = scene.gateway.client();
        client.send(&get(&odd).bytes());
        assert_eq!(client.head().status(), 400);
    }
    never_written(&scene, &good);
    scene.upstream.assert_untouched();
    scene.passes_as(&get(&good), "match");
}

#[test]
fn a34_an_authorization_has_one_reading() {
    let scene = Scene::new();
    let good = token().signed();
    let request = |value: &str| Request::get("/records").header("Authorization", value);
    for scheme in ["bearer", "BEARER", "Bearer"] {
        scene.passes_as(&request(&format!("{scheme} {good}")), "match");
    }
    let before = scene.upstream.bytes();
    for value in [
        format!("Bearer  {good}"),
        format!("Bearer\t{good}"),
        format!("Bearer {good},Bearer {good}"),
        format!("Bearer {good}, Basic eDp5"),
        format!("Basic eDp5, Bearer {good}"),
        format!("Bearer={good}"),
        format!("Bearer: {good}"),
        format!("Token {good}"),
        format!("Bearer \"{good}\""),
        good.clone(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        String::new(),
        "Basic eDp5".to_owned(),
        "Negotiate YII=".to_owned(),
        "Bearer junk".to_owned(),
    ] {
        scene.refuses(&request(&value), 401, "credential_malformed");
    }
    for other in [format!("Bearer {good}"), "Basic eDp5".to_owned()] {
        for (first, second) in [
            (format!("Bearer {good}"), other.clone()),
            (other.clone(), format!("Bearer {good}")),
        ] {
            let request = request(&first).header("authorization", &second);
            scene.refuses(&request, 400, "ambiguous_request");
        }
    }
    assert_eq!(scene.upstream.bytes(), before);
    never_written(&scene, &good);
}

#[test]
fn a34_tokens_of_two_users_in_two_places_are_refused() {
    let scene = Scene::with(|builder| {
        builder.set(
            "credentials",
            "[ bearer: { forward: keep }, cookie: { name: access_token, forward: keep }, query: { parameter: token, scope: websocket, forward: remove } ]",
        )
    });
    let five = token().signed();
    let seven = Token::user("7").account("14").signed();
    let both = |bearer: &str, cookie: &str| {
        get(bearer).header("Cookie", &format!("access_token={cookie}"))
    };
    scene.refuses(&both(&five, &seven), 401, "credential_conflict");
    scene.refuses(&both(&seven, &five), 401, "credential_conflict");
    // A bad one beside a good one is not overlooked.
    scene.refuses(&both(&five, "junk"), 401, "credential_malformed");
    scene.refuses(&both("junk", &five), 401, "credential_malformed");
    for (bearer, query) in [(&five, &seven), (&seven, &five)] {
        let target = format!("/ws?token={query}");
        let handshake = crate::harness::upgrade_headers(Request::get(&target).bearer(bearer));
        scene.refuses(&handshake, 401, "credential_conflict");
        let twice = format!("/ws?token={query}&token={bearer}");
        let handshake = crate::harness::upgrade_headers(Request::get(&twice));
        scene.refuses(&handshake, 400, "ambiguous_request");
    }
    for token in [&five, &seven] {
        never_written(&scene, token);
    }
    scene.upstream.assert_untouched();
    scene.passes_as(&both(&five, &five), "match");
}
