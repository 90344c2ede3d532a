//! Presets: one word for what every app of a kind needs to say.
//!
//! A preset is written out before the file is held against its shape, so that what it says is
//! checked like what the user wrote, and `check --expand` shows it. What the user wrote wins: a
//! preset only adds keys that are not there, and places where a token may be. Nothing below this
//! file knows presets.

use serde_json::{Map, Value, json};

use super::resolve::ONLY;
use super::types::{Fault, KeyPath};

const SIMPLEJWT: &str = "simplejwt";
const DJANGO_TENANTS: &str = "django_tenants";
const CHANNELS: &str = "channels";

/// The tenant of a host, as `TenantMainMiddleware` finds it; the names are those of an app `tenants`
/// with the models `Tenant` and `Domain`.
const DOMAIN: &str = "\
SELECT t.schema_name AS tenant
FROM public.tenants_domain d JOIN public.tenants_tenant t ON t.id = d.tenant_id
WHERE d.domain = regexp_replace($host, '^www\\.', '')
";

/// Writes out every preset that is named; a word that is no preset stays for the walk to blame.
pub(super) fn expand(tree: &mut Value) -> Vec<Fault> {
    let mut faults = Vec::new();
    let Value::Object(file) = tree else {
        return faults;
    };
    let named = named(file, &mut faults);
    // First, since it decides which places the others' words are for.
    simplejwt(file, named.contains(&SIMPLEJWT), &mut faults);
    if named.contains(&DJANGO_TENANTS) {
        django_tenants(file, &mut faults);
    }
    if named.contains(&CHANNELS) {
        channels(file);
    }
    faults
}

/// The presets at the top of the file. They are taken out, so that the long form has none.
fn named(file: &mut Map<String, Value>, faults: &mut Vec<Fault>) -> Vec<&'static str> {
    let (one, list) = match file.get("preset") {
        Some(Value::Array(list)) => (None, list.as_slice()),
        one => (one, &[][..]),
    };
    let at = KeyPath::root().key("preset");
    let mut named = Vec::new();
    let mut strange = false;
    for word in one.into_iter().chain(list) {
        let known = [SIMPLEJWT, DJANGO_TENANTS, CHANNELS];
        match known.into_iter().find(|known| word == known) {
            Some(known) if named.contains(&known) => faults.push(Fault::new(
                &at,
                format!("`{known}` stands here twice"),
                "name it once",
            )),
            Some(known) => named.push(known),
            None => strange = true,
        }
    }
    if !strange {
        file.remove("preset");
    }
    named
}

/// Access tokens of `djangorestframework-simplejwt`: which claim is the user, and that a refresh
/// token is none.
fn simplejwt(file: &mut Map<String, Value>, named: bool, faults: &mut Vec<Fault>) {
    if named {
        fill(file, "issuers", &json!([{}]));
    }
    let Some(Value::Array(issuers)) = file.get_mut("issuers") else {
        return;
    };
    let marked = |issuer: &Value| issuer.get("preset").is_some_and(|word| word == SIMPLEJWT);
    let at = KeyPath::root().key("preset");
    match (named, issuers.len(), issuers.iter().position(marked)) {
        (true, _, Some(index)) => faults.push(Fault::new(
            &KeyPath::root().key("issuers").index(index).key("preset"),
            "the preset stands at the top of the file too",
            "keep one of them",
        )),
        (true, 1, None) => {
            if let Some(only) = issuers.first_mut() {
                set_member(only, "preset", SIMPLEJWT);
            }
        }
        (true, 0, None) => faults.push(Fault::new(
            &at,
            "there is no issuer whose tokens SimpleJWT's would be",
            "add one, such as `issuers: [ { secret: \"${JWT_SECRET}\" } ]`",
        )),
        (true, _, None) => faults.push(Fault::new(
            &at,
            "which of the issuers signs SimpleJWT's tokens is not said",
            "write `preset: simplejwt` into that issuer instead",
        )),
        (false, ..) => {}
    }
    let mut signers = Vec::new();
    for issuer in issuers.iter_mut().filter(|issuer| marked(issuer)) {
        let Value::Object(issuer) = issuer else {
            continue;
        };
        issuer.remove("preset");
        fill(issuer, "claims", &json!({ "user": "user_id" }));
        fill(issuer, "require", &json!({ "token_type": "access" }));
        signers.push(issuer.get("name").cloned().unwrap_or_else(|| ONLY.into()));
    }
    let Some(reissue) = reissue(file).filter(|_| !signers.is_empty()) else {
        return;
    };
    if reissue
        .get("issuer")
        .is_none_or(|name| signers.contains(name))
    {
        fill(reissue, "ids", &json!("string"));
        fill(reissue, "claims", &json!({ "token_type": "access" }));
        let bearer = json!([{ "bearer": { "forward": "reissue" } }]);
        fill(file, "credentials", &bearer);
    }
}

