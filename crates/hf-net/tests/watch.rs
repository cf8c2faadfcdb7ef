//! The watch on interfaces and addresses against a real kernel, in namespaces. Needs root.

mod lan;

use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use hf_net::{LinuxVirtualIp, NetEvent, NetWatch, VipSpec, VirtualIp};
use lan::{Lan, Station, VIP, VIP6};

/// Events of the station as they come, awaited in a runtime of their own.
fn watch(station: &Station) -> Receiver<NetEvent> {
    let (tell, told) = channel();
    let mut watch = station.run(|| NetWatch::open().unwrap());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            loop {
                for event in watch.next().await.unwrap() {
                    if tell.send(event).is_err() {
                        return;
                    }
                }
            }
        });
    });
    told
}

fn wait_for(events: &Receiver<NetEvent>, what: &str, wanted: impl Fn(&NetEvent) -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while let Ok(event) = events.recv_timeout(end.saturating_duration_since(Instant::now())) {
        if wanted(&event) {
            return;
        }
    }
    panic!("no {what} was seen");
}

#[test]
fn a_pulled_cable_is_seen_and_so_is_a_plugged_one() {
    let lan = Lan::new(1);
    let carrier = |wanted: bool| move |event: &NetEvent| matches!(event, NetEvent::Link(link) if link.name == "eth0" && link.up && link.carrier == wanted);
    let events = watch(&lan.stations[0]);
    lan.cable(1, "down");
    wait_for(&events, "loss of carrier", carrier(false));
    lan.cable(1, "up");
    wait_for(&events, "carrier", carrier(true));
    lan.stations[0].ip("link del eth0");
    wait_for(&events, "end of the interface", |event| matches!(event, NetEvent::LinkGone(link) if link.name == "eth0"));
}

#[test]
fn an_address_that_comes_or_goes_is_seen() {
    let lan = Lan::new(1);
    let node = &lan.stations[0];
    let events = watch(node);
    for (vip, entry) in [(VIP, "10.77.0.99/32"), (VIP6, "fd77::99/128")] {
        let index = node.run(move || {
            let mut vips = LinuxVirtualIp::open().unwrap();
            vips.set(&VipSpec::new(vip), Duration::from_secs(60)).unwrap().index
        });
        let came = |event: &NetEvent| *event == NetEvent::Address { index, address: vip };
        wait_for(&events, "the address", came);
        node.ip(&format!("addr del {entry} dev eth0"));
        let went = |event: &NetEvent| *event == NetEvent::AddressGone { index, address: vip };
        wait_for(&events, "its removal", went);
    }
}

/// The kernel takes IPv6 addresses away from an interface that is switched off; IPv4 addresses stay.
#[test]
fn an_ipv6_address_that_goes_with_its_interface_is_seen() {
    let lan = Lan::new(1);
    let node = &lan.stations[0];
    let events = watch(node);
    node.run(|| {
        let mut vips = LinuxVirtualIp::open().unwrap();
        vips.set(&VipSpec::new(VIP6), Duration::from_secs(60)).map(drop).unwrap();
    });
    node.ip("link set eth0 down");
    wait_for(
        &events,
        "its removal",
        |event| matches!(event, NetEvent::AddressGone { address, .. } if *address == VIP6),
    );
}

#[test]
fn reading_never_blocks() {
    let lan = Lan::new(1);
    lan.stations[0].run(|| {
        let mut watch = NetWatch::open().unwrap();
        watch.read().unwrap();
        let start = Instant::now();
        watch.read().unwrap();
        assert!(start.elapsed() < Duration::from_secs(20));
    });
}
