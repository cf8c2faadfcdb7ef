use crate::Place;
use hf_types::Colour::{self, Green, Magenta, Red};
use hf_types::ModuleState::{self, Stop, Up, Wait};

/// Every legal change, with its source. What is not here does not happen.
pub const LEGAL: &[(Place, Place, &str)] = &[
    (at(Stop, Red), at(Wait, Magenta), "start (reference 004, 14.2: \"transition STOP WAIT start\")"),
    (at(Wait, Magenta), at(Wait, Red), "blocked because of a resource, or by stopwait (6.2)"),
    (at(Wait, Red), at(Wait, Magenta), "what held it back is gone, or a stop begins (6.2)"),
    (at(Wait, Magenta), at(Up, Magenta), "nothing holds it back: start_both runs (6.2)"),
    (at(Wait, Magenta), at(Stop, Red), "stop (4.3.2)"),
    (at(Up, Magenta), at(Up, Green), "start_both ended (6.2)"),
    (at(Up, Green), at(Up, Magenta), "scripts run: restart, stop (4.3.3)"),
    (at(Up, Magenta), at(Wait, Magenta), "stopstart, stopwait (13.18.4)"),
    (at(Up, Magenta), at(Stop, Red), "stop (4.3.2)"),
];

const fn at(state: ModuleState, colour: Colour) -> Place {
    Place::of(state, colour)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::tests::{is_legal, places};
    use hf_types::Mode;

    /// The rules behind the table, each checked for all 784 pairs.
    #[test]
    fn every_pair_of_places_keeps_the_rules() {
        let mut count = 0;
        for (mode, from) in
            [Mode::Farm, Mode::Light].into_iter().flat_map(|mode| places().map(move |from| (mode, from)))
        {
            for to in places().filter(|to| is_legal(mode, from, *to)) {
                count += 1;
                let own = |place: Place| match place.state {
                    Stop => place.colour == Red,
                    Wait => place.colour == Red || place.colour == Magenta,
                    Up => place.colour == Green || place.colour == Magenta,
                    ModuleState::Alone | ModuleState::Prim | ModuleState::Second | ModuleState::Unknown => false,
                };
                assert!(own(from) && own(to), "{from} -> {to}: a place of these modules");
                if from.state != to.state {
                    assert_eq!((from.colour == Magenta || from.state == Stop, to.colour != Green), (true, true));
                }
                if from.state == Stop {
                    assert_eq!(to.state, Wait, "{from} -> {to}: everything begins with WAIT");
                }
            }
        }
        assert_eq!(count, 2 * LEGAL.len(), "no line of the table is there twice");
    }
}
