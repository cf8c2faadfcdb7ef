//! The farm's network in the kernel: brought there in the right order, compared, and taken away.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use super::error::FarmError;
use super::plan::{FILTER_LIFETIME, Place, mine_name, table_name, tables};
use super::spec::{Buckets, Delivery, FarmInterface, FarmLoad, FarmSpec, Station};
use super::sysctl::{self, Settings};
use crate::error::VipCause;
use crate::ethernet::EthernetSocket;
use crate::guard;
use crate::linux::{LinuxVirtualIp, forwards};
use crate::nft::{Family, Message, Nft, Ownership, Table};
use crate::route::{AddressEntry, Link, Route};
use crate::sock_diag::SockDiag;
use crate::vip::VipSpec;

const FAMILIES: [Family; 3] = [Family::Netdev, Family::Arp, Family::Inet];
const TABLE_PREFIX: &str = "holdfast_";
const FILTER_RENEWAL: Duration = Duration::from_secs(60);
/// The longest life of an address, and the oldest filter with which addresses are renewed: together no longer than the filter
/// lives, so that no address is ever without it.
const HALF_LIFE: Duration = Duration::from_secs(FILTER_LIFETIME.as_secs() / 2);

/// What [`FarmPlane::start`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The interface of each of [`FarmSpec::interfaces`].
    pub interfaces: Vec<String>,
    /// What didn't work though the farm does (a setting, an announcement): to be logged.
    pub warnings: Vec<String>,
}

/// What [`FarmPlane::renew`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Renewed {
    /// Addresses that were no longer there. They were not brought back: see [`FarmPlane::restore`].
    pub gone: Vec<IpAddr>,
    /// The filter could not be renewed this time, which does no harm yet: to be logged.
    pub warning: Option<String>,
}

/// What [`FarmPlane::verify`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verified {
    Same,
    /// Somebody had changed or removed the filter; it is as it should be again.
    Repaired,
}

/// What [`FarmPlane::stop`] did. Everything was tried; what failed is in the errors.
#[derive(Debug, Default)]
pub struct Stopped {
    /// Connections that were reset.
    pub reset: usize,
    pub errors: Vec<FarmError>,
}

/// The network of one farm module on this server. Belongs to the network namespace of the thread that opened it.
///
/// What it made outlives it: after a crash the addresses go by themselves at the end of their lifetime, and until then the
/// filter stays, so that this server never answers for others. Later the filter, which acts on no packet any more when it
/// wasn't renewed for ten minutes, is removed by [`clear_leftovers`] or replaced by the next [`FarmPlane::start`].
pub struct FarmPlane {
    spec: FarmSpec,
    places: Vec<Place>,
    load: FarmLoad,
    kernel: Kernel,
    pub(super) ownership: Ownership,
    wanted: Vec<Table>,
    /// As it was after the last change of ours.
    seen: Option<Seen>,
    pub(super) filter_renewed: Instant,
    /// An interface receives frames to the virtual MAC as long as one is open.
    listening: Vec<EthernetSocket>,
    /// The filter is there by this object's doing.
    filtering: bool,
}

struct Kernel {
    nft: Nft,
    route: Route,
    connections: SockDiag,
}

#[derive(Debug, PartialEq, Eq)]
struct Seen {
    generation: u32,
    pictures: Vec<Vec<Vec<u8>>>,
}

impl FarmPlane {
    /// Finds the interfaces. Changes nothing.
    pub fn open(spec: FarmSpec) -> Result<Self, FarmError> {
        let kernel = Kernel::open()?;
        let places = places(&spec)?;
        Ok(Self {
            wanted: tables(&spec, &places, &FarmLoad::default())?,
            spec,
            places,
            load: FarmLoad::default(),
            kernel,
            ownership: Ownership::OwnedAndPersistent,
            seen: None,
            filter_renewed: Instant::now(),
            listening: Vec::new(),
            filtering: false,
        })
    }

