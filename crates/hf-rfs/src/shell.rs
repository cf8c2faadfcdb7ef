//! The loop.

use crate::event::{Event, Events};
use crate::fence::Fence;
use crate::load::Live;
use hf_bus::Outbox;
use hf_fs::engine::Engine;
use hf_host::files::with_causes;
use hf_host::{Paths, ProcessLog, clock, wake};
use hf_node::rfs::{RfsActor, RfsEffect, RfsInput};
use hf_types::{Instant, ModuleName, NodeName};
use hf_wire::bus::{HeartToRfs, RfsToHeart};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc;

pub struct Shell {
    pub actor: RfsActor,
    pub engine: Engine,
    pub log: ProcessLog,
    pub fence: Fence,
    pub heart: Option<Outbox>,
    /// What a heart that comes back is told first.
    pub last_status: Option<RfsToHeart>,
    pub inputs: VecDeque<RfsInput>,
    pub leaving: bool,
    /// What is read again, and what then changes.
    pub sources: (Paths, ModuleName, Option<NodeName>),
    pub live: Live,
    pub events: Events,
}

impl Shell {
    /// Runs until the actor leaves.
    pub async fn run(mut self, mut events: mpsc::UnboundedReceiver<Event>) {
        while !self.leaving {
            self.work();
            if self.leaving {
                break;
            }
            let wake = self.wake_at();
            let event = tokio::select! {
                biased;
                event = events.recv() => event,
                () = tokio::time::sleep(wake.since(clock::now())) => None,
            };
            self.notice_stall(wake);
            event.into_iter().for_each(|event| self.take(event));
            while let Ok(event) = events.try_recv() {
                self.take(event);
            }
        }
        // Dropping the outbox lets its task write what is queued.
        self.heart = None;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    fn wake_at(&self) -> Instant {
        wake::at(self.actor.next_deadline().map(|(deadline, _)| deadline))
    }

    fn notice_stall(&mut self, wake: Instant) {
        self.inputs.extend(wake::stalled_ms(wake).map(|for_ms| RfsInput::Stalled { for_ms }));
    }

    fn work(&mut self) {
        loop {
            let input = match self.inputs.pop_front() {
                Some(input) => input,
                None if self.is_due() => RfsInput::Timer,
                None => return,
            };
            let heart_gone = input == RfsInput::HeartGone;
            for effect in self.actor.handle(clock::now(), input) {
                self.carry_out(effect);
            }
            if heart_gone {
                self.fence.say(); // the gate was closed by the effects above
            }
            if self.leaving {
                return;
            }
        }
    }

    fn is_due(&self) -> bool {
        self.actor.next_deadline().is_some_and(|(deadline, _)| deadline <= clock::now())
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::HeartUp(outbox) => {
                self.fence.take_back();
                self.heart = Some(outbox);
                if let Some(status) = self.last_status.clone() {
                    self.tell_heart(&status);
                }
                self.inputs.push_back(RfsInput::HeartBack);
            }
            Event::Heart(HeartToRfs::Reread) => self.reread(),
            Event::Reread(Ok(config)) => self.inputs.push_back(RfsInput::Configured(config)),
            Event::Reread(Err(error)) => tracing::warn!(error, "the changed configuration can't be used by rfs"),
            Event::Heart(message) => self.inputs.push_back(RfsInput::Heart(message)),
            Event::HeartDown => {
                self.heart = None;
                self.inputs.push_back(RfsInput::HeartGone);
            }
            Event::HeartDead => self.inputs.push_back(RfsInput::HeartDead),
            Event::Engine(event) => self.inputs.push_back(RfsInput::Engine(event)),
            Event::Log(event) => self.log.write(&event),
        }
    }

    /// Away from the loop.
    fn reread(&self) {
        let (sources, live, events) = (self.sources.clone(), self.live.clone(), self.events.clone());
        tokio::task::spawn_blocking(move || {
            let (paths, module, node) = sources;
            let read = live.reread(&paths, &module, node).map_err(|error| with_causes(&error));
            // The loop only goes away with the whole process.
            drop(events.send(Event::Reread(read)));
        });
    }

    fn carry_out(&mut self, effect: RfsEffect) {
        match effect {
            RfsEffect::ToHeart(message) => {
                if matches!(message, RfsToHeart::Status { .. }) {
                    self.last_status = Some(message.clone());
                }
                self.tell_heart(&message);
            }
            RfsEffect::Engine(command) => self.engine.command(command),
            RfsEffect::Log(event) => self.log.write(&event),
            RfsEffect::Exit => self.leaving = true,
        }
    }

    fn tell_heart(&mut self, message: &RfsToHeart) {
        let Some(heart) = &self.heart else { return };
        if let Err(error) = heart.send(message) {
            tracing::warn!(%error, "the heart can't be told; it is connected to again");
            self.heart = None;
        }
    }
}
