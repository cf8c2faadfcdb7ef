//! `dump`: everything that explains a module, in one directory (reference 004, 7.16.2).

mod system;

use crate::lastconfig;
use crate::time::local;
use hf_host::Paths;
use hf_host::clock::wall_us;
use hf_host::files::{FileError, failed, make_dir, names_in, write_durably};
use hf_store::ResourceRow;
use hf_types::{CommandLine, Level, LogLine, ModuleName};
use hf_wire::bus::{ModuleStatus, NodeConfinfo};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// How many dumps are kept of each module.
const KEPT: usize = 3;
/// So much of the end of a long file goes into a dump, in bytes.
const TAIL: u64 = 16 << 20;
const TIME: &str = "%Y-%m-%d %H:%M:%S.%6f";

/// What the daemon knows, at the moment of the dump.
pub struct Material {
    pub log: Vec<LogLine>,
    /// The logs of all modules and of the daemon itself.
    pub logs: Vec<(ModuleName, Vec<LogLine>)>,
    pub history: Vec<ResourceRow>,
    pub commands: Vec<CommandLine>,
    pub modules: Vec<ModuleStatus>,
    pub nodes: Vec<NodeConfinfo>,
}

/// Writes `SAFEVAR/snapshot/modules/AM/dump_...` and removes the oldest beyond [`KEPT`].
///
/// # Errors
/// When the directory can't be written; what is already in it stays there.
pub fn write(paths: &Paths, module: &ModuleName, material: &Material) -> Result<PathBuf, FileError> {
    let all = paths.snapshots(module);
    let dir = all.join(format!("dump_{}", local(wall_us(), "%Y_%m_%d_%H_%M_%S")));
    make_dir(&dir.join("csv"), 0o750)?;
    make_dir(&dir.join("var/cluster"), 0o750)?;
    for (name, text) in texts(paths, module, material) {
        write_durably(&dir.join(name), text.as_bytes(), 0o640)?;
    }
    let userlog = paths.user_var(module).join("userlog.ulog");
    copy_tail(&userlog, &dir.join("userlog.ulog")).map_err(failed("copy", &userlog))?;
    for (name, text) in of_the_system(paths, module) {
        write_durably(&dir.join(name), text.as_bytes(), 0o640)?;
    }
    // The key is no part of it: a dump is given to others.
    for file in [paths.cluster_xml(), paths.cluster_addresses(), paths.cluster_lock()] {
        let Some(name) = file.file_name() else { continue };
        copy_tail(&file, &dir.join("var/cluster").join(name)).map_err(failed("copy", &file))?;
    }
    forget_old(&all)?;
    Ok(dir)
}

fn texts(paths: &Paths, module: &ModuleName, material: &Material) -> Vec<(&'static str, String)> {
    let events = [Level::C, Level::U, Level::E, Level::S];
    let information = [Level::C, Level::U, Level::E, Level::S, Level::I];
    let lines = |levels: &[Level]| -> String {
        material
            .log
            .iter()
            .filter(|line| levels.contains(&line.level))
            .map(|line| line.shown(&time(line.at_us)))
            .collect()
    };
    vec![
        ("log.txt", lines(&events)),
        ("loginfo.txt", lines(&information)),
        ("logverbose.txt", material.log.iter().map(|line| line.shown(&time(line.at_us))).collect()),
        ("commandlog.txt", material.commands.iter().map(|line| line.shown(&time(line.at_us))).collect()),
        ("heartplug", node(paths, module, material)),
        (
            "csv/logverbose.csv",
            csv(
                &["date", "process", "level", "message"],
                material.log.iter().map(|line| {
                    vec![time(line.at_us), line.process.clone(), format!("{:?}", line.level), line.text.clone()]
                }),
            ),
        ),
        ("csv/moduleslog.csv", modules_log(&material.logs)),
        ("csv/resource.csv", csv(&RESOURCE, resources(module, material))),
        (
            "csv/resourcelog.csv",
            csv(
                &RESOURCE,
                material
                    .history
                    .iter()
                    .map(|row| vec![time(row.at_us), row.name.clone(), row.value.to_string(), row.by.clone()]),
            ),
        ),
        (
            "csv/commandlog.csv",
            csv(
                &["date", "type", "module", "pid", "what", "text"],
                material.commands.iter().map(|line| {
                    let module = line.module.clone().unwrap_or_default();
                    vec![
                        time(line.at_us),
                        line.kind.clone(),
                        module,
                        line.pid.to_string(),
                        line.what.clone(),
                        line.text.clone(),
                    ]
                }),
            ),
        ),
        ("csv/userlog.csv", userlog(&paths.user_var(module).join("userlog.ulog"))),
        (
            "csv/clusterstate.csv",
            csv(
                &["node", "heard", "signature"],
                material
                    .nodes
                    .iter()
                    .map(|node| vec![node.node.to_string(), node.heard.to_string(), node.signature.clone()]),
            ),
        ),
        (
            "csv/modules.csv",
            csv(
                &["node", "module", "id", "state", "colour"],
                material.modules.iter().map(|status| {
                    let names = (status.node.to_string(), status.module.to_string(), status.id.to_string());
                    vec![names.0, names.1, names.2, status.state.to_string(), status.colour.to_string()]
                }),
            ),
        ),
    ]
}

