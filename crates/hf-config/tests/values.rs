//! What good files come out as.

use std::net::Ipv4Addr;

use hf_config::{AsyncMode, Boot, DefaultPrim, Logging, Mode, ModuleConfig, check_module, parse_cluster, parse_module};

fn no_environment(_: &str) -> Option<String> {
    None
}

fn module(inside: &str) -> ModuleConfig {
    let text = format!("<safe><service mode='mirror'>{inside}</service></safe>");
    parse_module(&text, "u.xml", "m", None, &no_environment).unwrap_or_else(|found| panic!("{found}"))
}

#[test]
fn the_mirror_of_the_reference() {
    let text = include_str!("cases/module/mirror_of_the_reference.xml");
    let config = parse_module(text, "userconfig.xml", "mirror", None, &no_environment).expect("it is accepted");
    assert_eq!(config.name, "mirror");
    assert_eq!(config.service.mode, Mode::Mirror);
    assert_eq!(config.service.default_prim, DefaultPrim::Alone);
    assert_eq!((config.service.max_loop, config.service.loop_interval_ms), (3, 86_400_000));
    assert_eq!(config.heart.heartbeats.len(), 1);
    assert_eq!(config.heart.heartbeats[0].ident, "flow");
    assert_eq!(config.effective_flow_lan(), "default");
    let rfs = config.rfs.as_ref().expect("it replicates");
    assert_eq!(rfs.lock_timeout_ms, 100_000);
    assert_eq!(rfs.backing_dir(&rfs.replicated[1]), "/test2replicated_For_SafeKit_Replication");
    let (interface, address) = config.virtual_addresses().next().expect("it has a virtual address");
    assert!(interface.arp_reroute);
    assert_eq!(address.addr, Ipv4Addr::new(192, 168, 4, 10));
}

#[test]
fn several_interfaces_and_addresses_of_both_families() {
    let config = module(
        "<heart><heartbeat name='default'/></heart>
         <vip tcpreset='off'><interface_list>
           <interface name='bond0' check='off'><real_interface>
             <virtual_addr addr='10.0.0.9' where='one_side_alias' check='off' netmask='255.255.255.0'/>
             <virtual_addr addr='fd90:1::9' where='one_side_alias' check='off' connections='on'/>
           </real_interface></interface>
           <interface check='off' arpreroute='on' arpinterval='5' arpelapse='20s'><real_interface>
             <virtual_addr addr='10.1.0.9' where='one_side_alias' check='off'/>
           </real_interface></interface>
         </interface_list></vip>",
    );
    let found: Vec<_> = config
        .virtual_addresses()
        .map(|(interface, address)| {
            (interface.name.as_deref(), address.addr.to_string(), address.prefix, address.connections)
        })
        .collect();
    let wanted = [
        (Some("bond0"), "10.0.0.9".to_owned(), Some(24), false),
        (Some("bond0"), "fd90:1::9".to_owned(), None, true),
        (None, "10.1.0.9".to_owned(), None, false),
    ];
    assert_eq!(found, wanted);
    let vip = config.vip.as_ref().expect("it has addresses");
    assert!(!vip.tcp_reset && vip.interfaces[1].arp_reroute);
    assert_eq!((vip.interfaces[1].arp_interval_ms, vip.interfaces[1].arp_elapse_ms), (5_000, 20_000));
}

