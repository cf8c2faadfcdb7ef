//! `<tcp>`, `<ping>`, `<intf>` and `<ip>`.

use crate::check_model::{IntfCheck, IpCheck, PingCheck, TcpCheck, When};
use crate::diagnostic::Code;
use crate::element::Element;
use crate::module::check::Reader;
use crate::module::vip::is_interface_name;
use crate::spec;

impl Reader<'_, '_> {
    pub(super) fn tcp(&mut self, tag: &Element) -> Option<TcpCheck> {
        let (ident, when, action) = (self.ident(tag), self.when(tag), self.action(tag));
        let to = self.to(tag, &spec::TCP_TO)?;
        let target = to.require("addr", self.context).cloned().and_then(|value| self.target(&value));
        to.require("port", self.context);
        let port = to.port("port", self.context);
        let (interval_ms, timeout_ms) = (self.interval(&to), self.timeout(&to));
        Some(TcpCheck { ident: ident?, when, action, target: target?, port: port?, interval_ms, timeout_ms })
    }

    pub(super) fn ping(&mut self, tag: &Element) -> Option<PingCheck> {
        let (ident, action) = (self.ident(tag), self.action(tag));
        tag.one_of("when", &[("pre", When::Pre)], self.context);
        let to = self.to(tag, &spec::PING_TO)?;
        let target = to.require("addr", self.context).cloned().and_then(|value| self.target(&value));
        let (interval_ms, timeout_ms) = (self.interval(&to), self.timeout(&to));
        Some(PingCheck { ident: ident?, action, target: target?, interval_ms, timeout_ms })
    }

    pub(super) fn intf(&mut self, tag: &Element) -> Option<IntfCheck> {
        let ident = self.ident(tag);
        tag.one_of("when", &[("pre", When::Pre)], self.context);
        let interface = tag.get("intf").map(|value| value.text.clone());
        if let Some(value) = tag.get("intf")
            && !is_interface_name(&value.text)
        {
            let message = format!("intf=\"{}\" can't be a network interface", value.text);
            let help = "such as eth0 or bond0; leave it out: the interface that has local_addr".to_owned();
            self.context.sink.error(Code::BadValue, value.span.clone(), message, Some(help));
        }
        let to = self.to(tag, &spec::INTF_TO)?;
        let local_addr = to.require("local_addr", self.context).cloned().and_then(|value| self.address(&value));
        Some(IntfCheck { ident: ident?, local_addr: local_addr?, interface })
    }

    pub(super) fn ip(&mut self, tag: &Element) -> Option<IpCheck> {
        let ident = self.ident(tag);
        tag.one_of("when", &[("prim", When::Prim)], self.context);
        let to = self.to(tag, &spec::IP_TO)?;
        let target = to.require("addr", self.context).cloned().and_then(|value| self.target(&value));
        let interval_ms = self.interval(&to);
        Some(IpCheck { ident: ident?, target: target?, interval_ms })
    }
}
