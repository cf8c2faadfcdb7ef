use super::super::mirrored::Node;
use super::*;
use crate::backing::Requested;
use crate::front::data::Writing;
use hf_config::{Exclusions, NotReplicated};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Everything that a test application does goes through here.
struct App {
    node: Node,
    front: Arc<Front>,
    request: u64,
}

const MODE: Requested = Requested { mode: 0o640, umask: 0, uid: 0, gid: 0 };

impl App {
    fn new(list: &[NotReplicated]) -> App {
        let node = Node::leaving_out(&Exclusions::of(list).unwrap());
        let front = node.front();
        // They were made one after the other; from now on each change of one is told to the other.
        for of in ["data", "mirror"] {
            std::fs::File::open(node.dir.path().join(of)).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        }
        App { node, front, request: 1 }
    }

    fn asker(&mut self) -> Asker {
        self.request += 1;
        Asker { request: self.request, resent: false, uid: 0 }
    }

    fn find(&self, path: &str) -> Option<Found> {
        let mut at = FileId::ROOT;
        let mut found = None;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let next = self.front.backing.lookup_if_there(at, &Name::new(part.as_bytes()).unwrap()).ok()??;
            at = next.id;
            found = Some(next);
        }
        found
    }

    fn dir_of(&self, path: &str) -> Option<(FileId, Vec<u8>)> {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = if dir.is_empty() { FileId::ROOT } else { self.find(dir)?.id };
        Some((parent, name.as_bytes().to_vec()))
    }

    fn done<T>(&self, done: Result<T, Failure>) -> Result<(), i32> {
        match done {
            Ok(_) => Ok(()),
            Err(Failure::Errno(errno)) => Err(errno),
            Err(Failure::Local(_, error)) => Err(error.raw_os_error().unwrap()),
            Err(Failure::NoRoom) => Err(libc::EAGAIN),
        }
    }

    fn make(&mut self, path: &str, kind: u32) -> Result<(), i32> {
        let (parent, name) = self.dir_of(path).ok_or(libc::ENOENT)?;
        let asker = self.asker();
        let target = if kind == libc::S_IFLNK { b"target".to_vec() } else { Vec::new() };
        let making = super::super::names::Making { parent, name, kind, rdev: 0, target, requested: MODE };
        self.done(self.front.make(self.front.pipeline.gate().admit().unwrap().unwrap(), &asker, making))
    }

    fn write(&mut self, path: &str, offset: u64, data: &[u8]) -> Result<(), i32> {
        let id = self.find(path).ok_or(libc::ENOENT)?.id;
        let admission = self.front.pipeline.gate().admit().unwrap().unwrap();
        let writing = Writing { id, offset, kill_set_id: false };
        let done = self.front.write_and_append(&admission, writing, data);
        done.map_err(|error| error.raw_os_error().unwrap())?.map_err(|refusal| refusal.errno())?;
        // As closing does.
        self.front.tell_times(&admission, id).unwrap().unwrap();
        Ok(())
    }

    fn remove(&mut self, path: &str) -> Result<(), i32> {
        let (parent, name) = self.dir_of(path).ok_or(libc::ENOENT)?;
        let what = if self.find(path).is_some_and(|found| found.is_dir()) { What::Rmdir } else { What::Unlink };
        let asker = self.asker();
        let admission = self.front.pipeline.gate().admit().unwrap().unwrap();
        self.done(self.front.remove(admission, &asker, what, parent, &name))
    }

    fn rename(&mut self, from: &str, to: &str, flags: u32) -> Result<(), i32> {
        let (parent, name) = self.dir_of(from).ok_or(libc::ENOENT)?;
        let (new_parent, new_name) = self.dir_of(to).ok_or(libc::ENOENT)?;
        let asker = self.asker();
        let moving = Moving { parent, name, new_parent, new_name, flags };
        self.done(self.front.rename(self.front.pipeline.gate().admit().unwrap().unwrap(), &asker, &moving))
    }

    fn link(&mut self, from: &str, to: &str) -> Result<(), i32> {
        let found = self.find(from).ok_or(libc::ENOENT)?;
        if found.is_dir() {
            return Err(libc::EPERM);
        }
        let (parent, name) = self.dir_of(to).ok_or(libc::ENOENT)?;
        let asker = self.asker();
        self.done(self.front.link(
            self.front.pipeline.gate().admit().unwrap().unwrap(),
            &asker,
            found.id,
            parent,
            &name,
        ))
    }

    fn seen(&self, of: &str, own: bool) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        self.look(&self.node.dir.path().join(of), "", own, &mut all);
        all
    }

    /// What is replicated, or what isn't. The times and the link count of a directory are as the names in it: both copies' only with all of them.
    fn look(&self, root: &Path, at: &str, own: bool, all: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(root.join(at)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let path = if at.is_empty() { name } else { format!("{at}/{name}") };
            let full = root.join(&path);
            let meta = full.symlink_metadata().unwrap();
            if self.front.backing.leaves_out(&path, meta.is_dir()) == own {
                let content = if meta.is_file() { std::fs::read(&full).unwrap() } else { Vec::new() };
                let nlink = if meta.is_dir() { 0 } else { meta.nlink() };
                let text =
                    format!("{:o} {nlink} {} {:?}", meta.mode(), blake3::hash(&content), meta.modified().unwrap());
                all.insert(path.clone(), text);
            }
            if meta.is_dir() {
                self.look(root, &path, own, all);
            }
        }
    }

    fn check(&self) {
        assert_eq!(self.seen("data", false), self.seen("mirror", false));
        let time = |of: &str| self.node.dir.path().join(of).metadata().unwrap().modified().unwrap();
        assert_eq!(time("data"), time("mirror"), "of the root");
    }
}

