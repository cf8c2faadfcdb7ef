//! One target, many inputs.

use crate::mutate::mutate;
use crate::random::Random;
use crate::targets::Target;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// How long it goes on.
#[derive(Clone, Copy, Debug)]
pub enum Budget {
    Executions(u64),
    Time(Duration),
}

/// An input that a target didn't take as it should.
#[derive(Clone, Debug)]
pub struct Finding {
    pub input: Vec<u8>,
    pub what: String,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub target: &'static str,
    pub executions: u64,
    /// Different answers that were seen.
    pub answers: usize,
    pub findings: Vec<Finding>,
}

/// Nothing that is read takes this long, also on a machine with other things to do.
const SLOW: Duration = Duration::from_secs(10);
/// Examples that are kept; later ones take the place of a random one.
const EXAMPLES: usize = 2_000;
/// One fault is often found many times.
const FINDINGS: usize = 20;

/// Tries the examples themselves, then changed ones.
pub fn run(target: &Target, budget: Budget, seed: u64) -> Outcome {
    let mut outcome = Outcome { target: target.name, executions: 0, answers: 0, findings: Vec::new() };
    let (mut random, began) = (Random::new(seed), Instant::now());
    let mut examples: Vec<Vec<u8>> = (target.examples)();
    let mut answers = HashSet::new();
    let mut next = examples.clone();
    let goes_on = |outcome: &Outcome| match budget {
        Budget::Executions(most) => outcome.executions < most,
        Budget::Time(most) => began.elapsed() < most,
    };
    while goes_on(&outcome) && outcome.findings.len() < FINDINGS {
        let is_example = !next.is_empty();
        let input = next.pop().unwrap_or_else(|| changed(&examples, target, &mut random));
        outcome.executions += 1;
        match one(target, &input) {
            Ok(answer) if answers.insert(answer) && !is_example => keep(&mut examples, input, &mut random),
            Ok(_) => {}
            Err(what) => outcome.findings.push(Finding { input, what }),
        }
    }
    outcome.answers = answers.len();
    outcome
}

fn changed(examples: &[Vec<u8>], target: &Target, random: &mut Random) -> Vec<u8> {
    let mut bytes = random.pick(examples).cloned().unwrap_or_default();
    let other = random.pick(examples).map_or(&[][..], Vec::as_slice);
    mutate(&mut bytes, target.words, other, random);
    bytes
}

fn keep(examples: &mut Vec<Vec<u8>>, input: Vec<u8>, random: &mut Random) {
    if examples.len() < EXAMPLES {
        examples.push(input);
    } else {
        let place = random.below(EXAMPLES);
        examples[place] = input;
    }
}

fn one(target: &Target, input: &[u8]) -> Result<u64, String> {
    let began = Instant::now();
    let answer = catch_unwind(AssertUnwindSafe(|| (target.take)(input))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_else(|| "a panic".to_owned())
    })?;
    match began.elapsed() {
        time if time > SLOW => Err(format!("it took {} s", time.as_secs())),
        _ => Ok(answer),
    }
}
