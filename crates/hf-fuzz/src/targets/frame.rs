//! Datagrams and frames, after their seal was opened. What is understood is written and read again, and is the same.

use super::{Target, answer, hex, shape};
use hf_wire::frame::{Body, HEADER_LEN, Header};
use hf_wire::heartbeat::Heartbeat;
use hf_wire::inquiry::Inquiry;
use hf_wire::membership::Membership;

const NUMBERS: &[&str] =
    &["\u{0}", "\u{0}\u{0}\u{0}\u{0}", "\u{7f}", "\u{8}\u{1}", "\u{12}\u{4}", "name", "..", "/", "mirror", "HFR1"];

pub(super) const ALL: [Target; 4] = [
    Target {
        name: "heartbeat",
        examples: || hex(include_str!("../../corpus/heartbeat.hex")),
        words: NUMBERS,
        take: |bytes| match Heartbeat::decode(bytes) {
            Ok(read) => {
                assert_eq!(Heartbeat::decode(&read.encode()).as_ref(), Ok(&read));
                answer((read.state, read.colour, read.copy.is_some(), read.told.is_some(), read.heard.len()))
            }
            Err(error) => answer(shape(&error.to_string())),
        },
    },
    Target {
        name: "membership",
        examples: || hex(include_str!("../../corpus/membership.hex")),
        words: NUMBERS,
        take: |bytes| match Membership::decode(bytes) {
            Ok(read) => {
                assert_eq!(Membership::decode(&read.encode()).as_ref(), Ok(&read));
                answer((read.locked, read.modules.len(), read.signature.len()))
            }
            Err(error) => answer(shape(&error.to_string())),
        },
    },
    Target {
        name: "inquiry",
        examples: || hex(include_str!("../../corpus/inquiry.hex")),
        words: NUMBERS,
        take: |bytes| match Inquiry::decode(bytes) {
            Some(read) => {
                assert_eq!(Inquiry::decode(&read.encode()).as_ref(), Some(&read));
                answer(matches!(read, Inquiry::Answer(_)))
            }
            None => 0,
        },
    },
    Target {
        name: "replication frame",
        examples: || hex(include_str!("../../corpus/frame.hex")),
        words: NUMBERS,
        take: |bytes| replication(bytes),
    },
];

fn replication(bytes: &[u8]) -> u64 {
    let header = match Header::decode(bytes) {
        Ok(Some(header)) => header,
        Ok(None) => return 0,
        Err(error) => return answer(shape(&error.to_string())),
    };
    // The checksum would keep nearly all of them away from what is looked at here: it is not asked for.
    let payload = bytes.get(HEADER_LEN..header.frame_len()).unwrap_or(&bytes[HEADER_LEN..]);
    let body = match Body::decode(&header, payload) {
        Ok(body) => body,
        Err(error) => return answer((header.kind(), shape(&error.to_string()))),
    };
    let again = body.encode().to_vec(header.place());
    let Ok(Some(second)) = Header::decode(&again) else { panic!("its own frame isn't understood: {body:?}") };
    assert_eq!(second.place(), header.place());
    assert_eq!(second.verify(&again[HEADER_LEN..]), Ok(()));
    assert_eq!(Body::decode(&second, &again[HEADER_LEN..]).as_ref(), Ok(&body));
    answer((header.kind(), body.is_stream(), body.is_fence()))
}