fn tmp() -> [NotReplicated; 1] {
    [NotReplicated::Pattern(r".*\.tmp".into())]
}

#[test]
fn a_file_is_replaced_by_one_that_was_not_replicated() {
    let mut app = App::new(&tmp());
    app.make("conf", libc::S_IFREG).unwrap();
    app.write("conf", 0, b"old").unwrap();
    app.make("conf.tmp", libc::S_IFREG).unwrap();
    app.write("conf.tmp", 300_000, b"new").unwrap();
    rustix::fs::setxattr(app.node.dir.path().join("data/conf.tmp"), "user.a", b"b", rustix::fs::XattrFlags::empty())
        .unwrap();
    assert_eq!(app.seen("mirror", true).len(), 0, "nothing of it is sent");
    app.rename("conf.tmp", "conf", 0).unwrap();
    app.check();
    assert_eq!(app.seen("mirror", false).len(), 1, "and nothing is left of the way there");
    let mut value = [0; 8];
    let there = app.node.dir.path().join("mirror/conf");
    assert_eq!(rustix::fs::getxattr(&there, "user.a", &mut value), Ok(1));
    // From now on it is like any other.
    app.write("conf", 1, b"more").unwrap();
    app.check();
    // And back.
    let (id, table) = (app.find("conf").unwrap().id, app.front.backing.table().clone());
    table.set_flags(id, crate::table::SAME);
    app.rename("conf", "conf.tmp", 0).unwrap();
    assert_eq!(table.flags(id) & crate::table::SAME, 0, "its content isn't followed any more");
    app.write("conf.tmp", 0, b"ours").unwrap();
    app.check();
    assert_eq!(app.seen("mirror", false).len(), 0);
    assert_eq!(app.seen("data", true).len(), 1);
}

#[test]
fn what_can_not_cross_the_border_is_told_to_copy() {
    let mut app = App::new(&[tmp()[0].clone(), NotReplicated::Path("d/local".into())]);
    for (path, kind) in [
        ("file", libc::S_IFREG),
        ("file.tmp", libc::S_IFREG),
        ("dir", libc::S_IFDIR),
        ("dir.tmp", libc::S_IFDIR),
        ("fifo.tmp", libc::S_IFIFO),
        ("large.tmp", libc::S_IFREG),
        ("d", libc::S_IFDIR),
        ("d/local", libc::S_IFREG),
    ] {
        app.make(path, kind).unwrap();
    }
    app.write("large.tmp", LARGEST, b"x").unwrap();
    app.link("file", "second").unwrap();
    app.link("file.tmp", "second.tmp").unwrap();
    let exchange = libc::RENAME_EXCHANGE;
    for (from, to, flags) in [
        ("dir", "other.tmp", 0),
        ("dir.tmp", "other", 0),
        ("fifo.tmp", "fifo", 0),
        ("large.tmp", "large", 0),
        ("file", "other.tmp", 0),
        ("file.tmp", "other", 0),
        ("file", "file.tmp", exchange),
        ("fifo.tmp", "file", exchange),
        // Something in it would be replicated all of a sudden.
        ("d", "e", 0),
        ("d", "dir", exchange),
        ("dir", "d", exchange),
    ] {
        assert_eq!(app.rename(from, to, flags), Err(libc::EXDEV), "{from} -> {to}");
    }
    for (from, to) in [("file", "third.tmp"), ("file.tmp", "third")] {
        assert_eq!(app.link(from, to), Err(libc::EXDEV), "{from} -> {to}");
    }
    app.rename("fifo.tmp", "dir.tmp/fifo", 0).unwrap();
    app.rename("dir.tmp", "moved.tmp", 0).unwrap();
    app.rename("dir", "moved", 0).unwrap();
    app.check();
}

