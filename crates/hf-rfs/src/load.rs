//! What rfs is configured with.

use crate::authenticate::ByClusterKey;
use crate::places::{self, PlacesError};
use hf_config::{Cluster, ModuleConfig, Replicated, Rfs};
use hf_fs::engine::{AsyncSecond, Directory, EngineConfig};
use hf_fs::front::mountpoint::Place;
use hf_fs::link::{DiskCheck, LaneSource, LinkLane, Tuning};
use hf_host::cluster::{ClusterError, Identity, Member};
use hf_host::module::{Applied, Keys, ModuleError, rfs_port};
use hf_host::{Paths, clock, cluster, module, random};
use hf_node::heart::{HeartConfig, HeartConfigError};
use hf_node::rfs::RfsConfig;
use hf_seal::KeyRing;
use hf_types::{Instant, ModuleName, NodeName};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

const LINK_SILENCE_MIN: Duration = Duration::from_secs(1);
const LINK_SILENCE_MAX: Duration = Duration::from_secs(5);

/// Why rfs can't start.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Module(#[from] ModuleError),
    #[error(transparent)]
    Pair(#[from] HeartConfigError),
    #[error(transparent)]
    Places(#[from] PlacesError),
    #[error("the module {0} replicates nothing: its userconfig.xml has no <rfs>")]
    NoRfs(ModuleName),
    #[error("the replication's network {lan} has no address of {node} in cluster.xml")]
    NoAddress { lan: String, node: NodeName },
}

/// Everything read at the start.
pub struct Loaded {
    pub rfs: RfsConfig,
    pub engine: EngineConfig,
    pub live: Live,
}

/// What may change while the engine works; it holds clones of these.
#[derive(Clone)]
pub struct Live {
    lanes: Arc<Mutex<Vec<LinkLane>>>,
    keys: Arc<Mutex<KeyRing>>,
    async_second: AsyncSecond,
    tuning: Tuning,
}

impl Live {
    /// Reads again and goes by it: lanes and key from the next connection on.
    pub fn reread(&self, paths: &Paths, name: &ModuleName, node: Option<NodeName>) -> Result<RfsConfig, LoadError> {
        let Read { member, keys, applied, rfs, pair, peer } = read(paths, name, node)?;
        let next = lanes(&member.cluster, &applied, &pair, &peer)?;
        *lock(&self.lanes) = next;
        *lock(&self.keys) = keys.ring;
        self.async_second.set(is_async_second(&rfs));
        let (readers, answer, detail) = tuning(&rfs);
        self.tuning.set(readers, answer, detail);
        Ok(rfs_config(&rfs))
    }
}

/// What the files say.
struct Read {
    member: Member,
    keys: Keys,
    applied: Applied,
    rfs: Rfs,
    pair: HeartConfig,
    /// The other node.
    peer: NodeName,
}

fn read(paths: &Paths, name: &ModuleName, node: Option<NodeName>) -> Result<Read, LoadError> {
    let member = cluster::load(paths, &Identity::of_this_machine(node))?;
    let applied = module::load(paths, name, &member.cluster)?;
    let rfs = applied.config.rfs.clone().ok_or_else(|| LoadError::NoRfs(name.clone()))?;
    let pair = HeartConfig::from_config(&applied.config, &member.cluster, &member.me)?;
    let peer = pair.peer.clone().ok_or_else(|| LoadError::NoRfs(name.clone()))?;
    let keys = module::keys(paths, name, &member)?;
    Ok(Read { member, keys, applied, rfs, pair, peer })
}

/// `nbrei`, `reitimeout`, `reidetail`.
fn tuning(rfs: &Rfs) -> (u32, Duration, bool) {
    let answer = Duration::from_millis(rfs.reintegration_timeout_ms);
    (rfs.reintegration_threads, answer, rfs.reintegration_detail)
}

fn is_async_second(rfs: &Rfs) -> bool {
    rfs.async_mode == hf_config::AsyncMode::Second
}

/// Nothing panics while it holds one of these.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Reads and checks the applied configuration.
pub fn load(paths: &Paths, name: &ModuleName, node: Option<NodeName>) -> Result<Loaded, LoadError> {
    let read = read(paths, name, node)?;
    let rfs = &read.rfs;
    let of = |replicated: &Replicated| Place::new(Path::new(&replicated.dir), &rfs.suffix);
    let of = |replicated: &Replicated| of(replicated).map(|place| place.renamed(rfs.mount_over));
    let places = rfs.replicated.iter().map(of).collect::<Result<Vec<Place>, _>>().map_err(PlacesError::from)?;
    places::prepare(paths, &places)?;
    let (readers, answer, detail) = tuning(rfs);
    let live = Live {
        lanes: Arc::new(Mutex::new(lanes(&read.member.cluster, &read.applied, &read.pair, &read.peer)?)),
        keys: Arc::new(Mutex::new(read.keys.ring.clone())),
        async_second: is_async_second(rfs).into(),
        tuning: Tuning::new(readers, answer, detail).with_connections(rfs.connections),
    };
    Ok(Loaded { rfs: rfs_config(rfs), engine: engine(paths, name, &read, &live), live })
}

/// With what the clock says now.
fn rfs_config(rfs: &Rfs) -> RfsConfig {
    let since_zero = clock::now().since(Instant(0)).as_secs() as i64;
    RfsConfig { zero_s: (clock::wall_us() / 1_000_000).saturating_sub(since_zero), ..RfsConfig::from(rfs) }
}

fn engine(paths: &Paths, name: &ModuleName, read: &Read, live: &Live) -> EngineConfig {
    let Read { keys, rfs, pair, peer, .. } = read;
    let lanes = live.lanes.clone();
    EngineConfig {
        acl: rfs.acl,
        directories: directories(rfs),
        keeper: paths.module_run(name).join("keeper.sock"),
        lanes: LaneSource::new(move || lock(&lanes).clone()),
        first: pair.me_first,
        async_second: live.async_second.clone(),
        send_timeout: Duration::from_millis(rfs.send_timeout_ms),
        lock_timeout: Duration::from_millis(rfs.lock_timeout_ms),
        silence: link_silence(pair),
        disk: DiskCheck {
            time: Duration::from_millis(rfs.check_timeout_ms),
            interval: Duration::from_millis(rfs.check_interval_ms),
        },
        tuning: live.tuning.clone(),
        bandwidth_kb_s: rfs.reintegration_bandwidth_kb_s,
        identity: random::number(),
        boot_id: clock::boot_id(),
        authenticate: Arc::new(ByClusterKey {
            keys: live.keys.clone(),
            asks_before: AtomicBool::new(false),
            purpose: format!("link/{name}"),
            me: pair.me.as_str().to_owned(),
            peer: peer.as_str().to_owned(),
            sealed: rfs.encryption && !keys.insecure,
        }),
    }
}

/// Silence after which the link counts as broken: no longer than the hearts would take to miss each other, and never so short that a busy
/// machine breaks it. A broken link decides nothing; it makes the heart ask.
fn link_silence(pair: &HeartConfig) -> Duration {
    let shortest = pair.lanes.iter().map(|lane| lane.timeout).min().unwrap_or(LINK_SILENCE_MAX);
    shortest.clamp(LINK_SILENCE_MIN, LINK_SILENCE_MAX)
}

/// The networks that the heartbeats use, the replication's own one first: it carries the link as long as it works.
fn lanes(
    cluster: &Cluster,
    applied: &Applied,
    pair: &HeartConfig,
    peer: &NodeName,
) -> Result<Vec<LinkLane>, LoadError> {
    let config: &ModuleConfig = &applied.config;
    let mut names = vec![config.effective_flow_lan()];
    for heartbeat in &config.heart.heartbeats {
        if !names.contains(&heartbeat.lan.as_str()) {
            names.push(&heartbeat.lan);
        }
    }
    let port = rfs_port(applied.id);
    let mut lanes = Vec::new();
    for lan in names {
        let node = |name: &NodeName| {
            let node = cluster.node_on(name.as_str(), lan);
            node.ok_or_else(|| LoadError::NoAddress { lan: lan.to_owned(), node: name.clone() })
        };
        // A name without an address yet: this network waits until it was looked up.
        if let (Some(own), Some(peer)) = (node(&pair.me)?.local_ip(), node(peer)?.ip) {
            let (local, peer) = (SocketAddr::from((own, port)), SocketAddr::from((peer, port)));
            lanes.push(LinkLane { name: lan.to_owned(), local, peer });
        }
    }
    Ok(lanes)
}

fn directories(rfs: &Rfs) -> Vec<Directory> {
    rfs.replicated
        .iter()
        .map(|replicated| Directory {
            dir: replicated.dir.clone().into(),
            backing: rfs.backing_dir(replicated).into(),
            renamed: rfs.mount_over,
            to_check: replicated.to_check.iter().map(PathBuf::from).collect(),
            left_out: replicated.not_replicated.clone(),
        })
        .collect()
}
