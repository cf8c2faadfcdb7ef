//! `<heart>` and `<heartbeat>` (reference 004, 13.3).

use crate::cluster::Cluster;
use crate::context::Context;
use crate::diagnostic::Code;
use crate::element::Element;
use crate::model::{Heart, Heartbeat};
use crate::module::{check_lan, servers};
use crate::spec;
use crate::values::shown;

/// What `<heart>` says for all its heartbeats.
struct Common {
    port: Option<u16>,
    pulse_ms: u64,
    timeout_ms: u64,
}

impl Common {
    /// What `<heart>` itself says.
    fn of_heart(heart: &Element, context: &mut Context) -> Common {
        let (pulse_ms, timeout_ms) = (heart.duration("pulse", context), heart.duration("timeout", context));
        Common { port: heart.port("port", context), pulse_ms, timeout_ms }
    }

    /// The same of one heartbeat, with what `<heart>` says where it says nothing.
    fn of_heartbeat(&self, heartbeat: &Element, context: &mut Context) -> Common {
        let pulse_ms = heartbeat.duration_or("pulse", self.pulse_ms, context);
        let timeout_ms = heartbeat.duration_or("timeout", self.timeout_ms, context);
        Common { port: heartbeat.port("port", context).or(self.port), pulse_ms, timeout_ms }
    }
}

pub(super) fn read(service: &Element, cluster: Option<&Cluster>, context: &mut Context) -> Option<Heart> {
    let Some(heart) = service.only_child(&spec::HEART, context) else {
        service.report_missing_child("heart", context);
        return None;
    };
    let common = Common::of_heart(&heart, context);
    let children = heart.children(&spec::HEARTBEAT, context);
    if children.is_empty() {
        heart.report_missing_child("heartbeat", context);
    }
    let mut heartbeats = Vec::new();
    for element in &children {
        let read = heartbeat(element, &common, cluster, &heartbeats, context);
        heartbeats.extend(read);
    }
    Some(Heart { port: common.port, permanent_arp: heart.switch("permanent_arp", context), heartbeats })
}

fn heartbeat(
    element: &Element,
    common: &Common,
    cluster: Option<&Cluster>,
    before: &[Heartbeat],
    context: &mut Context,
) -> Option<Heartbeat> {
    let own = common.of_heartbeat(element, context);
    check_times(element, &own, context);
    let name = match servers::lan(element, cluster, context) {
        servers::Lan::Old(lan) => lan,
        servers::Lan::Named => {
            let name = element.require_name("name", context);
            name.inspect(|name| check_lan(name, cluster, context))
        }
    };
    let ident = match element.get("ident") {
        Some(_) => element.require_name("ident", context),
        None => name.clone(),
    };
    let (name, ident) = (name?, ident?);
    if before.iter().any(|other| other.lan == name.text && other.port == own.port) {
        let message = format!("there is a heartbeat on the network {} already", name.text);
        context.sink.error(Code::Duplicate, name.span.clone(), message, None);
    } else if before.iter().any(|other| other.ident == ident.text) {
        let message = format!("there is a heartbeat with the ident {} already", ident.text);
        context.sink.error(Code::Duplicate, ident.span.clone(), message, None);
    }
    Some(Heartbeat {
        lan: name.text,
        ident: ident.text,
        port: own.port,
        pulse_ms: own.pulse_ms,
        timeout_ms: own.timeout_ms,
    })
}

/// A timeout below one pulse takes every heartbeat for lost; below three, one lost packet can be enough.
fn check_times(element: &Element, own: &Common, context: &mut Context) {
    let (pulse, timeout) = (shown(own.pulse_ms), shown(own.timeout_ms));
    let help = Some("three pulses or more".to_owned());
    if own.timeout_ms <= own.pulse_ms {
        let message = format!("the timeout ({timeout}) must be longer than the pulse ({pulse})");
        context.sink.error(Code::Conflict, element.span(), message, help);
    } else if own.timeout_ms < 3 * own.pulse_ms {
        let message = format!("the timeout ({timeout}) is short for the pulse ({pulse}): few lost packets are enough");
        context.sink.warning(Code::Conflict, element.span(), message, help);
    }
}
