//! Mutual proof of the cluster key at the start of a TCP connection (the replication link).
//!
//! ```text
//! initiator -> responder   hello   "HFL1" key id 8, Ni 32, MAC 32 over it
//! responder -> initiator   answer  Nr 32, MAC 32 over the transcript so far
//! initiator -> responder   proof   MAC 32 over the transcript so far
//! ```
//! Each MAC is HMAC-SHA256 under a key of its own, derived from the purpose key, the step and the
//! names of both roles, so no message can be turned back at its sender or used for another step.
//! The first MAC alone proves nothing about now (it may be a recording), but a stranger without
//! recordings is dropped at his first message; freshness comes from the nonces that each side finds
//! in the other's MAC. The lengths are fixed: read exactly so many bytes, with a time limit of
//! the caller's, before asking for the next step.

use aws_lc_rs::hmac;
use thiserror::Error;

use crate::key::{ClusterKey, Rng, Secret};
use crate::stats::Reason;

/// Length in bytes of the initiator's first message.
pub const LINK_HELLO_LEN: usize = 4 + 8 + NONCE_LEN + MAC_LEN;
/// Length in bytes of the responder's message.
pub const LINK_ANSWER_LEN: usize = NONCE_LEN + MAC_LEN;
/// Length in bytes of the initiator's second message.
pub const LINK_PROOF_LEN: usize = MAC_LEN;

const MAGIC: &[u8; 4] = b"HFL1";
const NONCE_LEN: usize = 32;
const MAC_LEN: usize = 32;

/// The other end didn't prove itself: close the connection and count `reason`.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the other end of the link was refused in its {step}: {reason}")]
pub struct LinkError {
    pub step: &'static str,
    pub reason: Reason,
}

/// A key that only the two ends of this connection know; 32 bytes, wiped on drop.
pub struct LinkKey(Secret);

impl LinkKey {
    pub fn bytes(&self) -> &[u8; 32] {
        self.0.bytes()
    }
}

impl std::fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LinkKey(hidden)")
    }
}

/// What the responder does next.
#[derive(Debug)]
pub enum LinkStep {
    /// Send this, then read [`LINK_PROOF_LEN`] bytes.
    Send(Vec<u8>),
    /// The initiator is proven; the link is open.
    Done(LinkKey),
}

/// Both ends' common part: the key and everything said so far.
struct Transcript {
    secret: Secret,
    said: Vec<u8>,
}

impl Transcript {
    fn new(key: &ClusterKey, purpose: &str, initiator: &str, responder: &str) -> Self {
        let secret = key.purpose(purpose).derive(&[b"link", initiator.as_bytes(), responder.as_bytes()]);
        Self { secret, said: Vec::new() }
    }

    fn mac_key(&self, step: &str) -> hmac::Key {
        let secret = self.secret.derive(&[b"mac", step.as_bytes()]);
        hmac::Key::new(hmac::HMAC_SHA256, secret.bytes())
    }

    /// Appends `body` and the MAC over everything to the transcript; gives what to send.
    fn say(&mut self, step: &str, body: &[u8]) -> Vec<u8> {
        self.said.extend_from_slice(body);
        let mac = hmac::sign(&self.mac_key(step), &self.said);
        self.said.extend_from_slice(mac.as_ref());
        [body, mac.as_ref()].concat()
    }

    /// Checks a message made by [`Transcript::say`] at the other end.
    fn hear(&mut self, step: &'static str, message: &[u8], len: usize) -> Result<(), LinkError> {
        if message.len() != len {
            return Err(LinkError { step, reason: Reason::Malformed });
        }
        let (body, mac) = message.split_at(len - MAC_LEN);
        self.said.extend_from_slice(body);
        hmac::verify(&self.mac_key(step), &self.said, mac).map_err(|_| LinkError { step, reason: Reason::Forged })?;
        self.said.extend_from_slice(mac);
        Ok(())
    }

    fn key(&self) -> LinkKey {
        LinkKey(self.secret.derive(&[b"link key", &self.said]))
    }
}

/// The end that opened the connection.
pub struct Initiator(Transcript);

impl Initiator {
    /// Gives the first message, [`LINK_HELLO_LEN`] bytes.
    pub fn start(key: &ClusterKey, purpose: &str, me: &str, peer: &str, rng: &mut Rng) -> (Self, Vec<u8>) {
        let mut transcript = Transcript::new(key, purpose, me, peer);
        let mut nonce = [0; NONCE_LEN];
        rng(&mut nonce);
        let id = key.purpose(purpose).key_id();
        let hello = transcript.say("hello", &[MAGIC.as_slice(), &id, &nonce].concat());
        (Self(transcript), hello)
    }

    /// Takes the answer, [`LINK_ANSWER_LEN`] bytes. Gives the proof to send; the responder is
    /// proven, and the link is open for this side after sending it.
    pub fn next(mut self, answer: &[u8]) -> Result<(Vec<u8>, LinkKey), LinkError> {
        self.0.hear("answer", answer, LINK_ANSWER_LEN)?;
        let proof = self.0.say("proof", &[]);
        Ok((proof, self.0.key()))
    }
}

/// The end that accepted the connection.
pub struct Responder {
    transcript: Transcript,
    key_id: [u8; 8],
    nonce: [u8; NONCE_LEN],
    answered: bool,
}

impl Responder {
    pub fn new(key: &ClusterKey, purpose: &str, me: &str, peer: &str, rng: &mut Rng) -> Self {
        let mut nonce = [0; NONCE_LEN];
        rng(&mut nonce);
        Self {
            transcript: Transcript::new(key, purpose, peer, me),
            key_id: key.purpose(purpose).key_id(),
            nonce,
            answered: false,
        }
    }

    /// Takes the hello ([`LINK_HELLO_LEN`] bytes), then the proof ([`LINK_PROOF_LEN`] bytes).
    /// After an error or `Done` the responder is used up: drop it.
    pub fn next(&mut self, message: &[u8]) -> Result<LinkStep, LinkError> {
        if self.answered {
            self.transcript.hear("proof", message, LINK_PROOF_LEN)?;
            return Ok(LinkStep::Done(self.transcript.key()));
        }
        self.check_hello(message)?;
        self.transcript.hear("hello", message, LINK_HELLO_LEN)?;
        self.answered = true;
        let nonce = self.nonce;
        Ok(LinkStep::Send(self.transcript.say("answer", &nonce)))
    }

    /// Tells a stranger and a node with another key apart, for the counters.
    fn check_hello(&self, message: &[u8]) -> Result<(), LinkError> {
        let refuse = |reason| Err(LinkError { step: "hello", reason });
        if !message.starts_with(MAGIC) {
            return refuse(Reason::Unsealed);
        }
        if message.get(4..12) != Some(self.key_id.as_slice()) {
            return refuse(Reason::WrongKey);
        }
        Ok(())
    }
}
