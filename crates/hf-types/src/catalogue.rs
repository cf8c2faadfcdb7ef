//! Which resources there are, what they mean, and who may set them (reference 004, 3.7, 5.6, 7.9, 9.4, 13.6.4, 13.18).
//!
//! Failover rules, `state -v`, `set` and the documentation go by this one list. A class whose ids are free (heartbeats,
//! checkers) has one entry that ends in `.*`.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Longest name in bytes.
const NAME_MAX: usize = 128;

/// The name of a resource: `class.id`, of a class that is known here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ResourceName(String);

/// Why something is no resource, or can't be its value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadResource {
    #[error("{name:?} is no resource: its name is CLASS.ID, as custom.myresource")]
    Name { name: String },
    #[error("{name:?} is no resource: {class:?} is no class of resources; there are {}", classes())]
    Class { name: String, class: String },
    #[error(
        "{value:?} can't be the value of a resource: it needs 1 to 255 characters, none of them a control character"
    )]
    Value { value: String },
}

impl ResourceName {
    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the resource is about.
    pub fn class(&self) -> Class {
        // Checked when the name was made.
        self.0.split('.').next().and_then(Class::of).unwrap_or(Class::Custom)
    }

    /// What is known of it.
    pub fn entry(&self) -> &'static Entry {
        entry(&self.0)
    }
}

impl FromStr for ResourceName {
    type Err = BadResource;

    fn from_str(name: &str) -> Result<Self, BadResource> {
        let bad = || BadResource::Name { name: name.to_owned() };
        let (class, id) = name.split_once('.').ok_or_else(bad)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.:@".contains(c);
        if class.is_empty() || id.is_empty() || name.len() > NAME_MAX || !name.chars().all(plain) {
            return Err(bad());
        }
        if Class::of(class).is_none() {
            return Err(BadResource::Class { name: name.to_owned(), class: class.to_owned() });
        }
        Ok(ResourceName(name.to_owned()))
    }
}

impl TryFrom<String> for ResourceName {
    type Error = BadResource;

    fn try_from(name: String) -> Result<Self, BadResource> {
        name.parse()
    }
}

impl From<ResourceName> for String {
    fn from(name: ResourceName) -> String {
        name.0
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! classes {
    ($($(#[$doc:meta])* $class:ident $word:literal $group:ident),* $(,)?) => {
        /// What a resource is about: the part of its name before the first dot.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum Class { $($(#[$doc])* $class),* }

        impl Class {
            /// Every class.
            pub const ALL: &'static [Class] = &[$(Class::$class),*];

            /// The word in a name.
            pub fn as_str(self) -> &'static str {
                match self { $(Class::$class => $word),* }
            }

            /// Where a list of resources shows it.
            pub fn group(self) -> Group {
                match self { $(Class::$class => Group::$group),* }
            }
        }
    };
}

classes! {
    /// The module's state, here and on the other node.
    State "state" State,
    /// The state machine itself.
    Heart "heart" State,
    /// What an administrator chose.
    UserSetting "usersetting" Setting,
    /// A lane of heartbeats.
    Heartbeat "heartbeat" Checker,
    /// A process that is watched.
    Proc "proc" Checker,
    /// A network interface.
    Intf "intf" Checker,
    /// A virtual address that is there and ours.
    Ip "ip" Checker,
    /// A machine that answers a ping.
    Ping "ping" Checker,
    /// A service that takes TCP connections.
    Tcp "tcp" Checker,
    /// A web service that answers as it should.
    Http "http" Checker,
    /// A directory's disk.
    Disk "disk" Checker,
    /// Another module.
    Module "module" Checker,
    /// The witness against a split brain.
    Splitbrain "splitbrain" Checker,
    /// A condition of the administrator's own.
    Custom "custom" Checker,
    /// Connections to a virtual address.
    Connections "connections" Measure,
    /// The share of a farm's traffic.
    Farm "farm" Load,
    /// File replication.
    Rfs "rfs" Replication,
    /// A failover rule that applies.
    Rule "rule" Rule,
}

impl Class {
    /// The class of this word.
    pub fn of(word: &str) -> Option<Class> {
        Class::ALL.iter().copied().find(|class| class.as_str() == word)
    }

    /// The class of a resource's name.
    pub fn of_name(name: &str) -> Option<Class> {
        Class::of(name.split('.').next()?)
    }
}

fn classes() -> String {
    Class::ALL.iter().map(|class| class.as_str()).collect::<Vec<_>>().join(", ")
}

/// How lists of resources are divided (reference 004, 3.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    State,
    Setting,
    Checker,
    Measure,
    Load,
    Replication,
    Rule,
}

impl Group {
    /// The heading.
    pub fn title(self) -> &'static str {
        match self {
            Group::State => "Module state",
            Group::Setting => "Settings",
            Group::Checker => "Checkers",
            Group::Measure => "Measures",
            Group::Load => "Network load share",
            Group::Replication => "File replication",
            Group::Rule => "Failover rules",
        }
    }
}

/// Who may set a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setter {
    /// Our own processes alone: it tells what they found.
    Holdfast,
    /// An administrator, with this command: the value alone would change nothing.
    Command(&'static str),
    /// `set`: a checker's script, an administrator.
    Anyone,
}

/// How often a resource changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Each change is an event.
    Condition,
    /// A number that changes all the time: its history is thinned out, and it is never logged.
    Measure,
}

