//! The interface checkers that `check="on"` of `<interface>` makes (reference 004, 13.5.5, 15.10).

use hf_config::{IntfCheck, ModuleConfig};
use hf_host::files::with_causes;
use hf_net::{LinuxVirtualIp, VipSpec};
use std::net::IpAddr;

/// One for each interface with virtual addresses and `check="on"`, called after the network of this machine's address there:
/// `intf.192.168.1.0`. Where that can't be learnt now, after the virtual address.
pub fn interface_checks(config: &ModuleConfig) -> Vec<IntfCheck> {
    let mut found: Vec<IntfCheck> = Vec::new();
    let interfaces = config.vip.iter().flat_map(|vip| &vip.interfaces).filter(|interface| interface.check);
    for interface in interfaces {
        let Some(first) = interface.addresses.first() else {
            continue;
        };
        let check = check_of(interface.name.as_deref(), first.addr);
        let taken = |other: &IntfCheck| other.ident == check.ident;
        if !found.iter().any(taken) && !config.check.intf.iter().any(taken) {
            found.push(check);
        }
    }
    found
}

fn check_of(interface: Option<&str>, address: IpAddr) -> IntfCheck {
    let spec = VipSpec { interface: interface.map(str::to_owned), ..VipSpec::new(address) };
    let home = LinuxVirtualIp::open()
        .map_err(|error| error.to_string())
        .and_then(|mut network| network.home(&spec).map_err(|error| with_causes(&error)));
    match home {
        Ok((link, own)) => IntfCheck {
            ident: own.as_ref().map_or(address, hf_net::AddressEntry::network).to_string(),
            local_addr: own.map_or(address, |entry| entry.address),
            interface: Some(link.name),
        },
        Err(why) => {
            tracing::warn!(%address, why, "the interface of a virtual address is not known yet");
            IntfCheck { ident: address.to_string(), local_addr: address, interface: interface.map(str::to_owned) }
        }
    }
}
