//! `<rfs>` (reference 004, 13.6).

use crate::cluster::Cluster;
use crate::context::Context;
use crate::diagnostic::Code;
use crate::element::{Element, Value};
use crate::model::{AsyncMode, Heart, Replicated, Rfs};
use crate::module::{check_lan, exclusion, schedule, servers};
use crate::spec;

const DEFAULT_SUFFIX: &str = "_For_SafeKit_Replication";
const DEFAULT_PACKET: u32 = 8_388_608;

/// Directories without which the machine doesn't work: none of them can be moved aside.
const SYSTEM: [&str; 19] = [
    "/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/media", "/mnt", "/opt", "/proc", "/root",
    "/run", "/sbin", "/sys", "/tmp", "/usr", "/var",
];
/// Below these the kernel keeps its own files.
const KERNEL: [&str; 4] = ["/dev", "/proc", "/sys", "/run"];

pub(super) fn read(service: &Element, cluster: Option<&Cluster>, context: &mut Context) -> Option<Rfs> {
    let rfs = service.only_child(&spec::RFS, context)?;
    let suffix = suffix(&rfs, context);
    let asyncs = [("second", AsyncMode::Second), ("none", AsyncMode::None)];
    let sizes = Sizes::read(&rfs, context);
    Some(Rfs {
        async_mode: rfs.choice("async", &asyncs, context),
        mount_over: rfs.switch("mountover", context),
        acl: rfs.switch("acl", context),
        connections: rfs.count("nbremconn", context),
        reintegration_threads: rfs.count("nbrei", context),
        send_timeout_ms: rfs.duration("sendtimeout", context),
        lock_timeout_ms: rfs.duration("locktimeout", context),
        reintegration_timeout_ms: reintegration_timeout(&rfs, context),
        reintegration_bandwidth_kb_s: rfs.number("reiallowedbw", context),
        sync_delta_ms: sync_delta(&rfs, context),
        packet_bytes: sizes.packet,
        reintegration_packet_bytes: sizes.reintegration,
        zone_bytes: sizes.zone,
        namespace_policy: rfs.choice("namespacepolicy", &[("0", 0), ("1", 1), ("3", 3), ("4", 4)], context),
        reintegration_commit_blocks: rfs.count("reicommit", context),
        encryption: rfs.switch("encryption", context),
        reintegration_detail: rfs.switch("reidetail", context),
        check_timeout_ms: rfs.duration("checktime", context),
        check_interval_ms: rfs.duration("checkintv", context),
        scripts: rfs.switch("scripts", context),
        sync_at: schedule::sync_at(&rfs, context),
        flow: flow(&rfs, cluster, context),
        replicated: replicated(&rfs, &suffix, context),
        suffix,
    })
}

/// The old `<flow>` and the heartbeat called flow should be on one network: the default rules look at the heartbeat.
pub(super) fn check_flow(rfs: &Rfs, heart: &Heart, service: &Element, context: &mut Context) {
    let Some(flow) = &rfs.flow else { return };
    if heart.heartbeats.iter().any(|heartbeat| heartbeat.ident == "flow" && heartbeat.lan != *flow) {
        let message = format!("<flow> is on {flow}, the heartbeat with ident=\"flow\" on {}", heart.flow_lan());
        let help = "put both on one network, or take <flow> out".to_owned();
        context.sink.warning(Code::Conflict, service.span(), message, Some(help));
    }
}

/// The reference has both spellings; the table in 13.6.3 explains this one.
fn reintegration_timeout(rfs: &Element, context: &mut Context) -> u64 {
    let name = if rfs.get("reitimeout").is_some() { "reitimeout" } else { "retimeout" };
    if name == "reitimeout"
        && let Some(other) = rfs.get("retimeout")
    {
        let message = "retimeout and reitimeout are the same attribute".to_owned();
        context.sink.error(Code::Duplicate, other.span.clone(), message, None);
    }
    rfs.duration(name, context)
}

/// One minute or less means the same as nothing (reference 004, 13.6.3).
fn sync_delta(rfs: &Element, context: &mut Context) -> Option<u64> {
    let delta = rfs.duration("syncdelta", context);
    (delta > 60_000).then_some(delta)
}

/// The three sizes, each of which bounds the next (reference 004, 13.6.3).
struct Sizes {
    packet: Option<u32>,
    reintegration: u32,
    zone: u32,
}

impl Sizes {
    fn read(rfs: &Element, context: &mut Context) -> Sizes {
        let mut size = |name| rfs.number(name, context).and_then(|bytes| u32::try_from(bytes).ok());
        let (packet, reintegration, zone) = (size("packetsize"), size("reipacketsize"), size("ruzone_blocksize"));
        let default = packet.map_or(DEFAULT_PACKET, |packet| packet.min(DEFAULT_PACKET));
        let reintegration_bytes = reintegration.unwrap_or(default);
        let sizes = Sizes { packet, reintegration: reintegration_bytes, zone: zone.unwrap_or(reintegration_bytes) };
        if let (Some(value), Some(packet)) = (rfs.get("reipacketsize"), packet)
            && sizes.reintegration > packet
        {
            let message =
                format!("reipacketsize ({}) must not be larger than packetsize ({packet})", sizes.reintegration);
            context.sink.error(Code::Conflict, value.span.clone(), message, None);
        }
        if let Some(value) = rfs.get("ruzone_blocksize")
            && !sizes.zone.is_multiple_of(sizes.reintegration)
        {
            let (zone, packet) = (sizes.zone, sizes.reintegration);
            let message = format!("ruzone_blocksize ({zone}) must be a multiple of reipacketsize ({packet})");
            context.sink.error(Code::Conflict, value.span.clone(), message, None);
        }
        sizes
    }
}

