//! `<ip>` (reference 004, 13.14): an address that is here, and nowhere else.

use hf_check::{Aside, Found, Look, Names, Pace, Probe};
use hf_config::IpCheck;
use hf_host::files::with_causes;
use hf_net::{Guard, LinuxVirtualIp, VipSpec, VirtualIp};
use std::net::IpAddr;
use std::time::Duration;

/// How long others have to answer the question who has the address, too.
const PROBE: Duration = Duration::from_millis(200);
/// What a look takes at most, beside looking a name up.
const LIMIT: Duration = Duration::from_secs(5);

/// Looks at this machine's addresses, then asks the LAN whether somebody else has it. Who answers in two looks running has it; once
/// may have been somebody who saw the conflict and gave way.
pub struct IpProbe {
    names: Names,
    interval: Duration,
    aside: Aside<std::io::Result<Option<String>>>,
    guard: Option<Guard>,
    answered: bool,
}

impl IpProbe {
    pub fn new(check: &IpCheck) -> IpProbe {
        IpProbe {
            names: Names::new(check.target.clone()),
            interval: Duration::from_millis(check.interval_ms),
            aside: Aside::default(),
            guard: None,
            answered: false,
        }
    }

    async fn see(&mut self) -> Found {
        let addresses = match self.names.addresses(LIMIT).await {
            Ok(addresses) => addresses,
            Err(why) => return Found::down(why),
        };
        for address in &addresses {
            match self.interface_of(*address).await {
                Ok(Some(interface)) => return self.ask(*address, interface).await,
                Ok(None) => {}
                Err(why) => return Found::unknown(why),
            }
        }
        self.guard = None;
        Found::down(format!("{} is not an address of this machine", self.names.target()))
    }

    async fn interface_of(&mut self, address: IpAddr) -> Result<Option<String>, String> {
        let found = self.aside.run(move || interface_of(address)).await;
        found.map_err(|error| error.to_string())?.map_err(|error| format!("addresses can't be listed: {error}"))
    }

    /// Where nobody can be asked (the loopback, a tunnel), it is enough to have it.
    async fn ask(&mut self, address: IpAddr, interface: String) -> Found {
        if self.guard.as_ref().is_none_or(|guard| guard.interface() != interface) {
            let spec = VipSpec { interface: Some(interface), ..VipSpec::new(address) };
            let opened = LinuxVirtualIp::open().map(|mut network| network.guard(&spec));
            self.guard = match opened {
                Ok(Ok(guard)) => Some(guard),
                Ok(Err(error)) => {
                    tracing::debug!(error = with_causes(&error), "others who have {address} aren't heard");
                    None
                }
                Err(error) => return Found::unknown(format!("the network can't be looked at: {error}")),
            };
        }
        let Some(guard) = &mut self.guard else {
            return Found::up();
        };
        let claimed = guard.probe(PROBE).await.ok().flatten();
        let before = std::mem::replace(&mut self.answered, claimed.is_some());
        match claimed {
            Some(mac) if before => {
                Found::down(format!("the machine with the Ethernet address {mac} has {address}, too"))
            }
            _ => Found::up(),
        }
    }
}

impl Probe for IpProbe {
    fn pace(&self) -> Pace {
        Pace::Every { interval: self.interval, limit: LIMIT * 2 }
    }

    fn look(&mut self) -> Look<'_> {
        Box::pin(self.see())
    }
}

/// The interface that has the address.
fn interface_of(address: IpAddr) -> std::io::Result<Option<String>> {
    let mut network = LinuxVirtualIp::open()?;
    let Some(entry) = network.addresses()?.into_iter().find(|entry| entry.address == address) else {
        return Ok(None);
    };
    Ok(network.links()?.into_iter().find(|link| link.index == entry.index).map(|link| link.name))
}
