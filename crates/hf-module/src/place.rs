use crate::{farm, mirror};
use hf_types::{Colour, Mode, ModuleState};
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

/// The table of a kind of module: every legal change, with its source.
pub fn legal(mode: Mode) -> &'static [(Place, Place, &'static str)] {
    match mode {
        Mode::Mirror => mirror::LEGAL,
        Mode::Farm | Mode::Light => farm::LEGAL,
    }
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
    mode: Mode,
    place: Place,
}

impl Door {
    /// Of a module of this kind; it is stopped before anything else.
    pub fn new(mode: Mode) -> Door {
        Door { mode, place: Place::STOP }
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
        let known = legal(self.mode).iter().find(|(a, b, _)| (*a, *b) == (from, to));
        let (_, _, source) = known.ok_or(Illegal { from, to })?;
        self.place = to;
        Ok(Some(Passage { from, to, source }))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use Colour::{Green, Grey, Magenta, Red};
    use ModuleState::{Alone, Prim, Second, Stop, Unknown, Up, Wait};

    const STATES: [ModuleState; 7] = [Stop, Wait, Alone, Prim, Second, Up, Unknown];
    const COLOURS: [Colour; 4] = [Red, Magenta, Green, Grey];

    /// Every state in every colour.
    pub(crate) fn places() -> impl Iterator<Item = Place> {
        STATES.into_iter().flat_map(|state| COLOURS.into_iter().map(move |colour| Place::of(state, colour)))
    }

    pub(crate) fn is_legal(mode: Mode, from: Place, to: Place) -> bool {
        Door { mode, place: from }.pass(to).is_ok_and(|passage| passage.is_some())
    }

    #[test]
    fn every_place_leads_to_stop_and_back() {
        let at = Place::of;
        let mirror = [Place::STOP, at(Prim, Green), at(Second, Green), at(Alone, Green), Place::HELD];
        let up = [Place::STOP, at(Up, Green), Place::HELD];
        for (mode, goals) in [(Mode::Mirror, &mirror[..]), (Mode::Farm, &up[..]), (Mode::Light, &up[..])] {
            for goal in goals {
                for from in legal(mode).iter().map(|(from, ..)| *from) {
                    let mut reached = vec![from];
                    let next = |reached: &[Place]| {
                        let line = |(a, b, _): &&(Place, Place, &str)| reached.contains(a) && !reached.contains(b);
                        legal(mode).iter().find(line).map(|(_, to, _)| *to)
                    };
                    while let Some(to) = next(&reached) {
                        reached.push(to);
                    }
                    assert!(reached.contains(goal), "{mode}: {from} never comes to {goal}");
                }
            }
        }
    }

    #[test]
    fn an_unknown_change_is_refused_and_changes_nothing() {
        let mut door = Door::new(Mode::Mirror);
        let illegal = door.pass(Place::of(Prim, Green));
        assert_eq!(illegal.unwrap_err().to_string(), "there is no way from STOP red to PRIM green");
        assert_eq!(door.place(), Place::STOP);
        assert_eq!(door.pass(Place::STOP), Ok(None));
    }
}
