//! The modules that come with the product have configurations that this crate accepts.

use hf_config::{AsyncMode, Severity, check_module, parse_cluster};

const LAB: &str = "<cluster><lans>
    <lan name='default'><node name='node1' addr='10.90.1.1'/><node name='node2' addr='10.90.1.2'/></lan>
    <lan name='repli'><node name='node1' addr='10.90.2.1'/><node name='node2' addr='10.90.2.2'/></lan>
  </lans></cluster>";

fn accepted(name: &str, text: &str) -> hf_config::ModuleConfig {
    let cluster = parse_cluster(LAB, "cluster.xml").expect("the lab's cluster is good");
    let checked = check_module(text, "userconfig.xml", name, Some(&cluster), &|_| None);
    let worst = checked.diagnostics.list.iter().map(|found| found.severity).max();
    assert!(worst <= Some(Severity::Warning), "{}", checked.diagnostics);
    checked.value.expect("without errors there is a value")
}

#[test]
fn mirror() {
    let config = accepted("mirror", include_str!("../../../packages/mirror/conf/userconfig.xml"));
    assert_eq!(config.rfs.expect("it replicates").replicated.len(), 2);
}

#[test]
fn leader_and_follower() {
    let leader = accepted("leader", include_str!("../../../packages/leader/conf/userconfig.xml"));
    let variables = leader.user.expect("it has scripts").variables;
    assert!(
        variables.iter().any(|variable| (variable.name.as_str(), variable.value.as_str()) == ("FOLLOWERS", "follower"))
    );
    let follower = accepted("follower", include_str!("../../../packages/follower/conf/userconfig.xml"));
    assert_eq!(follower.service.mode, hf_config::Mode::Light);
}

#[test]
fn light() {
    let config = accepted("light", include_str!("../../../packages/light/conf/userconfig.xml"));
    assert!(config.heart.heartbeats.is_empty() && config.rfs.is_none() && config.vip.is_none());
}

/// As 15.2 of the reference has it.
#[test]
fn farm() {
    let config = accepted("farm", include_str!("../../../packages/farm/conf/userconfig.xml"));
    assert_eq!(config.farm.as_ref().map(|farm| farm.lans.join(" ")).as_deref(), Some("default"));
    let vip = config.vip.as_ref().expect("it has an address");
    assert_eq!(vip.groups.iter().map(|group| group.name.as_str()).collect::<Vec<_>>(), ["FarmProto"]);
    assert_eq!(config.moving_addresses().count(), 0, "no node has it alone");
}

/// The same file in all of them: a fault that is found in one is mended in the other.
#[test]
fn units_are_started_alike_in_every_package() {
    let light = include_str!("../../../packages/light/bin/services");
    assert_eq!(light, include_str!("../../../packages/mirror/bin/services"));
    assert_eq!(light, include_str!("../../../packages/follower/bin/services"));
    assert_eq!(light, include_str!("../../../packages/farm/bin/services"));
    for text in [
        include_str!("../../../packages/light/conf/userconfig.xml"),
        include_str!("../../../packages/farm/conf/userconfig.xml"),
        include_str!("../../../packages/mirror/conf/userconfig.xml"),
    ] {
        let named = text.replacen("name=\"SERVICES\" value=\"\"", "name=\"SERVICES\" value=\"one two\"", 1);
        let variables = accepted("services", &named).user.expect("it has scripts").variables;
        assert!(variables.iter().any(|variable| variable.name == "SERVICES" && variable.value == "one two"));
    }
}

#[test]
fn vhost() {
    let config = accepted("vhost", include_str!("../../../packages/vhost/conf/userconfig.xml"));
    let [name] = &config.virtual_host_names[..] else { panic!("one name") };
    assert_eq!((name.name.as_str(), name.envfile.as_str()), ("virtualname", "vhostenv"));
    assert_eq!(name.when, hf_config::HostNameWhen::Prim);
}

#[test]
fn postgresql() {
    let config = accepted("postgresql", include_str!("../../../packages/postgresql/conf/userconfig.xml"));
    assert_eq!(config.effective_flow_lan(), "repli");
    assert_eq!((config.heart.heartbeats[0].pulse_ms, config.heart.heartbeats[0].timeout_ms), (700, 30_000));
    assert_eq!(
        config.virtual_addresses().next().map(|(_, address)| address.addr.to_string()),
        Some("10.90.1.10".into())
    );
    let rfs = config.rfs.as_ref().expect("it replicates");
    assert_eq!((rfs.async_mode, rfs.replicated[0].dir.as_str()), (AsyncMode::Second, "/var/lib/holdfast-pg/data"));
    let variables = config.user.expect("it has scripts").variables;
    assert!(variables.iter().any(|variable| variable.name == "PGDATA" && variable.value == rfs.replicated[0].dir));
}

#[test]
fn mariadb_and_redis() {
    let packages = [
        ("mariadb", include_str!("../../../packages/mariadb/conf/userconfig.xml"), "10.90.1.11"),
        ("redis", include_str!("../../../packages/redis/conf/userconfig.xml"), "10.90.1.12"),
    ];
    for (name, text, address) in packages {
        let config = accepted(name, text);
        assert_eq!(config.virtual_addresses().map(|(_, found)| found.addr.to_string()).collect::<Vec<_>>(), [address]);
        let rfs = config.rfs.as_ref().expect("it replicates");
        let variables = config.user.expect("it has scripts").variables;
        assert!(variables.iter().any(|variable| variable.name == "DATADIR" && variable.value == rfs.replicated[0].dir));
    }
}
