//! Short words for the history.

use crate::event::Input;
use crate::link::Frame;
use hf_node::daemon::{DaemonEffect, DaemonInput};
use hf_node::heart::{HeartEffect, HeartInput};
use hf_node::rfs::{RfsEffect, RfsInput};
use hf_replica::engine::{EngineCommand, EngineEvent, PeerMessage};
use hf_types::{GenerationId, Record, Standing, UpToDate};
use hf_wire::bus::{HeartToDaemon, RfsToHeart};
use hf_wire::heartbeat::{Heartbeat, SwapPhase};

/// An input of an actor.
pub fn input(input: &Input) -> String {
    match input {
        Input::Daemon(DaemonInput::Membership { lan, .. }) => {
            format!("daemon < membership on {lan}")
        }
        Input::Daemon(DaemonInput::Heart { message, .. }) => format!("daemon < {}", from_heart(message)),
        Input::Daemon(input) => format!("daemon < {input:?}"),
        Input::Heart(HeartInput::Heartbeat { lane, body }) => {
            format!("heart < heartbeat on lane {lane}: {}", heartbeat(body))
        }
        Input::Heart(HeartInput::Rfs(message)) => format!("heart < {}", from_rfs(message)),
        Input::Heart(input) => format!("heart < {input:?}"),
        Input::Rfs(RfsInput::Engine(event)) => format!("rfs < {}", engine_event(event)),
        Input::Rfs(RfsInput::Heart(message)) => format!("rfs < {message:?}"),
        Input::Rfs(input) => format!("rfs < {input:?}"),
    }
}

fn from_heart(message: &HeartToDaemon) -> String {
    match message {
        HeartToDaemon::Status { epoch, status, .. } => {
            format!("status {} {} e{epoch}", status.state, status.colour)
        }
        other => format!("{other:?}"),
    }
}

fn from_rfs(message: &RfsToHeart) -> String {
    match message {
        RfsToHeart::Status { role, records, link_up, in_step, alone, .. } => {
            format!("rfs status {role:?} link {link_up} in step {in_step} alone {alone:?} {}", all(records))
        }
        other => format!("rfs {other:?}"),
    }
}

fn engine_event(event: &EngineEvent) -> String {
    match event {
        EngineEvent::Started { records, boot_id, .. } => format!("started on {boot_id}: {}", all(records)),
        EngineEvent::Received(message) => format!("received {}", peer_message(message)),
        other => format!("{other:?}"),
    }
}

fn peer_message(message: &PeerMessage) -> String {
    match message {
        PeerMessage::Hello { primary, epoch, records, .. } => {
            format!("Hello primary {primary} e{epoch} {}", all(records))
        }
        other => format!("{other:?}"),
    }
}

fn engine_command(command: &EngineCommand) -> String {
    match command {
        EngineCommand::WriteRecords { token, records } => format!("write #{token}: {}", all(records)),
        EngineCommand::Send(message) => format!("send {}", peer_message(message)),
        other => format!("{other:?}"),
    }
}

fn all(records: &[Record]) -> String {
    let mut texts: Vec<String> = records.iter().map(record).collect();
    texts.dedup();
    format!("[{}]", texts.join(", "))
}

/// A record in short.
pub fn record(record: &Record) -> String {
    let history: Vec<String> = record.history.iter().map(|g| short(*g)).collect();
    let standing = match record.standing {
        Standing::Outdated { since } => format!("outdated({})", short(since)),
        other => format!("{other:?}"),
    };
    let up_to_date = match &record.up_to_date {
        UpToDate::No => "old".to_owned(),
        UpToDate::Yes => "up-to-date".to_owned(),
        UpToDate::WhileBooted(id) => format!("up-to-date on {id}"),
    };
    format!(
        "{}<{} e{} {standing}{} {up_to_date}{}{}",
        short(record.generation),
        history.join("<"),
        record.epoch,
        if record.consistent { "" } else { " HALF" },
        if record.was_primary { " was-primary" } else { "" },
        if record.orderly { " orderly" } else { "" }
    )
}

/// What a heartbeat says, in short.
pub fn heartbeat(body: &[u8]) -> String {
    let Ok(beat) = Heartbeat::decode(body) else {
        return format!("{} bytes that can't be read", body.len());
    };
    let copy = beat.copy.map_or("no copy".to_owned(), |c| {
        format!(
            "{} {:?}{}{}{}",
            short(c.generation),
            c.standing,
            if c.consistent { "" } else { " HALF" },
            if c.up_to_date { " up-to-date" } else { " old" },
            if c.was_primary { " was-primary" } else { "" }
        )
    });
    let mut text = format!("#{} {} {} e{} {copy}", beat.counter, beat.state, beat.colour, beat.epoch);
    let flags = [(beat.in_step, " in-step"), (beat.stopping, " stopping")];
    flags.iter().filter(|(on, _)| *on).for_each(|(_, word)| text += word);
    if let Some(outdated) = beat.outdated {
        text += &format!(" outdated({},e{})", short(outdated.since), outdated.epoch);
    }
    if let Some(please) = beat.please_outdate {
        text += &format!(" please-outdate({},e{})", short(please.since), please.epoch);
    }
    if let Some(granted) = beat.granted {
        text += &format!(" granted {}", short(granted));
    }
    if beat.swap != SwapPhase::None {
        text += &format!(" swap {:?}", beat.swap);
    }
    text
}

fn short(generation: GenerationId) -> String {
    generation.to_string()[..4].to_owned()
}

/// An effect of the heart; the ones that come all the time give nothing.
pub fn heart_effect(effect: &HeartEffect) -> Option<String> {
    match effect {
        HeartEffect::SendHeartbeat { .. }
        | HeartEffect::RenewVip { .. }
        | HeartEffect::AnnounceVip { .. }
        | HeartEffect::LookAtLanes
        | HeartEffect::CountConnections { .. }
        | HeartEffect::ForgetSyncPolicy
        | HeartEffect::KeepChecking { .. }
        | HeartEffect::SetResource { .. }
        | HeartEffect::ToDaemon(hf_wire::bus::HeartToDaemon::Bell) => None,
        HeartEffect::Log(event) => Some(format!("heart: \"{event}\"")),
        HeartEffect::ToDaemon(message) => Some(format!("heart > daemon: {}", from_heart(message))),
        effect => Some(format!("heart > {effect:?}")),
    }
}

/// An effect of rfs.
pub fn rfs_effect(effect: &RfsEffect) -> String {
    match effect {
        RfsEffect::Log(event) => format!("rfs: \"{event}\""),
        RfsEffect::ToHeart(message) => format!("rfs > {}", from_rfs(message)),
        RfsEffect::Engine(command) => format!("rfs > engine: {}", engine_command(command)),
        RfsEffect::Exit => "rfs > Exit".to_owned(),
    }
}

/// An effect of the daemon.
pub fn daemon_effect(effect: &DaemonEffect) -> Option<String> {
    match effect {
        DaemonEffect::SendMembership { .. } | DaemonEffect::Publish { .. } => None,
        DaemonEffect::Log { event, .. } => Some(format!("daemon: \"{event}\"")),
        effect => Some(format!("daemon > {effect:?}")),
    }
}

/// A frame of the link.
pub fn frame(frame: &Frame) -> String {
    match frame {
        Frame::LastZone { epoch, seq, ops, .. } => format!("last zone {epoch}/{seq}, {} operations", ops.len()),
        Frame::Core(message) => peer_message(message),
        frame => format!("{frame:?}"),
    }
}
