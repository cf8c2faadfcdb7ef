//! What conditions are worth, compared with a model that is nothing but the definition; and when an action follows.

use hf_rules::{
    Action, Compare, Condition, Facts, Id, Operand, Origin, Reference, RuleSet, Side, Span, Truth, Verdict, Watch,
    Word, parse, truth,
};
use hf_types::catalogue::Class;
use hf_types::{Instant, ResourceValue};
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default)]
struct Table {
    local: BTreeMap<String, ResourceValue>,
    remote: BTreeMap<String, ResourceValue>,
    cluster: Option<ResourceValue>,
}

impl Table {
    fn side(&self, side: Side) -> &BTreeMap<String, ResourceValue> {
        match side {
            Side::Local => &self.local,
            Side::Remote => &self.remote,
        }
    }

    fn with(pairs: &[(&str, &str)]) -> Table {
        let mut table = Table::default();
        for (name, value) in pairs {
            table.set(name, value);
        }
        table
    }

    fn set(&mut self, name: &str, value: &str) {
        let value = ResourceValue::parse(value).expect("a value");
        match name.strip_prefix("remote.") {
            Some(name) => self.remote.insert(name.to_owned(), value),
            None => self.local.insert(name.to_owned(), value),
        };
    }
}

impl Facts for Table {
    fn value(&self, side: Side, name: &str) -> Option<ResourceValue> {
        self.side(side).get(name).cloned()
    }

