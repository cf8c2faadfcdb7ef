//! The command line against a daemon that answers from a script: what is asked, what is printed, with which exit code.

mod common;

use std::path::Path;

use common::{err, out, with_daemon, without_daemon};
use hf_wire::bus::Reply;
use serde_json::{Value, json};

fn status(node: &str, state: &str, colour: &str) -> Value {
    json!({ "node": node, "module": "pg", "id": 1, "state": state, "colour": colour })
}

fn state_reply() -> Reply {
    let mut own = status("node1", "PRIM", "green");
    own["resources"] = json!([{ "name": "rfs.uptodate", "value": "up", "by": "nfsadmin", "at_us": 1_000_000 }]);
    own["why"] = json!("the other\u{1b}[31m copy is in step");
    serde_json::from_value(
        json!({ "reply": "state", "me": "node1", "modules": [own, status("node2", "SECOND", "magenta")] }),
    )
    .expect("a reply")
}

#[test]
fn without_the_daemon_the_references_two_lines() {
    let output = without_daemon(&["state"], &[]);
    assert_eq!(output.status.code(), Some(1));
    let lines = err(&output);
    let mut lines = lines.lines();
    assert_eq!(lines.next(), Some("Waiting for safeadmin ....."));
    assert_eq!(lines.next(), Some("Error: safeadmin administrator daemon not running"));
    assert_eq!(out(&output), "");
}

#[test]
fn p_prints_where_things_are() {
    let output = without_daemon(&["-p"], &[("SAFE", "/s"), ("SAFEVAR", "/v")]);
    assert_eq!(out(&output), "SAFE=/s\nSAFEVAR=/v\nSAFEBIN=/s/private/bin\n");
    let output = without_daemon(&["-p"], &[("SAFEVAR", "/v"), ("SAFEMODULE", "pg")]);
    assert_eq!(
        out(&output),
        "SAFE=/opt/holdfast\nSAFEVAR=/v\nSAFEBIN=/opt/holdfast/private/bin\nSAFEMODULE=pg\n\
         SAFEUSERBIN=/opt/holdfast/private/modules/pg/bin\nSAFEUSERVAR=/v/modules/pg\n"
    );
}

