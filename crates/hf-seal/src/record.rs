//! Records: what goes over a replication link after its proof, sealed.
//!
//! ```text
//! record   length of what follows, 4 bytes little endian | AES-256-GCM of at most 64 KiB | tag 16
//! ```
//! Each direction of each connection has a key of its own, derived from the link's key, which nobody knows who has the cluster's key later or
//! listened before (see [`crate::link_auth`]). The nonce is the record's number, which isn't sent: a record that is missing, repeated, moved
//! or of another connection doesn't open. The length is authenticated with it. After 2^20 records the key is replaced by one derived from it,
//! long before AES-GCM's limits.
//!
//! A connection that is cut between two records looks like one that broke: the link's own numbers tell what is missing, and the next connection
//! goes on there.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use thiserror::Error;

use crate::key::Secret;
use crate::link_auth::LinkKey;

/// Most bytes that one record carries.
pub const RECORD_PLAIN_MAX: usize = 64 << 10;
/// Bytes that a record has in front.
pub const RECORD_HEAD_LEN: usize = 4;
/// Bytes that a record is longer than what it carries.
pub const RECORD_OVERHEAD: usize = RECORD_HEAD_LEN + TAG_LEN;
const TAG_LEN: usize = 16;
/// Records under one key.
const RECORDS_A_KEY: u64 = 1 << 20;

/// Which end of a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkEnd {
    /// The one that connected.
    Initiator,
    /// The one that listened.
    Responder,
}

impl LinkEnd {
    fn other(self) -> LinkEnd {
        match self {
            LinkEnd::Initiator => LinkEnd::Responder,
            LinkEnd::Responder => LinkEnd::Initiator,
        }
    }
}

/// A record that must not be believed: close the connection.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum RecordError {
    #[error("a record of {0} bytes: this is no sealed link")]
    Length(usize),
    #[error("record {0} was forged, damaged, repeated or left out")]
    Forged(u64),
}

/// One direction's key and count.
struct Direction {
    secret: Secret,
    key: LessSafeKey,
    /// Records so far.
    count: u64,
}

impl Direction {
    fn new(link: &LinkKey, from: LinkEnd) -> Direction {
        let name: &[u8] = match from {
            LinkEnd::Initiator => b"from initiator",
            LinkEnd::Responder => b"from responder",
        };
        Direction::of(link.secret().derive(&[b"records", name]))
    }

    fn of(secret: Secret) -> Direction {
        let key = UnboundKey::new(&AES_256_GCM, secret.bytes())
            .expect("AES-256 takes exactly the 32 bytes that a secret has");
        Direction { secret, key: LessSafeKey::new(key), count: 0 }
    }

    /// The nonce of the next record: never the same twice under one key.
    fn next(&mut self) -> Nonce {
        if self.count > 0 && self.count.is_multiple_of(RECORDS_A_KEY) {
            let count = self.count;
            *self = Direction::of(self.secret.derive(&[b"next key"]));
            self.count = count;
        }
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&self.count.to_be_bytes());
        self.count += 1;
        Nonce::assume_unique_for_key(nonce)
    }
}

/// Seals what this end sends on one connection.
pub struct RecordSealer(Direction);

impl RecordSealer {
    /// For the end `me` of the connection that `link` was agreed on.
    pub fn new(link: &LinkKey, me: LinkEnd) -> RecordSealer {
        RecordSealer(Direction::new(link, me))
    }

    /// Appends the records of `plain`, however long it is, to `out`.
    pub fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        for plain in plain.chunks(RECORD_PLAIN_MAX) {
            let head = u32::try_from(plain.len() + TAG_LEN).unwrap_or(u32::MAX).to_le_bytes(); // at most 64 KiB
            out.reserve(plain.len() + RECORD_OVERHEAD);
            out.extend_from_slice(&head);
            let begin = out.len();
            out.extend_from_slice(plain);
            let nonce = self.0.next();
            let tag = self.0.key.seal_in_place_separate_tag(nonce, Aad::from(head), &mut out[begin..]);
            let tag = tag.expect("AES-GCM refuses only texts of more than 64 GiB");
            out.extend_from_slice(tag.as_ref());
        }
    }
}

/// Opens what the other end sent on one connection. After an error it is of no use any more.
pub struct RecordOpener(Direction);

impl RecordOpener {
    /// For the end `me` of the connection that `link` was agreed on.
    pub fn new(link: &LinkKey, me: LinkEnd) -> RecordOpener {
        RecordOpener(Direction::new(link, me.other()))
    }

