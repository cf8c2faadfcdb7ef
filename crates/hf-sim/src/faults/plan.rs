use super::{Class, Fault, Kind};
use crate::clock::{MS, SEC, Time};
use crate::event::Part;
use crate::rng::Rng;

/// Draws the faults of a run between `from` and `until`: some classes of the allowed ones, more or less often.
///
/// Not all classes at once in every run: a run in which everything breaks all the time rarely gets far enough for the
/// interesting faults (swarm testing).
pub fn plan(rng: &mut Rng, allowed: &[Class], lanes: usize, from: Time, until: Time) -> Vec<Fault> {
    let classes = some_of(rng, allowed);
    // At most twice the pause between two faults: twenty of them in ten minutes.
    let pause = rng.range(SEC, 14 * SEC);
    let mut faults = Vec::new();
    let mut at = from + rng.below(pause);
    while at < until && !classes.is_empty() {
        let class = *rng.pick(&classes);
        if let Some((kind, lasts)) = draw(rng, class, lanes) {
            faults.push(Fault { at, lasts, kind });
        }
        at += rng.range(pause / 8, pause * 2);
        // Now and then two faults nearly at once.
        if rng.chance(150) {
            at = at.saturating_sub(pause / 8).max(faults.last().map_or(0, |f| f.at)) + rng.below(300 * MS);
        }
    }
    faults
}

fn some_of(rng: &mut Rng, allowed: &[Class]) -> Vec<Class> {
    let broken: Vec<Class> = allowed.iter().copied().filter(|c| *c != Class::Admin).collect();
    if broken.is_empty() {
        return broken;
    }
    let wanted = rng.range(1, 5);
    (0..wanted).map(|_| *rng.pick(&broken)).collect()
}

fn node(rng: &mut Rng) -> usize {
    rng.below(2) as usize
}

fn draw(rng: &mut Rng, class: Class, lanes: usize) -> Option<(Kind, Time)> {
    let lane = rng.below(lanes as u64) as usize;
    let brief = rng.range(100 * MS, 8 * SEC);
    let drawn = match class {
        Class::Loss => {
            let permille = rng.range(50, 900);
            (Kind::Loss { lane, from: node(rng), permille }, rng.range(SEC, 20 * SEC))
        }
        Class::Delay => {
            let longest = rng.range(20 * MS, 1500 * MS);
            (Kind::Delay { lane, from: node(rng), longest }, rng.range(SEC, 20 * SEC))
        }
        Class::Partition => (Kind::Partition { lanes: cut(rng, lanes), from: [true, true] }, brief * 2),
        Class::OneWay => {
            let from = if rng.chance(500) { [true, false] } else { [false, true] };
            (Kind::Partition { lanes: cut(rng, lanes), from }, brief * 2)
        }
        Class::Link => (Kind::LinkCut, 0),
        Class::KillHeart => (Kind::Kill { node: node(rng), part: Part::Heart }, 0),
        Class::KillRfs => (Kind::Kill { node: node(rng), part: Part::Rfs }, 0),
        Class::KillDaemon => (Kind::Kill { node: node(rng), part: Part::Daemon }, rng.range(100 * MS, 4 * SEC)),
        Class::Freeze => {
            let long = rng.chance(500);
            let lasts = if long { rng.range(5 * SEC, 90 * SEC) } else { brief };
            (Kind::Freeze { node: node(rng) }, lasts)
        }
        Class::Stall => {
            let part = *rng.pick(&[Part::Heart, Part::Heart, Part::Rfs, Part::Daemon]);
            (Kind::Stall { node: node(rng), part }, rng.range(200 * MS, 25 * SEC))
        }
        Class::Power => {
            let nodes = *rng.pick(&[[true, false], [false, true], [true, true]]);
            (Kind::PowerCut { nodes, rollback: false }, rng.range(500 * MS, 30 * SEC))
        }
        Class::Rollback => {
            let nodes = *rng.pick(&[[true, false], [false, true]]);
            (Kind::PowerCut { nodes, rollback: true }, rng.range(2 * SEC, 20 * SEC))
        }
        Class::SlowDisk => (Kind::SlowDisk { node: node(rng) }, brief),
        Class::BadDisk => (Kind::BadDisk { node: node(rng) }, brief),
        Class::Hands => (Kind::ByHand { node: node(rng) }, 0),
        Class::NoRoom => (Kind::NoRoom { node: node(rng) }, brief * 2),
        Class::SlowBus => (Kind::SlowBus { node: node(rng) }, brief),
        Class::Scripts => (Kind::BadScripts { node: node(rng) }, brief * 4),
        Class::Rules => {
            let name = *rng.pick(&crate::setup::CHECKED);
            (Kind::ResourceDown { node: node(rng), name }, brief)
        }
        Class::Errd => {
            let name = *rng.pick(&crate::setup::WATCHED);
            (Kind::ProcessEnds { node: node(rng), name }, 0)
        }
        Class::Admin => return None,
    };
    Some(drawn)
}

fn cut(rng: &mut Rng, lanes: usize) -> Vec<usize> {
    if rng.chance(600) { (0..lanes).collect() } else { vec![rng.below(lanes as u64) as usize] }
}