    /// This server at each of [`FarmSpec::interfaces`]: to be told to the others, for their [`FarmLoad::peers`].
    pub fn stations(&mut self) -> Result<Vec<Option<Station>>, FarmError> {
        let links = self.kernel.route.links().map_err(FarmError::kernel("list the interfaces"))?;
        let present = self.kernel.route.addresses().map_err(FarmError::kernel("list the addresses"))?;
        let all: BTreeSet<_> = self.spec.interfaces.iter().flat_map(|one| one.addresses.iter().copied()).collect();
        let own: Vec<_> = present.into_iter().filter(|entry| !all.contains(&entry.address)).collect();
        let station = |(interface, place): (&FarmInterface, &Place)| {
            let mac = links.iter().find(|link| link.index == place.index)?.mac?;
            let here: Vec<_> = own.iter().filter(|entry| entry.index == place.index).collect();
            Some(Station { mac, ipv4: own_ipv4(&here, interface), ipv6: own_ipv6(&here, interface) })
        };
        Ok(self.spec.interfaces.iter().zip(&self.places).map(station).collect())
    }

    /// In this order: the filter with `load` (mostly empty: this server takes nothing yet), the addresses for `lifetime`
    /// (whole seconds, at least one, at most five minutes), and, with invisible delivery, their announcement. What a predecessor left is replaced
    /// in the same moment.
    ///
    /// # Errors
    /// When something failed: then everything was taken away again.
    pub fn start(&mut self, load: &FarmLoad, lifetime: Duration) -> Result<Started, FarmError> {
        self.filtering = false;
        let result = self.try_start(load, lifetime);
        if result.is_err() && self.filtering {
            // What there is of it is in no one's use yet; the first error is the one to tell.
            drop(self.stop(false));
        }
        result
    }

    fn try_start(&mut self, load: &FarmLoad, lifetime: Duration) -> Result<Started, FarmError> {
        self.no_foreign_address()?;
        self.load = load.clone();
        let mut warnings = self.put_filter()?;
        self.listen()?;
        self.put_addresses(lifetime)?;
        if self.spec.interfaces.iter().any(|one| one.delivery != Delivery::Directed) {
            warnings.extend(self.announce_where(|delivery| *delivery != Delivery::Directed));
        }
        Ok(Started { interfaces: self.places.iter().map(|place| place.name.clone()).collect(), warnings })
    }

