//! The harness sees what it is there for: each planted bug is caught by an invariant that is there for it, within 1,000 seeds (most at once;
//! a late record takes a hundred). The same with the profile lab: `cargo xtask sim --planted`.

use hf_sim::bugs::{Bug, PLANTED, PLANTED_SEEDS};

#[test]
fn every_planted_bug_is_caught() {
    std::thread::scope(|scope| {
        let all: Vec<_> = PLANTED.iter().map(|plan| (plan, scope.spawn(|| plan.catch()))).collect();
        for (plan, caught) in all {
            match caught.join() {
                Ok(Ok((seed, _))) => assert!(seed <= PLANTED_SEEDS),
                Ok(Err(others)) => panic!("{:?} was never caught by {:?}, but by {others:?}", plan.bug, plan.caught_by),
                Err(_) => panic!("{:?}: the search for it panicked", plan.bug),
            }
        }
    });
}

#[test]
fn every_bug_is_planted() {
    for bug in Bug::ALL {
        assert_eq!(PLANTED.iter().filter(|plan| plan.bug == bug).count(), 1, "{bug:?}");
    }
    assert!(PLANTED.len() >= 12);
}
