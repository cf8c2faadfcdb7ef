use super::*;
use hf_seal::ClusterKey;
use std::time::{Duration, Instant};

fn key(byte: u8) -> KeyRing {
    let key = ClusterKey::generate(&mut (Box::new(move |bytes: &mut [u8]| bytes.fill(byte)) as hf_seal::Rng));
    KeyRing::of(key)
}

/// Two addresses of loopback with free ports.
fn addresses() -> [SocketAddr; 2] {
    ["127.0.0.1:0", "127.0.0.2:0"].map(|address| {
        let socket = std::net::UdpSocket::bind(address).expect("a free port");
        socket.local_addr().expect("its address")
    })
}

fn lane(own: SocketAddr, peer: SocketAddr) -> LaneAddress {
    LaneAddress { lan: "default".to_owned(), ends: Some(Ends { own, peer, peer_local: peer.ip() }) }
}

fn open(address: LaneAddress, keys: &KeyRing, me: &str, peer: &str) -> Lanes {
    let names = Names { module: "m".parse().expect("a name"), me: me.to_owned(), peer: peer.to_owned() };
    Lanes::open(vec![address], keys, names, false).expect("lanes")
}

/// Both talk until each has heard the other; false if they don't within the time.
async fn hear_each_other(a: &mut Lanes, b: &mut Lanes, limit: Duration) -> bool {
    let (end, mut heard) = (Instant::now() + limit, [false; 2]);
    let mut number = 0u64;
    while heard != [true; 2] && Instant::now() < end {
        number += 1;
        for (n, lanes) in [&mut *a, &mut *b].into_iter().enumerate() {
            lanes.send(None, &number.to_le_bytes());
            while lanes.receive().is_some() {
                heard[n] = true;
            }
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    heard == [true; 2]
}

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_lane_without_an_address_is_used_once_it_has_one() {
    let [one, two] = addresses();
    let nameless = LaneAddress { lan: "default".to_owned(), ends: None };
    let mut a = open(nameless, &key(1), "a", "b");
    let mut b = open(lane(two, one), &key(1), "b", "a");
    assert_eq!(a.without_address(), ["default"]);
    a.send(None, b"nobody hears it");
    assert!(tokio::time::timeout(SHORT, a.readable()).await.is_err(), "it waits and doesn't fail");
    let told = a.change(vec![lane(one, two)], &key(1), false);
    assert_eq!(told, [format!("The heartbeat on default goes from {one} to {two} now")]);
    assert!(a.without_address().is_empty());
    assert!(hear_each_other(&mut a, &mut b, LONG).await);
    assert!(a.change(vec![lane(one, two)], &key(1), false).is_empty(), "nothing changed");
    assert!(hear_each_other(&mut a, &mut b, LONG).await);
}

#[tokio::test]
async fn a_new_key_is_handed_over_without_a_moment_of_silence() {
    let [one, two] = addresses();
    let (mut a, mut b) = (open(lane(one, two), &key(1), "a", "b"), open(lane(two, one), &key(1), "b", "a"));
    assert!(hear_each_other(&mut a, &mut b, LONG).await);
    a.change(vec![lane(one, two)], &key(2), false);
    assert!(hear_each_other(&mut a, &mut b, LONG).await, "b has the old key only");
    // A heart that starts in between knows both from the disk.
    let both = KeyRing { key: key(2).key, before: Some(key(1).key) };
    drop(a);
    let mut a = open(lane(one, two), &both, "a", "b");
    assert!(hear_each_other(&mut a, &mut b, LONG).await);
    b.change(vec![lane(two, one)], &key(2), false);
    assert!(hear_each_other(&mut a, &mut b, LONG).await);
    // Both have heard the other under the new key: the old one is over.
    for lanes in [&mut a, &mut b] {
        let end = Instant::now() + LONG;
        while lanes.lanes[0].channels.is_handing_over() && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(2)).await;
            while lanes.receive().is_some() {}
        }
    }
    drop(b);
    let mut late = open(lane(two, one), &key(1), "b", "a");
    assert!(!hear_each_other(&mut a, &mut late, SHORT).await, "the key before is of no use any more");
    let sights = a.sights();
    assert!(sights[0].other_key > 0, "{sights:?}");
}
