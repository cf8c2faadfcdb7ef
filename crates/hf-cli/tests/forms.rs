//! Every command of reference 004, chapters 9, 13.18.4 and 14.4, in every form that this version serves: what it asks of the daemon, what it
//! prints when that is all, and its exit code. `HOLDFAST_BLESS=1` writes forms.txt anew; read the difference.
//! What commands print of an answer is tested in commands.rs and local.rs, special commands in special.rs, what is not served in reference.rs.

mod common;

use common::{err, out, run};
use hf_bus::accept;
use hf_wire::bus::{Reply, Request, Role};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// A command that would go on for ever is answered so often.
const ANSWERS: usize = 3;

/// PLACE is a directory with a cluster.xml, a module in `m`.
const FORMS: &str = "
boot -m pg on
boot -m pg off
boot -m pg status
boot status
boot
shutdown
cluster config
cluster config PLACE/cluster.xml
cluster config PLACE/cluster.xml lock
cluster config PLACE/cluster.xml unlock
cluster config lock
cluster config unlock
cluster confcheck PLACE/cluster.xml
cluster confinfo
cluster deconfig
cluster state
cluster genkey
cluster delkey
cluster delkey --insecure-plaintext
start -m pg
start -v pg
waitstart -m pg
stop -m pg
waitstop -m pg
waitstate -m pg STOP
waitstate -m pg ALONE
waitstate -m pg UP
waitstate -m pg PRIM
waitstate -m pg SECOND
waitstate -m pg WAIT
restart -m pg
swap -m pg
swap nosync -m pg
stopstart -m pg
prim -m pg
prim fullsync -m pg
primforce -m pg
second -m pg
second fullsync -m pg
secondforce -d 2026-01-02 -m pg
forcestop -m pg
checker off -m pg
checker on -m pg
failover off -m pg
failover on -m pg
state
state -m pg
state -v pg
state -m pg -v
state -m pg -lq
log -m pg
log -m pg -s 3
log -m pg -A
log -m pg -I
log -m pg -I -l en
log -m pg -l en
log -m pg -l fr
log -m pg -s 3 -A -l fr
logview -m pg
logview -m pg -A
logview -m pg -I -l fr
logview -m pg -s 300
logview -m pg -s 300 -I
logsave -m pg PLACE/f.txt
logsave -m pg -l fr -A PLACE/f.txt
logsave -m pg -I PLACE/f.txt
logsave -m pg f.txt
printi -m pg message
printe -m pg message
config -m pg
config -m pg --dry-run
confcheck -m pg
confinfo -m pg
deconfig -m pg
module genkey -m pg
module delkey -m pg
module install -m pg PLACE/m
module install -m pg -r PLACE/m
module install -m pg -M 3 PLACE/m
module install -m pg -M 3 -r PLACE/m
module package -m pg --from PLACE/m PLACE/new.safe
module uninstall -m pg
module list
module listid
module getports -m pg
module getports -i 3
cmdlog
dump -m pg
clean -m pg
clean all -m pg
clean log -m pg
clean resource -m pg
clean process -m pg
set -m pg -r custom.mine -v up
set -m pg -r custom.myresource -v up
set -r custom.myresource -v up -i me -n -m pg
set -r custom.mine -v down -m pg
set -r custom.mine -v up -i me -m pg
set -r custom.mine -v up -n -m pg
set -r custom.mine -v up -l -m pg
stopwait -m pg
stopwait -i me -m pg
restart -i me -m pg
stopstart -i me -m pg
stop -i me -m pg
swap -i me -m pg
incloop -m pg -i me
resetloop -m pg
resetloop -m pg -i me
checkloop -m pg
rfsverify -m pg
rfssync -m pg
rfssync full -m pg
rfssync external prim uid1 -m pg
rfssync external second uid1 -m pg
rfssync -d prim uid1 -m pg
rfssync -d second uid1 -m pg
-p
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
";

/// With `-o json`: nothing but JSON on standard output, or a refusal before anything is done. The fault, if there is one.
fn not_json(form: &str) -> Option<String> {
    let (_place, _asked, output) = carried_out(&format!("{form} -o json"));
    let (said, why) = (out(&output), err(&output));
    let all_json =
        serde_json::Deserializer::from_str(&said).into_iter::<serde_json::Value>().all(|value| value.is_ok());
    let text_only =
        ["kill ", "errd list", "completions "].iter().any(|start| form.starts_with(start)) || form.ends_with(" -lq");
    let refused = output.status.code() == Some(2) && why.contains("prints text only: leave -o json out");
    // Wrongly called is wrongly called; but not because of the format.
    let fine =
        all_json && !why.contains("unexpected argument") && refused == text_only && (said.is_empty() || !refused);
    (!fine).then(|| format!("{form}: {said}{why}exit code {:?}", output.status.code()))
}

