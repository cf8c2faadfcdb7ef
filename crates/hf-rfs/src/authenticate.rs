//! Both ends of the replication link prove that they have the cluster's key, and agree on a key that seals what follows.

use crate::load::lock;
use hf_fs::link::sealed::{Open, Protection, Seal};
use hf_fs::link::{Authenticate, Limited};
use hf_seal::{
    ClusterKey, Initiator, KeyRing, LINK_ANSWER_LEN, LINK_HELLO_LEN, LINK_PROOF_LEN, LinkEnd, LinkError, LinkKey,
    LinkStep, Reason, RecordOpener, RecordSealer, Responder, os_rng,
};
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// First byte of a connection: whether the end that connects seals. Both must want the same; the proof covers it.
const SEALED: u8 = b'S';
const PLAIN: u8 = b'P';

/// The proof for one module's link between two nodes.
pub struct ByClusterKey {
    pub keys: Arc<Mutex<KeyRing>>,
    /// While a new key is handed over: whether the next connection is asked for with the one before, because the other node may have only that.
    pub asks_before: AtomicBool,
    pub purpose: String,
    pub me: String,
    pub peer: String,
    /// `encryption` of `<rfs>`, where there is a key.
    pub sealed: bool,
}

impl Authenticate for ByClusterKey {
    fn initiate(&self, stream: &mut Limited<'_>) -> Result<Option<Protection>, String> {
        let KeyRing { key, before } = lock(&self.keys).clone();
        let with_before = before.is_some() && self.asks_before.load(Ordering::SeqCst);
        let done = self.initiate_with(before.filter(|_| with_before).as_ref().unwrap_or(&key), stream);
        if done.is_err() {
            self.asks_before.store(!with_before, Ordering::SeqCst);
        }
        done
    }

    fn respond(&self, stream: &mut Limited<'_>) -> Result<Option<Protection>, String> {
        let [word] = read::<1>(stream)?;
        if word != self.word() && matches!(word, SEALED | PLAIN) {
            return Err(
                "one node encrypts the replication and the other doesn't: encryption of <rfs> must be the same on both"
                    .to_owned(),
            );
        }
        let KeyRing { key, before } = lock(&self.keys).clone();
        let hello = read::<LINK_HELLO_LEN>(stream)?;
        let mut responder = self.responder(&key);
        let mut step = responder.next(&hello);
        if let (Err(LinkError { reason: Reason::WrongKey, .. }), Some(before)) = (&step, &before) {
            responder = self.responder(before);
            step = responder.next(&hello);
        }
        match step.map_err(refused)? {
            LinkStep::Send(answer) => stream.write_all(&answer).map_err(broke)?,
            LinkStep::Done(_) => return Err("the proof has too few steps".to_owned()),
        }
        let proof = read::<LINK_PROOF_LEN>(stream)?;
        match responder.next(&proof).map_err(refused)? {
            LinkStep::Done(key) => Ok(self.protection(&key, LinkEnd::Responder)),
            LinkStep::Send(_) => Err("the proof was not the last step".to_owned()),
        }
    }
}

impl ByClusterKey {
    fn initiate_with(&self, key: &ClusterKey, stream: &mut Limited<'_>) -> Result<Option<Protection>, String> {
        let (initiator, hello) = Initiator::start(key, &self.purpose(), &self.me, &self.peer, &mut os_rng());
        stream.write_all(&[&[self.word()], hello.as_slice()].concat()).map_err(broke)?;
        let answer = read::<LINK_ANSWER_LEN>(stream)?;
        let (proof, key) = initiator.next(&answer).map_err(refused)?;
        stream.write_all(&proof).map_err(broke)?;
        Ok(self.protection(&key, LinkEnd::Initiator))
    }

    fn responder(&self, key: &ClusterKey) -> Responder {
        Responder::new(key, &self.purpose(), &self.me, &self.peer, &mut os_rng())
    }

    fn word(&self) -> u8 {
        if self.sealed { SEALED } else { PLAIN }
    }

    /// A changed word makes another purpose, so that nobody on the way can turn sealing off.
    fn purpose(&self) -> String {
        format!("{} {}", self.purpose, if self.sealed { "sealed" } else { "plain" })
    }

    fn protection(&self, key: &LinkKey, me: LinkEnd) -> Option<Protection> {
        let both = || Protection {
            seal: Box::new(Records(RecordSealer::new(key, me))),
            open: Box::new(Records(RecordOpener::new(key, me))),
        };
        self.sealed.then(both)
    }
}

struct Records<T>(T);

impl Seal for Records<RecordSealer> {
    fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        self.0.seal(plain, out);
    }
}

