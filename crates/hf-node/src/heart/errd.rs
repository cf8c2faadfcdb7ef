//! Processes that are watched (reference 004, 13.9): classes follow the scripts, faults become a detector's commands, as those of failover
//! rules do.

mod watch;

use super::actor::{HeartActor, Out, log};
use super::{HeartConfig, HeartEffect};
use hf_config::{Proc, ProcAction};
use hf_module::{Part, Step};
use hf_types::{
    Caller, Colour, Command, ErrdOrder, Event, ModuleState, ProcCount, ProcFault, ResourceValue, RunId, ScriptOutcome,
    Ticket,
};
use serde::Serialize;
use std::collections::BTreeMap;
use watch::{Condition, Listed, Watch};

/// The detector's name in "Action restart called by errd".
const ERRD: &str = "errd";
/// The class that is watched from prestart to poststop.
const PRE: &str = "pre";
const SETTING: &str = "usersetting.errd";

/// What is watched, and which programs of a `<proc>` run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Errd {
    watch: Watch,
    /// It may differ from what the resources show.
    unshown: bool,
    /// Each with the `<proc>` whose program it is.
    handlers: BTreeMap<RunId, String>,
    /// The services that the scripts of this restart are told (`restart_services`).
    services: Vec<String>,
}

impl HeartActor {
    /// At the start of a heart.
    pub(super) fn begin_errd(&mut self) {
        self.errd.unshown = true;
        self.errd.watch.suspend(self.config.errd_off, said(&self.config), self.now);
    }

    /// Looks when it is time, shows what was found, acts on it; true if something was done.
    pub(super) fn tend_errd(&mut self, out: &mut Out) -> bool {
        if self.config.errd.is_some() {
            self.enable_parts();
        }
        self.show_errd(out);
        let errd = said(&self.config);
        if let Some((look, names)) = self.errd.watch.look(errd, self.now) {
            out.push(HeartEffect::LookAtProcesses { look, names });
        }
        let worst = self.errd.watch.worst(errd, |proc| self.can_act(&proc.action));
        let Some((proc, fault)) = worst else {
            return false;
        };
        self.act_on(&proc.clone(), fault, out);
        true
    }

    pub(super) fn errd_due(&self) -> Option<hf_types::Instant> {
        self.errd.watch.due()
    }

    pub(super) fn on_processes(&mut self, look: u64, counts: &[ProcCount]) {
        self.errd.unshown |= self.errd.watch.take(look, counts, said(&self.config), self.now);
    }

    /// Another configuration: what goes from it is watched no more.
    pub(super) fn on_errd_configured(&mut self, before: Option<&hf_config::Errd>, out: &mut Out) {
        self.errd.unshown = true;
        self.errd.watch.configure(said(&self.config), self.now);
        let kept: Vec<String> = said(&self.config).procs.iter().map(Proc::resource).collect();
        let gone = before.iter().flat_map(|errd| &errd.procs).map(Proc::resource).filter(|name| !kept.contains(name));
        gone.for_each(|name| self.drop_resource(&name, out));
    }

    fn show_errd(&mut self, out: &mut Out) {
        if !std::mem::take(&mut self.errd.unshown) {
            return;
        }
        let on = if self.errd.watch.is_suspended() { "off" } else { "on" };
        self.set_resource(SETTING, ResourceValue::Text(on.to_owned()), ERRD, false, out);
        let shown = |proc: &Proc| (proc.resource(), value(self.errd.watch.condition(&proc.name)));
        let values: Vec<(String, ResourceValue)> = said(&self.config).procs.iter().map(shown).collect();
        for (name, value) in values {
            self.set_resource(&name, value, ERRD, false, out);
        }
    }

    // ---- what follows from a fault ---------------------------------------------------------------------------------

    /// Nothing is done while scripts run: what they stop and start is their business.
    fn can_act(&self, action: &ProcAction) -> bool {
        let idle = self.plan.is_none() && self.next_plan.is_none() && self.state() != ModuleState::Stop;
        match action {
            ProcAction::Restart => idle && self.why_refused(Command::Restart).is_none(),
            ProcAction::Stop | ProcAction::Stopstart | ProcAction::Handler(_) | ProcAction::NoAction => idle,
        }
    }

