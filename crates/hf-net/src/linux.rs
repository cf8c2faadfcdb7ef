//! Virtual addresses through rtnetlink, packet sockets and sock_diag.

use std::fs;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::error::{VipCause, VipError};
use crate::ethernet::MacAddr;
use crate::guard::{self, Guard};
use crate::route::{AddressEntry, Link, Route};
use crate::sock_diag::SockDiag;
use crate::vip::{Cleared, Placed, VipSpec, VirtualIp};

/// If looking at the address and renewing it took longer, this thread stood still in between, and the kernel may have
/// taken the address away and got it back from us. Half the shortest lifetime.
const RENEWAL_LIMIT: Duration = Duration::from_millis(500);

/// The [`VirtualIp`] of Linux. Holds sockets only.
pub struct LinuxVirtualIp {
    route: Route,
    sockets: SockDiag,
}

impl LinuxVirtualIp {
    /// Opens its sockets in the network namespace of the calling thread. Needs CAP_NET_ADMIN and CAP_NET_RAW in use.
    pub fn open() -> std::io::Result<Self> {
        Ok(Self { route: Route::open()?, sockets: SockDiag::open()? })
    }

    /// All interfaces.
    pub fn links(&mut self) -> std::io::Result<Vec<Link>> {
        self.route.links()
    }

    /// All addresses.
    pub fn addresses(&mut self) -> std::io::Result<Vec<AddressEntry>> {
        self.route.addresses()
    }

