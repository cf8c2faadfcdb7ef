//! How a sealed datagram looks on the wire.
//!
//! ```text
//! all      0..4   "HFS1"          4  kind         5..13 key id (names purpose and cluster key)
//! hello   13..25  random nonce   25.. sealed {sender's challenge 16}
//! welcome 13..25  random nonce   25.. sealed {receiver's challenge 16, sender's challenge 16}
//! data    13..29  sender's challenge of the session   29..37 counter, big endian
//!         37..    sealed {1 byte: 0 confirmation, 1 payload; payload}
//! ```
//! "sealed" is AES-256-GCM with the clear bytes before it as associated data; the tag of 16 bytes
//! is at the end. Changes by version: 1 is the first.

use crate::stats::Reason;

pub(crate) const CHALLENGE_LEN: usize = 16;
pub(crate) type Challenge = [u8; CHALLENGE_LEN];
pub(crate) type KeyId = [u8; 8];

const MAGIC: &[u8; 4] = b"HFS1";
const HELLO: u8 = 1;
const WELCOME: u8 = 2;
const DATA: u8 = 3;
const COMMON_LEN: usize = 13;
const NONCE_LEN: usize = 12;
const GREETING_CLEAR: usize = COMMON_LEN + NONCE_LEN;
const DATA_CLEAR: usize = COMMON_LEN + CHALLENGE_LEN + 8;
const TAG_LEN: usize = 16;

/// A frame whose outer form is right; nothing in it is proven yet.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub key_id: KeyId,
    /// The bytes in front of the sealed part, all of them authenticated by its tag.
    pub clear: &'a [u8],
    pub sealed: &'a [u8],
    pub kind: Kind,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Hello { nonce: [u8; NONCE_LEN] },
    Welcome { nonce: [u8; NONCE_LEN] },
    Data { sender: Challenge, counter: u64 },
}

impl<'a> Frame<'a> {
    pub(crate) fn parse(datagram: &'a [u8]) -> Result<Self, Reason> {
        if !datagram.starts_with(MAGIC) {
            return Err(Reason::Unsealed);
        }
        let key_id = array(datagram, 5).ok_or(Reason::Malformed)?;
        let (kind, clear_len) = parse_kind(datagram).ok_or(Reason::Malformed)?;
        if datagram.len() < clear_len + TAG_LEN {
            return Err(Reason::Malformed);
        }
        let (clear, sealed) = datagram.split_at(clear_len);
        Ok(Self { key_id, clear, sealed, kind })
    }
}

fn parse_kind(datagram: &[u8]) -> Option<(Kind, usize)> {
    match *datagram.get(4)? {
        HELLO => Some((Kind::Hello { nonce: array(datagram, COMMON_LEN)? }, GREETING_CLEAR)),
        WELCOME => Some((Kind::Welcome { nonce: array(datagram, COMMON_LEN)? }, GREETING_CLEAR)),
        DATA => {
            let sender = array(datagram, COMMON_LEN)?;
            let counter = u64::from_be_bytes(array(datagram, COMMON_LEN + CHALLENGE_LEN)?);
            Some((Kind::Data { sender, counter }, DATA_CLEAR))
        }
        _ => None,
    }
}

/// The clear part of a hello.
pub(crate) fn hello(key_id: KeyId, nonce: [u8; NONCE_LEN]) -> Vec<u8> {
    clear(HELLO, key_id, &[&nonce])
}

/// The clear part of a welcome.
pub(crate) fn welcome(key_id: KeyId, nonce: [u8; NONCE_LEN]) -> Vec<u8> {
    clear(WELCOME, key_id, &[&nonce])
}

/// The clear part of a data frame.
pub(crate) fn data(key_id: KeyId, sender: Challenge, counter: u64) -> Vec<u8> {
    clear(DATA, key_id, &[&sender, &counter.to_be_bytes()])
}

fn clear(kind: u8, key_id: KeyId, rest: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(MAGIC);
    out.push(kind);
    out.extend_from_slice(&key_id);
    for part in rest {
        out.extend_from_slice(part);
    }
    out
}

/// `N` bytes of `bytes` from `start`, if there are so many.
pub(crate) fn array<const N: usize>(bytes: &[u8], start: usize) -> Option<[u8; N]> {
    bytes.get(start..start + N)?.try_into().ok()
}
