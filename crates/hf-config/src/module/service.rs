//! `<service>` (reference 004, 13.2).

use crate::check_model::Reaction;
use crate::cluster::Cluster;
use crate::context::Context;
use crate::diagnostic::Code;
use crate::element::Element;
use crate::model::{Boot, DefaultPrim, Service};
use hf_types::Mode;

/// The settings of the service; none if its mode makes the rest meaningless.
pub(super) fn read(service: &Element, cluster: Option<&Cluster>, context: &mut Context) -> Option<Service> {
    let mode = mode(service, context)?;
    warn_of_reboots(service, context);
    let boots = [("on", Boot::On), ("off", Boot::Off), ("auto", Boot::Auto), ("ignore", Boot::Ignore)];
    Some(Service {
        mode,
        boot: service.choice("boot", &boots, context),
        boot_delay_ms: service.duration("boot_delay", context),
        failover: service.switch("failover", context),
        default_prim: default_prim(service, cluster, context),
        max_loop: service.count("maxloop", context),
        loop_interval_ms: service.duration("loop_interval", context),
        automatic_reboot: service.switch("automatic_reboot", context),
        reaction: service.choice("reaction", &[("normal", Reaction::Normal), ("fast", Reaction::Fast)], context),
    })
}

/// What makes little sense beside `automatic_reboot="on"`.
fn warn_of_reboots(service: &Element, context: &mut Context) {
    let Some(reboot) = service.get("automatic_reboot").filter(|value| value.text == "on") else {
        return;
    };
    let span = reboot.span.clone();
    if service.get("boot").is_some_and(|boot| boot.text == "off") {
        let message = "automatic_reboot=\"on\" with boot=\"off\": after such a reboot the module stays stopped";
        let help = Some("boot=\"auto\" starts what ran before the machine went down".to_owned());
        context.sink.warning(Code::Conflict, span.clone(), message, help);
    }
    if service.get("loop_interval").is_some_and(|interval| interval.text.trim_start_matches('0').is_empty()) {
        let message = "automatic_reboot=\"on\" with loop_interval=\"0\": a fault that a reboot doesn't cure reboots this machine for ever";
        let help = Some("give loop_interval a time, such as 24h".to_owned());
        context.sink.warning(Code::Conflict, span, message, help);
    }
}

fn mode(service: &Element, context: &mut Context) -> Option<Mode> {
    let value = service.require("mode", context)?;
    match value.text.as_str() {
        "mirror" => Some(Mode::Mirror),
        "light" => Some(Mode::Light),
        "farm" => Some(Mode::Farm),
        _ => service.choice("mode", &[("mirror", None), ("farm", None), ("light", None)], context),
    }
}

fn default_prim(service: &Element, cluster: Option<&Cluster>, context: &mut Context) -> DefaultPrim {
    let Some(value) = service.get("defaultprim") else {
        return DefaultPrim::Alone;
    };
    match value.text.as_str() {
        "alone" => DefaultPrim::Alone,
        "lastprim" => DefaultPrim::LastPrim,
        node => {
            let known = cluster.is_none_or(|cluster| cluster.node_names().contains(&node));
            if !known || node.is_empty() {
                let message = format!("defaultprim=\"{node}\" isn't possible");
                let nodes = cluster.map(|cluster| cluster.node_names().join(", ")).unwrap_or_default();
                let help = format!("alone, lastprim, or the name of a node: {nodes}");
                context.sink.error(Code::BadValue, value.span.clone(), message, Some(help));
            }
            DefaultPrim::Node(node.to_owned())
        }
    }
}
