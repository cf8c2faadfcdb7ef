use super::closing::Closing;
use super::fencing::Step;
use super::status::DaemonStatus;
use super::supervised::{Life, Supervised};
use super::{DaemonConfig, DaemonEffect, DaemonInput, HeartExit};
use hf_membership::Nodes;
use hf_types::{
    Assignment, Caller, Command, Epoch, ErrdOrder, Event, Incarnation, Instant, ModuleName, ModuleState, NodeName,
    RefusedAction, ScriptOutcome, SyncPolicy, Ticket,
};
use hf_wire::bus::{DaemonToHeart, HeartToDaemon, OtherNode, PeerModule};
use hf_wire::membership::{MemberModule, Membership};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// The daemon of one node: membership, supervision, commands.
///
/// A module is `Stopped`, `Running` (its heart lives) or `Fencing` (its heart died: [`super::fencing::Fencing`] says the order). Commands for a running module go to
/// its heart; the daemon itself decides only what happens while there is none.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DaemonActor {
    pub(super) config: DaemonConfig,
    pub(super) incarnation: Incarnation,
    pub(super) counter: u64,
    /// None until started.
    pub(super) next_pulse: Option<Instant>,
    pub(super) nodes: Nodes,
    pub(super) modules: BTreeMap<ModuleName, Supervised>,
    pub(super) waiting: Vec<Waiting>,
    pub(super) next_run: u64,
    /// Asked to end: after the last module this daemon leaves.
    pub(super) shutting_down: bool,
    pub(super) closing: Option<Closing>,
    pub(super) published: DaemonStatus,
    /// What was told of nodes whose last frame could not be read.
    pub(super) unread: BTreeMap<NodeName, String>,
}

/// A command that waits for a stable state.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Waiting {
    ticket: Ticket,
    module: ModuleName,
    /// None: any in which a start has ended.
    state: Option<ModuleState>,
}

impl DaemonActor {
    /// A daemon that was not started yet: [`DaemonInput::Started`] must come first.
    pub fn new(config: DaemonConfig) -> DaemonActor {
        let mut actor = DaemonActor {
            nodes: Nodes::new(silence(&config), []),
            config: config.clone(),
            incarnation: Incarnation(0),
            counter: 0,
            next_pulse: None,
            modules: BTreeMap::new(),
            waiting: Vec::new(),
            next_run: 0,
            shutting_down: false,
            closing: None,
            published: DaemonStatus::default(),
            unread: BTreeMap::new(),
        };
        actor.reconfigure(config);
        actor
    }

    /// Takes one input and says what is to be done, in this order.
    pub fn handle(&mut self, now: Instant, input: DaemonInput) -> Vec<DaemonEffect> {
        let mut effects = Vec::new();
        self.dispatch(now, input, &mut effects);
        self.settle(&mut effects);
        effects
    }

    /// When [`DaemonInput::Timer`] is due next, and for what.
    pub fn next_deadline(&self) -> Option<(Instant, &'static str)> {
        let pulse = self.next_pulse.map(|at| (at, "membership pulse"));
        let silence = self.nodes.next_timeout().map(|at| (at, "membership silence"));
        let fencing = self.modules.values().filter_map(|module| match &module.life {
            Life::Fencing(fencing) => Some((fencing.deadline, "fencing step")),
            Life::Stopped | Life::Running => None,
        });
        pulse.into_iter().chain(silence).chain(fencing).min()
    }

    /// What can't be read is as if it had been lost, which isn't to happen without a word; one word for each node is enough.
    fn read_frame(&mut self, from: &NodeName, body: &[u8], effects: &mut Vec<DaemonEffect>) -> Option<Membership> {
        let error = match Membership::decode(body) {
            Ok(frame) => {
                self.unread.remove(from);
                return Some(frame);
            }
            Err(error) => error,
        };
        let text = format!("What the daemon of {from} says can't be read: {error}. For this node it is silent");
        if self.unread.get(from) != Some(&text) {
            effects.push(DaemonEffect::Log { module: None, event: Event::Text(text.clone()) });
            self.unread.insert(from.clone(), text);
        }
        None
    }

    /// Modules and nodes, as [`DaemonEffect::Publish`] says them at every change.
    pub fn status(&self) -> DaemonStatus {
        DaemonStatus { modules: self.module_statuses(), nodes: self.node_statuses() }
    }

