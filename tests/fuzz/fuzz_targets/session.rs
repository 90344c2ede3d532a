//! Django sessions: what is opened was signed with the app's secret, and names the user whom a plain
//! reading of the JSON or of the pickle finds there.
//!
//! Input: a byte that chooses what the rest is: a whole signed text; a message that is signed here;
//! the JSON of a session that is signed here; a pickle.
#![no_main]

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign::config::{DjangoSession, SessionStore};
use countersign::session::{Reader, Session};
use countersign::telemetry::UnixTime;
use countersign_fuzz::{DJANGO_SECRET, django_session};
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_pickle::{DeOptions, HashableValue, Value as Pickled};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
const STORED: &str = "django.contrib.sessions.SessionStore";
const USER: &str = "_auth_user_id";

static READER: LazyLock<Reader> = LazyLock::new(|| Reader::build(&django_session()));
static COOKIES: LazyLock<Reader> = LazyLock::new(|| {
    let store = SessionStore::SignedCookies;
    Reader::build(&DjangoSession { store, ..django_session() })
});

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else { return };
    let text = std::str::from_utf8(data);
    match (kind % 4, text) {
        (0, Ok(text)) => opened(text),
        (1, Ok(message)) => opened(&sign(message)),
        (2, _) => {
            let message = format!("{}:1xocE4", URL_SAFE_NO_PAD.encode(data));
            opened(&sign(&message));
            if let Ok(session) = READER.json(data) {
                same_as_json(&session, data);
            }
        }
        (3, _) => pickle(data),
        _ => {}
    }
});

/// Whatever is accepted was signed, and says what its JSON says.
fn opened(text: &str) {
    assert!(COOKIES.cookie(text, NOW).is_err(), "a stored session is no cookie");
    let Ok(session) = READER.stored(text) else { return };
    let (message, tag) = text.rsplit_once(':').expect("a signature");
    let tag = URL_SAFE_NO_PAD.decode(tag).expect("base64url");
    hmac::verify(&key(), message.as_bytes(), &tag).expect("an authentic signature");
    let (data, _) = message.rsplit_once(':').expect("a time");
    if !data.starts_with('.') {
        same_as_json(&session, &URL_SAFE_NO_PAD.decode(data).expect("base64url"));
    }
}

fn same_as_json(session: &Session, data: &[u8]) {
    serde_json::from_slice::<IgnoredAny>(data).expect("JSON");
    // Python writes lone surrogates, which no text of Rust can hold; nobody asks for such members.
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
    let there = value.as_object().expect("an object").get(USER);
    let id = match there {
        None | Some(Value::Null) => None,
        Some(Value::String(id)) => Some(id.clone()),
        Some(other) => Some(other.to_string()),
    };
    assert_eq!(session.user().map(|user| user.as_str().to_owned()), id);
}

fn pickle(data: &[u8]) {
    let Ok(session) = READER.pickled(data) else { return };
    let seen = session.user().map(|user| user.as_str().to_owned());
    // A second machine in this process. It knows less than Python of a memo that is written twice:
    // where the two differ, Python itself is asked.
    let options = DeOptions::new().replace_unresolved_globals().replace_recursive_structures();
    let Ok(Pickled::Dict(members)) = serde_pickle::value_from_slice(data, options) else { return };
    let id = match members.get(&HashableValue::String(USER.into())) {
        Some(Pickled::String(id)) => Some(id.clone()),
        Some(Pickled::I64(id)) => Some(id.to_string()),
        Some(Pickled::Int(id)) => Some(id.to_string()),
        _ => None,
    };
    if seen != id {
        // What Python gives up on (a memo of gigabytes, say) no app of it can be confused by.
        let theirs = python(data);
        assert!(theirs.is_empty() || theirs == format!("{}\n", seen.unwrap_or_default()), "{theirs}");
    }
}

/// A line with the user whom CPython finds, or nothing where it fails; it is given no name to load
/// anything by.
fn python(pickle: &[u8]) -> String {
    const PROGRAM: &str = "
import io, pickle, sys
class Plain(pickle.Unpickler):
    def find_class(self, module, name):
        raise pickle.UnpicklingError(name)
print(Plain(io.BytesIO(sys.stdin.buffer.read())).load().get('_auth_user_id', ''))
";
    let mut python = Command::new("python3")
        .args(["-c", PROGRAM])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    let mut input = python.stdin.take().expect("its input");
    input.write_all(pickle).expect("a pickle");
    drop(input);
    let output = python.wait_with_output().expect("its end").stdout;
    String::from_utf8(output).expect("text")
}

fn key() -> hmac::Key {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(STORED.as_bytes());
    context.update(b"signer");
    context.update(DJANGO_SECRET);
    hmac::Key::new(hmac::HMAC_SHA256, context.finish().as_ref())
}

fn sign(message: &str) -> String {
    let tag = hmac::sign(&key(), message.as_bytes());
    format!("{message}:{}", URL_SAFE_NO_PAD.encode(tag))
}
