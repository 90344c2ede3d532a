//! Framing: where the body ends, in one reading (RFC 9112, section 6).
//!
//! hyper frames the body itself and is right about it; what is refused here is what the next
//! parser might frame otherwise. hyper drops Content-Length beside Transfer-Encoding before we can
//! see it and closes the connection afterwards; the framing towards the upstream is written anew
//! in either case and never copied.

use http::header::{CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Version};

use super::error::WireError;

/// Checks `Transfer-Encoding`, `Content-Length` and `Expect`; the declared length, if any.
pub(super) fn read(headers: &HeaderMap, version: Version) -> Result<Option<u64>, WireError> {
    let length = content_length(headers)?;
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        if length.is_some() {
            return Err(WireError::Ambiguous(
                "both Transfer-Encoding and Content-Length",
            ));
        }
        if version != Version::HTTP_11 {
            return Err(WireError::Ambiguous("a Transfer-Encoding outside HTTP/1.1"));
        }
        if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err(WireError::Ambiguous(
                "a Transfer-Encoding other than one chunked",
            ));
        }
    }
    expect(headers)?;
    Ok(length)
}

fn content_length(headers: &HeaderMap) -> Result<Option<u64>, WireError> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else {
        return Ok(None);
    };
    if lengths.any(|other| other != first) {
        return Err(WireError::Ambiguous("two different Content-Length lines"));
    }
    canonical_number(first)
        .map(Some)
        .ok_or(WireError::Ambiguous(
            "a Content-Length that is not a plain number",
        ))
}

/// Digits without a leading zero: `002` is 2 to one parser and octal to another.
fn canonical_number(value: &HeaderValue) -> Option<u64> {
    let digits = value.to_str().ok()?;
    let canonical = digits == "0" || !digits.starts_with('0');
    (canonical && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| digits.parse().ok())
        .flatten()
}

/// RFC 9110, section 10.1.1: the only expectation there is, and nothing beside it.
fn expect(headers: &HeaderMap) -> Result<(), WireError> {
    let mut lines = headers.get_all(EXPECT).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(()),
        (Some(line), None) if line.as_bytes().eq_ignore_ascii_case(b"100-continue") => Ok(()),
        _ => Err(WireError::ExpectationFailed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_lines(lines: &[(&str, &str)], version: Version) -> Result<Option<u64>, WireError> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name: http::HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        read(&headers, version)
    }

    #[test]
    fn c1_c3_c4_one_framing_is_read() {
        let read = |lines: &[_]| read_lines(lines, Version::HTTP_11);
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[("content-length", "0")]), Ok(Some(0)));
        assert_eq!(read(&[("content-length", "12")]), Ok(Some(12)));
        assert_eq!(
            read(&[("content-length", "12"), ("content-length", "12")]),
            Ok(Some(12))
        );
        assert_eq!(read(&[("transfer-encoding", "Chunked")]), Ok(None));
    }

    #[test]
    fn c1_c2_c3_c5_any_other_framing_is_refused() {
        for lines in [
            &[("transfer-encoding", "chunked"), ("content-length", "2")][..],
            &[("transfer-encoding", "chunked"), ("content-length", "abc")],
            &[("transfer-encoding", "gzip, chunked")],
            &[("transfer-encoding", "chunked, chunked")],
            &[("transfer-encoding", ",chunked")],
            &[
                ("transfer-encoding", "identity"),
                ("transfer-encoding", "chunked"),
            ],
            &[
                ("transfer-encoding", "chunked"),
                ("transfer-encoding", "chunked"),
            ],
            &[("transfer-encoding", "xchunked")],
            &[("transfer-encoding", "chunked;ext")],
            &[("transfer-encoding", "")],
            &[("content-length", "2"), ("content-length", "3")],
            &[("content-length", "2, 2")],
            &[("content-length", "+2")],
            &[("content-length", "")],
            &[("content-length", "-1")],
            &[("content-length", "18446744073709551616")],
            &[("content-length", "0x2")],
            &[("content-length", "1_0")],
            &[("content-length", "002")],
            &[("content-length", "00")],
        ] {
            assert!(
                matches!(
                    read_lines(lines, Version::HTTP_11),
                    Err(WireError::Ambiguous(_))
                ),
                "{lines:?}"
            );
        }
        for version in [Version::HTTP_10, Version::HTTP_2] {
            assert!(read_lines(&[("transfer-encoding", "chunked")], version).is_err());
        }
    }

    #[test]
    fn b24_only_100_continue_can_be_expected() {
        let read = |lines: &[_]| read_lines(lines, Version::HTTP_11);
        assert_eq!(read(&[("expect", "100-Continue")]), Ok(None));
        for lines in [
            &[("expect", "y 100-continue")][..],
            &[("expect", "100-continue, x")],
            &[("expect", "100-continue"), ("expect", "100-continue")],
            &[("expect", "")],
            &[("expect", "200-ok")],
        ] {
            assert_eq!(read(lines), Err(WireError::ExpectationFailed), "{lines:?}");
        }
    }
}
