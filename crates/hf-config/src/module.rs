//! `userconfig.xml`: one module (reference 004, chapter 13). One file here for each of its sections.

mod balancing;
mod check;
mod errd;
mod exclusion;
mod failover;
mod farm;
mod heart;
mod kinds;
pub(crate) mod ocf;
mod rfs;
mod roles;
mod rules_text;
mod schedule;
mod servers;
mod service;
mod user;
mod vhost;
mod vip;

pub use exclusion::{Exclusions, Pattern};
pub use failover::{FAILOVER_XML, RFS_XML};

use std::collections::BTreeSet;

use hf_rules::Known;
use hf_types::Mode;
use hf_types::catalogue::Class;
use roxmltree::Document;

use crate::check_model::{Check, Errd};
use crate::cluster::Cluster;
use crate::context::{Context, OnNode};
use crate::diagnostic::{Checked, Code, Diagnostics};
use crate::element::{Element, open_root};
use crate::model::{Heart, ModuleConfig, Rfs, Vip, VipInterface, VirtualAddr};
use crate::spec;
use crate::xml;

/// Reads a module's `userconfig.xml`.
///
/// `file` is only shown. With `cluster`, the networks and nodes that the file names are checked against it.
/// `environment` looks up environment variables for `%NAME%`; a macro of the same name wins.
/// See [`check_module`] for the notes and warnings of a good file.
pub fn parse_module(
    text: &str,
    file: &str,
    module_name: &str,
    cluster: Option<&Cluster>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<ModuleConfig, Diagnostics> {
    check_module(text, file, module_name, cluster, environment).into_result()
}

/// Reads a module's `userconfig.xml` and keeps notes and warnings too. Parameters as for [`parse_module`].
pub fn check_module(
    text: &str,
    file: &str,
    module_name: &str,
    cluster: Option<&Cluster>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Checked<ModuleConfig> {
    check_module_on(&OnNode::default(), text, file, module_name, cluster, environment)
}

/// As [`check_module`], with what is known on the node where the module is to run: its other modules, what names stand for.
pub fn check_module_on(
    node: &OnNode,
    text: &str,
    file: &str,
    module_name: &str,
    cluster: Option<&Cluster>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Checked<ModuleConfig> {
    let mut context = Context::new(text, file, environment).on_node(node);
    let document = xml::parse(text, &mut context.sink);
    let config = document.as_ref().and_then(|document| read(document, text, module_name, cluster, &mut context));
    Checked::new(config, context.sink.finish())
}

fn read<'d>(
    document: &'d Document<'d>,
    text: &str,
    name: &str,
    cluster: Option<&Cluster>,
    context: &mut Context,
) -> Option<ModuleConfig> {
    let root = open_root(document, &spec::SAFE, context)?;
    let service = service_after_macros(&root, context)?;
    let settings = service::read(&service, cluster, context)?;
    let mode = settings.mode;
    let mirror = mode == Mode::Mirror;
    let heart = if mirror { heart::read(&service, cluster, context) } else { Some(kinds::no_heart()) };
    let farm = (mode == Mode::Farm).then(|| farm::read(&service, cluster, context));
    let nodes = farm.iter().flatten().flat_map(|farm| farm::nodes(farm, cluster)).collect::<Vec<_>>();
    let rfs = mirror.then(|| rfs::read(&service, cluster, context)).flatten();
    let has_addresses = mode != Mode::Light;
    let vip = has_addresses.then(|| vip::read(&service, mode, &nodes, cluster, context)).flatten();
    let user = user::read(&service, context);
    let virtual_host_names = vhost::read(&service, context);
    kinds::check(&service, mode, &virtual_host_names, context);
    if farm.is_some() {
        farm::say_what_comes_later(&service, vip.is_some(), context);
    }
    servers::check_mixed(&service, context);
    if let (Some(heart), None) = (&heart, &rfs) {
        refuse_flow_without_rfs(heart, &service, context);
    }
    if let (Some(heart), Some(rfs)) = (&heart, &rfs) {
        rfs::check_flow(rfs, heart, &service, context);
    }
    let made = Made { heart: heart.as_ref(), rfs: rfs.as_ref(), vip: vip.as_ref() };
    let ocf = ocf::read(&service, mode, context);
    let mut check = check::read(&service, name, settings.reaction, made.addresses(), rfs.as_ref(), context);
    ocf::check(&ocf, user.is_some(), &check, &service, context);
    let errd = errd::read(&service, settings.reaction, context);
    roles::check(&service, mode, &check, errd.as_ref(), context);
    check.custom.extend(ocf.iter().map(ocf::checker));
    let known = made.resources(&check, errd.as_ref());
    let failover = failover::read(&service, &settings, &check, known, text, context);
    let name = name.to_owned();
    Some(ModuleConfig {
        name,
        service: settings,
        heart: heart?,
        // A farm without <farm> was reported.
        farm: farm.map_or(Some(None), |farm| farm.map(Some))?,
        rfs,
        vip,
        user,
        virtual_host_names,
        ocf,
        check,
        errd,
        failover,
    })
}

/// What of a configuration makes resources, beside checkers and processes.
struct Made<'c> {
    heart: Option<&'c Heart>,
    rfs: Option<&'c Rfs>,
    vip: Option<&'c Vip>,
}

impl Made<'_> {
    fn virtual_addresses(&self) -> impl Iterator<Item = (&VipInterface, &VirtualAddr)> {
        let interfaces = self.vip.iter().flat_map(|vip| &vip.interfaces);
        interfaces.flat_map(|interface| interface.addresses.iter().map(move |address| (interface, address)))
    }

    /// The resources of `check="on"` of a virtual address.
    fn addresses(&self) -> BTreeSet<String> {
        let checked = self.virtual_addresses().filter(|(_, address)| address.check);
        checked.map(|(_, address)| format!("ip.{}", address.addr)).collect()
    }

    /// Every resource that something makes.
    fn resources(&self, check: &Check, errd: Option<&Errd>) -> Known {
        let mut known = Known { names: self.addresses(), ..Known::default() };
        let catalogue = hf_types::catalogue::ENTRIES.iter().map(|entry| entry.name);
        let fixed = catalogue.filter(|name| !name.ends_with(".*"));
        let replicates = self.rfs.is_some();
        let of_rfs = |name: &str| name.starts_with("rfs.") || name == "proc.rfs";
        known.names.extend(fixed.filter(|name| replicates || !of_rfs(name)).map(str::to_owned));
        let heartbeats = self.heart.iter().flat_map(|heart| &heart.heartbeats);
        known.names.extend(heartbeats.map(|heartbeat| format!("heartbeat.{}", heartbeat.ident)));
        let counted = self.virtual_addresses().filter(|(_, address)| address.connections);
        known.names.extend(counted.map(|(_, address)| format!("connections.{}", address.addr)));
        known.names.extend(check.resources().into_iter().map(|(resource, _)| resource));
        let groups = self.vip.iter().flat_map(|vip| &vip.groups);
        known.names.extend(groups.map(|group| format!("farm.{}", group.name)));
        known.names.extend(check.splitbrain.iter().map(|_| "splitbrain.uptodate".to_owned()));
        known.names.extend(errd.iter().flat_map(|errd| &errd.procs).map(|proc| proc.resource()));
        // Their names follow from the interface that has the network of the address (reference 004, 15.10).
        if self.virtual_addresses().any(|(interface, _)| interface.check) {
            known.open.insert(Class::Intf);
        }
        known
    }
}

