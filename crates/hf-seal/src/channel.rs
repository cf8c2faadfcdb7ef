//! One node's end of a sealed channel to one peer. The crate's first page tells the protocol.

use crate::frame::{self, Challenge, Frame, KeyId, Kind, array};
use crate::key::{ClusterKey, Rng, Secret};
use crate::session::{Content, Names, SealKey, Session};
use crate::stats::{Reason, Stats};

/// So many refused frames with no accepted one between them mean that the two sides no longer
/// agree about their session (a restored snapshot turns counters back): greet again.
const REFUSALS_BEFORE_GREETING: u32 = 16;

/// What became of a datagram.
#[derive(Debug, PartialEq, Eq)]
pub struct Opened {
    pub what: What,
    /// To be sent to the peer at once, whatever `what` is.
    pub reply: Option<Vec<u8>>,
}

/// See [`Opened`].
#[derive(Debug, PartialEq, Eq)]
pub enum What {
    /// The peer, alive and proven, sent this now.
    Data(Vec<u8>),
    /// A step of the handshake. Says nothing about the peer's being alive.
    Handshake,
    /// Dropped and counted.
    Rejected(Reason),
}

/// One node's end of a sealed channel.
pub struct Channel {
    names: Names,
    secret: Secret,
    key_id: KeyId,
    greeting_out: SealKey,
    greeting_in: SealKey,
    rng: Rng,
    /// My challenge that no session has used yet.
    challenge: Challenge,
    session: Option<Session>,
    /// What the caller last wanted to send while there was no session.
    waiting: Option<Vec<u8>>,
    /// Refused frames since the last accepted one.
    refusals: u32,
    /// A new session is wanted though there is a confirmed one.
    greeting_again: bool,
    stats: Stats,
}

impl Channel {
    /// A channel between the nodes named `me` and `peer` (any names that both sides spell alike,
    /// but never the same for both) for one `purpose`.
    pub fn new(key: &ClusterKey, purpose: &str, me: &str, peer: &str, mut rng: Rng) -> Self {
        debug_assert_ne!(me, peer, "a channel joins two nodes");
        let secret = key.purpose(purpose);
        let greeting =
            |from: &str, to: &str| SealKey::new(&secret.derive(&[b"greeting", from.as_bytes(), to.as_bytes()]));
        let challenge = draw(&mut rng);
        Self {
            key_id: secret.key_id(),
            greeting_out: greeting(me, peer),
            greeting_in: greeting(peer, me),
            names: Names { me: me.to_owned(), peer: peer.to_owned() },
            secret,
            rng,
            challenge,
            session: None,
            waiting: None,
            refusals: 0,
            greeting_again: false,
            stats: Stats::default(),
        }
    }

    /// Seals `plaintext`; send every datagram that comes back. Without a session it is a hello,
    /// and the text waits; only the latest text does, for an older heartbeat is worth nothing.
    pub fn seal(&mut self, plaintext: &[u8]) -> Vec<Vec<u8>> {
        let key_id = self.key_id;
        let Some(session) = &mut self.session else {
            self.waiting = Some(plaintext.to_vec());
            return vec![self.hello()];
        };
        let data = session.seal_payload(key_id, plaintext);
        if session.confirmed {
            vec![data]
        } else {
            // The peer may have lost the session before it used it: greet along with each datagram.
            vec![data, self.hello()]
        }
    }

    /// Takes one datagram from the network.
    pub fn open(&mut self, datagram: &[u8]) -> Opened {
        match self.try_open(datagram) {
            Ok(opened) => opened,
            Err(reason) => self.refuse(reason),
        }
    }

