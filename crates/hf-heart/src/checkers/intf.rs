//! `<intf>` (reference 004, 13.13): a network interface that carries. The kernel tells of each change, so a cable that is pulled is seen at once.

use hf_check::{Found, Look, Pace, Probe};
use hf_config::IntfCheck;
use hf_host::files::with_causes;
use hf_net::{AddressEntry, Link, LinuxVirtualIp, NetEvent, NetWatch};
use std::io;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Without any event it is looked at after this: nothing that the kernel forgot to say stays unseen.
const AGAIN: Duration = Duration::from_secs(10);
/// After a watch that broke, before another one is opened.
const PAUSE: Duration = Duration::from_secs(1);

/// An interface that is switched off is down as one without a cable: either way nobody is reached through it.
pub struct IntfProbe {
    interface: Option<String>,
    address: IpAddr,
    watch: Option<NetWatch>,
}

impl IntfProbe {
    pub fn new(check: IntfCheck) -> IntfProbe {
        IntfProbe { interface: check.interface, address: check.local_addr, watch: None }
    }

    async fn after_the_next_change(&mut self) -> Found {
        match &mut self.watch {
            None => {
                // Opened before the look, so that no change is missed.
                match NetWatch::open() {
                    Ok(watch) => self.watch = Some(watch),
                    Err(error) => {
                        tracing::warn!(error = with_causes(&error), "network interfaces are not watched");
                        sleep(PAUSE).await;
                    }
                }
            }
            Some(watch) => match timeout(AGAIN, next_of_links(watch)).await {
                Ok(true) | Err(_) => {}
                Ok(false) => {
                    self.watch = None;
                    sleep(PAUSE).await;
                }
            },
        }
        match see() {
            Ok((links, addresses)) => judge(self.interface.as_deref(), self.address, &links, &addresses),
            Err(error) => Found::unknown(format!("the interfaces can't be listed: {error}")),
        }
    }
}

impl Probe for IntfProbe {
    fn pace(&self) -> Pace {
        Pace::OnEvents
    }

    fn look(&mut self) -> Look<'_> {
        Box::pin(self.after_the_next_change())
    }
}

/// Waits for something other than the renewal of an address; false: the watch broke.
async fn next_of_links(watch: &mut NetWatch) -> bool {
    loop {
        match watch.next().await {
            Ok(events) if events.iter().all(|event| matches!(event, NetEvent::Address { .. })) => {}
            Ok(_) => return true,
            Err(error) => {
                tracing::warn!(error = with_causes(&error), "network interfaces are not watched");
                return false;
            }
        }
    }
}

fn see() -> io::Result<(Vec<Link>, Vec<AddressEntry>)> {
    let mut network = LinuxVirtualIp::open()?;
    Ok((network.links()?, network.addresses()?))
}

/// With a name: that interface. Without: the one that has the address.
fn judge(name: Option<&str>, address: IpAddr, links: &[Link], addresses: &[AddressEntry]) -> Found {
    let link = match name {
        Some(name) => links.iter().find(|link| link.name == name),
        None => {
            let entry = addresses.iter().find(|entry| entry.address == address);
            entry.and_then(|entry| links.iter().find(|link| link.index == entry.index))
        }
    };
    match (link, name) {
        (Some(link), _) if link.carrier => Found::up(),
        (Some(link), _) if link.up => Found::down(format!("{} has no carrier: is its cable plugged in?", link.name)),
        (Some(link), _) => Found::down(format!("{} is switched off", link.name)),
        (None, Some(name)) => Found::down(format!("there is no interface {name}")),
        (None, None) => Found::down(format!("no interface has the address {address}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hf_types::ResourceValue;

    fn link(index: u32, name: &str, up: bool, carrier: bool) -> Link {
        Link { index, name: name.to_owned(), mac: None, up, carrier }
    }

    #[test]
    fn what_is_seen_of_links_and_addresses() {
        let address: IpAddr = "10.0.0.1".parse().expect("an address");
        let has = [AddressEntry { index: 2, address, prefix_len: 24, valid_s: None }];
        let why = |name: Option<&str>, link: Link, has: &[AddressEntry]| judge(name, address, &[link], has).why;
        assert_eq!(why(None, link(2, "eth0", true, true), &has), "");
        assert_eq!(why(Some("eth0"), link(2, "eth0", true, true), &[]), "", "the name alone counts");
        assert_eq!(why(None, link(2, "eth0", true, false), &has), "eth0 has no carrier: is its cable plugged in?");
        assert_eq!(why(None, link(2, "eth0", false, false), &has), "eth0 is switched off");
        assert_eq!(why(None, link(2, "eth0", true, true), &[]), "no interface has the address 10.0.0.1");
        assert_eq!(why(None, link(3, "eth1", true, true), &has), "no interface has the address 10.0.0.1");
        assert_eq!(why(Some("eth9"), link(2, "eth0", true, true), &has), "there is no interface eth9");
        let one = judge(None, address, &[link(2, "eth0", true, false)], &has);
        assert_eq!(one.value, ResourceValue::Down);
    }
}