fn suffix(rfs: &Element, context: &mut Context) -> String {
    let Some(value) = rfs.get("mountoversuffix") else {
        return DEFAULT_SUFFIX.to_owned();
    };
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if value.text.is_empty() || value.text.len() > 64 || !value.text.chars().all(good) {
        let message = format!("mountoversuffix=\"{}\" can't end a directory's name", value.text);
        let help = "1 to 64 letters, digits, '.', '_' and '-'".to_owned();
        context.sink.error(Code::BadValue, value.span.clone(), message, Some(help));
    }
    value.text.clone()
}

fn flow(rfs: &Element, cluster: Option<&Cluster>, context: &mut Context) -> Option<String> {
    let flow = rfs.only_child(&spec::FLOW, context)?;
    let help = "give the heartbeat on that network ident=\"flow\" instead".to_owned();
    context.sink.note(Code::Obsolete, flow.span(), "<flow> is the old way to choose the network", Some(help));
    match servers::lan(&flow, cluster, context) {
        servers::Lan::Old(lan) => lan.map(|lan| lan.text),
        servers::Lan::Named => {
            let name = flow.require_name("name", context)?;
            check_lan(&name, cluster, context);
            Some(name.text)
        }
    }
}

fn replicated(rfs: &Element, suffix: &str, context: &mut Context) -> Vec<Replicated> {
    let children = rfs.children(&spec::REPLICATED, context);
    if children.is_empty() {
        rfs.report_missing_child("replicated", context);
    }
    let mut all: Vec<Replicated> = Vec::new();
    for element in &children {
        let Some(value) = element.require("dir", context) else {
            continue;
        };
        let Some(dir) = directory(value, context) else {
            continue;
        };
        if let Some(other) = all.iter().find(|other| overlap(&other.dir, &dir, suffix)) {
            let message = format!("{dir} and {} lie inside each other", other.dir);
            let help = "replicate the outer one only".to_owned();
            context.sink.error(Code::Duplicate, value.span.clone(), message, Some(help));
        }
        report_other_modules(&dir, suffix, value, context);
        // The secondary's copy is always read-only; the attribute may say so.
        let read_only = element.choice("mode", &[("read_only", true)], context);
        let (to_check, not_replicated) = (to_check(element, context), exclusion::read(element, context));
        all.push(Replicated { dir, read_only, to_check, not_replicated });
    }
    all
}

/// Two modules can't replicate the same files.
fn report_other_modules(dir: &str, suffix: &str, value: &Value, context: &mut Context) {
    let of_others = context.others.iter().flat_map(|other| {
        let rfs = other.rfs.iter();
        rfs.flat_map(move |rfs| rfs.replicated.iter().map(move |replicated| (&other.name, rfs, &replicated.dir)))
    });
    let mut in_the_way =
        of_others.filter(|(_, rfs, theirs)| overlap(theirs, dir, suffix) || overlap(theirs, dir, &rfs.suffix));
    let Some((name, _, theirs)) = in_the_way.next() else {
        return;
    };
    let message = if theirs == dir {
        format!("{dir} is replicated by the module {name} already")
    } else {
        format!("{dir} and {theirs} of the module {name} lie inside each other")
    };
    let help = "replicate it in one module, or give each a directory of its own".to_owned();
    context.sink.error(Code::Conflict, value.span.clone(), message, Some(help));
}

/// Whether one of two directories, or what it is moved to, is the other or inside it.
fn overlap(one: &str, two: &str, suffix: &str) -> bool {
    let inside = |outer: &str, inner: &str| inner == outer || inner.starts_with(&format!("{outer}/"));
    let (moved_one, moved_two) = (format!("{one}{suffix}"), format!("{two}{suffix}"));
    inside(one, two) || inside(two, one) || inside(&moved_one, two) || inside(&moved_two, one)
}

/// An absolute path in its plain form. Doubled and trailing slashes are taken out.
fn directory(value: &Value, context: &mut Context) -> Option<String> {
    let text = &value.text;
    let mut refuse = |message: String, help: &str| {
        context.sink.error(Code::BadValue, value.span.clone(), message, Some(help.to_owned()));
        None
    };
    if !text.starts_with('/') {
        let windows = text.contains('\\') || text.as_bytes().get(1) == Some(&b':');
        let (what, help) = match windows {
            true => ("is a path of Windows", "a path of this system, such as /safedir"),
            false => ("isn't an absolute path", "begin with a slash"),
        };
        return refuse(format!("dir=\"{text}\" {what}"), help);
    }
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
    if parts.iter().any(|part| *part == "." || *part == "..") || text.contains(char::is_control) || text.len() > 1024 {
        return refuse(format!("dir=\"{text}\" isn't a plain path"), "without . and .., at most 1024 bytes");
    }
    let dir = format!("/{}", parts.join("/"));
    let below_kernel = KERNEL.iter().any(|kernel| dir.starts_with(&format!("{kernel}/")));
    if below_kernel || SYSTEM.contains(&dir.as_str()) {
        return refuse(
            format!("{dir} belongs to the system and can't be replicated"),
            "give the application's directory",
        );
    }
    Some(dir)
}

fn to_check(element: &Element, context: &mut Context) -> Vec<String> {
    let tags = element.children(&spec::TOCHECK, context);
    tags.iter().filter_map(|tag| relative_path(tag.require("path", context)?, context)).collect()
}

/// A path inside a replicated directory.
pub(super) fn relative_path(value: &Value, context: &mut Context) -> Option<String> {
    let plain = value.text.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    if plain && !value.text.contains(char::is_control) {
        return Some(value.text.clone());
    }
    let message = format!("path=\"{}\" isn't a path inside the replicated directory", value.text);
    context.sink.error(Code::BadValue, value.span.clone(), message, Some("such as data/PG_VERSION".to_owned()));
    None
}