    fn dispatch(&mut self, now: Instant, input: DaemonInput, effects: &mut Vec<DaemonEffect>) {
        match input {
            DaemonInput::Started { incarnation, adopted } => {
                self.incarnation = incarnation;
                for module in adopted {
                    let module = self.modules.entry(module).or_default();
                    module.life = Life::Running;
                    module.adopted = true;
                }
                self.pulse(now, effects);
            }
            DaemonInput::Reconfigured(config) => {
                self.reconfigure(config);
                self.pulse(now, effects);
            }
            DaemonInput::Membership { from, lan, body } => {
                if let Some(frame) = self.read_frame(&from, &body, effects)
                    && let Some(heard) = self.nodes.receive(now, &from, &lan, frame)
                    && (heard.newest || heard.appeared)
                {
                    self.tell_hearts(&from, effects);
                    if heard.appeared {
                        self.pulse(now, effects); // so that it hears us as early
                    }
                }
            }
            DaemonInput::Heart { module, message } => self.heart_said(now, &module, message, effects),
            DaemonInput::HeartGone { module, exit } => self.heart_gone(now, &module, exit, effects),
            DaemonInput::Control { ticket, module, command, by } => {
                self.control(now, ticket, &module, command, by, effects);
            }
            DaemonInput::Set { ticket, module, assignment } => self.set(ticket, &module, assignment, effects),
            DaemonInput::Errd { ticket, module, order, by } => self.errd(ticket, &module, order, by, effects),
            DaemonInput::Rfssync { ticket, module, policy } => self.rfssync(ticket, &module, policy, effects),
            DaemonInput::Reread { ticket, module } => self.reread(ticket, &module, effects),
            DaemonInput::Waitstate { ticket, module, state } => self.wait(ticket, module, Some(state), effects),
            DaemonInput::Waitstart { ticket, module } => self.wait(ticket, module, None, effects),
            DaemonInput::RfsFenced { module } => self.fencing_done(now, &module, |step| *step == Step::Rfs, effects),
            DaemonInput::VipsCleared { module } => self.fencing_done(now, &module, |step| *step == Step::Vips, effects),
            DaemonInput::ScriptEnded { module, run, script, outcome } => {
                if !outcome.is_success() {
                    let event = Event::ScriptEnded(script, outcome.clone());
                    effects.push(DaemonEffect::Log { module: Some(module.clone()), event });
                }
                if outcome == ScriptOutcome::TimedOut {
                    self.free_what_hangs(&module, run, effects);
                }
                self.fencing_done(now, &module, |step| step.is_script(run), effects);
            }
            DaemonInput::Killed { module } => self.fencing_done(now, &module, |step| *step == Step::Kill, effects),
            DaemonInput::RebootFailed { module, why } => self.reboot_failed(now, &module, &why, effects),
            DaemonInput::Timer => self.timer(now, effects),
            DaemonInput::Stalled { .. } => self.nodes.restart_silence(now),
            DaemonInput::ShutdownModules { ticket } => self.shutdown_modules(ticket, effects),
            DaemonInput::Shutdown => self.shutdown(effects),
        }
    }

    fn reconfigure(&mut self, config: DaemonConfig) {
        let others: Vec<NodeName> = config.nodes.iter().filter(|node| **node != config.me).cloned().collect();
        self.nodes.reconfigure(silence(&config), others);
        let configured = |name: &ModuleName| config.modules.iter().any(|module| module.module == *name);
        self.modules.retain(|name, module| configured(name) || module.life != Life::Stopped);
        for installed in &config.modules {
            self.modules.entry(installed.module.clone()).or_default().configure(installed);
        }
        self.config = config;
    }

    fn timer(&mut self, now: Instant, effects: &mut Vec<DaemonEffect>) {
        for node in self.nodes.tick(now) {
            self.tell_hearts(&node, effects);
        }
        let late: Vec<ModuleName> = self
            .modules
            .iter()
            .filter(|(_, module)| matches!(&module.life, Life::Fencing(fencing) if fencing.deadline <= now))
            .map(|(name, _)| name.clone())
            .collect();
        for module in late {
            self.fencing_late(now, &module, effects);
        }
        if self.next_pulse.is_some_and(|at| at <= now) {
            self.pulse(now, effects);
        }
    }

    /// Says everything to every node on every LAN, now.
    pub(super) fn pulse(&mut self, now: Instant, effects: &mut Vec<DaemonEffect>) {
        self.next_pulse = Some(now + self.config.pulse);
        self.tell_nodes(effects);
    }

