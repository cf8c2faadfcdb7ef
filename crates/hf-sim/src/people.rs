//! Clients and the administrator.

use crate::clock::{MS, SEC, Time, nanos};
use crate::event::{Event, Input, OnNode, Part};
use crate::facts::acknowledges;
use crate::node::Queue;
use crate::world::World;
use hf_node::daemon::DaemonInput;
use hf_node::heart::{HeartInput, WITNESS_EVERY};
use hf_types::catalogue::Class;
use hf_types::{
    Assignment, Caller, Colour, Command, History, ModuleState, NotPrimary, ResourceValue, Standing, Ticket,
};

/// The resource of the witness.
const WITNESS: &str = "splitbrain.witness";

/// How long a checker's look takes.
const LOOK: Time = 20 * MS;

/// How often the administrator looks.
pub const LOOKS: Time = 500 * MS;

/// What the administrator remembers.
#[derive(Clone, Debug, Default)]
pub struct Administrator {
    /// Since when a node's module is stopped, or waits red.
    pub stopped_since: [Option<Time>; 2],
    pub waits_since: [Option<Time>; 2],
    /// `stopwait` was said there: somebody has to say `start`.
    /// How often that is still tried, and since when: it is refused while `stopwait` is on its way.
    pub held: [Option<(u8, Time)>; 2],
    /// Commands at random moments.
    pub busy: bool,
    /// When the last command was given.
    pub last: Time,
    /// What a stopped module is to be started with, if not `start`: `prim` is for a stopped module (reference 004, 5.5).
    pub then: [Option<Command>; 2],
    /// `prim` was said because nobody else would decide.
    pub decided: u32,
}

impl World {
    /// A client asks every node that it can reach by the virtual address and that serves it.
    pub(crate) fn client(&mut self) {
        if self.clients_stopped {
            return;
        }
        for node in 0..2 {
            let state = &self.nodes[node];
            if state.powered && state.vip_until.is_some() && state.application {
                let after = self.dice.client.range(MS / 10, 2 * MS);
                self.on_node(node, after, OnNode::Submit);
            }
        }
        let every = self.setup.client_every;
        let after = self.dice.client.range(every / 4, every * 2);
        self.schedule(after, Event::Client);
    }

    /// Clients give no further operations.
    pub fn stop_clients(&mut self) {
        self.clients_stopped = true;
    }

    /// The administrator looks at the cluster and does what a sensible one does.
    pub(crate) fn watch(&mut self) {
        self.schedule(LOOKS, Event::Watch);
        for node in 0..2 {
            self.remember(node);
            if self.dice.admin.chance(10) && !self.calm {
                self.nodes[node].snapshot = Some(self.nodes[node].disk.clone());
            }
        }
        if !self.setup.light && self.first_start() {
            let half = self.nodes[0].disk.records.iter().any(|record| !record.consistent);
            self.stop_then(0, if half { Command::Primforce } else { Command::Prim });
        }
        for node in 0..2 {
            self.start_what_is_stopped(node);
            self.start_what_is_held(node);
            self.mend_degraded(node);
        }
        if !self.calm && self.admin.busy && self.dice.admin.chance(60) {
            self.random_command();
        }
        self.dare_prim();
    }

    fn remember(&mut self, node: usize) {
        let (state, colour) = self.nodes[node].module_state();
        let up = self.nodes[node].daemon.is_some();
        let now = self.now;
        let since = |flag: bool, old: Option<Time>| if flag { old.or(Some(now)) } else { None };
        let stopped = up && self.nodes[node].heart.is_none();
        let waits = state == ModuleState::Wait && colour == Colour::Red;
        self.admin.stopped_since[node] = since(stopped, self.admin.stopped_since[node]);
        self.admin.waits_since[node] = since(waits, self.admin.waits_since[node]);
    }

    /// Both copies are new and both modules wait: one must be told to begin (reference 004, 5.3).
    fn first_start(&self) -> bool {
        let new = self.nodes.iter().all(|n| n.disk.records.iter().all(|r| r.standing == Standing::New));
        let waited = self.admin.waits_since[0].is_some_and(|at| self.now - at > SEC);
        new && waited && self.now - self.admin.last > 5 * SEC
    }

    fn start_what_is_stopped(&mut self, node: usize) {
        let at_once = self.calm || self.admin.then[node].is_some();
        let patience = if at_once { 2 * SEC } else { 2 * SEC + self.dice.admin.below(20 * SEC) };
        if self.admin.stopped_since[node].is_some_and(|at| self.now - at > patience) {
            self.admin.stopped_since[node] = Some(self.now);
            let first = self.admin.then[node].take().unwrap_or(Command::Start);
            self.command_soon(node, first);
        }
    }

    fn start_what_is_held(&mut self, node: usize) {
        let Some((tries, since)) = self.admin.held[node] else {
            return;
        };
        let pause = if tries == 3 { 2 * SEC } else { 20 * SEC };
        let pause = if self.calm { pause } else { pause + self.dice.admin.below(20 * SEC) };
        if self.admin.waits_since[node].is_some_and(|at| self.now - at > 2 * SEC) && self.now - since > pause {
            self.admin.held[node] = (tries > 1).then_some((tries - 1, self.now));
            self.command_soon(node, Command::Start);
        }
    }

    /// A primary whose disk failed goes on alone, and the other node waits until somebody stops and starts it (reference 004, 5.6).
    fn mend_degraded(&mut self, node: usize) {
        let waits = self.admin.waits_since[node].is_some_and(|at| self.now - at > 20 * SEC);
        let status = self.nodes[node].heart.as_ref().map(|heart| heart.actor.status());
        let why = NotPrimary::PeerDegraded.to_string();
        if waits
            && status.is_some_and(|status| status.why.as_ref() == Some(&why))
            && self.now - self.admin.last > 10 * SEC
        {
            self.stop_then(1 - node, Command::Start);
        }
    }

