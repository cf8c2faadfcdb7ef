//! One seed from its first power-on to its verdict.

use crate::bugs::Bug;
use crate::clock::{MS, SEC, Time, nanos};
use crate::event::Event;
use crate::facts::Fact;
use crate::faults::{Class, Fault, Kind, plan};
use crate::invariants;
use crate::rng::Rng;
use crate::setup::class_of;
use crate::trace::Trace;
use crate::world::{Stats, Violation, World};
use hf_types::{Colour, ModuleState};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Length of the time with faults, counted in operations that a client would give.
    pub ops: u64,
    pub faults: Vec<Class>,
    /// These faults and no others, for a scenario.
    pub exactly: Option<Vec<Fault>>,
    pub bug: Option<Bug>,
    /// The module has a witness, which one node reaches also while the network lies between both. With all classes of faults some seeds
    /// have one anyway.
    pub witness: bool,
    /// A light module. With all classes of faults some seeds have one anyway.
    pub light: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { ops: 1000, faults: Class::ALL.to_vec(), exactly: None, bug: None, witness: false, light: false }
    }
}

/// The heartbeat time-out that a seed draws, for what is measured by it.
pub fn timeout_of(seed: u64) -> Time {
    nanos(World::new(seed, Trace::new(false, false), None).setup.timeout)
}

/// A seed that failed, with its history.
#[derive(Clone, Debug)]
pub struct Failure {
    pub seed: u64,
    pub violation: Violation,
    pub history: String,
}

/// Runs a seed; a failing one is run again with its history on.
///
/// # Errors
/// The violation, with the last events before it.
pub fn run(seed: u64, options: &Options) -> Result<Stats, Box<Failure>> {
    let outcome = catch_unwind(AssertUnwindSafe(|| once(seed, options, Trace::new(false, false))));
    if let Ok((None, world)) = outcome {
        return Ok(world.stats);
    }
    Err(Box::new(explain(seed, options, false)))
}

/// Runs a seed with its history on, the whole of it if `all`.
pub fn explain(seed: u64, options: &Options, all: bool) -> Failure {
    let shared = std::rc::Rc::new(std::cell::RefCell::new(String::new()));
    let inner = shared.clone();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let (violation, world) = once(seed, options, Trace::new(true, all));
        *inner.borrow_mut() = world.trace.render();
        violation
    }));
    let violation = match outcome {
        Ok(Some(violation)) => violation,
        Ok(None) => Violation { invariant: "none", what: "nothing was violated".to_owned(), at: 0 },
        Err(panic) => Violation { invariant: "no_actor_panics", what: panic_text(&panic), at: 0 },
    };
    let history = shared.borrow().clone();
    Failure { seed, violation, history }
}

fn panic_text(panic: &Box<dyn std::any::Any + Send>) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
        .unwrap_or_else(|| "a panic without a text".to_owned())
}

fn once(seed: u64, options: &Options, trace: Trace) -> (Option<Violation>, World) {
    let mut world = World::new(seed, trace, options.bug);
    let mut of_all = Rng::new(seed, 8);
    let [light, witness] = [40, 150].map(|permille| of_all.chance(permille) && options.faults == Class::ALL);
    world.setup.light = options.light || light;
    world.setup.farm = world.setup.light && seed % 2 == 1;
    world.setup.witness =
        (options.witness || witness).then_some((seed / 4 % 2) as usize).filter(|_| !world.setup.light);
    let mut dice = Rng::new(seed, 7);
    let early = dice.chance(200);
    let begin = if early { SEC } else { 15 * SEC };
    let end = begin + options.ops * 100 * MS;
    let planned = plan(&mut dice, &options.faults, world.setup.lans.len(), begin, end);
    world.faults = options.exactly.clone().unwrap_or(planned);
    let some = |wanted: fn(&Kind) -> bool| world.faults.iter().any(|fault| wanted(&fault.kind));
    let checked = some(|kind| matches!(kind, Kind::ResourceDown { .. }));
    let watched = some(|kind| matches!(kind, Kind::ProcessEnds { .. }));
    (world.setup.checked, world.setup.watched) = (checked, watched);
    let setup = format!("{:?}", world.setup);
    world.note(None, || format!("seed {seed}: {setup}"));
    world.admin.busy = options.faults.contains(&Class::Admin) && dice.chance(500);
    for n in 0..world.faults.len() {
        world.schedule(world.faults[n].at, Event::FaultBegins(n));
    }
    for node in 0..2 {
        let after = dice.below(SEC);
        world.schedule(after, Event::PowerOn { node });
    }
    world.schedule(SEC, Event::Watch);
    world.schedule(SEC, Event::Client);
    world.run_until(end);
    calm_down(&mut world);
    come_to_rest(&mut world);
    world.stats.end = world.now;
    (world.violation.clone(), world)
}

/// Ends every fault.
fn calm_down(world: &mut World) {
    world.calm = true;
    world.note(None, || "the faults are over".to_owned());
    for n in 0..world.faults.len() {
        let fault = &world.faults[n];
        if fault.at <= world.now && fault.at + fault.lasts > world.now {
            world.fault_ends(n);
        }
    }
    for node in 0..2 {
        world.thaw(node);
        world.power_on(node);
    }
}

/// Waits until both nodes are in step and stay so without clients, and looks at what they hold.
fn come_to_rest(world: &mut World) {
    let began = world.now;
    let limit = began + 200 * SEC + 6 * world.patience();
    let mut good_since: Option<Time> = None;
    while world.violation.is_none() {
        world.run_until(world.now + 100 * MS);
        let now = world.now;
        good_since = if in_step(world) { good_since.or(Some(now)) } else { None };
        let good_for = good_since.map_or(0, |since| now - since);
        if good_for > 3 * SEC {
            world.stop_clients();
        }
        let waiting = world.nodes.iter().any(|node| !node.mount.pending.is_empty());
        if good_for > 7 * SEC && !waiting {
            world.fact(Fact::AtRest);
            processes_run(world);
            let equal = if world.setup.light { Ok(()) } else { invariants::equal_at_rest(&world.nodes) };
            if let Err(what) = equal {
                world.violate("reaches_prim_second", what);
            }
            return;
        }
        if now > limit {
            let states = [0, 1].map(|n| world.nodes[n].module_state());
            let waited = (now - began) / SEC;
            let waiting = world.nodes.each_ref().map(|node| node.mount.pending.len());
            let what =
                format!("not at rest {waited} s after the faults: {states:?}, operations that wait: {waiting:?}");
            world.violate("reaches_prim_second", what);
        }
    }
}

/// What errd watches where the application runs is there again.
fn processes_run(world: &mut World) {
    for node in 0..2 {
        let primary = matches!(world.nodes[node].module_state().0, ModuleState::Alone | ModuleState::Prim);
        let ended = world.nodes[node].ended.iter().find(|name| primary || class_of(name) == "both");
        if let Some(name) = ended.filter(|_| world.setup.watched) {
            let what = format!("the process {name} of node{} ended, and nobody started it again", node + 1);
            world.violate("reaches_prim_second", what);
        }
    }
}

fn in_step(world: &World) -> bool {
    let states = [0, 1].map(|n| world.nodes[n].module_state());
    if world.setup.light {
        return states == [(ModuleState::Up, Colour::Green); 2];
    }
    let green = |n: usize, state: ModuleState| states[n] == (state, Colour::Green);
    (green(0, ModuleState::Prim) && green(1, ModuleState::Second))
        || (green(1, ModuleState::Prim) && green(0, ModuleState::Second))
}