    fn tell_nodes(&mut self, effects: &mut Vec<DaemonEffect>) {
        self.counter += 1;
        let frame = Membership {
            incarnation: self.incarnation,
            counter: self.counter,
            signature: self.config.signature.clone(),
            applied_us: self.config.applied_us,
            locked: self.config.locked,
            modules: self.modules.iter().map(|(name, module)| module.as_member(name)).collect(),
        };
        let body = frame.encode();
        for (to, _) in self.nodes.iter() {
            for lan in &self.config.lans {
                effects.push(DaemonEffect::SendMembership { to: to.clone(), lan: lan.clone(), body: body.clone() });
            }
        }
    }

    /// Passes on what `node` said (or that it is silent) to the hearts of the modules that it has too.
    fn tell_hearts(&mut self, node: &NodeName, effects: &mut Vec<DaemonEffect>) {
        let Some((_, view)) = self.nodes.iter().find(|(name, _)| *name == node) else {
            return;
        };
        let heard = view.heard();
        let same_configuration = view.last().is_some_and(|last| last.signature == self.config.signature);
        let theirs: Vec<MemberModule> = view.last().map(|last| last.modules.clone()).unwrap_or_default();
        self.tell_of_node(node, heard, same_configuration, &theirs, effects);
        for member in theirs {
            let Some(module) = self.modules.get_mut(&member.module) else { continue };
            let state = if heard { member.peer.state } else { ModuleState::Unknown };
            let peer = PeerModule { heard, state, fenced: member.peer.fenced };
            let news = module.peer.as_ref() != Some(&peer);
            module.peer = Some(peer.clone());
            if news && module.life == Life::Running {
                effects.push(DaemonEffect::ToHeart { module: member.module, message: DaemonToHeart::Peer(peer) });
            }
        }
    }

    /// Every heart hears of the node, also of modules that it doesn't have.
    fn tell_of_node(
        &mut self,
        node: &NodeName,
        heard: bool,
        same_configuration: bool,
        theirs: &[MemberModule],
        effects: &mut Vec<DaemonEffect>,
    ) {
        for (name, module) in &mut self.modules {
            let has_module = theirs.iter().any(|member| member.module == *name);
            let known = OtherNode { heard, same_configuration, has_module };
            let news = module.others.insert(node.clone(), known) != Some(known);
            if news && module.life == Life::Running {
                let message = DaemonToHeart::Node { name: node.clone(), node: known };
                effects.push(DaemonEffect::ToHeart { module: name.clone(), message });
            }
        }
    }

    fn heart_said(&mut self, now: Instant, name: &ModuleName, message: HeartToDaemon, effects: &mut Vec<DaemonEffect>) {
        let Some(module) = self.modules.get_mut(name) else { return };
        match message {
            HeartToDaemon::Status { incarnation, epoch, status } => {
                let first = module.heart != Some(incarnation);
                let changed = first || module.epoch != epoch || !module.shows(&status);
                module.follow(incarnation, epoch, status);
                effects.extend(module.starting.drain(..).map(|ticket| DaemonEffect::Answer { ticket, result: Ok(()) }));
                for (node, known) in module.others.iter().filter(|_| first) {
                    let message = DaemonToHeart::Node { name: node.clone(), node: *known };
                    effects.push(DaemonEffect::ToHeart { module: name.clone(), message });
                }
                if let (true, Some(peer)) = (first, module.peer.clone()) {
                    effects.push(DaemonEffect::ToHeart { module: name.clone(), message: DaemonToHeart::Peer(peer) });
                }
                if changed {
                    self.pulse(now, effects);
                }
            }
            HeartToDaemon::Answer { ticket, result } => {
                module.asked.retain(|asked| *asked != ticket);
                if let Some((_, command, by)) = module.start_asked.take_if(|(asked, ..)| *asked == ticket)
                    && result.is_ok()
                {
                    module.start_taken = Some((command, by));
                }
                effects.push(DaemonEffect::Answer { ticket, result });
            }
            HeartToDaemon::Stopped { restart, why, reboot } => {
                module.note_end(why);
                module.reboots = reboot;
                let taken = module.start_taken.take();
                module.restart = restart.map(|command| match taken {
                    Some((taken, by)) if taken == command => (command, by),
                    _ => (command, Caller::system()),
                });
            }
            HeartToDaemon::Bell => {} // the shell reads the ring
        }
    }

