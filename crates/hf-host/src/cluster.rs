//! The applied cluster configuration: reading it, applying a new one.

use crate::clock;
use crate::files::{FileError, failed, make_dir, read_if_there, remove_if_there, write_durably};
use crate::paths::Paths;
use hf_config::{Addresses, Cluster, Diagnostics, check_cluster};
use hf_seal::{ClusterKey, KeyError, os_rng};
use hf_types::{BadName, NodeName};
use std::net::IpAddr;
use std::time::SystemTime;

mod names;

pub use names::{LookedUp, NoAddress, look_up, look_up_name};

/// A cluster that this node is a member of.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its names are resolved as far as that was possible.
    pub cluster: Cluster,
    pub key: ClusterKey,
    /// The key before, while a node may still use that ([`hand_over`]).
    pub key_before: Option<ClusterKey>,
    pub me: NodeName,
    /// Hex digest of configuration and key: equal on two nodes exactly if both are.
    pub signature: String,
    /// When it was applied here, microseconds since 1970 UTC.
    pub applied_us: i64,
    /// There is no key: everybody can read and forge what the nodes say.
    pub insecure: bool,
    /// No new configuration is taken until it is unlocked.
    pub locked: bool,
}

/// What `cluster.key` says where there is no key.
pub const INSECURE_PLAINTEXT: &str = "insecure-plaintext";

/// Where the key of a new configuration comes from.
#[derive(Clone, Debug)]
pub enum NewKey {
    Fresh,
    /// The text of a `cluster.key`.
    Given(String),
    InsecurePlaintext,
    Keep,
}

/// Why there is no usable cluster configuration. What was applied before goes on.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the cluster configuration has errors")]
    Invalid(Box<Diagnostics>),
    #[error("there is no cluster configuration on this node yet")]
    Missing,
    #[error("{0}")]
    Key(#[from] KeyError),
    #[error(transparent)]
    OwnNode(#[from] hf_config::UnknownOwnNode),
    #[error(transparent)]
    NodeName(#[from] BadName),
    #[error("names in cluster.xml can't be looked up: {}", names::listed(.0))]
    Names(Vec<NoAddress>),
}

/// Which node this machine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Given on the command line.
    pub given: Option<NodeName>,
    pub hostname: String,
    /// The machine's addresses, for a host whose name isn't in cluster.xml.
    pub addresses: Vec<IpAddr>,
}

impl Identity {
    /// As this machine says now.
    pub fn of_this_machine(given: Option<NodeName>) -> Identity {
        let hostname = rustix::system::uname().nodename().to_string_lossy().into();
        Identity { given, hostname, addresses: own_addresses() }
    }

    /// The name to go by while no cluster is configured.
    pub fn provisional(&self) -> NodeName {
        let hostname = self.hostname.parse().ok();
        self.given
            .clone()
            .or(hostname)
            .or_else(|| "unconfigured".parse().ok())
            // "unconfigured" is a valid name; the tests of this file say so.
            .unwrap_or_else(|| unreachable!())
    }

    fn node_of(&self, cluster: &Cluster) -> Result<NodeName, ClusterError> {
        let name = match &self.given {
            Some(given) => given.as_str(),
            None => self.found_in(cluster),
        };
        cluster.check_own_node(name)?;
        Ok(name.parse()?)
    }

    /// The host's name, with or without its domain, else the node with one of its addresses.
    fn found_in<'a>(&'a self, cluster: &'a Cluster) -> &'a str {
        let nodes = cluster.node_names();
        let short = self.hostname.split('.').next().unwrap_or_default();
        [self.hostname.as_str(), short]
            .into_iter()
            .find(|name| nodes.contains(name))
            .or_else(|| cluster.node_with_address(&self.addresses))
            .unwrap_or(&self.hostname)
    }
}

fn own_addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else {
        return Vec::new();
    };
    interfaces
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
        })
        .filter(|address| !address.is_loopback())
        .collect()
}

/// Reads what is applied on this node.
pub fn load(paths: &Paths, identity: &Identity) -> Result<Member, ClusterError> {
    let file = paths.cluster_xml();
    let xml = read_if_there(&file)?.ok_or(ClusterError::Missing)?;
    let key_file = paths.cluster_key();
    let key = read_if_there(&key_file)?.unwrap_or_default();
    let applied = std::fs::metadata(&key_file).and_then(|data| data.modified());
    let applied = applied.map_err(failed("read", &key_file))?;
    let cluster = checked(&xml, &file.to_string_lossy())?;
    let mut member = member(cluster, &key, &addresses(paths), identity, applied, is_locked(paths))?;
    // What can't be read is no key: then only the present one is good.
    let before = read_if_there(&paths.cluster_key_before()).ok().flatten();
    member.key_before = before.and_then(|text| Some(key_of(&text).ok()?.0)).filter(|before| *before != member.key);
    Ok(member)
}

/// Keeps a key that is being replaced while modules run: whoever has only that one is still understood.
pub fn hand_over(paths: &Paths, key: &ClusterKey) -> Result<(), FileError> {
    write_durably(&paths.cluster_key_before(), key.to_hex().as_bytes(), 0o600)
}

/// Every node has the new key.
pub fn end_hand_over(paths: &Paths) -> Result<(), FileError> {
    let file = paths.cluster_key_before();
    remove_if_there(&file).map_err(failed("remove", &file))
}

/// Whether the configuration is locked.
pub fn is_locked(paths: &Paths) -> bool {
    paths.cluster_lock().exists()
}

/// Locks the configuration, or takes the lock off.
pub fn lock(paths: &Paths, on: bool) -> Result<(), FileError> {
    let file = paths.cluster_lock();
    if on {
        make_dir(&paths.cluster(), 0o755)?;
        return write_durably(&file, b"locked by 'holdfast cluster config lock'\n", 0o644);
    }
    remove_if_there(&file).map_err(failed("remove", &file))
}

