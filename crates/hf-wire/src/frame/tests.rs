use super::*;
use proptest::prelude::*;

const STAMP: Stamp = Stamp { sec: -3, nsec: 999_999_999 };
const ATTRS: Attrs = Attrs { mode: 0o4755, uid: 1000, gid: u32::MAX };

fn samples<'a>(entries: &'a [u8], pairs: &'a [u8], data: &'a [u8]) -> Vec<Body<'a>> {
    let (id, parent, name, stamp, attrs) = (7, 1, b"name".as_slice(), STAMP, ATTRS);
    let entry = Entry { name, id, kind: 0o120000, rdev: 5, target: b"../up" };
    let meta = Meta { attrs, atime: stamp, mtime: Stamp::default(), xattrs: Pairs::check(pairs).unwrap() };
    vec![
        Body::Write { id, offset: 1 << 40, data },
        Body::Truncate { id, size: 12 },
        Body::Allocate { id, mode: 3, offset: 4096, len: 8192 },
        Body::Create { parent, name, id, attrs, stamp },
        Body::Mkdir { parent, name, id, attrs, stamp },
        Body::Symlink { parent, name, id, target: b"/else/where", attrs, stamp },
        Body::Mknod { parent, name, id, kind: 0o060000, rdev: 1 << 33, attrs, stamp },
        Body::Link { id, parent, name, stamp },
        Body::Unlink { parent, name, id, stamp },
        Body::Rmdir { parent, name, id, stamp },
        Body::Rename { parent, name, new_parent: 9, new_name: b"x", id, replaced: 3, exchange: true, stamp },
        Body::SetAttr { id, owner: Some((1, 2)), mode: None, atime: None, mtime: Some(stamp) },
        Body::SetAttr { id, owner: None, mode: Some(0o600), atime: Some(stamp), mtime: None },
        Body::SetXattr { id, name: b"user.a/b", value: b"" },
        Body::RemoveXattr { id, name: b"user.a" },
        Body::Barrier { id },
        Body::Begin { stream: u64::MAX, of: 3, at: 4 },
        Body::List { id, first: true, last: false, entries: Entries::check(entries).unwrap() },
        Body::Attach { parent, entry, stamp },
        Body::Detach { parent, name, id, stamp },
        Body::Meta { id, meta },
        Body::AskDigests { id, first: 3, count: 64 },
        Body::BeginOn { stream: 7, common: u64::MAX },
        Body::AskKnown { id, marked: true, size: 1 << 40, mtime_s: -1, before_s: i64::MIN },
        Body::Synced,
        Body::CheckList { id, first: false, last: true, entries: Entries::check(entries).unwrap() },
        Body::CheckMeta { id, size: 1 << 40, times: true, meta },
        Body::CheckZone { id, zone: 5, digest: &[9; DIGEST_LEN] },
        Body::CheckMark,
        Body::Check { json: b"{}" },
        Body::Hello(Hello { stream: 1, last: 2, applied_stream: 3, applied: 4, beside: 5 }),
        Body::Ack(Ack { stream: 9, received: 8, fulfilled: 7, durable: 6 }),
        Body::Control { json: b"{}" },
        Body::Digests { id, first: 2, digests: &[3; 64] },
        Body::Fault { seq: 5, errno: 28, text: "no space" },
        Body::Heartbeat,
        Body::Beside { token: 7 },
        Body::Elsewhere { seq: u64::MAX },
    ]
}

fn lists() -> (Vec<u8>, Vec<u8>) {
    let (mut entries, mut pairs) = (Vec::new(), Vec::new());
    push_entry(&mut entries, &Entry { name: b"a", id: 3, kind: 0o100000, rdev: 0, target: b"" });
    push_entry(&mut entries, &Entry { name: b"l", id: 4, kind: 0o120000, rdev: 0, target: b"t" });
    push_pair(&mut pairs, b"user.x", b"value");
    push_pair(&mut pairs, b"user.empty", b"");
    (entries, pairs)
}