    fn heart_gone(&mut self, now: Instant, name: &ModuleName, exit: HeartExit, effects: &mut Vec<DaemonEffect>) {
        let Some(module) = self.modules.get_mut(name) else { return };
        if module.life != Life::Running {
            return;
        }
        let ended = match exit {
            HeartExit::Orderly => Ok(()),
            HeartExit::Died => Err("the module's heart died; 'holdfast log' says what happens now".to_owned()),
        };
        // It came too late for this heart: the next one is for it.
        let too_late = module.start_asked.take().filter(|_| exit == HeartExit::Orderly);
        module.restart = module.restart.take().or(too_late.map(|(_, command, by)| (command, by)));
        let asked = module.starting.drain(..).chain(module.asked.drain(..));
        effects.extend(asked.map(|ticket| DaemonEffect::Answer { ticket, result: ended.clone() }));
        match exit {
            HeartExit::Orderly => self.stopped(now, name, effects),
            HeartExit::Died => self.heart_died(now, name, effects),
        }
    }

    /// Nothing of the module runs here any more.
    pub(super) fn stopped(&mut self, now: Instant, name: &ModuleName, effects: &mut Vec<DaemonEffect>) {
        let closing = self.is_closing();
        let Some(module) = self.modules.get_mut(name) else { return };
        module.life = Life::Stopped;
        module.note_settings();
        module.status = None;
        if let Some((command, by)) = module.restart.take().filter(|_| !closing) {
            module.life = Life::Running;
            effects.push(DaemonEffect::SpawnHeart { module: name.clone(), first: command, by });
        } else if std::mem::take(&mut module.reboots) && !closing {
            effects.push(DaemonEffect::Reboot { module: name.clone() });
        }
        self.pulse(now, effects);
        self.close_next(effects);
    }

    /// The machine goes on: then a `stopstart` is what is left to do.
    fn reboot_failed(&mut self, now: Instant, name: &ModuleName, why: &str, effects: &mut Vec<DaemonEffect>) {
        let event = Event::NoAutomaticReboot(why.to_owned());
        effects.push(DaemonEffect::Log { module: Some(name.clone()), event });
        let closing = self.is_closing();
        let Some(module) = self.modules.get_mut(name).filter(|module| module.life == Life::Stopped && !closing) else {
            return;
        };
        module.life = Life::Running;
        let (first, by) = (Command::Start, Caller::system());
        effects.push(DaemonEffect::SpawnHeart { module: name.clone(), first, by });
        self.pulse(now, effects);
    }

    fn wait(
        &mut self,
        ticket: Ticket,
        module: ModuleName,
        state: Option<ModuleState>,
        effects: &mut Vec<DaemonEffect>,
    ) {
        if self.modules.contains_key(&module) {
            self.waiting.push(Waiting { ticket, module, state });
        } else {
            effects.push(DaemonEffect::Answer { ticket, result: Err(unknown(&module)) });
        }
    }

    fn control(
        &mut self,
        now: Instant,
        ticket: Ticket,
        name: &ModuleName,
        command: Command,
        by: Caller,
        effects: &mut Vec<DaemonEffect>,
    ) {
        let answer = |result| DaemonEffect::Answer { ticket, result };
        let closing = self.is_closing();
        let Some(module) = self.modules.get_mut(name) else {
            return effects.push(answer(Err(unknown(name))));
        };
        if let Some(mode) = module.mode().filter(|mode| !command.is_for(*mode)) {
            return effects.push(answer(Err(RefusedAction::OnlyMirror(mode).to_string())));
        }
        let starts = command.starts() || command == Command::Stopstart;
        let first = if command == Command::Stopstart { Command::Start } else { command };
        match (&module.life, starts) {
            (Life::Running, _) => {
                module.asked.push(ticket);
                module.start_asked = starts.then(|| (ticket, first, by.clone()));
                let message = DaemonToHeart::Control { ticket, command, by };
                effects.push(DaemonEffect::ToHeart { module: name.clone(), message });
            }
            (_, true) if closing => effects.push(answer(Err("all modules are being stopped".to_owned()))),
            (Life::Stopped, true) => {
                module.life = Life::Running;
                module.starting.push(ticket);
                effects.push(DaemonEffect::SpawnHeart { module: name.clone(), first, by });
                self.pulse(now, effects);
            }
            (Life::Fencing(_), true) => {
                module.restart = Some((first, by));
                effects.push(answer(Ok(())));
            }
            (_, false) if matches!(command, Command::CheckerOn | Command::CheckerOff) => {
                // Kept by whoever took the command.
                module.choose_checking(command == Command::CheckerOn);
                effects.push(answer(Ok(())));
            }
            // There is nothing to count, and a restart that is under way goes on.
            (_, false) if matches!(command, Command::Incloop | Command::Checkloop | Command::Resetloop) => {
                effects.push(answer(Ok(())));
            }
            (_, false) if !matches!(command, Command::Stop | Command::Forcestop | Command::Shutdown) => {
                let text = format!("the module is STOP on this node; 'holdfast start -m {name}' starts it");
                effects.push(answer(Err(text)));
            }
            (_, false) => {
                module.restart = None;
                effects.push(answer(Ok(())));
            }
        }
    }

