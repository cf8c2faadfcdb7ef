use super::*;
use hf_types::*;
use hf_wire::bus::{DaemonToHeart, Fenced, HeartToDaemon, ModuleStatus};
use hf_wire::membership::Membership;
use std::time::Duration;

fn name<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().unwrap()
}

fn config(me: &str) -> DaemonConfig {
    DaemonConfig {
        me: name(me),
        nodes: vec![name("n1"), name("n2")],
        lans: vec![name("a"), name("b")],
        pulse: Duration::from_secs(1),
        mlost_count: 3,
        slost_count: 3,
        signature: "s".to_owned(),
        applied_us: 1,
        locked: false,
        modules: vec![InstalledModule {
            module: name("pg"),
            id: 1,
            mode: hf_types::Mode::Mirror,
            nice_stop_timeout: Duration::from_secs(300),
            force_stop_timeout: Duration::from_secs(300),
            replicates: true,
            signature: String::new(),
            applied_s: 1,
            boot_delay: Duration::ZERO,
            boot: "off".to_owned(),
            checking: true,
        }],
    }
}

fn at(ms: u64) -> Instant {
    Instant(ms * 1_000_000)
}

struct Node(DaemonActor, u64);

impl Node {
    fn started() -> Node {
        let mut node = Node(DaemonActor::new(config("n1")), 0);
        node.input(DaemonInput::Started { incarnation: Incarnation(7), adopted: Vec::new() });
        node
    }

    fn input(&mut self, input: DaemonInput) -> Vec<DaemonEffect> {
        self.1 += 1;
        self.0.handle(at(self.1), input)
    }

    fn control(&mut self, ticket: u64, command: Command) -> Vec<DaemonEffect> {
        let (module, by) = (name("pg"), Caller("root".to_owned()));
        self.input(DaemonInput::Control { ticket: Ticket(ticket), module, command, by })
    }

    fn status(&mut self, state: ModuleState, colour: Colour) -> Vec<DaemonEffect> {
        let (node, module) = (name("n1"), name("pg"));
        let status = ModuleStatus { node, module, id: 0, state, colour, resources: vec![], why: None, sync: None };
        let message = HeartToDaemon::Status { incarnation: Incarnation(9), epoch: Epoch(4), status };
        self.input(DaemonInput::Heart { module: name("pg"), message })
    }

    fn running(state: ModuleState) -> Node {
        let mut node = Node::started();
        node.control(1, Command::Start);
        node.status(state, Colour::Green);
        node
    }
}

fn answers(effects: &[DaemonEffect]) -> Vec<(u64, bool)> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            DaemonEffect::Answer { ticket, result } => Some((ticket.0, result.is_ok())),
            _ => None,
        })
        .collect()
}

fn told(effects: &[DaemonEffect]) -> Option<Membership> {
    effects.iter().find_map(|effect| match effect {
        DaemonEffect::SendMembership { body, .. } => Membership::decode(body).ok(),
        _ => None,
    })
}

#[test]
fn a_start_spawns_a_heart_and_is_answered_by_its_first_word() {
    let mut node = Node::started();
    let effects = node.control(1, Command::Prim);
    assert!(effects.iter().any(|e| matches!(e, DaemonEffect::SpawnHeart { first: Command::Prim, .. })), "{effects:?}");
    assert_eq!(answers(&effects), []);
    assert_eq!(answers(&node.status(ModuleState::Wait, Colour::Magenta)), [(1, true)]);
}

#[test]
fn another_wire_version_is_named_once_until_it_is_understood() {
    let mut node = Node::started();
    let from: NodeName = "n2".parse().unwrap();
    let good = Membership {
        incarnation: Incarnation(7),
        counter: 1,
        signature: "s".to_owned(),
        applied_us: 0,
        locked: false,
        modules: Vec::new(),
    };
    // Field 1, the version, is 2.
    let mut hear = |body: Vec<u8>| -> Vec<String> {
        let effects = node.input(DaemonInput::Membership { from: from.clone(), lan: "default".parse().unwrap(), body });
        let texts = effects.iter().filter_map(|effect| match effect {
            DaemonEffect::Log { module: None, event } => Some(event.to_string()),
            _ => None,
        });
        texts.collect()
    };
    let said = hear(vec![8, 2]);
    assert!(said.len() == 1 && said[0].contains("n2") && said[0].contains("version 2"), "{said:?}");
    assert!(said[0].contains("install the same version of Holdfast"), "{said:?}");
    assert_eq!(hear(vec![8, 2]), Vec::<String>::new(), "told once");
    assert_eq!(hear(good.encode()), Vec::<String>::new());
    assert_eq!(hear(vec![8, 2]).len(), 1, "told again after it was understood");
}

