//! The module's failover rules (reference 004, 13.18; docs/internals/rules.md). What follows from them is carried out as a
//! detector's command: there is one way to restart a module, and one place that counts.

use super::actor::{HeartActor, Out, log};
use hf_module::Place;
use hf_rules::{Action as RuleAction, Facts, Side, Truth, Watch, Word};
use hf_types::catalogue::Class;
use hf_types::{Action, Assignment, Caller, Colour, Command, Event, History, Instant, ModuleState, ResourceValue};
use hf_wire::heartbeat::Told;
use serde::Serialize;

/// What the rules came to when they were last looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Rules {
    watch: Watch,
    /// The rule with `wait()` that holds.
    wait: Option<String>,
    /// The rule with `wakeup()` that holds.
    wakeup: Option<String>,
    /// The rule that keeps the module in WAIT (red).
    pub(super) held: Option<String>,
    /// When a rule that holds will be due.
    pub(super) next: Option<Instant>,
}

impl Rules {
    /// Nobody looked meanwhile, and what is known of resources is old: no condition was seen to hold all that time.
    pub(super) fn stood_still(&mut self) {
        self.watch.begin_anew();
    }
}

/// What is done because of a rule.
enum Consequence {
    Command(Command, String),
    Assign(Assignment),
}

impl HeartActor {
    /// Looks at every rule; true if something was done because of one.
    pub(super) fn look_at_rules(&mut self, out: &mut Out) -> bool {
        if self.config.rules.is_empty() || self.state() == ModuleState::Stop {
            return false;
        }
        let mut watch = std::mem::take(&mut self.rules.watch);
        let facts = View { heart: self };
        let verdict = watch.look(self.now, &self.config.rules, &facts, &|action| self.can_do(action));
        let label = |rule: &hf_rules::Rule| rule.label.clone();
        let (wait, wakeup, next) = (verdict.wait.map(label), verdict.wakeup.map(label), verdict.next);
        let changed = verdict.changed;
        let mut consequences: Vec<Consequence> = Vec::new();
        for (rule, resource, word) in &verdict.assign {
            consequences.extend(self.assignment(&rule.label, resource, *word).map(Consequence::Assign));
        }
        if let Some(rule) = verdict.act
            && let Some(command) = command_of(&rule.action)
            && !self.stays_to_take_over(rule, &watch)
        {
            consequences.push(Consequence::Command(command, rule.label.clone()));
        }
        self.rules = Rules { watch, wait, wakeup, held: self.rules.held.take(), next };
        if changed {
            self.show_rules(out);
        }
        let mut done = false;
        for consequence in consequences {
            done |= self.carry_out(consequence, out);
        }
        done
    }

    fn carry_out(&mut self, consequence: Consequence, out: &mut Out) -> bool {
        match consequence {
            Consequence::Assign(assignment) => self.on_set(assignment, out).is_ok(),
            Consequence::Command(command, label) => {
                self.rules.watch.begin_anew();
                self.on_command(command, Caller::rule(&label), out).is_ok()
            }
        }
    }

    /// None if the resource has the value already.
    fn assignment(&self, label: &str, resource: &str, word: Word) -> Option<Assignment> {
        let (name, value) = (resource.parse().ok()?, word.value());
        let by = format!("failover rule {label}");
        let same = self.resources.now.get(resource).is_some_and(|now| now.value == value);
        (!same).then_some(Assignment { name, value, by, history: History::Changes })
    }

    /// Whether an action could be applied now (docs/internals/rules.md, "When an action follows").
    fn can_do(&self, action: &RuleAction) -> bool {
        let state = self.state();
        let active = state.runs_application() || state == ModuleState::Second;
        let settled = self.colour() == Colour::Green && self.plan.is_none();
        match action {
            RuleAction::Stop => !self.is_stopping(),
            RuleAction::Wait => active && !self.is_stopping() && !self.is_taking_role(),
            RuleAction::Stopstart => active && settled,
            RuleAction::Restart => state.runs_application() && self.why_refused(Command::Restart).is_none(),
            RuleAction::Swap => state == ModuleState::Prim && self.why_refused(Command::Swap).is_none(),
            RuleAction::Wakeup | RuleAction::Assign { .. } => true,
        }
    }

    /// "Action restart from failover rule tcp_failure" and "Transition RESTART ..." (reference 004, 4.4).
    pub(super) fn log_rule(&self, command: Command, rule: &str, out: &mut Out) {
        let (action, transition) = match command {
            Command::Stopwait => ("wait", "WAIT_TR".to_owned()),
            other => (other.as_str(), other.as_str().to_uppercase()),
        };
        log(out, Event::ActionFromRule { action: action.to_owned(), rule: rule.to_owned() });
        log(out, Event::Transition { to: transition, from: format!("failover rule {rule}") });
    }

    /// Each rule that has something to look at, as a resource: up if it holds.
    fn show_rules(&mut self, out: &mut Out) {
        let worth: Vec<(String, Truth)> =
            self.rules.watch.worth().map(|(label, worth)| (format!("rule.{label}"), worth)).collect();
        for (name, worth) in worth {
            let value = match worth {
                Truth::True => ResourceValue::Up,
                Truth::False => ResourceValue::Down,
                Truth::Open => ResourceValue::Init,
            };
            self.set_resource(&name, value, "heart", false, out);
        }
    }

    // ---- in WAIT ---------------------------------------------------------------------------------------------------

    pub(super) fn is_held_by_rule(&self) -> bool {
        self.rules.wait.is_some()
    }

