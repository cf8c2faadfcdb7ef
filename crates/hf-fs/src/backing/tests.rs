use super::names::Inherited;
use super::*;
use crate::pipeline::{Attrs, Op, Stamp};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

struct Place {
    dir: tempfile::TempDir,
    backing: Backing,
}

/// On the file system of the temporary directory (set TMPDIR to try another).
fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let (root, control) = (dir.path().join("data"), dir.path().join("data.hold"));
    std::fs::create_dir(&root).unwrap();
    let table = Arc::new(Table::create(1).unwrap());
    Place { backing: Backing::open(&root, &control, table).unwrap(), dir }
}

impl Place {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("data").join(name)
    }

    fn make(&self, name: &str, new: &New<'_>, attrs: Attrs) -> io::Result<Found> {
        let id = self.backing.table().new_id();
        self.backing.make(FileId::ROOT, &n(name), id, new, &Inherited { attrs, acl: false })
    }

    fn file(&self, name: &str) -> Found {
        self.make(name, &New::File, ATTRS).unwrap()
    }
}

const ATTRS: Attrs = Attrs { mode: 0o4755, uid: 1234, gid: 4321 };

fn n(name: &str) -> Name {
    Name::new(name.as_bytes()).unwrap()
}

fn errno_of<T: std::fmt::Debug>(result: io::Result<T>) -> i32 {
    result.unwrap_err().raw_os_error().unwrap()
}

#[test]
fn new_files_have_owner_and_mode_and_keep_their_id() {
    let place = place();
    let found = place.file("a");
    let meta = std::fs::metadata(place.path("a")).unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.uid(), meta.gid()), (0o4755, 1234, 4321));
    assert_eq!(place.backing.lookup(FileId::ROOT, &n("a")).unwrap().id, found.id);
    std::fs::rename(place.path("a"), place.path("b")).unwrap();
    place.backing.close(found.id);
    assert_eq!(place.backing.write(found.id, 2, b"xy").unwrap(), 2);
    assert_eq!(std::fs::read(place.path("b")).unwrap(), b"\0\0xy");
}

#[test]
fn every_kind_can_be_made() {
    let place = place();
    let kinds = [
        New::File,
        New::Directory,
        New::Symlink(b"/etc/passwd"),
        New::Special { kind: libc::S_IFIFO, rdev: 0 },
        New::Special { kind: libc::S_IFSOCK, rdev: 0 },
        New::Special { kind: libc::S_IFCHR, rdev: 0x103 },
    ];
    for (i, new) in kinds.iter().enumerate() {
        let name = format!("k{i}");
        let found = place.make(&name, new, ATTRS).unwrap();
        let meta = std::fs::symlink_metadata(place.path(&name)).unwrap();
        assert_eq!(meta.mode() & libc::S_IFMT, new.kind());
        assert_eq!(meta.uid(), 1234);
        if !matches!(new, New::Symlink(_)) {
            assert_eq!(meta.mode() & 0o7777, 0o4755, "{new:?}");
        }
        place.backing.close(found.id);
        assert_eq!(place.backing.stat(found.id).unwrap().st_ino, meta.ino());
    }
    let link = place.backing.lookup(FileId::ROOT, &n("k2")).unwrap();
    assert_eq!(place.backing.read_link(link.id).unwrap(), b"/etc/passwd");
}

#[test]
fn set_group_id_directories_give_their_group() {
    let place = place();
    let attrs = Attrs { mode: 0o2775, uid: 1, gid: 77 };
    let dir = place.make("d", &New::Directory, attrs).unwrap();
    let node = place.backing.node(dir.id).unwrap();
    let asked = Requested { mode: 0o666, umask: 0o022, uid: 5, gid: 6 };
    let file = place.backing.inherit(&node, &New::File, &asked).unwrap();
    assert_eq!(file.attrs, Attrs { mode: 0o644, uid: 5, gid: 77 });
    let sub = place.backing.inherit(&node, &New::Directory, &asked).unwrap();
    assert_eq!(sub.attrs, Attrs { mode: 0o2644, uid: 5, gid: 77 });
}

#[test]
fn links_that_lead_outside_are_never_followed() {
    let place = place();
    let outside = place.dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("f"), b"secret").unwrap();
    symlink(&outside, place.path("l")).unwrap();
    let link = place.backing.lookup(FileId::ROOT, &n("l")).unwrap();
    assert_eq!(link.kind(), libc::S_IFLNK);
    assert_eq!(errno_of(place.backing.lookup(link.id, &n("f"))), libc::ENOTDIR);
    assert_eq!(errno_of(place.backing.read(link.id, 0, &mut [0; 4])), libc::EINVAL);
    assert_eq!(errno_of(place.backing.lookup(FileId::ROOT, &n("nothing"))), libc::ENOENT);
}

