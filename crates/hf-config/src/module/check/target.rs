//! A machine that is asked.

use std::net::IpAddr;

use crate::check_model::Target;
use crate::diagnostic::Code;
use crate::element::Value;
use crate::module::check::Reader;
use crate::values::is_name;

/// The longest name of a machine.
const MAX_NAME: usize = 253;

impl Reader<'_, '_> {
    /// `addr` of a `<to>`.
    pub(super) fn target(&mut self, value: &Value) -> Option<Target> {
        self.target_of(&value.text, value)
    }

    /// One address or name of those that a value holds.
    pub(super) fn target_of(&mut self, text: &str, value: &Value) -> Option<Target> {
        if let Some(target) = target(text) {
            return Some(target);
        }
        let message = format!("{}=\"{text}\" is neither an address nor a name", value.name);
        let help = "such as 192.168.1.1, fd00::1 or router.example".to_owned();
        self.context.sink.error(Code::BadValue, value.span.clone(), message, Some(help));
        None
    }

    /// An address, not a name.
    pub(super) fn address(&mut self, value: &Value) -> Option<IpAddr> {
        if let Some(Target::Address(address)) = target(&value.text) {
            return Some(address);
        }
        let message = format!("{}=\"{}\" isn't an address", value.name, value.text);
        let help = "such as 192.168.1.10 or fd00::10".to_owned();
        self.context.sink.error(Code::BadValue, value.span.clone(), message, Some(help));
        None
    }
}

pub(super) fn target(text: &str) -> Option<Target> {
    if let Ok(address) = text.parse::<IpAddr>() {
        let usable = !address.is_unspecified() && !address.is_multicast();
        return usable.then_some(Target::Address(address));
    }
    // 300.1.2.3 is a slip in an address, not a name.
    let name =
        text.len() <= MAX_NAME && text.contains(|c: char| c.is_ascii_alphabetic()) && text.split('.').all(is_name);
    name.then(|| Target::Name(text.to_owned()))
}