    /// WAIT (red), as long as a rule with `wait()` holds.
    pub(super) fn stay_by_rule(&mut self, out: &mut Out) -> bool {
        let Some(rule) = self.rules.wait.clone() else {
            return false;
        };
        if self.rules.held.as_ref() == Some(&rule) && self.colour() == Colour::Red {
            return false;
        }
        let said = self.staying.as_ref().and_then(Caller::as_rule) == Some(&rule);
        if !said && self.rules.held.as_ref() != Some(&rule) {
            log(out, Event::ActionFromRule { action: "wait".to_owned(), rule: rule.clone() });
        }
        self.held = None;
        self.asking = None;
        self.why = Some(format!("waits because of the failover rule {rule}: {}", self.condition_of(&rule)));
        self.rules.held = Some(rule);
        if self.colour() != Colour::Red {
            self.go(Place::HELD, Action::Stopwait, out);
        }
        true
    }

    fn condition_of(&self, label: &str) -> String {
        let found = self.config.rules.iter().find(|(_, rule)| rule.label == label);
        found.map_or_else(String::new, |(_, rule)| rule.condition.to_string())
    }

    /// No rule wants the module to wait any more.
    pub(super) fn go_on_from_rule(&mut self, out: &mut Out) {
        self.staying = None;
        self.rules.held = None;
        self.why = None;
        self.waiting_since = self.now;
        let rule = self.rules.wakeup.as_deref().unwrap_or("Implicit_WAKEUP");
        log(out, Event::Transition { to: "WAKEUP".to_owned(), from: format!("failover rule {rule}") });
        if self.colour() == Colour::Red {
            self.go(Place::STARTING, Action::Start, out);
        }
    }

    // ---- the other node's resources --------------------------------------------------------------------------------

    /// What the other node's rules may ask for.
    pub(super) fn tell_resources(&self) -> Option<Told> {
        if self.config.told.is_empty() {
            return None;
        }
        let values = self.config.told.iter().map(|name| code(self.resources.now.get(name).map(|it| &it.value)));
        Some(Told { list: checksum(&self.config.told), values: values.collect() })
    }

    /// What the other node tells of its resources: nothing while it isn't heard, or has other rules.
    fn told_by_peer(&self) -> Option<&Told> {
        let told = self.heard_peer().and_then(|peer| peer.told.as_ref())?;
        (told.list == checksum(&self.config.told)).then_some(told)
    }
}

/// The command that an action is.
fn command_of(action: &RuleAction) -> Option<Command> {
    match action {
        RuleAction::Stop => Some(Command::Stop),
        RuleAction::Wait => Some(Command::Stopwait),
        RuleAction::Stopstart => Some(Command::Stopstart),
        RuleAction::Restart => Some(Command::Restart),
        RuleAction::Swap => Some(Command::Swap),
        RuleAction::Wakeup | RuleAction::Assign { .. } => None,
    }
}

/// The heart's resources as rules see them.
struct View<'h> {
    heart: &'h HeartActor,
}

impl Facts for View<'_> {
    fn value(&self, side: Side, name: &str) -> Option<ResourceValue> {
        match side {
            Side::Local => self.heart.resources.now.get(name).map(|resource| resource.value.clone()),
            Side::Remote => {
                let at = self.heart.config.told.iter().position(|told| told == name)?;
                self.heart.told_by_peer()?.values.get(at).copied().and_then(value)
            }
        }
    }

    fn of_class(&self, side: Side, class: Class) -> Vec<(String, ResourceValue)> {
        let of_class = |name: &&String| Class::of_name(name) == Some(class);
        let names: Vec<&String> = match side {
            Side::Local => self.heart.resources.now.keys().filter(of_class).collect(),
            Side::Remote => self.heart.config.told.iter().filter(of_class).collect(),
        };
        let unknown = ResourceValue::Unknown;
        names.into_iter().map(|name| (name.clone(), self.value(side, name).unwrap_or(unknown.clone()))).collect()
    }

    /// The other node of this module is the part of the cluster that a heart hears of.
    fn cluster(&self) -> ResourceValue {
        match &self.heart.daemon_peer {
            None => ResourceValue::Init,
            Some(peer) if peer.heard => ResourceValue::Up,
            Some(_) => ResourceValue::Down,
        }
    }
}

fn code(value: Option<&ResourceValue>) -> u8 {
    match value {
        None | Some(ResourceValue::Init) => 1,
        Some(ResourceValue::Up) => 2,
        Some(ResourceValue::Down) => 3,
        Some(ResourceValue::Unknown) => 4,
        Some(ResourceValue::Inactive) => 5,
        Some(ResourceValue::Text(text)) if text == "on" => 6,
        Some(ResourceValue::Text(text)) if text == "off" => 7,
        Some(ResourceValue::Text(_)) => 8,
    }
}

/// None: a code of a later version.
fn value(code: u8) -> Option<ResourceValue> {
    match code {
        1 => Some(ResourceValue::Init),
        2 => Some(ResourceValue::Up),
        3 => Some(ResourceValue::Down),
        4 => Some(ResourceValue::Unknown),
        5 => Some(ResourceValue::Inactive),
        6 => Some(ResourceValue::Text("on".to_owned())),
        7 => Some(ResourceValue::Text("off".to_owned())),
        8 => Some(ResourceValue::Text(String::new())),
        _ => None,
    }
}

/// FNV-1a over the names: it only has to tell two configurations apart.
fn checksum(names: &[String]) -> u32 {
    let bytes = names.iter().flat_map(|name| name.bytes().chain([b'\n']));
    bytes.fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
