use super::*;

fn place() -> (tempfile::TempDir, Place) {
    let base = tempfile::tempdir().unwrap();
    let place = Place::new(&base.path().join("dir"), "_data").unwrap();
    (base, place)
}

#[test]
fn a_directory_becomes_data_and_mount_point_and_link_and_itself_again() {
    let (_base, place) = place();
    assert!(matches!(place.prepare(), Err(PlaceError::Missing { .. })));
    fs::create_dir(&place.dir).unwrap();
    fs::write(place.dir.join("f"), b"x").unwrap();
    place.prepare().unwrap();
    assert!(place.backing.join("f").exists());
    assert_eq!(fs::read_dir(&place.dir).unwrap().count(), 0);
    place.prepare().unwrap();
    place.restore().unwrap();
    assert_eq!(fs::read_link(&place.dir).unwrap(), place.backing);
    place.restore().unwrap();
    place.prepare().unwrap();
    assert!(fs::symlink_metadata(&place.dir).unwrap().is_dir());
    // A crash between unlinking and making the directory.
    fs::remove_dir(&place.dir).unwrap();
    place.prepare().unwrap();
    place.undo().unwrap();
    assert!(place.dir.join("f").exists());
    assert!(!place.backing.exists());
}

#[test]
fn what_is_in_the_way_is_named_and_left_alone() {
    let (_base, place) = place();
    fs::create_dir(&place.backing).unwrap();
    fs::create_dir(&place.dir).unwrap();
    fs::write(place.dir.join("stray"), b"x").unwrap();
    assert!(matches!(place.prepare(), Err(PlaceError::Both { .. })));
    assert!(matches!(place.restore(), Err(PlaceError::Both { .. })));
    fs::remove_dir_all(&place.dir).unwrap();
    symlink("/somewhere", &place.dir).unwrap();
    let error = place.prepare().unwrap_err().to_string();
    assert!(error.contains("a symbolic link to /somewhere"), "{error}");
    assert_eq!(fs::read_link(&place.dir).unwrap(), Path::new("/somewhere"));
}

#[test]
fn forbidden_directories_are_refused() {
    for dir in ["/", "relative", "/a/../b", "/a//b", "/a/./b"] {
        assert!(Place::new(Path::new(dir), DEFAULT_SUFFIX).is_err(), "{dir}");
    }
    let own = [Path::new("/opt/holdfast"), Path::new("/var/holdfast")];
    let others = [Path::new("/data/one")];
    for dir in ["/etc", "/opt", "/opt/holdfast/x", "/var/holdfast", "/data", "/data/one/two", "/proc/x"] {
        let place = Place::new(Path::new(dir), DEFAULT_SUFFIX).unwrap();
        assert!(matches!(place.check(&own, &others), Err(PlaceError::Refused { .. })), "{dir}");
    }
    let (base, _) = place();
    let real = base.path().join("real");
    fs::create_dir_all(real.join("dir")).unwrap();
    symlink(&real, base.path().join("link")).unwrap();
    let through = Place::new(&base.path().join("link/dir"), DEFAULT_SUFFIX).unwrap();
    assert!(through.check(&own, &others).unwrap_err().to_string().contains("symbolic link"));
    let plain = Place::new(&real.join("dir"), DEFAULT_SUFFIX).unwrap();
    plain.check(&own, &others).unwrap();
}

#[test]
fn who_uses_the_data_is_named() {
    let (_base, place) = place();
    fs::create_dir(&place.backing).unwrap();
    place.check_unused(&[]).unwrap();
    let open = fs::File::create(place.backing.join("open")).unwrap();
    let me = std::process::id();
    let error = place.check_unused(&[]).unwrap_err().to_string();
    assert!(error.contains(&format!("process {me}")) && error.contains("/open"), "{error}");
    place.check_unused(&[me]).unwrap();
    drop(open);
    place.check_unused(&[]).unwrap();
}

#[test]
fn a_cover_hides_the_data_but_not_from_an_open_descriptor() {
    let (_base, place) = place();
    fs::create_dir(&place.backing).unwrap();
    fs::write(place.backing.join("f"), b"x").unwrap();
    let open = fs::File::open(&place.backing).unwrap();
    place.cover().unwrap();
    place.cover().unwrap();
    let visible = fs::read_dir(&place.backing).unwrap().count();
    let writable = fs::write(place.backing.join("g"), b"").is_ok();
    let inside = rustix::fs::statat(&open, "f", rustix::fs::AtFlags::empty()).is_ok();
    place.uncover().unwrap();
    assert_eq!((visible, writable, inside), (0, false, true));
    assert!(place.backing.join("f").exists());
}

/// An ext4 of its own at `dir`, and everything of it unmounted at the end.
struct Disk {
    base: tempfile::TempDir,
    place: Place,
}

