//! What `<check>`, `<errd>` and `<failover>` become, whether this version runs them already or not.

use hf_rules::Origin;

use super::*;
use crate::check_model::{CheckAction, ProcAction, Reaction, Target, When};
use crate::diagnostic::Severity;

const HEART: &str = "<heart><heartbeat name='default'/></heart><user/>";

/// The configuration, of which nothing may be wrong but that this version doesn't serve it yet.
fn config_of(service: &str, inside: &str) -> ModuleConfig {
    let text = format!("<safe><service mode='mirror' {service}>{HEART}{inside}</service></safe>");
    let mut context = Context::new(&text, "u.xml", &|_| None);
    let document = xml::parse(&text, &mut context.sink).expect("it is well-formed");
    let config = read(&document, &text, "m", None, &mut context);
    let found = context.sink.finish();
    let wrong = found.list.iter().filter(|one| one.severity == Severity::Error && one.code != Code::NotYet);
    assert_eq!(wrong.count(), 0, "{found}");
    config.expect("there is a value")
}

fn config(inside: &str) -> ModuleConfig {
    config_of("", inside)
}

fn labels(config: &ModuleConfig, origin: Origin) -> Vec<String> {
    let of = config.failover.rules.iter().filter(|(from, _)| *from == origin);
    of.map(|(_, rule)| rule.to_string()).collect()
}

#[test]
fn a_tcp_checker_with_the_times_of_the_reference() {
    let check = config("<check><tcp ident='R1test' when='prim'><to addr='R1' port='80'/></tcp></check>").check;
    let [tcp] = &check.tcp[..] else { panic!("one") };
    assert_eq!((tcp.ident.as_str(), tcp.when, tcp.action, tcp.port), ("R1test", When::Prim, None, 80));
    assert_eq!((tcp.interval_ms, tcp.timeout_ms), (10_000, 5_000));
    assert_eq!(tcp.target, Target::Name("R1".to_owned()));
    assert_eq!(check.resources(), [("tcp.R1test".to_owned(), When::Prim)]);
}

#[test]
fn a_fast_reaction_shortens_what_the_file_leaves_open() {
    let text = "<check><ping ident='a'><to addr='10.0.0.1'/></ping><ping ident='b'><to addr='fd00::1' interval='7' timeout='300ms'/></ping></check>";
    let fast = config_of("reaction='fast'", text);
    let times: Vec<(u64, u64)> = fast.check.ping.iter().map(|ping| (ping.interval_ms, ping.timeout_ms)).collect();
    assert_eq!(times, [(1_000, 1_000), (7_000, 300)]);
    assert_eq!((fast.service.reaction, fast.failover.handle_time_ms), (Reaction::Fast, 500));
    let normal = config(text);
    assert_eq!((normal.failover.period_ms, normal.failover.handle_time_ms), (5_000, 15_000));
    let own = config_of("reaction='fast'", "<failover handle_time='4000'/>");
    assert_eq!(own.failover.handle_time_ms, 4_000);
    assert_eq!(config_of("reaction='fast'", "<check><module name='x'/></check>").check.module[0].interval_ms, 1_000);
}

#[test]
fn what_follows_from_action() {
    let config = config(
        "<check><custom ident='app' when='prim' exec='c.sh' action='restart'/>
         <tcp ident='web' when='both' action='swap'><to addr='::1' port='80'/></tcp>
         <http ident='shop' when='prim' action='swap'><to url='http://[::1]/'/></http>
         <ping ident='gw' action='noaction'><to addr='10.0.0.1'/></ping></check>
         <failover><![CDATA[p_gw: if (ping.gw == up) then stop(); t_web: if (tcp.web == down) then stopstart();]]></failover>",
    );
    assert_eq!(
        labels(&config, Origin::Own),
        ["p_gw: if (ping.gw == up) then stop();", "t_web: if (tcp.web == down) then stopstart();"]
    );
    assert_eq!(
        labels(&config, Origin::Generated),
        ["c_app: if (custom.app == down) then restart();", "h_shop: if (http.shop == down) then swap();"]
    );
    assert_eq!(config.check.ping[0].action, Some(CheckAction::NoAction));
    assert!(config.failover.rules.passes_over(Origin::Default, "ping.gw"));
    assert!(!config.failover.rules.passes_over(Origin::Own, "ping.gw"));
    assert_eq!(labels(&config, Origin::Default).len(), 7);
}

#[test]
fn rules_of_its_own_alone() {
    let config = config("<failover extends='no'>a: if (heartbeat.? == down) then custom.x=down;</failover>");
    assert_eq!(config.failover.rules.iter().count(), 1);
}

#[test]
fn programs_and_their_arguments() {
    let text = r#"<check><custom ident="checkfile" exec="checker.ps1" arg="c:\safekit\checkfile  &quot;two words&quot; x&quot;&quot;" when="prim"/></check>"#;
    let custom = &config(text).check.custom[0];
    assert_eq!(custom.exec, "checker.ps1");
    assert_eq!(custom.arguments, [r"c:\safekit\checkfile", "two words", "x"]);
}

#[test]
fn another_module_here_and_elsewhere() {
    let check = config(
        "<check><module name='leader'/><module name='mirror'><to addr='192.168.1.31' port='9453' secure='on'/></module>
         <module name='x' ident='both'><to addr='fd00::1'/></module></check>",
    )
    .check;
    let found: Vec<_> = check.module.iter().map(|one| (one.resource(), one.port, one.secure)).collect();
    assert_eq!(
        found,
        [
            ("module.leader_127.0.0.1".to_owned(), 9010, false),
            ("module.mirror_192.168.1.31".to_owned(), 9453, true),
            ("module.both".to_owned(), 9010, false)
        ]
    );
}

#[test]
fn several_witnesses() {
    let check = config("<check><splitbrain ident='SBtest' exec='ping' arg='192.168.1.100 gw.example'/></check>").check;
    let splitbrain = check.splitbrain.expect("there is one");
    assert_eq!(splitbrain.witnesses.len(), 2);
    assert_eq!(splitbrain.resource(), "splitbrain.SBtest");
}

#[test]
fn processes_and_services() {
    let errd = config(
        r#"<errd polltimer="10"><proc name="oracle" nameregex="oracle_.*" argregex="c:\\myrep\\myfile.*" class="prim"/>
           <proc name="myappli.exe" atleast="-1" atmax="0" action="restart_myappli" class="myappli" start_after="3"/>
           <proc name="web" service="yes" action="restart" class="prim" restart_services="httpd, postgresql"/></errd>"#,
    )
    .errd
    .expect("there is one");
    assert_eq!(errd.poll_ms, 10_000);
    let [oracle, own, web] = &errd.procs[..] else { panic!("three") };
    assert_eq!((oracle.at_least, oracle.at_most, &oracle.action), (Some(1), None, &ProcAction::Stopstart));
    assert_eq!((own.at_least, own.at_most, own.start_after_polls), (None, Some(0), 3));
    assert_eq!((&own.action, own.class.as_str()), (&ProcAction::Handler("restart_myappli".to_owned()), "myappli"));
    assert_eq!((web.service, web.resource()), (true, "proc.web".to_owned()));
    assert_eq!(web.restart_services, ["httpd", "postgresql"]);
}

#[test]
fn patterns_are_those_of_posix() {
    let whole = Pattern::new(r"/myrep/myfile.*").expect("a pattern");
    assert!(whole.matches("/myrep/myfile1") && !whole.matches("vi /myrep/myfile"));
    assert!(Pattern::new("(").is_err());
}
