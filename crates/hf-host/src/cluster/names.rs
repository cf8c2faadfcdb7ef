//! Names in cluster.xml: looking them up.

use hf_config::{Addresses, Cluster, Family};
use std::io;
use std::net::{IpAddr, ToSocketAddrs};

/// What looking up brought.
#[derive(Debug)]
pub struct LookedUp {
    /// All that is known now: the new addresses, and the old ones of names that have none now.
    pub addresses: Addresses,
    /// Names with another address than before: the one before, the one now.
    pub changed: Vec<(String, Option<IpAddr>, IpAddr)>,
    /// Names that keep the address they had: why no other was found.
    pub kept: Vec<NoAddress>,
    /// Names without any address.
    pub unknown: Vec<NoAddress>,
}

impl LookedUp {
    /// Whether there is another address than before.
    pub fn is_news(&self) -> bool {
        !self.changed.is_empty()
    }
}

/// Why a name has no address.
#[derive(Debug, thiserror::Error)]
pub enum NoAddress {
    #[error("{name}: {source}")]
    Lookup {
        name: String,
        #[source]
        source: io::Error,
    },
    #[error(
        "{name} stands for {loopback}, which is this machine itself: correct /etc/hosts, or write the address into cluster.xml"
    )]
    Loopback { name: String, loopback: IpAddr },
    #[error("{name} has only addresses of the other kind than its network ({other})")]
    Family { name: String, other: IpAddr },
    #[error("{name} has no address")]
    Empty { name: String },
}

pub(super) fn listed(all: &[NoAddress]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Looks up every name of a configuration. Waits for name servers: not for a loop.
pub fn look_up(cluster: &Cluster, before: &Addresses) -> LookedUp {
    look_up_with(cluster, before, &ask)
}

/// Looks up one name for whatever kind of address it has; IPv4 comes first. Waits for name servers: not for a loop.
pub fn look_up_name(name: &str) -> Result<IpAddr, NoAddress> {
    one(name, None, &ask)
}

fn ask(name: &str) -> io::Result<Vec<IpAddr>> {
    let found = (name, 0).to_socket_addrs()?;
    Ok(found.map(|address| address.ip()).collect())
}

type Resolver<'a> = &'a dyn Fn(&str) -> io::Result<Vec<IpAddr>>;

fn look_up_with(cluster: &Cluster, before: &Addresses, resolver: Resolver) -> LookedUp {
    let mut found =
        LookedUp { addresses: Addresses::default(), changed: Vec::new(), kept: Vec::new(), unknown: Vec::new() };
    for (name, family) in cluster.names() {
        let old = before.get(&name);
        match (one(&name, family, resolver), old) {
            (Ok(now), old) => {
                found.addresses.put(&name, now);
                if old != Some(now) {
                    found.changed.push((name, old, now));
                }
            }
            (Err(why), Some(old)) => {
                found.addresses.put(&name, old);
                found.kept.push(why);
            }
            (Err(why), None) => found.unknown.push(why),
        }
    }
    found
}

/// The first address that can be used. Without a network that says which kind, IPv4 comes first: both nodes must choose alike.
fn one(name: &str, family: Option<Family>, resolver: Resolver) -> Result<IpAddr, NoAddress> {
    let all = resolver(name).map_err(|source| NoAddress::Lookup { name: name.to_owned(), source })?;
    let Some(first) = all.first().copied() else {
        return Err(NoAddress::Empty { name: name.to_owned() });
    };
    let others: Vec<IpAddr> = all.into_iter().filter(|address| !address.is_loopback()).collect();
    let Some(other) = others.first().copied() else {
        // Debian writes "127.0.1.1 its-own-name" into /etc/hosts.
        return Err(NoAddress::Loopback { name: name.to_owned(), loopback: first });
    };
    let fits = |address: &&IpAddr| family.is_none_or(|family| Family::of(**address) == family);
    let fitting = || others.iter().filter(fits);
    let chosen = fitting().find(|address| address.is_ipv4()).or_else(|| fitting().next());
    chosen.copied().ok_or_else(|| NoAddress::Family { name: name.to_owned(), other })
}

#[cfg(test)]
mod tests {
    use super::*;

    const XML: &str = r#"<cluster><lans>
        <lan name="d"><node name="a" addr="a.example"/><node name="b" addr="b.example"/></lan>
        <lan name="e"><node name="a" addr="[fd00::1]"/><node name="b" addr="b6.example"/></lan></lans></cluster>"#;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn answers(name: &str) -> io::Result<Vec<IpAddr>> {
        match name {
            "a.example" => Ok(vec![ip("fd00::5"), ip("10.0.0.1")]),
            "b.example" => Ok(vec![ip("127.0.1.1")]),
            "b6.example" => Ok(vec![ip("10.0.0.2"), ip("fd00::2")]),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    #[test]
    fn each_name_gets_an_address_that_fits() {
        let cluster = hf_config::parse_cluster(XML, "c").unwrap();
        let found = look_up_with(&cluster, &Addresses::default(), &answers);
        assert_eq!(found.addresses.get("a.example"), Some(ip("10.0.0.1")));
        assert_eq!(found.addresses.get("b6.example"), Some(ip("fd00::2")));
        assert!(matches!(found.unknown.as_slice(), [NoAddress::Loopback { .. }]), "{:?}", found.unknown);
        assert_eq!(found.changed.len(), 2);
    }

    #[test]
    fn a_name_server_that_is_away_changes_nothing() {
        let cluster = hf_config::parse_cluster(XML, "c").unwrap();
        let mut before = Addresses::default();
        for name in ["a.example", "b.example", "b6.example"] {
            before.put(name, ip("10.9.9.9"));
        }
        let found = look_up_with(&cluster, &before, &|_| Err(io::ErrorKind::TimedOut.into()));
        assert_eq!(found.addresses, before);
        assert!(!found.is_news() && found.unknown.is_empty());
        assert_eq!(found.kept.len(), 3);
    }
}