impl Disk {
    fn new() -> Disk {
        let base = tempfile::tempdir().unwrap();
        let place = Place::new(&base.path().join("dir"), "_data").unwrap();
        let disk = Disk { base, place };
        fs::create_dir(&disk.place.dir).unwrap();
        disk.make("image");
        disk.mount("image", &disk.place.dir);
        fs::write(disk.place.dir.join("file"), b"x").unwrap();
        disk
    }

    fn make(&self, image: &str) {
        let image = self.base.path().join(image);
        fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
        run("mkfs.ext4", &["-q", "-F", image.to_str().unwrap()]);
    }

    fn mount(&self, image: &str, at: &Path) {
        run("mount", &["-o", "loop", self.base.path().join(image).to_str().unwrap(), at.to_str().unwrap()]);
    }

    fn unmount_all(&self) {
        for path in [&self.place.dir, &self.place.backing] {
            while mounts().unwrap().iter().any(|mount| mount.mountpoint == *path) {
                rustix::mount::unmount(path, UnmountFlags::DETACH).unwrap();
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.unmount_all();
    }
}

fn run(program: &str, arguments: &[&str]) {
    assert!(std::process::Command::new(program).args(arguments).status().unwrap().success(), "{program} {arguments:?}");
}

fn is_mount(path: &Path) -> bool {
    mounts().unwrap().iter().any(|mount| mount.mountpoint == path)
}

#[test]
fn a_file_system_of_its_own_moves_there_and_back() {
    let disk = Disk::new();
    let place = &disk.place;
    place.check(&[], &[]).unwrap();
    for _ in 0..2 {
        place.prepare().unwrap();
        place.prepare().unwrap();
        assert!(is_mount(&place.backing) && !is_mount(&place.dir));
        assert!(place.backing.join("file").exists() && fs::read_dir(&place.dir).unwrap().count() == 0);
        place.cover().unwrap();
        place.check(&[], &[]).unwrap();
        place.uncover().unwrap();
        place.restore().unwrap();
        place.restore().unwrap();
        assert!(!place.backing.exists() && is_mount(&place.dir) && place.dir.join("file").exists());
    }
    // A crash between the two steps of moving it.
    place.prepare().unwrap();
    rustix::mount::mount_bind(&place.backing, &place.dir).unwrap();
    place.prepare().unwrap();
    assert!(is_mount(&place.backing) && !is_mount(&place.dir));
    // A power cut: at the boot it is mounted where it always is.
    disk.unmount_all();
    disk.mount("image", &place.dir);
    place.prepare().unwrap();
    assert!(place.backing.join("file").exists());
    place.undo().unwrap();
    assert!(place.dir.join("file").exists() && !place.backing.exists());
}

#[test]
fn an_empty_mount_point_or_another_disk_is_not_taken_for_the_copy() {
    let disk = Disk::new();
    let place = &disk.place;
    place.prepare().unwrap();
    place.restore().unwrap();
    disk.unmount_all();
    assert!(matches!(place.prepare(), Err(PlaceError::NotMounted { .. })));
    disk.make("other");
    disk.mount("other", &place.dir);
    assert!(matches!(place.prepare(), Err(PlaceError::OtherFilesystem { .. })));
    assert!(is_mount(&place.dir) && !place.backing.exists());
    fs::remove_dir_all(&place.control).unwrap();
    place.prepare().unwrap();
}

#[test]
fn what_lies_under_the_mount_or_inside_of_it_is_refused_and_everything_is_as_it_was() {
    let disk = Disk::new();
    let place = &disk.place;
    disk.unmount_all();
    fs::write(place.dir.join("hidden"), b"x").unwrap();
    disk.mount("image", &place.dir);
    assert!(matches!(place.prepare(), Err(PlaceError::Both { .. })));
    assert!(is_mount(&place.dir) && place.dir.join("file").exists() && !place.backing.exists());
    let inside = place.dir.join("inside");
    fs::create_dir(&inside).unwrap();
    rustix::mount::mount("inside", &inside, "tmpfs", MountFlags::empty(), None).unwrap();
    let error = place.check(&[], &[]).unwrap_err().to_string();
    rustix::mount::unmount(&inside, UnmountFlags::empty()).unwrap();
    assert!(error.contains("inside is mounted inside of it"), "{error}");
}

#[test]
fn who_mounts_it_under_the_other_name_gets_a_link() {
    let disk = Disk::new();
    let place = &disk.place;
    disk.unmount_all();
    fs::create_dir(&place.backing).unwrap();
    disk.mount("image", &place.backing);
    place.check(&[], &[]).unwrap();
    place.prepare().unwrap();
    place.restore().unwrap();
    assert_eq!(fs::read_link(&place.dir).unwrap(), place.backing);
    assert!(is_mount(&place.backing) && place.dir.join("file").exists());
}

#[test]
fn a_file_system_of_its_own_has_our_place_in_itself() {
    use crate::backing::{Backing, Name};
    use crate::pipeline::FileId;
    use crate::table::Table;
    let disk = Disk::new();
    let place = &disk.place;
    place.prepare().unwrap();
    let table = || std::sync::Arc::new(Table::create(1).unwrap());
    let backing = Backing::open(&place.backing, &place.control, table()).unwrap();
    assert!(place.backing.join(".holdfast/open").is_dir());
    let names = |backing: &Backing| {
        let mut names: Vec<_> = backing.list(FileId::ROOT).unwrap().into_iter().map(|entry| entry.name).collect();
        names.sort();
        names
    };
    assert_eq!(names(&backing), [b"file".to_vec()], "lost+found and ours are each node's own");
    assert!(backing.is_hidden(FileId::ROOT, b".holdfast") && !backing.is_hidden(FileId::ROOT, b"file"));
    let found = backing.lookup(FileId::ROOT, &Name::new(b"file").unwrap()).unwrap();
    backing.table().looked_up(found.id);
    backing.unlink(FileId::ROOT, &Name::new(b"file").unwrap(), &found).unwrap();
    assert!(backing.is_held(found.id));
    // A successor gets descriptors, and knows it from them.
    let (root, hold) = (backing.root().try_clone_to_owned().unwrap(), backing.hold().try_clone_to_owned().unwrap());
    place.cover().unwrap();
    let next = Backing::from_descriptors(root, hold, table()).unwrap();
    assert!(next.is_hidden(FileId::ROOT, b".holdfast") && names(&next).is_empty());
    drop((backing, next));
    place.uncover().unwrap();
    place.restore().unwrap();
}

/// A directory that keeps its name, and whatever is mounted there unmounted at the end.
fn unrenamed() -> Disk {
    let base = tempfile::tempdir().unwrap();
    let place = Place::new(&base.path().join("dir"), "_data").unwrap().renamed(false);
    fs::create_dir(&place.dir).unwrap();
    fs::write(place.dir.join("file"), b"x").unwrap();
    Disk { base, place }
}

#[test]
fn a_directory_that_keeps_its_name_is_mounted_a_second_time() {
    let disk = unrenamed();
    let place = &disk.place;
    for _ in 0..2 {
        place.prepare().unwrap();
        place.prepare().unwrap();
        assert!(is_mount(&place.backing) && !is_mount(&place.dir));
        assert!(place.backing.join("file").exists() && place.dir.join("file").exists());
        place.cover().unwrap();
        place.check(&[], &[]).unwrap();
        assert!(!place.backing.join("file").exists());
        place.uncover().unwrap();
        place.restore().unwrap();
        place.restore().unwrap();
        assert!(!place.backing.exists() && place.dir.join("file").exists());
    }
    // A power cut: an empty directory is left of the second mount.
    place.prepare().unwrap();
    disk.unmount_all();
    place.prepare().unwrap();
    assert!(is_mount(&place.backing) && place.backing.join("file").exists());
    place.undo().unwrap();
    assert!(place.dir.join("file").exists() && !place.backing.exists());
}

#[test]
fn a_directory_gets_its_name_back_when_it_shall_keep_it_and_gives_it_when_not() {
    let disk = unrenamed();
    let place = &disk.place;
    let other = place.clone().renamed(true);
    other.prepare().unwrap();
    other.restore().unwrap();
    assert!(fs::symlink_metadata(&place.dir).unwrap().is_symlink());
    place.prepare().unwrap();
    assert!(place.dir.join("file").exists() && is_mount(&place.backing));
    place.restore().unwrap();
    assert!(fs::symlink_metadata(&place.dir).unwrap().is_dir() && !place.backing.exists());
    other.prepare().unwrap();
    assert!(!is_mount(&place.backing) && place.backing.join("file").exists());
    // A crash while it had the other name: only the data is there.
    fs::remove_dir(&place.dir).unwrap();
    place.prepare().unwrap();
    assert!(place.dir.join("file").exists() && is_mount(&place.backing));
}

#[test]
fn what_else_is_under_the_second_name_is_not_covered() {
    let disk = unrenamed();
    let place = &disk.place;
    fs::create_dir(&place.backing).unwrap();
    fs::write(place.backing.join("other"), b"x").unwrap();
    assert!(matches!(place.prepare(), Err(PlaceError::Both { .. })));
    fs::remove_file(place.backing.join("other")).unwrap();
    rustix::mount::mount_bind(disk.base.path(), &place.backing).unwrap();
    assert!(matches!(place.prepare(), Err(PlaceError::InTheWay { .. })));
    disk.unmount_all();
    let open = fs::File::create(place.dir.join("open")).unwrap();
    let child = std::process::Command::new("sleep").arg("60").stdout(open).spawn();
    let mut child = child.unwrap();
    let held = place.prepare();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(matches!(held, Err(PlaceError::Held { .. })), "{held:?}");
    place.prepare().unwrap();
}
