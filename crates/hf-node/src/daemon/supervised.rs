use super::InstalledModule;
use super::actor::NO_EPOCH;
use super::fencing::Fencing;
use super::status::status_of;
use hf_types::{
    Caller, Colour, Command, Epoch, Incarnation, Instant, Mode, ModuleName, ModuleState, NodeName, Resource,
    ResourceValue, Ticket,
};
use hf_wire::bus::{Fenced, ModuleStatus, OtherNode, PeerModule};
use hf_wire::membership::MemberModule;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// A heart that dies more often than this within [`DEATHS_WITHIN`] is not started again by itself.
const DEATHS_MAX: usize = 4;
const DEATHS_WITHIN: Duration = Duration::from_secs(120);
/// An application whose mount is fenced can't write any more: what a stop needs to write would hang until the abort.
const FENCED_NICE_STOP: Duration = Duration::from_secs(3);
const FENCED_FORCE_STOP: Duration = Duration::from_secs(10);
/// The resource that says whether the module is started at boot.
const BOOT: &str = "usersetting.boot";

/// One module on this node, as its daemon sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Supervised {
    pub installed: Option<InstalledModule>,
    pub life: Life,
    /// The heart that spoke last, and the latest grant that it told of.
    pub heart: Option<Incarnation>,
    pub epoch: Epoch,
    pub status: Option<ModuleStatus>,
    /// Told to the other nodes from the death of a heart on, for good: it names the heart that it is about.
    fenced: Option<Fenced>,
    /// What to do once everything of the module is stopped.
    pub restart: Option<(Command, Caller)>,
    /// The machine is to be rebooted once it has.
    pub reboots: bool,
    /// Commands that wait for the first word of a heart that was started for them.
    pub starting: Vec<Ticket>,
    /// Commands that the heart has not answered.
    pub asked: Vec<Ticket>,
    /// A start that the heart has not answered: a heart that is just leaving never will.
    pub start_asked: Option<(Ticket, Command, Caller)>,
    /// The last start that the heart took: if it leaves for it, the next heart says who called.
    pub start_taken: Option<(Command, Caller)>,
    /// Its heart was started by an earlier daemon and has not spoken to this one.
    pub adopted: bool,
    /// Why it stopped by itself, and what its resources still say about that; until its next start.
    ended: Option<(String, Vec<Resource>)>,
    /// What the other node's daemon says.
    pub peer: Option<PeerModule>,
    /// What is known of the other nodes themselves.
    pub others: BTreeMap<NodeName, OtherNode>,
    deaths: Vec<Instant>,
}

/// Whether there is a heart.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) enum Life {
    #[default]
    Stopped,
    Running,
    Fencing(Fencing),
}

impl Supervised {
    pub fn configure(&mut self, installed: &InstalledModule) {
        self.installed = Some(installed.clone());
    }

    /// The kind of module; none if it is configured no more.
    pub fn mode(&self) -> Option<Mode> {
        self.installed.as_ref().map(|installed| installed.mode)
    }

    fn id(&self) -> u32 {
        self.installed.as_ref().map_or(0, |installed| installed.id)
    }

    /// The state as its heart said, or what follows from there being none.
    pub fn state(&self) -> ModuleState {
        match (&self.life, &self.status) {
            (Life::Stopped, _) => ModuleState::Stop,
            (_, Some(status)) => status.state,
            (_, None) => ModuleState::Wait,
        }
    }

    fn colour(&self) -> Colour {
        match (&self.life, &self.status) {
            (Life::Stopped, _) => Colour::Red,
            (Life::Running, Some(status)) => status.colour,
            (Life::Fencing(_), _) | (_, None) => Colour::Magenta,
        }
    }

    /// Reached and settled: green, or red where the state is one of rest.
    pub fn is_stable(&self, state: ModuleState) -> bool {
        let resting = matches!(state, ModuleState::Stop | ModuleState::Wait);
        let colour = if resting { Colour::Red } else { Colour::Green };
        self.state() == state && self.colour() == colour
    }

    /// How a start ended, if it has: green, or STOP with nothing that starts it again.
    pub fn started(&self, name: &ModuleName) -> Option<Result<(), String>> {
        match &self.life {
            Life::Stopped if self.restart.is_none() => Some(Err(format!(
                "{name} is STOP on this node: 'holdfast log -m {name}' says why, 'holdfast start -m {name}' starts it"
            ))),
            _ => (self.colour() == Colour::Green).then_some(Ok(())),
        }
    }

    /// Whether the other nodes know this state and colour already.
    pub fn shows(&self, status: &ModuleStatus) -> bool {
        self.status.as_ref().is_some_and(|known| known.state == status.state && known.colour == status.colour)
    }

    /// The heart's last words.
    pub fn note_end(&mut self, why: Option<String>) {
        let down = |resource: &&Resource| resource.name == "rfs.disk" && resource.value == ResourceValue::Down;
        let resources = self.status.iter().flat_map(|status| &status.resources).filter(down).cloned().collect();
        self.ended = why.map(|why| (why, resources));
    }

