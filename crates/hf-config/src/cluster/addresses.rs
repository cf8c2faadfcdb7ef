//! `cluster_ip.xml`: what the names in `cluster.xml` stand for (reference 004, 7.16.2.1).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use roxmltree::{Document, ParsingOptions};
use serde::{Deserialize, Serialize};

use crate::xml::MAX_TEXT_BYTES;

/// Names and the addresses that they were looked up as. A node goes by these until they are looked up again: a name server that is
/// away changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses(BTreeMap<String, IpAddr>);

/// The text is no `cluster_ip.xml`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a list of addresses: {0}")]
pub struct BadAddresses(String);

impl Addresses {
    /// The address of a name.
    pub fn get(&self, name: &str) -> Option<IpAddr> {
        self.0.get(name).copied()
    }

    /// Puts in a name's address; gives the one before.
    pub fn put(&mut self, name: &str, address: IpAddr) -> Option<IpAddr> {
        self.0.insert(name.to_owned(), address)
    }

    /// Every name with its address.
    pub fn iter(&self) -> impl Iterator<Item = (&str, IpAddr)> {
        self.0.iter().map(|(name, address)| (name.as_str(), *address))
    }

    /// Whether there is no name.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The file's text.
    pub fn to_xml(&self) -> String {
        let mut out = "<!-- Written by Holdfast: what the names in cluster.xml were looked up as. 'holdfast cluster resolve' looks them up again. -->\n<addresses>\n".to_owned();
        for (name, address) in &self.0 {
            // Writing to a String can't fail. Neither a name nor an address has characters that XML would need quoted.
            let _ = writeln!(out, "  <name name=\"{name}\" addr=\"{address}\"/>");
        }
        out.push_str("</addresses>\n");
        out
    }

    /// Reads the file's text.
    pub fn from_xml(text: &str) -> Result<Addresses, BadAddresses> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(BadAddresses(format!("it has {} bytes", text.len())));
        }
        let options = ParsingOptions { nodes_limit: 20_000, ..ParsingOptions::default() };
        let document = Document::parse_with_options(text, options).map_err(|error| BadAddresses(error.to_string()))?;
        let mut addresses = Addresses::default();
        for entry in document.root_element().children().filter(|child| child.has_tag_name("name")) {
            let (Some(name), Some(address)) = (entry.attribute("name"), entry.attribute("addr")) else {
                return Err(BadAddresses("an entry lacks name or addr".to_owned()));
            };
            let address = address.parse().map_err(|_| BadAddresses(format!("{address} is no address")))?;
            addresses.put(name, address);
        }
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut addresses = Addresses::default();
        addresses.put("node1.example.com", "10.0.0.1".parse().unwrap());
        addresses.put("node2", "fd00::2".parse().unwrap());
        assert_eq!(Addresses::from_xml(&addresses.to_xml()), Ok(addresses));
        assert!(Addresses::from_xml("<addresses><name name='a' addr='x'/></addresses>").is_err());
        assert!(Addresses::from_xml("<addresses><name name='a'/></addresses>").is_err());
        assert!(Addresses::from_xml("nothing").is_err());
    }
}