/// Takes configuration, key and addresses away. What isn't there is fine.
pub fn remove(paths: &Paths) -> Result<(), FileError> {
    // The key last: without a configuration it says nothing.
    for file in [paths.cluster_xml(), paths.cluster_addresses(), paths.cluster_key_before(), paths.cluster_key()] {
        remove_if_there(&file).map_err(failed("remove", &file))?;
    }
    Ok(())
}

/// Whether the nodes talk without a key.
pub fn is_insecure(paths: &Paths) -> bool {
    read_if_there(&paths.cluster_key()).ok().flatten().is_some_and(|text| text.trim() == INSECURE_PLAINTEXT)
}

/// The key of a `cluster.key`'s text, and whether it is the one that everybody knows.
fn key_of(text: &str) -> Result<(ClusterKey, bool), KeyError> {
    if text.trim() == INSECURE_PLAINTEXT {
        return Ok((ClusterKey::insecure_plaintext(), true));
    }
    Ok((ClusterKey::from_hex(text)?, false))
}

/// The addresses that names had when they were looked up last. A file that can't be read is told by nobody: everything in it can be looked
/// up again, which is what happens then.
fn addresses(paths: &Paths) -> Addresses {
    let text = read_if_there(&paths.cluster_addresses()).ok().flatten().unwrap_or_default();
    Addresses::from_xml(&text).unwrap_or_default()
}

/// Checks a new configuration (or the present one, if `xml` is none), makes a new key, and writes both durably.
///
/// Every name in it must have an address now. The key is written first: a power cut between the two leaves an old configuration with a new key, which `confinfo`
/// shows, and never a configuration that is half of each file.
pub fn apply(
    paths: &Paths,
    identity: &Identity,
    file: &str,
    xml: Option<&str>,
    key: &NewKey,
) -> Result<Member, ClusterError> {
    let present;
    let xml = match xml {
        Some(xml) => xml,
        None => {
            present = read_if_there(&paths.cluster_xml())?.ok_or(ClusterError::Missing)?;
            &present
        }
    };
    let cluster = checked(xml, file)?;
    let found = look_up(&cluster, &addresses(paths));
    if !found.unknown.is_empty() {
        return Err(ClusterError::Names(found.unknown));
    }
    let key = match key {
        NewKey::Fresh => ClusterKey::generate(&mut os_rng()).to_hex(),
        NewKey::Given(text) => text.clone().into(),
        NewKey::InsecurePlaintext => INSECURE_PLAINTEXT.to_owned().into(),
        NewKey::Keep => read_if_there(&paths.cluster_key())?.unwrap_or_default().into(),
    };
    let member = member(cluster, &key, &found.addresses, identity, SystemTime::now(), is_locked(paths))?;
    make_dir(&paths.cluster(), 0o755)?;
    write_durably(&paths.cluster_key(), key.trim().as_bytes(), 0o600)?;
    write_addresses(paths, &found.addresses)?;
    write_durably(&paths.cluster_xml(), xml.as_bytes(), 0o644)?;
    Ok(member)
}

/// What [`apply`] would apply, with the addresses that its names have now. Nothing is changed.
pub fn preview(paths: &Paths, file: &str, xml: &str) -> Result<Cluster, ClusterError> {
    let mut cluster = checked(xml, file)?;
    let found = look_up(&cluster, &addresses(paths));
    cluster.resolve(&found.addresses);
    if found.unknown.is_empty() { Ok(cluster) } else { Err(ClusterError::Names(found.unknown)) }
}

/// Looks up every name of the applied configuration again and keeps what was found. What has no address now keeps the one it had.
pub fn resolve(paths: &Paths) -> Result<LookedUp, ClusterError> {
    let file = paths.cluster_xml();
    let xml = read_if_there(&file)?.ok_or(ClusterError::Missing)?;
    let found = look_up(&checked(&xml, &file.to_string_lossy())?, &addresses(paths));
    if found.is_news() {
        write_addresses(paths, &found.addresses)?;
    }
    Ok(found)
}

fn write_addresses(paths: &Paths, addresses: &Addresses) -> Result<(), FileError> {
    let file = paths.cluster_addresses();
    if addresses.is_empty() && !file.exists() {
        return Ok(());
    }
    write_durably(&file, addresses.to_xml().as_bytes(), 0o644)
}

fn checked(xml: &str, file: &str) -> Result<Cluster, ClusterError> {
    let checked = check_cluster(xml, file);
    checked.value.ok_or_else(|| ClusterError::Invalid(Box::new(checked.diagnostics)))
}

fn member(
    mut cluster: Cluster,
    key: &str,
    addresses: &Addresses,
    identity: &Identity,
    applied: SystemTime,
    locked: bool,
) -> Result<Member, ClusterError> {
    let (key, insecure) = key_of(key)?;
    cluster.resolve(addresses);
    let me = identity.node_of(&cluster)?;
    for name in cluster.node_names() {
        name.parse::<NodeName>()?;
    }
    let (signature, applied_us) = (signature(&cluster, &key), clock::since_epoch_us(applied));
    Ok(Member { signature, cluster, key, key_before: None, me, applied_us, insecure, locked })
}

/// Environment variables for `%NAME%` (reference 004, 13.1).
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A keyed digest: it tells nothing about the key.
fn signature(cluster: &Cluster, key: &ClusterKey) -> String {
    let secret = blake3::derive_key("holdfast cluster signature 1", key.to_hex().as_bytes());
    blake3::keyed_hash(&secret, cluster.canonical().as_bytes()).to_hex().to_string()
}

#[cfg(test)]
mod tests;