#[test]
fn a_heart_that_never_speaks_is_an_error_and_is_not_started_again() {
    let mut node = Node::started();
    node.control(1, Command::Start);
    let effects = node.input(DaemonInput::HeartGone { module: name("pg"), exit: HeartExit::Died });
    assert_eq!(answers(&effects), [(1, false)]);
    assert!(!finish_fencing(&mut node).iter().any(|e| matches!(e, DaemonEffect::SpawnHeart { .. })));
}

/// Answers every step of a fencing; all effects of it.
fn finish_fencing(node: &mut Node) -> Vec<DaemonEffect> {
    let module = || name("pg");
    let mut effects = node.input(DaemonInput::RfsFenced { module: module() });
    effects.extend(node.input(DaemonInput::VipsCleared { module: module() }));
    while let Some(run) = effects.iter().rev().find_map(|e| match e {
        DaemonEffect::RunScript { run, .. } => Some(*run),
        _ => None,
    }) {
        let outcome = ScriptOutcome::Exited(0);
        let ended = DaemonInput::ScriptEnded { module: module(), run, script: Script::StopPrim, outcome };
        let next = node.input(ended);
        let over = !next.iter().any(|e| matches!(e, DaemonEffect::RunScript { .. }));
        effects.extend(next);
        if over {
            break;
        }
    }
    effects.extend(node.input(DaemonInput::Killed { module: module() }));
    effects
}

#[test]
fn after_a_hearts_death_the_peer_is_told_only_when_rfs_and_addresses_are_gone() {
    let mut node = Node::running(ModuleState::Prim);
    let module = || name("pg");
    let died = node.input(DaemonInput::HeartGone { module: module(), exit: HeartExit::Died });
    assert!(died.contains(&DaemonEffect::FenceRfs { module: module() }));
    assert_eq!(told(&died).and_then(|m| m.modules[0].peer.fenced), None);
    let fenced = node.input(DaemonInput::RfsFenced { module: module() });
    assert!(fenced.contains(&DaemonEffect::ClearVips { module: module() }));
    assert_eq!(told(&fenced).and_then(|m| m.modules[0].peer.fenced), None);
    let cleared = node.input(DaemonInput::VipsCleared { module: module() });
    let expected = Fenced { heart: Incarnation(9), epoch: Epoch(4) };
    assert_eq!(told(&cleared).and_then(|m| m.modules[0].peer.fenced), Some(expected));
    let args: Vec<_> = cleared
        .iter()
        .filter_map(|e| match e {
            DaemonEffect::RunScript { args, timeout, .. } => Some((args.join(" "), *timeout)),
            _ => None,
        })
        .collect();
    assert_eq!(args, [("PRIM STOP stopstart".to_owned(), Duration::from_secs(3))]);
}

#[test]
fn a_step_without_an_answer_is_passed_but_never_called_fenced() {
    let mut node = Node::running(ModuleState::Prim);
    node.input(DaemonInput::HeartGone { module: name("pg"), exit: HeartExit::Died });
    let (deadline, timer) = loop {
        let (deadline, timer) = node.0.next_deadline().unwrap();
        if timer == "fencing step" {
            break (deadline, timer);
        }
        node.0.handle(deadline, DaemonInput::Timer);
    };
    assert_eq!(timer, "fencing step");
    let effects = node.0.handle(deadline, DaemonInput::Timer);
    assert!(effects.contains(&DaemonEffect::ClearVips { module: name("pg") }));
    let effects = node.0.handle(deadline, DaemonInput::VipsCleared { module: name("pg") });
    assert_eq!(told(&effects).and_then(|m| m.modules[0].peer.fenced), None);
    assert!(effects.iter().any(|e| matches!(e, DaemonEffect::RunScript { .. })));
}