    /// "event atleast on proc appli", "Action restart called by errd" (reference 004, 4.4.1).
    fn act_on(&mut self, proc: &Proc, fault: ProcFault, out: &mut Out) {
        log(out, Event::ProcFault { fault, name: proc.name.clone() });
        self.errd.watch.acted(&proc.name);
        match &proc.action {
            ProcAction::NoAction => {}
            ProcAction::Stop => {
                self.because = Some(self.why_stopped(proc, fault));
                self.order_by_errd(Command::Stop, out);
            }
            ProcAction::Stopstart => self.order_by_errd(Command::Stopstart, out),
            ProcAction::Restart => {
                self.order_by_errd(Command::Restart, out);
                self.errd.services = proc.restart_services.clone();
                // A class that the scripts don't begin anew is judged again all the same.
                self.watch_anew(&proc.name);
            }
            ProcAction::Handler(handler) => {
                log(out, Event::HandlerCalled(handler.clone()));
                let run = self.scripts.next_run();
                self.errd.handlers.insert(run, proc.name.clone());
                out.push(HeartEffect::RunHandler { run, handler: handler.clone() });
            }
        }
    }

    fn order_by_errd(&mut self, command: Command, out: &mut Out) {
        // What keeps it from being carried out is logged, and was asked before.
        let _refused = self.on_command(command, Caller::detector(ERRD), out);
    }

    fn why_stopped(&self, proc: &Proc, fault: ProcFault) -> String {
        let many = if fault == ProcFault::AtLeast { "few" } else { "many" };
        let (name, module) = (&proc.name, &self.config.module);
        format!(
            "Too {many} processes of {name} run, and its action is stop: find out why, then 'holdfast start -m {module}'"
        )
    }

    /// A program of a `<proc>`: what it restarted is watched anew, and if it failed the module is restarted (13.9.3).
    pub(super) fn on_handler_ended(&mut self, run: RunId, outcome: &ScriptOutcome, out: &mut Out) {
        let Some(name) = self.errd.handlers.remove(&run) else {
            return;
        };
        if *outcome == ScriptOutcome::Exited(0) {
            self.watch_anew(&name);
            return;
        }
        let handler = said(&self.config).procs.iter().find(|proc| proc.name == name);
        if let Some(ProcAction::Handler(handler)) = handler.map(|proc| proc.action.clone()) {
            log(out, Event::HandlerEnded(handler, outcome.clone()));
        }
        self.order_by_errd(Command::Stopstart, out);
    }

    fn watch_anew(&mut self, name: &str) {
        self.errd.unshown = true;
        self.errd.watch.begin_anew(name, self.now);
    }

    /// The arguments that the scripts of this restart get beside the usual ones.
    pub(super) fn services_to_restart(&self) -> Vec<String> {
        match &self.errd.services[..] {
            [] => Vec::new(),
            some => vec!["-Services".to_owned(), some.join(",")],
        }
    }

    // ---- classes follow the scripts --------------------------------------------------------------------------------

    /// Once the scripts of a state have ended and the module is green, what runs in it is watched, whether it has a script or not.
    fn enable_parts(&mut self) {
        let state = self.state();
        let settled = self.plan.is_none() && self.next_plan.is_none() && self.colour() == Colour::Green;
        let runs = |part: &Part| part.runs_in(state) && (self.scripts.runs(*part) || !self.has_part(*part));
        let new = |part: &Part| settled && !self.errd.watch.is_enabled(class(*part)) && runs(part);
        for part in Part::START_ORDER.into_iter().filter(new).collect::<Vec<_>>() {
            self.enable_class(class(part));
        }
    }

    /// Before a stop script, whether it runs or not.
    pub(super) fn disable_before(&mut self, step: Step) {
        match step {
            Step::Stop(part) | Step::StopForce(part) => self.disable_class(class(part)),
            Step::Poststop => self.disable_class(PRE),
            _ => {}
        }
    }

    /// Prestart has ended.
    pub(super) fn enable_pre(&mut self) {
        self.enable_class(PRE);
    }

    fn enable_class(&mut self, class: &str) {
        self.errd.unshown = true;
        self.errd.watch.enable(class, said(&self.config), self.now);
    }

    fn disable_class(&mut self, class: &str) {
        self.errd.unshown = true;
        self.errd.watch.disable(class, said(&self.config), self.now);
    }

