//! A keeper, a server and a mount in a directory of their own. Needs root and a file system with file handles under TMPDIR.

pub mod load;
pub mod pair;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

// Each test program uses a part of it.
#[allow(dead_code)]
pub struct Place {
    dir: tempfile::TempDir,
    keeper: Child,
    supervisor: Child,
    commands: Option<ChildStdin>,
    says: BufReader<ChildStdout>,
}

#[allow(dead_code)]
impl Place {
    pub fn new() -> Place {
        Place::with_role("primary")
    }

    /// With a second directory, in which every operation is repeated.
    pub fn mirrored() -> Place {
        Place::start("primary", true)
    }

    pub fn with_role(role: &'static str) -> Place {
        Place::start(role, false)
    }

    fn start(role: &'static str, mirrored: bool) -> Place {
        let dir = tempfile::Builder::new().prefix("hf-front-").tempdir().unwrap();
        std::fs::create_dir(dir.path().join("data")).unwrap();
        std::fs::create_dir(dir.path().join("mnt")).unwrap();
        let socket = dir.path().join("keeper.sock");
        let keeper = Command::new(program()).arg("keeper").arg(&socket).spawn().unwrap();
        wait_until("the keeper listens", || socket.exists());
        let mut supervisor = Command::new(program());
        if mirrored {
            std::fs::create_dir(dir.path().join("mirror")).unwrap();
            supervisor.env("MIRROR", dir.path().join("mirror"));
        }
        let mut supervisor = supervisor
            .arg("supervise")
            .args([&socket, &dir.path().join("data"), &dir.path().join("mnt")])
            .env("ROLE", role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let commands = supervisor.stdin.take();
        let says = BufReader::new(supervisor.stdout.take().unwrap());
        let mut place = Place { dir, keeper, supervisor, commands, says };
        place.expect("serving");
        place
    }

    fn expect(&mut self, start: &str) {
        let mut line = String::new();
        self.says.read_line(&mut line).unwrap();
        assert!(line.starts_with(start), "the server says {line:?}");
    }

    fn command(&mut self, command: &str) {
        writeln!(self.commands.as_mut().unwrap(), "{command}").unwrap();
    }

    /// kill -9, and a successor.
    pub fn kill_and_serve(&mut self) {
        self.command("kill");
        self.expect("serving");
    }

    /// Closes or opens the gate; says what the server says.
    pub fn turn_gate(&mut self) -> String {
        self.command("gate");
        let mut line = String::new();
        self.says.read_line(&mut line).unwrap();
        line
    }

    /// The other role.
    pub fn change_role(&mut self, role: &str) {
        self.command("role");
        self.expect(role);
    }

    pub fn mount(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    /// The number of the mount's FUSE connection.
    pub fn connection(&self) -> Option<u32> {
        let mounts = hf_fs::front::mountpoint::mounts().unwrap();
        mounts.iter().rev().find(|m| m.mountpoint == self.mount()).map(|m| m.device_minor)
    }

    pub fn backing(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn hold(&self) -> PathBuf {
        self.dir.path().join("data.hold/open")
    }

    /// Both directories are the same in everything that is replicated. Closes nothing: call it when files are closed.
    pub fn assert_mirrored(&self) {
        assert_same(&self.backing(), &self.dir.path().join("mirror"));
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.mount().join(name)
    }
}

/// Everything of a tree that is replicated, by path.
#[allow(dead_code)]
pub fn seen(at: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    describe(Path::new("."), at, &mut all);
    all
}

#[allow(dead_code)]
pub fn assert_same(here: &Path, there: &Path) {
    let (a, b) = (seen(here), seen(there));
    let paths: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
    let differ = paths.iter().filter(|path| a.get(**path) != b.get(**path));
    let text: Vec<_> = differ.take(5).map(|p| format!("{p:?}\n  {:?}\n  {:?}", a.get(*p), b.get(*p))).collect();
    assert!(text.is_empty(), "the copies differ:\n{}", text.join("\n"));
}

/// `path` may be longer than the kernel takes; `at` is a short one.
fn describe(path: &Path, at: &Path, all: &mut BTreeMap<PathBuf, String>) {
    let meta = std::fs::symlink_metadata(at).unwrap();
    let mut text = format!(
        "mode {:o} owner {}:{} size {} mtime {}.{:09} links {} rdev {:x} xattrs {:?}",
        meta.mode(),
        meta.uid(),
        meta.gid(),
        if meta.is_dir() { 0 } else { meta.len() },
        meta.mtime(),
        meta.mtime_nsec(),
        meta.nlink(),
        meta.rdev(),
        xattrs(at),
    );
    if meta.is_symlink() {
        text += &format!(" -> {:?}", std::fs::read_link(at).unwrap());
    } else if meta.is_file() {
        text += &format!(" {}", blake3::hash(&std::fs::read(at).unwrap()));
    } else if meta.is_dir() {
        let dir = std::fs::File::open(at).unwrap();
        let short = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&dir)));
        for entry in std::fs::read_dir(&short).unwrap() {
            let name = entry.unwrap().file_name();
            describe(&path.join(&name), &short.join(&name), all);
        }
    }
    all.insert(path.to_owned(), text);
}

fn xattrs(at: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut names = vec![0; 4096];
    let n = rustix::fs::llistxattr(at, names.as_mut_slice()).unwrap();
    let names = names[..n].split(|b| *b == 0).filter(|name| !name.is_empty());
    let mut all: Vec<_> = names
        .map(|name| {
            let mut value = vec![0; 4096];
            let n = rustix::fs::lgetxattr(at, name, value.as_mut_slice()).unwrap();
            value.truncate(n);
            (name.to_vec(), value)
        })
        .collect();
    all.sort();
    all
}

impl Drop for Place {
    fn drop(&mut self) {
        let socket = self.dir.path().join("keeper.sock");
        let _ended = Command::new(program()).arg("down").arg(&socket).status();
        self.commands = None;
        let _ended = self.supervisor.wait();
        let _killed = self.keeper.kill();
        let _reaped = self.keeper.wait();
        let mount = std::ffi::CString::new(self.mount().into_os_string().into_encoded_bytes()).unwrap();
        // SAFETY: a path. Only if the keeper could not.
        unsafe { libc::umount2(mount.as_ptr(), libc::MNT_DETACH) };
    }
}

/// The example, beside this test's own program; `cargo test --test mount` alone doesn't build it.
fn program() -> PathBuf {
    example("mount_local")
}

fn example(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let program = own.parent().and_then(Path::parent).unwrap().join("examples").join(name);
    static BUILT: std::sync::Once = std::sync::Once::new();
    BUILT.call_once(|| {
        if !program.exists() {
            let cargo = ["build", "-p", "hf-fs", "--examples"];
            assert!(Command::new(env!("CARGO")).args(cargo).status().unwrap().success());
        }
    });
    program
}

pub fn wait_until(what: &str, mut there: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !there() {
        assert!(Instant::now() < end, "waited 60 s until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
