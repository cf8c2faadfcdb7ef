//! The module's checkers: probes on a thread of their own, and programs of the administrator's.

mod custom;

use crate::event::{Event, Events};
use crate::scripts::Scripts;
use custom::Customs;
use hf_check::{PingProbe, Probe, Report, Runner, TcpProbe};
use hf_config::Checker;
use hf_node::heart::HeartInput;

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
            Checker::Ping(check) => Box::new(PingProbe::new(&check)),
            Checker::Custom(check) => return self.customs.start(run, resource, check, scripts),
            // Refused by the configuration.
            Checker::Intf(_) | Checker::Ip(_) | Checker::Module(_) | Checker::Splitbrain(_) => return,
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
                let checked = HeartInput::Checked { resource, run, value: found.value, why: found.why };
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