#[test]
fn state_as_a_table() {
    let (asked, output) = with_daemon(vec![state_reply(), Reply::Done], &["state"]);
    assert_eq!(asked, json!({ "request": "state", "module": null }));
    assert_eq!(
        out(&output),
        "Module  Node   State\npg      node1  PRIM (green) Ready\npg      node2  SECOND (magenta) Transient\n\n\
         pg on node1: the other\u{fffd}[31m copy is in step\n"
    );
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn the_nodes_of_a_module_stand_together_this_one_first() {
    let rows = [("pg", "node2"), ("web", "node2"), ("pg", "node1"), ("web", "node1")];
    let rows = rows.map(|(module, node)| {
        let mut row = status(node, "STOP", "red");
        row["module"] = json!(module);
        row
    });
    let reply = serde_json::from_value(json!({ "reply": "state", "modules": rows })).expect("a reply");
    let (_, output) = with_daemon(vec![reply, Reply::Done], &["state"]);
    let text = out(&output);
    let order: Vec<String> =
        text.lines().skip(1).map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(order, ["pg node2", "pg node1", "web node2", "web node1"]);
}

#[test]
fn state_with_details() {
    let (asked, output) = with_daemon(vec![state_reply(), Reply::Done], &["state", "-v", "-m", "pg"]);
    assert_eq!(asked, json!({ "request": "state", "module": "pg" }));
    let text = out(&output);
    assert!(text.contains("pg on node1: the other\u{fffd}[31m copy is in step\n"), "{text}");
    assert!(
        text.ends_with(
            "Resource      Value  Since                Set by\nrfs.uptodate  up     1970-01-01 00:00:01  nfsadmin\n"
        ),
        "{text}"
    );
}

#[test]
fn state_as_json() {
    let (_, output) = with_daemon(vec![state_reply(), Reply::Done], &["state", "-m", "pg", "-o", "json"]);
    let value: Value = serde_json::from_str(&out(&output)).expect("JSON");
    assert_eq!(value["modules"][1]["state"], "SECOND");
    assert_eq!(value["modules"][1]["colour"], "magenta");
    assert_eq!(value["modules"][1]["readiness"], "Transient");
}

#[test]
fn state_for_scripts() {
    let (_, output) = with_daemon(vec![state_reply(), Reply::Done], &["state", "-m", "pg", "-lq"]);
    assert_eq!((out(&output).as_str(), output.status.code()), ("PRIM\n", Some(3)));
}

#[test]
fn the_verbs_that_move_a_module() {
    for verb in ["start", "stop", "prim", "primforce", "second", "swap", "forcestop", "stopstart", "incloop"] {
        let (asked, output) = with_daemon(vec![Reply::Done], &[verb, "-v", "pg", "-i", "errd"]);
        assert_eq!(asked, json!({ "request": "control", "module": "pg", "command": verb, "by": "detector:errd" }));
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    }
}

#[test]
fn a_refusal_has_its_reason_hint_and_exit_code() {
    let refusal =
        Reply::Error { message: "the other node is PRIM".into(), hint: Some("try swap".into()), exit_code: 1 };
    let (_, output) = with_daemon(vec![refusal], &["prim", "-m", "pg"]);
    assert_eq!(err(&output), "Error: the other node is PRIM\n  try swap\n");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_daemon_that_goes_away_is_no_success() {
    let (_, output) = with_daemon(vec![Reply::Progress { text: "on it".into() }], &["stop", "-m", "pg"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).starts_with("on it\nError: the daemon went away"), "{}", err(&output));
}

#[test]
fn waitstate_and_log() {
    let (asked, _) = with_daemon(vec![Reply::Done], &["waitstate", "-m", "pg", "PRIM"]);
    assert_eq!(asked, json!({ "request": "waitstate", "module": "pg", "state": "PRIM" }));
    let lines: Reply = serde_json::from_value(json!({ "reply": "log", "lines": [
        { "at_us": 1_000_000, "process": "heart", "level": "E", "counter": 3, "text": "Local state PRIM green" }
    ] }))
    .expect("a reply");
    let (asked, output) = with_daemon(vec![lines.clone(), Reply::Done], &["log", "-m", "pg", "-s", "5", "-I"]);
    assert_eq!(asked, json!({ "request": "log", "module": "pg", "last": 5, "levels": ["C", "U", "E", "S", "I"] }));
    assert_eq!(out(&output), "1970-01-01 00:00:01.000000 | heart | E | Local state PRIM green\n");
    let (_, output) = with_daemon(vec![lines, Reply::Done], &["log", "-m", "pg", "-l", "fr"]);
    assert_eq!(out(&output), "1970-01-01 00:00:01.000000 | heart | E | État local PRIM vert\n");
}

#[test]
fn confinfo_as_a_table() {
    let reply: Reply = serde_json::from_value(json!({ "reply": "confinfo", "nodes": [
        { "node": "node1", "signature": "6f10", "applied_us": 0, "locked": false, "heard": true },
        { "node": "node2", "signature": "", "applied_us": 0, "locked": false, "heard": false },
    ] }))
    .expect("a reply");
    let (_, output) = with_daemon(vec![reply, Reply::Done], &["cluster", "confinfo"]);
    assert_eq!(
        out(&output),
        "Node   Signature    Date                 Lock\nnode1  6f10         1970-01-01T00:00:00  0\n\
         node2  (not heard)\n"
    );
}

#[test]
fn the_verbs_of_the_cluster() {
    for (verb, generate) in [("genkey", true), ("delkey", false)] {
        let (asked, _) = with_daemon(vec![Reply::Done], &["module", verb, "-m", "pg"]);
        assert_eq!(asked, json!({ "request": "module_key", "module": "pg", "generate": generate }));
    }
    let (asked, _) = with_daemon(vec![Reply::Done], &["cluster", "genkey"]);
    assert_eq!(asked, json!({ "request": "cluster", "order": "genkey" }));
    for verb in ["deconfig", "resolve", "state"] {
        let (asked, _) = with_daemon(vec![Reply::Done], &["cluster", verb]);
        assert_eq!(asked["order"], verb);
    }
    let output = without_daemon(&["cluster", "delkey"], &[]);
    assert!(
        err(&output).contains("delkey --insecure-plaintext") && output.status.code() == Some(2),
        "{}",
        err(&output)
    );
    let (asked, _) = with_daemon(vec![Reply::Done], &["cluster", "delkey", "--insecure-plaintext"]);
    assert_eq!(asked["order"], "delkey");
}

#[test]
fn cluster_state_lists_modules_by_node() {
    let reply = serde_json::from_value(json!({ "reply": "cluster_state", "modules": [
        { "node": "node1", "module": "pg", "mode": "mirror", "id": 1, "applied_s": 0, "signature": "ab", "heard": true },
        { "node": "node2", "module": "pg", "mode": "mirror", "id": 1, "applied_s": 0, "signature": "cd", "heard": false },
    ] }))
    .expect("a reply");
    let (_, output) = with_daemon(vec![reply, Reply::Done], &["cluster", "state"]);
    assert_eq!(
        out(&output),
        "Node               Module  Mode    Id  Date                 Signature\n\
         node1              pg      mirror  1   1970-01-01T00:00:00  ab\n\
         node2 (not heard)  pg      mirror  1   1970-01-01T00:00:00  cd\n"
    );
}

#[test]
fn cluster_config_sends_the_text() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let file = place.path().join("c.xml");
    std::fs::write(&file, "<cluster/>").expect("a file");
    let name = file.to_str().expect("a name");
    let (asked, _) = with_daemon(vec![Reply::Done], &["cluster", "config", name]);
    let fresh = json!({ "key": "fresh" });
    assert_eq!(
        asked,
        json!({ "request": "cluster_config", "file": name, "xml": "<cluster/>", "key": fresh, "lock": null })
    );
    let (asked, _) = with_daemon(vec![Reply::Done], &["cluster", "config", name, "lock"]);
    assert_eq!((&asked["lock"], &asked["file"]), (&json!(true), &json!(name)));
    let (asked, _) = with_daemon(vec![Reply::Done], &["cluster", "config", "unlock"]);
    assert_eq!((&asked["lock"], &asked["xml"], &asked["key"]["key"]), (&json!(false), &Value::Null, &json!("keep")));
    let (asked, _) = with_daemon(vec![Reply::Done], &["cluster", "config", name, "--insecure-plaintext"]);
    assert_eq!(asked["key"]["key"], "insecure_plaintext");
    let (asked, _) = with_daemon(vec![Reply::Done], &["cluster", "config"]);
    assert_eq!(asked["xml"], Value::Null);
    let output = without_daemon(&["cluster", "config", "/no/such.xml"], &[]);
    assert_eq!(err(&output), "Error: can't read /no/such.xml: No such file or directory (os error 2)\n");
}

#[test]
fn diagnostics_come_through() {
    let diagnostics = || Reply::Diagnostics { text: "error: no heart\n".into(), json: json!({ "list": [1] }) };
    let refusal = || Reply::Error { message: "refused".into(), hint: None, exit_code: 1 };
    let (asked, output) = with_daemon(vec![diagnostics(), refusal()], &["confcheck", "-m", "pg"]);
    assert_eq!(asked, json!({ "request": "confcheck", "module": "pg" }));
    assert_eq!(err(&output), "error: no heart\nError: refused\n");
    let (_, output) = with_daemon(vec![Reply::Done], &["confcheck", "-m", "pg"]);
    assert_eq!(out(&output), "The configuration of pg has no errors.\n");
    let (_, output) = with_daemon(vec![diagnostics(), refusal()], &["config", "-m", "pg", "-o", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&out(&output)).expect("JSON"), json!({ "list": [1] }));
}

#[test]
fn install_sends_an_absolute_path() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let file = place.path().join("pg.safe");
    std::fs::write(&file, "").expect("a file");
    let name = file.to_str().expect("a name");
    let installed = serde_json::from_value(json!({ "reply": "installed", "module": "pg", "id": 2 })).expect("a reply");
    let (asked, output) = with_daemon(vec![installed, Reply::Done], &["module", "install", "-m", "pg", name]);
    assert_eq!(
        asked,
        json!({ "request": "module_install", "module": "pg", "package": name, "reinstall": false, "id": null })
    );
    assert_eq!(out(&output), "Module pg is installed with id 2.\n");
    for name in ["mirror", "mirror.safe"] {
        let (asked, _) = with_daemon(vec![Reply::Done], &["module", "install", name]);
        assert_eq!(asked["package"], "/opt/holdfast/Application_Modules/mirror.safe");
    }
}

