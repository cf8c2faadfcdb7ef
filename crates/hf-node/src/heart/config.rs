use super::{HeartConfig, Lane, LoopLimits, Vip};
use hf_config::{Cluster, DefaultPrim, ModuleConfig};
use hf_rules::RuleSet;
use hf_types::catalogue::Class;
use hf_types::{BadName, Mode, NodeName, Script, SyncPolicy};
use hf_wire::heartbeat::TOLD_MAX;
use std::collections::BTreeSet;
use std::time::Duration;

/// Why a module's configuration makes no heart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeartConfigError {
    #[error("the heartbeats of {module} join {nodes}, and a mirror module needs two nodes of which {me} is one")]
    Pair { module: String, nodes: String, me: NodeName },
    #[error(transparent)]
    Name(#[from] BadName),
}

impl HeartConfig {
    /// What the heart of this module needs on node `me`. A mirror's pair are the nodes of the first heartbeat's network.
    pub fn from_config(
        config: &ModuleConfig,
        cluster: &Cluster,
        me: &NodeName,
    ) -> Result<HeartConfig, HeartConfigError> {
        let mode = config.service.mode;
        let (peer, me_first) = match mode {
            Mode::Mirror => pair(config, cluster, me).map(|(peer, first)| (Some(peer), first))?,
            Mode::Farm | Mode::Light => (None, true),
        };
        let user = config.user.as_ref();
        let ms = Duration::from_millis;
        let defaultprim = match &config.service.default_prim {
            DefaultPrim::Node(node) => Some(node.parse()?),
            DefaultPrim::Alone | DefaultPrim::LastPrim => None,
        };
        Ok(HeartConfig {
            module: config.name.parse()?,
            mode,
            me: me.clone(),
            peer,
            me_first,
            lanes: lanes(config)?,
            replicates: config.rfs.is_some(),
            encrypted: config.rfs.as_ref().is_some_and(|rfs| rfs.encryption),
            failover: config.service.failover,
            defaultprim,
            lastprim: config.service.default_prim == DefaultPrim::LastPrim,
            vips: vips(config),
            // Which of them are there is seen by who reads the directory.
            scripts: if user.is_some() { Script::OF_STATES.into() } else { BTreeSet::new() },
            nice_stop_timeout: ms(user.map_or(0, |user| user.nice_stop_timeout_ms)),
            force_stop_timeout: ms(user.map_or(0, |user| user.force_stop_timeout_ms)),
            loops: LoopLimits {
                max: config.service.max_loop,
                interval: ms(config.service.loop_interval_ms),
                zero_us: 0,
                reboot: config.service.automatic_reboot,
            },
            rules: rules(config),
            told: told(config),
            checkers: config.check.checkers(),
            checking: true,
            errd: config.errd.clone(),
            // Known by who reads files.
            errd_off: false,
            sync_policy: SyncPolicy::Default,
            syncdelta_min: config.rfs.as_ref().and_then(|rfs| rfs.sync_delta_ms).unwrap_or(0) / 60_000,
            scheduled: config.rfs.as_ref().is_some_and(|rfs| rfs.sync_at.is_some()),
        })
    }
}

/// The other node, and whether this one stands first in cluster.xml.
fn pair(config: &ModuleConfig, cluster: &Cluster, me: &NodeName) -> Result<(NodeName, bool), HeartConfigError> {
    let lan = config.heart.heartbeats.first().and_then(|heartbeat| cluster.lan(&heartbeat.lan));
    let on_lan = |name: &str| lan.is_some_and(|lan| lan.node(name).is_some());
    let nodes: Vec<&str> = cluster.node_names().into_iter().filter(|name| on_lan(name)).collect();
    match nodes.as_slice() {
        [first, second] if *first == me.as_str() => Ok((second.parse()?, true)),
        [first, second] if *second == me.as_str() => Ok((first.parse()?, false)),
        _ => Err(HeartConfigError::Pair { module: config.name.clone(), nodes: nodes.join(", "), me: me.clone() }),
    }
}

fn lanes(config: &ModuleConfig) -> Result<Vec<Lane>, BadName> {
    let lane = |heartbeat: &hf_config::Heartbeat| {
        Ok(Lane {
            lan: heartbeat.lan.parse()?,
            ident: heartbeat.ident.clone(),
            pulse: Duration::from_millis(heartbeat.pulse_ms),
            timeout: Duration::from_millis(heartbeat.timeout_ms),
        })
    };
    config.heart.heartbeats.iter().map(lane).collect()
}