/// What happened in all modules, in the order of time: what one did to another shows here.
fn modules_log(logs: &[(ModuleName, Vec<LogLine>)]) -> String {
    let mut lines: Vec<(&ModuleName, &LogLine)> =
        logs.iter().flat_map(|(module, lines)| lines.iter().map(move |line| (module, line))).collect();
    lines.sort_by_key(|(_, line)| line.at_us);
    let rows = lines.into_iter().map(|(module, line)| {
        let level = format!("{:?}", line.level);
        vec![time(line.at_us), module.to_string(), line.process.clone(), level, line.text.clone()]
    });
    csv(&["date", "module", "process", "level", "message"], rows)
}

/// The system's log, and what the kernel says of our own processes.
fn of_the_system(paths: &Paths, module: &ModuleName) -> Vec<(String, String)> {
    let mut all = vec![("systemevt.txt".to_owned(), system::log()), ("last.txt".to_owned(), system::logins())];
    for name in system::PROCESSES {
        all.push((format!("{name}.trc"), system::process(paths, module, name)));
    }
    all
}

/// The application log, line by line: the call that a line belongs to, and its text.
fn userlog(path: &Path) -> String {
    let mut call = String::new();
    let rows = text_of(path)
        .lines()
        .map(|line| {
            let head = line.strip_prefix("----- ").and_then(|rest| rest.strip_suffix(" -----"));
            if let Some(head) = head {
                call = head.to_owned();
            }
            vec![call.clone(), line.to_owned()]
        })
        .collect::<Vec<_>>();
    csv(&["call", "text"], rows.into_iter())
}

/// The end of a file that may hold anything.
fn text_of(path: &Path) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut source = File::open(path)?;
        let length = source.metadata()?.len();
        source.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut bytes = Vec::new();
        source.take(TAIL).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    // What can't be read is left out, as everywhere here.
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

const RESOURCE: [&str; 4] = ["date", "resource", "value", "by"];

fn resources<'a>(module: &'a ModuleName, material: &'a Material) -> impl Iterator<Item = Vec<String>> + 'a {
    let own =
        material.modules.iter().filter(move |status| status.module == *module).flat_map(|status| &status.resources);
    own.map(|resource| {
        vec![time(resource.at_us), resource.name.clone(), resource.value.to_string(), resource.by.clone()]
    })
}

fn time(us: i64) -> String {
    local(us, TIME)
}

/// The node as it is now. What can't be read is left out: a dump is made when something is wrong.
fn node(paths: &Paths, module: &ModuleName, material: &Material) -> String {
    let system = rustix::system::uname();
    let mut out = format!(
        "Holdfast {}\nnode {}\nsystem {} {}\n",
        env!("CARGO_PKG_VERSION"),
        system.nodename().to_string_lossy(),
        system.sysname().to_string_lossy(),
        system.release().to_string_lossy()
    );
    for status in &material.modules {
        let _infallible = writeln!(out, "{} on {}: {} {}", status.module, status.node, status.state, status.colour);
        if let Some(why) = &status.why {
            let _infallible = writeln!(out, "  {why}");
        }
    }
    for node in &material.nodes {
        let _infallible = writeln!(out, "{}: heard {}, cluster {}", node.node, node.heard, node.signature);
    }
    for kept in lastconfig::kept(paths, module).unwrap_or_default() {
        let _infallible = writeln!(out, "configuration kept: {kept}");
    }
    for file in ["/etc/os-release", "/proc/uptime", "/proc/loadavg", "/proc/meminfo", "/proc/mounts", "/proc/net/dev"] {
        let text = fs::read_to_string(file).unwrap_or_default();
        let _infallible = writeln!(out, "\n==== {file}\n{}", text.trim_end());
    }
    out + &system::looks()
}

/// Fields in quotes, quotes doubled (RFC 4180).
fn csv(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = |fields: &[String]| {
        let fields: Vec<String> = fields.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect();
        fields.join(",") + "\r\n"
    };
    let head: Vec<String> = head.iter().map(ToString::to_string).collect();
    std::iter::once(head).chain(rows).map(|row| line(&row)).collect()
}

