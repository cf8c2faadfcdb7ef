//! `<custom>` (reference 004, 13.15, 15.12): a program that loops, and sets its resource with `holdfast set`.

use crate::event::{Event, Events};
use crate::scripts::Scripts;
use hf_config::CustomCheck;
use hf_exec::run_or_kill;
use hf_node::heart::HeartInput;
use std::collections::BTreeMap;
use tokio::sync::oneshot;

/// Programs that run. Dropping a sender kills one with its process group.
pub struct Customs {
    running: BTreeMap<String, oneshot::Sender<()>>,
    events: Events,
}

impl Customs {
    pub fn new(events: Events) -> Customs {
        Customs { running: BTreeMap::new(), events }
    }

    /// Arguments: the module, the resource, and those of the configuration.
    pub fn start(&mut self, run: u64, resource: String, check: CustomCheck, scripts: &Scripts) {
        let (stop, stopped) = oneshot::channel();
        self.running.insert(resource.clone(), stop);
        let args = [scripts.module().to_owned(), resource.clone()].into_iter().chain(check.arguments).collect();
        let program = scripts.program(&check.exec, args);
        let events = self.events.clone();
        tokio::spawn(async move {
            let mut unwanted = false;
            let kill = async {
                drop(stopped.await);
                unwanted = true;
            };
            let ran = run_or_kill(&program.spec(), kill).await;
            if !unwanted {
                let ended = HeartInput::CheckerEnded { resource, run, outcome: ran.outcome };
                // The loop only goes away with the whole process.
                drop(events.send(Event::Input(ended)));
            }
        });
    }

    pub fn stop(&mut self, resource: &str) {
        self.running.remove(resource);
    }
}
