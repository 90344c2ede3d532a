//! Sessions as Django writes them, made here: signed, hashed, and as rows of a database.

use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::harness::now;

pub(super) const SECRET_KEY: &str = "django-secret-of-the-tests-0123456789-abcdefghijklmnop";
pub(super) const OLD_KEY: &str = "django-secret-of-last-year-0123456789-abcdefghijklmnop";
pub(super) const STORED: &str = "django.contrib.sessions.SessionStore";
pub(super) const COOKIE: &str = "django.contrib.sessions.backends.signed_cookies";

fn hmac_sha256(salt: &str, secret: &str, message: &str) -> Vec<u8> {
    let key = digest::digest(&digest::SHA256, format!("{salt}{secret}").as_bytes());
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_ref());
    hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
}

/// `AbstractBaseUser.get_session_auth_hash`.
pub(super) fn auth_hash(password: &str, secret: &str) -> String {
    let salt = "django.contrib.auth.models.AbstractBaseUser.get_session_auth_hash";
    let bytes = hmac_sha256(salt, secret, password);
    let digits = |byte: &u8| [byte >> 4, byte & 15];
    let digit = |digit| char::from_digit(u32::from(digit), 16).expect("a digit");
    bytes.iter().flat_map(digits).map(digit).collect()
}

fn base62(mut number: u64) -> String {
    const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut text = Vec::new();
    while number > 0 {
        text.push(DIGITS[usize::try_from(number % 62).expect("a digit")]);
        number /= 62;
    }
    text.reverse();
    String::from_utf8(text).expect("ASCII")
}

/// `django.core.signing.dumps`, without compression, made so many seconds ago.
pub(super) fn dumps(value: &Value, salt: &str, secret: &str, age: i64) -> String {
    let data = URL_SAFE_NO_PAD.encode(value.to_string());
    let time = base62(u64::try_from(now() - age).expect("after 1970"));
    let message = format!("{data}:{time}");
    let tag = hmac_sha256(&format!("{salt}signer"), secret, &message);
    format!("{message}:{}", URL_SAFE_NO_PAD.encode(tag))
}

/// What a login leaves in a session.
pub(super) fn login(user: &str, password: &str) -> Value {
    login_with(user, password, SECRET_KEY)
}

pub(super) fn login_with(user: &str, password: &str, secret: &str) -> Value {
    json!({
        "_auth_user_id": user,
        "_auth_user_backend": "django.contrib.auth.backends.ModelBackend",
        "_auth_user_hash": auth_hash(password, secret),
    })
}

/// A dict of texts as Python's pickle writes it (protocol 5), and so Django's cache.
pub(super) fn pickled(session: &Value) -> Vec<u8> {
    let mut items = b"}\x94(".to_vec();
    for (key, value) in session.as_object().expect("a dict") {
        for text in [key, value.as_str().expect("a text")] {
            items.extend([0x8c, u8::try_from(text.len()).expect("a short text")]);
            items.extend(text.as_bytes());
            items.push(0x94);
        }
    }
    items.extend(b"u.");
    let length = u64::try_from(items.len()).expect("short");
    [&b"\x80\x05\x95"[..], &length.to_le_bytes(), &items].concat()
}

/// A row's text.
pub(super) fn stored(session: &Value) -> String {
    dumps(session, STORED, SECRET_KEY, 0)
}

/// The tables of the app: an account column, Django's password column, sessions.
pub(super) const TABLES: &str = "
CREATE TABLE users (id INTEGER PRIMARY KEY, account INTEGER, active BOOLEAN, password VARCHAR(128));
CREATE TABLE django_session (session_key VARCHAR(40) PRIMARY KEY, session_data TEXT NOT NULL, expire_date TIMESTAMPTZ NOT NULL);
INSERT INTO users VALUES (5, 12, true, 'password-of-5'), (7, 14, true, 'password-of-7'), (8, 14, false, 'password-of-8');
";

/// The statement that keeps a session for so many seconds.
pub(super) fn insert(key: &str, data: &str, seconds: i64) -> String {
    let ends = jiff::Timestamp::from_second(now() + seconds).expect("a time");
    let ends = ends.strftime("%Y-%m-%d %H:%M:%S.500000");
    format!("INSERT INTO django_session VALUES ('{key}', '{data}', '{ends}');\n")
}

/// Keys of the sessions in [`rows`].
pub(super) const FIVE: &str = "fivefivefivefivefivefivefivefive";
pub(super) const SEVEN: &str = "sevensevensevensevensevensevenss";
pub(super) const INACTIVE: &str = "inactiveinactiveinactiveinactive";
pub(super) const GONE: &str = "expiredexpiredexpiredexpiredexpi";
pub(super) const NOBODY: &str = "nobodynobodynobodynobodynobodyno";
pub(super) const OLD_NOBODY: &str = "oldnobodyoldnobodyoldnobodyoldno";
pub(super) const OTHER_HASH: &str = "otherhashotherhashotherhashother";
pub(super) const FORGED: &str = "forgedforgedforgedforgedforgedfo";
pub(super) const FALLBACK: &str = "fallbackfallbackfallbackfallback";
pub(super) const GHOST: &str = "ghostghostghostghostghostghostgh";

/// Sessions of every kind.
pub(super) fn rows() -> String {
    let five = login("5", "password-of-5");
    [
        insert(FIVE, &stored(&five), 3600),
        insert(SEVEN, &stored(&login("7", "password-of-7")), 3600),
        insert(INACTIVE, &stored(&login("8", "password-of-8")), 3600),
        insert(GONE, &stored(&five), -5),
        insert(NOBODY, &stored(&json!({ "cart": [1] })), 3600),
        insert(OLD_NOBODY, &stored(&json!({ "cart": [1] })), -5),
        insert(OTHER_HASH, &stored(&login("5", "an older password")), 3600),
        insert(FORGED, &dumps(&five, STORED, "another secret", 0), 3600),
        insert(
            FALLBACK,
            &dumps(
                &login_with("5", "password-of-5", OLD_KEY),
                STORED,
                OLD_KEY,
                0,
            ),
            3600,
        ),
        insert(GHOST, &stored(&login("9", "password-of-9")), 3600),
    ]
    .concat()
}
