//! A farm's virtual address against real kernels: three servers and a client on one switch, in namespaces. Needs root.
//!
//! Which server has to answer a connection is worked out with [`hf_net::bucket`] and compared, so nothing here depends on chance.

mod farm_lan;
mod lan;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use farm_lan::{Farm, Shares, VIPS, command, group, invisible, rule, tcp};
use hf_net::{Buckets, Delivery, FarmError, Filter, MacAddr, Protocol, Verified, clear_leftovers, kernel_bitmaps};
use lan::{VIP, VIP6};

const THREE: Shares = &[&[1], &[2], &[3]];

#[test]
fn each_connection_has_one_server_and_a_dead_servers_move_alone() {
    let mut farm = Farm::new(3, invisible(&VIPS, vec![group(false, vec![tcp(Filter::OnPort)])]));
    farm.start();
    farm.share(THREE);
    let mut calls = farm.call(VIP, 600);
    farm.assert_owners(&calls, Filter::OnPort, THREE);
    assert_eq!(farm.accepted(), 600, "each connection was accepted once");
    for server in 1..=3 {
        let count = calls.iter().filter(|call| call.server == server).count();
        println!("server {server} has {count} of 600");
        assert!(count > 100, "server {server} has {count} of 600");
    }
    assert_eq!(farm.pings(VIP), 1, "exactly one answers a ping");
    farm.assert_virtual_mac(VIP);
    farm.forget_neighbours();
    assert_eq!(farm.broken(&mut calls), 0);
    farm.assert_virtual_mac(VIP);

    // The third dies: its cable first, as with a power cut.
    farm.lan.cable(3, "down");
    let two: Shares = &[&[1, 3], &[2], &[]];
    farm.share_among(two, &[1, 2]);
    calls.retain(|call| call.server != 3);
    println!("{} connections of the others", calls.len());
    assert_eq!(farm.broken(&mut calls), 0, "the others' connections live on");
    let calls = farm.call(VIP, 60);
    farm.assert_owners(&calls, Filter::OnPort, two);
}

#[test]
fn ipv6_is_the_same() {
    let mut farm = Farm::new(3, invisible(&VIPS, vec![group(false, vec![tcp(Filter::OnPort)])]));
    farm.start();
    farm.share(THREE);
    let mut calls = farm.call(VIP6, 200);
    farm.assert_owners(&calls, Filter::OnPort, THREE);
    assert_eq!(farm.accepted(), 200);
    assert_eq!(farm.pings(VIP6), 1);
    // The client believes an advertisement with a right checksum only.
    farm.assert_virtual_mac(VIP6);
    farm.forget_neighbours();
    assert_eq!(farm.broken(&mut calls), 0);
    // The servers have asked for the client in the address's name, and not taught it their own MAC by that.
    farm.assert_virtual_mac(VIP6);
}

#[test]
fn a_clients_address_decides_alone_with_on_addr_and_the_first_rule_that_fits_counts() {
    let by_addr = group(false, vec![tcp(Filter::OnAddr), rule(Protocol::Arp, None, Filter::OnAddr)]);
    let mut farm = Farm::new(3, invisible(&VIPS, vec![by_addr]));
    farm.start();
    farm.share(THREE);
    let mut servers = BTreeSet::new();
    for last in 150..170 {
        let source: IpAddr = format!("10.77.0.{last}").parse().unwrap();
        farm.client().ip(&format!("addr add {source}/24 dev eth0"));
        let calls = farm.call_from(Some(source), VIP, 10);
        farm.assert_owners(&calls, Filter::OnAddr, THREE);
        servers.extend(calls.iter().map(|call| call.server));
        assert_eq!(calls.iter().map(|call| call.server).collect::<BTreeSet<_>>().len(), 1);
    }
    assert_eq!(servers.len(), 3, "twenty sources are spread");
}