    /// Changes who takes what, in one step: each packet meets either everything old or everything new.
    pub fn load(&mut self, load: &FarmLoad) -> Result<(), FarmError> {
        let wanted = self.plan(load)?;
        let mut messages = Vec::new();
        for (new, old) in wanted.iter().zip(&self.wanted) {
            let changed = new.sets.iter().filter(|(name, set)| old.sets.get(*name) != Some(set));
            messages.extend(changed.flat_map(|(name, set)| Message::refill(new, name, set)));
        }
        match self.kernel.nft.commit(&messages) {
            Ok(()) => (),
            // Somebody removed the table, where the kernel doesn't know of owners.
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => {
                self.load = load.clone();
                self.put_filter()?;
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        self.load = load.clone();
        self.wanted = wanted;
        self.look();
        Ok(())
    }

    /// Lets the addresses live for `lifetime` from now, and the filter on. Mostly some tens of microseconds an address; once a
    /// minute the filter, some milliseconds (bench/farm).
    pub fn renew(&mut self, lifetime: Duration) -> Result<Renewed, FarmError> {
        let warning = self.renew_filter()?;
        let present = self.kernel.route.addresses().map_err(FarmError::kernel("list the addresses"))?;
        let mut renewed = Renewed { warning, ..Renewed::default() };
        for entry in self.entries(lifetime)? {
            let there = present.iter().any(|other| other.index == entry.index && other.address == entry.address);
            if there {
                self.kernel.put(&entry)?;
            } else {
                renewed.gone.push(entry.address);
            }
        }
        Ok(renewed)
    }

    /// Brings addresses back that went, for IPv6 with the carrier. Other than a mirror's, an address of a farm may be: it is
    /// on all servers, and the filter says who answers.
    pub fn restore(&mut self, lifetime: Duration) -> Result<Renewed, FarmError> {
        let warning = self.renew_filter()?;
        self.put_addresses(lifetime)?;
        Ok(Renewed { warning, ..Renewed::default() })
    }

    /// Tells the LAN where the addresses are: at the virtual MAC, or with directed delivery at this server. What didn't work.
    pub fn announce(&mut self) -> Vec<String> {
        self.announce_where(|_| true)
    }

    /// Compares the kernel's filter with the wanted one and repairs it. Costs one question to the kernel as long as nobody
    /// changes any rule of nf_tables; call it every few seconds.
    pub fn verify(&mut self) -> Result<Verified, FarmError> {
        let generation = self.kernel.nft.generation().map_err(FarmError::kernel("ask for changes of the filter"))?;
        if self.seen.as_ref().is_some_and(|seen| seen.generation == generation) {
            return Ok(Verified::Same);
        }
        let pictures = self.pictures();
        let same = match (&pictures, &self.seen) {
            (Ok(pictures), Some(seen)) => *pictures == seen.pictures && self.same_elements(),
            _ => false,
        };
        if same {
            self.seen = pictures.ok().map(|pictures| Seen { generation, pictures });
            return Ok(Verified::Same);
        }
        self.put_filter()?;
        Ok(Verified::Repaired)
    }

    /// In this order: connections reset (`reset`), addresses away, filter away, settings back.
    pub fn stop(&mut self, reset: bool) -> Stopped {
        let addresses: Vec<_> = self.spec.interfaces.iter().flat_map(|one| one.addresses.iter().copied()).collect();
        let mut stopped = Stopped::default();
        self.kernel.clear(&table_name(&self.spec.module), &addresses, reset, &mut stopped);
        self.listening.clear();
        self.seen = None;
        stopped
    }

    /// Established TCP connections of each address (`connections="on"`).
    pub fn connections(&mut self, address: IpAddr) -> Result<usize, FarmError> {
        self.kernel.connections.count(address).map_err(FarmError::kernel("count connections"))
    }

    fn plan(&self, load: &FarmLoad) -> Result<Vec<Table>, FarmError> {
        let mut wanted = tables(&self.spec, &self.places, load)?;
        for (new, old) in wanted.iter_mut().zip(&self.wanted) {
            new.note.clone_from(&old.note);
        }
        Ok(wanted)
    }

    /// Makes the tables anew from `self.load`, in place of what is there.
    fn put_filter(&mut self) -> Result<Vec<String>, FarmError> {
        let listed = self.kernel.nft.tables().map_err(FarmError::kernel("list the filters"))?;
        let name = table_name(&self.spec.module);
        let settings = sysctl::wanted(&self.spec, &self.places);
        let notes: Vec<_> = ours(&listed).map(|table| sysctl::from_note(&table.note)).collect();
        let before = sysctl::before(&settings, &notes);
        let mut wanted = tables(&self.spec, &self.places, &self.load)?;
        wanted[0].note = sysctl::to_note(&before);
        let old: Vec<_> = listed.iter().filter(|table| table.name == name).collect();
        let mut messages = removals(&name, &old);
        messages.extend(wanted.iter().flat_map(|table| Message::create(table, self.ownership)));
        match self.kernel.nft.commit(&messages) {
            Err(error) if self.ownership != Ownership::Anybodys && lacks_owners(&error.source) => {
                self.ownership = Ownership::Anybodys;
                return self.put_filter();
            }
            Err(error) if error.source.kind() == io::ErrorKind::PermissionDenied => {
                let owner = old.iter().find_map(|table| table.owner);
                let module = self.spec.module.clone();
                return Err(owner.map_or(error.into(), |owner| FarmError::InUse { module, owner }));
            }
            other => other?,
        }
        self.filtering = true;
        self.wanted = wanted;
        self.filter_renewed = Instant::now();
        self.look();
        Ok(apply(&settings))
    }

    /// What didn't work, as long as there is time to try again.
    fn renew_filter(&mut self) -> Result<Option<String>, FarmError> {
        let age = self.filter_renewed.elapsed();
        if age < FILTER_RENEWAL {
            return Ok(None);
        }
        let mut messages = Vec::new();
        for table in &self.wanted {
            let living = table.sets.iter().filter(|(_, set)| set.lifetime.is_some());
            messages.extend(living.flat_map(|(name, set)| Message::refill(table, name, set)));
        }
        match self.kernel.nft.commit(&messages) {
            Ok(()) => {
                self.filter_renewed = Instant::now();
                self.look();
                Ok(None)
            }
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => {
                let warnings = self.put_filter()?;
                Ok(Some(
                    warnings
                        .into_iter()
                        .fold("the filter was gone and is back".to_owned(), |all, one| all + "; " + &one),
                ))
            }
            Err(_) if age > HALF_LIFE => {
                Err(FarmError::Stale { module: self.spec.module.clone(), seconds: age.as_secs() })
            }
            Err(error) => Ok(Some(format!("{error}: {}", error.source))),
        }
    }

    /// Remembers what the kernel shows now, right after a change of ours.
    fn look(&mut self) {
        let generation = self.kernel.nft.generation();
        let pictures = self.pictures();
        // Without it the next comparison makes everything anew.
        self.seen = generation.and_then(|generation| Ok(Seen { generation, pictures: pictures? })).ok();
    }

    fn pictures(&mut self) -> io::Result<Vec<Vec<Vec<u8>>>> {
        self.wanted.iter().map(|table| self.kernel.nft.picture(table.family, &table.name)).collect()
    }

    fn same_elements(&mut self) -> bool {
        self.wanted.iter().all(|table| {
            table.sets.iter().all(|(name, set)| {
                self.kernel.nft.elements(table.family, &table.name, name).is_ok_and(|found| found == set.elements)
            })
        })
    }

    fn no_foreign_address(&mut self) -> Result<(), FarmError> {
        let present = self.kernel.route.addresses().map_err(FarmError::kernel("list the addresses"))?;
        let ours: BTreeSet<_> = self.spec.interfaces.iter().flat_map(|one| one.addresses.iter().copied()).collect();
        let foreign = present.iter().find(|entry| ours.contains(&entry.address) && entry.valid_s.is_none());
        foreign.map_or(Ok(()), |entry| {
            let place = self.places.iter().find(|place| place.index == entry.index);
            let interface = place.map_or_else(|| "another interface".to_owned(), |place| place.name.clone());
            Err(FarmError::Address { address: entry.address, source: VipCause::Foreign { interface } })
        })
    }

    fn listen(&mut self) -> Result<(), FarmError> {
        self.listening.clear();
        for (interface, place) in self.spec.interfaces.iter().zip(&self.places) {
            if interface.delivery != Delivery::Directed {
                let socket = EthernetSocket::open(place.index, 0, None).map_err(FarmError::Socket)?;
                socket.be_promiscuous().map_err(FarmError::kernel("receive frames to the virtual MAC"))?;
                self.listening.push(socket);
            }
        }
        Ok(())
    }

    fn entries(&self, lifetime: Duration) -> Result<Vec<AddressEntry>, FarmError> {
        let mut entries = Vec::new();
        for (interface, place) in self.spec.interfaces.iter().zip(&self.places) {
            for address in interface.addresses.iter().copied() {
                let valid_s = crate::linux::whole_seconds(lifetime.min(HALF_LIFE));
                let valid_s = valid_s.map_err(|source| FarmError::Address { address, source })?;
                let prefix_len = if address.is_ipv4() { 32 } else { 128 };
                entries.push(AddressEntry { index: place.index, address, prefix_len, valid_s: Some(valid_s) });
            }
        }
        Ok(entries)
    }

    fn put_addresses(&mut self, lifetime: Duration) -> Result<(), FarmError> {
        self.entries(lifetime)?.iter().try_for_each(|entry| self.kernel.put(entry))
    }

    fn announce_where(&mut self, wanted: fn(&Delivery) -> bool) -> Vec<String> {
        let links = match self.kernel.route.links() {
            Ok(links) => links,
            Err(error) => return vec![format!("the interfaces can't be listed for announcements: {error}")],
        };
        let mut warnings = Vec::new();
        for (interface, place) in self.spec.interfaces.iter().zip(&self.places) {
            let link = links.iter().find(|link| link.index == place.index);
            for address in interface.addresses.iter().filter(|_| wanted(&interface.delivery)) {
                if let Err(error) = announce(link, &interface.delivery, *address) {
                    warnings.push(format!("{address} can't be announced on {}: {error}", place.name));
                }
            }
        }
        warnings
    }
}

impl Kernel {
    fn open() -> Result<Self, FarmError> {
        let open = || Ok(Self { nft: Nft::open()?, route: Route::open()?, connections: SockDiag::open()? });
        open().map_err(FarmError::Socket)
    }

    fn put(&mut self, entry: &AddressEntry) -> Result<(), FarmError> {
        let failed = |source| FarmError::Address { address: entry.address, source };
        self.route.put_address(entry).map_err(VipCause::kernel("put the address")).map_err(failed)
    }

    /// Takes everything away that a farm has in the kernel, as far as it goes.
    fn clear(&mut self, table: &str, addresses: &[IpAddr], reset: bool, stopped: &mut Stopped) {
        if reset {
            for address in addresses {
                match self.connections.reset(*address) {
                    Ok(count) => stopped.reset += count,
                    Err(error) => stopped.errors.push(FarmError::kernel("reset connections")(error)),
                }
            }
        }
        if let Err(error) = self.remove_addresses(addresses) {
            // Without its filter a server that has the address would break everybody's connections: the filter stays.
            stopped.errors.push(FarmError::kernel("remove the addresses; so the filter stays, too")(error));
            return;
        }
        if let Err(error) = self.remove_tables(table) {
            stopped.errors.push(error);
        }
    }

    fn remove_addresses(&mut self, addresses: &[IpAddr]) -> io::Result<()> {
        let present = self.route.addresses()?;
        let ours = |entry: &&AddressEntry| addresses.contains(&entry.address) && entry.valid_s.is_some();
        present.iter().filter(ours).try_for_each(|entry| match self.route.delete_address(entry) {
            // It expired or was removed since the look, or its interface was.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EADDRNOTAVAIL | libc::ENODEV)) => Ok(()),
            other => other,
        })
    }

    fn remove_tables(&mut self, name: &str) -> Result<(), FarmError> {
        let listed = self.nft.tables().map_err(FarmError::kernel("list the filters"))?;
        let (mine, others): (Vec<_>, Vec<_>) = listed.iter().partition(|table| table.name == name);
        self.nft.commit(&removals(name, &mine))?;
        let noted: Settings = mine.iter().flat_map(|table| sysctl::from_note(&table.note)).collect();
        let needed: Vec<_> = ours(others.iter().copied()).map(|table| sysctl::from_note(&table.note)).collect();
        let free = noted.iter().filter(|(setting, _)| !needed.iter().any(|note| note.contains_key(*setting)));
        for (setting, value) in free {
            if !self.others_announce(setting) {
                sysctl::write(setting, value).map_err(FarmError::kernel("put a setting of the kernel back"))?;
            }
        }
        Ok(())
    }

    /// Whether a mirror module's address is on the interface: it needs `arp_announce`, too.
    fn others_announce(&mut self, setting: &str) -> bool {
        let (Ok(links), Ok(present)) = (self.route.links(), self.route.addresses()) else { return true };
        let link = links.iter().find(|link| sysctl::is_announce(setting, &link.name));
        link.is_some_and(|link| {
            let passing = |entry: &&AddressEntry| entry.valid_s.is_some() && entry.address.is_ipv4();
            present.iter().filter(passing).any(|entry| entry.index == link.index)
        })
    }
}

/// Takes away what a farm's dead process left: its addresses and its filter.
///
/// # Errors
/// [`FarmError::InUse`] while the process lives (kernels from 6.9 on know). Otherwise in [`Stopped::errors`].
pub fn clear_leftovers(module: &str) -> Result<Stopped, FarmError> {
    let mut kernel = Kernel::open()?;
    let name = table_name(module);
    let listed = kernel.nft.tables().map_err(FarmError::kernel("list the filters"))?;
    let mine = || listed.iter().filter(|table| table.name == name);
    if let Some(owner) = mine().find_map(|table| table.owner) {
        return Err(FarmError::InUse { module: module.to_owned(), owner });
    }
    let addresses = kernel.filtered_addresses(&name);
    let mut stopped = Stopped::default();
    if mine().next().is_some() {
        kernel.clear(&name, &addresses, false, &mut stopped);
    }
    Ok(stopped)
}

impl Kernel {
    /// The addresses that a filter is about.
    fn filtered_addresses(&mut self, table: &str) -> Vec<IpAddr> {
        let mut addresses = Vec::new();
        for number in 0.. {
            let sets = [format!("vip4_{number}"), format!("vip6_{number}")];
            let found = sets.map(|set| self.nft.elements(Family::Netdev, table, &set));
            if found.iter().all(Result::is_err) {
                break;
            }
            addresses.extend(found.into_iter().flatten().flatten().filter_map(|(key, _)| address_of(&key)));
        }
        addresses
    }
}

fn address_of(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(|octets| IpAddr::V4(Ipv4Addr::from(octets)));
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(|octets| IpAddr::V6(Ipv6Addr::from(octets)))).ok()
}

/// The buckets that the kernel takes for this server, for each group of the module in order (`vip_if_ctrl -l`); empty
/// when the module isn't running here.
pub fn kernel_bitmaps(module: &str) -> Result<Vec<Buckets>, FarmError> {
    let mut nft = Nft::open().map_err(FarmError::Socket)?;
    let mut bitmaps = Vec::new();
    loop {
        match nft.elements(Family::Netdev, &table_name(module), &mine_name(bitmaps.len())) {
            Ok(elements) => bitmaps.push(elements.keys().filter_map(|key| bucket_of(key)).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(bitmaps),
            Err(error) => return Err(FarmError::kernel("list the buckets")(error)),
        }
    }
}

fn bucket_of(key: &[u8]) -> Option<u8> {
    u8::try_from(u32::from_ne_bytes(key.try_into().ok()?)).ok()
}

fn ours<'a>(listed: impl IntoIterator<Item = &'a crate::nft::Listed>) -> impl Iterator<Item = &'a crate::nft::Listed> {
    listed.into_iter().filter(|table| table.name.starts_with(TABLE_PREFIX))
}