/// The end of a file; nothing if it isn't there.
fn copy_tail(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = match File::open(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let length = source.metadata()?.len();
    source.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    io::copy(&mut source.take(TAIL), &mut File::create(to)?)?;
    Ok(())
}

fn forget_old(all: &Path) -> Result<(), FileError> {
    let dumps: Vec<String> = names_in(all)?.into_iter().filter(|name| name.starts_with("dump_")).collect();
    for old in &dumps[..dumps.len().saturating_sub(KEPT)] {
        let old = all.join(old);
        fs::remove_dir_all(&old).map_err(failed("remove", &old))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_holds_what_explains_a_module_and_no_key() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let paths = Paths::new(place.path().join("safe"), place.path().join("var"));
        let module: ModuleName = "pg".parse().expect("a name");
        fs::create_dir_all(paths.cluster()).expect("a directory");
        fs::write(paths.cluster_xml(), "<cluster/>").expect("a file");
        fs::write(paths.cluster_key(), "secret-of-the-cluster").expect("a file");
        let userlog = paths.user_var(&module).join("userlog.ulog");
        fs::create_dir_all(userlog.parent().expect("a directory")).expect("a directory");
        let call = "----- 2026-11-20 10:00:00 stop_prim ALONE STOP stop -----\nThe server said \"no\"\n";
        fs::write(&userlog, call).expect("a file");
        let line =
            |level, text: &str| LogLine { at_us: 1, process: "heart".into(), level, counter: 0, text: text.into() };
        let material = Material {
            log: vec![line(Level::E, "Local state PRIM green"), line(Level::D, "a detail, \"quoted\"")],
            logs: Vec::new(),
            history: Vec::new(),
            commands: Vec::new(),
            modules: Vec::new(),
            nodes: Vec::new(),
        };
        let dir = write(&paths, &module, &material).expect("it is written");
        let read = |name: &str| fs::read_to_string(dir.join(name)).expect(name);
        assert!(read("log.txt").ends_with(" | heart | E | Local state PRIM green\n"));
        assert!(!read("log.txt").contains("a detail"));
        assert!(read("logverbose.txt").contains("a detail"));
        assert!(read("csv/logverbose.csv").contains("\"a detail, \"\"quoted\"\"\""));
        assert_eq!(read("var/cluster/cluster.xml"), "<cluster/>");
        assert_eq!(read("rfs.trc"), "rfs does not run.\n");
        let call = "2026-11-20 10:00:00 stop_prim ALONE STOP stop";
        let lines = read("csv/userlog.csv");
        assert!(lines.contains(&format!("\"{call}\",\"The server said \"\"no\"\"\"")), "{lines}");
        assert!(
            !read("systemevt.txt").is_empty()
                && !read("last.txt").is_empty()
                && read("heartplug").contains("==== df -h")
        );
        let all = walk(&dir);
        assert!(all.iter().all(|text| !text.contains("secret-of-the-cluster")));
    }

    /// As a spreadsheet or a database reads it (RFC 4180).
    fn read_csv(text: &str) -> Vec<Vec<String>> {
        let (mut rows, mut row, mut field) = (Vec::new(), Vec::new(), String::new());
        let (mut quoted, mut chars) = (false, text.chars().peekable());
        while let Some(c) = chars.next() {
            match c {
                '"' if quoted && chars.next_if_eq(&'"').is_some() => field.push('"'),
                '"' => quoted = !quoted,
                ',' if !quoted => row.push(std::mem::take(&mut field)),
                '\r' if !quoted => {}
                '\n' if !quoted => {
                    row.push(std::mem::take(&mut field));
                    rows.push(std::mem::take(&mut row));
                }
                c => field.push(c),
            }
        }
        rows
    }

    #[test]
    fn the_logs_of_all_modules_are_one_table() {
        let line = |at_us, process: &str, text: &str| LogLine {
            at_us,
            process: process.to_owned(),
            level: Level::E,
            counter: 0,
            text: text.to_owned(),
        };
        let name = |name: &str| name.parse::<ModuleName>().expect("a name");
        let odd = "it said \"no\", then\nnothing";
        let logs = [
            (name("web"), vec![line(3_000_000, "heart", "Local state PRIM green")]),
            (name("pg"), vec![line(1_000_000, "rfs", odd), line(5_000_000, "heart", "Local state STOP red")]),
        ];
        let rows = read_csv(&modules_log(&logs));
        assert_eq!(rows[0], ["date", "module", "process", "level", "message"]);
        assert!(rows.iter().all(|row| row.len() == 5), "{rows:?}");
        let modules: Vec<&str> = rows[1..].iter().map(|row| row[1].as_str()).collect();
        assert_eq!(modules, ["pg", "web", "pg"], "in the order of time");
        assert_eq!(rows[1][2..], ["rfs", "E", odd]);
    }

    fn walk(dir: &Path) -> Vec<String> {
        let mut all = Vec::new();
        for entry in fs::read_dir(dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                all.extend(walk(&path));
            } else {
                all.push(String::from_utf8_lossy(&fs::read(&path).expect("a file")).into_owned());
            }
        }
        all
    }
}