    /// Opens the record at the beginning of `sealed` into `plain`, which has room for [`RECORD_PLAIN_MAX`] bytes. Gives how many bytes the record
    /// was, and how many it carried; none while it isn't whole.
    pub fn open(&mut self, sealed: &[u8], plain: &mut [u8]) -> Result<Option<(usize, usize)>, RecordError> {
        let Some((head, rest)) = sealed.split_first_chunk::<RECORD_HEAD_LEN>() else { return Ok(None) };
        let length = u32::from_le_bytes(*head) as usize;
        let carried = length.checked_sub(TAG_LEN).filter(|carried| (1..=RECORD_PLAIN_MAX).contains(carried));
        let carried = carried.ok_or(RecordError::Length(length))?;
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let (text, tag) = body.split_at(carried);
        let number = self.0.count;
        let nonce = self.0.next();
        let opened = self.0.key.open_separate_gather(nonce, Aad::from(head), text, tag, &mut plain[..carried]);
        opened.map_err(|_| RecordError::Forged(number))?;
        Ok(Some((RECORD_HEAD_LEN + length, carried)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClusterKey, Initiator, LinkStep, Responder, os_rng};

    fn agreed() -> (LinkKey, LinkKey) {
        let key = ClusterKey::from_bytes(&[7; 32]).unwrap();
        let (initiator, hello) = Initiator::start(&key, "link/t", "a", "b", &mut os_rng());
        let mut responder = Responder::new(&key, "link/t", "b", "a", &mut os_rng());
        let LinkStep::Send(answer) = responder.next(&hello).unwrap() else { panic!("an answer") };
        let (proof, one) = initiator.next(&answer).unwrap();
        let LinkStep::Done(other) = responder.next(&proof).unwrap() else { panic!("done") };
        (one, other)
    }

    fn ends() -> (RecordSealer, RecordOpener) {
        let (one, other) = agreed();
        (RecordSealer::new(&one, LinkEnd::Initiator), RecordOpener::new(&other, LinkEnd::Responder))
    }

    fn open_all(opener: &mut RecordOpener, mut sealed: &[u8]) -> Result<Vec<u8>, RecordError> {
        let (mut out, mut room) = (Vec::new(), vec![0; RECORD_PLAIN_MAX]);
        while let Some((used, carried)) = opener.open(sealed, &mut room)? {
            out.extend_from_slice(&room[..carried]);
            sealed = &sealed[used..];
        }
        Ok(out)
    }

    #[test]
    fn what_is_sealed_is_opened_in_pieces_too() {
        let (mut sealer, mut opener) = ends();
        let plain: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
        let mut sealed = Vec::new();
        sealer.seal(&plain, &mut sealed);
        sealer.seal(b"end", &mut sealed);
        assert_eq!(sealed.len(), plain.len() + 3 + 5 * RECORD_OVERHEAD);
        assert!(!sealed.windows(16).any(|window| window == &plain[1000..1016]));
        let mut room = vec![0; RECORD_PLAIN_MAX];
        assert_eq!(opener.open(&sealed[..3], &mut room), Ok(None));
        assert_eq!(opener.open(&sealed[..70], &mut room), Ok(None), "not whole yet, and nothing counted");
        assert_eq!(open_all(&mut opener, &sealed).unwrap(), [plain.as_slice(), b"end"].concat());
    }

    #[test]
    fn tampered_repeated_left_out_and_swapped_records_do_not_open() {
        let sealed_ones = |sealer: &mut RecordSealer| -> [Vec<u8>; 3] {
            [b"one", b"two", b"3rd"].map(|text| {
                let mut out = Vec::new();
                sealer.seal(text, &mut out);
                out
            })
        };
        let refused = |change: &dyn Fn(&[Vec<u8>; 3]) -> Vec<u8>| {
            let (mut sealer, mut opener) = ends();
            let records = sealed_ones(&mut sealer);
            open_all(&mut opener, &change(&records)).unwrap_err()
        };
        for at in [0, 4, 6, 22] {
            let error = refused(&|records| {
                let mut bytes = records[0].clone();
                bytes[at] ^= 1;
                // A changed length must not wait for more.
                bytes.extend_from_slice(&[0; 64]);
                bytes
            });
            assert_eq!(error, RecordError::Forged(0), "byte {at}");
        }
        assert_eq!(refused(&|records| [&records[0][..], &records[0]].concat()), RecordError::Forged(1));
        assert_eq!(refused(&|records| [&records[0][..], &records[2]].concat()), RecordError::Forged(1));
        assert_eq!(refused(&|records| records[1].clone()), RecordError::Forged(0));
        assert_eq!(refused(&|_| vec![0xff; 100]), RecordError::Length(0xffff_ffff));
        assert_eq!(refused(&|_| vec![16, 0, 0, 0]), RecordError::Length(16), "an empty record");
    }

    #[test]
    fn nothing_opens_on_another_connection_or_in_the_other_direction() {
        let (one, other) = agreed();
        let mut sealed = Vec::new();
        RecordSealer::new(&one, LinkEnd::Initiator).seal(b"text", &mut sealed);
        let mut room = vec![0; RECORD_PLAIN_MAX];
        assert!(RecordOpener::new(&one, LinkEnd::Initiator).open(&sealed, &mut room).is_err(), "turned back");
        assert!(RecordOpener::new(&agreed().1, LinkEnd::Responder).open(&sealed, &mut room).is_err(), "replayed");
        assert!(RecordOpener::new(&other, LinkEnd::Responder).open(&sealed, &mut room).is_ok());
    }

    #[test]
    fn keys_are_replaced_on_both_sides_at_the_same_record() {
        let (mut sealer, mut opener) = ends();
        (sealer.0.count, opener.0.count) = (RECORDS_A_KEY - 1, RECORDS_A_KEY - 1);
        let before = *sealer.0.secret.bytes();
        let mut sealed = Vec::new();
        for _ in 0..3 {
            sealer.seal(b"x", &mut sealed);
        }
        assert_ne!(before, *sealer.0.secret.bytes());
        assert_eq!(open_all(&mut opener, &sealed).unwrap(), b"xxx");
    }
}
