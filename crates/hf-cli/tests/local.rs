//! The local commands of reference 004, chapter 9: what is asked for each form, and the layouts that scripts take apart.

mod common;

use common::{err, out, with_daemon, without_daemon};
use hf_wire::bus::Reply;
use serde_json::{Value, json};

fn reply(value: Value) -> Vec<Reply> {
    vec![serde_json::from_value(value).expect("a reply"), Reply::Done]
}

fn state(me: &str, rows: &[(&str, &str)]) -> Vec<Reply> {
    let rows: Vec<Value> = rows
        .iter()
        .map(|(node, state)| json!({ "node": node, "module": "pg", "id": 1, "state": state, "colour": "green" }))
        .collect();
    reply(json!({ "reply": "state", "me": me, "modules": rows }))
}

#[test]
fn state_lq_is_about_this_node_wherever_its_row_stands() {
    let codes = [("STOP", 0), ("WAIT", 1), ("ALONE", 2), ("UP", 2), ("PRIM", 3), ("SECOND", 4)];
    for (word, code) in codes {
        let replies = state("node2", &[("node1", "PRIM"), ("node2", word)]);
        let (_, output) = with_daemon(replies, &["state", "-m", "pg", "-lq"]);
        assert_eq!((out(&output), output.status.code()), (format!("{word}\n"), Some(code)));
    }
}

#[test]
fn state_lq_has_a_code_of_its_own_for_what_is_no_state() {
    let (_, output) = with_daemon(state("node2", &[("node1", "PRIM")]), &["state", "-m", "pg", "-lq"]);
    assert_eq!((out(&output).as_str(), output.status.code()), ("", Some(255)));
    assert_eq!(err(&output), "Error: the module pg is not configured on this node\n  holdfast config -m pg\n");
    let refusal = Reply::Error { message: "there is no module pg on this node".into(), hint: None, exit_code: 1 };
    let (_, output) = with_daemon(vec![refusal], &["state", "-m", "pg", "-lq"]);
    assert_eq!(output.status.code(), Some(255));
    assert_eq!(without_daemon(&["state", "-m", "pg", "-lq"], &[]).status.code(), Some(255));
    assert_eq!(without_daemon(&["state", "-lq"], &[]).status.code(), Some(255), "2 would be ALONE");
    for refused in
        [&["state", "-lq", "-m", "no/name"][..], &["state", "-lq", "-m"], &["state", "-lq", "-m", "pg", "-x"]]
    {
        assert_eq!(without_daemon(refused, &[]).status.code(), Some(255), "{refused:?}");
    }
    assert_eq!(without_daemon(&["state", "-lq", "--help"], &[]).status.code(), Some(0));
}

