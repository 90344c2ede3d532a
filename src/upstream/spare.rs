//! Spare: a request without a body once more, in case its kept connection turns out to have died.
//!
//! Nearly all of them are never needed. So nothing is copied but the bytes that are written, and they
//! become a request again only when it is sent.

use http::{HeaderName, HeaderValue, Method, Request};

use super::outgoing::RequestBody;

/// The request that was written as these bytes; `None` where they are no whole head.
pub(super) fn request(written: &[u8]) -> Option<Request<RequestBody>> {
    let lines = memchr::memchr_iter(b'\n', written).count();
    let mut fields = vec![httparse::EMPTY_HEADER; lines];
    let mut head = httparse::Request::new(&mut fields);
    let parsed = head.parse(written).ok()?;
    if parsed != httparse::Status::Complete(written.len()) {
        return None;
    }
    let mut request = Request::new(RequestBody::Empty);
    *request.method_mut() = Method::from_bytes(head.method?.as_bytes()).ok()?;
    *request.uri_mut() = head.path?.parse().ok()?;
    for field in head.headers {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        let value = HeaderValue::from_bytes(field.value).ok()?;
        request.headers_mut().try_append(name, value).ok()?;
    }
    Some(request)
}

/// The same of a request that is not written as it stands.
pub(super) fn copy(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::Empty);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    copy.headers_mut().clone_from(request.headers());
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_the_same_request_again() {
        let head = b"DELETE /a?b=c HTTP/1.1\r\nauthorization: Bearer x\r\nx-empty: \r\ncookie: a=\xff\r\nx-two: 1\r\nx-two: 2\r\n\r\n";
        let request = request(head).unwrap();
        assert_eq!(request.method(), Method::DELETE);
        assert_eq!(request.uri(), "/a?b=c");
        let headers = request.headers();
        assert_eq!(headers.len(), 5);
        assert_eq!(headers["authorization"], "Bearer x");
        assert_eq!(headers["x-empty"], "");
        assert_eq!(headers["cookie"].as_bytes(), b"a=\xff");
        let two: Vec<_> = headers.get_all("x-two").iter().collect();
        assert_eq!(two, ["1", "2"]);
    }

    #[test]
    fn anything_but_a_whole_head_is_none() {
        for written in [
            &b""[..],
            b"GET / HTTP/1.1\r\nhost: a\r\n",
            b"GET / HTTP/1.1\r\nhost: a\r\n\r\nmore",
            b"GET / HTTP/1.1\r\nbad field\r\n\r\n",
        ] {
            assert!(request(written).is_none(), "{written:?}");
        }
    }
}