    fn of_class(&self, side: Side, class: Class) -> Vec<(String, ResourceValue)> {
        let all = self.side(side).iter().filter(|(name, _)| Class::of_name(name) == Some(class));
        all.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    fn cluster(&self) -> ResourceValue {
        self.cluster.clone().unwrap_or(ResourceValue::Init)
    }
}

fn worth(condition: &str, table: &Table) -> Truth {
    let parsed = parse(&format!("l: if ({condition}) then stop();"));
    assert_eq!(parsed.problems, [], "{condition}");
    truth(&parsed.rules[0].condition, table, &|_| false)
}

#[test]
fn what_was_not_measured_decides_nothing() {
    let table = Table::with(&[("tcp.a", "init"), ("tcp.b", "down"), ("tcp.i", "inactive"), ("custom.n", "12")]);
    for open in [
        "tcp.a == down",
        "tcp.a != down",
        "!(tcp.a == up)",
        "tcp.never == up",
        "tcp.i == down",
        "tcp.a == tcp.b",
        "tcp.a == down && tcp.b == down",
        "(tcp.a == down) == (tcp.b == down)",
        "ping.? == down",
        "ping.* == down",
        "!(ping.* == down)",
    ] {
        assert_eq!(worth(open, &table), Truth::Open, "{open}");
    }
    for (condition, expected) in [
        ("tcp.a == init", Truth::True),
        ("tcp.a != init", Truth::False),
        ("tcp.never == init", Truth::True),
        ("tcp.b == init", Truth::False),
        ("tcp.a == down || tcp.b == down", Truth::True),
        ("tcp.a == down && tcp.b == up", Truth::False),
        ("remote.tcp.a == unknown", Truth::True),
        ("remote.tcp.a != up", Truth::True),
        ("remote.tcp.a == down", Truth::False),
        ("custom.n == up", Truth::False),
        ("custom.n != up", Truth::True),
    ] {
        assert_eq!(worth(condition, &table), expected, "{condition}");
    }
}

#[test]
fn a_question_mark_is_any_and_an_asterisk_is_all() {
    let mut table = Table::with(&[("heartbeat.a", "down"), ("heartbeat.b", "up"), ("heartbeat.c", "inactive")]);
    assert_eq!(worth("heartbeat.? == down", &table), Truth::True);
    assert_eq!(worth("heartbeat.* == down", &table), Truth::False);
    assert_eq!(worth("down == heartbeat.?", &table), Truth::True);
    table.set("heartbeat.b", "down");
    assert_eq!(worth("heartbeat.* == down", &table), Truth::True);
    assert_eq!(worth("heartbeat.? != down", &table), Truth::False);
    table.set("heartbeat.b", "init");
    assert_eq!(worth("heartbeat.* == down", &table), Truth::Open);
    assert_eq!(worth("heartbeat.? == down", &table), Truth::True);
}

// ---- the model ------------------------------------------------------------------------------------------------------

/// Three-valued truth by what it is for: it is true if it would be true whatever the resources turn out to be once they
/// are measured (up, down or something else), false likewise, open if that hangs on them.
fn by_trying(condition: &Condition, table: &Table) -> Truth {
    let unmeasured: Vec<String> =
        table.local.iter().filter(|(_, value)| **value == ResourceValue::Init).map(|(name, _)| name.clone()).collect();
    let mut answers = Vec::new();
    for number in 0..3usize.pow(u32::try_from(unmeasured.len()).expect("few")) {
        let mut rest = number;
        let mut tried = table.clone();
        for name in &unmeasured {
            tried.set(name, ["up", "down", "other"][rest % 3]);
            rest /= 3;
        }
        answers.push(plain(condition, &tried));
    }
    match (answers.contains(&true), answers.contains(&false)) {
        (true, false) => Truth::True,
        (false, true) => Truth::False,
        _ => Truth::Open,
    }
}

/// Everything is measured: ordinary truth.
fn plain(condition: &Condition, table: &Table) -> bool {
    match condition {
        Condition::Compare(Compare { left: Operand::Resource(reference), equal, right: Operand::Word(word) }) => {
            let is = |value: &ResourceValue| (*value == word.value()) == *equal;
            let class = reference.class.as_str();
            let mut all = table.local.iter().filter(|(name, _)| name.starts_with(&format!("{class}.")));
            match &reference.id {
                Id::All => all.all(|(_, value)| is(value)),
                Id::Any => all.any(|(_, value)| is(value)),
                Id::Name(id) => is(&table.local[&format!("{class}.{id}")]),
            }
        }
        Condition::Compare(_) => unreachable!("the generator makes no other"),
        Condition::Same { left, equal, right } => (plain(left, table) == plain(right, table)) == *equal,
        Condition::Not(inner) => !plain(inner, table),
        Condition::And(parts) => parts.iter().all(|part| plain(part, table)),
        Condition::Or(parts) => parts.iter().any(|part| plain(part, table)),
    }
}

fn condition() -> impl Strategy<Value = Condition> {
    let id = prop_oneof![Just(Id::All), Just(Id::Any), "[abc]".prop_map(Id::Name)];
    let class = prop_oneof![Just(Class::Tcp), Just(Class::Ping)];
    let word = prop_oneof![Just(Word::Up), Just(Word::Down)];
    let comparison = (class, id, any::<bool>(), word).prop_map(|(class, id, equal, word)| {
        let left = Operand::Resource(Reference { side: Side::Local, class, id, place: Span::default() });
        Condition::Compare(Compare { left, equal, right: Operand::Word(word) })
    });
    comparison.prop_recursive(4, 20, 3, |inner| {
        let some = proptest::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            inner.clone().prop_map(|inner| Condition::Not(Box::new(inner))),
            some.clone().prop_map(Condition::And),
            some.prop_map(Condition::Or),
            (inner.clone(), any::<bool>(), inner).prop_map(|(left, equal, right)| Condition::Same {
                left: Box::new(left),
                equal,
                right: Box::new(right)
            }),
        ]
    })
}

fn table(values: &'static [&'static str]) -> impl Strategy<Value = Table> {
    proptest::collection::vec(proptest::sample::select(values), 6).prop_map(|values| {
        let names = ["tcp.a", "tcp.b", "tcp.c", "ping.a", "ping.b", "ping.c"];
        Table::with(&names.into_iter().zip(values).collect::<Vec<_>>())
    })
}