/// The rules that have something to look at. A default rule is for a class of checkers: it acts where there is one of them.
fn rules(config: &ModuleConfig) -> RuleSet {
    let mut checked: BTreeSet<Class> =
        config.check.resources().iter().filter_map(|(resource, _)| Class::of_name(resource)).collect();
    checked.extend(config.moving_addresses().filter(|(_, address)| address.check).map(|_| Class::Ip));
    config.failover.rules.restricted(|rule| {
        let mut acts = false;
        rule.condition.references(&mut |reference| acts |= checked.contains(&reference.class));
        acts
    })
}

/// What rules ask of the other node: both nodes have the same configuration, and make the same list of it.
fn told(config: &ModuleConfig) -> Vec<String> {
    let (mut names, classes) = config.failover.rules.remote();
    let mut made: Vec<String> = config.check.resources().into_iter().map(|(resource, _)| resource).collect();
    made.extend(config.heart.heartbeats.iter().map(|heartbeat| format!("heartbeat.{}", heartbeat.ident)));
    made.extend(config.errd.iter().flat_map(|errd| &errd.procs).map(hf_config::Proc::resource));
    made.retain(|name| Class::of_name(name).is_some_and(|class| classes.contains(&class)));
    names.extend(made);
    names.into_iter().take(TOLD_MAX).collect()
}

fn vips(config: &ModuleConfig) -> Vec<Vip> {
    config
        .moving_addresses()
        .map(|(interface, address)| Vip {
            address: address.addr,
            arp_interval: Duration::from_millis(interface.arp_interval_ms),
            arp_elapse: Duration::from_millis(interface.arp_elapse_ms),
            arp_reroute: interface.arp_reroute,
            check: address.check,
            connections: address.connections,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: &str = r#"<cluster><lans>
        <lan name="default"><node name="n1" addr="10.0.0.1"/><node name="n2" addr="10.0.0.2"/><node name="n3" addr="10.0.0.3"/></lan>
        <lan name="repli" console="off"><node name="n2" addr="10.1.0.2"/><node name="n1" addr="10.1.0.1"/></lan>
    </lans></cluster>"#;

    fn convert(heartbeat: &str, me: &str) -> Result<HeartConfig, HeartConfigError> {
        let cluster = hf_config::parse_cluster(CLUSTER, "cluster.xml").unwrap();
        let text = format!(
            r#"<safe><service mode="mirror"><heart timeout="1s"><heartbeat name="{heartbeat}"/></heart></service></safe>"#
        );
        let module = hf_config::parse_module(&text, "userconfig.xml", "pg", Some(&cluster), &|_| None).unwrap();
        HeartConfig::from_config(&module, &cluster, &me.parse().unwrap())
    }

    #[test]
    fn both_nodes_agree_on_who_stands_first() {
        let (one, two) = (convert("repli", "n1").unwrap(), convert("repli", "n2").unwrap());
        let peer = |config: &HeartConfig| config.peer.as_ref().map(NodeName::to_string);
        assert_eq!((peer(&one).as_deref(), peer(&two).as_deref()), (Some("n2"), Some("n1")));
        assert_ne!(one.me_first, two.me_first);
        assert_eq!(one.lanes[0].timeout, Duration::from_secs(1));
    }

    #[test]
    fn a_default_rule_is_in_force_where_there_is_a_checker_of_its_class() {
        let rules = |inside: &str| {
            let cluster = hf_config::parse_cluster(CLUSTER, "cluster.xml").unwrap();
            let text = format!(
                r#"<safe><service mode="mirror"><heart><heartbeat name="repli"/></heart>{inside}</service></safe>"#
            );
            let module = hf_config::parse_module(&text, "userconfig.xml", "pg", Some(&cluster), &|_| None).unwrap();
            let config = HeartConfig::from_config(&module, &cluster, &"n1".parse().unwrap()).unwrap();
            config.rules.iter().map(|(_, rule)| rule.label.clone()).collect::<Vec<_>>()
        };
        let vip = |check: &str| {
            format!(
                r#"<vip><interface_list><interface check="off"><real_interface>
                <virtual_addr addr="10.0.0.9" where="one_side_alias" check="{check}"/></real_interface></interface></interface_list></vip>"#
            )
        };
        assert_eq!(rules(""), [""; 0]);
        assert_eq!(rules(&vip("off")), [""; 0]);
        assert_eq!(rules(&vip("on")), ["ip_failure"]);
        assert_eq!(rules(r#"<check><ping ident="a"><to addr="10.0.0.7"/></ping></check>"#), ["ping_failure"]);
    }

    #[test]
    fn a_node_outside_the_pair_is_told() {
        assert!(matches!(convert("repli", "n3"), Err(HeartConfigError::Pair { .. })));
    }
}