#[test]
fn every_default_is_the_references() {
    let config = module(
        "<heart><heartbeat name='default'/></heart>
         <rfs><replicated dir='/d'/></rfs>
         <vip><interface_list><interface><real_interface>
           <virtual_addr addr='10.0.0.9' where='one_side_alias'/>
         </real_interface></interface></interface_list></vip>
         <user/>",
    );
    let service = &config.service;
    assert_eq!((service.boot, service.boot_delay_ms, service.failover), (Boot::Ignore, 0, true));
    assert_eq!((service.max_loop, service.loop_interval_ms, service.automatic_reboot), (3, 86_400_000, false));
    assert!(config.heart.permanent_arp);
    let heartbeat = &config.heart.heartbeats[0];
    assert_eq!((heartbeat.pulse_ms, heartbeat.timeout_ms, heartbeat.port), (700, 30_000, None));
    assert_eq!(heartbeat.ident, "default");
    let rfs = config.rfs.as_ref().expect("it replicates");
    assert_eq!((rfs.async_mode, rfs.acl, rfs.reintegration_threads), (AsyncMode::Second, false, 3));
    assert_eq!((rfs.send_timeout_ms, rfs.lock_timeout_ms), (30_000, 100_000));
    assert_eq!(
        (rfs.reintegration_timeout_ms, rfs.check_timeout_ms, rfs.check_interval_ms),
        (150_000, 220_000, 120_000)
    );
    assert_eq!((rfs.packet_bytes, rfs.reintegration_packet_bytes, rfs.zone_bytes), (None, 8_388_608, 8_388_608));
    assert_eq!((rfs.reintegration_bandwidth_kb_s, rfs.sync_delta_ms, rfs.sync_at.clone()), (None, None, None));
    assert_eq!((rfs.connections, rfs.namespace_policy, rfs.reintegration_commit_blocks), (1, 4, 0));
    assert!(rfs.mount_over && !rfs.scripts && !rfs.reintegration_detail && rfs.replicated[0].not_replicated.is_empty());
    let vip = config.vip.as_ref().expect("it has an address");
    assert!(vip.tcp_reset && vip.interfaces[0].check && vip.interfaces[0].addresses[0].check);
    assert!(!vip.interfaces[0].arp_reroute && !vip.interfaces[0].addresses[0].connections);
    assert_eq!((vip.interfaces[0].arp_interval_ms, vip.interfaces[0].arp_elapse_ms), (60_000, 1_200_000));
    let user = config.user.as_ref().expect("it has scripts");
    assert_eq!((user.nice_stop_timeout_ms, user.force_stop_timeout_ms), (300_000, 300_000));
    assert_eq!((user.logging, user.userlog_kb), (Logging::Userlog, 2048));
}

#[test]
fn the_syntax_from_before_7_2_finds_its_networks() {
    let cluster = parse_cluster(include_str!("cases/cluster/good.xml"), "c.xml").expect("it is good");
    let text = include_str!("cases/module/old_syntax.xml");
    let config = parse_module(text, "u.xml", "m", Some(&cluster), &no_environment).expect("it is accepted");
    let lanes: Vec<(&str, &str)> =
        config.heart.heartbeats.iter().map(|heartbeat| (heartbeat.lan.as_str(), heartbeat.ident.as_str())).collect();
    assert_eq!(lanes, [("default", "default"), ("repli", "Hb2")]);
    assert_eq!(config.effective_flow_lan(), "repli");
    assert!(parse_module(text, "u.xml", "m", None, &no_environment).is_err(), "nobody can say which network it is");
}

#[test]
fn durations_take_units_everywhere() {
    let config = module(
        "<heart pulse='200ms' timeout='5m'><heartbeat name='a'/><heartbeat name='b' timeout='2s'/></heart>
         <rfs sendtimeout='700ms' syncdelta='2'><replicated dir='/d//e/'/></rfs><user nicestoptimeout='1h'/>",
    );
    assert_eq!(config.heart.heartbeats[0].timeout_ms, 300_000);
    assert_eq!((config.heart.heartbeats[1].pulse_ms, config.heart.heartbeats[1].timeout_ms), (200, 2_000));
    let rfs = config.rfs.as_ref().expect("it replicates");
    assert_eq!((rfs.send_timeout_ms, rfs.sync_delta_ms), (700, Some(120_000)));
    assert_eq!(rfs.replicated[0].dir, "/d/e");
    assert_eq!(config.user.expect("it has scripts").nice_stop_timeout_ms, 3_600_000);
}

#[test]
fn the_flow_follows_the_ident_then_the_first_heartbeat() {
    let rfs = "<rfs><replicated dir='/d'/></rfs>";
    let ident = "<heart><heartbeat name='a'/><heartbeat name='b' ident='flow'/></heart>";
    assert_eq!(module(&format!("{ident}{rfs}")).effective_flow_lan(), "b");
    let first = "<heart><heartbeat name='a'/><heartbeat name='b'/></heart>";
    assert_eq!(module(&format!("{first}{rfs}")).effective_flow_lan(), "a");
    let old = "<rfs><replicated dir='/d'/><flow name='c'/></rfs>";
    assert_eq!(module(&format!("{first}{old}")).effective_flow_lan(), "c");
}

#[test]
fn both_spellings_of_the_reintegration_timeout() {
    for name in ["reitimeout", "retimeout"] {
        let inside = format!("<heart><heartbeat name='a'/></heart><rfs {name}='7'><replicated dir='/d'/></rfs>");
        assert_eq!(module(&inside).rfs.expect("it replicates").reintegration_timeout_ms, 7_000);
    }
}

