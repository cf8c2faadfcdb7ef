//! What light and farm modules can't have, because it is about a primary and a secondary (reference 004, 6.2 and 13.2.3).

use crate::context::Context;
use crate::diagnostic::Code;
use crate::element::{Element, name_span};
use crate::model::{Heart, HostNameWhen, VirtualHostName};
use hf_types::Mode;

/// Tags that would need another node, and what to do instead.
const NOT_LIGHT: [(&str, &str); 4] = [
    ("heart", "take <heart> away, or make it a mirror module"),
    ("farm", "take <farm> away, or make it a farm module"),
    ("rfs", "take <rfs> away, or make it a mirror module"),
    ("vip", "take <vip> away: put the address into the mirror module that this one depends on (<module> in <check>)"),
];
/// Tags of mirror modules.
const NOT_FARM: [(&str, &str); 2] = [
    ("heart", "write <farm> with a <lan> for each network: the nodes of a farm find each other there"),
    ("rfs", "put the data into a mirror module that this one depends on (<module> in <check>)"),
];
/// Tags of farm modules.
const NOT_MIRROR: [(&str, &str); 1] = [("farm", "write <heart> with a <heartbeat> for each network")];
/// Attributes of `<service>` that are for mirror modules only (13.2.3).
const ATTRIBUTES: [&str; 2] = ["failover", "defaultprim"];

/// Refuses what is for other kinds of modules, and says what has no effect.
pub(super) fn check(service: &Element, mode: Mode, names: &[VirtualHostName], context: &mut Context) {
    let (tags, why): (&[(&str, &str)], &str) = match mode {
        Mode::Mirror => (&NOT_MIRROR, "its two nodes hear each other by heartbeats"),
        Mode::Farm => (&NOT_FARM, "it has no primary and no secondary"),
        Mode::Light => (&NOT_LIGHT, "it knows of no other node"),
    };
    for child in service.child_tags() {
        let found = tags.iter().find(|(tag, _)| child.has_tag_name(*tag));
        if let Some((tag, help)) = found {
            let message = format!("a {mode} module has no <{tag}>: {why}");
            context.sink.error(Code::Conflict, name_span(child), message, Some((*help).to_owned()));
        }
    }
    if mode == Mode::Mirror {
        return;
    }
    for name in ATTRIBUTES {
        if let Some(value) = service.get(name) {
            let message = format!("{name} has no effect: a {mode} module has no primary");
            context.sink.warning(Code::NoEffect, value.span.clone(), message, None);
        }
    }
    for name in names.iter().filter(|name| name.when != HostNameWhen::Both) {
        let message = format!("start_both and stop_both don't see the host name {}", name.name);
        let help = format!("when=\"both\": a {mode} module has no other scripts that start and stop");
        let named = |child: &roxmltree::Node| child.attribute("name") == Some(name.name.as_str());
        let place = service.descendants().find(named).map_or(service.span(), name_span);
        context.sink.warning(Code::NoEffect, place, message, Some(help));
    }
}

/// No heartbeat.
pub(super) fn no_heart() -> Heart {
    Heart { port: None, permanent_arp: true, heartbeats: Vec::new() }
}