/// Reads the macros in the order of the file up to `<service>`, so that each counts for the rest of the file only.
fn service_after_macros<'d>(root: &Element<'d>, context: &mut Context) -> Option<Element<'d>> {
    let mut service: Option<Element> = None;
    for child in root.child_tags() {
        if child.has_tag_name(spec::MACRO.tag) {
            let element = Element::open(child, &spec::MACRO, context);
            match service {
                None => define_macro(&element, context),
                Some(_) => {
                    let message =
                        "a macro after <service> has no effect: it counts for the rest of the file".to_owned();
                    let help = Some("put it before <service>".to_owned());
                    context.sink.warning(Code::Conflict, element.span(), message, help);
                }
            }
        } else if child.has_tag_name(spec::SERVICE.tag) {
            match &service {
                None => service = Some(Element::open(child, &spec::SERVICE, context)),
                Some(first) => {
                    let message = "<safe> has only one <service>".to_owned();
                    let span = Element::open(child, first.spec, context).span();
                    context.sink.error(Code::Duplicate, span, message, None);
                }
            }
        }
    }
    if service.is_none() {
        root.report_missing_child("service", context);
    }
    service
}

fn define_macro(element: &Element, context: &mut Context) {
    let (name, value) = (element.require("name", context), element.require("value", context));
    let (Some(name), Some(value)) = (name, value) else {
        return;
    };
    let starts_well = name.text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || name.text.contains(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
        let message = format!("name=\"{}\" isn't a valid macro name", name.text);
        let help = "letters, digits and '_', not a digit first".to_owned();
        context.sink.error(Code::BadValue, name.span.clone(), message, Some(help));
    } else if !context.define(&name.text, &value.text) {
        let message = format!("the macro {} is defined above already", name.text);
        context.sink.error(Code::Duplicate, name.span.clone(), message, None);
    }
}

/// The reference lets such a module block in WAIT (13.3.3).
fn refuse_flow_without_rfs(heart: &Heart, service: &Element, context: &mut Context) {
    if heart.heartbeats.iter().any(|heartbeat| heartbeat.ident == "flow") {
        let message = "ident=\"flow\" is the network of the replication, and there is no <rfs>".to_owned();
        let help = "give the heartbeat another ident, or replicate a directory".to_owned();
        context.sink.error(Code::Conflict, service.place_of("heartbeat", "flow"), message, Some(help));
    }
}

/// Says whether a network can be used by a mirror module, and reports it if not.
fn check_lan(value: &crate::element::Value, cluster: Option<&Cluster>, context: &mut Context) {
    let Some(lan) = lan_of(value, cluster, context).filter(|lan| lan.nodes.len() > 2) else { return };
    let message = format!("the network {} has {} nodes", lan.name, lan.nodes.len());
    let help = "choosing two of them for a mirror module isn't served yet".to_owned();
    context.sink.error(Code::NotYet, value.span.clone(), message, Some(help));
}

/// The network of this name; one that a module can't use is reported.
fn lan_of<'c>(
    value: &crate::element::Value,
    cluster: Option<&'c Cluster>,
    context: &mut Context,
) -> Option<&'c crate::Lan> {
    let cluster = cluster?;
    let usable = || cluster.framework_lans().map(|lan| lan.name.as_str());
    let (message, help) = match cluster.lan(&value.text) {
        Some(lan) if !lan.framework => (
            format!("the network {} has framework=\"off\" in cluster.xml", lan.name),
            "a module can use a network with framework=\"on\" only".to_owned(),
        ),
        Some(lan) => return Some(lan),
        None => {
            let near = hf_types::nearest(&value.text, usable());
            let help = match near {
                Some(near) => format!("did you mean {near}?"),
                None => format!("it has {}", usable().collect::<Vec<_>>().join(", ")),
            };
            (format!("cluster.xml has no network called {}", value.text), help)
        }
    };
    context.sink.error(Code::BadLan, value.span.clone(), message, Some(help));
    None
}

#[cfg(test)]
mod tests;
