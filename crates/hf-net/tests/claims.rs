//! What is told to the LAN and what is heard of others, on the wire, in namespaces. Needs root.

mod lan;

use std::io::Read;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use hf_net::{LinuxVirtualIp, MacAddr, VipCause, VipSpec, VirtualIp};
use lan::{Lan, Station, VIP, VIP6};

const SECOND: Duration = Duration::from_secs(1);
const SHORT: Duration = Duration::from_millis(300);
/// What comes at once or never; a machine under load may need longer.
const PATIENCE: Duration = Duration::from_secs(20);

fn vips() -> LinuxVirtualIp {
    LinuxVirtualIp::open().unwrap()
}

fn set(station: &Station, address: IpAddr) {
    station.run(move || vips().set(&VipSpec::new(address), 60 * SECOND).map(drop).unwrap());
}

fn mac(station: &Station) -> MacAddr {
    let links = station.run(|| vips().links().unwrap());
    links.into_iter().find(|link| link.name == "eth0").unwrap().mac.unwrap()
}

/// Every frame that comes in at the station.
fn listen(station: &Station, wanted: impl Fn(&[u8]) -> bool + Send + 'static) -> Receiver<Vec<u8>> {
    let (tell, told) = channel();
    station.run(move || {
        let protocol = i32::from((libc::ETH_P_ALL as u16).to_be());
        let mut socket =
            socket2::Socket::new(socket2::Domain::PACKET, socket2::Type::RAW, Some(protocol.into())).unwrap();
        socket.set_read_timeout(Some(60 * SECOND)).unwrap();
        std::thread::spawn(move || {
            let mut frame = [0; 256];
            while let Ok(len) = socket.read(&mut frame) {
                if wanted(&frame[..len]) && tell.send(frame[..len].to_vec()).is_err() {
                    return;
                }
            }
        });
    });
    told
}

#[test]
fn neighbours_hear_of_the_address_at_once_in_both_forms() {
    let lan = Lan::new(2);
    // Behind the Ethernet header: operation at 20, sender at 22 and 28, target at 38.
    let about_vip = |frame: &[u8]| {
        frame.len() >= 42
            && frame[12..14] == [8, 6]
            && frame[28..32] == [10, 77, 0, 99]
            && frame[38..42] == [10, 77, 0, 99]
    };
    let told = listen(&lan.stations[1], about_vip);
    let MacAddr(mine) = mac(&lan.stations[0]);
    let heard = || {
        for operation in [1, 2] {
            let frame = told.recv_timeout(PATIENCE).expect("a gratuitous ARP");
            assert_eq!(frame[..6], [0xff; 6], "to all");
            assert_eq!(frame[6..12], mine, "the frame's source");
            assert_eq!(frame[21], operation, "request and reply");
            assert_eq!(frame[22..28], mine, "the sender");
        }
    };
    set(&lan.stations[0], VIP);
    heard();
    lan.stations[0].run(|| vips().announce(VIP).unwrap());
    heard();
    lan.stations[0].run(|| vips().clear(VIP, false).map(drop).unwrap());
    let gone = lan.stations[0].run(|| vips().announce(VIP).unwrap_err().cause);
    assert!(matches!(gone, VipCause::Gone), "{gone:?}");
}

#[test]
fn neighbours_hear_of_an_ipv6_address_too() {
    let lan = Lan::new(2);
    let IpAddr::V6(vip) = VIP6 else { unreachable!("it is IPv6") };
    // Next header at 20, source at 22, type at 54, flags at 58, target at 62, option at 78.
    let about_vip =
        move |frame: &[u8]| frame.len() >= 86 && frame[20] == 58 && frame[54] == 136 && frame[62..78] == vip.octets();
    let told = listen(&lan.stations[1], about_vip);
    let MacAddr(mine) = mac(&lan.stations[0]);
    set(&lan.stations[0], VIP6);
    let frame = told.recv_timeout(PATIENCE).expect("an unsolicited advertisement");
    assert_eq!(frame[..6], [0x33, 0x33, 0, 0, 0, 1], "to all nodes");
    assert_eq!(frame[6..12], mine, "the frame's source");
    assert_eq!(frame[21], 255, "hop limit");
    assert_eq!(frame[22..38], vip.octets(), "the packet's source");
    assert_eq!(frame[58] & 0xe0, 0x20, "override, not solicited, no router");
    assert_eq!(frame[78..80], [2, 1], "the target's link-layer address");
    assert_eq!(frame[80..86], mine);
    lan.stations[0].run(|| std::fs::write("/proc/sys/net/ipv6/conf/eth0/forwarding", "1").unwrap());
    lan.stations[0].run(|| vips().announce(VIP6).unwrap());
    // What the kernel says by itself, and what was repeated before, may come first.
    while told.recv_timeout(PATIENCE).expect("a repetition as a router")[58] & 0xe0 != 0xa0 {}
}

