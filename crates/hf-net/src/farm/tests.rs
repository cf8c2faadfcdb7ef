//! The plan, without and with a kernel.

use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use super::plan::{Place, PlanError, tables};
use super::*;
use crate::nft::{Family, Ownership, Table};

const VIP: &str = "10.77.0.99";
const VIP6: &str = "fd77::99";

fn in_a_namespace<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> T {
    let body = move || {
        // SAFETY: changes the namespace of this thread only.
        let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
        assert_eq!(result, 0, "these tests need root: {}", std::io::Error::last_os_error());
        for line in [
            "link add eth0 type veth peer name far",
            "link set eth0 up",
            "link set far up",
            "addr add 10.77.0.1/24 dev eth0",
            "addr add fd77::1/64 dev eth0 nodad",
        ] {
            assert!(Command::new("ip").args(line.split(' ')).status().unwrap().success(), "ip {line}");
        }
        job()
    };
    std::thread::spawn(body).join().unwrap()
}

fn farm(delivery: Delivery, drain: bool) -> FarmSpec {
    let addresses: Vec<IpAddr> = [VIP, VIP6].iter().map(|address| address.parse().unwrap()).collect();
    let rule = |protocol, port, filter, address: Option<&str>| FarmRule {
        address: address.map(|address| address.parse().unwrap()),
        protocol,
        port,
        filter,
    };
    let web = vec![
        rule(Protocol::Tcp, Some(80), Filter::OnPort, None),
        rule(Protocol::Tcp, Some(443), Filter::OnAddr, Some(VIP)),
        rule(Protocol::Arp, None, Filter::OnAddr, None),
    ];
    let udp = vec![rule(Protocol::Udp, None, Filter::OnIpid, None)];
    FarmSpec {
        module: "web".to_owned(),
        interfaces: vec![FarmInterface { name: None, delivery, addresses }],
        groups: vec![
            FarmGroup { name: "web".to_owned(), rules: web, drain },
            FarmGroup { name: "udp".to_owned(), rules: udp, drain: false },
        ],
        seed: DEFAULT_SEED,
    }
}

fn invisible() -> Delivery {
    Delivery::Invisible { vmac: Delivery::default_vmac(VIP.parse().unwrap()) }
}

fn place() -> Vec<Place> {
    vec![Place { name: "eth0".to_owned(), index: 2 }]
}

fn shared() -> FarmLoad {
    let station = Station {
        mac: crate::MacAddr([2, 0, 0, 0, 0, 2]),
        ipv4: Some("10.77.0.2".parse().unwrap()),
        ipv6: Some("fe80::2".parse().unwrap()),
    };
    let mine = (0..128).collect();
    let owners = [("node2".to_owned(), (128..=255).collect())].into();
    let load = GroupLoad { mine, owners, lost: Buckets::NONE };
    FarmLoad {
        groups: [("web".to_owned(), load.clone()), ("udp".to_owned(), load)].into(),
        peers: [("node2".to_owned(), vec![Some(station)])].into(),
    }
}

fn sizes(tables: &[Table], name: &str) -> Vec<usize> {
    tables.iter().filter_map(|table| table.sets.get(name)).map(|set| set.elements.len()).collect()
}

#[test]
fn who_takes_what_changes_sets_only() {
    for delivery in [invisible(), Delivery::Directed] {
        let spec = farm(delivery, false);
        let empty = tables(&spec, &place(), &FarmLoad::default()).unwrap();
        let full = tables(&spec, &place(), &shared()).unwrap();
        assert_eq!(sizes(&empty, "mine_0"), [0]);
        assert_eq!(sizes(&full, "mine_0"), [128]);
        for (empty, full) in empty.iter().zip(&full) {
            assert_eq!(empty.chains, full.chains, "an empty filter has every rule already");
            assert_eq!(empty.sets.keys().collect::<Vec<_>>(), full.sets.keys().collect::<Vec<_>>());
        }
        assert_eq!(full, tables(&spec, &place(), &shared()).unwrap());
    }
}

#[test]
fn tables_are_made_as_they_are_needed() {
    let families = |spec: &FarmSpec| {
        tables(spec, &place(), &shared()).unwrap().iter().map(|table| table.family).collect::<Vec<_>>()
    };
    assert_eq!(families(&farm(invisible(), false)), [Family::Netdev, Family::Arp]);
    assert_eq!(families(&farm(invisible(), true)), [Family::Netdev, Family::Arp, Family::Inet]);
    let mut v6 = farm(invisible(), false);
    v6.interfaces[0].addresses.remove(0);
    assert_eq!(families(&v6), [Family::Netdev]);
    let chains = |spec| tables(&spec, &place(), &shared()).unwrap().swap_remove(0).chains;
    assert!(chains(farm(invisible(), false)).contains_key("out_0"), "advertisements are rewritten");
    assert!(!chains(farm(Delivery::Directed, false)).contains_key("out_0"));
}

