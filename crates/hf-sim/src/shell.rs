//! What the loops of daemon, heart and rfs do with effects.

use crate::bugs::Bug;
use crate::clock::{MS, nanos};
use crate::event::{Event, Input, OnNode, Part, RunningScript};
use crate::facts::{Fact, acknowledges};
use crate::net::Fate;
use crate::node::Queue;
use crate::show;
use crate::world::World;
use hf_node::daemon::{DaemonEffect, DaemonInput, HeartExit};
use hf_node::heart::{HeartEffect, HeartInput};
use hf_node::rfs::{RfsEffect, RfsInput};
use hf_types::{Event as Log, GrantReason, ProcCount, RunId, Script, ScriptOutcome};
use hf_wire::bus::{HeartToDaemon, HeartToRfs, RfsToHeart};
use std::time::Duration;

/// A script that is to run.
struct Order {
    run: RunId,
    script: Script,
    args: Vec<String>,
    timeout: Option<Duration>,
}

impl World {
    pub(crate) fn heart_effect(&mut self, node: usize, effect: HeartEffect) {
        self.note_if(Some(node), || show::heart_effect(&effect));
        match effect {
            HeartEffect::SendHeartbeat { lane, body } => self.send_heartbeat(node, lane, body),
            HeartEffect::ToDaemon(message) => self.heart_says(node, message),
            HeartEffect::ToRfs(message) => self.heart_to_rfs(node, message),
            HeartEffect::SpawnRfs => self.start_rfs(node),
            HeartEffect::KillRfs { abort } => {
                self.rfs_ends(node, true);
                if abort {
                    self.abort_mount(node);
                }
            }
            HeartEffect::RunScript { run, script, args, timeout } => {
                let order = Order { run, script, args, timeout };
                self.run_script(node, Part::Heart, order);
            }
            HeartEffect::KillScript { run } => self.kill_script(node, run),
            HeartEffect::SetVip { lifetime, .. } => {
                self.nodes[node].vip_lifetime = nanos(lifetime);
                self.vip_op(node, Part::Heart, true);
            }
            HeartEffect::ClearVip { .. } => self.vip_op(node, Part::Heart, false),
            HeartEffect::RenewVip { lifetime, .. } => self.vip_renew(node, nanos(lifetime)),
            HeartEffect::StartChecker { run, checker } => self.start_checker(node, run, checker.resource()),
            HeartEffect::StopChecker { resource } => drop(self.nodes[node].checkers.remove(&resource)),
            HeartEffect::Log(event) => self.heart_logs(node, &event),
            HeartEffect::Random => self.random(node),
            HeartEffect::KillApplication => self.nodes[node].application = false,
            HeartEffect::Exit => self.heart_exits(node),
            HeartEffect::LookAtProcesses { look, names } => self.look_at_processes(node, look, names),
            HeartEffect::Answer { .. }
            | HeartEffect::AnnounceVip { .. }
            | HeartEffect::AskVip { .. }
            | HeartEffect::LookAtLanes
            | HeartEffect::CountConnections { .. }
            | HeartEffect::ForgetSyncPolicy
            | HeartEffect::KeepChecking { .. }
            // Restarts aren't counted here.
            | HeartEffect::KeepLoops(_)
            | HeartEffect::RunHandler { .. }
            | HeartEffect::ListProcesses { .. }
            | HeartEffect::KeepErrdOff { .. }
            | HeartEffect::SetResource { .. } => {}
        }
    }

    fn send_heartbeat(&mut self, node: usize, lane: Option<usize>, body: Vec<u8>) {
        let lanes = match lane {
            Some(lane) => lane..lane + 1,
            None => 0..self.setup.lans.len(),
        };
        self.net.heartbeat_sent(node, self.now);
        for lane in lanes {
            if let Fate::Arrives(after) = self.net.datagram(&mut self.dice.net, lane, node) {
                let arrives = Event::Arrives { to: 1 - node, lane, sent_at: self.now, body: body.clone() };
                self.schedule(after, arrives);
            }
        }
    }

    fn heart_says(&mut self, node: usize, message: HeartToDaemon) {
        match &message {
            HeartToDaemon::Status { .. } => self.nodes[node].last_status = Some(message.clone()),
            HeartToDaemon::Stopped { .. } => {
                if let Some(heart) = &mut self.nodes[node].heart {
                    heart.orderly = true;
                }
            }
            HeartToDaemon::Bell | HeartToDaemon::Answer { .. } => {}
        }
        self.tell_daemon(node, message);
    }

    pub(crate) fn tell_daemon(&mut self, node: usize, message: HeartToDaemon) {
        let module = self.setup.module.clone();
        if let Some(daemon) = self.pid(node, Part::Daemon) {
            let input = DaemonInput::Heart { module, message };
            self.send(node, Queue::HeartToDaemon, daemon, Input::Daemon(input));
        }
    }