#[test]
fn package_makes_a_package() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packages/mirror");
    let package = place.path().join("mirror.safe");
    let args = ["module", "package", "--from", modules.to_str().expect("a name"), package.to_str().expect("a name")];
    let output = without_daemon(&args, &[]);
    assert_eq!((output.status.code(), err(&output).as_str()), (Some(0), ""));
    assert!(package.exists());
}

#[test]
fn every_way_to_control_a_module() {
    for (line, expected) in [
        ("restart", json!("restart")),
        ("stopwait", json!("stopwait")),
        ("swap", json!("swap")),
        ("swap nosync", json!("swapnosync")),
        ("prim fullsync", json!("primfullsync")),
        ("primforce", json!("primforce")),
        ("second fullsync", json!("secondfullsync")),
        ("secondforce -d 2016-03-01T12:00:00Z", json!({ "secondforce": 1_456_833_600 })),
        ("failover on", json!("failoveron")),
        ("failover off", json!("failoveroff")),
    ] {
        let args: Vec<&str> = line.split(' ').chain(["-m", "pg", "-i", "customscript"]).collect();
        let (asked, output) = with_daemon(vec![Reply::Done], &args);
        let request =
            json!({ "request": "control", "module": "pg", "command": expected, "by": "detector:customscript" });
        assert_eq!((asked, output.status.code()), (request, Some(0)), "{line}");
    }
    let (asked, _) = with_daemon(vec![Reply::Done], &["waitstart", "-m", "pg"]);
    assert_eq!(asked, json!({ "request": "waitstart", "module": "pg" }));
    let (asked, _) = with_daemon(vec![Reply::Done], &["waitstop", "-v", "pg"]);
    assert_eq!(asked, json!({ "request": "waitstate", "module": "pg", "state": "STOP" }));
    for wrong in ["secondforce -m pg", "secondforce -d yesterday -m pg", "failover -m pg", "failover maybe -m pg"] {
        let output = without_daemon(&wrong.split(' ').collect::<Vec<_>>(), &[]);
        assert_eq!(output.status.code(), Some(2), "{wrong}");
    }
}

