//! The keys of one session and its counters.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::frame::{self, Challenge, KeyId};
use crate::key::Secret;
use crate::stats::Reason;
use crate::window::Window;

const CONFIRMATION: u8 = 0;
const PAYLOAD: u8 = 1;

/// An AEAD key for one direction.
pub(crate) struct SealKey(LessSafeKey);

impl SealKey {
    pub(crate) fn new(secret: &Secret) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, secret.bytes())
            .expect("AES-256 takes exactly the 32 bytes that a secret has");
        Self(LessSafeKey::new(key))
    }

    /// `clear` followed by the sealed `plain`. A nonce must never come twice under one key.
    pub(crate) fn seal(&self, nonce: [u8; 12], clear: Vec<u8>, plain: &[&[u8]]) -> Vec<u8> {
        let mut sealed = plain.concat();
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0
            .seal_in_place_append_tag(nonce, Aad::from(&clear), &mut sealed)
            .expect("AES-GCM refuses only texts of more than 64 GiB");
        let mut out = clear;
        out.append(&mut sealed);
        out
    }

    pub(crate) fn open(&self, nonce: [u8; 12], clear: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let mut buffer = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let len = self.0.open_in_place(nonce, Aad::from(clear), &mut buffer).ok()?.len();
        buffer.truncate(len);
        Some(buffer)
    }
}

/// The two names of a channel.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    pub me: String,
    pub peer: String,
}

/// What a data frame of the peer contained.
pub(crate) enum Content {
    Confirmation,
    Payload(Vec<u8>),
}

/// One session: made of a challenge of each side, with a key and a counter for each direction.
pub(crate) struct Session {
    mine: Challenge,
    pub peers: Challenge,
    sealing: SealKey,
    opening: SealKey,
    next_counter: u64,
    window: Window,
    /// The peer has sent something in this session, so it certainly has it too.
    pub confirmed: bool,
}

impl Session {
    pub(crate) fn derive(secret: &Secret, names: &Names, mine: Challenge, peers: Challenge) -> Self {
        // Both sides must name the parts in one order, whoever greeted first.
        let own = [names.me.as_bytes(), mine.as_slice()];
        let other = [names.peer.as_bytes(), peers.as_slice()];
        let (a, b) = if own <= other { (own, other) } else { (other, own) };
        let session = secret.derive(&[b"session", a[0], a[1], b[0], b[1]]);
        let direction = |from: &str| SealKey::new(&session.derive(&[b"from", from.as_bytes()]));
        Self {
            mine,
            peers,
            sealing: direction(&names.me),
            opening: direction(&names.peer),
            next_counter: 1,
            window: Window::default(),
            confirmed: false,
        }
    }

    pub(crate) fn seal_payload(&mut self, key_id: KeyId, payload: &[u8]) -> Vec<u8> {
        self.seal(key_id, &[&[PAYLOAD], payload])
    }

    pub(crate) fn seal_confirmation(&mut self, key_id: KeyId) -> Vec<u8> {
        self.seal(key_id, &[&[CONFIRMATION]])
    }

    fn seal(&mut self, key_id: KeyId, plain: &[&[u8]]) -> Vec<u8> {
        let counter = self.next_counter;
        self.next_counter += 1;
        let clear = frame::data(key_id, self.mine, counter);
        self.sealing.seal(counter_nonce(counter), clear, plain)
    }

    /// Proves a data frame genuine, then fresh.
    pub(crate) fn open(&mut self, counter: u64, clear: &[u8], sealed: &[u8]) -> Result<Content, Reason> {
        let mut plain = self.opening.open(counter_nonce(counter), clear, sealed).ok_or(Reason::Forged)?;
        self.window.accept(counter)?;
        self.confirmed = true;
        match plain.first() {
            Some(&CONFIRMATION) => Ok(Content::Confirmation),
            Some(&PAYLOAD) => Ok(Content::Payload(plain.split_off(1))),
            _ => Err(Reason::Malformed),
        }
    }
}

fn counter_nonce(counter: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_be_bytes());
    nonce
}