    fn random_command(&mut self) {
        let node = self.dice.admin.below(2) as usize;
        let command = *self.dice.admin.pick(&[
            Command::Stop,
            Command::Stop,
            Command::Swap,
            Command::Swap,
            Command::Swap,
            Command::Stopstart,
            Command::Stopstart,
            Command::Second,
            Command::Start,
            Command::Forcestop,
            Command::Restart,
            Command::Restart,
            Command::Stopwait,
            Command::SwapNosync,
            Command::SecondFullsync,
            Command::FailoverOff,
            Command::FailoverOn,
        ]);
        if self.nodes[node].powered {
            if command == Command::Stopwait {
                self.admin.held[node] = Some((3, self.now));
            }
            self.command_soon(node, command);
        }
    }

    /// `prim` on a node that waits red for long, if no other node serves: a person's decision, with what it gives up.
    fn dare_prim(&mut self) {
        let patience = if self.calm { 60 * SEC } else { 40 * SEC };
        if self.setup.light {
            return;
        }
        let serves = self.nodes.iter().any(|n| n.engine.as_ref().is_some_and(|e| acknowledges(e.gate).is_some()));
        if serves || self.now - self.admin.last < 10 * SEC {
            return;
        }
        for node in 0..2 {
            if self.admin.waits_since[node].is_none_or(|at| self.now - at < patience) {
                continue;
            }
            if self.calm {
                if let Err(what) = crate::invariants::must_decide(&self.nodes) {
                    self.violate("reaches_prim_second", what);
                    return;
                }
            } else if !self.dice.admin.chance(100) {
                continue;
            }
            self.admin.decided += 1;
            let inconsistent = self.nodes[node].disk.records.iter().any(|r| !r.consistent);
            let other_better = self.nodes[1 - node].disk.records.iter().all(|r| r.consistent);
            if inconsistent && other_better {
                continue;
            }
            self.stop_then(node, if inconsistent { Command::Primforce } else { Command::Prim });
            return;
        }
    }

    fn stop_then(&mut self, node: usize, then: Command) {
        self.admin.then[node] = Some(then);
        self.command_soon(node, Command::Stop);
    }

    /// What a resource is about goes down or comes back: a checker finds it at its next look, or a script sets it.
    pub(crate) fn check_found(&mut self, node: usize, name: &str, value: ResourceValue) {
        if value == ResourceValue::Down {
            self.nodes[node].down.insert(name.to_owned());
        } else {
            self.nodes[node].down.remove(name);
        }
        if let Some(run) = self.nodes[node].checkers.get(name).copied() {
            self.look(node, name.to_owned(), run);
        }
        if Class::of_name(name) != Some(Class::Custom) {
            return;
        }
        let ticket = Ticket(self.fresh());
        let (Ok(name), Some(pid)) = (name.parse(), self.pid(node, Part::Heart)) else {
            return;
        };
        let assignment = Assignment { name, value, by: "check".to_owned(), history: History::Changes };
        self.send(node, Queue::HeartToDaemon, pid, Input::Heart(HeartInput::Set { ticket, assignment }));
    }

    pub(crate) fn start_checker(&mut self, node: usize, run: u64, resource: String) {
        self.nodes[node].checkers.insert(resource.clone(), run);
        if resource == WITNESS {
            return self.ask_witness(node, run);
        }
        self.look(node, resource, run);
    }

    /// The witness is asked again and again.
    pub(crate) fn ask_witness(&mut self, node: usize, run: u64) {
        if self.nodes[node].checkers.get(WITNESS) != Some(&run) {
            return;
        }
        let cut = self.net.hides_peer_of(0) || self.net.hides_peer_of(1);
        if cut && self.setup.witness != Some(node) {
            self.nodes[node].down.insert(WITNESS.to_owned());
        } else {
            self.nodes[node].down.remove(WITNESS);
        }
        self.look(node, WITNESS.to_owned(), run);
        self.on_node(node, nanos(WITNESS_EVERY), OnNode::AskWitness { run });
    }

    fn look(&mut self, node: usize, resource: String, run: u64) {
        let Some(pid) = self.pid(node, Part::Heart) else {
            return;
        };
        let down = self.nodes[node].down.contains(&resource);
        let value = if down { ResourceValue::Down } else { ResourceValue::Up };
        let why = if down { "a fault".to_owned() } else { String::new() };
        let input = Input::Heart(HeartInput::Checked { resource, run, value, why, seen: String::new() });
        self.on_node(node, LOOK, OnNode::Input { pid, input });
    }

    fn command_soon(&mut self, node: usize, command: Command) {
        self.admin.last = self.now;
        self.note(None, || format!("administrator: {command} on node{}", node + 1));
        let to = if self.dice.admin.chance(150) { Part::Heart } else { Part::Daemon };
        let to = if self.nodes[node].heart.is_none() { Part::Daemon } else { to };
        self.on_node(node, MS, OnNode::Command { command, to });
    }

    pub(crate) fn command(&mut self, node: usize, command: Command, to: Part) {
        let ticket = Ticket(self.fresh());
        let by = Caller("root".to_owned());
        let Some(pid) = self.pid(node, to) else {
            return;
        };
        let input = match to {
            Part::Daemon => {
                Input::Daemon(DaemonInput::Control { ticket, module: self.setup.module.clone(), command, by })
            }
            Part::Heart | Part::Rfs => Input::Heart(HeartInput::Control { ticket, command, by }),
        };
        self.send(node, Queue::HeartToDaemon, pid, input);
    }
}