fn removals(name: &str, listed: &[&crate::nft::Listed]) -> Vec<Message> {
    let there = |family: &Family| listed.iter().any(|table| table.family == *family as u8);
    FAMILIES.into_iter().filter(there).map(|family| Message::delete_table(family, name)).collect()
}

/// The kernel's answer to a flag that it doesn't know.
fn lacks_owners(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EINVAL))
}

fn apply(settings: &Settings) -> Vec<String> {
    let failed = |(setting, value): (&String, &String)| {
        let error = sysctl::write(setting, value).err()?;
        Some(format!("the kernel's setting net/{setting} can't be set to {value}: {error}"))
    };
    settings.iter().filter_map(failed).collect()
}

fn places(spec: &FarmSpec) -> Result<Vec<Place>, FarmError> {
    let mut vips = LinuxVirtualIp::open().map_err(FarmError::Socket)?;
    let place = |(number, interface): (usize, &FarmInterface)| {
        let address = *interface.addresses.first().ok_or(FarmError::NoAddress { number: number + 1 })?;
        let vip = VipSpec { interface: interface.name.clone(), ..VipSpec::new(address) };
        let (link, _) = vips.home(&vip).map_err(|source| FarmError::Place { address, source })?;
        Ok(Place { name: link.name, index: link.index })
    };
    spec.interfaces.iter().enumerate().map(place).collect()
}