/// What is known of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name; all of the class if it ends in `.*`.
    pub name: &'static str,
    pub about: &'static str,
    pub setter: Setter,
    pub kind: Kind,
}

const fn ours(name: &'static str, about: &'static str) -> Entry {
    Entry { name, about, setter: Setter::Holdfast, kind: Kind::Condition }
}

const fn measure(name: &'static str, about: &'static str) -> Entry {
    Entry { kind: Kind::Measure, ..ours(name, about) }
}

const fn setting(name: &'static str, command: &'static str, about: &'static str) -> Entry {
    Entry { setter: Setter::Command(command), ..ours(name, about) }
}

const fn free(name: &'static str, about: &'static str) -> Entry {
    Entry { setter: Setter::Anyone, ..ours(name, about) }
}

/// Every resource; of a class with free ids the last entry.
pub const ENTRIES: &[Entry] = &[
    ours("state.local", "State of the module on this node"),
    ours("state.remote", "State of the module on the other node"),
    ours("state.*", "State of the module"),
    ours("heart.stopstartloop", "When the counting of restarts by detectors began (maxloop), seconds since 1970"),
    ours(
        "heart.run",
        "Another text after every start of the application on this node: modules that depend on this one see it",
    ),
    ours("heart.*", "The state machine"),
    setting("usersetting.failover", "failover on|off", "Whether a lost primary is replaced by itself"),
    setting("usersetting.errd", "errd suspend|resume", "Whether processes are watched"),
    setting("usersetting.checker", "checker on|off", "Whether checkers run"),
    setting("usersetting.boot", "boot on|off", "Whether the module starts with the machine"),
    setting("usersetting.encryption", "config", "Whether what the nodes say to each other is encrypted"),
    setting("usersetting.rfssyncmode", "rfssync", "How the next synchronisation compares"),
    setting("usersetting.rfssyncrole", "rfssync", "Role of this node in an external synchronisation"),
    setting("usersetting.rfssyncuid", "rfssync", "Identity of an external synchronisation"),
    setting("usersetting.*", "config", "What an administrator chose"),
    ours("heartbeat.*", "Heartbeats of the other node on this network"),
    ours("proc.heart", "Our process: state machine"),
    ours("proc.rfs", "Our process: file replication"),
    free("proc.*", "Process that is watched"),
    free("intf.*", "Network interface"),
    free("ip.*", "Virtual address"),
    free("ping.*", "Machine that answers a ping"),
    free("tcp.*", "Service that takes connections"),
    free("http.*", "Web service that answers as it should"),
    free("disk.*", "Disk with room, that takes writes in time"),
    free("module.*", "Other module"),
    free("splitbrain.*", "Witness against a split brain"),
    free("custom.*", "Condition of this installation"),
    measure("connections.*", "TCP connections to this virtual address, counted every 10 s"),
    ours("farm.*", "Share of the traffic of this group that comes to this node, percent"),
    ours("rfs.uptodate", "Data of this node is the newest"),
    ours(
        "rfs.degraded",
        "The application runs alone on a disk that failed, and can have no second copy until the module is stopped and started",
    ),
    ours("rfs.responding", "The replicated directories answer"),
    ours("rfs.disk", "Disk of the replicated directories"),
    ours("rfs.generation", "Line of descent of this node's data"),
    ours("rfs.synced", "Data of this node is consistent and younger than syncdelta"),
    ours("rfs.rfssync", "The chosen way of synchronising can be used"),
    free("rfs.syncat", "The scheduled synchronisation may begin"),
    measure("rfs.rep_bandwidth", "Replication, mean of the last 3 s, KB/s"),
    measure("rfs.rei_bandwidth", "Reintegration, mean of the last 3 s, KB/s"),
    measure("rfs.netout_bandwidth", "Sent to the other node, mean of the last 3 s, KB/s"),
    measure("rfs.netin_bandwidth", "Received from the other node, mean of the last 3 s, KB/s"),
    ours("rfs.*", "File replication"),
    ours("rule.*", "Failover rule"),
];

