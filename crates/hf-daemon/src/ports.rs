//! Which ports a module uses (reference 004, 10.3.3.2.2).

use crate::modules::Configured;
use hf_host::cluster::Member;
use hf_types::ports;
use hf_wire::bus::Port;

/// `ready`: the port of the listener for health checks. In the order of the reference: what all modules share, then the module's own.
pub fn of(configured: &Configured, member: Option<&Member>, ready: u16) -> Vec<Port> {
    let membership = member.map_or(ports::MEMBERSHIP, |member| member.cluster.port);
    let mut all =
        vec![Port::new("safeadmin", "port", "UDP", membership), Port::new("webconsole", "port", "TCP", ready)];
    let of_module = configured.config.heart.port.unwrap_or(ports::heart(configured.id));
    for heartbeat in &configured.config.heart.heartbeats {
        let port = Port::new("heart", "port", "UDP", heartbeat.port.unwrap_or(of_module));
        if !all.contains(&port) {
            all.push(port);
        }
    }
    if configured.config.rfs.is_some() {
        all.push(Port::new("rfs", "safenfs_port", "TCP", ports::rfs(configured.id)));
    }
    if let Some(farm) = &configured.config.farm {
        all.push(Port::new("farm", "port", "UDP", farm.port.unwrap_or(ports::farm(configured.id))));
    }
    all
}
