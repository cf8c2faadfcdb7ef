//! Which tags and attributes there are: the reference's grammar (004, chapters 12 and 13) as tables, with each
//! attribute's form, range and default. The readers take ranges and defaults from here, and docs/user/configuration.md
//! is written from here.
//!
//! A name that stands here with another standing than [`Standing::Served`] is valid in the reference; what isn't here
//! is unknown.

mod check;
mod cluster;
mod farm;
mod form;
mod module;
mod ocf;
mod page;
mod tags;

pub(crate) use check::{
    CHECK, CUSTOM, DISK, ERRD, FAILOVER, HTTP, HTTP_TO, INTF, INTF_TO, IP, IP_TO, MODULE, MODULE_TO, PING, PING_TO,
    PROC, SPLITBRAIN, TCP, TCP_TO,
};
pub(crate) use cluster::{CLUSTER, CLUSTER_LAN, LANS, NODE};
pub(crate) use farm::{
    FARM, FARM_LAN, FARM_NODE, GROUP, GROUP_CLUSTER, HOST, LOADBALANCING_LIST, RULE, VIRTUAL_INTERFACE,
};
pub(crate) use form::Form;
pub(crate) use module::{
    FLOW, HEART, HEARTBEAT, INTERFACE, INTERFACE_LIST, MACRO, NOTREPLICATED, REAL_INTERFACE, REPLICATED, RFS, SAFE,
    SERVER, SERVICE, TOCHECK, USER, VAR, VHOST, VIP, VIRTUAL_ADDR, VIRTUALHOSTNAME,
};
pub(crate) use ocf::{OCF, PARAM};
pub use page::reference_page;
pub use tags::{TagPage, tag_pages};

/// What this version does with a valid name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Read and used.
    Served,
    /// Read, checked and kept, with a line that says so: nobody acts on it yet. The text says what happens instead.
    Later(&'static str),
    /// Read and checked, with a line that says so: here it has nothing to act on. The text says why.
    Moot(&'static str),
    /// An attribute that may only have its default value, which is how this version behaves anyway. The text says what
    /// another value would do.
    OnlyDefault(&'static str),
    /// An attribute that may only have its default value, and no version will serve another one. The text says what to do instead.
    Never(&'static str),
    /// An attribute that only Windows uses: accepted with a note.
    Windows,
}

/// One attribute of a tag.
#[derive(Debug)]
pub(crate) struct Attribute {
    pub(crate) name: &'static str,
    pub(crate) standing: Standing,
    pub(crate) form: Form,
    /// Whether the reference lets it change while the module is ALONE or WAIT (004, the introduction of 13).
    pub(crate) dynamic: bool,
}

impl Attribute {
    const fn new(name: &'static str, form: Form, standing: Standing) -> Attribute {
        Attribute { name, standing, form, dynamic: false }
    }

    const fn served(name: &'static str, form: Form) -> Attribute {
        Attribute::new(name, form, Standing::Served)
    }

    const fn dynamic(self) -> Attribute {
        Attribute { dynamic: true, ..self }
    }
}

type Children = &'static [(&'static str, Standing)];

/// One tag.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) tag: &'static str,
    pub(crate) attributes: &'static [Attribute],
    pub(crate) children: Children,
}

impl Spec {
    /// Whether the text inside means something: the rules of `<failover>`.
    pub(crate) fn holds_text(&self) -> bool {
        self.tag == FAILOVER.tag
    }

    /// The attribute with this name.
    pub(crate) fn attribute(&self, name: &str) -> Option<&'static Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }
}

/// The tags of userconfig.xml.
fn of_modules() -> impl Iterator<Item = &'static Spec> {
    module::TAGS.into_iter().chain(farm::TAGS).chain(check::TAGS).chain(ocf::TAGS)
}

/// The table of a tag of userconfig.xml.
pub(crate) fn spec_of(tag: &str) -> Option<&'static Spec> {
    module::TAGS.into_iter().find(|spec| spec.tag == tag)
}

/// The tables of userconfig.xml without checkers, watched processes and rules.
#[cfg(test)]
pub(crate) fn module_specs() -> impl Iterator<Item = &'static Spec> {
    module::TAGS.into_iter()
}

/// A tag with the attributes that it must have, as a help for who left it out of `parent`.
pub(crate) fn sample_inside(tag: &str, parent: &Spec) -> Option<String> {
    let known = table_inside(tag, parent)?;
    let needed = known.attributes.iter().filter(|attribute| attribute.form.absence().starts_with(form::REQUIRED));
    let needed: String = needed.map(|attribute| format!(" {}=\"...\"", attribute.name)).collect();
    let end = if known.children.is_empty() { "/>" } else { ">" };
    Some(format!("<{tag}{needed}{end}"))
}

/// The table of a tag inside of another: `<to>` has one for each checker.
fn table_inside(tag: &str, parent: &Spec) -> Option<&'static Spec> {
    let mut specs = cluster::TAGS.into_iter().chain(of_modules()).filter(|spec| spec.tag == tag);
    specs.find(|spec| check::home_of(spec).is_none_or(|home| home == parent.tag))
}

/// The tag that a child with this name belongs into, seen from the file that `near` is of.
pub(crate) fn proper_parent(child: &str, near: &Spec) -> Option<&'static str> {
    let in_cluster = cluster::TAGS.iter().any(|spec| std::ptr::eq(*spec, near));
    let family: Vec<&'static Spec> = if in_cluster { cluster::TAGS.into() } else { of_modules().collect() };
    family.iter().find(|spec| spec.children.iter().any(|(name, _)| *name == child)).map(|spec| spec.tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = &'static Spec> {
        cluster::TAGS.into_iter().chain(of_modules())
    }

    #[test]
    fn every_child_that_is_read_has_a_table() {
        for (child, _) in all().flat_map(|spec| spec.children) {
            assert!(all().any(|other| other.tag == *child), "{child}");
        }
    }

    #[test]
    fn every_default_is_in_its_own_range() {
        for attribute in all().flat_map(|spec| spec.attributes) {
            assert!(attribute.form.is_sound(), "{}", attribute.name);
        }
    }
}
