//! Every command line of reference 004, chapters 9, 13.18.4 and 14.4, is understood: done, refused for a reason, or "not served yet".
//! None is a word that nobody knows.

mod common;

use common::{err, without_daemon};

const FORMS: &str = "
-H * module list
-H http://192.168.0.2:9010,http://192.168.0.3:9010 module list
-E farm
-G
webserver start
safeagent check
boot webstatus
boot snmpstatus
boot -m pg on
boot status
shutdown
cluster config
cluster config /no/such.xml lock
cluster confcheck /no/such.xml
cluster confinfo
cluster deconfig
cluster state
cluster genkey
cluster delkey
start -m pg
waitstart -m pg
stop -m pg
waitstop -m pg
waitstate -m pg ALONE
restart -m pg
swap -m pg
swap nosync -m pg
stopstart -m pg
prim -m pg
second -m pg
second fullsync -m pg
forcestop -m pg
errd suspend -m pg
errd resume -m pg
errd off -m pg
errd on -m pg
errd disable classname -m pg
errd enable classname -m pg
errd list -m pg
kill -name=no_such_process -argregex=.*myfile.* -level=test
kill -name=no_such_process -level=terminate
kill -name=no_such_process -level=9
checker off -m pg
failover off -m pg
level
level -m pg
state
state -m pg
state -m pg -v
state -v pg
state -m pg -lq
log -m pg -s 3 -A -l fr
log -m pg -I -l en
logview -m pg -A
logview -m pg -s 300 -I
logsave -m pg -l en -A /no/such/place/f.txt
printi -m pg message
printe -m pg message
config -m pg
module genkey -m pg
module delkey -m pg
confinfo -m pg
confcheck -m pg
module install -m pg -M 3 -r /no/such.safe
module package -m pg /no/such/place/new.safe
module uninstall -m pg
module list
module listid
module getports -m pg
module getports -i 3
cmdlog
snapshot -m pg /no/such/place/s.zip
dump -m pg
-r processtree list all
clean -m pg
clean all -m pg
clean log -m pg
clean resource -m pg
clean process -m pg
set -m pg -r custom.myresource -v up
set -r custom.myresource -v up -i me -n -m pg
stopwait -i me -m pg
incloop -m pg -i me
resetloop -m pg -i me
checkloop -m pg
update -m pg
deconfig -m pg
rfssync -m pg
rfssync external prim uid1 -m pg
rfssync external second uid1 -m pg
rfssync -d prim uid1 -m pg
rfssync -d second uid1 -m pg
rfssync full -m pg
rfsverify -m pg
-p
";

#[test]
fn every_command_of_the_reference_is_understood() {
    let understood = |form: &str| {
        let output = without_daemon(&form.split(' ').collect::<Vec<_>>(), &[]);
        let said = err(&output);
        let unknown = ["unrecognized", "unexpected argument", "invalid value", "required arguments"];
        let known = !unknown.iter().any(|word| said.contains(word));
        let expected = match output.status.code() {
            Some(0) => said.is_empty(),
            Some(2) => said.contains("isn't served yet") || said.starts_with("Error: "),
            Some(1 | 255) => said.contains("Error: "),
            _ => false,
        };
        (known && expected).then_some(()).ok_or_else(|| format!("{form}: {:?} {said}", output.status.code()))
    };
    let forms: Vec<&str> = FORMS.lines().filter(|form| !form.is_empty()).collect();
    let problems: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> = forms.iter().map(|form| scope.spawn(|| understood(form))).collect();
        running.into_iter().filter_map(|run| run.join().expect("it ends").err()).collect()
    });
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(
        understood("checklop -m pg").is_err() && understood("state -m pg --lq").is_err(),
        "what nobody knows is noticed"
    );
}

#[test]
fn commands_on_other_nodes_are_answered_not_yet() {
    for (args, word) in [(&["-H", "*", "state"][..], "-H"), (&["-E", "pg"], "-E"), (&["-G"], "-G")] {
        let output = without_daemon(args, &[]);
        assert_eq!((err(&output), output.status.code()), (format!("Error: {word} isn't served yet\n"), Some(2)));
    }
}
