//! Pickles that a real Python wrote, and what nobody should send.

use proptest::prelude::*;

use super::*;
use crate::session::testing::{pickled, vectors};

const WANTED: &[&str] = &["_auth_user_id", "_auth_user_backend", "_auth_user_hash"];

#[test]
fn plain_pickles_of_every_protocol_are_read() {
    let vectors = vectors();
    for (name, value) in vectors["pickle"].as_object().unwrap() {
        let found =
            members(&pickled(value), WANTED).unwrap_or_else(|error| panic!("{name}: {error}"));
        if name == "anonymous" {
            assert!(found.is_empty());
            continue;
        }
        assert_eq!(found["_auth_user_id"], "5", "{name}");
        assert_eq!(found["_auth_user_hash"], vectors["auth_hash"], "{name}");
        let backend = "django.contrib.auth.backends.ModelBackend";
        assert_eq!(found["_auth_user_backend"], backend, "{name}");
    }
}

#[test]
fn values_are_told_apart() {
    let vectors = vectors();
    let rich = pickled(&vectors["pickle"]["rich_5"]);
    let names = [
        "small", "medium", "large", "negative", "unicode", "long", "none", "shared",
    ];
    let found = members(&rich, &names).unwrap();
    assert_eq!(found["small"], 7);
    assert_eq!(found["medium"], 60_000);
    assert_eq!(found["large"], 1_i64 << 40);
    assert_eq!(found["negative"], -3);
    assert_eq!(found["unicode"], "Zoë ☃ 🎉");
    assert_eq!(found["long"], "y".repeat(300));
    let nothing_asked_for = Value::Array(vec![]);
    assert_eq!(found["none"], nothing_asked_for);
    assert_eq!(found["shared"], nothing_asked_for);
}

#[test]
fn e8_whatever_is_not_plain_is_refused() {
    let vectors = vectors();
    for (name, value) in vectors["refused"].as_object().unwrap() {
        assert!(members(&pickled(value), WANTED).is_err(), "{name}");
    }
}

#[test]
fn e8_every_opcode_that_names_or_calls_is_refused() {
    // GLOBAL, STACK_GLOBAL, REDUCE, BUILD, INST, OBJ, NEWOBJ, NEWOBJ_EX, EXT1, EXT2, EXT4, PERSID,
    // BINPERSID, BYTEARRAY8, NEXT_BUFFER, READONLY_BUFFER, EMPTY_SET, ADDITEMS, FROZENSET, LONG4,
    // INT, LONG, STRING, UNICODE, FLOAT, GET, PUT, DUP, POP, POP_MARK, LIST, DICT, BINSTRING,
    // SHORT_BINSTRING, PROTO.
    let opcodes = b"c\x93Rbio\x81\x92\x82\x83\x84PQ\x96\x97\x98\x8f\x90\x91\x8bILSVFgp201ldTU\x80";
    for opcode in opcodes {
        let mut pickle = b"\x80\x05}\x94(\x8c\x01a\x94K\x01".to_vec();
        pickle.push(*opcode);
        pickle.extend_from_slice(b"\x01os\nsystem\nu.");
        assert!(members(&pickle, WANTED).is_err(), "{opcode:#x}");
    }
}

#[test]
fn a_pickle_that_is_out_of_order_is_refused() {
    for body in [
        &b"."[..],
        b"}",
        b"}}.",
        b"(}.",
        b"}(.",
        b"}(K\x01u.",
        b"}K\x01K\x02K\x03s.",
        b"]K\x01K\x02s.",
        b"}K\x01a.",
        b"u.",
        b"}h\x00.",
        b"}j\x00\x00\x00\x00.",
        b"\x94}.",
        b"}\x8c\xff.",
        b"}\x8d\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"}.}",
        b"(\x85}.",
        b"}\x95.",
    ] {
        let pickle = [b"\x80\x05", body].concat();
        assert!(members(&pickle, WANTED).is_err(), "{body:?}");
    }
    for pickle in [
        &b""[..],
        b"\x80",
        b"\x80\x01}.",
        b"\x80\x06}.",
        b"}.",
        b"(dp0\n.",
    ] {
        assert!(members(pickle, WANTED).is_err(), "{pickle:?}");
    }
    assert!(members(b"\x80\x05}.", WANTED).unwrap().is_empty());
}

#[test]
fn depth_repetition_and_selfcontainment_cost_nothing() {
    // A million brackets do not fit; sixty thousand do, and no stack of ours is used for them.
    let mut deep = b"\x80\x05}\x8c\x01a".to_vec();
    deep.extend(std::iter::repeat_n(b']', 60_000));
    deep.extend(std::iter::repeat_n(b'a', 59_999));
    deep.extend_from_slice(b"s.");
    assert!(members(&deep, WANTED).is_ok());
    // {"a": <itself>}
    assert!(members(b"\x80\x05}\x94\x8c\x01ah\x00s.", WANTED).is_ok());
    let mut many = b"\x80\x05}(".to_vec();
    many.extend(std::iter::repeat_n(b'N', 1 << 17));
    many.extend_from_slice(b"u.");
    assert_eq!(members(&many, WANTED), Err(FULL));
    assert_eq!(members(&vec![0; MAX_PICKLE + 1], WANTED), Err(FULL));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        let _ = members(&[b"\x80\x05}".as_slice(), &bytes].concat(), WANTED);
    }

    #[test]
    fn no_altered_pickle_makes_it_panic(at in 0_usize..400, byte in any::<u8>()) {
        let mut pickle = pickled(&vectors()["pickle"]["rich_5"]);
        if let Some(place) = pickle.get_mut(at) {
            *place = byte;
        }
        let _ = members(&pickle, WANTED);
    }
}