#[test]
fn with_drain_a_server_that_joins_or_goes_breaks_no_connection_and_a_lost_one_is_reset() {
    let mut farm = Farm::new(3, invisible(&VIPS, vec![group(true, vec![tcp(Filter::OnPort)])]));
    farm.start();
    let two: Shares = &[&[1, 3], &[2], &[]];
    farm.share(two);
    let mut calls = farm.call(VIP, 150);
    let mut calls6 = farm.call(VIP6, 50);
    farm.assert_owners(&calls, Filter::OnPort, two);
    farm.share(THREE);
    assert_eq!((farm.broken(&mut calls), farm.broken(&mut calls6)), (0, 0), "a server joined");
    let later = farm.call(VIP, 60);
    farm.assert_owners(&later, Filter::OnPort, THREE);
    let gone: Shares = &[&[], &[1, 2], &[3]];
    farm.share(gone);
    assert_eq!((farm.broken(&mut calls), farm.broken(&mut calls6)), (0, 0), "a server goes in order");
    assert_eq!(farm.accepted(), 260, "no connection was taken twice");

    // The first one dies with connections that only it knows.
    farm.lan.cable(1, "down");
    let lost: Buckets = farm_lan::buckets_of(&[1, 3]);
    farm.share_lost(gone, lost);
    let mut orphans: Vec<_> = calls.into_iter().filter(|call| call.server == 1).collect();
    assert!(!orphans.is_empty());
    for call in &mut orphans {
        assert_eq!(call.ask().unwrap_err().kind(), std::io::ErrorKind::ConnectionReset, "at once, not by a time-out");
    }
}

#[test]
fn directed_frames_reach_their_server_through_another() {
    let rules = vec![tcp(Filter::OnPort), rule(Protocol::Arp, None, Filter::OnAddr)];
    let mut farm = Farm::new(3, farm_lan::spec(Delivery::Directed, &VIPS, vec![group(false, rules)]));
    farm.start();
    farm.share(THREE);
    for vip in VIPS {
        let calls = farm.call(vip, 150);
        farm.assert_owners(&calls, Filter::OnPort, THREE);
        let holder = farm.holder(vip);
        let through: Vec<_> = calls.iter().filter(|call| call.server != holder).collect();
        println!("{vip}: server {holder} has the frames, {} of 150 go on to another", through.len());
        assert!(!through.is_empty());
    }
    assert_eq!(farm.accepted(), 300, "each connection was accepted once");
    let mut calls = farm.call(VIP, 90);
    let holder = farm.holder(VIP);

    // Whoever has the client's frames dies.
    farm.lan.cable(holder, "down");
    let heir = holder % 3 + 1;
    let shares = farm_lan::inherit(THREE, holder, heir);
    let living: Vec<_> = (1..=3).filter(|server| *server != holder).collect();
    farm.share_among(&farm_lan::borrowed(&shares), &living);
    let heard = farm.announcements();
    farm.announce(heir);
    assert_eq!(heard.recv_timeout(Duration::from_secs(60)).expect("an announcement"), farm.mac(heir));
    calls.retain(|call| call.server != holder);
    assert_eq!(farm.broken(&mut calls), 0, "the survivors' connections live on");
    let calls = farm.call(VIP, 60);
    farm.assert_owners(&calls, Filter::OnPort, &farm_lan::borrowed(&shares));
}

#[test]
fn a_directed_frame_is_sent_on_once_at_most_and_errors_follow_their_connection() {
    let mut farm =
        Farm::new(3, farm_lan::spec(Delivery::Directed, &VIPS, vec![group(false, vec![tcp(Filter::OnPort)])]));
    farm.start();
    farm.share(THREE);
    let port = farm_lan::port_of(3, THREE);
    let seen = farm.listen(3);
    let (peer, router) = (farm.mac(2), MacAddr([2, 0, 0, 0, 0x77, 0x77]));
    // As if servers 1 and 2 disagreed: what 2 sent to 1 belongs to 3, as 1 sees it.
    farm.inject(2, farm.mac(1), peer, farm_lan::syn(port, 1));
    // For a machine that the switch doesn't know: every server sees it.
    farm.inject(2, MacAddr([2, 0, 0, 0, 0x88, 0x88]), router, farm_lan::syn(port, 2));
    // Behind them the same from a client.
    farm.inject(2, farm.mac(1), router, farm_lan::syn(port, 3));
    let next = || seen.recv_timeout(Duration::from_secs(60)).expect("the frame reaches server 3");
    assert_eq!(next(), 3, "1 was sent on once already, 2 is for nobody here");
    farm.inject(2, farm.mac(1), router, farm_lan::too_big(port, 4));
    assert_eq!(next(), 4, "path MTU discovery works through another server");
}

#[test]
fn datagrams_have_one_server_also_in_fragments() {
    let udp = |port, filter| rule(Protocol::Udp, port, filter);
    let mut farm = Farm::new(3, invisible(&VIPS, vec![group(true, vec![udp(None, Filter::OnPort)])]));
    farm.start();
    farm.share(THREE);
    farm.serve_datagrams();
    for vip in VIPS {
        for (client, server) in farm.ask_datagrams(vip, 30, 4000) {
            let bucket = hf_net::bucket(Filter::OnPort, client.ip(), client.port(), hf_net::DEFAULT_SEED).unwrap();
            assert_eq!(server, farm_lan::server_of(bucket, THREE), "from {client}");
        }
    }
    assert_eq!(farm.accepted(), 60, "none was taken twice");
}

