//! Which of the 256 buckets a client's packets are in: Bob Jenkins' hash, as the kernel's `jhash` computes it, so that a
//! program can say which server a client will meet.

use std::net::IpAddr;

use super::spec::{BUCKETS, Filter};

const INITIAL: u32 = 0xdead_beef;

/// The bucket of a packet from `client` and its source `port`. `None` for `on_ipid`, which changes with each packet.
pub fn bucket(filter: Filter, client: IpAddr, port: u16, seed: u32) -> Option<u8> {
    let mut key = match client {
        IpAddr::V4(client) => client.octets().to_vec(),
        IpAddr::V6(client) => client.octets().to_vec(),
    };
    match (filter, client) {
        (Filter::OnIpid, IpAddr::V4(_)) => return None,
        (Filter::OnAddr, _) => (),
        // An IPv6 packet has no identification: there the port is taken.
        (Filter::OnPort | Filter::OnIpid, _) => key.extend([&port.to_be_bytes()[..], &[0, 0]].concat()),
    }
    let scaled = (u64::from(jhash(&key, seed)) * u64::from(BUCKETS)) >> 32;
    // Below 256 by the scaling.
    Some(scaled as u8)
}

/// linux/jhash.h, whose `jhash` and `jhash2` agree on whole words.
fn jhash(key: &[u8], seed: u32) -> u32 {
    let start = INITIAL.wrapping_add(key.len() as u32).wrapping_add(seed);
    let mut sums = [start; 3];
    let mut rest = key;
    while rest.len() > 12 {
        add(&mut sums, &rest[..12]);
        mix(&mut sums);
        rest = &rest[12..];
    }
    if rest.is_empty() {
        return sums[2];
    }
    add(&mut sums, rest);
    last(&mut sums)
}

/// Adds up to three words; what is missing counts as zero.
fn add(sums: &mut [u32; 3], bytes: &[u8]) {
    for (sum, word) in sums.iter_mut().zip(bytes.chunks(4)) {
        let mut full = [0; 4];
        full[..word.len()].copy_from_slice(word);
        *sum = sum.wrapping_add(u32::from_ne_bytes(full));
    }
}

fn mix([a, b, c]: &mut [u32; 3]) {
    let round = |x: &mut u32, y: u32, z: &mut u32, turn: u32| {
        *x = x.wrapping_sub(*z) ^ z.rotate_left(turn);
        *z = z.wrapping_add(y);
    };
    round(a, *b, c, 4);
    round(b, *c, a, 6);
    round(c, *a, b, 8);
    round(a, *b, c, 16);
    round(b, *c, a, 19);
    round(c, *a, b, 4);
}

fn last([a, b, c]: &mut [u32; 3]) -> u32 {
    let round = |x: &mut u32, y: u32, turn: u32| *x = (*x ^ y).wrapping_sub(y.rotate_left(turn));
    round(c, *b, 14);
    round(a, *c, 11);
    round(b, *a, 25);
    round(c, *b, 16);
    round(a, *c, 4);
    round(b, *a, 14);
    round(c, *b, 24);
    *c
}