    /// The interface where an address belongs, and an address of this machine in the same network there, if it has one.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn home(&mut self, vip: &VipSpec) -> Result<(Link, Option<AddressEntry>), VipError> {
        let mut look = || {
            let present = self.route.addresses().map_err(VipCause::kernel("list its addresses"))?;
            let link = self.find_link(vip, vip.address, &present)?;
            let there = |entry: &&AddressEntry| entry.index == link.index && entry.address != vip.address;
            let nearest = present.iter().filter(there).filter(|entry| entry.contains(vip.address));
            let nearest = nearest.max_by_key(|entry| entry.prefix_len).cloned();
            Ok((link, nearest))
        };
        look().map_err(failed("find the interface of", vip.address))
    }

    fn try_set(&mut self, vip: &VipSpec, address: IpAddr, lifetime: Duration) -> Result<Placed, VipCause> {
        let valid_s = whole_seconds(lifetime)?;
        let present = self.route.addresses().map_err(VipCause::kernel("list its addresses"))?;
        let link = self.find_link(vip, address, &present)?;
        for entry in present.iter().filter(|entry| entry.address == address) {
            if entry.valid_s.is_none() {
                return Err(VipCause::Foreign { interface: self.name_of(entry.index) });
            }
        }
        let mut warnings = Vec::new();
        if address.is_ipv4()
            && let Err(error) = set_arp_announce(&link.name)
        {
            warnings.push(format!("arp_announce of {} can't be set to 2: {error}", link.name));
        }
        let entry = AddressEntry { index: link.index, address, prefix_len: prefix_len(vip), valid_s: Some(valid_s) };
        self.route.put_address(&entry).map_err(VipCause::kernel("add the address"))?;
        let same = |other: &AddressEntry| other.index == entry.index && other.prefix_len == entry.prefix_len;
        // A dead predecessor with another configuration: its entry must not be renewed along with ours.
        let elsewhere = |other: &&AddressEntry| other.address == address && !same(other);
        let leftovers: Vec<_> = present.iter().filter(elsewhere).cloned().collect();
        if let Err(error) = self.delete(&leftovers) {
            warnings.push(format!("{address} also remains elsewhere: {error}"));
        }
        if let Err(error) = announce_on(&link, address) {
            warnings.push(format!("{address} can't be announced on {}: {error}", link.name));
        }
        Ok(Placed { interface: link.name, index: link.index, warnings })
    }

    fn find_link(&mut self, vip: &VipSpec, address: IpAddr, present: &[AddressEntry]) -> Result<Link, VipCause> {
        let links = self.route.links().map_err(VipCause::kernel("list its interfaces"))?;
        if let Some(name) = &vip.interface {
            let found = links.into_iter().find(|link| link.name == *name);
            return found.ok_or_else(|| VipCause::UnknownInterface { name: name.clone() });
        }
        let nearest = present
            .iter()
            .filter(|entry| entry.address != address && !is_link_local(entry.address) && entry.contains(address))
            .max_by_key(|entry| (entry.prefix_len, std::cmp::Reverse(entry.index)))
            .ok_or(VipCause::NoInterface)?;
        links.into_iter().find(|link| link.index == nearest.index).ok_or(VipCause::NoInterface)
    }

    fn try_renew(&mut self, address: IpAddr, lifetime: Duration) -> Result<(), VipCause> {
        let valid_s = whole_seconds(lifetime)?;
        let started = Instant::now();
        let entries = self.ours(address)?;
        if entries.is_empty() {
            return Err(VipCause::Gone);
        }
        for entry in &entries {
            let entry = AddressEntry { valid_s: Some(valid_s), ..entry.clone() };
            self.route.put_address(&entry).map_err(VipCause::kernel("renew the address"))?;
        }
        // The kernel adds what isn't there, whatever the flags. So if the address may have expired between the look
        // and the renewal, it must go again: the peer may have it by now.
        let took = started.elapsed();
        if took > RENEWAL_LIMIT {
            self.delete(&entries)?;
            return Err(VipCause::Stalled { millis: took.as_millis() });
        }
        Ok(())
    }

    fn try_announce(&mut self, address: IpAddr) -> Result<(), VipCause> {
        let entries = self.ours(address)?;
        let links = self.route.links().map_err(VipCause::kernel("list its interfaces"))?;
        let entry = entries.first().ok_or(VipCause::Gone)?;
        let link = links.iter().find(|link| link.index == entry.index).ok_or(VipCause::Gone)?;
        announce_on(link, address)
    }

    fn try_clear(&mut self, address: IpAddr, reset: bool) -> Result<Cleared, VipCause> {
        let entries = self.ours(address)?;
        if entries.is_empty() {
            return Ok(Cleared::default());
        }
        let reset = if reset { self.sockets.reset(address) } else { Ok(0) };
        // The address goes even if its connections could not be reset: that is what the peer waits for.
        self.delete(&entries)?;
        let reset = reset.map_err(VipCause::kernel("reset its connections (the address is removed)"))?;
        Ok(Cleared { was_set: true, reset })
    }

    fn try_guard(&mut self, vip: &VipSpec) -> Result<Guard, VipCause> {
        let present = self.route.addresses().map_err(VipCause::kernel("list its addresses"))?;
        let link = self.find_link(vip, vip.address, &present)?;
        let own = own_address(&present, link.index, vip.address);
        Guard::open(link.index, &link.name, ethernet(&link)?, vip.address, own)
            .map_err(VipCause::kernel("watch the LAN"))
    }

    /// Where the address is with a lifetime, that is: by our doing.
    fn ours(&mut self, address: IpAddr) -> Result<Vec<AddressEntry>, VipCause> {
        let mut entries = self.route.addresses().map_err(VipCause::kernel("list its addresses"))?;
        entries.retain(|entry| entry.address == address && entry.valid_s.is_some());
        Ok(entries)
    }

    fn delete(&mut self, entries: &[AddressEntry]) -> Result<(), VipCause> {
        let mut result = Ok(());
        for entry in entries {
            match self.route.delete_address(entry) {
                // It expired or was removed since the look, or its interface was.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EADDRNOTAVAIL | libc::ENODEV)) => (),
                Err(error) => result = Err(VipCause::kernel("remove the address")(error)),
                Ok(()) => (),
            }
        }
        result
    }

    fn name_of(&mut self, index: u32) -> String {
        let links = self.route.links().unwrap_or_default();
        let found = links.into_iter().find(|link| link.index == index);
        found.map_or_else(|| format!("interface {index}"), |link| link.name)
    }
}

