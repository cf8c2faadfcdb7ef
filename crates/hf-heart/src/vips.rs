//! Virtual addresses: short netlink calls in the loop itself, so that a loop that stands still lets them expire.

use hf_host::files::with_causes;
use hf_net::{LinuxVirtualIp, VipCause, VipError, VipSpec, VirtualIp};
use hf_node::heart::HeartInput;
use std::net::IpAddr;
use std::time::Duration;

pub struct Vips {
    network: LinuxVirtualIp,
    specs: Vec<VipSpec>,
    tcp_reset: bool,
}

impl Vips {
    pub fn open(specs: Vec<VipSpec>, tcp_reset: bool) -> std::io::Result<Vips> {
        Ok(Vips { network: LinuxVirtualIp::open()?, specs, tcp_reset })
    }

    pub fn set(&mut self, address: IpAddr, lifetime: Duration) -> HeartInput {
        let spec = self.specs.iter().find(|spec| spec.address == address).cloned();
        let placed = self.network.set(&spec.unwrap_or_else(|| VipSpec::new(address)), lifetime);
        for warning in placed.iter().flat_map(|placed| &placed.warnings) {
            tracing::warn!(%address, "{warning}");
        }
        HeartInput::VipSet { address, error: placed.err().map(|error| with_causes(&error)) }
    }

    /// An input only if the address is lost.
    pub fn renew(&mut self, address: IpAddr, lifetime: Duration) -> Option<HeartInput> {
        let error = self.network.renew(address, lifetime).err()?;
        let why = with_causes(&error);
        match error {
            VipError { cause: VipCause::Gone | VipCause::Stalled { .. }, .. } => {
                Some(HeartInput::VipLost { address, why })
            }
            _ => {
                tracing::warn!(%address, why, "the virtual address was not renewed");
                None
            }
        }
    }

    pub fn announce(&mut self, address: IpAddr) {
        if let Err(error) = self.network.announce(address) {
            tracing::warn!(%address, error = with_causes(&error), "the virtual address was not announced");
        }
    }

    pub fn clear(&mut self, address: IpAddr) -> HeartInput {
        let cleared = self.network.clear(address, self.tcp_reset);
        HeartInput::VipCleared { address, error: cleared.err().map(|error| with_causes(&error)) }
    }

    /// Whatever a dead predecessor left.
    pub fn clear_all(&mut self) {
        for spec in self.specs.clone() {
            if let Err(error) = self.network.clear(spec.address, self.tcp_reset) {
                tracing::warn!(address = %spec.address, error = with_causes(&error), "an old virtual address stays");
            }
        }
    }
}
