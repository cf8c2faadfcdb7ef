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