    fn heart_to_rfs(&mut self, node: usize, message: HeartToRfs) {
        match &message {
            HeartToRfs::Become(role) => self.fact(Fact::Role { node, role: *role }),
            HeartToRfs::Grant { epoch, generation, why } => {
                let (epoch, generation, why) = (*epoch, *generation, *why);
                if why == GrantReason::Administrator {
                    self.nodes[node].disk.data.accept();
                }
                self.fact(Fact::Granted { node, epoch, generation, why });
            }
            HeartToRfs::Deny { .. }
            | HeartToRfs::Reread
            | HeartToRfs::Wish(_)
            | HeartToRfs::Awake { .. }
            | HeartToRfs::Fence { .. }
            | HeartToRfs::WriteOutdated { .. }
            | HeartToRfs::Drain
            | HeartToRfs::Stop { .. } => {}
        }
        if let Some(rfs) = self.pid(node, Part::Rfs) {
            self.send(node, Queue::HeartToRfs, rfs, Input::Rfs(RfsInput::Heart(message)));
        }
    }

    fn start_rfs(&mut self, node: usize) {
        let Some(heart) = self.pid(node, Part::Heart).filter(|_| !self.nodes[node].rfs_starting) else {
            return;
        };
        self.nodes[node].rfs_starting = true;
        let after = self.dice.shell.range(5 * MS, 80 * MS);
        self.on_node(node, after, OnNode::SpawnRfs { heart });
    }

    fn heart_logs(&mut self, node: usize, event: &Log) {
        match event {
            Log::LocalState(state, colour) => {
                let (state, colour) = (*state, *colour);
                let before = std::mem::replace(&mut self.nodes[node].logged, (state, colour));
                self.stats.transitions.hit(before, (state, colour));
                self.fact(Fact::State { node, state, colour });
            }
            Log::ReasonOfFailover(_) => self.stats.failovers += 1,
            _ => {}
        }
    }

    fn random(&mut self, node: usize) {
        let value = self.dice.shell.next();
        if let Some(pid) = self.pid(node, Part::Heart) {
            self.tell(node, pid, Input::Heart(HeartInput::Random { value }));
        }
    }

    fn heart_exits(&mut self, node: usize) {
        let orderly = self.nodes[node].heart.as_ref().is_some_and(|h| h.orderly);
        let exit = if orderly { HeartExit::Orderly } else { HeartExit::Died };
        self.heart_ends(node, exit);
    }

    pub(crate) fn rfs_effect(&mut self, node: usize, effect: RfsEffect) {
        self.note(Some(node), || show::rfs_effect(&effect));
        match effect {
            RfsEffect::ToHeart(message) => {
                if let (RfsToHeart::Stopped { .. }, Some(rfs)) = (&message, &mut self.nodes[node].rfs) {
                    rfs.orderly = true;
                }
                if let Some(heart) = self.pid(node, Part::Heart) {
                    self.send(node, Queue::RfsToHeart, heart, Input::Heart(HeartInput::Rfs(message)));
                }
            }
            RfsEffect::Engine(command) => self.engine_command(node, command),
            RfsEffect::Log(_) => {}
            RfsEffect::Exit => {
                self.rfs_ends(node, true);
                if !self.nodes[node].mount.mounted {
                    self.abort_mount(node);
                }
            }
        }
    }

    pub(crate) fn daemon_effect(&mut self, node: usize, effect: DaemonEffect) {
        self.note_if(Some(node), || show::daemon_effect(&effect));
        match effect {
            DaemonEffect::SendMembership { lan, body, .. } => self.send_membership(node, lan, body),
            DaemonEffect::SpawnHeart { first, by, .. } => {
                if !self.nodes[node].heart_starting {
                    self.nodes[node].heart_starting = true;
                    let after = self.dice.shell.range(2 * MS, 40 * MS);
                    self.on_node(node, after, OnNode::SpawnHeart { first, by });
                }
            }
            DaemonEffect::ToHeart { message, .. } => {
                if let Some(heart) = self.pid(node, Part::Heart) {
                    self.send(node, Queue::DaemonToHeart, heart, Input::Heart(HeartInput::Daemon(message)));
                }
            }
            DaemonEffect::FenceRfs { .. } => self.fence_rfs(node),
            DaemonEffect::ClearVips { .. } => self.vip_op(node, Part::Daemon, false),
            DaemonEffect::RunScript { run, script, args, timeout, .. } => {
                let timeout = Some(timeout);
                let order = Order { run, script, args, timeout };
                self.run_script(node, Part::Daemon, order);
            }
            DaemonEffect::KillModule { .. } => {
                if let Some(daemon) = self.pid(node, Part::Daemon) {
                    let after = self.dice.shell.range(MS, 20 * MS);
                    self.on_node(node, after, OnNode::ModuleKilled { daemon });
                }
            }
            DaemonEffect::Exit => self.nodes[node].daemon = None,
            // What waits in the mounts is dropped when the module is killed, which comes soon.
            DaemonEffect::AbortMounts { .. }
            | DaemonEffect::Answer { .. }
            | DaemonEffect::Reboot { .. }
            | DaemonEffect::Log { .. }
            | DaemonEffect::Publish { .. } => {}
        }
    }