/// The server's own address in the network of a virtual one, else any.
fn own_ipv4(here: &[&AddressEntry], interface: &FarmInterface) -> Option<Ipv4Addr> {
    let v4 = here.iter().filter_map(|entry| match entry.address {
        IpAddr::V4(address) => Some((near(entry, interface), address)),
        IpAddr::V6(_) => None,
    });
    v4.max_by_key(|(near, _)| *near).map(|(_, address)| address)
}

/// Link-local rather than another network's: neighbours reach it.
fn own_ipv6(here: &[&AddressEntry], interface: &FarmInterface) -> Option<Ipv6Addr> {
    let v6 = here.iter().filter_map(|entry| match entry.address {
        IpAddr::V6(address) => Some((near(entry, interface), address.is_unicast_link_local(), address)),
        IpAddr::V4(_) => None,
    });
    v6.max_by_key(|(near, local, _)| (*near, *local)).map(|(_, _, address)| address)
}

fn near(entry: &AddressEntry, interface: &FarmInterface) -> bool {
    interface.addresses.iter().any(|vip| entry.contains(*vip))
}

fn announce(link: Option<&Link>, delivery: &Delivery, address: IpAddr) -> io::Result<()> {
    let link = link.ok_or(io::ErrorKind::NotFound)?;
    let own = link.mac.ok_or_else(|| io::Error::other("it has no Ethernet address"))?;
    let told = match delivery {
        Delivery::Invisible { vmac } => *vmac,
        Delivery::Directed => own,
    };
    guard::announce_as(link.index, own, told, address, address.is_ipv6() && forwards(&link.name))
}
