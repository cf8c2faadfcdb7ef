//! The virtual address on a node's interface, with the kernel's lifetime.

use crate::clock::{MS, Time};
use crate::event::{Event, Input, OnNode, Part, Pid};
use crate::facts::Fact;
use crate::world::World;
use hf_node::daemon::DaemonInput;
use hf_node::heart::HeartInput;

impl World {
    pub(crate) fn vip_op(&mut self, node: usize, by: Part, set: bool) {
        let Some(pid) = self.pid(node, by) else {
            return;
        };
        let after = self.dice.shell.range(MS / 5, 5 * MS);
        let what = if set { OnNode::VipSet { heart: pid } } else { OnNode::VipCleared { by, pid } };
        // One after the other, in the order in which they were asked for.
        let at = (self.now + after).max(self.nodes[node].vip_ops_until);
        self.nodes[node].vip_ops_until = at;
        self.on_node(node, at - self.now, what);
    }

    pub(crate) fn vip_is_set(&mut self, node: usize, heart: Pid) {
        if self.pid(node, Part::Heart) != Some(heart) {
            return;
        }
        let lifetime = self.nodes[node].vip_lifetime;
        self.vip_lives(node, lifetime);
        let address = self.setup.address();
        let input = HeartInput::VipSet { address, error: None };
        self.tell(node, heart, Input::Heart(input));
    }

    /// An address that went meanwhile is never brought back by a renewal.
    pub(crate) fn vip_renew(&mut self, node: usize, lifetime: Time) {
        if self.nodes[node].vip_until.is_some() {
            self.vip_lives(node, lifetime);
        } else {
            self.vip_lost(node);
        }
    }

    fn vip_lost(&mut self, node: usize) {
        if let Some(heart) = self.pid(node, Part::Heart) {
            let why = "its lifetime ended".to_owned();
            let input = HeartInput::VipLost { address: self.setup.address(), why };
            self.tell(node, heart, Input::Heart(input));
        }
    }

    fn vip_lives(&mut self, node: usize, lifetime: Time) {
        let was_set = self.nodes[node].vip_until.is_some();
        self.nodes[node].vip_until = Some(self.now + lifetime);
        self.schedule(lifetime, Event::VipExpires { node });
        if !was_set {
            self.note(Some(node), || "kernel: virtual IP is set".to_owned());
            self.fact(Fact::Vip { node, set: true });
        }
    }

    fn vip_goes(&mut self, node: usize, how: &str) -> bool {
        let gone = self.nodes[node].vip_until.take().is_some();
        if gone {
            self.note(Some(node), || format!("kernel: virtual IP {how}"));
            self.fact(Fact::Vip { node, set: false });
        }
        gone
    }

    pub(crate) fn vip_is_cleared(&mut self, node: usize, by: Part, pid: Pid) {
        if self.pid(node, by) != Some(pid) {
            return;
        }
        self.vip_goes(node, "cleared");
        let (address, module) = (self.setup.address(), self.setup.module.clone());
        let input = match by {
            Part::Daemon => Input::Daemon(DaemonInput::VipsCleared { module }),
            Part::Heart | Part::Rfs => Input::Heart(HeartInput::VipCleared { address, error: None }),
        };
        self.tell(node, pid, input);
    }

    pub(crate) fn vip_expires(&mut self, node: usize) {
        let over = self.nodes[node].vip_until.is_some_and(|until| until <= self.now);
        if !over || self.bug == Some(crate::bugs::Bug::VipOutlives) {
            return;
        }
        self.vip_goes(node, "expired");
        self.vip_lost(node);
    }

    /// The power went: the address with it.
    pub(crate) fn vip_dies(&mut self, node: usize) {
        self.vip_goes(node, "went with the power");
    }
}