/// What is known of a resource; a name of no class is described as a custom one.
pub fn entry(name: &str) -> &'static Entry {
    const CUSTOM: Entry = free("custom.*", "Condition of this installation");
    let class = name.split('.').next().unwrap_or_default();
    let fits = |entry: &&Entry| entry.name == name || entry.name.strip_suffix(".*").is_some_and(|of| of == class);
    ENTRIES.iter().find(fits).unwrap_or(&CUSTOM)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ResourceValue;

    #[test]
    fn names_have_a_known_class_and_an_id() {
        for name in ["custom.checkfile", "intf.ip.0", "module.othermodule_10.0.0.1", "rfs.rep_bandwidth", "ping.a:1"] {
            assert_eq!(name.parse::<ResourceName>().expect(name).as_str(), name);
        }
        for name in ["custom", "custom.", ".x", "", "custom.a b", "custom.a\n", "custom.*", "custom.?"] {
            assert!(matches!(name.parse::<ResourceName>(), Err(BadResource::Name { .. })), "{name:?}");
        }
        assert!(format!("custom.{}", "x".repeat(200)).parse::<ResourceName>().is_err());
        let error = "costum.x".parse::<ResourceName>().expect_err("no class");
        assert!(error.to_string().contains("custom, connections, farm, rfs"), "{error}");
    }

    #[test]
    fn every_class_describes_all_of_its_names() {
        for class in Class::ALL {
            assert_eq!(entry(&format!("{}.whatever", class.as_str())).name, format!("{}.*", class.as_str()));
        }
        assert_eq!(entry("rfs.degraded").name, "rfs.degraded");
        assert_eq!(entry("rfs.rep_bandwidth").kind, Kind::Measure);
        assert_eq!(entry("proc.heart").setter, Setter::Holdfast);
        assert_eq!(entry("proc.oracle").setter, Setter::Anyone);
    }

    #[test]
    fn no_entry_hides_another() {
        for (at, one) in ENTRIES.iter().enumerate() {
            assert!(ENTRIES[..at].iter().all(|before| before.name != one.name), "{} twice", one.name);
            if let Some(class) = one.name.strip_suffix(".*") {
                let after = &ENTRIES[at + 1..];
                assert!(after.iter().all(|other| Class::of_name(other.name) != Class::of(class)), "{}", one.name);
            }
        }
    }

    #[test]
    fn values_are_words_or_texts() {
        assert_eq!(ResourceValue::parse("up"), Ok(ResourceValue::Up));
        assert_eq!(ResourceValue::parse("unknown"), Ok(ResourceValue::Unknown));
        assert_eq!(ResourceValue::parse("12.5"), Ok(ResourceValue::Text("12.5".to_owned())));
        for bad in ["", "a\u{1b}[m", &"x".repeat(256)] {
            assert!(ResourceValue::parse(bad).is_err(), "{bad:?}");
        }
        for word in ["init", "up", "down", "unknown", "inactive", "some text"] {
            let value = ResourceValue::parse(word).expect("a value");
            assert_eq!(value.to_string(), word);
        }
    }
}
