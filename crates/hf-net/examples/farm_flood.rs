//! How many packets a second a server of a farm discards, takes and sends on: a flood in namespaces, on one processor.
//!
//! Frames of 64 bytes go from a packet socket through a switch to the server; the kernel receives them while they are sent, on
//! the same processor, so that the time of one packet is that of sending and receiving. What the filter costs is the
//! difference to the same frames without a farm. Each value is the median of what system calls with 256 frames took of the
//! processor, in many short rounds of all cases in turn, so that what else the machine does mostly falls out. Needs root; writes
//! a table in Markdown.

#[path = "../tests/lan/mod.rs"]
mod lan;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hf_net::{
    Buckets, DEFAULT_SEED, Delivery, FarmGroup, FarmInterface, FarmLoad, FarmPlane, FarmRule, FarmSpec, Filter,
    GroupLoad, MacAddr, Protocol, Station as Seat,
};
use lan::{Lan, Station, VIP};
use socket2::{Domain, Socket, Type};

const ROUND: Duration = Duration::from_millis(30);
const ROUNDS: usize = 40;
const CHANGES: usize = 100;
const PORT: u16 = 7777;
/// Frames a system call, from as many source ports.
const BATCH: usize = 256;
const LIFETIME: Duration = Duration::from_secs(600);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 98);

/// What is flooded, and how many nanoseconds a frame took, system call by system call.
struct Case {
    name: &'static str,
    /// The case without the farm that it is compared with.
    beside: Option<usize>,
    to: MacAddr,
    target: Ipv4Addr,
    protocol: u8,
    farm: Option<(FarmSpec, FarmLoad)>,
    times: Vec<f64>,
}

fn main() {
    let lan = Lan::new(3);
    let [server, peer, client] = &lan.stations[..] else { unreachable!("three were made") };
    // Taken packets go to a socket that nobody reads.
    let _sinks = [server, peer].map(|station| station.run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)).unwrap()));
    let mut cases = cases(seat(server), seat(peer));
    for _ in 0..ROUNDS {
        for case in &mut cases {
            let times = round(case, server, client);
            case.times.extend(times);
        }
    }
    report(&cases);
    let took = server.run(changes);
    println!();
    println!("A change of all 256 buckets: median {:.1} ms, longest {:.1} ms of {CHANGES}.", took.0, took.1);
}

