use super::Kind;
use crate::clock::{MS, SEC, Time};
use crate::engine::TIMED_OUT;
use crate::event::{Event, Input, OnNode, Part};
use crate::facts::Fact;
use crate::world::World;
use hf_node::daemon::DaemonInput;
use hf_node::heart::HeartInput;
use hf_node::rfs::RfsInput;
use hf_types::{ModuleState, ResourceValue};

/// From how late on a loop speaks of a stall, in milliseconds.
const STALL: u64 = 150;
const DAEMON_STALL: u64 = 300;

impl World {
    pub(crate) fn fault_begins(&mut self, n: usize) {
        if self.calm {
            return;
        }
        let fault = self.faults[n].clone();
        self.stats.faults += 1;
        self.note(None, || format!("fault: {:?} for {} ms", fault.kind, fault.lasts / MS));
        match fault.kind {
            Kind::Loss { lane, from, permille } => self.net.lanes[lane][from].loss = permille,
            Kind::Delay { lane, from, longest } => self.net.lanes[lane][from].delay.1 = longest,
            Kind::Partition { ref lanes, from } => self.block(lanes, from, true),
            Kind::LinkCut => self.cut_links(),
            Kind::Kill { node, part } => self.kill(node, part),
            Kind::Freeze { node } => self.freeze(node),
            Kind::Stall { node, part } => self.stall(node, part, fault.lasts),
            Kind::PowerCut { nodes, rollback } => self.cut_power(nodes, rollback, fault.lasts),
            Kind::PowerCutOfSecond => {
                let second = [0, 1].map(|n| self.nodes[n].module_state().0 == ModuleState::Second);
                self.cut_power(second, false, fault.lasts);
            }
            Kind::SlowDisk { node } => self.nodes[node].disk.slow = true,
            Kind::BadDisk { node } => self.nodes[node].disk.bad = true,
            Kind::ByHand { node } => self.change_by_hand(node),
            Kind::NoRoom { node } => self.nodes[node].full = true,
            Kind::SlowBus { node } => self.nodes[node].slow_bus = true,
            Kind::BadScripts { node } => self.nodes[node].bad_scripts = true,
            Kind::ResourceDown { node, name } => self.check_found(node, name, ResourceValue::Down),
            Kind::ProcessEnds { node, name } => drop(self.nodes[node].ended.insert(name)),
        }
        self.schedule(fault.lasts, Event::FaultEnds(n));
    }

    pub(crate) fn fault_ends(&mut self, n: usize) {
        let fault = self.faults[n].clone();
        match fault.kind {
            Kind::Loss { lane, from, .. } => self.net.lanes[lane][from].loss = 0,
            Kind::Delay { lane, from, .. } => self.net.lanes[lane][from].delay.1 = MS,
            Kind::Partition { ref lanes, from } => self.block(lanes, from, false),
            Kind::Kill { node, part: Part::Daemon } => self.on_node(node, 0, OnNode::SpawnDaemon),
            Kind::LinkCut
            | Kind::Kill { .. }
            | Kind::PowerCut { .. }
            | Kind::PowerCutOfSecond
            | Kind::ByHand { .. }
            | Kind::Stall { .. }
            | Kind::ProcessEnds { .. } => {}
            Kind::Freeze { node } => self.thaw(node),
            Kind::SlowDisk { node } => self.nodes[node].disk.slow = false,
            Kind::BadDisk { node } => self.nodes[node].disk.bad = false,
            Kind::NoRoom { node } => self.nodes[node].full = false,
            Kind::SlowBus { node } => self.nodes[node].slow_bus = false,
            Kind::BadScripts { node } => self.nodes[node].bad_scripts = false,
            Kind::ResourceDown { node, name } => self.check_found(node, name, ResourceValue::Up),
        }
        if fault.lasts > 0 {
            self.note(None, || format!("fault ends: {:?}", fault.kind));
        }
    }

    fn block(&mut self, lanes: &[usize], from: [bool; 2], on: bool) {
        for lane in lanes {
            for node in (0..2).filter(|node| from[*node]) {
                let way = &mut self.net.lanes[*lane][node];
                way.blocked = if on { way.blocked + 1 } else { way.blocked.saturating_sub(1) };
            }
        }
        if on && self.dice.net.chance(500) {
            // Some connections do not survive it.
            let ids: Vec<u64> = self.links.keys().copied().collect();
            for link in ids {
                let after = self.dice.net.range(SEC, 15 * SEC);
                for node in 0..2 {
                    self.on_node(node, after, OnNode::LinkGone { link, why: TIMED_OUT });
                }
            }
        }
        if !on {
            self.flush_held();
        }
    }