impl VirtualIp for LinuxVirtualIp {
    fn set(&mut self, vip: &VipSpec, lifetime: Duration) -> Result<Placed, VipError> {
        self.try_set(vip, vip.address, lifetime).map_err(failed("set", vip.address))
    }

    fn renew(&mut self, address: IpAddr, lifetime: Duration) -> Result<(), VipError> {
        self.try_renew(address, lifetime).map_err(failed("renew", address))
    }

    fn announce(&mut self, address: IpAddr) -> Result<(), VipError> {
        self.try_announce(address).map_err(failed("announce", address))
    }

    fn clear(&mut self, address: IpAddr, reset: bool) -> Result<Cleared, VipError> {
        self.try_clear(address, reset).map_err(failed("clear", address))
    }

    fn guard(&mut self, vip: &VipSpec) -> Result<Guard, VipError> {
        self.try_guard(vip).map_err(failed("watch", vip.address))
    }

    fn connections(&mut self, address: IpAddr) -> Result<usize, VipError> {
        let counted = self.sockets.count(address).map_err(VipCause::kernel("list its connections"));
        counted.map_err(failed("count the connections of", address))
    }
}

fn failed(operation: &'static str, address: IpAddr) -> impl Fn(VipCause) -> VipError {
    move |cause| VipError { operation, address, cause }
}

/// A /32 or /128, unless `netmask` says otherwise.
fn prefix_len(vip: &VipSpec) -> u8 {
    let longest = if vip.address.is_ipv4() { 32 } else { 128 };
    vip.prefix_len.unwrap_or(longest).min(longest)
}

/// A virtual address lives for some seconds; what a DHCP server gave lives longer.
const OWN_LIVES_S: u32 = 30;

/// This node's own address on the interface: one in the virtual one's network, else any of its kind.
fn own_address(present: &[AddressEntry], index: u32, address: IpAddr) -> Option<IpAddr> {
    let of_kind = |entry: &&AddressEntry| {
        entry.index == index
            && entry.valid_s.is_none_or(|seconds| seconds > OWN_LIVES_S)
            && entry.address.is_ipv4() == address.is_ipv4()
            && entry.address != address
    };
    present.iter().filter(of_kind).max_by_key(|entry| entry.contains(address)).map(|entry| entry.address)
}

/// fe80::/10 is on every interface: it tells nothing about where an address belongs.
fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// Rounded down: the peer counts on the address being gone after the lifetime it knows of.
pub(crate) fn whole_seconds(lifetime: Duration) -> Result<u32, VipCause> {
    match u32::try_from(lifetime.as_secs()) {
        Ok(0) => Err(VipCause::Lifetime { millis: lifetime.as_millis() }),
        // The largest value means for ever, which an address of ours never is.
        Ok(seconds) => Ok(seconds.min(u32::MAX - 1)),
        Err(_) => Ok(u32::MAX - 1),
    }
}

fn ethernet(link: &Link) -> Result<MacAddr, VipCause> {
    link.mac.ok_or_else(|| VipCause::NoEthernet { interface: link.name.clone() })
}

fn announce_on(link: &Link, address: IpAddr) -> Result<(), VipCause> {
    let mac = ethernet(link)?;
    let router = address.is_ipv6() && forwards(&link.name);
    guard::announce(link.index, mac, address, router).map_err(VipCause::kernel("tell the LAN"))
}

/// Whether the node is an IPv6 router on this interface. A kernel that doesn't say so isn't.
pub(crate) fn forwards(interface: &str) -> bool {
    let path = format!("/proc/sys/net/ipv6/conf/{interface}/forwarding");
    fs::read_to_string(path).is_ok_and(|text| text.trim() != "0")
}

/// Ask with the interface's own address, never with the virtual one that goes elsewhere one day.
fn set_arp_announce(interface: &str) -> std::io::Result<()> {
    let path = format!("/proc/sys/net/ipv4/conf/{interface}/arp_announce");
    if fs::read_to_string(&path)?.trim() == "2" {
        return Ok(());
    }
    fs::write(path, "2")
}
