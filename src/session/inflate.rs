//! Inflate: zlib (RFC 1950) under a bound, since a few bytes can become gigabytes.

use std::io::Read;

use flate2::read::ZlibDecoder;

use super::error::SessionError;

/// Largest session in bytes once it is inflated.
pub(super) const MAX_INFLATED: u64 = 1 << 20;

/// The inflated bytes, whole and nothing behind them.
pub(super) fn inflate(compressed: &[u8]) -> Result<Vec<u8>, SessionError> {
    let mut decoder = ZlibDecoder::new(compressed).take(MAX_INFLATED + 1);
    let mut data = Vec::new();
    decoder
        .read_to_end(&mut data)
        .map_err(|_| SessionError::Unreadable("it is not zlib"))?;
    if data.len() as u64 > MAX_INFLATED {
        return Err(SessionError::Unreadable("it inflates beyond the bound"));
    }
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn deflated(data: &[u8]) -> Vec<u8> {
        let mut encoder =
            flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn the_bound_is_exact() {
        let most = usize::try_from(MAX_INFLATED).unwrap();
        assert_eq!(inflate(&deflated(&vec![7; most])).unwrap().len(), most);
        assert!(inflate(&deflated(&vec![7; most + 1])).is_err());
    }

    #[test]
    fn what_is_cut_or_altered_is_refused() {
        let whole = deflated(b"a session that is long enough to be compressed, compressed");
        for cut in 0..whole.len() {
            assert!(inflate(&whole[..cut]).is_err(), "cut at {cut}");
        }
        let mut altered = whole;
        let last = altered.len() - 1;
        altered[last] ^= 1;
        assert!(inflate(&altered).is_err(), "the checksum");
    }
}