    fn cut_links(&mut self) {
        let ids: Vec<u64> = self.links.keys().copied().collect();
        for link in ids {
            for node in 0..2 {
                let after = self.dice.net.range(0, 20 * MS);
                self.on_node(node, after, OnNode::LinkGone { link, why: "reset" });
            }
            // What is on its way is lost.
            self.links.remove(&link);
        }
    }

    fn freeze(&mut self, node: usize) {
        if !self.nodes[node].powered || self.nodes[node].is_frozen() {
            return;
        }
        self.nodes[node].frozen_since = Some(self.now);
        self.fact(Fact::Frozen { node });
    }

    /// What reaches the process waits; when it goes on it sees first by how much it missed its next deadline. Rfs' data plane has threads of
    /// its own.
    fn stall(&mut self, node: usize, part: Part, lasts: Time) {
        if !self.nodes[node].powered || self.nodes[node].is_frozen() || self.resumes_at(node, part) > self.now {
            return;
        }
        let for_ms = lasts.saturating_sub(self.dice.shell.below(500 * MS)) / MS;
        let input = match part {
            Part::Daemon => Input::Daemon(DaemonInput::Stalled { for_ms }),
            Part::Heart => Input::Heart(HeartInput::Stalled { for_ms }),
            Part::Rfs => Input::Rfs(RfsInput::Stalled { for_ms }),
        };
        self.stalled(node, lasts, for_ms, input);
    }

    /// The node goes on: every process hears first how long it stood still; they and the data plane wake in any order.
    pub(crate) fn thaw(&mut self, node: usize) {
        let Some(since) = self.nodes[node].frozen_since.take() else {
            return;
        };
        let stood_still = self.now - since;
        self.fact(Fact::Thawed { node, stood_still });
        // A loop only sees by how much it missed its next deadline.
        let missed = stood_still.saturating_sub(self.dice.shell.below(500 * MS));
        let for_ms = missed / MS;
        let wake = [(); 4].map(|()| self.dice.shell.below(3 * MS));
        self.stalled(node, wake[0], for_ms, Input::Daemon(DaemonInput::Stalled { for_ms }));
        self.stalled(node, wake[1], for_ms, Input::Heart(HeartInput::Stalled { for_ms }));
        self.stalled(node, wake[2], for_ms, Input::Rfs(RfsInput::Stalled { for_ms }));
        // A loop takes all that waits for it before it looks at its deadlines, and heartbeats before all else.
        let mut waiting = std::mem::take(&mut self.nodes[node].waiting);
        waiting.sort_by_key(|what| match what {
            OnNode::Heartbeat { .. } => 0,
            OnNode::Timer { .. } => 2,
            _ => 1,
        });
        for what in waiting {
            let after = wake[group(&what)];
            if matches!(what, OnNode::VipSet { .. } | OnNode::VipCleared { .. }) {
                // What is asked for from now on comes after it.
                let state = &mut self.nodes[node];
                state.vip_ops_until = state.vip_ops_until.max(self.now + after);
            }
            self.on_node(node, after, what);
        }
    }

    fn stalled(&mut self, node: usize, wake: Time, for_ms: u64, input: Input) {
        let part = input.part();
        let at = self.now + wake;
        let Some(pid) = self.pid(node, part) else {
            return;
        };
        let at_least = if part == Part::Daemon { DAEMON_STALL } else { STALL };
        let noticed = for_ms >= at_least;
        let resumes = match part {
            Part::Daemon => self.nodes[node].daemon.as_mut().map(|p| &mut p.resumes_at),
            Part::Heart => self.nodes[node].heart.as_mut().map(|p| &mut p.resumes_at),
            Part::Rfs => self.nodes[node].rfs.as_mut().map(|p| &mut p.resumes_at),
        };
        if let Some(resumes) = resumes {
            // What waits already keeps its place.
            *resumes = (*resumes).max(at);
        }
        if noticed {
            self.on_node(node, wake, OnNode::Input { pid, input });
        }
    }
}

/// Who does this after a thaw: the three processes in turn, or the data plane and the kernel.
fn group(what: &OnNode) -> usize {
    match what {
        OnNode::Input { input, .. } => input.part() as usize,
        OnNode::Timer { part, .. } => *part as usize,
        OnNode::Heartbeat { .. } => Part::Heart as usize,
        OnNode::Membership { .. } => Part::Daemon as usize,
        _ => 3,
    }
}