    /// A module has resources while its heart lives.
    fn set(&mut self, ticket: Ticket, name: &ModuleName, assignment: Assignment, effects: &mut Vec<DaemonEffect>) {
        let refused = match self.modules.get_mut(name) {
            None => unknown(name),
            Some(module) if module.life == Life::Running => {
                module.asked.push(ticket);
                let message = DaemonToHeart::Set { ticket, assignment };
                return effects.push(DaemonEffect::ToHeart { module: name.clone(), message });
            }
            Some(_) => format!("{name} is stopped on this node: it has no resources before 'holdfast start -m {name}'"),
        };
        effects.push(DaemonEffect::Answer { ticket, result: Err(refused) });
    }

    /// Processes are watched while the heart lives; what is said for later is on the disk already.
    fn errd(
        &mut self,
        ticket: Ticket,
        name: &ModuleName,
        order: ErrdOrder,
        by: Caller,
        effects: &mut Vec<DaemonEffect>,
    ) {
        let result = match self.modules.get_mut(name) {
            None => Err(unknown(name)),
            Some(module) if module.life == Life::Running => {
                module.asked.push(ticket);
                let message = DaemonToHeart::Errd { ticket, order, by };
                return effects.push(DaemonEffect::ToHeart { module: name.clone(), message });
            }
            Some(_) if order.is_kept() => Ok(()),
            Some(_) => Err(format!(
                "{name} is stopped on this node: nothing is watched before 'holdfast start -m {name}' ('errd off' keeps it so after the start)"
            )),
        };
        effects.push(DaemonEffect::Answer { ticket, result });
    }

    /// A heart that isn't there reads what was chosen at its start.
    fn rfssync(&mut self, ticket: Ticket, name: &ModuleName, policy: SyncPolicy, effects: &mut Vec<DaemonEffect>) {
        let result = match self.modules.get_mut(name) {
            None => Err(unknown(name)),
            Some(module) if module.life == Life::Running => {
                module.asked.push(ticket);
                let message = DaemonToHeart::Rfssync { ticket, policy };
                return effects.push(DaemonEffect::ToHeart { module: name.clone(), message });
            }
            Some(_) => Ok(()),
        };
        effects.push(DaemonEffect::Answer { ticket, result });
    }

    /// A heart that isn't there reads at its start.
    fn reread(&mut self, ticket: Ticket, name: &ModuleName, effects: &mut Vec<DaemonEffect>) {
        match self.modules.get_mut(name) {
            Some(module) if module.life == Life::Running => {
                module.asked.push(ticket);
                let message = DaemonToHeart::Reread { ticket: Some(ticket) };
                effects.push(DaemonEffect::ToHeart { module: name.clone(), message });
            }
            _ => effects.push(DaemonEffect::Answer { ticket, result: Ok(()) }),
        }
    }

    /// After every input: answers whoever waited for this state, and publishes what changed.
    fn settle(&mut self, effects: &mut Vec<DaemonEffect>) {
        let modules = &self.modules;
        self.waiting.retain(|waiting| {
            let module = modules.get(&waiting.module);
            let result = match waiting.state {
                Some(state) => module.is_some_and(|module| module.is_stable(state)).then_some(Ok(())),
                None => module.and_then(|module| module.started(&waiting.module)),
            };
            let over = result.is_some();
            effects.extend(result.map(|result| DaemonEffect::Answer { ticket: waiting.ticket, result }));
            !over
        });
        debug_assert_eq!(self.is_published(), self.status() == self.published, "one says otherwise than the other");
        if !self.is_published() {
            let status = self.status();
            effects.push(DaemonEffect::Publish { modules: status.modules.clone(), nodes: status.nodes.clone() });
            self.published = status;
        }
    }
}

/// Silence after which a node counts as not heard (reference 004, 12.1.3: `slost_count` periods).
fn silence(config: &DaemonConfig) -> Duration {
    config.pulse * config.slost_count.max(1)
}

fn unknown(module: &ModuleName) -> String {
    format!(
        "no module {module} is configured on this node: run 'holdfast module install' and 'holdfast config -m {module}'"
    )
}

/// The grant that ends with a heart; none was known if it never said.
pub(super) const NO_EPOCH: Epoch = Epoch(0);