#[test]
fn a_dead_heart_is_started_again_a_few_times() {
    let mut node = Node::running(ModuleState::Second);
    let mut starts = 0;
    for _ in 0..6 {
        node.input(DaemonInput::HeartGone { module: name("pg"), exit: HeartExit::Died });
        let effects = finish_fencing(&mut node);
        if effects.iter().any(|e| matches!(e, DaemonEffect::SpawnHeart { first: Command::Start, .. })) {
            starts += 1;
            node.status(ModuleState::Wait, Colour::Magenta);
        }
    }
    assert_eq!(starts, 4);
}

#[test]
fn an_orderly_end_with_a_restart_spawns_the_next_heart() {
    let mut node = Node::running(ModuleState::Alone);
    let message = HeartToDaemon::Stopped { restart: Some(Command::Start), why: None, reboot: false };
    node.input(DaemonInput::Heart { module: name("pg"), message });
    let effects = node.input(DaemonInput::HeartGone { module: name("pg"), exit: HeartExit::Orderly });
    assert!(effects.iter().any(|e| matches!(e, DaemonEffect::SpawnHeart { first: Command::Start, .. })));
}

#[test]
fn a_start_that_a_leaving_heart_never_read_is_for_the_next_one() {
    let mut node = Node::running(ModuleState::Stop);
    node.input(DaemonInput::Heart {
        module: name("pg"),
        message: HeartToDaemon::Stopped { restart: None, why: None, reboot: false },
    });
    assert_eq!(answers(&node.control(7, Command::Start)), []);
    let effects = node.input(DaemonInput::HeartGone { module: name("pg"), exit: HeartExit::Orderly });
    assert!(effects.iter().any(|e| matches!(e, DaemonEffect::SpawnHeart { first: Command::Start, .. })), "{effects:?}");
    assert_eq!(answers(&effects), [(7, true)]);
}

#[test]
fn who_started_a_leaving_module_again_is_not_forgotten() {
    let mut node = Node::running(ModuleState::Stop);
    node.control(7, Command::Start);
    for message in [
        HeartToDaemon::Answer { ticket: Ticket(7), result: Ok(()) },
        HeartToDaemon::Stopped { restart: Some(Command::Start), why: None, reboot: false },
    ] {
        node.input(DaemonInput::Heart { module: name("pg"), message });
    }
    let effects = node.input(DaemonInput::HeartGone { module: name("pg"), exit: HeartExit::Orderly });
    let root = |effect: &DaemonEffect| matches!(effect, DaemonEffect::SpawnHeart { by, .. } if by.0 == "root");
    assert!(effects.iter().any(root), "{effects:?}");
}

#[test]
fn shutdown_leaves_when_the_last_module_is_stopped() {
    let mut node = Node::running(ModuleState::Prim);
    let effects = node.input(DaemonInput::Shutdown);
    assert!(effects.iter().any(|e| matches!(
        e,
        DaemonEffect::ToHeart { message: DaemonToHeart::Control { command: Command::Shutdown, .. }, .. }
    )));
    assert!(!effects.contains(&DaemonEffect::Exit));
    let effects = node.input(DaemonInput::HeartGone { module: name("pg"), exit: HeartExit::Orderly });
    assert!(effects.contains(&DaemonEffect::Exit));
}