    pub fn follow(&mut self, heart: Incarnation, epoch: Epoch, status: ModuleStatus) {
        self.heart = Some(heart);
        self.ended = None;
        self.epoch = epoch;
        self.status = Some(status);
    }

    pub fn as_member(&self, name: &ModuleName) -> MemberModule {
        let peer = PeerModule { heard: true, state: self.state(), fenced: self.fenced };
        let (signature, applied_s) = match &self.installed {
            Some(installed) => (installed.signature.clone(), installed.applied_s),
            None => Default::default(),
        };
        MemberModule { module: name.clone(), id: self.id(), colour: self.colour(), peer, signature, applied_s }
    }

    /// Whether `status` is what [`Supervised::as_status`] gives.
    pub fn is_shown_by(&self, me: &NodeName, name: &ModuleName, status: &ModuleStatus) -> bool {
        let (Life::Running | Life::Fencing(_), Some(said)) = (&self.life, &self.status) else {
            return *status == self.as_status(me, name);
        };
        let ModuleStatus { node, module, id, state, colour, resources, why, sync } = status;
        let boot = |shown: &Resource| {
            let value = self.installed.as_ref().map(|installed| installed.boot.as_str());
            shown.name == BOOT && matches!(&shown.value, ResourceValue::Text(text) if Some(text.as_str()) == value)
        };
        let own = usize::from(self.installed.is_some());
        (*id, *state, *colour) == (self.id(), self.state(), self.colour())
            && (node, module, why, sync) == (me, &said.module, &said.why, &said.sync)
            && resources.len() == own + said.resources.len()
            && resources[..own].iter().all(boot)
            && resources[own..] == said.resources
    }

    pub fn as_status(&self, me: &NodeName, name: &ModuleName) -> ModuleStatus {
        let mut bare = status_of(me, name, self.id(), self.state(), self.colour());
        let boot = self.installed.as_ref().map(|installed| Resource {
            name: BOOT.to_owned(),
            value: ResourceValue::Text(installed.boot.clone()),
            by: "safeadmin".to_owned(),
            at_us: 0,
        });
        bare.resources.extend(boot);
        match (&self.life, &self.status) {
            (Life::Stopped, _) => {
                bare.resources.extend(self.installed.as_ref().map(|installed| Resource {
                    name: "usersetting.checker".to_owned(),
                    value: ResourceValue::Text(if installed.checking { "on" } else { "off" }.to_owned()),
                    by: "safeadmin".to_owned(),
                    at_us: 0,
                }));
                let (why, resources) = self.ended.clone().unzip();
                bare.resources.extend(resources.into_iter().flatten());
                ModuleStatus { why, ..bare }
            }
            (_, None) => bare,
            (_, Some(status)) => {
                let resources = bare.resources.into_iter().chain(status.resources.iter().cloned()).collect();
                let (state, colour, id, node) = (bare.state, bare.colour, bare.id, bare.node);
                ModuleStatus { state, colour, id, node, resources, ..status.clone() }
            }
        }
    }

    /// What the heart that is gone was told to keep.
    pub fn note_settings(&mut self) {
        let resources = self.status.iter().flat_map(|status| &status.resources);
        let mut checker =
            resources.filter(|resource| resource.name == "usersetting.checker").map(|one| one.value.clone());
        if let Some(ResourceValue::Text(word)) = checker.next_back() {
            self.choose_checking(word != "off");
        }
    }

    /// `checker on|off`.
    pub fn choose_checking(&mut self, on: bool) {
        self.installed.iter_mut().for_each(|installed| installed.checking = on);
    }

    /// Notes a death; whether the module is to be started again.
    pub fn may_restart(&mut self, now: Instant) -> bool {
        self.deaths.retain(|at| now.since(*at) < DEATHS_WITHIN);
        self.deaths.push(now);
        // A heart that never said a word can't read its configuration, or the like: it would die again. One that lost its
        // daemon before it died has run.
        let ran = self.status.is_some() || std::mem::take(&mut self.adopted);
        ran && self.deaths.len() <= DEATHS_MAX
    }

    /// From now on the other nodes are told that nothing of the heart's grants is acknowledged here.
    pub fn tell_fenced(&mut self) {
        let epoch = if self.heart.is_some() { self.epoch } else { NO_EPOCH };
        self.fenced = self.heart.map(|heart| Fenced { heart, epoch });
    }

    pub fn replicates(&self) -> bool {
        self.installed.as_ref().is_some_and(|installed| installed.replicates)
    }

    /// Time-outs of `stop_prim` and `stop_prim force` after the heart's death.
    pub fn stop_timeouts(&self) -> (Duration, Duration) {
        match &self.installed {
            Some(installed) if installed.replicates => {
                (installed.nice_stop_timeout.min(FENCED_NICE_STOP), installed.force_stop_timeout.min(FENCED_FORCE_STOP))
            }
            Some(installed) => (installed.nice_stop_timeout, installed.force_stop_timeout),
            None => (FENCED_NICE_STOP, FENCED_FORCE_STOP),
        }
    }
}
