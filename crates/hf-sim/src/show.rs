//! Short words for the history.

use crate::event::Input;
use crate::link::Frame;
use hf_node::daemon::{DaemonEffect, DaemonInput};
use hf_node::heart::{HeartEffect, HeartInput};
use hf_node::rfs::RfsEffect;
use hf_types::GenerationId;
use hf_wire::heartbeat::{Heartbeat, SwapPhase};

/// An input of an actor.
pub fn input(input: &Input) -> String {
    match input {
        Input::Daemon(DaemonInput::Membership { lan, .. }) => format!("daemon < membership on {lan}"),
        Input::Daemon(input) => format!("daemon < {input:?}"),
        Input::Heart(HeartInput::Heartbeat { lane, body }) => {
            format!("heart < heartbeat on lane {lane}: {}", heartbeat(body))
        }
        Input::Heart(input) => format!("heart < {input:?}"),
        Input::Rfs(input) => format!("rfs < {input:?}"),
    }
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
        | HeartEffect::ToDaemon(hf_wire::bus::HeartToDaemon::Bell) => None,
        HeartEffect::Log(event) => Some(format!("heart: \"{event}\"")),
        effect => Some(format!("heart > {effect:?}")),
    }
}

/// An effect of rfs.
pub fn rfs_effect(effect: &RfsEffect) -> String {
    match effect {
        RfsEffect::Log(event) => format!("rfs: \"{event}\""),
        effect => format!("rfs > {effect:?}"),
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
        Frame::LastZone { epoch, seq, ops } => format!("last zone {epoch}/{seq}, {} operations", ops.len()),
        frame => format!("{frame:?}"),
    }
}