    fn send_membership(&mut self, node: usize, lan: hf_types::LanName, body: Vec<u8>) {
        let Some(lane) = self.setup.lans.iter().position(|l| *l == lan) else {
            return;
        };
        if let Fate::Arrives(after) = self.net.datagram(&mut self.dice.net, lane, node) {
            self.on_node(1 - node, after, OnNode::Membership { lan, body });
        }
    }

    /// The shell's rule for a dead heart: rfs stops by itself when its socket closes; the daemon waits until it did (or is
    /// dead), which the gate shows.
    fn fence_rfs(&mut self, node: usize) {
        let closed = self.nodes[node].engine.as_ref().is_none_or(|engine| acknowledges(engine.gate).is_none());
        let Some(daemon) = self.pid(node, Part::Daemon) else {
            return;
        };
        if !closed && self.bug != Some(Bug::FenceIgnored) {
            // A process that does not stop acknowledging by itself is ended: its successor begins closed.
            self.rfs_ends(node, false);
        }
        let module = self.setup.module.clone();
        self.tell(node, daemon, Input::Daemon(DaemonInput::RfsFenced { module }));
    }

    pub(crate) fn module_is_killed(&mut self, node: usize, daemon: u64) {
        self.nodes[node].application = false;
        self.nodes[node].scripts.clear();
        self.rfs_ends(node, false);
        self.abort_mount(node);
        let module = self.setup.module.clone();
        self.tell(node, daemon, Input::Daemon(DaemonInput::Killed { module }));
    }

    fn run_script(&mut self, node: usize, owner: Part, order: Order) {
        let Some(pid) = self.pid(node, owner) else {
            return;
        };
        let serial = self.fresh();
        let (after, outcome) = self.script_course(node, order.script, order.timeout);
        self.nodes[node].scripts.push(RunningScript {
            serial,
            run: order.run,
            script: order.script,
            owner,
            pid,
            force: order.args.iter().any(|arg| arg == "force"),
        });
        self.on_node(node, after, OnNode::ScriptEnd { serial, outcome });
    }

    fn script_course(&mut self, node: usize, script: Script, timeout: Option<Duration>) -> (u64, ScriptOutcome) {
        let bad = !self.calm && self.nodes[node].bad_scripts;
        let dice = &mut self.dice.shell;
        if bad && dice.chance(200) {
            if let Some(timeout) = timeout.filter(|_| dice.chance(500)) {
                return (nanos(timeout), ScriptOutcome::TimedOut);
            }
            return (dice.range(10 * MS, 500 * MS), ScriptOutcome::Exited(1));
        }
        let after = match script {
            Script::StartPrim => dice.range(50 * MS, 2000 * MS),
            Script::StopPrim => dice.range(20 * MS, 1000 * MS),
            _ => dice.range(5 * MS, 50 * MS),
        };
        (after, ScriptOutcome::Exited(0))
    }

    /// Errd counts: each program runs once, or it ended.
    fn look_at_processes(&mut self, node: usize, look: u64, names: Vec<String>) {
        let Some(pid) = self.pid(node, Part::Heart) else {
            return;
        };
        let ended = &self.nodes[node].ended;
        let count = |name: String| ProcCount { count: u32::from(!ended.contains(name.as_str())), name, unsure: 0 };
        let counts = names.into_iter().map(count).collect();
        let after = self.dice.shell.range(MS, 40 * MS);
        self.on_node(node, after, OnNode::Input { pid, input: Input::Heart(HeartInput::Processes { look, counts }) });
    }

    fn kill_script(&mut self, node: usize, run: RunId) {
        let serial = self.nodes[node].scripts.iter().find(|s| s.run == run).map(|s| s.serial);
        if let Some(serial) = serial {
            self.script_ends(node, serial, ScriptOutcome::Signalled(9));
        }
    }

    pub(crate) fn script_ends(&mut self, node: usize, serial: u64, outcome: ScriptOutcome) {
        let scripts = &mut self.nodes[node].scripts;
        let Some(place) = scripts.iter().position(|s| s.serial == serial) else {
            return;
        };
        let ended = scripts.remove(place);
        let well = outcome.is_success();
        match ended.script {
            Script::StartPrim | Script::StartBoth if well => {
                self.nodes[node].application |= ended.script == Script::StartPrim;
                let class = if ended.script == Script::StartPrim { "prim" } else { "both" };
                self.nodes[node].ended.retain(|name| crate::setup::class_of(name) != class);
            }
            Script::StopPrim | Script::Prestart => self.nodes[node].application &= !(well || ended.force),
            _ => {}
        }
        self.script_answer(node, &ended, outcome);
    }

    fn script_answer(&mut self, node: usize, ended: &RunningScript, outcome: ScriptOutcome) {
        let (run, script) = (ended.run, ended.script);
        let input = match ended.owner {
            Part::Daemon => {
                Input::Daemon(DaemonInput::ScriptEnded { module: self.setup.module.clone(), run, script, outcome })
            }
            Part::Heart | Part::Rfs => Input::Heart(HeartInput::ScriptEnded { run, script, outcome }),
        };
        self.tell(node, ended.pid, input);
    }
}
