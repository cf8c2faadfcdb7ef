//! Every event that this version can log is in the catalogue, and every message of the reference has its event, its level and a test that sees it.

mod index;

use hf_messages::{Language, MESSAGES, found, message};
use hf_types::{
    Caller, Colour, Command, Epoch, ErrdOrder, Event, FailoverReason, GrantReason, Hang, ModuleState, NotPrimary,
    ProcFault, RefusedAction, ResourceValue, RfsFault, Script, ScriptOutcome,
};

const WHERE: &str = "/data";

/// One of each kind, with each of its reasons; those that are a sentence already are below.
fn all() -> Vec<Event> {
    let text = || WHERE.to_owned();
    let mut all = vec![
        Event::ActionCalled { command: Command::Prim, by: Caller::boot() },
        Event::ActionCalled { command: Command::SecondFullsync, by: Caller::detector("errd") },
        Event::LocalState(ModuleState::Prim, Colour::Green),
        Event::RemoteState(ModuleState::Unknown, Colour::Grey),
        Event::Transition { to: "WAKEUP".to_owned(), from: "failover rule Implicit_WAKEUP".to_owned() },
        Event::Transition { to: "SWAP".to_owned(), from: "SYSTEM".to_owned() },
        Event::ResourceSet { name: "heartbeat.flow".to_owned(), value: ResourceValue::Down, by: "heart".to_owned() },
        Event::CheckerFound { resource: "tcp.web".to_owned(), why: text() },
        Event::ScriptRun(Script::StartPrim),
        Event::ScriptForce(Script::StopPrim),
        Event::ScriptNotLogged(Script::StartPrim, text()),
        Event::BeginOfSwap,
        Event::EndOfStop,
        Event::StoppingLoop,
        Event::PreviousHaltUnexpected,
        Event::AutomaticReboot,
        Event::NoAutomaticReboot(text()),
        Event::FailoverOff,
        Event::ActionFromRule { action: "wait".to_owned(), rule: "notuptodate_server".to_owned() },
        Event::RunPrimIfSure,
        Event::MaybeInconsistent,
        Event::RunPrimforceIfSure,
        Event::PrimAborted,
        Event::SplitBrainStaying,
        Event::SplitBrainExiting,
        Event::Yielding,
        Event::VirtualIpSet("10.90.1.10 of pg".to_owned()),
        Event::VirtualIpUnset("10.90.1.10 of pg".to_owned()),
        Event::VirtualIpFailed { address: "10.90.1.10 of pg".to_owned(), error: text() },
        Event::VirtualIpClaimed { address: "10.90.1.10 of pg".to_owned(), by: "02:00:00:00:00:01".to_owned() },
        Event::UpdatingTree(text()),
        Event::Copied("7305 KB, 202 files compared, 658 ms, 11102 KB/sec".to_owned()),
        Event::ReintegrationEnded,
        Event::ReintegrationFailed(text()),
        Event::ProcessDied { process: "rfs".to_owned(), detail: "its work goes on in another one".to_owned() },
        Event::Stalled { ms: 12 },
    ];
    let reasons = [FailoverReason::RemoteStop, FailoverReason::NoHeartbeat, FailoverReason::RemoteFenced];
    all.extend(reasons.into_iter().chain([FailoverReason::RemoteOutdated]).map(Event::ReasonOfFailover));
    let grants = [
        GrantReason::OutdatedConfirmed,
        GrantReason::Witness,
        GrantReason::Silence,
        GrantReason::Promised,
        GrantReason::Connected,
        GrantReason::Administrator,
        GrantReason::NoData,
    ];
    all.extend(grants.map(|why| Event::Granted { epoch: Epoch(7), why }));
    let reasons = [
        NotPrimary::New,
        NotPrimary::Inconsistent,
        NotPrimary::Outdated,
        NotPrimary::PeerUnknown,
        NotPrimary::RebootedWhileAsync,
        NotPrimary::RolledBack,
        NotPrimary::PeerNewer,
        NotPrimary::PeerDegraded,
        NotPrimary::Scheduled,
        NotPrimary::Stalled,
    ];
    all.extend(reasons.map(Event::MaybeNotUpToDate));
    let refusals = [
        RefusedAction::WrongState(ModuleState::Stop),
        RefusedAction::PeerPrimary(ModuleState::Prim),
        RefusedAction::PeerNotPrimary(ModuleState::Stop),
        RefusedAction::Inconsistent,
        RefusedAction::Busy,
        RefusedAction::NotInStep,
    ];
    all.extend(refusals.map(|why| Event::ActionRefused { command: Command::Swap, why }));
    let faults = [
        RfsFault::LocalDisk(text()),
        RfsFault::NotMounted(text()),
        RfsFault::RemoteDisk(text()),
        RfsFault::Diverged(text()),
        RfsFault::Stalled,
        RfsFault::LinkDown,
        RfsFault::Fenced(Epoch(7)),
    ];
    all.extend(faults.map(Event::RfsFault));
    let outcomes = [
        ScriptOutcome::Exited(3),
        ScriptOutcome::Signalled(9),
        ScriptOutcome::TimedOut,
        ScriptOutcome::Missing,
        ScriptOutcome::Refused(text()),
    ];
    all.extend(outcomes.clone().map(|outcome| Event::ScriptEnded(Script::StartPrim, outcome)));
    all.extend(outcomes.map(|outcome| Event::HandlerEnded("restart_myappli".to_owned(), outcome)));
    for fault in [ProcFault::AtLeast, ProcFault::AtMax] {
        all.push(Event::ProcFault { fault, name: "postgres".to_owned() });
    }
    all.push(Event::HandlerCalled("restart_myappli".to_owned()));
    all.push(Event::ErrdCalled { order: ErrdOrder::Suspend, by: Caller("root".to_owned()) });
    all.push(Event::ErrdCalled { order: ErrdOrder::Enable("myappli".to_owned()), by: Caller("root".to_owned()) });
    all.push(Event::ActionCalled { command: Command::Start, by: Caller::automatic() });
    let place = Some("do_wait".to_owned());
    for (state, waits_in) in [('R', None), ('T', None), ('D', place.clone()), ('D', None), ('S', place), ('S', None)] {
        let hang = Hang { pid: 4711, command: "pg_ctl stop (fast)".to_owned(), state, waits_in, elapsed_s: 60 };
        all.push(Event::ScriptHangs(Script::StopPrim, hang));
    }
    all
}

