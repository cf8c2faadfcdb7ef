//! The language: what is read, what is refused and how, and that a rule printed and read again is the same rule.

use hf_rules::{
    Action, Compare, Condition, DEPTH_MAX, Id, Kind, Known, Operand, Parsed, RULES_MAX, Reference, Rule, Side, Span,
    TEXT_MAX, Word, check, parse,
};
use hf_types::catalogue::Class;
use proptest::prelude::*;

/// What is wrong with a text: the marked part, the message, the help.
fn faults(text: &str) -> Vec<(String, String, String)> {
    let found = parse(text).problems.into_iter();
    found.map(|problem| (text[problem.span].to_owned(), problem.message, problem.help.unwrap_or_default())).collect()
}

fn only_fault(text: &str) -> (String, String, String) {
    let mut all = faults(text);
    assert_eq!(all.len(), 1, "{text}: {all:?}");
    all.remove(0)
}

fn good(text: &str) -> Vec<Rule> {
    let Parsed { rules, problems } = parse(text);
    assert_eq!(problems, [], "{text}");
    rules
}

#[test]
fn the_rules_of_the_reference_are_read_as_they_stand() {
    let texts = [
        "ping_failure: if (ping.testR2 == down) then stopstart();",
        "tcpid_failure: if (tcp.id == down)\nthen stopstart();",
        "tcpid_failure: if (tcp.id== down) then\nwait ();",
        "customid_failure: if (custom.id ==\ndown) then restart ();",
        "custom_failure:\n if( custom.checkfile == down ) then restart();",
        "wait_custom_checker: if   (custom.custom_checker_name == down) then   wait();",
        "/* rule */ module_failure: if (module.? == down) then wait(); /* another */ ip_failure: if (ip.? == down) then stopstart();",
        "rfs_forceuptodate:      if (heartbeat.* == down && cluster() == down &&\nrfs.synced == up && rfs.uptodate == down) then rfs.uptodate=up;",
    ];
    for text in texts {
        assert!(!good(text).is_empty(), "{text}");
    }
}