proptest! {
    #[test]
    fn with_everything_measured_it_is_ordinary_truth(condition in condition(), table in table(&["up", "down", "other"])) {
        let expected = if plain(&condition, &table) { Truth::True } else { Truth::False };
        prop_assert_eq!(truth(&condition, &table, &|_| false), expected, "{}", condition);
    }

    /// It never says more than can be known. (It may say less: `a || !a` is open to it.)
    #[test]
    fn what_is_said_of_the_unmeasured_holds_however_it_turns_out(
        condition in condition(),
        table in table(&["up", "down", "init"])
    ) {
        match truth(&condition, &table, &|_| false) {
            Truth::Open => {}
            said => prop_assert_eq!(said, by_trying(&condition, &table), "{}", condition),
        }
    }

    #[test]
    fn a_negation_holds_when_what_it_denies_does_not(condition in condition(), table in table(&["up", "down", "init"])) {
        let negated = truth(&Condition::Not(Box::new(condition.clone())), &table, &|_| false);
        let expected = match truth(&condition, &table, &|_| false) {
            Truth::True => Truth::False,
            Truth::Open => Truth::Open,
            Truth::False => Truth::True,
        };
        prop_assert_eq!(negated, expected);
    }
}

// ---- time -----------------------------------------------------------------------------------------------------------

const SECOND: u64 = 1_000_000_000;

fn rules(text: &str) -> RuleSet {
    let parsed = parse(text);
    assert_eq!(parsed.problems, [], "{text}");
    let mut set = RuleSet::new(15_000);
    parsed.rules.into_iter().for_each(|rule| set.add(Origin::Own, rule));
    set
}

fn at(second: u64) -> Instant {
    Instant(second * SECOND)
}

fn label<'r>(verdict: &Verdict<'r>) -> Option<&'r str> {
    verdict.act.map(|rule| rule.label.as_str())
}

fn anything(_: &Action) -> bool {
    true
}

#[test]
fn an_action_follows_when_its_condition_has_held_long_enough() {
    let rules = rules("r: if (tcp.a == down) then restart();");
    let (down, up) = (Table::with(&[("tcp.a", "down")]), Table::with(&[("tcp.a", "up")]));
    let mut watch = Watch::default();
    let first = watch.look(at(10), &rules, &down, &anything);
    assert_eq!((label(&first), first.next), (None, Some(at(25))));
    assert_eq!(label(&watch.look(at(24), &rules, &down, &anything)), None);
    assert_eq!(label(&watch.look(at(25), &rules, &down, &anything)), Some("r"));
    // A moment of up begins the time anew.
    watch.look(at(26), &rules, &up, &anything);
    assert_eq!(watch.look(at(27), &rules, &down, &anything).next, Some(at(42)));
    watch.begin_anew();
    assert_eq!(watch.look(at(30), &rules, &down, &anything).next, Some(at(45)));
}

#[test]
fn the_time_of_an_action_that_can_not_be_done_begins_when_it_can() {
    let rules = rules("r: if (tcp.a == down) then restart();");
    let down = Table::with(&[("tcp.a", "down")]);
    let mut watch = Watch::default();
    let busy = watch.look(at(0), &rules, &down, &|_| false);
    assert_eq!((label(&busy), busy.next), (None, None));
    assert_eq!(watch.look(at(100), &rules, &down, &anything).next, Some(at(115)));
    watch.look(at(110), &rules, &down, &|_| false);
    assert_eq!(watch.look(at(112), &rules, &down, &anything).next, Some(at(127)), "a pause begins it anew");
    let worth: Vec<(&str, Truth)> = watch.worth().collect();
    assert_eq!(worth, [("r", Truth::True)]);
}

