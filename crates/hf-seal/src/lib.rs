//! Sealed datagrams between two nodes, and the proof that opens a replication link.
//!
//! No socket, no clock and no randomness live here: bytes come in, bytes go out, and random
//! bytes come from the [`Rng`] that the caller hands over, so that a test or the simulator can
//! replay every exchange.
//!
//! # The story of a channel
//!
//! Both nodes hold the *cluster key*. For every use there is a *purpose* ("membership",
//! "heart/AM/default", "link/AM") and a key derived for it, so that a frame of one use is noise
//! for every other. A [`Channel`] joins this node to one peer for one purpose.
//!
//! Each side keeps one *challenge*: 16 random bytes that were never part of a session. Three
//! frames make a session:
//!
//! 1. `Hello {my challenge}`, sealed for this direction under the purpose key;
//! 2. `Welcome {your challenge, my challenge}`: whoever reads his own challenge in it knows that
//!    the sender lives now and not in a recording;
//! 3. `Data`, sealed under a key made of both challenges: whoever can open it knows the same of
//!    the other side.
//!
//! The session key is HKDF(purpose key, names and challenges in the order of the names), so two
//! sides that greet each other at the same moment arrive at one session, not two.
//!
//! # Why it holds
//!
//! * Nothing counts as alive before it was proven: only `Data` is handed to the caller, and its key
//!   contains a challenge that the receiver drew itself, after its own start, and uses once. What
//!   was recorded earlier, also before a restart of either side, doesn't open.
//! * A `Hello` changes nothing at the receiver, so a replayed one can't end a living session; the
//!   old session stays until somebody proves a new one by opening it.
//! * Within a session a counter is the nonce of each direction, and a window of 1024 refuses
//!   what was seen before.
//! * A peer that restarts has no session and says `Hello` with its first datagram; one round trip
//!   later both are in a new session. Should the two sides ever disagree about the session (a
//!   snapshot restored under a running node turns its counters back), sixteen refused frames in a
//!   row start a new handshake, again without ending the old session before the new one is proven.
//!
//! What it does not do: an attacker who can hold datagrams back, not only copy them, can
//! deliver later as many living frames as he swallowed. Only a clock could tell; frames that
//! decide anything carry counters of their own for that reason.

mod channel;
mod frame;
mod hand_over;
mod key;
mod link_auth;
mod record;
mod session;
mod stats;
mod window;

pub use channel::{Channel, Opened, What};
pub use hand_over::{Channels, KeyRing, RngSource};
pub use key::{ClusterKey, KeyError, Rng, os_rng};
pub use link_auth::{
    Initiator, LINK_ANSWER_LEN, LINK_HELLO_LEN, LINK_PROOF_LEN, LinkError, LinkKey, LinkStep, Responder,
};
pub use record::{
    LinkEnd, RECORD_HEAD_LEN, RECORD_OVERHEAD, RECORD_PLAIN_MAX, RecordError, RecordOpener, RecordSealer,
};
pub use stats::{Reason, Stats};
