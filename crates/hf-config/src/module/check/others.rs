//! `<module>` and `<splitbrain>`: what is asked of other machines' Holdfast, and of witnesses.

use std::net::{IpAddr, Ipv4Addr};

use crate::check_model::{ModuleCheck, SplitbrainCheck, Target, When};
use crate::diagnostic::Code;
use crate::element::Element;
use crate::module::check::Reader;
use crate::spec;

/// Where the web service of this machine is, if nothing says otherwise (reference 004, 15.13).
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const WEB_PORT: u16 = 9010;
/// Witnesses beyond this number make a decision slower, not better.
const MAX_WITNESSES: usize = 16;

impl Reader<'_, '_> {
    pub(super) fn modules(&mut self, check: &Element) -> Vec<ModuleCheck> {
        let tags = check.children(&spec::MODULE, self.context);
        tags.iter().flat_map(|tag| self.module(tag)).collect()
    }

    /// One for each `<to>`; this machine without any.
    fn module(&mut self, tag: &Element) -> Vec<ModuleCheck> {
        tag.one_of("when", &[("pre", When::Pre)], self.context);
        let name = tag.require_name("name", self.context);
        let tos = tag.children(&spec::MODULE_TO, self.context);
        if let (Some(ident), [_, _, ..]) = (tag.get("ident"), &tos[..]) {
            let message = "one ident can't name the checks of several <to>".to_owned();
            let help = Some("leave ident out, or write a <module> for each".to_owned());
            self.context.sink.error(Code::Conflict, ident.span.clone(), message, help);
        }
        let Some(name) = name else {
            return Vec::new();
        };
        if tos.is_empty() {
            return self.module_at(tag, None, &name.text).into_iter().collect();
        }
        tos.iter().filter_map(|to| self.module_at(tag, Some(to), &name.text)).collect()
    }

    fn module_at(&mut self, tag: &Element, to: Option<&Element>, name: &str) -> Option<ModuleCheck> {
        let target = match to {
            None => Some(Target::Address(HERE)),
            Some(to) => to.require("addr", self.context).cloned().and_then(|value| self.target(&value)),
        };
        let ident = match (tag.get("ident"), &target) {
            (Some(_), _) => self.ident(tag),
            (None, Some(target)) => {
                let ident = format!("{name}_{target}");
                let place = to.and_then(|to| to.get("addr")).or(tag.get("name")).cloned();
                if let Some(place) = place {
                    self.take("module", &ident, &place);
                }
                Some(ident)
            }
            (None, None) => None,
        };
        let target = target?;
        if name == self.module && matches!(target, Target::Address(address) if address.is_loopback()) {
            let message = format!("{name} is this module itself, which would wait for itself");
            self.context.sink.error(Code::Conflict, tag.span(), message, None);
        }
        let Some(to) = to else {
            let (interval_ms, timeout_ms) = (self.default_ms("interval"), self.default_ms("timeout"));
            let name = name.to_owned();
            return Some(ModuleCheck {
                ident: ident?,
                name,
                target,
                port: WEB_PORT,
                interval_ms,
                timeout_ms,
                secure: false,
            });
        };
        let port = to.port("port", self.context);
        let (interval_ms, timeout_ms) = (self.interval(to), self.timeout(to));
        let secure = to.switch("secure", self.context);
        Some(ModuleCheck { ident: ident?, name: name.to_owned(), target, port: port?, interval_ms, timeout_ms, secure })
    }

    pub(super) fn splitbrain(&mut self, check: &Element) -> Option<SplitbrainCheck> {
        let tag = check.only_child(&spec::SPLITBRAIN, self.context)?;
        let ident = self.ident(&tag);
        if let Some(value) = tag.get("ident").filter(|value| value.text == "uptodate") {
            let message = "splitbrain.uptodate is the resource that says which node was elected".to_owned();
            let help = Some("give the witness another ident".to_owned());
            self.context.sink.error(Code::Conflict, value.span.clone(), message, help);
        }
        tag.one_of("when", &[("pre", When::Pre)], self.context);
        tag.one_of("exec", &[("ping", ())], self.context);
        let arg = tag.require("arg", self.context)?.clone();
        let witnesses: Vec<Target> =
            arg.text.split_whitespace().filter_map(|word| self.target_of(word, &arg)).collect();
        let given = arg.text.split_whitespace().count();
        if given == 0 || given > MAX_WITNESSES {
            let message = format!("arg=\"{}\" names {given} witnesses", arg.text);
            let help = format!("1 to {MAX_WITNESSES} addresses or names, with blanks between them");
            self.context.sink.error(Code::BadValue, arg.span, message, Some(help));
        }
        Some(SplitbrainCheck { ident: ident?, witnesses })
    }
}