#[test]
fn owners_are_neighbours() {
    let spec = farm(Delivery::Directed, false);
    let full = tables(&spec, &place(), &shared()).unwrap();
    assert_eq!(
        (sizes(&full, "owner0_4_0"), sizes(&full, "owner1_6_0"), sizes(&full, "peers_0")),
        (vec![128], vec![128], vec![1])
    );
}

#[test]
fn what_does_not_fit_is_said() {
    let refused = |spec: &FarmSpec, load: &FarmLoad| tables(spec, &place(), load).unwrap_err().to_string();
    let drained = refused(&farm(Delivery::Directed, true), &shared());
    assert!(drained.contains("drain=\"on\" in the group web works with type=\"vmac_invisible\" only"), "{drained}");
    let mut mute = shared();
    mute.peers.get_mut("node2").unwrap()[0].as_mut().unwrap().ipv6 = None;
    let mute = refused(&farm(Delivery::Directed, false), &mute);
    assert_eq!(mute, "node2 is to get packets of web but has told no IPv6 address on the interface eth0");
    let mut both = shared();
    both.groups.get_mut("web").unwrap().owners.insert("node3".to_owned(), [200].into_iter().collect());
    let both = tables(&farm(invisible(), false), &place(), &both).unwrap_err();
    assert!(matches!(both, PlanError::TwoOwners { bucket: 200, .. }), "{both}");
}

#[test]
fn this_kernel_takes_every_kind_of_farm() {
    in_a_namespace(|| {
        for spec in [farm(invisible(), false), farm(invisible(), true), farm(Delivery::Directed, false)] {
            assert_eq!(lacks(&spec).unwrap(), []);
            let mut plane = FarmPlane::open(spec).unwrap();
            let started = plane.start(&shared(), Duration::from_secs(60)).unwrap();
            assert_eq!(started.warnings, Vec::<String>::new());
            assert_eq!(kernel_bitmaps("web").unwrap(), [(0..128).collect(), (0..128).collect()]);
            assert_eq!(plane.verify().unwrap(), Verified::Same);
            let stopped = plane.stop(true);
            assert!(stopped.errors.is_empty(), "{:?}", stopped.errors);
            let left = Command::new("nft").args(["list", "ruleset"]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&left.stdout), "");
        }
    });
}

#[test]
fn a_filter_that_somebody_changed_is_repaired() {
    in_a_namespace(|| {
        let nft = |args: &str| assert!(Command::new("nft").args(args.split(' ')).status().unwrap().success(), "{args}");
        let mut plane = FarmPlane::open(farm(invisible(), true)).unwrap();
        // As kernels do that know no persistent owner.
        plane.ownership = Ownership::Anybodys;
        plane.start(&shared(), Duration::from_secs(60)).unwrap();
        nft("add table ip somebody");
        assert_eq!(plane.verify().unwrap(), Verified::Same, "what others have is none of ours");
        for damage in ["flush ruleset", "flush set netdev holdfast_web mine_0", "flush chain netdev holdfast_web v4_0"]
        {
            nft(damage);
            assert_eq!(plane.verify().unwrap(), Verified::Repaired, "{damage}");
            assert_eq!(plane.verify().unwrap(), Verified::Same, "{damage}");
            assert_eq!(kernel_bitmaps("web").unwrap()[0], (0..128).collect());
        }
        nft("flush ruleset");
        plane.load(&FarmLoad::default()).unwrap();
        assert_eq!(
            kernel_bitmaps("web").unwrap(),
            [Buckets::NONE, Buckets::NONE],
            "the next change brings it back, too"
        );
        plane.filter_renewed -= Duration::from_secs(70);
        let old = plane.filter_renewed;
        assert_eq!(plane.renew(Duration::from_secs(60)).unwrap(), Renewed::default());
        assert!(plane.filter_renewed > old, "the filter was renewed along");
        assert_eq!(plane.verify().unwrap(), Verified::Same);
        assert!(plane.stop(false).errors.is_empty());
    });
}