#[test]
fn a_history_of_resources() {
    let replies = || {
        reply(json!({ "reply": "resource_history", "values": [
            { "name": "custom.x", "value": "up", "by": "script", "at_us": 1_000_000 },
            { "name": "custom.x", "value": {"text": "a\u{1b}b"}, "by": "root", "at_us": 2_000_000 },
        ] }))
    };
    let (asked, output) = with_daemon(replies(), &["state", "-m", "pg", "--history", "-r", "custom.x", "-s", "5"]);
    assert_eq!(asked, json!({ "request": "resource_history", "module": "pg", "name": "custom.x", "last": 5 }));
    assert_eq!(
        out(&output),
        "1970-01-01 00:00:01 | custom.x | up | script\n1970-01-01 00:00:02 | custom.x | a\u{fffd}b | root\n"
    );
    let output = without_daemon(&["state", "--history"], &[]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn set_in_every_form() {
    let asked = |args: &[&str]| with_daemon(vec![Reply::Done], args).0;
    let expected = |value: Value, by: &str, history: &str| {
        let assignment = json!({ "name": "custom.check", "value": value, "by": by, "history": history });
        json!({ "request": "set", "module": "pg", "assignment": assignment })
    };
    let base = ["set", "-m", "pg", "-r", "custom.check", "-i", "me", "-v"];
    assert_eq!(asked(&[&base[..], &["down"]].concat()), expected(json!("down"), "me", "changes"));
    assert_eq!(asked(&[&base[..], &["up", "-n"]].concat()), expected(json!("up"), "me", "never"));
    assert_eq!(asked(&[&base[..], &["17", "-l"]].concat()), expected(json!({"text": "17"}), "me", "always"));
    for (args, word) in [
        (&["set", "-m", "pg", "-r", "costum.x", "-v", "up"][..], "no class of resources"),
        (&["set", "-m", "pg", "-r", "x", "-v", "up"], "CLASS.ID"),
        (&["set", "-m", "pg", "-r", "custom.x"], "-v <VALUE>"),
        (&["set", "-m", "pg", "-r", "custom.x", "-v", "up", "-n", "-l"], "cannot be used with"),
    ] {
        let output = without_daemon(args, &[]);
        assert_eq!(output.status.code(), Some(2));
        assert!(err(&output).contains(word), "{}", err(&output));
    }
}

#[test]
fn ports_of_an_id_follow_the_references_formulas_without_a_daemon() {
    let output = without_daemon(&["module", "getports", "-i", "2"], &[]);
    assert_eq!(
        out(&output),
        "List of the ports used by SafeKit\n\nProcess          Ports\nsafeadmin\n  port           UDP 4800\n\
         webconsole\n  port           TCP 9010\nheart\n  port           UDP 8889\nrfs\n  safenfs_port   TCP 5604\n\
         farm\n  port           UDP 4806\n"
    );
    for bad in ["0", "20000", "x"] {
        assert_eq!(without_daemon(&["module", "getports", "-i", bad], &[]).status.code(), Some(2), "{bad}");
    }
}

#[test]
fn ports_of_a_module_come_from_the_daemon() {
    let replies = reply(json!({ "reply": "ports", "ports": [
        { "process": "safeadmin", "name": "port", "protocol": "UDP", "port": 4801 },
        { "process": "heart", "name": "port", "protocol": "UDP", "port": 8888 },
        { "process": "heart", "name": "port", "protocol": "UDP", "port": 9999 },
    ] }));
    let (asked, output) = with_daemon(replies, &["module", "getports", "-m", "pg"]);
    assert_eq!(asked, json!({ "request": "ports", "module": "pg" }));
    assert!(out(&output).ends_with(
        "safeadmin\n  port           UDP 4801\nheart\n  port           UDP 8888\n  port           UDP 9999\n"
    ));
}

#[test]
fn lists_of_modules() {
    let modules = || {
        reply(json!({ "reply": "modules", "modules": [
            { "module": "pg", "id": 2, "configured": true, "running": true },
            { "module": "web", "id": null, "configured": false },
        ] }))
    };
    assert_eq!(out(&with_daemon(modules(), &["module", "list"]).1), "pg\nweb\n");
    let (asked, output) = with_daemon(modules(), &["module", "listid"]);
    assert_eq!((asked, out(&output).as_str()), (json!({ "request": "modules" }), "pg 2\nweb -\n"));
    let (_, output) = with_daemon(modules(), &["module", "list", "-o", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&out(&output)).expect("JSON")["modules"][0]["running"], true);
}

fn info(active: &str) -> Vec<Reply> {
    reply(json!({
        "reply": "module_info", "mode": "mirror",
        "entry": { "module": "pg", "id": 2, "configured": true, "running": false },
        "active": { "signature": active, "changed_s": 10 },
        "current": { "signature": "c1", "changed_s": 20 },
        "kept": ["/s/modules/lastconfig/pg_2026-11-20_10-00-00.safe"],
    }))
}

#[test]
fn what_is_applied_and_how_to_go_back() {
    let (asked, output) = with_daemon(info("a1"), &["module", "getinfo", "-m", "pg"]);
    assert_eq!(asked, json!({ "request": "module_info", "module": "pg" }));
    assert_eq!(
        out(&output),
        "Module   pg\nId       2\nMode     mirror\n\
         Applied  SAFE/modules was edited since; to apply it: holdfast config -m pg\nStarted  no\n\
         Last configurations, the newest last; to go back to one:\n  \
         holdfast module install -r -m pg /s/modules/lastconfig/pg_2026-11-20_10-00-00.safe && holdfast config -m pg\n"
    );
    assert!(out(&with_daemon(info("c1"), &["module", "getinfo", "-m", "pg"]).1).contains("what is in SAFE/modules\n"));
    let (_, output) = with_daemon(info("a1"), &["confinfo", "-m", "pg"]);
    assert_eq!(out(&output), "active a1 10\ncurrent c1 20\n");
}

#[test]
fn installing_again_with_an_id_and_taking_away() {
    let installed = reply(json!({ "reply": "installed", "module": "pg", "id": 7 }));
    let (asked, _) = with_daemon(installed, &["module", "install", "-r", "-M", "7", "-m", "pg", "mirror"]);
    assert_eq!((&asked["reinstall"], &asked["id"]), (&json!(true), &json!(7)));
    for (args, request) in
        [(&["module", "uninstall", "-m", "pg"][..], "module_uninstall"), (&["deconfig", "-m", "pg"], "deconfig")]
    {
        let (asked, output) = with_daemon(vec![Reply::Done], args);
        assert_eq!(asked, json!({ "request": request, "module": "pg" }));
        assert_eq!(output.status.code(), Some(0));
    }
}

#[test]
fn the_commands_log_has_the_references_layout() {
    let replies = reply(json!({ "reply": "commands", "lines": [
        { "at_us": 1_627_396_653_205_122_i64, "kind": "safekit", "module": "mirror", "pid": 6883, "what": "START",
          "text": "config -m mirror" },
        { "at_us": 1_627_396_654_193_280_i64, "kind": "", "module": null, "pid": 6883, "what": "END", "text": "0" },
    ] }));
    let (asked, output) = with_daemon(replies, &["cmdlog", "-s", "2"]);
    assert_eq!(asked, json!({ "request": "commands", "last": 2 }));
    assert_eq!(
        out(&output),
        "| 2021-07-27 14:37:33.205122 | safekit | mirror | 6883 | START | config -m mirror\n\
         | 2021-07-27 14:37:34.193280 | | | 6883 | END | 0\n"
    );
}

#[test]
fn a_log_is_saved_where_one_says() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let file = place.path().join("log.txt");
    let page = || {
        reply(json!({ "reply": "log_page", "next": 9, "lines": [
            { "at_us": 1_000_000, "process": "heart", "level": "E", "counter": 3, "text": "Local state PRIM green" }
        ] }))
    };
    let name = file.to_str().expect("a name");
    let (asked, output) = with_daemon(page(), &["logsave", "-m", "pg", "-l", "en", "-A", name]);
    assert_eq!(
        (&asked["request"], &asked["after"], &asked["last"]),
        (&json!("log_follow"), &Value::Null, &json!(u32::MAX))
    );
    assert_eq!(asked["levels"], json!(["C", "U", "E", "S", "I", "D"]));
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let saved = std::fs::read_to_string(&file).expect("it is there");
    assert_eq!(saved, "1970-01-01 00:00:01.000000 | heart | E | Local state PRIM green\n");
    let output = without_daemon(&["logsave", "-m", "pg", "f.txt"], &[]);
    assert_eq!(err(&output), "Error: f.txt: give the file with its absolute path\n");
    let (_, output) = with_daemon(page(), &["logsave", "-m", "pg", "/no/such/place"]);
    assert_eq!((output.status.code(), err(&output).starts_with("Error: can't write /no/such/place")), (Some(1), true));
}

#[test]
fn scripts_write_into_the_log() {
    for (verb, level) in [("printi", "I"), ("printe", "E")] {
        let (asked, _) = with_daemon(vec![Reply::Done], &[verb, "-m", "pg", "a", "message"]);
        let expected = json!({ "request": "print", "module": "pg", "level": level, "by": "user", "text": "a message" });
        assert_eq!(asked, expected);
    }
    assert_eq!(without_daemon(&["printi", "-m", "pg"], &[]).status.code(), Some(2));
}

#[test]
fn dump_and_clean() {
    let saved = reply(json!({ "reply": "saved", "path": "/v/snapshot/modules/pg/dump_1" }));
    let (asked, output) = with_daemon(saved, &["dump", "-m", "pg"]);
    assert_eq!(asked, json!({ "request": "dump", "module": "pg" }));
    assert_eq!(out(&output), "/v/snapshot/modules/pg/dump_1\n");
    for what in ["all", "log", "process", "resource"] {
        let (asked, _) = with_daemon(vec![Reply::Done], &["clean", what, "-m", "pg"]);
        assert_eq!(asked, json!({ "request": "clean", "module": "pg", "what": what }));
    }
    assert_eq!(with_daemon(vec![Reply::Done], &["clean", "-m", "pg"]).0["what"], "all");
    assert_eq!(without_daemon(&["clean", "everything", "-m", "pg"], &[]).status.code(), Some(2));
}

#[test]
fn level_names_machine_system_version_and_licence() {
    let text = out(&without_daemon(&["level"], &[]));
    let heads: Vec<&str> = text.lines().filter_map(|line| line.split(" : ").next()).collect();
    assert_eq!(heads, ["Host", "OS", "SafeKit", "License"], "{text}");
    assert!(text.contains(concat!("SafeKit : Holdfast ", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn a_timeline_of_the_last_failover() {
    let line = |ms: i64, text: &str| json!({ "at_us": ms * 1000, "process": "heart", "level": "E", "counter": 0, "text": text });
    let replies = || {
        reply(json!({ "reply": "log", "lines": [
            line(1_000, "Resource heartbeat.flow set to down by heart"),
            line(1_002, "Reason of failover: no heartbeat"),
            line(3_002, "Local state ALONE green"),
        ] }))
    };
    let (asked, output) = with_daemon(replies(), &["timeline", "-m", "pg", "--last"]);
    assert_eq!((&asked["request"], &asked["levels"]), (&json!("log"), &json!(["C", "U", "E", "S"])));
    assert_eq!(
        out(&output),
        "First sign: 1970-01-01 00:00:01.000000\n\n\
         Since first  Step       Process  What\n\
         0.0 ms       0.0 ms     heart    Resource heartbeat.flow set to down by heart\n\
         2.0 ms       2.0 ms     heart    Reason of failover: no heartbeat\n\
         2002.0 ms    2000.0 ms  heart    Local state ALONE green\n\n\
         From the first sign to the stable state: 2002.0 ms\n"
    );
    let (_, output) = with_daemon(replies(), &["timeline", "-m", "pg", "-o", "json"]);
    let value: Value = serde_json::from_str(&out(&output)).expect("JSON");
    assert_eq!(
        (&value["failover"]["ended"], &value["failover"]["steps"][2]["since_before_us"]),
        (&json!(true), &json!(2_000_000))
    );
    let none = reply(json!({ "reply": "log", "lines": [] }));
    let (_, output) = with_daemon(none, &["timeline", "-m", "pg"]);
    assert_eq!(out(&output), "The log of pg on this node has no failover and no swap.\n");
}

#[test]
fn a_manual_page_of_every_command() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let dir = place.path().join("man");
    let output = without_daemon(&["man-pages", dir.to_str().expect("a name")], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let page = |name: &str| std::fs::read_to_string(dir.join(name)).expect(name);
    assert!(page("holdfast.1").contains(".TH holdfast 1"));
    assert!(page("holdfast-module-getports.1").contains("firewall"));
    assert!(page("holdfast-state.1").contains("PRIM 3"));
    assert!(!dir.join("holdfast-man-pages.1").exists());
}

#[test]
fn while_there_is_no_daemon_the_module_s_own_heart_answers() {
    let (asked, output) =
        common::with_heart(vec![Reply::Done], "pg", &["set", "-m", "pg", "-r", "custom.x", "-v", "up"]);
    assert_eq!(asked["request"], "set");
    assert_eq!((output.status.code(), err(&output).as_str()), (Some(0), ""), "and nobody is told to wait");
    let (asked, _) = common::with_heart(vec![Reply::Done], "pg", &["printe", "-m", "pg", "x"]);
    assert_eq!(asked["request"], "print");
    let (asked, _) = common::with_heart(vec![Reply::Done], "pg", &["stop", "-m", "pg", "-i", "errd"]);
    assert_eq!((&asked["request"], &asked["by"]), (&json!("control"), &json!("detector:errd")));
}

#[test]
fn an_unknown_module_comes_with_the_nearest_one() {
    let hint = "did you mean pg? 'holdfast module list' shows all";
    let refusal = || Reply::Error {
        message: "there is no module pgg on this node".into(),
        hint: Some(hint.into()),
        exit_code: 1,
    };
    for args in [
        &["start", "-m", "pgg"][..],
        &["log", "-m", "pgg"],
        &["module", "getinfo", "-m", "pgg"],
        &["dump", "-m", "pgg"],
    ] {
        let (_, output) = with_daemon(vec![refusal()], args);
        assert_eq!(err(&output), format!("Error: there is no module pgg on this node\n  {hint}\n"));
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn every_command_says_that_the_daemon_is_missing() {
    let commands: [&[&str]; 14] = [
        &["cmdlog"],
        &["module", "list"],
        &["module", "listid"],
        &["module", "getinfo", "-m", "pg"],
        &["module", "getports", "-m", "pg"],
        &["module", "uninstall", "-m", "pg"],
        &["deconfig", "-m", "pg"],
        &["confinfo", "-m", "pg"],
        &["logview", "-m", "pg"],
        &["printi", "-m", "pg", "x"],
        &["set", "-m", "pg", "-r", "custom.x", "-v", "up"],
        &["dump", "-m", "pg"],
        &["clean", "-m", "pg"],
        &["state", "-m", "pg", "--history"],
    ];
    std::thread::scope(|scope| {
        for args in commands {
            scope.spawn(move || {
                let output = without_daemon(args, &[]);
                assert!(
                    err(&output).ends_with("administrator daemon not running\n  start it: systemctl start holdfast\n")
                );
                assert_eq!(output.status.code(), Some(1), "{args:?}");
            });
        }
    });
}
