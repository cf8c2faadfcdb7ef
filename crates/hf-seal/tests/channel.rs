//! A channel against loss, restarts and an attacker who has recorded everything.

use hf_seal::{Channel, ClusterKey, Reason, Rng, What};

/// A seeded generator (xorshift), so that a failure comes back.
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

fn key(byte: u8) -> ClusterKey {
    ClusterKey::from_bytes(&[byte; 32]).unwrap()
}

fn node1(seed: u64) -> Channel {
    Channel::new(&key(1), "heart/test", "node1", "node2", rng(seed))
}

fn node2(seed: u64) -> Channel {
    Channel::new(&key(1), "heart/test", "node2", "node1", rng(seed))
}

/// Gives `datagrams` to `to` and carries the replies to and fro until nobody says anything more.
/// Returns what `to` got as data, then what `from` got.
fn carry(datagrams: Vec<Vec<u8>>, to: &mut Channel, from: &mut Channel) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut at_to, mut at_from) = (Vec::new(), Vec::new());
    let mut wire: Vec<(bool, Vec<u8>)> = datagrams.into_iter().map(|d| (true, d)).collect();
    let mut steps = 0;
    while !wire.is_empty() {
        steps += 1;
        assert!(steps < 100, "the two sides never stop talking");
        let (forth, datagram) = wire.remove(0);
        let opened = if forth { to.open(&datagram) } else { from.open(&datagram) };
        if let What::Data(data) = opened.what {
            if forth { at_to.push(data) } else { at_from.push(data) }
        }
        wire.extend(opened.reply.map(|reply| (!forth, reply)));
    }
    (at_to, at_from)
}

fn say(text: &str, from: &mut Channel, to: &mut Channel) -> Vec<Vec<u8>> {
    let datagrams = from.seal(text.as_bytes());
    carry(datagrams, to, from).0
}

/// Two channels that have proven themselves to each other.
fn pair() -> (Channel, Channel) {
    let (mut a, mut b) = (node1(1), node2(2));
    assert_eq!(say("first", &mut a, &mut b), [b"first"]);
    assert_eq!(say("second", &mut b, &mut a), [b"second"]);
    assert!(a.is_proven() && b.is_proven());
    (a, b)
}

fn rejected(channel: &mut Channel, datagram: &[u8]) -> Reason {
    match channel.open(datagram).what {
        What::Rejected(reason) => reason,
        other => panic!("{other:?} where a refusal belongs"),
    }
}

#[test]
fn only_the_latest_text_waits_for_a_session() {
    let (mut a, mut b) = (node1(1), node2(2));
    let lost = a.seal(b"old");
    assert_eq!(lost.len(), 1, "a hello");
    assert_eq!(say("new", &mut a, &mut b), [b"new"]);
    assert!(say("next", &mut a, &mut b) == [b"next"] && a.seal(b"x").len() == 1);
}

#[test]
fn one_round_trip_makes_a_session() {
    let (mut a, mut b) = (node1(1), node2(2));
    let hello = a.seal(b"text").remove(0);
    let welcome = b.open(&hello).reply.unwrap();
    assert!(!b.is_proven(), "a hello proves nothing");
    let opened = a.open(&welcome);
    assert_eq!(opened.what, What::Handshake);
    assert!(!a.is_proven(), "the answer gives a session; life is proven by data only");
    let opened = b.open(&opened.reply.unwrap());
    assert_eq!(opened.what, What::Data(b"text".to_vec()));
    assert_eq!(a.open(&opened.reply.unwrap()).what, What::Handshake);
    assert!(a.is_proven() && b.is_proven());
}

#[test]
fn both_greet_at_once_and_meet_in_one_session() {
    let (mut a, mut b) = (node1(1), node2(2));
    let (from_a, from_b) = (a.seal(b"a").remove(0), b.seal(b"b").remove(0));
    let (to_a, to_b) = (b.open(&from_a).reply.unwrap(), a.open(&from_b).reply.unwrap());
    let (from_a, from_b) = (a.open(&to_a).reply.unwrap(), b.open(&to_b).reply.unwrap());
    assert_eq!(a.open(&from_b).what, What::Data(b"b".to_vec()));
    assert_eq!(b.open(&from_a).what, What::Data(b"a".to_vec()));
    assert!(a.is_proven() && b.is_proven());
    assert_eq!((a.stats().sessions, b.stats().sessions), (1, 1));
}

#[test]
fn a_node_with_another_key_is_counted_apart() {
    let (mut a, _) = pair();
    let mut stranger = Channel::new(&key(9), "heart/test", "node2", "node1", rng(7));
    assert_eq!(rejected(&mut a, &stranger.seal(b"x")[0]), Reason::WrongKey);
    let mut other_use = Channel::new(&key(1), "membership", "node2", "node1", rng(7));
    assert_eq!(rejected(&mut a, &other_use.seal(b"x")[0]), Reason::WrongKey);
    assert_eq!(a.stats().wrong_key, 2);
}

