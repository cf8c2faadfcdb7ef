//! Short words for the history.

use crate::event::Input;
use crate::link::Frame;
use hf_node::daemon::{DaemonEffect, DaemonInput};
use hf_node::heart::{HeartEffect, HeartInput};
use hf_node::rfs::RfsEffect;

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

/// What a heartbeat says, as far as it can be read.
pub fn heartbeat(body: &[u8]) -> String {
    String::from_utf8(body.to_vec()).unwrap_or_else(|_| format!("{} bytes", body.len()))
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