impl Open for Records<RecordOpener> {
    fn open(&mut self, sealed: &[u8], plain: &mut [u8]) -> Result<Option<(usize, usize)>, String> {
        self.0.open(sealed, plain).map_err(|error| error.to_string())
    }
}

fn read<const LENGTH: usize>(stream: &mut Limited<'_>) -> Result<[u8; LENGTH], String> {
    let mut bytes = [0; LENGTH];
    stream.read_exact(&mut bytes).map_err(broke)?;
    Ok(bytes)
}

// By value, for map_err.
#[expect(clippy::needless_pass_by_value)]
fn broke(error: io::Error) -> String {
    format!("the other end did not finish its proof: {error}")
}

#[expect(clippy::needless_pass_by_value)]
fn refused(error: LinkError) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    fn end(key: u8, me: &str, peer: &str, sealed: bool) -> ByClusterKey {
        let keys = Arc::new(Mutex::new(KeyRing::of(cluster_key(key))));
        ByClusterKey {
            keys,
            asks_before: AtomicBool::new(false),
            purpose: "link/t".into(),
            me: me.into(),
            peer: peer.into(),
            sealed,
        }
    }

    fn cluster_key(byte: u8) -> ClusterKey {
        ClusterKey::from_bytes(&[byte; 32]).unwrap()
    }

    type Ended = Result<Option<Protection>, String>;

    fn meet(one: ByClusterKey, other: ByClusterKey) -> (Ended, Ended) {
        meet_again(&Arc::new(one), &Arc::new(other))
    }

    fn meet_again(one: &Arc<ByClusterKey>, other: &Arc<ByClusterKey>) -> (Ended, Ended) {
        let (one, other) = (one.clone(), other.clone());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let server = listener.accept().unwrap().0;
        let responder = std::thread::spawn(move || other.respond(&mut Limited::new(&server)));
        let initiated = one.initiate(&mut Limited::new(&client));
        drop(client);
        (initiated, responder.join().unwrap())
    }

    #[test]
    fn sealed_ends_understand_each_other_both_ways() {
        let (one, other) = meet(end(1, "a", "b", true), end(1, "b", "a", true));
        let (mut one, mut other) = (one.unwrap().unwrap(), other.unwrap().unwrap());
        let mut room = vec![0; hf_fs::link::sealed::RECORD_MAX];
        for (from, to) in [(&mut one.seal, &mut other.open), (&mut other.seal, &mut one.open)] {
            let mut sealed = Vec::new();
            from.seal(b"frame", &mut sealed);
            assert_eq!(to.open(&sealed, &mut room), Ok(Some((sealed.len(), 5))));
            assert!(to.open(&sealed, &mut room).is_err(), "repeated");
        }
    }

    #[test]
    fn a_new_key_is_handed_over_whichever_end_has_it_first() {
        let with_both = |me: &str, peer: &str| {
            let end = end(2, me, peer, true);
            lock(&end.keys).before = Some(cluster_key(1));
            Arc::new(end)
        };
        let (new, old) = (with_both("a", "b"), Arc::new(end(1, "b", "a", true)));
        let (asks, answers) = meet_again(&old, &new);
        assert!(asks.is_ok() && answers.is_ok(), "the end that answers sees which key it is");
        let first = meet_again(&new, &old);
        let second = meet_again(&new, &old);
        assert!(first.0.is_ok() || second.0.is_ok(), "the end that asks tries both in turn");
        *lock(&old.keys) = KeyRing::of(cluster_key(2));
        let ends = [meet_again(&new, &old), meet_again(&new, &old), meet_again(&old, &new)];
        assert!(ends.iter().filter(|(asks, _)| asks.is_ok()).count() >= 2, "and goes back to the new one");
        lock(&new.keys).before = None;
        assert!(meet_again(&new, &old).0.is_ok());
        assert!(meet_again(&Arc::new(end(1, "b", "a", true)), &new).1.is_err(), "the key before is over");
    }

    #[test]
    fn without_encryption_the_proof_stays() {
        let (one, other) = meet(end(1, "a", "b", false), end(1, "b", "a", false));
        assert!(one.unwrap().is_none() && other.unwrap().is_none());
        let (one, other) = meet(end(1, "a", "b", false), end(2, "b", "a", false));
        assert!(one.is_err() && other.is_err(), "another key");
        let (one, other) = meet(end(1, "a", "b", true), end(2, "b", "a", true));
        assert!(one.is_err() && other.is_err(), "another key");
    }

    #[test]
    fn nodes_that_differ_say_so() {
        for sealed in [true, false] {
            let (one, other) = meet(end(1, "a", "b", sealed), end(1, "b", "a", !sealed));
            assert!(one.is_err());
            assert!(other.err().unwrap().contains("encryption of <rfs>"));
        }
    }
}
