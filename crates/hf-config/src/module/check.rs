//! `<check>` (reference 004, 13.10 to 13.17).

pub(super) use custom::program;

mod custom;
mod disk;
mod http;
mod others;
mod probes;
mod target;

use std::collections::BTreeSet;

use crate::check_model::{Check, CheckAction, Reaction, When};
use crate::context::Context;
use crate::diagnostic::Code;
use crate::element::{Element, Value};
use crate::model::Rfs;
use crate::spec::{self, Form, Spec};

/// More checkers than any real module has.
const MAX_CHECKERS: usize = 200;
/// With `reaction="fast"`, where the file says nothing else.
pub(super) const FAST_MS: u64 = 1_000;

/// What the readers of single checkers need.
struct Reader<'c, 't> {
    context: &'c mut Context<'t>,
    reaction: Reaction,
    /// The module's own name.
    module: &'c str,
    /// Resources that are taken.
    taken: BTreeSet<String>,
}

/// Reads the checkers. `taken`: resources that something else makes already. `rfs`: what is replicated.
pub(super) fn read(
    service: &Element,
    module: &str,
    reaction: Reaction,
    taken: BTreeSet<String>,
    rfs: Option<&Rfs>,
    context: &mut Context,
) -> Check {
    let Some(check) = service.only_child(&spec::CHECK, context) else {
        return Check::default();
    };
    let mut reader = Reader { context, reaction, module, taken };
    let found = Check {
        tcp: reader.each(&check, &spec::TCP, Reader::tcp),
        ping: reader.each(&check, &spec::PING, Reader::ping),
        intf: reader.each(&check, &spec::INTF, Reader::intf),
        ip: reader.each(&check, &spec::IP, Reader::ip),
        http: reader.each(&check, &spec::HTTP, Reader::http),
        disk: reader.disks(&check, rfs),
        custom: reader.each(&check, &spec::CUSTOM, Reader::custom),
        module: reader.modules(&check),
        splitbrain: reader.splitbrain(&check),
    };
    if found.resources().len() > MAX_CHECKERS {
        let message = format!("there are more than {MAX_CHECKERS} checkers");
        context.sink.error(Code::Limit, check.span(), message, None);
    }
    found
}

impl<'t> Reader<'_, 't> {
    fn each<'d, T>(
        &mut self,
        check: &Element<'d>,
        spec: &'static Spec,
        read: fn(&mut Self, &Element<'d>) -> Option<T>,
    ) -> Vec<T> {
        let tags = check.children(spec, self.context);
        tags.iter().filter_map(|tag| read(self, tag)).collect()
    }

    /// `ident`, which has to be there and makes the resource's name.
    fn ident(&mut self, tag: &Element) -> Option<String> {
        let value = tag.require("ident", self.context)?.clone();
        if !is_ident(&value.text) {
            let message = format!("ident=\"{}\" isn't a valid name", value.text);
            let help = "letters, digits, '.', '_', '-' and ':', at most 63, a letter or digit first".to_owned();
            self.context.sink.error(Code::BadValue, value.span, message, Some(help));
            return None;
        }
        self.take(tag.tag(), &value.text, &value);
        Some(value.text)
    }

    /// The resource `class.ident` is this checker's.
    fn take(&mut self, class: &str, ident: &str, value: &Value) {
        let resource = format!("{class}.{ident}");
        if !self.taken.insert(resource.clone()) {
            let message = format!("the resource {resource} is made already");
            let help = match class {
                "ip" => "by another <ip>, or by check=\"on\" of the virtual address: give another ident",
                _ => "give each checker an ident of its own",
            };
            self.context.sink.error(Code::Duplicate, value.span.clone(), message, Some(help.to_owned()));
        }
    }

    fn when(&mut self, tag: &Element) -> When {
        // A default stands in the table of those tags that have one.
        let words = [("prim", When::Prim), ("second", When::Second), ("both", When::Both), ("pre", When::Pre)];
        tag.one_of("when", &words, self.context)
    }

    fn action(&mut self, tag: &Element) -> Option<CheckAction> {
        let words = [
            ("restart", CheckAction::Restart),
            ("stopstart", CheckAction::Stopstart),
            ("stop", CheckAction::Stop),
            ("wait", CheckAction::Wait),
            ("swap", CheckAction::Swap),
            ("noaction", CheckAction::NoAction),
        ];
        tag.get("action")?;
        Some(tag.word("action", &words, CheckAction::NoAction, self.context))
    }

    fn interval(&mut self, to: &Element) -> u64 {
        self.time(to, "interval")
    }

    fn timeout(&mut self, to: &Element) -> u64 {
        self.time(to, "timeout")
    }

    fn time(&mut self, to: &Element, name: &str) -> u64 {
        match self.reaction {
            Reaction::Normal => to.duration(name, self.context),
            Reaction::Fast => to.duration_or(name, FAST_MS, self.context),
        }
    }

    /// `interval` or `timeout` of a `<to>` that isn't there.
    fn default_ms(&self, name: &str) -> u64 {
        match (self.reaction, spec::MODULE_TO.attribute(name).map(|attribute| attribute.form)) {
            (Reaction::Normal, Some(Form::Duration { default, .. })) => default,
            _ => FAST_MS,
        }
    }

    /// `<to>`, which has to be there once.
    fn to<'d>(&mut self, tag: &Element<'d>, spec: &'static Spec) -> Option<Element<'d>> {
        let to = tag.only_child(spec, self.context);
        if to.is_none() {
            tag.report_missing_child("to", self.context);
        }
        to
    }
}

fn is_ident(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':'))
}
