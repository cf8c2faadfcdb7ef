use hf_types::{Colour, ModuleState};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A state with its colour (reference 004, 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    pub state: ModuleState,
    pub colour: Colour,
}

impl Place {
    pub const STOP: Place = Place::of(ModuleState::Stop, Colour::Red);
    pub const STARTING: Place = Place::of(ModuleState::Wait, Colour::Magenta);
    pub const HELD: Place = Place::of(ModuleState::Wait, Colour::Red);

    /// This state in this colour.
    pub const fn of(state: ModuleState, colour: Colour) -> Place {
        Place { state, colour }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.state, self.colour)
    }
}

use Colour::{Green, Magenta, Red};
use ModuleState::{Alone, Prim, Second, Stop, Wait};

/// Every legal change, with its source. What is not here does not happen.
pub const LEGAL: &[(Place, Place, &str)] = &[
    (at(Stop, Red), at(Wait, Magenta), "start (reference 004, 14.2: \"transition STOP WAIT start\")"),
    (at(Wait, Magenta), at(Wait, Red), "held back: data may be not up to date (5.5)"),
    (at(Wait, Red), at(Wait, Magenta), "what held it back is gone, or a stop begins (5.2)"),
    (at(Wait, Magenta), at(Alone, Magenta), "may start as primary (5.3, 5.5; guide P5)"),
    (at(Wait, Magenta), at(Second, Magenta), "the other node is primary (5.4)"),
    (at(Wait, Magenta), at(Stop, Red), "stop, or a start that was refused (5.9)"),
    (at(Alone, Magenta), at(Alone, Green), "start_prim ended (5.2)"),
    (at(Alone, Green), at(Alone, Magenta), "scripts run (5.2)"),
    (at(Alone, Magenta), at(Prim, Magenta), "the other node is in step while start_prim runs (5.2)"),
    (at(Alone, Green), at(Prim, Green), "the other node is SECOND green (4.2.3)"),
    (at(Alone, Magenta), at(Wait, Magenta), "stopstart, yielding, split brain (4.2.10)"),
    (at(Alone, Magenta), at(Stop, Red), "stop (4.2.2)"),
    (at(Prim, Magenta), at(Prim, Green), "start_prim ended (5.2)"),
    (at(Prim, Green), at(Prim, Magenta), "scripts run: swap, stop (4.2.5)"),
    (at(Prim, Green), at(Alone, Green), "the other copy is gone; the application goes on (4.2.10)"),
    (at(Prim, Magenta), at(Alone, Magenta), "the other copy is gone while scripts run (5.2)"),
    (at(Prim, Magenta), at(Second, Magenta), "swap, the former primary (4.2.5)"),
    (at(Prim, Magenta), at(Wait, Magenta), "stopstart, yielding (4.2.10; guide P7)"),
    (at(Prim, Magenta), at(Stop, Red), "stop (4.2.2)"),
    (at(Second, Magenta), at(Second, Green), "reintegrated, or no longer swapping (5.4)"),
    (at(Second, Green), at(Second, Magenta), "out of step, swap or stop begins (5.2)"),
    (at(Second, Green), at(Alone, Magenta), "failover (4.2.2, 4.2.9)"),
    (at(Second, Magenta), at(Alone, Magenta), "failover of a copy in step during a swap (4.2.5)"),
    (at(Second, Magenta), at(Prim, Magenta), "swap, the new primary (4.2.5)"),
    (at(Second, Magenta), at(Wait, Magenta), "the primary is gone and this copy is not in step; failover off (5.7)"),
    (at(Second, Magenta), at(Stop, Red), "stop (5.9)"),
];

const fn at(state: ModuleState, colour: Colour) -> Place {
    Place::of(state, colour)
}

/// A change that the table does not know: a fault in the caller, said loudly and not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no way from {from} to {to}")]
pub struct Illegal {
    pub from: Place,
    pub to: Place,
}

/// What a change was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passage {
    pub from: Place,
    pub to: Place,
    /// Why the table allows it.
    pub source: &'static str,
}

/// The only way from one place to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Door {
    place: Place,
}

impl Door {
    /// A module is stopped before anything else.
    pub fn new() -> Door {
        Door { place: Place::STOP }
    }

    /// Where the module is.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Goes to `to`; none if it is there already.
    pub fn pass(&mut self, to: Place) -> Result<Option<Passage>, Illegal> {
        let from = self.place;
        if from == to {
            return Ok(None);
        }
        let known = LEGAL.iter().find(|(a, b, _)| (*a, *b) == (from, to));
        let (_, _, source) = known.ok_or(Illegal { from, to })?;
        self.place = to;
        Ok(Some(Passage { from, to, source }))
    }
}

impl Default for Door {
    fn default() -> Door {
        Door::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [ModuleState; 7] = [Stop, Wait, Alone, Prim, Second, ModuleState::Up, ModuleState::Unknown];
    const COLOURS: [Colour; 4] = [Red, Magenta, Green, Colour::Grey];

    fn places() -> impl Iterator<Item = Place> {
        STATES.into_iter().flat_map(|state| COLOURS.into_iter().map(move |colour| at(state, colour)))
    }

    fn legal(from: Place, to: Place) -> bool {
        Door { place: from }.pass(to).is_ok_and(|passage| passage.is_some())
    }

    /// The rules behind the table, each checked for all 784 pairs.
    #[test]
    fn every_pair_of_places_keeps_the_rules() {
        let mut count = 0;
        for from in places() {
            for to in places() {
                if !legal(from, to) {
                    continue;
                }
                count += 1;
                let own = |place: Place| match place.state {
                    Stop => place.colour == Red,
                    Wait => place.colour == Red || place.colour == Magenta,
                    Alone | Prim | Second => place.colour == Green || place.colour == Magenta,
                    ModuleState::Up | ModuleState::Unknown => false,
                };
                assert!(own(from) && own(to), "{from} -> {to}: a place of mirror modules");
                if from.state != to.state {
                    let goes_on = from.state == Prim && to.state == Alone || from.state == Alone && to.state == Prim;
                    assert!(to.colour != Green || goes_on, "{from} -> {to}: scripts run before green");
                }
                if to.state == Stop {
                    assert_eq!(from.colour, Magenta, "{from} -> {to}: a stop shows itself first");
                }
                if from.state == Stop {
                    assert_eq!(to.state, Wait, "{from} -> {to}: everything begins with WAIT");
                }
                if to.state == Second {
                    assert!(
                        matches!(from.state, Wait | Second | Prim),
                        "{from} -> {to}: ALONE never becomes secondary without a stop"
                    );
                }
            }
        }
        assert_eq!(count, LEGAL.len(), "no line of the table is there twice");
    }

    #[test]
    fn every_place_leads_to_stop_and_back() {
        for goal in [Place::STOP, at(Prim, Green), at(Second, Green), at(Alone, Green), Place::HELD] {
            for from in LEGAL.iter().map(|(from, ..)| *from) {
                let mut reached = vec![from];
                while let Some((_, to, _)) = LEGAL.iter().find(|(a, b, _)| reached.contains(a) && !reached.contains(b))
                {
                    reached.push(*to);
                }
                assert!(reached.contains(&goal), "{from} never comes to {goal}");
            }
        }
    }

    #[test]
    fn an_unknown_change_is_refused_and_changes_nothing() {
        let mut door = Door::new();
        let illegal = door.pass(at(Prim, Green));
        assert_eq!(illegal.unwrap_err().to_string(), "there is no way from STOP red to PRIM green");
        assert_eq!(door.place(), Place::STOP);
        assert_eq!(door.pass(Place::STOP), Ok(None));
    }
}
