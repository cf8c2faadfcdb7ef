//! Sealed datagrams and the proof of the replication link: nobody who doesn't have the key is believed, whatever is sent.

use super::{Target, answer};
use crate::random::Random;
use hf_seal::{Channel, ClusterKey, Initiator, LinkStep, Responder, Rng, What};

const WORDS: &[&str] = &["\u{0}", "\u{1}", "\u{7f}", "node1", "node2"];

pub(super) const DATAGRAM: Target = Target {
    name: "sealed datagram",
    // What a node says that has another key, and what one says that has the right one: taken down, changed, played back.
    examples: || [1, 2].into_iter().flat_map(|byte| channel(byte, "node2", "node1", 7).seal(b"alive")).collect(),
    words: WORDS,
    take: |bytes| {
        let mut one = channel(1, "node1", "node2", 8);
        let opened = one.open(bytes);
        assert!(!matches!(opened.what, What::Data(_)) && !one.is_proven(), "believed without a proof");
        answer((format!("{:?}", opened.what).chars().take(12).collect::<String>(), opened.reply.is_some()))
    },
};

pub(super) const LINK: Target = Target {
    name: "proof of a link",
    examples: || [1, 2].map(|byte| Initiator::start(&key(byte), "link", "node2", "node1", &mut rng(9)).1).to_vec(),
    words: WORDS,
    take: |bytes| {
        let mut end = Responder::new(&key(1), "link", "node1", "node2", &mut rng(10));
        let greeted = end.next(bytes);
        assert!(!matches!(greeted, Ok(LinkStep::Done(_))), "a greeting proves nothing");
        let proven = end.next(bytes);
        assert!(proven.is_err(), "a greeting is no proof");
        let (initiator, _) = Initiator::start(&key(1), "link", "node1", "node2", &mut rng(11));
        assert!(initiator.next(bytes).is_err(), "a greeting is no answer");
        answer(greeted.err().map(|error| error.to_string()))
    },
};

fn channel(byte: u8, me: &str, peer: &str, seed: u64) -> Channel {
    Channel::new(&key(byte), "fuzz", me, peer, rng(seed))
}

fn key(byte: u8) -> ClusterKey {
    ClusterKey::from_bytes(&[byte; 32]).expect("32 bytes are a key")
}

fn rng(seed: u64) -> Rng {
    let mut random = Random::new(seed);
    Box::new(move |out: &mut [u8]| out.iter_mut().for_each(|byte| *byte = random.draw().to_le_bytes()[0]))
}
