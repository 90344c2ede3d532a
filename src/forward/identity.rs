//! The identity headers: what the upstream is told of the principal.
//!
//! Inserted, never appended, after everything the client sent under these names is gone. What is
//! not known is absent, never empty. Roles are one line, comma-separated and sorted; attributes
//! that a header cannot carry as they are follow RFC 8187.

use bytes::BytesMut;
use http::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::auth::Principal;
use crate::config::Identity;

/// RFC 8187's attr-char: everything else is percent-encoded.
const EXTENDED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// How an encoded attribute begins; a value that begins so by itself is encoded too.
const MARK: &str = "UTF-8''";

/// An identity value that cannot stand in a header, which the decision should have refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an identity value cannot stand in a header")]
pub struct Unsafe;

/// Fields whose values lie in one piece of memory, one behind the other: that is what each request of a
/// principal reads, and mostly no other request has read just before.
pub(super) struct Together {
    /// Name, length of the value, and whether it is sensitive.
    names: Vec<(HeaderName, usize, bool)>,
    text: BytesMut,
}

impl Together {
    /// None yet, and room for what most principals have.
    pub(super) fn new() -> Self {
        Self {
            names: Vec::with_capacity(8),
            text: BytesMut::with_capacity(128),
        }
    }

    /// Adds a field; a value that is not visible ASCII, blanks and tabs is refused.
    pub(super) fn put(&mut self, name: &HeaderName, value: &str) -> Result<(), Unsafe> {
        self.join(name, [value])
    }

    /// The same, and debug output and HTTP/2 compression leave the value out.
    pub(super) fn put_sensitive(&mut self, name: &HeaderName, value: &str) -> Result<(), Unsafe> {
        self.put(name, value)?;
        if let Some((.., sensitive)) = self.names.last_mut() {
            *sensitive = true;
        }
        Ok(())
    }

    /// Adds a field of several values, with commas between them.
    fn join<'v>(
        &mut self,
        name: &HeaderName,
        values: impl IntoIterator<Item = &'v str>,
    ) -> Result<(), Unsafe> {
        let start = self.text.len();
        for (at, value) in values.into_iter().enumerate() {
            if !value
                .bytes()
                .all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
            {
                return Err(Unsafe);
            }
            if at > 0 {
                self.text.extend_from_slice(b",");
            }
            self.text.extend_from_slice(value.as_bytes());
        }
        self.names
            .push((name.clone(), self.text.len() - start, false));
        Ok(())
    }

    /// The fields.
    pub(super) fn finish(self) -> Result<Vec<(HeaderName, HeaderValue)>, Unsafe> {
        let mut text = self.text.freeze();
        let value = |(name, length, sensitive)| {
            let value = HeaderValue::from_maybe_shared(text.split_to(length));
            let mut value = value.map_err(|_| Unsafe)?;
            value.set_sensitive(sensitive);
            Ok((name, value))
        };
        self.names.into_iter().map(value).collect()
    }
}

/// The headers of `principal`.
pub(super) fn fields(
    identity: &Identity,
    tenant_headers: &[HeaderName],
    principal: &Principal,
) -> Result<Together, Unsafe> {
    let names = &identity.headers;
    let mut fields = Together::new();
    fields.put(&names.user, principal.user().as_str())?;
    fields.put(&names.tenant, principal.tenant().as_str())?;
    for name in tenant_headers {
        fields.put(name, principal.tenant().as_str())?;
    }
    if let Some(account) = principal.account() {
        fields.put(&names.account, account.as_str())?;
    }
    if !principal.roles().is_empty() {
        fields.join(&names.roles, principal.roles().iter().map(|role| &**role))?;
    }
    fields.put(&names.credential, principal.verified().name())?;
    for (attribute, name) in &identity.attributes {
        if let Some(value) = principal
            .binding()
            .attributes()
            .get(attribute.as_str())
            .filter(|value| !value.is_empty())
        {
            fields.put(name, &encoded(value))?;
        }
    }
    Ok(fields)
}

/// An attribute as it stands in a header.
fn encoded(value: &str) -> std::borrow::Cow<'_, str> {
    let plain = value
        .bytes()
        .all(|byte| byte.is_ascii_graphic() || byte == b' ')
        && !value.starts_with(' ')
        && !value.ends_with(' ')
        && !value.starts_with(MARK);
    if plain {
        value.into()
    } else {
        format!("{MARK}{}", utf8_percent_encode(value, EXTENDED)).into()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::{Together, Unsafe, encoded};

    #[test]
    fn together_they_are_what_was_put() {
        let name = HeaderName::from_static;
        let mut fields = Together::new();
        fields.put(&name("x-user"), "5").unwrap();
        fields.put(&name("x-empty"), "").unwrap();
        fields
            .put_sensitive(&name("x-assertion"), "e30.e30.c2ln")
            .unwrap();
        fields.join(&name("x-roles"), ["a", "b"]).unwrap();
        fields.put(&name("x-plan"), "Pro\tPlan 2").unwrap();
        let fields = fields.finish().unwrap();
        let seen: Vec<_> = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap(), value.is_sensitive()))
            .collect();
        let expected = [
            ("x-user", "5", false),
            ("x-empty", "", false),
            ("x-assertion", "e30.e30.c2ln", true),
            ("x-roles", "a,b", false),
            ("x-plan", "Pro\tPlan 2", false),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn what_is_no_header_value_is_refused_and_leaves_nothing() {
        let name = HeaderName::from_static("x-user");
        for value in ["a\r\nX-Evil: 1", "a\0", "Zo\u{eb}", "\u{7f}"] {
            let mut fields = Together::new();
            assert_eq!(fields.put(&name, value), Err(Unsafe), "{value:?}");
            assert_eq!(fields.join(&name, ["a", value]), Err(Unsafe), "{value:?}");
        }
    }

    #[test]
    fn attributes_outside_visible_ascii_follow_rfc_8187() {
        assert_eq!(encoded("zoe@example.com"), "zoe@example.com");
        assert_eq!(encoded("Zoë"), "UTF-8''Zo%C3%AB");
        assert_eq!(encoded("Pro Plan"), "Pro Plan");
        assert_eq!(encoded(" lead"), "UTF-8''%20lead");
        assert_eq!(encoded("a\r\nX-Evil: 1"), "UTF-8''a%0D%0AX-Evil%3A%201");
        assert_eq!(encoded("UTF-8''x"), "UTF-8''UTF-8%27%27x");
    }
}
