//! Random loss, delay, reordering, duplication, recordings and restarts: nothing old is ever taken for
//! alive, nothing is delivered twice, and when the trouble ends both sides talk again.

use std::collections::BTreeSet;

use hf_seal::{Channel, ClusterKey, Rng, What};
use proptest::prelude::*;

fn rng(seed: u64) -> Rng {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    Box::new(move |out: &mut [u8]| {
        for byte in out {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *byte = (state >> 32) as u8;
        }
    })
}

#[derive(Debug, Clone)]
enum Op {
    /// This side seals something new.
    Seal(bool),
    /// Any datagram ever sent is delivered to this side, perhaps again; 0 is the latest.
    Deliver(bool, usize),
    /// As above, damaged: a byte is changed.
    Damage(bool, usize, usize, u8),
    Restart(bool),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => any::<bool>().prop_map(Op::Seal),
        8 => (any::<bool>(), 0usize..4).prop_map(|(to, back)| Op::Deliver(to, back)),
        2 => (any::<bool>(), 0usize..200).prop_map(|(to, back)| Op::Deliver(to, back)),
        1 => (any::<bool>(), 0usize..20, 0usize..200, 1u8..).prop_map(|(to, back, at, xor)| Op::Damage(to, back, at, xor)),
        1 => any::<bool>().prop_map(Op::Restart),
    ]
}

struct World {
    sides: [Channel; 2],
    started: [usize; 2],
    /// For each receiver: every datagram meant for it, and the step in which it was made.
    sent: [Vec<(usize, Vec<u8>)>; 2],
    delivered: [BTreeSet<Vec<u8>>; 2],
    step: usize,
}

impl World {
    fn new() -> Self {
        Self {
            sides: [side(0, 1), side(1, 2)],
            started: [0, 0],
            sent: [Vec::new(), Vec::new()],
            delivered: [BTreeSet::new(), BTreeSet::new()],
            step: 0,
        }
    }

    fn run(&mut self, op: &Op) {
        self.step += 1;
        match *op {
            Op::Seal(from) => {
                let text = self.step.to_be_bytes();
                let datagrams = self.sides[usize::from(from)].seal(&text);
                self.send(!from, datagrams);
            }
            Op::Deliver(to, back) => self.deliver(to, back, |_| ()),
            Op::Damage(to, back, at, xor) => self.deliver(to, back, |datagram| {
                let at = at % datagram.len();
                datagram[at] ^= xor;
            }),
            Op::Restart(which) => {
                let index = usize::from(which);
                self.sides[index] = side(index, 1000 + self.step as u64);
                self.started[index] = self.step;
            }
        }
    }

    fn send(&mut self, to: bool, datagrams: impl IntoIterator<Item = Vec<u8>>) {
        let step = self.step;
        self.sent[usize::from(to)].extend(datagrams.into_iter().map(|datagram| (step, datagram)));
    }

    fn deliver(&mut self, to: bool, back: usize, change: impl FnOnce(&mut Vec<u8>)) {
        let index = usize::from(to);
        let Some(place) = self.sent[index].len().checked_sub(back + 1) else {
            return;
        };
        let (made, mut datagram) = self.sent[index][place].clone();
        change(&mut datagram);
        let opened = self.sides[index].open(&datagram);
        if let What::Data(text) = opened.what {
            assert!(made > self.started[index], "a recording from before the start was taken for alive");
            assert!(self.delivered[index].insert(text), "delivered twice");
        }
        self.send(!to, opened.reply);
    }

    /// An honest network: everything new arrives once, in order.
    fn settle(&mut self, rounds: usize) {
        for round in 0..rounds {
            let mut next = [self.sent[0].len(), self.sent[1].len()];
            self.run(&Op::Seal(round % 2 == 0));
            while next[0] < self.sent[0].len() || next[1] < self.sent[1].len() {
                for (index, next) in next.iter_mut().enumerate() {
                    while *next < self.sent[index].len() {
                        let back = self.sent[index].len() - *next - 1;
                        *next += 1;
                        self.step += 1;
                        self.deliver(index == 1, back, |_| ());
                    }
                }
            }
        }
    }
}

fn side(index: usize, seed: u64) -> Channel {
    let key = ClusterKey::from_bytes(&[3; 32]).unwrap();
    let (me, peer) = if index == 0 { ("a", "b") } else { ("b", "a") };
    Channel::new(&key, "model", me, peer, rng(seed))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn safe_under_trouble_and_alive_after_it(ops in prop::collection::vec(op(), 0..150)) {
        let mut world = World::new();
        for op in &ops {
            world.run(op);
        }
        world.settle(6);
        let before = [world.delivered[0].len(), world.delivered[1].len()];
        world.settle(4);
        prop_assert!(world.sides[0].is_proven() && world.sides[1].is_proven());
        prop_assert_eq!(world.delivered[0].len(), before[0] + 2);
        prop_assert_eq!(world.delivered[1].len(), before[1] + 2);
    }

    #[test]
    fn garbage_never_panics_and_never_counts(datagrams in prop::collection::vec(garbage(), 0..50)) {
        let mut channel = side(0, 1);
        for datagram in &datagrams {
            prop_assert!(matches!(channel.open(datagram).what, What::Rejected(_)));
        }
        prop_assert_eq!(channel.stats().rejected(), datagrams.len() as u64);
    }
}

/// Random bytes, mostly behind a head that gets past the first checks.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let key_id = side(0, 9).seal(b"x")[0][5..13].to_vec();
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        (0u8..5, prop::collection::vec(any::<u8>(), 0..120))
            .prop_map(move |(kind, rest)| { [b"HFS1".as_slice(), &[kind], &key_id, &rest].concat() }),
    ]
}
