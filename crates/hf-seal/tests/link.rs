//! The proof at the start of a replication link.

use hf_seal::{ClusterKey, Initiator, LINK_HELLO_LEN, LinkKey, LinkStep, Reason, Responder, Rng};
use proptest::prelude::*;

fn rng(seed: u8) -> Rng {
    let mut next = seed;
    Box::new(move |out: &mut [u8]| {
        for byte in out {
            next = next.wrapping_mul(181).wrapping_add(111);
            *byte = next;
        }
    })
}

fn key(byte: u8) -> ClusterKey {
    ClusterKey::from_bytes(&[byte; 32]).unwrap()
}

fn initiator(key: &ClusterKey, seed: u8) -> (Initiator, Vec<u8>) {
    Initiator::start(key, "link/test", "node1", "node2", &mut rng(seed))
}

fn responder(seed: u8) -> Responder {
    Responder::new(&key(1), "link/test", "node2", "node1", &mut rng(seed))
}

fn sent(step: LinkStep) -> Vec<u8> {
    match step {
        LinkStep::Send(bytes) => bytes,
        LinkStep::Done(_) => panic!("done too early"),
    }
}

fn done(step: LinkStep) -> LinkKey {
    match step {
        LinkStep::Done(key) => key,
        LinkStep::Send(_) => panic!("not done"),
    }
}

#[test]
fn both_ends_prove_themselves_and_share_a_key() {
    let (initiator, hello) = initiator(&key(1), 5);
    assert_eq!(hello.len(), LINK_HELLO_LEN);
    let mut responder = responder(6);
    let answer = sent(responder.next(&hello).unwrap());
    let (proof, key1) = initiator.next(&answer).unwrap();
    let key2 = done(responder.next(&proof).unwrap());
    assert_eq!(key1.bytes(), key2.bytes());
    assert_eq!(format!("{key1:?}"), "LinkKey(hidden)");
}

#[test]
fn a_stranger_is_dropped_at_his_first_message() {
    let reason = |message: &[u8]| responder(6).next(message).unwrap_err().reason;
    assert_eq!(reason(b"GET / HTTP/1.1\r\n"), Reason::Unsealed);
    let (_, other_key) = initiator(&key(2), 5);
    assert_eq!(reason(&other_key), Reason::WrongKey);
    let (_, mut forged) = initiator(&key(1), 5);
    forged[60] ^= 1;
    assert_eq!(reason(&forged), Reason::Forged);
    let (_, other_purpose) = Initiator::start(&key(1), "link/other", "node1", "node2", &mut rng(5));
    assert_eq!(reason(&other_purpose), Reason::WrongKey);
    let (_, other_node) = Initiator::start(&key(1), "link/test", "node3", "node2", &mut rng(5));
    assert_eq!(reason(&other_node), Reason::Forged);
}

#[test]
fn a_recorded_conversation_does_not_open_a_link() {
    let (first, hello) = initiator(&key(1), 5);
    let answer = sent(responder(6).next(&hello).unwrap());
    let (proof, _) = first.next(&answer).unwrap();
    let mut restarted = responder(7);
    sent(restarted.next(&hello).unwrap());
    assert_eq!(restarted.next(&proof).unwrap_err().reason, Reason::Forged);
    let (fresh, _) = initiator(&key(1), 8);
    assert_eq!(fresh.next(&answer).unwrap_err().reason, Reason::Forged);
}

#[test]
fn roles_are_bound() {
    // node2 connects back and turns node1's own hello round.
    let (_, hello) = initiator(&key(1), 5);
    let mut reflected = Responder::new(&key(1), "link/test", "node1", "node2", &mut rng(6));
    assert_eq!(reflected.next(&hello).unwrap_err().reason, Reason::Forged);
}

#[test]
fn no_flipped_bit_goes_through() {
    let (_, hello) = initiator(&key(1), 5);
    for bit in 0..hello.len() * 8 {
        let mut flipped = hello.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(responder(6).next(&flipped).is_err(), "hello, bit {bit}");
    }
    let answer = sent(responder(6).next(&hello).unwrap());
    for bit in 0..answer.len() * 8 {
        let mut flipped = answer.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(initiator(&key(1), 5).0.next(&flipped).is_err(), "answer, bit {bit}");
    }
    let (proof, _) = initiator(&key(1), 5).0.next(&answer).unwrap();
    for bit in 0..proof.len() * 8 {
        let mut flipped = proof.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let mut responder = responder(6);
        sent(responder.next(&hello).unwrap());
        assert!(responder.next(&flipped).is_err(), "proof, bit {bit}");
    }
}

proptest! {
    #[test]
    fn garbage_never_panics(first in prop::collection::vec(any::<u8>(), 0..120), second in prop::collection::vec(any::<u8>(), 0..120)) {
        let mut responder = responder(6);
        prop_assert!(responder.next(&first).is_err());
        prop_assert!(responder.next(&second).is_err());
        prop_assert!(initiator(&key(1), 5).0.next(&first).is_err());
    }
}