/// The English words that a French line must not have any more.
const ENGLISH: [&str; 12] =
    [" the ", " is ", " was ", " of ", "state ", " by ", " it ", " other ", "green", "waits", " and ", " not "];

#[test]
fn every_event_is_said_in_french() {
    for event in all() {
        let english = event.to_string();
        let french = message(&english, Language::French);
        let same = english.starts_with("Script ") && !english.contains(' ')
            || found(MESSAGES, &english).is_some_and(|(entry, _)| entry.en == entry.fr);
        assert!(french != english || same, "not in the catalogue: {english}");
        let names = french.replace("10.90.1.10 of pg", "");
        assert!(!ENGLISH.iter().any(|word| names.contains(word)), "half in English: {french}");
    }
}

/// Sentences that are put together where they are said: kept alike by hand.
#[test]
fn advice_is_said_in_french() {
    let advice =
        "node2 is heard, but has no module pg: 'holdfast module install -m pg ...' and 'holdfast config -m pg' there";
    let french = message(advice, Language::French);
    assert!(french.starts_with("node2 est entendu, mais n'a pas de module pg"), "{french}");
    let kept = "The copy of this node is kept (3 files): 'holdfast conflict list' shows it";
    assert!(message(kept, Language::French).starts_with("La copie de ce nœud est conservée (3 fichiers)"));
}

#[test]
fn a_few_as_they_are_read() {
    let said = |english: &str| message(english, Language::French);
    assert_eq!(said("Local state PRIM green"), "État local PRIM vert");
    assert_eq!(said("Reason of failover: no heartbeat"), "Raison de la reprise : plus de heartbeat");
    assert_eq!(
        said("Transition WAKEUP from failover rule Implicit_WAKEUP"),
        "Transition WAKEUP de la règle de reprise Implicit_WAKEUP"
    );
    assert_eq!(
        said("Script stop_prim has been running for 60 s: process 4711 (pg_ctl (fast)) waits in do_wait"),
        "Le script stop_prim s'exécute depuis 60 s : le processus 4711 (pg_ctl (fast)) attend dans do_wait"
    );
    assert_eq!(
        said("Resource custom.green set to down by green"),
        "Ressource custom.green positionnée à down par green"
    );
}
