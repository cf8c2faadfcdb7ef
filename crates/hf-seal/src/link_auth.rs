//! Mutual proof of the cluster key at the start of a TCP connection (the replication link).
//!
//! ```text
//! initiator -> responder   hello   "HFL2" key id 8, Ni 32, MAC 32 over it
//! responder -> initiator   answer  Nr 32, MAC 32 over the transcript so far
//! initiator -> responder   proof   MAC 32 over the transcript so far
//! ```
//! Each MAC is HMAC-SHA256 under a key of its own, derived from the purpose key, the step and the
//! names of both roles, so no message can be turned back at its sender or used for another step.
//! The first MAC alone proves nothing about now (it may be a recording), but a stranger without
//! recordings is dropped at his first message; freshness comes from the nonces that each side finds
//! in the other's MAC.
//!
//! Ni and Nr are fresh X25519 public keys: as unlike any before as random numbers, and both ends derive the connection's [`LinkKey`] from
//! what they agree on as well as from the cluster's key and the transcript. Who learns the cluster's key later can't read what was recorded.
//!
//! Versions: HFL1 had random numbers for Ni and Nr, and its key was never used. The lengths are fixed: read exactly so many bytes, with a time limit of
//! the caller's, before asking for the next step.

use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::hmac;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::key::{ClusterKey, Rng, Secret};
use crate::stats::Reason;

/// Length in bytes of the initiator's first message.
pub const LINK_HELLO_LEN: usize = 4 + 8 + NONCE_LEN + MAC_LEN;
/// Length in bytes of the responder's message.
pub const LINK_ANSWER_LEN: usize = NONCE_LEN + MAC_LEN;
/// Length in bytes of the initiator's second message.
pub const LINK_PROOF_LEN: usize = MAC_LEN;

const MAGIC: &[u8; 4] = b"HFL2";
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

    pub(crate) fn secret(&self) -> &Secret {
        &self.0
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

    /// Both ends' secret; the other one's share has been proven to be its own.
    fn key(&self, step: &'static str, mine: &Share, theirs: &[u8]) -> Result<LinkKey, LinkError> {
        let theirs = UnparsedPublicKey::new(&X25519, theirs);
        let refused = LinkError { step, reason: Reason::Malformed };
        agree(&mine.private, theirs, refused, |agreed| {
            Ok(LinkKey(self.secret.derive(&[b"link key", &self.said, agreed])))
        })
    }
}

/// One end's half of the key agreement, for one connection.
struct Share {
    private: PrivateKey,
    public: [u8; NONCE_LEN],
}

impl Share {
    fn draw(rng: &mut Rng) -> Share {
        let mut bytes = Zeroizing::new([0; NONCE_LEN]);
        rng(&mut *bytes);
        let private = PrivateKey::from_private_key(&X25519, &*bytes).expect("any 32 bytes are an X25519 key");
        let computed = private.compute_public_key().expect("an X25519 key has a public half");
        let mut public = [0; NONCE_LEN];
        public.copy_from_slice(computed.as_ref());
        Share { private, public }
    }
}

/// The end that opened the connection.
pub struct Initiator(Transcript, Share);

impl Initiator {
    /// Gives the first message, [`LINK_HELLO_LEN`] bytes.
    pub fn start(key: &ClusterKey, purpose: &str, me: &str, peer: &str, rng: &mut Rng) -> (Self, Vec<u8>) {
        let mut transcript = Transcript::new(key, purpose, me, peer);
        let share = Share::draw(rng);
        let id = key.purpose(purpose).key_id();
        let hello = transcript.say("hello", &[MAGIC.as_slice(), &id, &share.public].concat());
        (Self(transcript, share), hello)
    }

    /// Takes the answer, [`LINK_ANSWER_LEN`] bytes. Gives the proof to send; the responder is
    /// proven, and the link is open for this side after sending it.
    pub fn next(mut self, answer: &[u8]) -> Result<(Vec<u8>, LinkKey), LinkError> {
        self.0.hear("answer", answer, LINK_ANSWER_LEN)?;
        let proof = self.0.say("proof", &[]);
        let key = self.0.key("answer", &self.1, &answer[..NONCE_LEN])?;
        Ok((proof, key))
    }
}

/// The end that accepted the connection.
pub struct Responder {
    transcript: Transcript,
    key_id: [u8; 8],
    share: Share,
    /// The initiator's share, once its hello came.
    theirs: Option<[u8; NONCE_LEN]>,
}

impl Responder {
    pub fn new(key: &ClusterKey, purpose: &str, me: &str, peer: &str, rng: &mut Rng) -> Self {
        Self {
            transcript: Transcript::new(key, purpose, peer, me),
            key_id: key.purpose(purpose).key_id(),
            share: Share::draw(rng),
            theirs: None,
        }
    }

    /// Takes the hello ([`LINK_HELLO_LEN`] bytes), then the proof ([`LINK_PROOF_LEN`] bytes).
    /// After an error or `Done` the responder is used up: drop it.
    pub fn next(&mut self, message: &[u8]) -> Result<LinkStep, LinkError> {
        if let Some(theirs) = self.theirs {
            self.transcript.hear("proof", message, LINK_PROOF_LEN)?;
            return Ok(LinkStep::Done(self.transcript.key("proof", &self.share, &theirs)?));
        }
        self.check_hello(message)?;
        self.transcript.hear("hello", message, LINK_HELLO_LEN)?;
        let share = message.get(12..12 + NONCE_LEN).and_then(|share| share.try_into().ok());
        self.theirs = Some(share.ok_or(LinkError { step: "hello", reason: Reason::Malformed })?);
        let public = self.share.public;
        Ok(LinkStep::Send(self.transcript.say("answer", &public)))
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