#[test]
fn what_the_other_copy_has_of_its_own_stays_there() {
    let mut app = App::new(&tmp());
    app.make("d", libc::S_IFDIR).unwrap();
    app.make("d/e", libc::S_IFDIR).unwrap();
    let mirror = app.node.dir.path().join("mirror");
    std::fs::write(mirror.join("d/e/theirs.tmp"), b"theirs").unwrap();
    std::fs::write(mirror.join("x.tmp"), b"theirs").unwrap();
    app.make("x.tmp", libc::S_IFREG).unwrap();
    app.rename("d", "f", 0).unwrap();
    assert_eq!(std::fs::read(mirror.join("f/e/theirs.tmp")).unwrap(), b"theirs");
    // Their directory goes: theirs is set aside.
    app.remove("f/e").unwrap();
    app.remove("f").unwrap();
    assert_eq!(std::fs::read(app.node.dir.path().join("mirror.hold/leftout/1/theirs.tmp")).unwrap(), b"theirs");
    assert_eq!(std::fs::read(mirror.join("x.tmp")).unwrap(), b"theirs");
    app.check();
}

#[test]
fn what_is_own_there_does_not_become_replicated_with_its_directory() {
    let mut app = App::new(&[NotReplicated::Path("a/b/local".into())]);
    app.make("a", libc::S_IFDIR).unwrap();
    app.make("a/b", libc::S_IFDIR).unwrap();
    let there = app.node.dir.path().join("mirror/a/b");
    let time = there.metadata().unwrap().modified().unwrap();
    std::fs::write(there.join("local"), b"theirs").unwrap();
    std::fs::File::open(&there).unwrap().set_modified(time).unwrap();
    app.rename("a", "c", 0).unwrap();
    app.check();
    app.make("c/b/local", libc::S_IFREG).unwrap();
    app.check();
    assert_eq!(std::fs::read(app.node.dir.path().join("mirror.hold/leftout/1/local")).unwrap(), b"theirs");
}

#[test]
fn a_server_that_dies_while_a_file_comes_leaves_it_whole() {
    for executed in [false, true] {
        let mut app = App::new(&tmp());
        app.make("conf", libc::S_IFREG).unwrap();
        app.make("conf.tmp", libc::S_IFREG).unwrap();
        app.write("conf.tmp", 0, b"new").unwrap();
        let (source, target) = (app.find("conf.tmp").unwrap(), app.find("conf").unwrap());
        let mut intent = Intent::new(77, What::Rename, FileId::ROOT, b"conf.tmp", source.id);
        (intent.new_parent, intent.new_name, intent.other) = (FileId::ROOT, b"conf".to_vec(), Some(target.id));
        intent.side = app.front.side_of_move(&intent, &source, Some(&target)).ok().unwrap();
        assert_eq!(intent.side, Side::Comes);
        intent.slot = app.front.memory.take(77, source.id).unwrap();
        app.front.memory.set_intent(&intent).unwrap();
        let admission = app.front.pipeline.gate().admit().unwrap().unwrap();
        app.front.bring(&admission, &intent).ok().unwrap();
        if executed {
            app.front.execute(&intent).unwrap();
        }
        drop(admission);
        app.front = app.node.front();
        let admission = app.front.pipeline.gate().admit().unwrap().unwrap();
        app.front.recover(&admission).ok().unwrap();
        drop(admission);
        let slot = app.front.memory.left_by_predecessor(77).unwrap();
        let done = crate::pipeline::was_published(app.front.memory.mark(slot), &*app.front.pipeline).is_some();
        assert_eq!(done, executed);
        assert_eq!(app.front.backing.is_own(source.id), !executed);
        let now = if executed { "data/conf" } else { "data/conf.tmp" };
        assert_eq!(std::fs::read(app.node.dir.path().join(now)).unwrap(), b"new");
    }
}

/// Not of the border, but of what is each node's own: access control lists.
#[test]
fn lists_are_told_or_only_the_mode_that_comes_with_them() {
    let entry = |tag: u8, perm: u8, id: [u8; 4]| [&[tag, 0, perm, 0][..], &id].concat();
    let any = [0xff; 4];
    let list =
        [entry(1, 6, any), entry(2, 7, [11, 0, 0, 0]), entry(4, 0, any), entry(0x10, 7, any), entry(0x20, 0, any)];
    let list = [&[2, 0, 0, 0][..], &list.concat()].concat();
    for lists in [true, false] {
        let mut app = App::new(&[]);
        app.node.lists = lists;
        app.front = app.node.front();
        app.make("file", libc::S_IFREG).unwrap();
        let id = app.find("file").unwrap().id;
        let asker = app.asker();
        let change = super::super::metadata::XattrChange::Set { value: list.clone(), flags: libc::XATTR_CREATE };
        let admission = app.front.pipeline.gate().admit().unwrap().unwrap();
        let name = crate::backing::ACL_ACCESS.to_owned();
        app.front.change_xattr_and_append(&admission, &asker, id, &name, &change).unwrap().unwrap();
        drop(admission);
        let there = app.node.dir.path().join("mirror/file");
        assert_eq!(there.metadata().unwrap().mode() & 0o777, 0o670);
        let has = |path: &str, name: &str| {
            rustix::fs::getxattr(app.node.dir.path().join(path), name, &mut [0u8; 64][..]).is_ok()
        };
        assert_eq!(has("mirror/file", "system.posix_acl_access"), lists);
        app.check();
    }
}