#[test]
fn a_node_without_a_key_is_counted_apart() {
    let (mut a, _) = pair();
    for datagram in [b"".as_slice(), b"HEARTBEAT from node2", b"HFS"] {
        assert_eq!(rejected(&mut a, datagram), Reason::Unsealed);
    }
    assert_eq!(rejected(&mut a, b"HFS1"), Reason::Malformed);
    assert_eq!((a.stats().unsealed, a.stats().malformed), (3, 1));
}

#[test]
fn a_third_node_of_the_cluster_cannot_speak_for_the_second() {
    let (mut a, _) = pair();
    let mut third = Channel::new(&key(1), "heart/test", "node3", "node1", rng(7));
    assert_eq!(rejected(&mut a, &third.seal(b"x")[0]), Reason::Forged);
}

#[test]
fn own_frames_turned_back_are_refused() {
    let (mut a, _) = pair();
    let own = a.seal(b"mirror").remove(0);
    assert!(matches!(rejected(&mut a, &own), Reason::StaleSession | Reason::Forged));
    let mut fresh = node1(5);
    let own = fresh.seal(b"mirror").remove(0);
    assert_eq!(rejected(&mut fresh, &own), Reason::Forged);
}

/// Every frame of a handshake and of the data after it, each with every bit turned once: none is
/// accepted, none ends the session, and the untouched frame still goes through afterwards.
#[test]
fn no_flipped_bit_goes_through() {
    let (mut a, mut b) = (node1(1), node2(2));
    let hello = a.seal(b"text").remove(0);
    for_each_flip(&hello, |flipped| {
        rejected(&mut b, flipped);
    });
    let welcome = b.open(&hello).reply.unwrap();
    for_each_flip(&welcome, |flipped| {
        rejected(&mut a, flipped);
    });
    let data = a.open(&welcome).reply.unwrap();
    for_each_flip(&data, |flipped| {
        rejected(&mut b, flipped);
    });
    assert_eq!(b.open(&data).what, What::Data(b"text".to_vec()));
    let data = a.seal(b"more").remove(0);
    for_each_flip(&data, |flipped| {
        rejected(&mut b, flipped);
    });
    assert_eq!(b.open(&data).what, What::Data(b"more".to_vec()));
    assert_eq!(b.stats().accepted, 2);
}

fn for_each_flip(datagram: &[u8], mut check: impl FnMut(&[u8])) {
    for bit in 0..datagram.len() * 8 {
        let mut flipped = datagram.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        check(&flipped);
    }
    for len in 0..datagram.len() {
        check(&datagram[..len]);
    }
}

#[test]
fn a_replayed_datagram_is_dropped_and_counted() {
    let (mut a, mut b) = pair();
    let datagram = a.seal(b"once").remove(0);
    assert_eq!(b.open(&datagram).what, What::Data(b"once".to_vec()));
    assert_eq!(rejected(&mut b, &datagram), Reason::Replayed);
    assert_eq!(b.stats().replayed, 1);
}

#[test]
fn reordering_inside_the_window_is_fine_and_beyond_it_too_old() {
    let (mut a, mut b) = pair();
    let datagrams: Vec<_> = (0..1200u32).map(|n| a.seal(&n.to_be_bytes()).remove(0)).collect();
    for (n, datagram) in datagrams.iter().enumerate().skip(176).rev() {
        let expected = What::Data((n as u32).to_be_bytes().to_vec());
        assert_eq!(b.open(datagram).what, expected, "number {n}");
    }
    assert_eq!(rejected(&mut b, &datagrams[175]), Reason::TooOld);
    assert_eq!(rejected(&mut b, &datagrams[176]), Reason::Replayed);
}

#[test]
fn a_recording_means_nothing_to_a_restarted_receiver() {
    let (mut a, mut b) = (node1(1), node2(2));
    let mut recording = a.seal(b"alive");
    let welcome = b.open(&recording[0]).reply.unwrap();
    recording.push(a.open(&welcome).reply.unwrap());
    recording.push(a.seal(b"alive too").remove(0));
    for datagram in &recording {
        b.open(datagram);
    }
    assert_eq!(b.stats().accepted, 2);

    let mut b = node2(22);
    for _ in 0..3 {
        for datagram in &recording {
            assert!(!matches!(b.open(datagram).what, What::Data(_)));
        }
    }
    assert!(!b.is_proven());
    assert_eq!((b.stats().accepted, b.stats().stale_session), (0, 6));
    // The other way round: the recorded answer is of no use to a restarted greeter.
    let mut a = node1(11);
    a.seal(b"hello");
    assert_eq!(rejected(&mut a, &welcome), Reason::Replayed);
}

