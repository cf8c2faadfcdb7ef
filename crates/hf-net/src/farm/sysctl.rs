//! Kernel settings that a farm needs, and their way back.
//!
//! What a setting was before is written into the note of the farm's table, so that whoever takes the table away, be it
//! another process after a crash, can put it back. A second farm that needs the same setting copies the first one's
//! note; the last one to go puts back.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use super::plan::Place;
use super::spec::{Delivery, FarmSpec, Protocol};

const ROOT: &str = "/proc/sys/net/";
/// A setting that appears only with the kernel's connection tracking, where it is this.
const LOOSE_DEFAULT: &str = "1";

/// Setting, below /proc/sys/net, and value.
pub(super) type Settings = BTreeMap<String, String>;

/// What the farm needs.
pub(super) fn wanted(spec: &FarmSpec, places: &[Place]) -> Settings {
    let mut wanted = Settings::new();
    for (interface, place) in spec.interfaces.iter().zip(places) {
        if interface.addresses.iter().any(std::net::IpAddr::is_ipv4) {
            // Ask with the interface's own address, or clients learn this server's MAC for the virtual one.
            wanted.insert(announce(&place.name), "2".to_owned());
        }
    }
    let invisible = spec.interfaces.iter().any(|interface| interface.delivery != Delivery::Directed);
    let tcp = |group: &super::spec::FarmGroup| group.rules.iter().any(|rule| rule.protocol == Protocol::Tcp);
    if invisible && spec.groups.iter().any(|group| group.drain && tcp(group)) {
        // A packet from the middle of a connection begins none: it belongs to the server that knows it.
        wanted.insert("netfilter/nf_conntrack_tcp_loose".to_owned(), "0".to_owned());
    }
    wanted
}

fn announce(interface: &str) -> String {
    format!("ipv4/conf/{interface}/arp_announce")
}

/// Whether a setting is about this interface's ARP.
pub(super) fn is_announce(setting: &str, interface: &str) -> bool {
    setting == announce(interface)
}

pub(super) fn read(setting: &str) -> io::Result<String> {
    Ok(fs::read_to_string(format!("{ROOT}{setting}"))?.trim().to_owned())
}

pub(super) fn write(setting: &str, value: &str) -> io::Result<()> {
    if read(setting)? == value { Ok(()) } else { fs::write(format!("{ROOT}{setting}"), value) }
}

/// What the wanted settings were before any farm of ours: as others noted it, else as it is.
pub(super) fn before(wanted: &Settings, others: &[Settings]) -> Settings {
    let noted = |setting: &String| others.iter().find_map(|note| note.get(setting).cloned());
    let now = |setting: &String| read(setting).unwrap_or_else(|_| LOOSE_DEFAULT.to_owned());
    wanted.keys().map(|setting| (setting.clone(), noted(setting).unwrap_or_else(|| now(setting)))).collect()
}

/// The note of a table, and back.
pub(super) fn to_note(settings: &Settings) -> Vec<u8> {
    let lines: Vec<_> = settings.iter().map(|(setting, value)| format!("{setting}={value}")).collect();
    lines.join("\n").into_bytes()
}

pub(super) fn from_note(note: &[u8]) -> Settings {
    let text = String::from_utf8_lossy(note);
    // Only what this file writes: another's note must not lead anywhere else.
    let known = |setting: &str| setting.ends_with("/arp_announce") || setting.starts_with("netfilter/nf_conntrack_");
    let pair = |line: &str| line.split_once('=').map(|(setting, value)| (setting.to_owned(), value.to_owned()));
    text.lines().filter_map(pair).filter(|(setting, _)| known(setting) && !setting.contains("..")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_go_both_ways_and_lead_nowhere_else() {
        let settings: Settings = [("ipv4/conf/eth0/arp_announce".to_owned(), "0".to_owned())].into();
        assert_eq!(from_note(&to_note(&settings)), settings);
        assert_eq!(from_note(b"core/x=1\n../../netfilter/nf_conntrack_x=1\nipv4/../arp_announce=1"), Settings::new());
    }
}
