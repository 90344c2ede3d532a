//! Gather: a few small buffers as one.
//!
//! hyper gives a head and a body as two buffers, and sockets take several at once (`writev`), which
//! costs the kernel more than copying a few hundred bytes and sending them as one.

use std::io::IoSlice;

/// Most bytes that are copied.
const SMALL: usize = 1024;

/// Gives what is in `slices` to `send`, where that is one buffer or little.
pub fn gathered<T>(slices: &[IoSlice<'_>], send: impl FnOnce(&[u8]) -> T) -> Option<T> {
    let mut filled = slices.iter().filter(|slice| !slice.is_empty());
    let first = filled.next()?;
    if filled.next().is_none() {
        return Some(send(first));
    }
    let mut room = [0; SMALL];
    let mut length = 0;
    for slice in slices {
        let end = length + slice.len();
        room.get_mut(length..end)?.copy_from_slice(slice);
        length = end;
    }
    room.get(..length).map(send)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(parts: &[&[u8]]) -> Option<Vec<u8>> {
        let slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
        gathered(&slices, <[u8]>::to_vec)
    }

    #[test]
    fn little_becomes_one_and_much_stays_as_it_is() {
        assert_eq!(sent(&[]), None);
        assert_eq!(sent(&[b"", b""]), None);
        assert_eq!(sent(&[b"head", b"body"]), Some(b"headbody".to_vec()));
        assert_eq!(sent(&[b"", b"body"]), Some(b"body".to_vec()));
        let much = [7; 4 * SMALL];
        assert_eq!(sent(&[&much]), Some(much.to_vec()));
        assert_eq!(sent(&[b"head", &much]), None);
        let fits = [7; SMALL - 4];
        assert_eq!(sent(&[b"head", &fits]).map(|all| all.len()), Some(SMALL));
        assert_eq!(sent(&[b"heads", &fits]), None);
    }
}