    /// Counters since this channel was made.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// The peer has proven itself in the present session.
    pub fn is_proven(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.confirmed)
    }

    fn try_open(&mut self, datagram: &[u8]) -> Result<Opened, Reason> {
        let frame = Frame::parse(datagram)?;
        if frame.key_id != self.key_id {
            return Err(Reason::WrongKey);
        }
        match frame.kind {
            Kind::Hello { nonce } => self.on_hello(nonce, &frame),
            Kind::Welcome { nonce } => self.on_welcome(nonce, &frame),
            Kind::Data { sender, counter } => self.on_data(sender, counter, &frame),
        }
    }

    /// Answers with both challenges and changes nothing: the hello may be a recording.
    fn on_hello(&mut self, nonce: [u8; 12], frame: &Frame) -> Result<Opened, Reason> {
        let plain = self.open_greeting(nonce, frame)?;
        let peers: Challenge = whole(&plain)?;
        if self.session.as_ref().is_some_and(|session| session.peers == peers) {
            // That challenge became our session: a duplicate on the way, or a recording.
            return Err(Reason::Replayed);
        }
        let nonce = draw(&mut self.rng);
        let clear = frame::welcome(self.key_id, nonce);
        let reply = self.greeting_out.seal(nonce, clear, &[&peers, &self.challenge]);
        Ok(Opened { what: What::Handshake, reply: Some(reply) })
    }

    /// Begins the session if it answers my open challenge and I want one.
    fn on_welcome(&mut self, nonce: [u8; 12], frame: &Frame) -> Result<Opened, Reason> {
        let plain = self.open_greeting(nonce, frame)?;
        let both: [u8; 32] = whole(&plain)?;
        let (mine, peers) = both.split_at(16);
        let peers: Challenge = whole(peers)?;
        if mine != self.challenge.as_slice() {
            return Err(Reason::Replayed);
        }
        if let Some(session) = &self.session {
            // The peer's challenge is used up: its session overtook this answer on the way.
            if session.peers == peers {
                return Err(Reason::Replayed);
            }
            if session.confirmed && !self.greeting_again {
                return Ok(Opened { what: What::Handshake, reply: None });
            }
        }
        let session = Session::derive(&self.secret, &self.names, self.challenge, peers);
        self.begin(session);
        Ok(Opened { what: What::Handshake, reply: self.first_words() })
    }

    fn on_data(&mut self, sender: Challenge, counter: u64, frame: &Frame) -> Result<Opened, Reason> {
        if let Some(session) = self.session.as_mut().filter(|session| session.peers == sender) {
            let content = session.open(counter, frame.clear, frame.sealed)?;
            self.refusals = 0;
            return Ok(self.accept(content, None));
        }
        // The first frame of a session that the peer made of my open challenge?
        let mut session = Session::derive(&self.secret, &self.names, self.challenge, sender);
        let content = match session.open(counter, frame.clear, frame.sealed) {
            Ok(content) => content,
            Err(Reason::Forged) => return Err(Reason::StaleSession),
            Err(reason) => return Err(reason),
        };
        self.begin(session);
        let reply = self.first_words();
        Ok(self.accept(content, reply))
    }

    /// Replaces the session; my challenge is used up with it.
    fn begin(&mut self, session: Session) {
        self.session = Some(session);
        self.challenge = draw(&mut self.rng);
        self.refusals = 0;
        self.greeting_again = false;
        self.stats.sessions += 1;
    }

    /// The first frame in a new session, which proves me to the peer: what waits, or nothing.
    fn first_words(&mut self) -> Option<Vec<u8>> {
        let key_id = self.key_id;
        let session = self.session.as_mut()?;
        Some(match self.waiting.take() {
            Some(payload) => session.seal_payload(key_id, &payload),
            None => session.seal_confirmation(key_id),
        })
    }

    fn accept(&mut self, content: Content, reply: Option<Vec<u8>>) -> Opened {
        let what = match content {
            Content::Confirmation => What::Handshake,
            Content::Payload(payload) => {
                self.stats.accepted += 1;
                What::Data(payload)
            }
        };
        Opened { what, reply }
    }

    /// Counts, and greets where the refusal may mean that the two sides disagree.
    fn refuse(&mut self, reason: Reason) -> Opened {
        self.stats.count(reason);
        let reply = match reason {
            Reason::StaleSession | Reason::Replayed | Reason::TooOld => self.greet_if_lost(reason),
            Reason::Unsealed | Reason::Malformed | Reason::WrongKey | Reason::Forged => None,
        };
        Opened { what: What::Rejected(reason), reply }
    }

    fn greet_if_lost(&mut self, reason: Reason) -> Option<Vec<u8>> {
        if !self.is_proven() {
            // The peer talks in a session that I lost; my hello gives it the new one.
            return (reason == Reason::StaleSession).then(|| self.hello());
        }
        self.refusals += 1;
        if self.refusals < REFUSALS_BEFORE_GREETING {
            return None;
        }
        self.refusals = 0;
        self.greeting_again = true;
        Some(self.hello())
    }

    fn hello(&mut self) -> Vec<u8> {
        let nonce = draw(&mut self.rng);
        let clear = frame::hello(self.key_id, nonce);
        self.greeting_out.seal(nonce, clear, &[&self.challenge])
    }

    fn open_greeting(&self, nonce: [u8; 12], frame: &Frame) -> Result<Vec<u8>, Reason> {
        self.greeting_in.open(nonce, frame.clear, frame.sealed).ok_or(Reason::Forged)
    }
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel")
            .field("names", &self.names)
            .field("proven", &self.is_proven())
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

fn draw<const N: usize>(rng: &mut Rng) -> [u8; N] {
    let mut out = [0; N];
    rng(&mut out);
    out
}

/// `plain` as exactly `N` bytes.
fn whole<const N: usize>(plain: &[u8]) -> Result<[u8; N], Reason> {
    if plain.len() != N {
        return Err(Reason::Malformed);
    }
    array(plain, 0).ok_or(Reason::Malformed)
}
