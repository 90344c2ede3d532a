//! Spare: a request without a body once more, in case its kept connection turns out to have died.
//!
//! Nearly all of them are never needed. So it is one run of bytes, which costs a fraction of a second
//! header map, and becomes a request again only when it is sent.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};

use super::outgoing::RequestBody;

/// Bytes that most heads fit into.
const USUAL: usize = 2048;

/// A request without a body, put by.
pub(super) struct Spare {
    method: Method,
    uri: Uri,
    version: Version,
    /// Of each field: the lengths of name and value, whether it is sensitive, name, value.
    fields: Vec<u8>,
}

impl Spare {
    /// Puts a copy of `request` by.
    pub(super) fn of(request: &Request<RequestBody>) -> Self {
        let mut fields = Vec::with_capacity(USUAL);
        for (name, value) in request.headers() {
            let (name, sensitive) = (name.as_str().as_bytes(), value.is_sensitive());
            let value = value.as_bytes();
            for length in [name.len(), value.len()] {
                fields.extend_from_slice(&length.to_ne_bytes());
            }
            fields.push(u8::from(sensitive));
            fields.extend_from_slice(name);
            fields.extend_from_slice(value);
        }
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            fields,
        }
    }

    /// The request again; `None` never happens, since it was one.
    pub(super) fn into_request(self) -> Option<Request<RequestBody>> {
        let mut headers = HeaderMap::new();
        let mut rest = &*self.fields;
        while !rest.is_empty() {
            let name_length = take_length(&mut rest)?;
            let value_length = take_length(&mut rest)?;
            let sensitive = take(&mut rest, 1)? != [0];
            let name = HeaderName::from_bytes(take(&mut rest, name_length)?).ok()?;
            let mut value = HeaderValue::from_bytes(take(&mut rest, value_length)?).ok()?;
            value.set_sensitive(sensitive);
            headers.try_append(name, value).ok()?;
        }
        let mut request = Request::new(RequestBody::Empty);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.version_mut() = self.version;
        *request.headers_mut() = headers;
        Some(request)
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn take_length(rest: &mut &[u8]) -> Option<usize> {
    let (length, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(usize::from_ne_bytes(*length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spare_is_the_same_request() {
        let mut request = Request::new(RequestBody::Empty);
        *request.method_mut() = Method::DELETE;
        *request.uri_mut() = "/a?b=c".parse().unwrap();
        let headers = request.headers_mut();
        let mut secret = HeaderValue::from_static("Bearer x");
        secret.set_sensitive(true);
        headers.append("authorization", secret);
        headers.append("x-empty", HeaderValue::from_static(""));
        headers.append("cookie", HeaderValue::from_bytes(b"a=\xff").unwrap());
        headers.append("x-two", HeaderValue::from_static("1"));
        headers.append("x-two", HeaderValue::from_static("2"));
        let again = Spare::of(&request).into_request().unwrap();
        assert_eq!(again.method(), request.method());
        assert_eq!(again.uri(), request.uri());
        assert_eq!(again.version(), request.version());
        assert_eq!(again.headers(), request.headers());
        assert!(again.headers()["authorization"].is_sensitive());
        assert!(!again.headers()["cookie"].is_sensitive());
    }
}