/// `shutdown`: stage by stage, answered at the end; nothing starts meanwhile, everything may afterwards.
#[test]
fn modules_are_stopped_in_the_reverse_order_of_their_start() {
    let mut two = config("n1");
    let late =
        InstalledModule { module: name("web"), id: 2, boot_delay: Duration::from_secs(5), ..two.modules[0].clone() };
    two.modules.push(late);
    let mut node = Node::running(ModuleState::Prim);
    node.input(DaemonInput::Reconfigured(two));
    let (module, by) = (name("web"), Caller("root".to_owned()));
    let start = |ticket| DaemonInput::Control {
        ticket: Ticket(ticket),
        module: name("web"),
        command: Command::Start,
        by: by.clone(),
    };
    node.input(DaemonInput::Control { ticket: Ticket(2), module, command: Command::Start, by: by.clone() });
    let told = |effects: &[DaemonEffect]| {
        let told = effects.iter().filter_map(|effect| match effect {
            DaemonEffect::ToHeart { module, message: DaemonToHeart::Control { command: Command::Shutdown, .. } } => {
                Some(module.to_string())
            }
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    let gone = |module: &str| DaemonInput::HeartGone { module: name(module), exit: HeartExit::Orderly };
    assert!(!node.0.is_closing());
    assert_eq!(told(&node.input(DaemonInput::ShutdownModules { ticket: Ticket(9) })), ["web"]);
    assert!(node.0.is_closing());
    assert_eq!(answers(&node.input(DaemonInput::ShutdownModules { ticket: Ticket(10) })), [(10, false)]);
    let effects = node.input(gone("web"));
    assert_eq!((told(&effects), answers(&effects).contains(&(9, true))), (vec!["pg".to_owned()], false));
    assert_eq!(answers(&node.input(start(11))), [(11, false)], "nothing starts now");
    let effects = node.input(gone("pg"));
    assert_eq!((answers(&effects), effects.contains(&DaemonEffect::Exit)), (vec![(9, true)], false));
    assert!(!node.0.is_closing());
    assert!(node.input(start(12)).iter().any(|effect| matches!(effect, DaemonEffect::SpawnHeart { .. })));
}

#[test]
fn waitstart_ends_with_the_start() {
    let wait = |ticket| DaemonInput::Waitstart { ticket: Ticket(ticket), module: name("pg") };
    let mut node = Node::started();
    assert_eq!(answers(&node.input(wait(4))), [(4, false)], "nothing starts");
    let mut node = Node::running(ModuleState::Wait);
    node.status(ModuleState::Wait, Colour::Red);
    assert_eq!(answers(&node.input(wait(5))), [], "it may still come");
    assert_eq!(answers(&node.status(ModuleState::Second, Colour::Magenta)), []);
    assert_eq!(answers(&node.status(ModuleState::Second, Colour::Green)), [(5, true)]);
    node.status(ModuleState::Wait, Colour::Magenta);
    assert_eq!(answers(&node.input(wait(6))), []);
    let effects = node.input(DaemonInput::HeartGone { module: name("pg"), exit: HeartExit::Orderly });
    assert_eq!(answers(&effects), [(6, false)]);
}

#[test]
fn a_stopped_module_shows_how_it_boots_and_takes_no_command_for_running_ones() {
    let mut node = Node::started();
    let resources = &node.0.status().modules[0].resources;
    assert!(resources.iter().any(|resource| resource.name == "usersetting.boot"), "{resources:?}");
    for command in [Command::Restart, Command::Stopwait, Command::Swap, Command::FailoverOff] {
        assert_eq!(answers(&node.control(3, command)), [(3, false)], "{command}");
    }
    assert_eq!(answers(&node.control(3, Command::Stop)), [(3, true)]);
}

#[test]
fn waitstate_is_answered_at_a_stable_state_only() {
    let mut node = Node::running(ModuleState::Wait);
    let wait = DaemonInput::Waitstate { ticket: Ticket(5), module: name("pg"), state: ModuleState::Prim };
    assert_eq!(answers(&node.input(wait)), []);
    assert_eq!(answers(&node.status(ModuleState::Prim, Colour::Magenta)), []);
    assert_eq!(answers(&node.status(ModuleState::Prim, Colour::Green)), [(5, true)]);
}

#[test]
fn what_the_other_node_says_reaches_the_heart_once() {
    let mut node = Node::running(ModuleState::Second);
    let mut other = DaemonActor::new(config("n2"));
    let said = other.handle(at(1), DaemonInput::Started { incarnation: Incarnation(8), adopted: vec![name("pg")] });
    let body = told(&said).unwrap().encode();
    let input = || DaemonInput::Membership { from: name("n2"), lan: name("a"), body: body.clone() };
    let peers = |effects: &[DaemonEffect]| {
        effects.iter().filter(|e| matches!(e, DaemonEffect::ToHeart { message: DaemonToHeart::Peer(_), .. })).count()
    };
    assert_eq!(peers(&node.input(input())), 1);
    assert_eq!(peers(&node.input(input())), 0);
    let silence = node.0.handle(at(10_000), DaemonInput::Timer);
    assert!(silence.iter().any(|e| matches!(
        e,
        DaemonEffect::ToHeart { message: DaemonToHeart::Peer(peer), .. } if !peer.heard && peer.state == ModuleState::Unknown
    )));
}

#[test]
fn a_module_that_is_not_there_is_said() {
    let mut node = Node::started();
    let (module, by) = (name("other"), Caller::system());
    let effects = node.input(DaemonInput::Control { ticket: Ticket(3), module, command: Command::Start, by });
    assert_eq!(answers(&effects), [(3, false)]);
}

#[test]
fn a_heart_that_died_while_there_was_no_daemon_is_fenced_and_started_again() {
    let mut node = Node(DaemonActor::new(config("n1")), 0);
    node.input(DaemonInput::Started { incarnation: Incarnation(9), adopted: vec![name("pg")] });
    let effects = node.input(DaemonInput::HeartGone { module: name("pg"), exit: HeartExit::Died });
    assert!(effects.contains(&DaemonEffect::FenceRfs { module: name("pg") }));
    let effects = finish_fencing(&mut node);
    assert!(effects.iter().any(|e| matches!(e, DaemonEffect::SpawnHeart { first: Command::Start, .. })));
}

#[test]
fn a_node_that_appears_is_told_at_once() {
    let mut node = Node::started();
    let mut other = DaemonActor::new(config("n2"));
    let said = other.handle(at(1), DaemonInput::Started { incarnation: Incarnation(8), adopted: vec![] });
    let body = told(&said).unwrap().encode();
    let input = || DaemonInput::Membership { from: name("n2"), lan: name("a"), body: body.clone() };
    assert!(told(&node.input(input())).is_some());
    assert!(told(&node.input(input())).is_none());
}

#[test]
fn a_stop_script_that_hangs_after_a_hearts_death_hangs_only_once() {
    let mut node = Node::running(ModuleState::Prim);
    let module = || name("pg");
    node.input(DaemonInput::HeartGone { module: module(), exit: HeartExit::Died });
    node.input(DaemonInput::RfsFenced { module: module() });
    let run = |effects: &[DaemonEffect]| {
        effects.iter().find_map(|e| if let DaemonEffect::RunScript { run, .. } = e { Some(*run) } else { None })
    };
    let first = run(&node.input(DaemonInput::VipsCleared { module: module() })).expect("a stop script");
    let ended = |run, outcome| DaemonInput::ScriptEnded { module: module(), run, script: Script::StopSec, outcome };
    let effects = node.input(ended(first, ScriptOutcome::TimedOut));
    let abort = DaemonEffect::AbortMounts { module: module() };
    let places = [
        effects.iter().position(|e| *e == abort),
        effects.iter().position(|e| matches!(e, DaemonEffect::RunScript { .. })),
    ];
    assert!(places[0].is_some() && places[0] < places[1], "the mount goes before the next script: {effects:?}");
    let second = run(&effects).expect("the next one");
    let effects = node.input(ended(second, ScriptOutcome::Exited(1)));
    assert!(!effects.contains(&abort), "one that fails doesn't hang");
    assert!(!node.input(ended(second, ScriptOutcome::TimedOut)).contains(&abort), "an answer that comes twice");
}

#[test]
fn a_module_that_stopped_by_itself_says_why_until_its_next_start() {
    let mut node = Node::running(ModuleState::Prim);
    let disk = |value| Resource { name: "rfs.disk".to_owned(), value, by: "rfs".to_owned(), at_us: 5 };
    let resources =
        vec![disk(ResourceValue::Down), Resource { name: "proc.heart".to_owned(), ..disk(ResourceValue::Up) }];
    let (of, module) = (name("n1"), name("pg"));
    let status = ModuleStatus {
        node: of,
        module,
        id: 0,
        state: ModuleState::Stop,
        colour: Colour::Red,
        resources,
        why: None,
        sync: None,
    };
    node.input(DaemonInput::Heart {
        module: name("pg"),
        message: HeartToDaemon::Status { incarnation: Incarnation(9), epoch: Epoch(4), status },
    });
    let why = Some("local disk error: it burns".to_owned());
    let message = HeartToDaemon::Stopped { restart: None, why: why.clone(), reboot: false };
    node.input(DaemonInput::Heart { module: name("pg"), message });
    node.input(DaemonInput::HeartGone { module: name("pg"), exit: HeartExit::Orderly });
    let shown = |node: &Node| node.0.status().modules.remove(0);
    let names = |status: &ModuleStatus| status.resources.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
    assert_eq!((shown(&node).state, shown(&node).why), (ModuleState::Stop, why));
    assert_eq!(names(&shown(&node)), ["usersetting.boot", "usersetting.checker", "rfs.disk"]);
    node.control(2, Command::Start);
    node.status(ModuleState::Wait, Colour::Magenta);
    assert_eq!(shown(&node).why, None);
    node.input(DaemonInput::Heart {
        module: name("pg"),
        message: HeartToDaemon::Stopped { restart: None, why: None, reboot: false },
    });
    node.input(DaemonInput::HeartGone { module: name("pg"), exit: HeartExit::Orderly });
    assert_eq!((shown(&node).why, names(&shown(&node)).len()), (None, 2));
}

#[test]
fn checkers_of_a_stopped_module_are_chosen() {
    let mut node = Node::started();
    let value = |node: &Node| {
        let resources = node.0.status().modules.remove(0).resources;
        resources.into_iter().find(|one| one.name == "usersetting.checker").map(|one| one.value.to_string())
    };
    assert_eq!(value(&node).as_deref(), Some("on"));
    let effects = node.control(1, Command::CheckerOff);
    assert!(effects.contains(&DaemonEffect::Answer { ticket: Ticket(1), result: Ok(()) }), "{effects:?}");
    assert_eq!(value(&node).as_deref(), Some("off"));
    node.control(2, Command::Start);
    let effects = node.control(3, Command::CheckerOn);
    assert!(effects.iter().any(|effect| matches!(effect, DaemonEffect::ToHeart { .. })), "{effects:?}");
}

fn stopped_for_reboot(node: &mut Node) -> Vec<DaemonEffect> {
    node.input(DaemonInput::Heart {
        module: name("pg"),
        message: HeartToDaemon::Stopped { restart: None, why: None, reboot: true },
    });
    node.input(DaemonInput::HeartGone { module: name("pg"), exit: HeartExit::Orderly })
}

#[test]
fn a_module_that_was_stopped_for_it_reboots_the_machine() {
    let mut node = Node::running(ModuleState::Second);
    let effects = stopped_for_reboot(&mut node);
    assert!(effects.contains(&DaemonEffect::Reboot { module: name("pg") }), "{effects:?}");
    // The machine goes down, and this daemon with it: nothing is to be restarted meanwhile.
    assert!(!effects.iter().any(|effect| matches!(effect, DaemonEffect::SpawnHeart { .. })));
}

#[test]
fn a_machine_that_goes_on_restarts_the_module() {
    let mut node = Node::running(ModuleState::Second);
    stopped_for_reboot(&mut node);
    let failed = DaemonInput::RebootFailed { module: name("pg"), why: "nobody here can".to_owned() };
    let effects = node.input(failed.clone());
    assert!(effects.iter().any(|e| matches!(e, DaemonEffect::SpawnHeart { first: Command::Start, .. })), "{effects:?}");
    // A person was quicker, or the machine goes down after all.
    let effects = node.input(failed);
    assert!(!effects.iter().any(|e| matches!(e, DaemonEffect::SpawnHeart { .. })), "{effects:?}");
}

#[test]
fn a_machine_that_goes_down_anyway_needs_no_reboot() {
    let mut node = Node::running(ModuleState::Second);
    node.input(DaemonInput::Shutdown);
    let effects = stopped_for_reboot(&mut node);
    assert!(!effects.iter().any(|effect| matches!(effect, DaemonEffect::Reboot { .. })), "{effects:?}");
}
