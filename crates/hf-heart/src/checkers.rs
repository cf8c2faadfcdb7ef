//! The module's checkers: probes on a thread of their own, and programs of the administrator's.

mod custom;
mod generated;
mod intf;
mod ip;

pub use generated::interface_checks;

use crate::event::{Event, Events};
use crate::scripts::Scripts;
use custom::Customs;
use hf_check::{DiskProbe, Found, HttpProbe, ModuleProbe, PingProbe, Probe, Report, Runner, SplitbrainProbe, TcpProbe};
use hf_config::Checker;
use hf_node::heart::{HeartInput, WITNESS_EVERY, WITNESS_TIMEOUT};
use intf::IntfProbe;
use ip::IpProbe;

/// This program, also after an upgrade put another one into its place.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// Carries out what the heart orders; what is found comes as [`HeartInput::Checked`].
pub struct Checkers {
    /// None until the first probe: most modules need no thread for it.
    runner: Option<Runner>,
    customs: Customs,
    events: Events,
}

impl Checkers {
    pub fn new(events: Events) -> Checkers {
        Checkers { runner: None, customs: Customs::new(events.clone()), events }
    }

    pub fn start(&mut self, run: u64, checker: Checker, scripts: &Scripts) {
        let resource = checker.resource();
        let probe: Box<dyn Probe> = match checker {
            Checker::Tcp(check) => Box::new(TcpProbe::new(&check)),
            Checker::Disk(check) => Box::new(DiskProbe::new(&check, OWN_PROGRAM.into())),
            Checker::Http(check) => Box::new(HttpProbe::new(&check)),
            Checker::Ping(check) => Box::new(PingProbe::new(&check)),
            Checker::Module(check) => Box::new(ModuleProbe::new(&check)),
            Checker::Splitbrain(check) => Box::new(SplitbrainProbe::new(&check, WITNESS_EVERY, WITNESS_TIMEOUT)),
            Checker::Custom(check) => return self.customs.start(run, resource, check, scripts),
            Checker::Intf(check) => Box::new(IntfProbe::new(check)),
            Checker::Ip(check) => Box::new(IpProbe::new(&check)),
        };
        if let Some(runner) = self.runner() {
            runner.start(resource, run, probe);
        }
    }

    pub fn stop(&mut self, resource: &str) {
        self.customs.stop(resource);
        if let Some(runner) = &self.runner {
            runner.stop(resource);
        }
    }

    fn runner(&mut self) -> Option<&Runner> {
        if self.runner.is_none() {
            let events = self.events.clone();
            let tell = move |Report { resource, run, found }: Report| {
                let Found { value, why, seen } = found;
                let checked = HeartInput::Checked { resource, run, value, why, seen };
                // The loop only goes away with the whole process.
                drop(events.send(Event::Input(checked)));
            };
            match Runner::spawn(tell) {
                Ok(runner) => self.runner = Some(runner),
                Err(error) => tracing::error!(%error, "no thread for the checkers: their resources stay init"),
            }
        }
        self.runner.as_ref()
    }
}