#[test]
fn a_peer_that_restarted_is_back_after_one_round_trip() {
    let (mut a, _) = pair();
    let mut b = node2(22);
    assert_eq!(say("I am back", &mut b, &mut a), [b"I am back"]);
    assert_eq!(say("welcome", &mut a, &mut b), [b"welcome"]);
    assert_eq!(a.stats().sessions, 2);
}

#[test]
fn a_restarted_receiver_that_only_listens_is_found_too() {
    let (mut a, _) = pair();
    let mut b = node2(22);
    assert!(say("lost", &mut a, &mut b).is_empty(), "sealed for the dead one");
    assert!(a.is_proven() && b.is_proven());
    assert_eq!(say("heard", &mut a, &mut b), [b"heard"]);
}

#[test]
fn both_restart() {
    let (mut a, mut b) = (node1(11), node2(22));
    let (early_a, early_b) = (a.seal(b"1"), b.seal(b"2"));
    carry(early_a, &mut b, &mut a);
    carry(early_b, &mut a, &mut b);
    assert_eq!(say("3", &mut a, &mut b), [b"3"]);
    assert_eq!(say("4", &mut b, &mut a), [b"4"]);
}

#[test]
fn replayed_greetings_do_not_end_a_living_session() {
    let (mut a, mut b) = (node1(1), node2(2));
    let old_hello = a.seal(b"x").remove(0);
    let old_welcome = b.open(&old_hello).reply.unwrap();
    let mut a = node1(11);
    say("y", &mut a, &mut b);
    let sessions = (a.stats().sessions, b.stats().sessions);
    for _ in 0..100 {
        // What b answers would go to a, who never asked.
        if let Some(answer) = b.open(&old_hello).reply {
            assert_eq!(rejected(&mut a, &answer), Reason::Replayed);
        }
        assert_eq!(rejected(&mut a, &old_welcome), Reason::Replayed);
        assert_eq!(say("alive", &mut a, &mut b), [b"alive"]);
        assert_eq!(say("alive", &mut b, &mut a), [b"alive"]);
    }
    assert_eq!((a.stats().sessions, b.stats().sessions), sessions);
}

#[test]
fn lost_handshake_frames_only_delay() {
    let (mut a, mut b) = (node1(1), node2(2));
    let hello = a.seal(b"1").remove(0);
    let welcome = b.open(&hello).reply.unwrap();
    let _lost = a.open(&welcome).reply.unwrap();
    assert_eq!(say("2", &mut a, &mut b), [b"2"]);
    assert!(a.is_proven() && b.is_proven());
}

/// A sender whose session the receiver can no longer form, and who never hears a word of data.
#[test]
fn a_session_that_died_before_its_first_use_is_replaced() {
    let (mut a1, mut b) = (node1(1), node2(2));
    let welcome = b.open(&a1.seal(b"1")[0]).reply.unwrap();
    let late = a1.open(&welcome).reply.unwrap();
    let mut a2 = node1(11);
    let welcome = b.open(&a2.seal(b"2")[0]).reply.unwrap();
    // The dead sender's datagram arrives between, and uses b's challenge up.
    assert_eq!(b.open(&late).what, What::Data(b"1".to_vec()));
    let first = a2.open(&welcome).reply.unwrap();
    assert_eq!(rejected(&mut b, &first), Reason::StaleSession);
    let datagrams = a2.seal(b"3");
    carry(datagrams, &mut b, &mut a2);
    assert_eq!(say("4", &mut a2, &mut b), [b"4"]);
    assert_eq!(say("5", &mut b, &mut a2), [b"5"]);
}

/// A snapshot restored under a running node turns its counters back. The test stands in for it by
/// giving b all of a's datagrams once more, which look the same to b.
#[test]
fn a_row_of_refused_datagrams_starts_a_new_greeting() {
    let (mut a, mut b) = pair();
    let datagrams: Vec<_> = (0..16).map(|_| a.seal(b"x").remove(0)).collect();
    for datagram in &datagrams {
        b.open(datagram);
    }
    let replies: Vec<_> = datagrams.iter().filter_map(|datagram| b.open(datagram).reply).collect();
    assert_eq!(replies.len(), 1, "one hello in sixteen");
    carry(replies, &mut a, &mut b);
    assert_eq!((a.stats().sessions, b.stats().sessions), (2, 2));
    assert_eq!(say("goes on", &mut a, &mut b), [b"goes on"]);
}

#[test]
fn debug_shows_no_secret() {
    let (a, _) = pair();
    let text = format!("{a:?}");
    assert!(text.contains("node1") && !text.contains("secret") && !text.contains("challenge"), "{text}");
}
