//! Resources of a started module: who may set them, what the history is asked to keep, what becomes of them.

mod pair;

use hf_node::heart::{HeartEffect, HeartInput};
use hf_replica::engine::Traffic;
use hf_types::{Assignment, Command, History, Instant, ResourceValue, Ticket};
use hf_wire::bus::RfsToHeart;
use pair::Lab;

fn value(lab: &Lab, name: &str) -> Option<ResourceValue> {
    let status = lab.nodes[0].heart.as_ref().expect("it runs").status();
    status.resources.into_iter().find(|resource| resource.name == name).map(|resource| resource.value)
}

/// What the heart does with a `set`: the answer, and what the history is asked to keep.
fn set(lab: &mut Lab, name: &str, value: &str, history: History) -> (Result<(), String>, Vec<History>) {
    let value = ResourceValue::parse(value).expect("a value");
    let assignment = Assignment { name: name.parse().expect("a name"), value, by: "customscript".into(), history };
    let effects = input(lab, HeartInput::Set { ticket: Ticket(7), assignment });
    let answer = effects.iter().find_map(|effect| match effect {
        HeartEffect::Answer { ticket: Ticket(7), result } => Some(result.clone()),
        _ => None,
    });
    (answer.expect("an answer"), kept(&effects, name))
}

fn input(lab: &mut Lab, input: HeartInput) -> Vec<HeartEffect> {
    let now = Instant(lab.now);
    let effects = lab.nodes[0].heart.as_mut().expect("it runs").handle(now, input);
    for effect in &effects {
        if let HeartEffect::Log(event) = effect {
            lab.nodes[0].log.push(event.to_string());
        }
    }
    effects
}

fn kept(effects: &[HeartEffect], name: &str) -> Vec<History> {
    let kept = effects.iter().filter_map(|effect| match effect {
        HeartEffect::SetResource { resource, history } if resource.name == name => Some(*history),
        _ => None,
    });
    kept.collect()
}

#[test]
fn a_script_sets_a_resource() {
    let mut lab = Lab::paired();
    let (answer, kept) = set(&mut lab, "custom.checkfile", "down", History::Changes);
    assert_eq!((answer, kept), (Ok(()), vec![History::Changes]));
    assert_eq!(value(&lab, "custom.checkfile"), Some(ResourceValue::Down));
    lab.has_in_order(0, &["Resource custom.checkfile set to down by customscript"]);

    let said = lab.nodes[0].log.len();
    assert_eq!(set(&mut lab, "custom.checkfile", "down", History::Changes).1, []);
    assert_eq!(set(&mut lab, "custom.checkfile", "down", History::Always).1, [History::Always]);
    assert_eq!(lab.nodes[0].log.len(), said, "the same value is not logged again");
    assert_eq!(set(&mut lab, "custom.checkfile", "up", History::Never).1, [History::Never]);
    assert_eq!(value(&lab, "custom.checkfile"), Some(ResourceValue::Up));
}

#[test]
fn what_holdfast_found_or_an_administrator_chose_is_not_set() {
    let mut lab = Lab::paired();
    for (name, way) in [("rfs.uptodate", "can't be set"), ("usersetting.failover", "holdfast failover on|off")] {
        let before = value(&lab, name);
        let (answer, kept) = set(&mut lab, name, "down", History::Always);
        assert!(answer.expect_err(name).contains(way), "{name}");
        assert_eq!((value(&lab, name), kept), (before, vec![]));
    }
}

#[test]
fn what_rfs_measures_is_unknown_without_it() {
    let mut lab = Lab::paired();
    let says = |pairs: &[(&str, &str)]| {
        let values = pairs
            .iter()
            .map(|(name, value)| (name.parse().expect("a name"), ResourceValue::parse(value).expect("a value")));
        HeartInput::Rfs(RfsToHeart::Resources { values: values.collect() })
    };
    let first = input(&mut lab, says(&[("rfs.rep_bandwidth", "12"), ("rfs.responding", "up"), ("custom.x", "up")]));
    assert_eq!(kept(&first, "rfs.rep_bandwidth"), [History::Changes]);
    assert_eq!(value(&lab, "custom.x"), None, "rfs speaks of its own class alone");
    let second = input(&mut lab, says(&[("rfs.rep_bandwidth", "13"), ("rfs.responding", "up")]));
    assert_eq!(kept(&second, "rfs.rep_bandwidth"), [History::Never], "a measure is kept once a minute");
    assert_eq!(kept(&second, "rfs.responding"), []);
    assert_eq!(value(&lab, "proc.rfs"), Some(ResourceValue::Up));
    lab.has_in_order(0, &["Resource rfs.responding set to up by nfsbox"]);
    assert!(!lab.nodes[0].log.iter().any(|line| line.contains("rep_bandwidth")), "a measure is not logged");

    let uptodate = value(&lab, "rfs.uptodate");
    input(&mut lab, HeartInput::RfsGone);
    assert_eq!(value(&lab, "rfs.rep_bandwidth"), Some(ResourceValue::Unknown));
    assert_eq!(value(&lab, "rfs.responding"), Some(ResourceValue::Unknown));
    assert_eq!(value(&lab, "rfs.uptodate"), uptodate, "the record outlives the process");
}

/// Reference 004, 13.6.4.7.
#[test]
fn each_bandwidth_has_its_own_resource() {
    let mut lab = Lab::paired();
    lab.counted(0, Traffic { replication: 1, reintegration: 2, net_out: 3, net_in: 4 });
    lab.run(100);
    let shown = ["rep", "rei", "netout", "netin"].map(|name| value(&lab, &format!("rfs.{name}_bandwidth")));
    assert_eq!(shown, [1, 2, 3, 4].map(|kb_s: u64| Some(ResourceValue::Text(kb_s.to_string()))));
}

#[test]
fn a_run_is_another_one_only_after_a_start_of_the_application() {
    let mut lab = Lab::paired();
    let first = value(&lab, "heart.run").expect("it runs");
    lab.command(1, Command::Stop);
    lab.until(30_000, ["ALONE green", "STOP red"]);
    assert_eq!(value(&lab, "heart.run"), Some(first.clone()), "it went on alone");
    lab.command(0, Command::Restart);
    lab.run(5_000);
    let second = value(&lab, "heart.run");
    assert!(second.is_some() && second != Some(first), "{second:?}");
}
