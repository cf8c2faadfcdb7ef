//! What the heart is configured with: cluster.xml, the cluster's key, userconfig.xml.

use crate::checkers::interface_checks;
use hf_config::{Cluster, ModuleConfig};
use hf_host::cluster::{ClusterError, Identity, Member};
use hf_host::files::FileError;
use hf_host::module::{Applied, Keys, ModuleError, heart_port};
use hf_host::{Paths, clock, cluster, module, settings};
use hf_net::VipSpec;
use hf_node::heart::HeartConfig;
use hf_types::{BadName, Instant, ModuleName, NodeName};
use std::net::{IpAddr, SocketAddr};

/// Why a heart can't start.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Module(#[from] ModuleError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Name(#[from] BadName),
    #[error("{0}")]
    Config(String),
    #[error("the network {lan} of a heartbeat has no address of {node} in cluster.xml")]
    NoAddress { lan: String, node: String },
}

/// One lane, in the order of the heartbeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneAddress {
    pub lan: String,
    /// None: a name in cluster.xml has no address yet, so the lane isn't used until it has one.
    pub ends: Option<Ends>,
}

/// One lane's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Where this node listens, and sends from.
    pub own: SocketAddr,
    /// Where the other node listens.
    pub peer: SocketAddr,
    /// The other node's own view of its address, where addresses are translated.
    pub peer_local: IpAddr,
}

/// Everything read at the start.
#[derive(Debug)]
pub struct Loaded {
    pub member: Member,
    pub keys: Keys,
    pub applied: Applied,
    pub heart: HeartConfig,
    pub lanes: Vec<LaneAddress>,
    pub vips: Vec<VipSpec>,
}

/// Reads and checks the applied configuration.
pub fn load(paths: &Paths, module_name: &ModuleName, node: Option<NodeName>) -> Result<Loaded, LoadError> {
    let member = cluster::load(paths, &Identity::of_this_machine(node))?;
    let mut applied = module::load(paths, module_name, &member.cluster)?;
    let generated = interface_checks(&applied.config);
    applied.config.check.intf.extend(generated);
    let mut heart = HeartConfig::from_config(&applied.config, &member.cluster, &member.me)
        .map_err(|error| LoadError::Config(error.to_string()))?;
    let keys = module::keys(paths, module_name, &member)?;
    heart.encrypted &= !keys.insecure;
    heart.checking = settings::checking(paths, module_name)?;
    let bin = paths.user_bin(module_name);
    // A broken link or an unreadable file is there: running it says what is wrong with it.
    heart.scripts.retain(|script| bin.join(script.as_str()).symlink_metadata().is_ok());
    heart.sync_policy = settings::sync_policy(paths, module_name)?;
    heart.errd_off = module::errd_off(paths, module_name);
    let since_zero = clock::now().since(Instant(0)).as_micros();
    heart.loops.zero_us = clock::wall_us().saturating_sub(i64::try_from(since_zero).unwrap_or(i64::MAX));
    let lanes = lanes(&applied, &member.cluster, &heart)?;
    let vips = vips(&applied.config);
    Ok(Loaded { member, keys, applied, heart, lanes, vips })
}

fn lanes(applied: &Applied, cluster: &Cluster, heart: &HeartConfig) -> Result<Vec<LaneAddress>, LoadError> {
    let Some(other) = &heart.peer else {
        return Ok(Vec::new());
    };
    let default = heart_port(applied.id);
    let of_module = applied.config.heart.port.unwrap_or(default);
    applied
        .config
        .heart
        .heartbeats
        .iter()
        .map(|heartbeat| {
            let port = heartbeat.port.unwrap_or(of_module);
            let node = |name: &str| {
                cluster
                    .node_on(name, &heartbeat.lan)
                    .ok_or_else(|| LoadError::NoAddress { lan: heartbeat.lan.clone(), node: name.to_owned() })
            };
            let (me, peer) = (node(heart.me.as_str())?, node(other.as_str())?);
            let ends = || {
                Some(Ends {
                    own: SocketAddr::from((me.local_ip()?, port)),
                    peer: SocketAddr::from((peer.ip?, port)),
                    peer_local: peer.local_ip()?,
                })
            };
            Ok(LaneAddress { lan: heartbeat.lan.clone(), ends: ends() })
        })
        .collect()
}

fn vips(config: &ModuleConfig) -> Vec<VipSpec> {
    config
        .virtual_addresses()
        .map(|(interface, address)| VipSpec {
            address: address.addr,
            interface: interface.name.clone(),
            prefix_len: address.prefix,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: &str = r#"<cluster><lans>
      <lan name="default"><node name="n1" addr="one.example"/><node name="n2" addr="two.example"/></lan>
      <lan name="repli"><node name="n1" addr="10.1.0.1"/><node name="n2" addr="10.1.0.2"/></lan></lans></cluster>"#;
    const MODULE: &str = r#"<safe><service mode="mirror"><heart>
      <heartbeat name="default"/><heartbeat name="repli"/></heart></service></safe>"#;

    #[test]
    fn a_name_without_an_address_leaves_its_lane_out_and_nothing_else() {
        let cluster = hf_config::parse_cluster(CLUSTER, "cluster.xml").expect("a cluster");
        let config = hf_config::parse_module(MODULE, "u.xml", "m", Some(&cluster), &|_| None).expect("a module");
        let heart = HeartConfig::from_config(&config, &cluster, &"n1".parse().expect("a name")).expect("a pair");
        let lanes = lanes(&Applied { id: 3, config }, &cluster, &heart).expect("lanes");
        assert_eq!(lanes[0], LaneAddress { lan: "default".to_owned(), ends: None });
        let ends = lanes[1].ends.expect("addresses");
        assert_eq!((ends.own.to_string(), ends.peer.to_string()), ("10.1.0.1:8890".into(), "10.1.0.2:8890".into()));
    }
}
