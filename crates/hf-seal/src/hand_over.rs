//! A channel, and for a while the one of the key before: a new key reaches the nodes one after the other, and meanwhile they must go on hearing
//! each other.

use crate::channel::{Channel, Opened, What};
use crate::key::{ClusterKey, Rng};
use crate::stats::Reason;

/// The cluster's key, and the one before while a node may still use that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRing {
    pub key: ClusterKey,
    pub before: Option<ClusterKey>,
}

impl KeyRing {
    /// Only this key.
    pub fn of(key: ClusterKey) -> KeyRing {
        KeyRing { key, before: None }
    }
}

/// Where random bytes come from: each channel draws its own.
pub type RngSource = fn() -> Rng;

/// See the module.
pub struct Channels {
    ring: KeyRing,
    purpose: String,
    me: String,
    peer: String,
    rng: RngSource,
    channel: Channel,
    /// Gone once the other node has proven itself with the new key.
    before: Option<Channel>,
}

impl Channels {
    /// As [`Channel::new`], for both keys of the ring.
    pub fn new(ring: &KeyRing, purpose: &str, me: &str, peer: &str, rng: RngSource) -> Channels {
        let make = |key: &ClusterKey| Channel::new(key, purpose, me, peer, rng());
        let (channel, before) = (make(&ring.key), ring.before.as_ref().map(make));
        let (purpose, me, peer) = (purpose.to_owned(), me.to_owned(), peer.to_owned());
        Channels { ring: ring.clone(), purpose, me, peer, rng, channel, before }
    }

    /// Another key: the other node is heard under the present one until it has the new one.
    pub fn change(&mut self, ring: &KeyRing) {
        if ring.key == self.ring.key {
            return;
        }
        let fresh = Channel::new(&ring.key, &self.purpose, &self.me, &self.peer, (self.rng)());
        let present = std::mem::replace(&mut self.channel, fresh);
        // Two changes in a row: whoever missed the first one speaks the older key.
        if present.is_proven() || self.before.is_none() {
            self.before = Some(present);
        }
        self.ring = ring.clone();
    }

    /// The other node may still use the key before.
    pub fn is_handing_over(&self) -> bool {
        self.before.is_some()
    }

    /// Sealed under both keys while it isn't known which one the other node has.
    pub fn seal(&mut self, body: &[u8]) -> Vec<Vec<u8>> {
        let mut all = self.channel.seal(body);
        all.extend(self.before.iter_mut().flat_map(|before| before.seal(body)));
        all
    }

    /// As [`Channel::open`].
    pub fn open(&mut self, datagram: &[u8]) -> Opened {
        let opened = self.channel.open(datagram);
        if matches!(opened.what, What::Data(_)) {
            self.before = None;
        }
        match (&opened.what, &mut self.before) {
            (What::Rejected(Reason::WrongKey), Some(before)) => before.open(datagram),
            _ => opened,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os_rng;

    fn key(byte: u8) -> ClusterKey {
        ClusterKey::generate(&mut (Box::new(move |bytes: &mut [u8]| bytes.fill(byte)) as Rng))
    }

    fn end(ring: &KeyRing, me: &str, peer: &str) -> Channels {
        Channels::new(ring, "test", me, peer, os_rng)
    }

    /// What `to` takes out of one word of `from`, handshakes carried to and fro.
    fn heard(from: &mut Channels, to: &mut Channels) -> bool {
        let mut heard = false;
        for _ in 0..3 {
            let mut flying: Vec<(bool, Vec<u8>)> = from.seal(b"word").into_iter().map(|frame| (true, frame)).collect();
            while let Some((forth, frame)) = flying.pop() {
                let opened = if forth { to.open(&frame) } else { from.open(&frame) };
                heard |= forth && opened.what == What::Data(b"word".to_vec());
                flying.extend(opened.reply.map(|reply| (!forth, reply)));
            }
        }
        heard
    }

    #[test]
    fn nobody_falls_silent_while_a_key_is_handed_over() {
        let (old, new) = (KeyRing::of(key(1)), KeyRing::of(key(2)));
        let (mut a, mut b) = (end(&old, "a", "b"), end(&old, "b", "a"));
        assert!(heard(&mut a, &mut b) && heard(&mut b, &mut a) && !a.is_handing_over());
        a.change(&new);
        assert!(a.is_handing_over());
        assert!(heard(&mut a, &mut b) && heard(&mut b, &mut a), "b has the old key only");
        assert!(a.is_handing_over());
        // A process that starts in between.
        let mut a = end(&KeyRing { key: key(2), before: Some(key(1)) }, "a", "b");
        assert!(heard(&mut a, &mut b) && heard(&mut b, &mut a));
        b.change(&new);
        assert!(heard(&mut a, &mut b) && heard(&mut b, &mut a));
        assert!(!a.is_handing_over() && !b.is_handing_over(), "each has heard the other under the new key");
        let mut late = end(&old, "b", "a");
        assert!(!heard(&mut a, &mut late) && !heard(&mut late, &mut a), "the key before is over");
    }

    #[test]
    fn two_changes_in_a_row_keep_the_key_that_the_other_node_has() {
        let mut a = end(&KeyRing::of(key(1)), "a", "b");
        let mut b = end(&KeyRing::of(key(1)), "b", "a");
        assert!(heard(&mut a, &mut b) && heard(&mut b, &mut a));
        a.change(&KeyRing::of(key(2)));
        a.change(&KeyRing::of(key(3)));
        assert!(heard(&mut a, &mut b) && heard(&mut b, &mut a));
        b.change(&KeyRing::of(key(3)));
        assert!(heard(&mut a, &mut b) && heard(&mut b, &mut a) && !a.is_handing_over());
    }
}
