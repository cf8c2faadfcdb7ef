//! Virtual addresses against a real kernel, in namespaces. Needs root.

mod lan;

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use hf_net::{Cleared, LinuxVirtualIp, VipCause, VipError, VipSpec, VirtualIp};
use lan::{Lan, Station, VIP, VIP6};

const SECOND: Duration = Duration::from_secs(1);

fn vips() -> LinuxVirtualIp {
    LinuxVirtualIp::open().unwrap()
}

fn set(station: &Station, lifetime: Duration) {
    set_address(station, VIP, lifetime);
}

fn set_address(station: &Station, address: IpAddr, lifetime: Duration) {
    station.run(move || {
        let placed = vips().set(&VipSpec::new(address), lifetime).unwrap();
        assert_eq!(placed.interface, "eth0");
        assert_eq!(placed.warnings, Vec::<String>::new());
    });
}

fn clear(station: &Station, reset: bool) -> Cleared {
    clear_address(station, VIP, reset)
}

fn clear_address(station: &Station, address: IpAddr, reset: bool) -> Cleared {
    station.run(move || vips().clear(address, reset).unwrap())
}

fn has(station: &Station, address: IpAddr) -> bool {
    station.run(move || vips().addresses().unwrap().iter().any(|entry| entry.address == address))
}

fn cause(result: Result<impl std::fmt::Debug, VipError>) -> VipCause {
    result.unwrap_err().cause
}

#[test]
fn an_address_that_nobody_renews_goes_and_is_not_brought_back() {
    goes_by_itself(VIP, "10.77.0.1");
}

#[test]
fn an_ipv6_address_that_nobody_renews_goes_too() {
    goes_by_itself(VIP6, "fd77::1");
}

/// What counts is when it was asked for, not when somebody had time to look at the answer.
fn wait_until_gone(node: &Station, vip: IpAddr, limit: Duration) {
    let start = Instant::now();
    loop {
        let asked = start.elapsed();
        if !has(node, vip) {
            return;
        }
        assert!(asked < limit, "the address outlived its time");
        sleep(Duration::from_millis(10));
    }
}

fn goes_by_itself(vip: IpAddr, own: &str) {
    let lan = Lan::new(1);
    let node = &lan.stations[0];
    let began = Instant::now();
    set_address(node, vip, SECOND);
    wait_until_gone(node, vip, 2 * SECOND);
    let lived = began.elapsed();
    println!("an address with a lifetime of 1 s was gone after {lived:?}");
    assert!(lived > SECOND / 2, "gone after {lived:?}");
    let late = node.run(move || cause(vips().renew(vip, SECOND)));
    assert!(matches!(late, VipCause::Gone), "{late:?}");
    assert!(!has(node, vip), "a late renewal must not bring it back");
    assert!(has(node, own.parse().unwrap()), "the node's own address stays");
}

/// The kernel looks at lifetimes at most once a second, and at once when any address is renewed: another module's renewal
/// shortly before the end puts the next look off. Whoever counts on the end has to ask the LAN, too ([`hf_net::Guard`]).
#[test]
fn another_addresss_renewal_puts_the_end_off_by_less_than_a_second_and_a_half() {
    let lan = Lan::new(1);
    let node = &lan.stations[0];
    for (vip, other) in [(VIP, "10.77.0.98"), (VIP6, "fd77::98")] {
        let other: IpAddr = other.parse().unwrap();
        set_address(node, vip, SECOND);
        let start = Instant::now();
        sleep(Duration::from_millis(900));
        set_address(node, other, 60 * SECOND);
        wait_until_gone(node, vip, (5 * SECOND / 2).saturating_sub(start.elapsed()));
        println!("{vip} with a lifetime of 1 s was gone after {:?}", start.elapsed());
        clear_address(node, other, false);
    }
}

#[test]
fn a_renewed_address_stays_and_renewing_is_quick() {
    stays(VIP);
}

#[test]
fn a_renewed_ipv6_address_stays_too() {
    stays(VIP6);
}

