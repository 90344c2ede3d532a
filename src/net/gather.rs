//! Gather: a few small buffers as one.
//!
//! hyper gives a head and a body as two buffers, and sockets take several at once (`writev`), which
//! costs the kernel more than copying a few hundred bytes and sending them as one.

use std::io::IoSlice;

/// Most bytes that are copied.
pub const SMALL: usize = 1024;

/// What is in `slices`, where that is one buffer or little.
pub fn gather<'a>(slices: &'a [IoSlice<'_>], room: &'a mut [u8; SMALL]) -> Option<&'a [u8]> {
    let mut filled = slices.iter().filter(|slice| !slice.is_empty());
    let first = filled.next()?;
    if filled.next().is_none() {
        return Some(first);
    }
    let mut length = 0;
    for slice in slices {
        let end = length + slice.len();
        room.get_mut(length..end)?.copy_from_slice(slice);
        length = end;
    }
    room.get(..length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(parts: &[&[u8]]) -> Option<Vec<u8>> {
        let slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
        gather(&slices, &mut [0; SMALL]).map(<[u8]>::to_vec)
    }

    #[test]
    fn little_becomes_one_and_much_stays_as_it_is() {
        assert_eq!(gathered(&[]), None);
        assert_eq!(gathered(&[b"", b""]), None);
        assert_eq!(gathered(&[b"head", b"body"]), Some(b"headbody".to_vec()));
        assert_eq!(gathered(&[b"", b"body"]), Some(b"body".to_vec()));
        let much = [7; 4 * SMALL];
        assert_eq!(gathered(&[&much]), Some(much.to_vec()));
        assert_eq!(gathered(&[b"head", &much]), None);
        let fits = [7; SMALL - 4];
        assert_eq!(
            gathered(&[b"head", &fits]).map(|all| all.len()),
            Some(SMALL)
        );
        assert_eq!(gathered(&[b"heads", &fits]), None);
    }
}