#[test]
fn the_strongest_action_counts_and_is_waited_for() {
    let rules = rules(
        "app: if (tcp.a == down) then restart();
         net: if (intf.a == down) then wait();
         end [handle_time=1s]: if (custom.end == up) then stop();",
    );
    let mut table = Table::with(&[("tcp.a", "down")]);
    let mut watch = Watch::default();
    watch.look(at(0), &rules, &table, &anything);
    table.set("intf.a", "down");
    let later = watch.look(at(10), &rules, &table, &anything);
    assert_eq!(later.wait.map(|rule| rule.label.as_str()), Some("net"), "who starts doesn't wait for handle_time");
    assert_eq!(label(&watch.look(at(15), &rules, &table, &anything)), None, "the wait is on its way");
    let only_restart = |action: &Action| *action == Action::Restart;
    assert_eq!(label(&watch.look(at(15), &rules, &table, &only_restart)), Some("app"));
    watch.look(at(16), &rules, &table, &anything);
    assert_eq!(label(&watch.look(at(31), &rules, &table, &anything)), Some("net"));
    table.set("custom.end", "up");
    watch.look(at(32), &rules, &table, &anything);
    assert_eq!(label(&watch.look(at(33), &rules, &table, &anything)), Some("end"));
}

#[test]
fn what_stood_behind_a_stronger_action_is_not_late_for_it() {
    let rules = rules("app: if (tcp.a == down) then restart(); net: if (intf.a == down) then wait();");
    let mut table = Table::with(&[("tcp.a", "down")]);
    let mut watch = Watch::default();
    watch.look(at(0), &rules, &table, &anything);
    table.set("intf.a", "down");
    watch.look(at(14), &rules, &table, &anything);
    table.set("intf.a", "up");
    assert_eq!(label(&watch.look(at(16), &rules, &table, &anything)), Some("app"));
}

#[test]
fn an_assignment_beside_an_action() {
    let rules = rules("a [handle_time=0]: if (tcp.a == down) then custom.x=down; w: if (tcp.a == down) then wakeup();");
    let down = Table::with(&[("tcp.a", "down")]);
    let verdict = Watch::default().look(at(0), &rules, &down, &anything);
    let assigned: Vec<(&str, Word)> = verdict.assign.iter().map(|(_, resource, word)| (*resource, *word)).collect();
    assert_eq!((assigned, label(&verdict)), (vec![("custom.x", Word::Down)], None));
    assert_eq!(verdict.wakeup.map(|rule| rule.label.as_str()), Some("w"));
}

#[test]
fn a_checker_that_says_itself_what_is_done_is_passed_over_by_default_rules() {
    let mut set = RuleSet::new(0);
    set.settle("t_quiet".to_owned(), Class::Tcp, "quiet", None);
    set.settle("t_web".to_owned(), Class::Tcp, "web", Some(Action::Wait));
    for rule in parse("tcp_failure: if (tcp.? == down) then restart();").rules {
        set.add(Origin::Default, rule);
    }
    let mut watch = Watch::default();
    let mut act = |table: &Table| watch.look(at(0), &set, table, &anything).act.map(|rule| rule.label.clone());
    assert_eq!(act(&Table::with(&[("tcp.quiet", "down"), ("tcp.other", "up")])), None);
    assert_eq!(act(&Table::with(&[("tcp.web", "down")])).as_deref(), Some("t_web"));
    assert_eq!(act(&Table::with(&[("tcp.quiet", "down"), ("tcp.other", "down")])).as_deref(), Some("tcp_failure"));
    // An own rule means what it says.
    set.add(Origin::Own, parse("mine: if (tcp.? == down) then stop();").rules.remove(0));
    let table = Table::with(&[("tcp.quiet", "down"), ("tcp.other", "up")]);
    assert_eq!(watch.look(at(0), &set, &table, &anything).act.map(|rule| rule.label.as_str()), Some("mine"));
}

#[test]
fn a_new_configuration_forgets_the_rules_of_the_old_one() {
    let down = Table::with(&[("tcp.a", "down")]);
    let mut watch = Watch::default();
    watch.look(at(0), &rules("old: if (tcp.a == down) then stop();"), &down, &anything);
    let new = rules("new: if (tcp.a == down) then stop();");
    assert_eq!(watch.look(at(15), &new, &down, &anything).next, Some(at(30)));
    assert_eq!(watch.worth().map(|(label, _)| label).collect::<Vec<_>>(), ["new"]);
}
