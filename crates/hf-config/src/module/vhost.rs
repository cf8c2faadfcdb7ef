//! `<vhost>` (reference 004, 13.8).

use crate::context::Context;
use crate::diagnostic::Code;
use crate::element::{Element, Value};
use crate::model::{HostNameWhen, VirtualHostName};
use crate::spec;

/// The longest host name of Linux.
const MAX_NAME: usize = 64;

pub(super) fn read(service: &Element, context: &mut Context) -> Vec<VirtualHostName> {
    let Some(vhost) = service.only_child(&spec::VHOST, context) else {
        return Vec::new();
    };
    let children = vhost.children(&spec::VIRTUALHOSTNAME, context);
    if children.is_empty() {
        vhost.report_missing_child("virtualhostname", context);
    }
    let mut all: Vec<VirtualHostName> = Vec::new();
    for element in &children {
        let (name, envfile) = (name(element, context), envfile(element, &all, context));
        let whens = [("prim", HostNameWhen::Prim), ("second", HostNameWhen::Second), ("both", HostNameWhen::Both)];
        let when = element.choice("when", &whens, context);
        if let (Some(name), Some(envfile)) = (name, envfile) {
            all.push(VirtualHostName { name, envfile, when });
        }
    }
    all
}

fn name(element: &Element, context: &mut Context) -> Option<String> {
    let value = element.require("name", context)?;
    let label = |label: &str| {
        let inside = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !label.is_empty() && label.chars().all(inside) && !label.starts_with('-') && !label.ends_with('-')
    };
    if value.text.len() <= MAX_NAME && value.text.split('.').all(label) {
        return Some(value.text.clone());
    }
    let message = format!("name=\"{}\" can't be a host name", value.text);
    let help = format!("letters, digits, '-', '_' and '.' between them, at most {MAX_NAME}");
    context.sink.error(Code::BadValue, value.span.clone(), message, Some(help));
    None
}

fn envfile(element: &Element, before: &[VirtualHostName], context: &mut Context) -> Option<String> {
    let value = element.require("envfile", context)?;
    if before.iter().any(|other| other.envfile == value.text) {
        let message = format!("envfile=\"{}\" belongs to another <virtualhostname> already", value.text);
        context.sink.error(Code::Duplicate, value.span.clone(), message, None);
    }
    if is_plain(value) {
        return Some(value.text.clone());
    }
    let message = format!("envfile=\"{}\" isn't a plain path", value.text);
    let help = "a file name such as vhostenv, which is written beside the scripts, or an absolute path".to_owned();
    context.sink.error(Code::BadValue, value.span.clone(), message, Some(help));
    None
}

fn is_plain(value: &Value) -> bool {
    let text = &value.text;
    let parts = || text.split('/').skip(usize::from(text.starts_with('/')));
    text.len() <= 1024
        && !text.contains(|c: char| c.is_control() || c == '\\')
        && parts().all(|part| !part.is_empty() && part != "." && part != "..")
}