#[test]
fn a_file_that_the_kernel_knows_is_held_until_it_is_forgotten() {
    let place = place();
    let found = place.file("a");
    place.backing.table().looked_up(found.id);
    place.backing.write(found.id, 0, b"still here").unwrap();
    assert_eq!(place.backing.unlink(FileId::ROOT, &n("a"), &found).unwrap(), Replaced::Held);
    assert!(!place.path("a").exists());
    place.backing.close(found.id);
    let mut buffer = [0; 10];
    place.backing.read(found.id, 0, &mut buffer).unwrap();
    assert_eq!(&buffer, b"still here");
    place.backing.release(found.id).unwrap();
    assert_eq!(errno_of(place.backing.stat(found.id)), libc::ESTALE);
}

#[test]
fn a_replaced_file_is_held_and_a_failed_rename_leaves_nothing_there() {
    let place = place();
    let (a, b) = (place.file("a"), place.file("b"));
    let dir = place.make("d", &New::Directory, ATTRS).unwrap();
    place.backing.table().looked_up(b.id);
    let (na, nb, nd) = (n("a"), n("b"), n("d"));
    let bad = place.backing.rename(
        (FileId::ROOT, &nd, &dir),
        (FileId::ROOT, &nb, Some(&b)),
        rustix::fs::RenameFlags::empty(),
    );
    assert_eq!(errno_of(bad), libc::ENOTDIR);
    assert_eq!(std::fs::read_dir(place.dir.path().join("data.hold/open")).unwrap().count(), 0);
    let from = (FileId::ROOT, &na, &a);
    let to = (FileId::ROOT, &nb, Some(&b));
    place.backing.rename(from, to, rustix::fs::RenameFlags::empty()).unwrap();
    assert!(place.backing.is_held(b.id));
    assert_eq!(place.backing.lookup(FileId::ROOT, &nb).unwrap().id, a.id);
    assert_eq!(place.backing.stat(b.id).unwrap().st_nlink, 1);
    assert_eq!(place.backing.sweep().unwrap(), 1);
    assert_eq!(errno_of(place.backing.stat(b.id)), libc::ESTALE);
}

#[test]
fn operations_repeat_on_another_copy_and_a_difference_is_an_error() {
    let place = place();
    let stamp = Stamp { sec: 1_000_000, nsec: 77 };
    let root = FileId::ROOT;
    let (f, d) = (FileId(100), FileId(101));
    let ops = [
        Op::Mkdir { parent: root, name: b"d", id: d, attrs: ATTRS, stamp },
        Op::Create { parent: d, name: b"f", id: f, attrs: ATTRS, stamp },
        Op::Write { id: f, offset: 0, data: b"hello" },
        Op::SetAttr { id: f, owner: Some((7, 8)), mode: Some(0o2711), atime: Some(stamp), mtime: Some(stamp) },
        Op::SetXattr { id: f, name: b"user.x", value: b"y" },
        Op::Link { id: f, parent: root, name: b"g", stamp },
        Op::Rename {
            parent: root,
            name: b"g",
            new_parent: d,
            new_name: b"h",
            id: f,
            replaced: None,
            exchange: false,
            stamp,
        },
        Op::Unlink { parent: d, name: b"f", id: f, stamp },
        Op::Truncate { id: f, size: 4 },
        Op::Barrier { id: f },
    ];
    for op in &ops {
        place.backing.apply(op).unwrap();
    }
    let path = place.path("d/h");
    let meta = std::fs::metadata(&path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"hell");
    assert_eq!((meta.uid(), meta.gid(), meta.permissions().mode() & 0o7777), (7, 8, 0o2711));
    let dir = std::fs::metadata(place.path("d")).unwrap();
    assert_eq!((dir.mtime(), dir.mtime_nsec()), (1_000_000, 77));

    let other = place.backing.apply(&Op::Unlink { parent: d, name: b"h", id: d, stamp }).unwrap_err();
    assert_eq!(other.source.raw_os_error(), Some(libc::EXDEV));
    let unknown = place.backing.apply(&Op::Write { id: FileId(999), offset: 0, data: b"" }).unwrap_err();
    assert_eq!(unknown.source.raw_os_error(), Some(libc::ESTALE));
    let climbing = Op::Create { parent: root, name: b"../x", id: FileId(5), attrs: ATTRS, stamp };
    assert!(place.backing.apply(&climbing).is_err());
}

#[test]
fn listings_go_on_at_a_cookie() {
    let place = place();
    for i in 0..50 {
        place.file(&format!("f{i}"));
    }
    let mut first = Vec::new();
    place
        .backing
        .read_dir(FileId::ROOT, 0)
        .unwrap()
        .for_each(|e| {
            first.push(e);
            first.len() < 20
        })
        .unwrap();
    let mut rest = Vec::new();
    let at = first.last().unwrap().next;
    let listing = place.backing.read_dir(FileId::ROOT, at).unwrap();
    listing
        .for_each(|e| {
            rest.push(e);
            true
        })
        .unwrap();
    let names: std::collections::HashSet<_> = first.iter().chain(&rest).map(|e| &e.name).collect();
    assert_eq!(names.len(), 52);
    assert_eq!(first.len() + rest.len(), 52);
    assert_eq!(place.backing.list(FileId::ROOT).unwrap().len(), 50);
}