#[test]
fn a_macro_wins_over_the_environment() {
    let text = "<safe><macro name='A' value='1'/><service mode='mirror'><heart><heartbeat name='x%A%%B%'/></heart>
                </service></safe>";
    let environment = |name: &str| Some(format!("env-{name}"));
    let config = parse_module(text, "u.xml", "m", None, &environment).expect("it is accepted");
    assert_eq!(config.heart.heartbeats[0].lan, "x1env-B");
}

#[test]
fn macros_that_double_each_other_stop() {
    let mut text = "<safe><macro name='A0' value='xxxxxxxxxxxxxxxx'/>".to_owned();
    for i in 1..60 {
        text.push_str(&format!("<macro name='A{i}' value='%A{0}%%A{0}%'/>", i - 1));
    }
    text.push_str("<service mode='mirror'><heart><heartbeat name='%A59%'/></heart></service></safe>");
    let checked = check_module(&text, "u.xml", "m", None, &no_environment);
    assert!(checked.diagnostics.list.iter().any(|found| found.code == hf_config::Code::Limit));
}

#[test]
fn a_cluster_answers_questions() {
    let text = include_str!("cases/cluster/good.xml");
    let cluster = parse_cluster(text, "cluster.xml").expect("it is good");
    assert_eq!((cluster.port, cluster.node_names()), (4800, vec!["node1", "node2"]));
    assert_eq!(cluster.address("node2", "repli"), Some(Ipv4Addr::new(10, 0, 0, 2).into()));
    assert_eq!(cluster.address("node3", "repli"), None);
    assert_eq!(cluster.framework_lans().count(), 2);
    assert_eq!(cluster.command_lan().map(|lan| lan.name.as_str()), Some("default"));
    assert_eq!(cluster.check_own_node("node1"), Ok(()));
    assert_eq!(
        cluster.check_own_node("other").expect_err("no such node").to_string(),
        "this machine is called other, and cluster.xml has no such node (it has node1, node2); \
         add it, or give this machine one of these names"
    );
    assert_eq!(cluster.node_with_address(&[Ipv4Addr::new(10, 0, 0, 2).into()]), Some("node2"));
}

#[test]
fn layout_doesnt_change_the_canonical_text() {
    let text = include_str!("cases/cluster/good.xml");
    let one = parse_cluster(text, "a").expect("it is good");
    let squeezed = text.replace("\n", " ").replace("/>", "></node><!-- x -->").replace("<lans>", "<lans port='4800'>");
    let two = parse_cluster(&squeezed, "b").expect("it is as good");
    assert_eq!(one.canonical(), two.canonical());
    let other = parse_cluster(&text.replace("10.0.0.2", "10.0.0.3"), "c").expect("it is as good");
    assert_ne!(one.canonical(), other.canonical());
}

#[test]
fn a_local_address_behind_translation() {
    let text = "<cluster><lans><lan name='d'><node name='a' addr='192.0.2.1' laddr='10.0.0.1'/>
                <node name='b' addr='192.0.2.2' laddr='10.0.0.2'/></lan></lans></cluster>";
    let cluster = parse_cluster(text, "c.xml").expect("it is good");
    let node = cluster.node_on("a", "d").expect("it is there");
    let (outer, inner) = (Ipv4Addr::new(192, 0, 2, 1).into(), Ipv4Addr::new(10, 0, 0, 1).into());
    assert_eq!((node.ip, node.local_ip()), (Some(outer), Some(inner)));
    assert_eq!(cluster.node_with_address(&[Ipv4Addr::new(10, 0, 0, 2).into()]), Some("b"));
}

#[test]
fn names_are_put_in_after_they_were_looked_up() {
    let text = "<cluster><lans><lan name='d'><node name='a' addr='Srv1.example' laddr='fd00::1'/>
                <node name='b' addr='srv2.example'/></lan></lans></cluster>";
    let mut cluster = parse_cluster(text, "c.xml").expect("it is good");
    let before = cluster.canonical();
    let names = cluster.names();
    let wanted = Some(hf_config::Family::V6);
    assert_eq!(names, [("srv1.example".to_owned(), wanted), ("srv2.example".to_owned(), wanted)]);
    assert_eq!(cluster.address("b", "d"), None);
    let mut addresses = hf_config::Addresses::default();
    addresses.put("srv2.example", "fd00::9".parse().expect("an address"));
    cluster.resolve(&addresses);
    assert_eq!(cluster.address("b", "d"), "fd00::9".parse().ok());
    assert_eq!(cluster.node_on("a", "d").and_then(|node| node.local_ip()), "fd00::1".parse().ok());
    assert_eq!(cluster.canonical(), before, "the signature goes by what is written");
}