#[test]
fn boot_and_shutdown() {
    let rows = json!([{ "module": "pg", "boot": "auto", "by": "userconfig.xml" }, { "module": "web", "boot": "off", "by": "command" }]);
    let reply: Reply = serde_json::from_value(json!({ "reply": "boot", "modules": rows })).expect("a reply");
    let (asked, output) = with_daemon(vec![reply.clone(), Reply::Done], &["boot", "status"]);
    assert_eq!(asked, json!({ "request": "boot", "module": null, "set": null }));
    assert_eq!(out(&output), "Module  Boot  Set by\npg      auto  userconfig.xml\nweb     off   command\n");
    let (asked, output) = with_daemon(vec![reply, Reply::Done], &["boot", "-m", "pg", "on"]);
    assert_eq!((asked, out(&output).as_str()), (json!({ "request": "boot", "module": "pg", "set": true }), ""));
    let (asked, _) = with_daemon(vec![Reply::Done], &["shutdown"]);
    assert_eq!(asked, json!({ "request": "shutdown" }));
    assert_eq!(
        err(&without_daemon(&["boot", "on"], &[])),
        "Error: which module? name it with -m AM, or set SAFEMODULE\n"
    );
    assert_eq!(err(&without_daemon(&["boot", "webstatus"], &[])), "Error: boot webstatus isn't served yet\n");
}

#[test]
fn wrong_calls_are_answered_before_anything_is_asked() {
    for (args, expected) in [
        (&["stop"][..], "Error: which module? name it with -m AM, or set SAFEMODULE\n"),
        (&["errd", "off", "prim", "-m", "pg"], "Error: errd off is for all classes: prim is too much\n"),
        (&["-H", "*", "state"], "Error: -H isn't served yet\n"),
    ] {
        let output = without_daemon(args, &[]);
        assert_eq!((err(&output).as_str(), output.status.code()), (expected, Some(2)), "{args:?}");
    }
}

#[test]
fn a_slip_gets_the_nearest_word() {
    for (args, word) in
        [(&["sawp"][..], "swap"), (&["cluster", "confino"], "confinfo"), (&["waitstate", "-m", "pg", "PRM"], "PRIM")]
    {
        let output = without_daemon(args, &[]);
        assert_eq!(output.status.code(), Some(2));
        assert!(err(&output).contains(&format!("'{word}'")), "{}", err(&output));
    }
    let output = without_daemon(&["stop", "-m", "../etc"], &[]);
    assert!(err(&output).contains("module name \"../etc\" is not valid"), "{}", err(&output));
}

#[test]
fn the_module_comes_from_the_environment() {
    let output = without_daemon(&["stop"], &[("SAFEMODULE", "a/b")]);
    assert!(err(&output).starts_with("Error: SAFEMODULE: module name \"a/b\" is not valid"), "{}", err(&output));
    let output = without_daemon(&["stop"], &[("SAFEMODULE", "pg")]);
    assert!(err(&output).starts_with("Waiting for safeadmin"), "{}", err(&output));
}

#[test]
fn completion_for_a_shell() {
    for verb in ["completions", "completion"] {
        let output = without_daemon(&[verb, "bash"], &[]);
        assert!(out(&output).contains("waitstate") && !out(&output).contains("man-pages"));
    }
}

#[test]
fn level_of_a_module_shows_what_its_script_says() {
    let said = Reply::Said { text: "version 3\u{1b}[31m".to_owned() };
    let (asked, output) = with_daemon(vec![said, Reply::Done], &["level", "-m", "pg"]);
    assert_eq!(asked, json!({ "request": "module_script", "module": "pg", "script": "level" }));
    assert!(out(&output).ends_with("\nversion 3\u{fffd}[31m\n"), "{}", out(&output));
    assert_eq!(output.status.code(), Some(0));
}