#[test]
fn names_have_dots_colons_and_prefixes() {
    let rules =
        good("a: if (local.intf.ip.0 == down || remote.module.m_fd00::1 != up || ip.2001:db8::1 == down) then swap();");
    let mut seen = Vec::new();
    rules[0].condition.references(&mut |reference| seen.push((reference.side, reference.name().expect("a name"))));
    let expected = [
        (Side::Local, "intf.ip.0".to_owned()),
        (Side::Remote, "module.m_fd00::1".to_owned()),
        (Side::Local, "ip.2001:db8::1".to_owned()),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn signs_bind_as_everywhere() {
    let same = |one: &str, two: &str| {
        let read = |text: &str| good(&format!("l: if ({text}) then stop();")).remove(0).condition;
        assert_eq!(read(one), read(two), "{one}");
    };
    same("tcp.a == up || tcp.b == up && tcp.c == up", "tcp.a == up || (tcp.b == up && tcp.c == up)");
    same("!(tcp.a == up) && tcp.b == up", "(!(tcp.a == up)) && tcp.b == up");
    same("(tcp.a) == (up)", "tcp.a == up");
    same("tcp.a == up && tcp.b == up && tcp.c == up", "((tcp.a == up) && tcp.b == up && tcp.c == up)");
}

#[test]
fn a_rule_may_have_a_time_of_its_own() {
    let times = |text: &str| good(text).into_iter().map(|rule| rule.handle_time_ms).collect::<Vec<_>>();
    let text =
        "a [handle_time=3s]: if (tcp.a == up) then stop(); b[ handle_time = 700 ] : if (tcp.a == up) then stop();
                c: if (tcp.a == up) then stop();";
    assert_eq!(times(text), [Some(3_000), Some(700), None]);
    for bad in [
        "a [handle_time=3d]: x",
        "a [handle_time=25h]: x",
        "a [handle=3s]: x",
        "a [handle_time 3s]: x",
        "a [handle_time=3s: x",
    ] {
        assert_eq!(faults(bad).len(), 1, "{bad}");
    }
    assert_eq!(only_fault("a [handle_time=3d]: if (tcp.a == up) then stop();").0, "3d");
}

#[test]
fn each_slip_is_marked_and_has_a_way_out() {
    let cases = [
        ("x: if (tcp.a = down) then stop();", "=", "a comparison: == or !="),
        ("x: if (tcp.a == dwon) then stop();", "dwon", "did you mean down?"),
        ("x: if (tpc.a == down) then stop();", "tpc.a", "did you mean tcp.a?"),
        ("x: if (tcp.a == down & tcp.b == down) then stop();", "&", "and: &&"),
        ("x: if (tcp.a == down | tcp.b == down) then stop();", "|", "or: ||"),
        ("x: if tcp.a == down then stop();", "tcp.a", "the condition stands in parentheses"),
        ("x: if (tcp.a == down) then restat();", "restat", "did you mean restart()?"),
        ("x: if (tcp.a == down) then stopwait();", "stopwait", "did you mean wait()?"),
        ("x: if (tcp.a == down) then stop;", ";", "stop()"),
        ("x: if (tcp.a == down) then stop()", "", "each rule ends with a semicolon"),
        ("x: if (tcp.a) then stop();", "(tcp.a)", "compare it, such as tcp.a == down"),
        ("x: if (!tcp.a == down) then stop();", "tcp.a", "compare it, such as tcp.a == down"),
        ("x: if (up == down) then stop();", "up == down", "compare a resource with a state"),
        (
            "x: if (tcp.* == ping.?) then stop();",
            "tcp.* == ping.?",
            "compare each with a state, and join the two with && or ||",
        ),
        (
            "x: if (heartbeat.f* == down) then stop();",
            "heartbeat.f*",
            "heartbeat.* (all of them), heartbeat.? (any one of them), or one by its name",
        ),
        ("x: if (cluster == down) then stop();", "==", "cluster()"),
        ("x: if (tcp.a == down == up) then stop();", "==", "join them with && or ||"),
        ("x if (tcp.a == down) then stop();", "x", "label: if (condition) then action;"),
        ("x: (tcp.a == down) then stop();", "(", "label: if (condition) then action; (if is missing)"),
        ("x: if (tcp.a == down) stop();", "stop", "label: if (condition) then action; (then is missing)"),
        (
            "x: if (tcp.a == down) then remote.custom.x=up;",
            "remote.custom.x",
            "the other node has the same rules, and sets its own",
        ),
        ("x: if (tcp.a == down) then custom.?=up;", "custom.?", "such as custom.x=up"),
        ("x: if (tcp.a == down) then custom.x==up;", "==", "to set a resource: custom.x=up"),
        ("x: if (tcp.a == down) then stop(); /* no end", "/*", "end it with */"),
        (
            "x: if (tcp.a == down) then stop(); x: if (tcp.b == up) then stop();",
            "x",
            "give each rule a label of its own",
        ),
    ];
    for (text, marked, help) in cases {
        let (found, message, way_out) = only_fault(text);
        assert_eq!((found.as_str(), way_out.as_str()), (marked, help), "{text}: {message}");
        assert!(!message.is_empty() && !message.ends_with('.'));
    }
}

#[test]
fn after_a_fault_the_next_rule_is_read() {
    let parsed = parse(
        "a: if (tcp.a = up) then stop(); b: if (tcp.a == up) then stop();\nc: if (x) then stop() d: if (tcp.b == up) then swap();",
    );
    let labels: Vec<&str> = parsed.rules.iter().map(|rule| rule.label.as_str()).collect();
    assert_eq!((labels, parsed.problems.len()), (vec!["b"], 2));
    // A missing semicolon costs no rule.
    let parsed = parse("a: if (tcp.a == up) then stop()\nb: if (tcp.b == up) then swap();");
    assert_eq!((parsed.rules.len(), parsed.problems.len()), (2, 1));
}

fn known() -> Known {
    let names = ["tcp.id", "tcp.other", "custom.checkfile", "heartbeat.default", "rfs.uptodate", "ping.router"];
    Known {
        names: names.map(str::to_owned).into(),
        open: [Class::Intf].into(),
        reserved: ["notuptodate_server".to_owned()].into(),
        alone: false,
    }
}

#[test]
fn a_resource_that_nothing_makes_is_found() {
    let cases = [
        (
            "a: if (tcp.othre == down) then stop();",
            Some((Kind::UnknownResource, "tcp.othre", "did you mean tcp.other?")),
        ),
        (
            "a: if (remote.ping.ruoter == down) then stop();",
            Some((Kind::UnknownResource, "remote.ping.ruoter", "did you mean ping.router?")),
        ),
        (
            "a: if (tcp.banana == down) then stop();",
            Some((Kind::UnknownResource, "tcp.banana", "there is tcp.id, tcp.other")),
        ),
        (
            "a: if (module.x == down) then stop();",
            Some((Kind::UnknownResource, "module.x", "this module has no resource of the class module")),
        ),
        (
            "a: if (custom.chekfile == down) then stop();",
            Some((Kind::UnknownResource, "custom.chekfile", "did you mean custom.checkfile?")),
        ),
        (
            "a: if (custom.mine == down) then stop();",
            Some((
                Kind::Doubtful,
                "custom.mine",
                "holdfast set -r custom.mine -v up|down; or write a <custom ident=...>",
            )),
        ),
        ("a: if (module.? == down) then stop();", Some((Kind::Doubtful, "module.?", ""))),
        ("a: if (rule.x == up) then stop();", Some((Kind::Conflict, "rule.x", "write that rule's condition instead"))),
        (
            "notuptodate_server: if (tcp.id == up) then stop();",
            Some((Kind::Conflict, "notuptodate_server", "give this rule another label")),
        ),
        (
            "a: if (tcp.id == up) then rfs.uptodate=up;",
            Some((
                Kind::Conflict,
                "rfs.uptodate",
                "a rule can set what 'holdfast set' can: custom.x, tcp.x and the like",
            )),
        ),
        ("a: if (intf.192.168.1.0 == down && tcp.? == up && ping.* != up) then custom.x=up;", None),
    ];
    for (text, expected) in cases {
        let found = check(&good(text), &known());
        let found = found.first().map(|one| (one.kind, &text[one.span.clone()], one.help.as_deref().unwrap_or("")));
        assert_eq!(found, expected, "{text}");
    }
    let alone = Known { alone: true, ..known() };
    assert_eq!(check(&good("a: if (remote.tcp.id == up) then stop();"), &alone)[0].kind, Kind::Conflict);
}

// ---- any rule -------------------------------------------------------------------------------------------------------

fn name() -> impl Strategy<Value = String> {
    "[a-z0-9][a-z0-9_.:-]{0,6}[a-z0-9]"
}

fn reference() -> impl Strategy<Value = Reference> {
    let side = prop_oneof![Just(Side::Local), Just(Side::Remote)];
    let id = prop_oneof![Just(Id::All), Just(Id::Any), name().prop_map(Id::Name)];
    (side, proptest::sample::select(Class::ALL), id).prop_map(|(side, class, id)| Reference {
        side,
        class,
        id,
        place: Span::default(),
    })
}

fn word() -> impl Strategy<Value = Word> {
    proptest::sample::select(&Word::ALL[..])
}

fn comparison() -> impl Strategy<Value = Condition> {
    let left = prop_oneof![reference().prop_map(Operand::Resource), Just(Operand::Cluster)];
    (left, any::<bool>(), word().prop_map(Operand::Word))
        .prop_map(|(left, equal, right)| Condition::Compare(Compare { left, equal, right }))
}

fn condition() -> impl Strategy<Value = Condition> {
    comparison().prop_recursive(5, 40, 4, |inner| {
        let two = proptest::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            inner.clone().prop_map(|inner| Condition::Not(Box::new(inner))),
            two.clone().prop_map(Condition::And),
            two.prop_map(Condition::Or),
            (inner.clone(), any::<bool>(), inner).prop_map(|(left, equal, right)| Condition::Same {
                left: Box::new(left),
                equal,
                right: Box::new(right)
            }),
        ]
    })
}

fn action() -> impl Strategy<Value = Action> {
    let calls = [Action::Stop, Action::Wait, Action::Stopstart, Action::Swap, Action::Restart, Action::Wakeup];
    let assign = (name(), word()).prop_map(|(id, word)| Action::Assign {
        resource: format!("custom.{id}"),
        word,
        place: Span::default(),
    });
    prop_oneof![proptest::sample::select(calls.to_vec()), assign]
}

fn rule() -> impl Strategy<Value = Rule> {
    let time = proptest::option::of(0..86_400_000u64);
    ("[a-zA-Z_][a-zA-Z0-9_.-]{0,10}", time, condition(), action()).prop_map(
        |(label, handle_time_ms, condition, action)| Rule {
            label,
            place: Span::default(),
            handle_time_ms,
            condition,
            action,
        },
    )
}

proptest! {
    #[test]
    fn a_rule_printed_and_read_again_is_the_same(rule in rule()) {
        let text = rule.to_string();
        let parsed = parse(&text);
        prop_assert_eq!(&parsed.problems, &vec![], "{}", text);
        prop_assert_eq!(&parsed.rules, &vec![rule], "{}", text);
    }

    #[test]
    fn any_text_has_an_answer(text in "\\PC{0,200}") {
        settle(&text);
    }

    #[test]
    fn pieces_in_any_order_have_an_answer(
        pieces in proptest::collection::vec("a:|if|then|\\(|\\)|\\[|\\]|==|!=|=|!|&&|\\|\\||tcp\\.a|remote\\.|\\*|\\?|up|stop|;|/\\*|\\*/|//|\n|handle_time|é|cluster\\(\\)", 0..60)
    ) {
        settle(&pieces.join(" "));
        settle(&pieces.concat());
    }
}

/// Every place lies in the text, at the border of characters; and what was read can be printed and read again.
fn settle(text: &str) {
    let parsed = parse(text);
    for problem in &parsed.problems {
        assert!(text.get(problem.span.clone()).is_some(), "{problem:?} in {text:?}");
    }
    check(&parsed.rules, &known());
    for rule in &parsed.rules {
        assert_eq!(parse(&rule.to_string()).rules, std::slice::from_ref(rule), "{text:?}");
    }
}

#[test]
fn hostile_texts_are_bounded() {
    let limit = |text: &str| parse(text).problems.iter().any(|problem| problem.kind == Kind::Limit);
    let nested = |depth: usize| format!("a: if ({}tcp.a == up{}) then stop();", "(".repeat(depth), ")".repeat(depth));
    assert!(!limit(&nested(DEPTH_MAX - 2)) && limit(&nested(DEPTH_MAX + 1)));
    assert!(limit(&nested(20_000)) && limit(&format!("a: if ({}tcp.a == up) then stop();", "!".repeat(60_000))));
    assert!(limit(&" ".repeat(TEXT_MAX + 1)) && !limit(&" ".repeat(TEXT_MAX)));
    let many: String = (0..RULES_MAX + 1).map(|at| format!("l{at}:if(tcp.a==up)then stop();")).collect();
    assert!(limit(&many));
    assert_eq!(parse(&many).rules.len(), RULES_MAX);
    let wide = format!("a: if (tcp.a == up{}) then stop();", " && tcp.a == up".repeat(4_000));
    assert_eq!(good(&wide).len(), 1);
    assert!(parse(&";x ".repeat(20_000)).problems.len() <= 101);
    assert!(limit(&format!("{}: if (tcp.a == up) then stop();", "l".repeat(200))));
}