/// A schema per tenant, found by the host.
fn django_tenants(file: &mut Map<String, Value>, faults: &mut Vec<Fault>) {
    let domain = json!({ "sources": [{ "domain": { "query": DOMAIN } }] });
    fill(file, "tenants", &domain);
    each(file, "issuers", |issuer| {
        // One that is bound to its tenants needs no claim.
        if issuer.get("tenants").is_none_or(Value::is_null) {
            fill(issuer, "claims", &json!({ "tenant": "tenant_schema" }));
        }
    });
    each(file, "upstreams", |upstream| {
        fill(upstream, "isolate", &json!("tenant"));
    });
    let mut sessions = false;
    each(file, "credentials", |credential| {
        let session = credential.get_mut("django_session");
        sessions |= session.is_some();
        let store = session.and_then(|session| session.pointer_mut("/store/redis"));
        if let Some(Value::Object(redis)) = store {
            fill(redis, "key_function", &json!("django_tenants"));
        }
    });
    let source = file
        .get_mut("directory")
        .and_then(|directory| directory.get_mut("source"));
    let Some(Value::Object(source)) = source else {
        return;
    };
    let Some(Value::Object(postgres)) = source.get_mut("postgres") else {
        faults.push(Fault::new(
            &KeyPath::root().key("directory").key("source"),
            "the preset django_tenants has a schema of PostgreSQL for each tenant",
            "use a postgres source, or leave the preset out",
        ));
        return;
    };
    fill(postgres, "schema_per_tenant", &json!(true));
    if postgres.contains_key("lookups") {
        return;
    }
    // Django's own users belong to nothing below the tenant.
    let password = if sessions {
        ", password AS session_auth"
    } else {
        ""
    };
    let lookup = format!(
        "SELECT id, NULL AS account, is_active AS active, email{password}\n\
         FROM auth_user\nWHERE id = $user::bigint\n"
    );
    fill(postgres, "lookups", &json!({ "default": lookup }));
    fill(file, "accounts", &json!({ "on_no_account": "allow" }));
}

/// The places where the middlewares of Channels apps find tokens, beside the header of everything
/// else. The app finds them there too.
fn channels(file: &mut Map<String, Value>) {
    let forward = if reissue(file).is_some() {
        "reissue"
    } else {
        "keep"
    };
    fill(
        file,
        "credentials",
        &json!([{ "bearer": { "forward": forward } }]),
    );
    let Some(Value::Array(places)) = file.get_mut("credentials") else {
        return;
    };
    for (kind, key, name) in [
        ("query", "parameter", "token"),
        ("websocket_protocol", "prefix", "bearer."),
        ("cookie", "name", "access_token"),
    ] {
        if places.iter().all(|place| place.get(kind).is_none()) {
            places.push(json!({ kind: { key: name, "forward": forward } }));
        }
    }
}

/// Adds what is not there, also within maps; a list that is there is left as it is.
fn fill(map: &mut Map<String, Value>, key: &str, value: &Value) {
    match (map.get_mut(key), value) {
        (None, _) => {
            map.insert(key.to_owned(), value.clone());
        }
        (Some(Value::Object(there)), Value::Object(members)) => {
            for (name, member) in members {
                fill(there, name, member);
            }
        }
        (Some(_), _) => {}
    }
}

fn each(
    file: &mut Map<String, Value>,
    section: &str,
    mut change: impl FnMut(&mut Map<String, Value>),
) {
    let items = file.get_mut(section).and_then(Value::as_array_mut);
    for item in items.into_iter().flatten() {
        if let Value::Object(item) = item {
            change(item);
        }
    }
}

fn reissue(file: &mut Map<String, Value>) -> Option<&mut Map<String, Value>> {
    file.get_mut("identity")?
        .get_mut("reissue")?
        .as_object_mut()
}

fn set_member(value: &mut Value, key: &str, word: &str) {
    if let Value::Object(members) = value {
        members.insert(key.to_owned(), word.into());
    }
}