#[test]
fn with_on_ipid_one_client_is_served_by_all() {
    let mut farm = Farm::new(3, invisible(&VIPS, vec![group(false, vec![rule(Protocol::Udp, None, Filter::OnIpid)])]));
    farm.start();
    farm.share(THREE);
    farm.serve_datagrams();
    // Whole ones mostly have the identification 0; fragments have one.
    let servers: BTreeSet<_> = farm.ask_datagrams(VIP, 60, 4000).into_iter().map(|(_, server)| server).collect();
    assert_eq!(servers.len(), 3);
    assert_eq!(farm.accepted(), 60, "none was taken twice");
}

#[test]
fn before_its_first_buckets_a_server_is_silent() {
    let mut farm = Farm::new(2, invisible(&VIPS, vec![group(false, vec![tcp(Filter::OnPort)])]));
    farm.start();
    farm.share_among(&[&[1, 2, 3], &[]], &[1]);
    let calls = farm.call(VIP, 60);
    assert!(calls.iter().all(|call| call.server == 1));
    assert_eq!(farm.accepted(), 60, "the second one refused none, and took none");
}

#[test]
fn nothing_is_left_after_a_stop() {
    let mut farm = Farm::new(1, invisible(&VIPS, vec![group(true, vec![tcp(Filter::OnPort)])]));
    let before = farm.traces(1);
    farm.start();
    farm.share(&[&[1, 2, 3]]);
    let between = farm.traces(1);
    for (old, new) in before.iter().zip(&between) {
        assert_ne!(old, new, "the farm shows");
    }
    assert_eq!(farm.server(1, |_| kernel_bitmaps("farm").unwrap()), [Buckets::ALL]);
    let mut calls = farm.call(VIP, 3);
    let stopped = farm.server(1, |plane| plane.stop(true));
    assert!(stopped.errors.is_empty(), "{:?}", stopped.errors);
    assert_eq!(stopped.reset, 3);
    assert_eq!(calls[0].ask().unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(farm.traces(1), before);
    assert_eq!(farm.server(1, |_| kernel_bitmaps("farm").unwrap()), []);
    let again = farm.server(1, |plane| plane.stop(true));
    assert!(again.errors.is_empty(), "a second stop finds nothing to do: {:?}", again.errors);
}

#[test]
fn a_dead_processs_addresses_go_first_and_its_filter_is_collected() {
    let spec = invisible(&VIPS, vec![group(false, vec![tcp(Filter::OnPort)])]);
    let mut farm = Farm::new(1, spec);
    let before = farm.traces(1);
    farm.start();
    farm.share(&[&[1]]);
    if farm_lan::tables_are_owned() {
        let refused = farm.lan.stations[0].run(|| clear_leftovers("farm").unwrap_err());
        assert!(matches!(refused, FarmError::InUse { .. }), "while the process lives: {refused}");
        assert!(farm.lan.stations[0].run(|| command("nft", "delete table netdev holdfast_farm").is_err()));
        farm.lan.stations[0].run(|| command("nft", "flush ruleset").unwrap());
        assert_eq!(farm.server(1, |plane| plane.verify().unwrap()), Verified::Same, "others can't remove the filter");
    }

    // To the kernel, a process that is killed is one whose sockets are closed.
    farm.server(1, |plane| plane.renew(Duration::from_secs(1)).unwrap());
    farm.kill(1);
    assert!(farm.traces(1)[0].contains("holdfast_farm"), "the filter stays as long as there are addresses, and longer");
    farm.wait_without_address(1);
    let left = farm.lan.stations[0].run(|| clear_leftovers("farm").unwrap());
    assert!(left.errors.is_empty(), "{:?}", left.errors);
    assert_eq!(farm.traces(1), before);
}

#[test]
fn the_next_process_takes_the_place_of_a_dead_one() {
    let spec = invisible(&VIPS, vec![group(false, vec![tcp(Filter::OnPort)])]);
    let mut farm = Farm::new(1, spec);
    let before = farm.traces(1);
    farm.start();
    farm.share(&[&[1, 2, 3]]);
    let mut calls = farm.call(VIP, 20);
    farm.kill(1);
    // The application still runs, and so do its connections.
    farm.reopen(1);
    farm.start();
    farm.share(&[&[1, 2, 3]]);
    assert_eq!(farm.broken(&mut calls), 0);
    farm.server(1, |plane| plane.stop(false));
    assert_eq!(farm.traces(1), before, "what a setting was before is known to the second process");
}