#[derive(Clone, Debug)]
enum Step {
    Make(String, u32),
    Write(String, u64, Vec<u8>),
    Remove(String),
    Rename(String, String, bool),
    Link(String, String),
    /// Of the other node's own, past all of this.
    Theirs(String),
}

fn path() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", "b", "c.tmp", "d.tmp", "local"]);
    prop::collection::vec(name, 1..4).prop_map(|parts| parts.join("/"))
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop::sample::select(vec![libc::S_IFREG, libc::S_IFDIR, libc::S_IFDIR, libc::S_IFLNK, libc::S_IFIFO]);
    prop_oneof![
        4 => (path(), kind).prop_map(|(path, kind)| Step::Make(path, kind)),
        3 => (path(), 0..5000u64, prop::collection::vec(any::<u8>(), 1..50)).prop_map(|(p, o, d)| Step::Write(p, o, d)),
        1 => path().prop_map(Step::Remove),
        4 => (path(), path(), prop::bool::weighted(0.2)).prop_map(|(from, to, exchange)| Step::Rename(from, to, exchange)),
        1 => (path(), path()).prop_map(|(from, to)| Step::Link(from, to)),
        1 => path().prop_map(Step::Theirs),
    ]
}

fn lists() -> impl Strategy<Value = Vec<NotReplicated>> {
    let pattern = |text: &str| NotReplicated::Pattern(text.to_owned());
    prop::sample::select(vec![
        vec![pattern(r".*\.tmp")],
        vec![NotReplicated::Path("a/local".into()), NotReplicated::Path("b".into())],
        vec![pattern("(.*/)?local"), NotReplicated::Path("a/b".into())],
        vec![NotReplicated::AllBut(r"(.*/)?(a|local)".into())],
        vec![NotReplicated::AllBut(r"a/.*".into()), pattern("a/b.*")],
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Whatever applications do: what is replicated is equal, what isn't is only where it was made.
    #[test]
    fn operations_on_both_sides_of_the_border(list in lists(), steps in prop::collection::vec(step(), 1..60)) {
        let mut app = App::new(&list);
        let mut theirs = 0;
        for step in &steps {
            // Errors are the application's: a name that is there, a directory that is full, EXDEV.
            let _answer = match step {
                Step::Make(path, kind) => app.make(path, *kind),
                Step::Write(path, offset, data) if app.find(path).is_some_and(|f| f.kind() == libc::S_IFREG) => {
                    app.write(path, *offset, data)
                }
                Step::Write(..) => Ok(()),
                Step::Remove(path) => app.remove(path),
                Step::Rename(from, to, exchange) => app.rename(from, to, if *exchange { libc::RENAME_EXCHANGE } else { 0 }),
                Step::Link(from, to) => app.link(from, to),
                Step::Theirs(path) => {
                    let full = app.node.dir.path().join("mirror").join(path);
                    let above = full.parent().unwrap().to_owned();
                    let time = above.metadata().and_then(|meta| meta.modified());
                    if app.front.backing.leaves_out(path, false) && std::fs::File::create_new(&full).is_ok() {
                        theirs += 1;
                        // Not part of what is compared: the time of a directory whose names another node changed.
                        std::fs::File::open(above).unwrap().set_modified(time.unwrap()).unwrap();
                    }
                    Ok(())
                }
            };
        }
        app.check();
        let aside = app.node.dir.path().join("mirror.hold/leftout");
        let aside = std::fs::read_dir(aside).into_iter().flatten().map(|dir| count(&dir.unwrap().path())).sum::<usize>();
        let inside = app.seen("mirror", true);
        prop_assert_eq!(inside.len() + aside, theirs, "nothing of theirs is lost, nothing of ours is there: {:?}", inside);
    }
}

fn count(dir: &Path) -> usize {
    let each = |path: std::path::PathBuf| if path.is_dir() { count(&path) } else { 1 };
    std::fs::read_dir(dir).unwrap().map(|entry| each(entry.unwrap().path())).sum()
}