#[test]
fn an_address_that_went_is_told_and_brought_back_on_request() {
    in_a_namespace(|| {
        let mut plane = FarmPlane::open(farm(invisible(), false)).unwrap();
        plane.start(&shared(), Duration::from_secs(60)).unwrap();
        let lifetime = Duration::from_secs(60);
        assert_eq!(plane.renew(lifetime).unwrap(), Renewed::default());
        assert!(Command::new("ip").args(["addr", "del", "fd77::99/128", "dev", "eth0"]).status().unwrap().success());
        let gone = Renewed { gone: vec![VIP6.parse().unwrap()], warning: None };
        assert_eq!(plane.renew(lifetime).unwrap(), gone, "told");
        assert_eq!(plane.renew(lifetime).unwrap(), gone, "and not brought back");
        plane.restore(lifetime).unwrap();
        assert_eq!(plane.renew(lifetime).unwrap(), Renewed::default());
        assert!(plane.stop(false).errors.is_empty());
    });
}

#[test]
fn an_administrators_address_is_not_touched() {
    in_a_namespace(|| {
        assert!(Command::new("ip").args(["addr", "add", "10.77.0.99/32", "dev", "eth0"]).status().unwrap().success());
        let mut plane = FarmPlane::open(farm(invisible(), false)).unwrap();
        let error = plane.start(&shared(), Duration::from_secs(60)).unwrap_err();
        assert_eq!(error.to_string(), "can't set the virtual address 10.77.0.99");
        assert_eq!(kernel_bitmaps("web").unwrap(), [], "nothing of the farm is left");
        let there = Command::new("ip").args(["-o", "addr", "show", "dev", "eth0"]).output().unwrap();
        assert!(String::from_utf8_lossy(&there.stdout).contains("10.77.0.99"));
    });
}

#[test]
fn two_farms_on_one_interface_share_a_setting() {
    in_a_namespace(|| {
        let setting = || {
            let settings = ["ipv4/conf/eth0/arp_announce", "netfilter/nf_conntrack_tcp_loose"];
            settings.map(|one| std::fs::read_to_string(format!("/proc/sys/net/{one}")).unwrap().trim().to_owned())
        };
        let other = |module: &str, last: &str| {
            let mut spec = farm(invisible(), true);
            spec.module = module.to_owned();
            spec.interfaces[0].addresses = vec![format!("10.77.0.{last}").parse().unwrap()];
            spec.groups[0].rules.remove(1);
            FarmPlane::open(spec).unwrap()
        };
        let before = setting();
        assert!(before[0] != "2" && before[1] != "0", "{before:?}");
        let (mut first, mut second) = (other("first", "98"), other("second", "97"));
        first.start(&FarmLoad::default(), Duration::from_secs(60)).unwrap();
        second.start(&FarmLoad::default(), Duration::from_secs(60)).unwrap();
        assert!(first.stop(false).errors.is_empty());
        assert_eq!(setting(), ["2", "0"], "the second one needs them");
        assert!(second.stop(false).errors.is_empty());
        assert_eq!(setting(), before);
    });
}

/// Where the filter can't be, no address ever is.
#[test]
fn the_filter_comes_before_the_addresses() {
    in_a_namespace(|| {
        let mut owner = FarmPlane::open(farm(invisible(), false)).unwrap();
        owner.start(&shared(), Duration::from_secs(60)).unwrap();
        let mut second = FarmPlane::open(farm(invisible(), false)).unwrap();
        if owner.ownership == Ownership::Anybodys {
            return;
        }
        for address in ["10.77.0.99/32", "fd77::99/128"] {
            let deleted = Command::new("ip").args(["addr", "del", address, "dev", "eth0"]).status().unwrap();
            assert!(deleted.success());
        }
        let mut watch = crate::NetWatch::open().unwrap();
        let error = second.start(&shared(), Duration::from_secs(60)).unwrap_err();
        assert!(matches!(error, FarmError::InUse { .. }), "{error}");
        let ours = |event: &crate::NetEvent| match event {
            crate::NetEvent::Address { address, .. } => address.to_string() == VIP || address.to_string() == VIP6,
            _ => false,
        };
        assert_eq!(watch.read().unwrap().into_iter().filter(ours).collect::<Vec<_>>(), []);
        owner.restore(Duration::from_secs(60)).unwrap();
        assert!(second.start(&shared(), Duration::from_secs(60)).is_err());
        assert_eq!(owner.renew(Duration::from_secs(60)).unwrap(), Renewed::default(), "and none is taken from another");
        assert!(owner.stop(false).errors.is_empty());
    });
}
