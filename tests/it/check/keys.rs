//! Issuers and their keys: nothing weak is taken, nothing that does not fit.

use super::{check, complete, refused};
use crate::harness::{Builder, Key};

fn issuer(more: &str) -> Builder {
    complete().set("issuers", &format!("- name: app\n{more}"))
}

const RSA_1024: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDJsdTObZbTMYkb/qji0KcVNe6Y
gxf0fW1VGAWbxqVuKmhGhOx89h/PMJ3ZEw3F7e1zDsrMeJxSYypOgJdwVQyvh8qT
pz3Gwpjzq8yDRj4OvVEF1IFIzp2HlIKSPxX040yf2gS+3FIIPA9qhRmoqT9zCFVm
eGU6scnQzN2ohp7g8QIDAQAB
-----END PUBLIC KEY-----
";

#[test]
fn a9_a10_weak_or_unset_secrets_are_refused() {
    refused(
        &issuer("  algorithms: [HS256]\n  secret: \"${UNSET}\""),
        &["issuers[0].secret", "UNSET"],
    );
    let empty = issuer("  algorithms: [HS256]\n  secret: \"${EMPTY}\"").env("EMPTY", "");
    refused(&empty, &["issuers[0].secret"]);
    refused(
        &issuer("  algorithms: [HS256]\n  secret: \"\""),
        &["issuers[0].secret"],
    );
    let short = issuer("  algorithms: [HS256]\n  secret: \"${SHORT}\"").env("SHORT", "0123456789");
    refused(&short, &["issuers[0].secret"]);
    let output = check(&short);
    assert!(!output.stderr.contains("0123456789"), "the secret is shown");
    let for_512 =
        issuer("  algorithms: [HS512]\n  secret: \"${MIDDLE}\"").env("MIDDLE", &"x".repeat(40));
    refused(&for_512, &["issuers[0].secret"]);
}

#[test]
fn keys_that_are_weak_or_do_not_fit_are_refused() {
    let file = |algorithm: &str, pem: &str| {
        issuer(&format!(
            "  algorithms: [{algorithm}]\n  public_key_file: key.pem"
        ))
        .file("key.pem", pem)
    };
    refused(&file("RS256", RSA_1024), &["issuers[0].public_key_file"]);
    refused(
        &file("RS256", &Key::generate("ES256").public_pem()),
        &["issuers[0]"],
    );
    refused(
        &file("ES256", &Key::generate("RS256").public_pem()),
        &["issuers[0]"],
    );
    refused(
        &file("HS256", &Key::generate("RS256").public_pem()),
        &["issuers[0]"],
    );
    refused(
        &file("RS256", "no key at all"),
        &["issuers[0].public_key_file"],
    );
    refused(
        &issuer("  algorithms: [RS256]\n  public_key_file: missing.pem"),
        &["issuers[0].public_key_file", "missing.pem"],
    );
    refused(
        &issuer("  algorithms: [RS256]\n  secret: \"${JWT_SECRET}\""),
        &["issuers[0]"],
    );
    refused(
        &issuer("  algorithms: [none]\n  secret: \"${JWT_SECRET}\""),
        &["issuers[0].algorithms"],
    );
    refused(
        &issuer("  algorithms: []\n  secret: \"${JWT_SECRET}\""),
        &["issuers[0].algorithms"],
    );
    refused(&issuer("  algorithms: [HS256]"), &["issuers[0]"]);
}

#[test]
fn an_issuer_with_a_key_set_names_its_audiences() {
    let url = "  algorithms: [RS256]\n  jwks_url: https://idp.test/keys";
    refused(&issuer(url), &["issuers[0].audiences"]);
    let any = check(&issuer(&format!("{url}\n  audiences: any")));
    assert_eq!(any.code, Some(0), "{any:?}");
}

#[test]
fn two_issuers_that_match_the_same_tokens_are_refused() {
    let two = "[ { name: a, algorithms: [HS256], secret: \"${JWT_SECRET}\" }, { name: b, algorithms: [HS256], secret: \"${JWT_SECRET}\" } ]";
    refused(&complete().set("issuers", two), &["issuers[1]"]);
}