fn stays(vip: IpAddr) {
    let lan = Lan::new(1);
    let node = &lan.stations[0];
    set_address(node, vip, 3 * SECOND);
    let mut times: Vec<Duration> = node.run(move || {
        let mut vips = vips();
        let end = Instant::now() + 4 * SECOND;
        let mut times = Vec::new();
        while Instant::now() < end {
            let start = Instant::now();
            vips.renew(vip, 3 * SECOND).unwrap();
            times.push(start.elapsed());
            sleep(Duration::from_millis(20));
        }
        times
    });
    assert!(has(node, vip));
    times.sort();
    let median = times[times.len() / 2];
    println!("renewal: median {median:?}, longest {:?}", times[times.len() - 1]);
    assert!(median < Duration::from_millis(2), "median {median:?}");
}

#[test]
fn clearing_twice_and_by_another_process_is_fine() {
    let lan = Lan::new(1);
    let node = &lan.stations[0];
    set(node, 60 * SECOND);
    set(node, 60 * SECOND);
    assert_eq!(clear(node, true), Cleared { was_set: true, reset: 0 });
    assert!(!has(node, VIP));
    assert_eq!(clear(node, true), Cleared { was_set: false, reset: 0 });
}

/// A server on all addresses of the station; it greets with its name and keeps the connection.
fn serve(station: &Station, on: &'static str, name: &'static str) {
    station.run(move || {
        let listener = TcpListener::bind(on).unwrap();
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                // A client that went away already is none of our concern.
                let _ = stream.write_all(name.as_bytes());
                kept.push(stream);
            }
        });
    });
}

fn call(client: &Station, vip: IpAddr) -> std::io::Result<(TcpStream, String)> {
    client.run(move || {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::new(vip, 7777), SECOND)?;
        stream.set_read_timeout(Some(2 * SECOND))?;
        let mut name = [0; 5];
        stream.read_exact(&mut name)?;
        Ok((stream, String::from_utf8_lossy(&name).into_owned()))
    })
}

/// The whole way of a failover: connect, reset, gone, taken over, reachable at once.
fn failover(listen: &'static str, vip: IpAddr) {
    let lan = Lan::new(3);
    let [node1, node2, client] = &lan.stations[..] else { unreachable!("three were made") };
    serve(node1, listen, "node1");
    serve(node2, listen, "node2");
    set_address(node1, vip, 60 * SECOND);
    let (mut stream, name) = call(client, vip).unwrap();
    assert_eq!(name, "node1");
    assert_eq!(node1.run(move || vips().connections(vip).unwrap()), 1);

    assert_eq!(clear_address(node1, vip, true), Cleared { was_set: true, reset: 1 });
    let error = stream.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(node1.run(move || vips().connections(vip).unwrap()), 0);

    let start = Instant::now();
    set_address(node2, vip, 60 * SECOND);
    let (_stream, name) = call(client, vip).unwrap();
    assert_eq!(name, "node2");
    println!("the client reached node2 {:?} after it began to take the address", start.elapsed());
    // With a wrong entry in its table it would first ask the old machine, for 5 s at least (`delay_first_probe_time`).
    assert!(start.elapsed() < 4 * SECOND, "the client's neighbour table was not corrected");
}

#[test]
fn a_client_follows_the_address() {
    failover("0.0.0.0:7777", VIP);
}

#[test]
fn a_client_of_a_server_on_both_families_follows_too() {
    failover("[::]:7777", VIP);
}

#[test]
fn an_ipv6_client_follows_too() {
    failover("[::]:7777", VIP6);
}