/// The neighbour's own kernel believes it: its table has the new owner's MAC without asking.
#[test]
fn a_neighbour_table_is_corrected() {
    let lan = Lan::new(3);
    let [node1, node2, client] = &lan.stations[..] else { unreachable!("three were made") };
    for (vip, ping) in [(VIP, "ping -c1 -w20 10.77.0.99"), (VIP6, "ping -c1 -w20 fd77::99")] {
        set(node1, vip);
        client.run(move || {
            let mut words = ping.split(' ');
            let status = std::process::Command::new(words.next().unwrap()).args(words).status().unwrap();
            assert!(status.success(), "{ping}");
        });
        assert!(neighbours(client).contains(&format!("{vip} dev eth0 lladdr {}", mac(node1))));
        node1.run(move || vips().clear(vip, false).map(drop).unwrap());
        set(node2, vip);
        let (end, wanted) = (Instant::now() + PATIENCE, format!("{vip} dev eth0 lladdr {}", mac(node2)));
        while !neighbours(client).contains(&wanted) {
            assert!(Instant::now() < end, "no {wanted} in {}", neighbours(client));
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn neighbours(station: &Station) -> String {
    station.run(|| {
        let output = std::process::Command::new("ip").args(["neigh", "show"]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn probe(station: &Station, address: IpAddr) -> (Option<MacAddr>, Duration) {
    station.run(move || {
        let mut guard = vips().guard(&VipSpec::new(address)).unwrap();
        assert_eq!(guard.interface(), "eth0");
        let start = Instant::now();
        (runtime().block_on(guard.probe(SHORT)).unwrap(), start.elapsed())
    })
}

#[test]
fn the_probe_finds_who_has_the_address() {
    let lan = Lan::new(2);
    for address in [VIP, VIP6] {
        let (found, took) = probe(&lan.stations[0], address);
        assert_eq!(found, None);
        assert!(took >= SHORT && took < PATIENCE, "{took:?}");
        set(&lan.stations[1], address);
        let (found, took) = probe(&lan.stations[0], address);
        assert_eq!(found, Some(mac(&lan.stations[1])));
        println!("{address}: the owner answered after {took:?}");
    }
}

/// A question in this node's own name finds the owner as a probe does, and the owner doesn't take it for a claim.
#[test]
fn an_inquiry_finds_the_owner_and_does_not_disturb_it() {
    let lan = Lan::new(2);
    let [owner, asker] = &lan.stations[..] else { unreachable!("two were made") };
    let inquire = |address| {
        asker.run(move || {
            let mut guard = vips().guard(&VipSpec::new(address)).unwrap();
            runtime().block_on(guard.inquire(SHORT)).unwrap()
        })
    };
    for address in [VIP, VIP6] {
        assert_eq!(inquire(address), None, "nobody has it");
        set(owner, address);
        let claims = watch(owner, address);
        assert_eq!(inquire(address), Some(mac(owner)), "{address}");
        assert_eq!(claims.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout), "a client's question is no claim");
    }
    asker.ip("addr del 10.77.0.2/24 dev eth0");
    let spec = VipSpec { interface: Some("eth0".to_owned()), ..VipSpec::new(VIP) };
    let nameless = asker.run(move || {
        let mut guard = vips().guard(&spec).unwrap();
        runtime().block_on(guard.inquire(SHORT)).map_err(|error| error.kind())
    });
    assert_eq!(nameless, Err(std::io::ErrorKind::AddrNotAvailable));
}

/// Claims that reach a guard of the station.
fn watch(station: &Station, address: IpAddr) -> Receiver<MacAddr> {
    let (tell, told) = channel();
    let mut guard = station.run(move || vips().guard(&VipSpec::new(address)).unwrap());
    std::thread::spawn(move || {
        runtime().block_on(async {
            while let Ok(mac) = guard.claim().await {
                if tell.send(mac).is_err() {
                    return;
                }
            }
        });
    });
    told
}

#[test]
fn whoever_takes_the_address_too_is_heard() {
    let lan = Lan::new(3);
    let [node, stranger, client] = &lan.stations[..] else { unreachable!("three were made") };
    for address in [VIP, VIP6] {
        set(node, address);
        let claims = watch(node, address);
        node.run(move || vips().announce(address).unwrap());
        let (quiet, _) = probe(client, "10.77.0.50".parse().unwrap());
        assert_eq!(quiet, None);
        assert_eq!(
            claims.recv_timeout(SHORT),
            Err(RecvTimeoutError::Timeout),
            "neither its own word nor others' matter"
        );
        probe(stranger, address);
        assert_eq!(claims.recv_timeout(PATIENCE), Ok(mac(stranger)), "a probe for {address}");
        while claims.recv_timeout(SHORT).is_ok() {}
        set(stranger, address);
        assert_eq!(claims.recv_timeout(PATIENCE), Ok(mac(stranger)), "a claim of {address}");
    }
}

/// A network card hands on only multicast frames that somebody on the machine wants (the cards of this LAN hand on everything): another's
/// probe goes to a group that a machine without the address is not in.
#[test]
fn while_it_is_guarded_the_interface_takes_probes_for_an_ipv6_address() {
    let lan = Lan::new(1);
    lan.stations[0].run(|| {
        let groups = || std::fs::read_to_string("/proc/thread-self/net/dev_mcast").unwrap();
        let group = "3333ff000099";
        assert!(!groups().contains(group), "{}", groups());
        let runtime = runtime();
        let _inside = runtime.enter();
        let guard = vips().guard(&VipSpec::new(VIP6)).unwrap();
        assert!(groups().contains(group), "{}", groups());
        drop(guard);
        assert!(!groups().contains(group), "{}", groups());
    });
}