#[test]
fn every_form_prints_nothing_but_json_where_that_is_asked_for() {
    let forms = FORMS.lines().filter(|form| !form.is_empty()).chain(["completions bash"]).collect::<Vec<_>>();
    let faults: Vec<String> = of_each(&forms, not_json).into_iter().flatten().collect();
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

/// What was asked, and how the command ended.
fn tried(form: &str) -> String {
    let (place, asked, output) = carried_out(form);
    told(form, &place, &asked, &output)
}

fn carried_out(form: &str) -> (TempDir, Vec<String>, std::process::Output) {
    let place = tempfile::tempdir().expect("a temporary directory");
    furnish(place.path());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let server = runtime.spawn(serve(place.path().join("run/admin.sock"), asked.clone()));
    while !place.path().join("run/admin.sock").exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let at = place.path().to_str().expect("a name in UTF-8");
    let args: Vec<String> = form.split(' ').map(|word| word.replace("PLACE", at)).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let output = run(&place, &args, &[("SAFE", at)]);
    server.abort();
    let asked = asked.lock().expect("nobody panics").clone();
    (place, asked, output)
}

/// All forms at once would be too many processes.
fn of_each<T: Send>(forms: &[&str], of: impl Fn(&str) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let mut found = Vec::new();
        for some in forms.chunks(8) {
            let running: Vec<_> = some.iter().map(|form| scope.spawn(|| of(form))).collect();
            found.extend(running.into_iter().map(|run| run.join().expect("it ends")));
        }
        found
    })
}

fn furnish(place: &Path) {
    std::fs::create_dir_all(place.join("run")).expect("a directory");
    std::fs::create_dir_all(place.join("m/conf")).expect("a directory");
    std::fs::write(place.join("m/conf/userconfig.xml"), "<safe/>").expect("a file");
    std::fs::write(place.join("cluster.xml"), "<cluster/>").expect("a file");
}

/// Says "done" to everything, and hangs up on who doesn't come to an end.
async fn serve(socket: std::path::PathBuf, asked: Arc<Mutex<Vec<String>>>) {
    let listener = tokio::net::UnixListener::bind(&socket).expect("a socket");
    let mut answers = 0;
    while let Ok((stream, _)) = listener.accept().await {
        let Ok(mut connection) = accept(stream, Role::Daemon).await else { continue };
        while let Ok(Some(request)) = connection.receive::<Request>().await {
            if answers == ANSWERS {
                return;
            }
            answers += 1;
            let text = serde_json::to_string(&request).expect("a request is JSON");
            asked.lock().expect("nobody panics").push(text);
            if connection.send(&Reply::Done).await.is_err() {
                break;
            }
        }
    }
}

fn told(form: &str, place: &TempDir, asked: &[String], output: &std::process::Output) -> String {
    let mut text = format!("$ holdfast {form}\n");
    for request in asked {
        let _infallible = writeln!(text, "asks {request}");
    }
    for (mark, said) in [("", out(output)), ("! ", err(output))] {
        for line in said.lines() {
            let _infallible = writeln!(text, "{mark}{}", line.trim_end());
        }
    }
    let user = std::process::Command::new("id").arg("-un").output().expect("id runs").stdout;
    let user = String::from_utf8_lossy(&user).trim().to_owned();
    let text = text.replace(&format!("\"by\":\"{user}\""), "\"by\":\"USER\"");
    let text = text.replace(place.path().to_str().expect("a name in UTF-8"), "PLACE");
    format!("{text}exit code {}\n", output.status.code().unwrap_or(-1))
}

#[test]
fn every_form_asks_and_ends_as_written_down() {
    let forms: Vec<&str> = FORMS.lines().filter(|form| !form.is_empty()).collect();
    let found = of_each(&forms, tried).join("\n");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/forms.txt");
    if std::env::var_os("HOLDFAST_BLESS").is_some() {
        std::fs::write(&file, &found).expect("it can be written");
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    for (found, expected) in found.split("\n\n").zip(expected.split("\n\n")) {
        assert_eq!(found.trim_end(), expected.trim_end());
    }
    assert_eq!(found, expected);
}

/// What is served is here: a new verb needs its forms written down.
#[test]
fn every_form_of_the_reference_that_is_served_is_written_down() {
    let reference = include_str!("reference.rs");
    let forms =
        reference.split("\";").next().and_then(|text| text.split("const FORMS: &str = \"").nth(1)).expect("a list");
    // Not served, special, or with files that aren't there.
    let elsewhere = ["-", "webserver", "safeagent", "boot web", "boot snmp", "update", "level", "snapshot"];
    let missing: Vec<&str> = forms
        .lines()
        .filter(|form| {
            !form.is_empty() && !form.contains("/no/such") && !elsewhere.iter().any(|start| form.starts_with(start))
        })
        .filter(|form| !FORMS.lines().any(|known| known == *form))
        .collect();
    assert_eq!(missing, [""; 0]);
}