fn decode(bytes: &[u8]) -> Result<Option<(Place, Body<'_>)>, FrameError> {
    let Some(header) = Header::decode(bytes)? else {
        return Ok(None);
    };
    let Some(payload) = bytes.get(HEADER_LEN..header.frame_len()) else {
        return Ok(None);
    };
    Ok(Some((header.place(), Body::decode(&header, payload)?)))
}

#[test]
fn every_kind_survives_the_wire() {
    let (entries, pairs) = lists();
    let place = Place { dir: 2, seq: 99, fence: 98 };
    for body in samples(&entries, &pairs, b"data") {
        let bytes = body.encode().to_vec(place);
        assert_eq!(decode(&bytes), Ok(Some((place, body))));
        assert_eq!(decode(&bytes[..bytes.len() - 1]), Ok(None), "waits for the rest");
    }
}

#[test]
fn lists_give_back_what_was_put_in() {
    let (entries, pairs) = lists();
    let names: Vec<_> = Entries::check(&entries).unwrap().iter().map(|e| (e.name, e.id, e.target)).collect();
    assert_eq!(names, [(b"a".as_slice(), 3, b"".as_slice()), (b"l", 4, b"t")]);
    let values: Vec<_> = Pairs::check(&pairs).unwrap().iter().collect();
    assert_eq!(values, [(b"user.x".as_slice(), b"value".as_slice()), (b"user.empty", b"")]);
}

#[test]
fn any_flipped_bit_is_noticed() {
    let (entries, pairs) = lists();
    for body in samples(&entries, &pairs, b"data") {
        let good = body.encode().to_vec(Place { dir: 0, seq: 5, fence: 1 });
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(decode(&bad), Ok(Some(_))), "bit {bit} of {body:?}");
        }
    }
}

#[test]
fn names_that_leave_the_directory_are_refused() {
    let long = [b'x'; 256];
    for name in [b"".as_slice(), b".", b"..", b"a/b", b"/", b"a\0", &long] {
        let body = Body::Unlink { parent: 1, name, id: 2, stamp: STAMP };
        let bytes = body.encode().to_vec(Place::default());
        assert!(matches!(decode(&bytes), Err(FrameError::Damaged { .. })), "{name:?}");
        let mut entries = Vec::new();
        push_entry(&mut entries, &Entry { name, id: 1, kind: 0, rdev: 0, target: b"" });
        assert!(Entries::check(&entries).is_err(), "{name:?}");
    }
}

#[test]
fn ranges_that_no_file_has_are_refused() {
    for body in [
        Body::Write { id: 1, offset: i64::MAX as u64, data: b"x" },
        Body::Truncate { id: 1, size: u64::MAX },
        Body::Allocate { id: 1, mode: 0, offset: 8, len: u64::MAX },
    ] {
        let bytes = body.encode().to_vec(Place::default());
        assert!(matches!(decode(&bytes), Err(FrameError::Damaged { .. })), "{body:?}");
    }
}

#[test]
fn a_length_is_bounded_before_anything_is_read() {
    let mut bytes = Body::Heartbeat.encode().to_vec(Place::default());
    bytes[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(decode(&bytes), Err(FrameError::TooLong(u32::MAX.into())));
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes);
    }

    /// A stranger who knows the checksum: any header fields, any payload.
    #[test]
    fn hostile_payloads_never_panic(
        kind in any::<u8>(), id in any::<u64>(), arg in prop_oneof![any::<u64>(), 0..300u64],
        payload in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut header = Header::new(kind, id, arg, payload.len());
        header.seal(Place::default(), crc32c::crc32c(&payload));
        if let Ok(body) = Body::decode(&header, &payload) {
            prop_assert!(body.names().into_iter().flatten().all(is_name));
            // What was understood says the same when it is said again.
            let again = body.encode().to_vec(Place::default());
            prop_assert_eq!(decode(&again), Ok(Some((Place::default(), body))));
        }
    }
}