#[test]
fn connections_are_left_alone_when_no_reset_is_wanted() {
    let lan = Lan::new(2);
    let [node, client] = &lan.stations[..] else { unreachable!("two were made") };
    serve(node, "0.0.0.0:7777", "node1");
    set(node, 60 * SECOND);
    let (mut stream, _) = call(client, VIP).unwrap();
    assert_eq!(clear(node, false), Cleared { was_set: true, reset: 0 });
    stream.set_read_timeout(Some(SECOND / 5)).unwrap();
    assert_eq!(stream.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn the_node_speaks_with_its_own_address() {
    let lan = Lan::new(2);
    let [node, other] = &lan.stations[..] else { unreachable!("two were made") };
    serve(other, "[::]:7777", "other");
    set(node, 60 * SECOND);
    set_address(node, VIP6, 60 * SECOND);
    let source = node.run(|| TcpStream::connect("10.77.0.2:7777").unwrap().local_addr().unwrap().ip());
    assert_eq!(source, "10.77.0.1".parse::<IpAddr>().unwrap());
    let source = node.run(|| TcpStream::connect("[fd77::2]:7777").unwrap().local_addr().unwrap().ip());
    assert_eq!(source, "fd77::1".parse::<IpAddr>().unwrap());
    let announce = node.run(|| std::fs::read_to_string("/proc/sys/net/ipv4/conf/eth0/arp_announce").unwrap());
    assert_eq!(announce.trim(), "2");
}

#[test]
fn what_the_administrator_configured_is_not_touched() {
    let lan = Lan::new(1);
    let node = &lan.stations[0];
    node.ip("addr add 10.77.0.99/24 dev eth0");
    let refused = node.run(|| cause(vips().set(&VipSpec::new(VIP), SECOND)));
    assert!(matches!(&refused, VipCause::Foreign { interface } if interface == "eth0"), "{refused:?}");
    assert_eq!(clear(node, true), Cleared::default());
    assert!(has(node, VIP));
}

#[test]
fn the_interface_can_be_named_and_the_prefix_given() {
    let lan = Lan::new(1);
    lan.stations[0].run(|| {
        let far: IpAddr = "192.168.5.5".parse().unwrap();
        let spec = VipSpec { interface: Some("eth0".to_owned()), prefix_len: Some(24), ..VipSpec::new(far) };
        vips().set(&spec, 60 * SECOND).unwrap();
        let entries = vips().addresses().unwrap();
        let entry = entries.iter().find(|entry| entry.address == far).unwrap();
        assert_eq!(entry.prefix_len, 24);
        vips().renew(far, 60 * SECOND).unwrap();
        assert!(vips().clear(far, false).unwrap().was_set);
        let unnamed = cause(vips().set(&VipSpec::new(far), SECOND));
        assert!(matches!(unnamed, VipCause::NoInterface), "{unnamed:?}");
        let wrong = VipSpec { interface: Some("eth7".to_owned()), ..VipSpec::new(far) };
        let wrong = cause(vips().set(&wrong, SECOND));
        assert!(matches!(wrong, VipCause::UnknownInterface { .. }), "{wrong:?}");
    });
}

#[test]
fn what_a_predecessor_left_elsewhere_goes() {
    let lan = Lan::new(1);
    let node = &lan.stations[0];
    node.run(|| vips().set(&VipSpec { prefix_len: Some(24), ..VipSpec::new(VIP) }, 60 * SECOND).map(drop).unwrap());
    set(node, 60 * SECOND);
    let prefixes: Vec<u8> = node.run(|| {
        let entries = vips().addresses().unwrap();
        entries.iter().filter(|entry| entry.address == VIP).map(|entry| entry.prefix_len).collect()
    });
    assert_eq!(prefixes, [32]);
}

#[test]
fn what_is_not_served_is_said() {
    let lan = Lan::new(1);
    lan.stations[0].run(|| {
        let short = cause(vips().set(&VipSpec::new(VIP), Duration::from_millis(999)));
        assert!(matches!(short, VipCause::Lifetime { millis: 999 }), "{short:?}");
        let local: IpAddr = "fe80::99".parse().unwrap();
        let local = cause(vips().set(&VipSpec::new(local), SECOND));
        assert!(matches!(local, VipCause::NoInterface), "fe80::/64 is everywhere: {local:?}");
        let error = vips().renew(VIP, SECOND).unwrap_err();
        assert_eq!(error.to_string(), "can't renew the virtual address 10.77.0.99");
    });
}
