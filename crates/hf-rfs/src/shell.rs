//! The loop.

use crate::event::Event;
use crate::fence::Fence;
use crate::log::Log;
use hf_bus::Outbox;
use hf_fs::engine::Engine;
use hf_host::clock;
use hf_node::rfs::{RfsActor, RfsEffect, RfsInput};
use hf_types::Instant;
use hf_wire::bus::RfsToHeart;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc;

/// A loop that comes back this much later than it meant to has stood still.
const STALL: Duration = Duration::from_millis(150);
const IDLE: Duration = Duration::from_millis(500);

pub struct Shell {
    pub actor: RfsActor,
    pub engine: Engine,
    pub log: Log,
    pub fence: Fence,
    pub heart: Option<Outbox>,
    /// What a heart that comes back is told first.
    pub last_status: Option<RfsToHeart>,
    pub inputs: VecDeque<RfsInput>,
    pub leaving: bool,
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
        let idle = clock::now() + IDLE;
        self.actor.next_deadline().map_or(idle, |(deadline, _)| deadline.min(idle))
    }

    fn notice_stall(&mut self, wake: Instant) {
        let late = clock::now().since(wake);
        if late >= STALL {
            self.inputs.push_back(RfsInput::Stalled { for_ms: u64::try_from(late.as_millis()).unwrap_or(u64::MAX) });
        }
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
            Event::Heart(message) => self.inputs.push_back(RfsInput::Heart(message)),
            Event::HeartDown => {
                self.heart = None;
                self.inputs.push_back(RfsInput::HeartGone);
            }
            Event::Engine(event) => self.inputs.push_back(RfsInput::Engine(event)),
        }
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
