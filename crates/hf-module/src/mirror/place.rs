use crate::Place;
use hf_types::Colour::{self, Green, Magenta, Red};
use hf_types::ModuleState::{self, Alone, Prim, Second, Stop, Wait};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::tests::{is_legal, places};
    use hf_types::Mode;

    /// The rules behind the table, each checked for all 784 pairs.
    #[test]
    fn every_pair_of_places_keeps_the_rules() {
        let mut count = 0;
        for from in places() {
            for to in places().filter(|to| is_legal(Mode::Mirror, from, *to)) {
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
}