#[test]
fn name_operations_become_durable_with_the_next_barrier() {
    let place = place();
    let found = place.file("a");
    place.backing.sync(found.id, true).unwrap();
    place.file("b");
    place.backing.sync_names().unwrap();
    place.backing.sync_names().unwrap();
}

/// For tests of those who use a backing directory.
impl Backing {
    pub(crate) fn is_synced(&self) -> bool {
        self.unsynced.is_empty()
    }

    /// Changes the file, and its next sync will fail.
    pub(crate) fn break_sync(&self, id: FileId) {
        self.put_null(id);
        self.unsynced.content(id);
    }

    /// Every sync of this file fails from now on.
    fn put_null(&self, id: FileId) {
        self.close(id);
        let null = std::fs::File::open("/dev/null").unwrap();
        self.cache.put(Node::new(id, null.into(), libc::S_IFREG));
    }
}

#[test]
fn what_no_barrier_covered_is_known_and_made_durable() {
    let place = place();
    let (file, other) = (place.file("file").id, place.file("other").id);
    // The first barrier of a process syncs everything.
    place.backing.sync(file, true).unwrap();
    assert!(place.backing.is_synced());
    place.backing.write(file, 0, b"x").unwrap();
    place.backing.truncate(other, 5).unwrap();
    place.backing.set_attr(other, &Change { mode: Some(0o600), ..Change::default() }).unwrap();
    place.backing.sync(file, true).unwrap();
    assert_eq!(place.backing.unsynced.take(), unsynced::Taken::Files([(other.0, false)].into()));
    type Act = fn(&Backing, FileId) -> io::Result<()>;
    let changes: [Act; 7] = [
        |backing, id| backing.write(id, 0, b"x").map(drop),
        |backing, id| backing.truncate(id, 9),
        |backing, id| backing.allocate(id, 0, 0, 4096),
        |backing, id| backing.set_xattr(id, c"user.key", b"value", 0),
        |backing, id| backing.remove_xattr(id, c"user.key"),
        |backing, id| backing.link(id, FileId::ROOT, &n("link")),
        |backing, id| backing.set_attr(id, &Change { owner: Some((1, 1)), ..Change::default() }),
    ];
    for (number, change) in changes.iter().enumerate() {
        change(&place.backing, file).unwrap();
        assert!(!place.backing.is_synced(), "change {number}");
        place.backing.sync_changed().unwrap();
        assert!(place.backing.is_synced(), "change {number}");
    }
}

#[test]
fn a_file_that_is_durable_is_not_synced_again() {
    let place = place();
    let (idle, written) = (place.file("idle").id, place.file("written").id);
    place.backing.sync_changed().unwrap();
    place.backing.sync_names().unwrap();
    [idle, written].into_iter().for_each(|id| place.backing.put_null(id));
    place.backing.sync(idle, false).unwrap();
    place.backing.unsynced.content(written);
    assert_eq!(errno_of(place.backing.sync(written, true)), libc::EINVAL);
    assert_eq!(errno_of(place.backing.sync(idle, true)), libc::EINVAL, "after a failed sync nothing is certain");
}

#[test]
fn a_file_that_can_not_be_synced_is_an_error_once_and_keeps_no_other_from_it() {
    let place = place();
    let (bad, good, gone) = (place.file("bad").id, place.file("good").id, place.file("gone"));
    place.backing.sync_changed().unwrap();
    place.backing.write(good, 0, b"x").unwrap();
    place.backing.write(gone.id, 0, b"x").unwrap();
    place.backing.unlink(FileId::ROOT, &n("gone"), &gone).unwrap();
    place.backing.break_sync(bad);
    assert_eq!(errno_of(place.backing.sync_changed()), libc::EINVAL);
    assert!(place.backing.is_synced());
    place.backing.sync_changed().unwrap();
}

#[test]
fn many_changed_files_and_links_are_synced_at_once() {
    let place = place();
    let link = place.make("link", &New::Symlink(b"/nowhere"), ATTRS).unwrap().id;
    place.backing.sync_changed().unwrap();
    for number in 0..100 {
        let id = place.file(&number.to_string()).id;
        place.backing.write(id, 0, b"x").unwrap();
    }
    place.backing.sync_changed().unwrap();
    assert!(place.backing.is_synced());
    place.backing.set_attr(link, &Change { owner: Some((1, 1)), ..Change::default() }).unwrap();
    place.backing.sync_changed().unwrap();
    assert!(place.backing.is_synced());
}