/// Milliseconds: the median and the longest of so many changes of who takes what.
fn changes() -> (f64, f64) {
    let mut plane = FarmPlane::open(spec(Delivery::Invisible { vmac: Delivery::default_vmac(VIP) }, true)).unwrap();
    let halves = [(0..128).collect(), (128..=255).collect()];
    plane.start(&load(halves[0], None), LIFETIME).unwrap();
    let mut times: Vec<_> = (0..CHANGES)
        .map(|number| {
            let start = Instant::now();
            plane.load(&load(halves[(number + 1) % 2], None)).unwrap();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    assert!(plane.stop(false).errors.is_empty());
    times.sort_by(f64::total_cmp);
    (times[CHANGES / 2], times[CHANGES - 1])
}

fn cases(server: Seat, peer: Seat) -> Vec<Case> {
    let vmac = Delivery::default_vmac(VIP);
    let IpAddr::V4(vip) = VIP else { unreachable!("it is one of IPv4") };
    let invisible = |drain| spec(Delivery::Invisible { vmac }, drain);
    let directed = spec(Delivery::Directed, false);
    let none = || load(Buckets::NONE, None);
    let all = || load(Buckets::ALL, None);
    let case =
        |name, beside, to, target, protocol, farm| Case { name, beside, to, target, protocol, farm, times: Vec::new() };
    vec![
        case("to the virtual MAC, no farm: dropped by IP", None, vmac, vip, 17, None),
        case("the others' traffic, discarded", Some(0), vmac, vip, 17, Some((invisible(false), none()))),
        case("TCP of the others, discarded with drain", Some(0), vmac, vip, 6, Some((invisible(true), none()))),
        case("to the server's own address, no farm: taken", None, server.mac, Ipv4Addr::new(10, 77, 0, 1), 17, None),
        // To the server's own MAC, or the switch would copy each frame for a second server, unlike without a farm.
        case("taken by the farm", Some(3), server.mac, vip, 17, Some((invisible(false), all()))),
        case(
            "traffic of no farm, through the filter",
            Some(3),
            server.mac,
            Ipv4Addr::new(10, 77, 0, 1),
            17,
            Some((invisible(false), none())),
        ),
        case("taken, directed", Some(3), server.mac, vip, 17, Some((directed.clone(), all()))),
        case("sent on to its owner, who drops it (no address there)", None, server.mac, vip, 17, {
            Some((directed, load(Buckets::NONE, Some(peer))))
        }),
        case("frames to an address that nobody has", None, server.mac, OTHER, 17, None),
    ]
}

fn spec(delivery: Delivery, drain: bool) -> FarmSpec {
    let rule = |protocol| FarmRule { address: None, protocol, port: Some(PORT), filter: Filter::OnPort };
    let rules = vec![rule(Protocol::Tcp), rule(Protocol::Udp)];
    FarmSpec {
        module: "bench".to_owned(),
        interfaces: vec![FarmInterface { name: None, delivery, addresses: vec![VIP] }],
        groups: vec![FarmGroup { name: "bench".to_owned(), rules, drain }],
        seed: DEFAULT_SEED,
    }
}

fn load(mine: Buckets, owner: Option<Seat>) -> FarmLoad {
    let owners = owner.map(|_| ("peer".to_owned(), Buckets::ALL)).into_iter().collect();
    let peers: BTreeMap<_, _> = owner.map(|seat| ("peer".to_owned(), vec![Some(seat)])).into_iter().collect();
    let group = GroupLoad { mine, owners, lost: Buckets::NONE };
    FarmLoad { groups: [("bench".to_owned(), group)].into(), peers }
}

fn seat(station: &Station) -> Seat {
    station.run(|| FarmPlane::open(spec(Delivery::Directed, false)).unwrap().stations().unwrap()[0].unwrap())
}

fn round(case: &Case, server: &Station, client: &Station) -> Vec<f64> {
    let plane = Arc::new(Mutex::new(None));
    if let Some((spec, load)) = case.farm.clone() {
        let plane = plane.clone();
        server.run(move || {
            let mut opened = FarmPlane::open(spec).unwrap();
            opened.start(&load, LIFETIME).unwrap();
            *plane.lock().unwrap() = Some(opened);
        });
    }
    let frames: Vec<_> = (0..BATCH as u16).map(|number| frame(case, 20_000 + number)).collect();
    let times = client.run(move || flood(&frames));
    server.run(move || {
        if let Some(mut opened) = plane.lock().unwrap().take() {
            assert!(opened.stop(false).errors.is_empty());
        }
    });
    times
}

/// Nanoseconds of the processor a frame, for each system call.
fn flood(frames: &[Vec<u8>]) -> Vec<f64> {
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(0.into())).unwrap();
    // SAFETY: takes a text that ends with zero.
    let index = unsafe { libc::if_nametoindex(c"eth0".as_ptr()) };
    // SAFETY: plain data, valid when zeroed.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_ifindex = index.cast_signed();
    let mut parts: Vec<_> = frames
        .iter()
        .map(|frame| libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() })
        .collect();
    let mut messages: Vec<libc::mmsghdr> = parts
        .iter_mut()
        .map(|part| {
            // SAFETY: plain data, valid when zeroed.
            let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
            message.msg_hdr.msg_name = (&raw mut address).cast();
            message.msg_hdr.msg_namelen = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            message.msg_hdr.msg_iov = part;
            message.msg_hdr.msg_iovlen = 1;
            message
        })
        .collect();
    let start = Instant::now();
    let mut times = Vec::new();
    while start.elapsed() < ROUND {
        let before = processor_ns();
        // SAFETY: frames, parts and the address live during the call.
        let count = unsafe { libc::sendmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), messages.len() as u32, 0) };
        // A full queue is none of a whole batch.
        if usize::try_from(count) == Ok(BATCH) {
            times.push((processor_ns() - before) / BATCH as f64);
        }
    }
    times
}

/// What this thread has had of the processor.
fn processor_ns() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is that of a timespec.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0, "every thread has this clock");
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// 64 bytes of Ethernet without their checksum.
fn frame(case: &Case, port: u16) -> Vec<u8> {
    let mut ip = [0x45, 0, 0, 46, 0, 1, 0, 0, 64, case.protocol, 0, 0, 10, 77, 0, 3, 0, 0, 0, 0];
    ip[16..].copy_from_slice(&case.target.octets());
    let sum: u32 = ip.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut content = [0; 26];
    content[..2].copy_from_slice(&port.to_be_bytes());
    content[2..4].copy_from_slice(&PORT.to_be_bytes());
    match case.protocol {
        // A packet from the middle of a connection.
        6 => content[12..14].copy_from_slice(&[0x50, 0x10]),
        _ => content[4..6].copy_from_slice(&26u16.to_be_bytes()),
    }
    [&case.to.0[..], &[2, 0, 0, 0, 0x77, 0x77], &[8, 0], &ip, &content].concat()
}

fn report(cases: &[Case]) {
    println!(
        "| frames | packets a second | ns a packet | ns more than without the farm | cores for 500,000 a second of them |"
    );
    println!("| --- | --- | --- | --- | --- |");
    for case in cases {
        let time = median(case);
        let more = case.beside.map(|at| time - median(&cases[at]));
        let cores = more.map_or("".to_owned(), |more| format!("{:.2}", more * 500_000.0 / 1e9));
        let more = more.map_or("".to_owned(), |more| format!("{more:.0}"));
        println!("| {} | {:.0} | {time:.0} | {more} | {cores} |", case.name, 1e9 / time);
    }
}

fn median(case: &Case) -> f64 {
    let mut times = case.times.clone();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