    /// The module leaves for WAIT or STOP: nothing of the application is left to be watched, whatever its scripts forget to say.
    pub(super) fn watch_application_no_more(&mut self) {
        self.errd.unshown = true;
        self.errd.watch.disable_all_but(PRE, said(&self.config), self.now);
    }

    /// Another change begins: what a program of a `<proc>` would still start would be started behind its back.
    pub(super) fn end_handlers(&mut self, out: &mut Out) {
        let runs = std::mem::take(&mut self.errd.handlers).into_keys();
        out.extend(runs.map(|run| HeartEffect::KillScript { run }));
    }

    /// A plan ended or was replaced.
    pub(super) fn forget_services(&mut self) {
        self.errd.services.clear();
    }

    // ---- commands --------------------------------------------------------------------------------------------------

    pub(super) fn on_errd(&mut self, ticket: Ticket, order: ErrdOrder, by: Caller, out: &mut Out) {
        if let ErrdOrder::Enable(class) | ErrdOrder::Disable(class) = &order
            && !said(&self.config).procs.iter().any(|proc| proc.class == *class)
        {
            let result = Err(self.no_class(class));
            return out.push(HeartEffect::Answer { ticket, result });
        }
        if order == ErrdOrder::List {
            let lines = self.errd.watch.list(said(&self.config)).iter().map(line).collect();
            return out.push(HeartEffect::ListProcesses { ticket, lines });
        }
        match &order {
            ErrdOrder::Suspend | ErrdOrder::Off => self.suspend_errd(true),
            ErrdOrder::Resume | ErrdOrder::On => self.suspend_errd(false),
            ErrdOrder::Enable(class) => self.enable_class(class),
            ErrdOrder::Disable(class) => self.disable_class(class),
            ErrdOrder::List => {}
        }
        out.push(match order.off() {
            Some(off) => HeartEffect::KeepErrdOff { ticket, off },
            None => HeartEffect::Answer { ticket, result: Ok(()) },
        });
        log(out, Event::ErrdCalled { order, by });
    }

    fn suspend_errd(&mut self, suspended: bool) {
        self.errd.unshown = true;
        self.errd.watch.suspend(suspended, said(&self.config), self.now);
    }

    fn no_class(&self, class: &str) -> String {
        let module = &self.config.module;
        let mut known: Vec<&str> = said(&self.config).procs.iter().map(|proc| proc.class.as_str()).collect();
        known.sort_unstable();
        known.dedup();
        match &known[..] {
            [] => format!("{module} watches no processes: its userconfig.xml has no <errd>"),
            known => format!("no <proc> of {module} has the class {class}; there are {}", known.join(", ")),
        }
    }
}

/// What `<errd>` says; nothing is watched without it.
fn said(config: &HeartConfig) -> &hf_config::Errd {
    static NONE: hf_config::Errd = hf_config::Errd { poll_ms: 0, procs: Vec::new() };
    config.errd.as_ref().unwrap_or(&NONE)
}

/// What the classes of the guide are called.
fn class(part: Part) -> &'static str {
    match part {
        Part::Both => "both",
        Part::Prim => "prim",
        Part::Second => "second",
        Part::Sec => "sec",
    }
}

fn value(condition: Condition) -> ResourceValue {
    match condition {
        Condition::Open => ResourceValue::Init,
        Condition::Good => ResourceValue::Up,
        Condition::Bad(_) => ResourceValue::Down,
    }
}

/// `name class=prim enabled=yes running=2 resource=up action=restart`.
fn line(listed: &Listed) -> (String, String) {
    let Listed { proc, enabled, count, condition } = listed;
    let action = match &proc.action {
        ProcAction::Restart => "restart",
        ProcAction::Stopstart => "stopstart",
        ProcAction::Stop => "stop",
        ProcAction::NoAction => "noaction",
        ProcAction::Handler(handler) => handler,
    };
    let enabled = if *enabled { "enabled" } else { "disabled" };
    let running = count.map_or_else(|| "not looked at".to_owned(), |count| format!("{count} running"));
    let text = format!("class={} ({enabled}) action={action} {} ({running})", proc.class, value(*condition));
    (proc.name.clone(), text)
}
