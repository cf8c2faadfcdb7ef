//! What a light module can't have, because it is about two nodes (reference 004, 6.2 and 13.2.3).

use crate::context::Context;
use crate::diagnostic::Code;
use crate::element::{Element, name_span};
use crate::model::{Heart, HostNameWhen, VirtualHostName};

/// Tags that would need another node, and what to do instead.
const TAGS: [(&str, &str); 3] = [
    ("heart", "take <heart> away, or make it a mirror module"),
    ("rfs", "take <rfs> away, or make it a mirror module"),
    ("vip", "take <vip> away: put the address into the mirror module that this one depends on (<module> in <check>)"),
];
/// Attributes of `<service>` that are for mirror modules only (13.2.3).
const ATTRIBUTES: [&str; 2] = ["failover", "defaultprim"];

/// Refuses what is for other kinds of modules, and says what has no effect.
pub(super) fn check(service: &Element, names: &[VirtualHostName], context: &mut Context) {
    for child in service.child_tags() {
        let found = TAGS.iter().find(|(tag, _)| child.has_tag_name(*tag));
        if let Some((tag, help)) = found {
            let message = format!("a light module has no <{tag}>: it knows of no other node");
            context.sink.error(Code::Conflict, name_span(child), message, Some((*help).to_owned()));
        }
    }
    for name in ATTRIBUTES {
        if let Some(value) = service.get(name) {
            let message = format!("{name} has no effect: a light module has no primary");
            context.sink.warning(Code::NoEffect, value.span.clone(), message, None);
        }
    }
    for name in names.iter().filter(|name| name.when != HostNameWhen::Both) {
        let message = format!("start_both and stop_both don't see the host name {}", name.name);
        let help = "when=\"both\": a light module has no other scripts that start and stop".to_owned();
        let named = |child: &roxmltree::Node| child.attribute("name") == Some(name.name.as_str());
        let place = service.descendants().find(named).map_or(service.span(), name_span);
        context.sink.warning(Code::NoEffect, place, message, Some(help));
    }
}

/// No heartbeat.
pub(super) fn no_heart() -> Heart {
    Heart { port: None, permanent_arp: true, heartbeats: Vec::new() }
}
