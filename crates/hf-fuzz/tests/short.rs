//! Every target for a moment, and that a fault would be found.

use hf_fuzz::{Budget, Target, all, run};

/// Some seconds in all, with code that isn't optimised.
const EXECUTIONS: u64 = 5_000;

#[test]
fn whatever_is_sent_there_is_an_answer() {
    for target in all() {
        let most = if target.name == "package" { EXECUTIONS / 5 } else { EXECUTIONS };
        let outcome = run(&target, Budget::Executions(most), 1);
        assert!(outcome.findings.is_empty(), "{}: {:#?}", target.name, outcome.findings);
        assert_eq!(outcome.executions, most);
        assert!(outcome.answers > 1, "{}: everything is answered alike", target.name);
    }
}

#[test]
fn the_same_seed_makes_the_same_inputs() {
    for target in all().into_iter().filter(|target| target.name != "package") {
        let answers = || run(&target, Budget::Executions(200), 7).answers;
        assert_eq!(answers(), answers(), "{}", target.name);
    }
}

/// A fault behind two bytes and a length is found within the short run's number of inputs.
#[test]
fn a_planted_fault_is_found_with_its_input() {
    let planted = Target {
        name: "planted",
        examples: || vec![b"length=3 abc".to_vec(), b"other".to_vec()],
        words: &["length=", "7", " "],
        take: |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let Some(rest) = text.strip_prefix("length=") else { return 0 };
            let (length, data) = rest.split_once(' ').unwrap_or((rest, ""));
            let Ok(length) = length.parse::<usize>() else { return 1 };
            assert!(length < 7 || data.is_empty(), "no room for {length}");
            2
        },
    };
    let outcome = run(&planted, Budget::Executions(EXECUTIONS), 1);
    let finding = outcome.findings.first().expect("it is found");
    assert!(finding.what.starts_with("no room for"), "{finding:?}");
    assert!(finding.input.starts_with(b"length="), "{finding:?}");
}
