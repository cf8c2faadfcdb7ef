//! Good packages come out as they went in; hostile ones leave nothing behind.

use std::fs;
use std::io::{Cursor, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use hf_package::{InstallError, Limits, PackError, Refused, install, pack, replace};
use proptest::prelude::*;
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(dir.path().join("modules")).expect("a directory in it");
        Place { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn package(&self, bytes: &[u8]) -> PathBuf {
        let path = self.path("p.safe");
        fs::write(&path, bytes).expect("the package is written");
        path
    }

    fn install(&self, bytes: &[u8]) -> Result<(), InstallError> {
        self.install_with(bytes, &Limits::default())
    }

    fn install_with(&self, bytes: &[u8], limits: &Limits) -> Result<(), InstallError> {
        install(&self.package(bytes), &self.path("modules/m"), limits)
    }

    /// What is in the directory of modules, and nothing else may be anywhere else.
    fn modules(&self) -> Vec<String> {
        names(&self.path("modules"))
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("the directory can be read");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("its entries too").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A zip file of these entries with a good configuration, each with its mode.
fn zip_of(entries: &[(&str, &[u8], u32)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default();
    writer.start_file("conf/userconfig.xml", options).expect("an entry");
    writer.write_all(b"<safe/>").expect("its contents");
    for (name, contents, mode) in entries {
        let options = options.unix_permissions(*mode);
        if name.ends_with('/') {
            writer.add_directory(*name, options).expect("a directory");
        } else {
            writer.start_file(*name, options).expect("an entry");
            writer.write_all(contents).expect("its contents");
        }
    }
    writer.finish().expect("the zip file ends").into_inner()
}

/// Changes bytes in place wherever they occur: what a zip library refuses to write.
fn patched(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let places: Vec<usize> =
        (0..=bytes.len() - from.len()).filter(|at| &bytes[*at..*at + from.len()] == from).collect();
    assert!(!places.is_empty(), "nothing to change");
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}

/// Sets the mode of every entry with this name in the central directory.
fn with_mode(mut bytes: Vec<u8>, name: &str, mode: u32) -> Vec<u8> {
    let at = bytes.windows(name.len()).rposition(|window| window == name.as_bytes()).expect("the name is there");
    bytes[at - 6..at - 4].copy_from_slice(&u16::try_from(mode).expect("a mode").to_le_bytes());
    bytes
}

fn refusal(result: Result<(), InstallError>) -> Refused {
    match result {
        Err(InstallError::Refused { reason, .. }) => reason,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn what_was_packed_comes_out_again() {
    let place = Place::new();
    let source = place.path("source");
    fs::create_dir_all(source.join("bin")).expect("directories");
    fs::create_dir_all(source.join("conf")).expect("directories");
    fs::write(source.join("conf/userconfig.xml"), "<safe/>").expect("a file");
    fs::write(source.join("bin/start_prim"), "#!/bin/sh\n").expect("a file");
    let package = place.path("m.safe");
    pack(&source, &package).expect("it packs");
    install(&package, &place.path("modules/m"), &Limits::default()).expect("it installs");
    assert_eq!(place.modules(), ["m"]);
    assert_eq!(fs::read(place.path("modules/m/conf/userconfig.xml")).expect("it is there"), b"<safe/>");
    let mode = |name: &str| fs::metadata(place.path(name)).expect("it is there").permissions().mode() & 0o7777;
    assert_eq!(mode("modules/m/bin/start_prim"), 0o755);
    assert_eq!(mode("modules/m/conf/userconfig.xml"), 0o644);
    assert_eq!((mode("modules/m"), mode("modules/m/bin")), (0o755, 0o755));
}

#[test]
fn the_same_files_give_the_same_bytes() {
    let place = Place::new();
    let mut packages = Vec::new();
    for (copy, order) in [("one", ["a", "b", "z"]), ("two", ["z", "b", "a"])] {
        let source = place.path(copy);
        fs::create_dir_all(source.join("conf")).expect("directories");
        for name in order {
            fs::write(source.join(name), name).expect("a file");
        }
        fs::write(source.join("conf/userconfig.xml"), "<safe/>").expect("a file");
        let package = place.path(&format!("{copy}.safe"));
        pack(&source, &package).expect("it packs");
        packages.push(fs::read(package).expect("the package is there"));
    }
    assert_eq!(packages[0], packages[1]);
    // A file system may list both in one order by chance; this one doesn't hang on it.
    let archive = zip::ZipArchive::new(Cursor::new(&packages[0])).expect("a zip file");
    let names: Vec<String> = archive.file_names().map(|name| name.expect("a name").into_owned()).collect();
    assert_eq!(names, ["a", "b", "conf/userconfig.xml", "z"]);
}

#[test]
fn links_dont_go_into_a_package() {
    let place = Place::new();
    let source = place.path("source");
    fs::create_dir_all(source.join("conf")).expect("directories");
    fs::write(source.join("conf/userconfig.xml"), "<safe/>").expect("a file");
    std::os::unix::fs::symlink("/etc/passwd", source.join("link")).expect("a link");
    let result = pack(&source, &place.path("m.safe"));
    assert!(matches!(result, Err(PackError::Unfit { .. })), "{result:?}");
    assert!(!place.path("m.safe").exists());
}

#[test]
fn garbage_is_refused() {
    let place = Place::new();
    for garbage in [&b""[..], b"PK", b"not a zip file at all", &[0u8; 100_000], b"PK\x05\x06aaaaaaaaaaaaaaaaaaaa"] {
        let reason = refusal(place.install(garbage));
        assert!(matches!(reason, Refused::NotAZip(_) | Refused::NotAModule), "{reason:?}");
    }
    assert!(place.modules().is_empty());
}

#[test]
fn climbing_and_absolute_names_are_refused() {
    let place = Place::new();
    for bad in ["../escaped", "bin/../../e", "/tmp/escaped", "..\\escaped", "bin//x", "./bin/xy", "bin/\u{1b}[31"] {
        let stand_in = "Q".repeat(bad.len());
        let bytes = patched(zip_of(&[(&stand_in, b"x", 0o644)]), stand_in.as_bytes(), bad.as_bytes());
        let reason = refusal(place.install(&bytes));
        assert!(matches!(reason, Refused::BadName { .. }), "{bad}: {reason:?}");
        assert!(!reason.to_string().contains('\u{1b}'), "an escape sequence went through");
    }
    assert!(place.modules().is_empty());
    assert_eq!(names(place.dir.path()), ["modules", "p.safe"]);
}

#[test]
fn names_that_arent_utf8_are_refused() {
    let place = Place::new();
    let bytes = patched(zip_of(&[("bin/QQ", b"x", 0o644)]), b"bin/QQ", b"bin/\xff\xfe");
    assert!(matches!(refusal(place.install(&bytes)), Refused::BadName { .. }));
}

#[test]
fn links_devices_and_special_bits_are_refused() {
    let place = Place::new();
    let plain = || zip_of(&[("bin/start_prim", b"/etc/passwd", 0o644)]);
    for kind in [0o120_777, 0o020_666, 0o060_660, 0o010_644, 0o140_755] {
        let reason = refusal(place.install(&with_mode(plain(), "bin/start_prim", kind)));
        assert!(matches!(reason, Refused::BadKind { .. }), "{kind:o}: {reason:?}");
    }
    for mode in [0o104_755, 0o102_755, 0o101_777] {
        let reason = refusal(place.install(&with_mode(plain(), "bin/start_prim", mode)));
        assert!(matches!(reason, Refused::BadMode { .. }), "{mode:o}: {reason:?}");
    }
    place.install(&with_mode(plain(), "bin/start_prim", 0o100_644)).expect("a plain file passes");
}

#[test]
fn duplicates_are_refused() {
    let place = Place::new();
    let twice = patched(zip_of(&[("bin/a", b"1", 0o644), ("bin/b", b"2", 0o644)]), b"bin/b", b"bin/a");
    let reason = refusal(place.install(&twice));
    assert!(matches!(reason, Refused::DuplicateEntries), "{reason:?}");
    let inside = patched(zip_of(&[("bin", b"1", 0o644), ("bQn/b", b"2", 0o644)]), b"bQn/b", b"bin/b");
    let reason = refusal(place.install(&inside));
    assert!(matches!(reason, Refused::Duplicate { .. }), "{reason:?}");
}

#[test]
fn entries_that_share_their_bytes_are_refused() {
    let place = Place::new();
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file("conf/userconfig.xml", SimpleFileOptions::default()).expect("an entry");
    writer.write_all(b"<safe/>").expect("its contents");
    writer.shallow_copy_file("conf/userconfig.xml", "conf/again").expect("the same bytes again");
    let bytes = writer.finish().expect("the zip file ends").into_inner();
    let reason = refusal(place.install(&bytes));
    assert!(matches!(reason, Refused::Overlap), "{reason:?}");
}

#[test]
fn a_bomb_is_refused() {
    let place = Place::new();
    let zeros = vec![0u8; 20 << 20];
    let bytes = zip_of(&[("web/zeros", &zeros, 0o644)]);
    assert!(bytes.len() < 100_000, "the bomb is small: {}", bytes.len());
    assert!(matches!(refusal(place.install(&bytes)), Refused::RatioTooLarge { .. }));
    let limits = Limits { ratio: u64::MAX, total_bytes: 1 << 20, ..Limits::default() };
    assert!(matches!(refusal(place.install_with(&bytes, &limits)), Refused::ContentsTooLarge { .. }));
    assert!(place.modules().is_empty());
}

#[test]
fn a_bomb_that_lies_about_its_size_is_stopped() {
    let place = Place::new();
    let size = 20u32 << 20;
    let bytes = zip_of(&[("web/zeros", &vec![0u8; size as usize], 0o644)]);
    let lying = patched(bytes, &size.to_le_bytes(), &1000u32.to_le_bytes());
    let result = place.install(&lying);
    assert!(matches!(result, Err(InstallError::Damaged { .. })), "{result:?}");
    assert!(place.modules().is_empty());
}

#[test]
fn too_many_or_too_large() {
    let place = Place::new();
    let bytes = zip_of(&[("a", b"", 0o644), ("b", b"", 0o644), ("c", b"", 0o644)]);
    let few = Limits { entries: 3, ..Limits::default() };
    assert!(matches!(refusal(place.install_with(&bytes, &few)), Refused::TooManyEntries { count: 4, limit: 3 }));
    let small = Limits { package_bytes: 10, ..Limits::default() };
    assert!(matches!(refusal(place.install_with(&bytes, &small)), Refused::PackageTooLarge { .. }));
    let deep = zip_of(&[(&"d/".repeat(17), b"", 0o755)]);
    assert!(matches!(refusal(place.install(&deep)), Refused::BadName { .. }));
}

#[test]
fn damaged_contents_leave_nothing() {
    let place = Place::new();
    let contents: Vec<u8> = (0..50_000u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let mut bytes = zip_of(&[("web/data", &contents, 0o644)]);
    bytes[50_000] ^= 0xff;
    let result = place.install(&bytes);
    assert!(matches!(result, Err(InstallError::Damaged { .. })), "{result:?}");
    assert!(place.modules().is_empty());
}

#[test]
fn not_a_module() {
    let place = Place::new();
    let bytes = patched(zip_of(&[]), b"conf/userconfig.xml", b"conf/userconfig.XML");
    assert!(matches!(refusal(place.install(&bytes)), Refused::NotAModule));
}

#[test]
fn an_installed_module_is_only_replaced_on_purpose() {
    let place = Place::new();
    place.install(&zip_of(&[("bin/old", b"", 0o644)])).expect("the first");
    let second = zip_of(&[("bin/new", b"", 0o644)]);
    assert!(matches!(place.install(&second), Err(InstallError::AlreadyThere { .. })));
    assert_eq!(names(&place.path("modules/m/bin")), ["old"]);
    replace(&place.package(&second), &place.path("modules/m"), &Limits::default()).expect("the second");
    assert_eq!(names(&place.path("modules/m/bin")), ["new"]);
    assert_eq!(place.modules(), ["m"]);
}

#[test]
fn a_leftover_of_a_power_cut_is_removed() {
    let place = Place::new();
    fs::create_dir_all(place.path("modules/.m.unpacking/bin")).expect("a leftover");
    fs::write(place.path("modules/.m.unpacking/bin/evil"), "").expect("a file in it");
    place.install(&zip_of(&[])).expect("it installs");
    assert_eq!(names(&place.path("modules/m")), ["conf"]);
    assert_eq!(place.modules(), ["m"]);
}

#[test]
fn a_target_must_be_a_plain_name() {
    let place = Place::new();
    let package = place.package(&zip_of(&[]));
    for bad in ["modules/.hidden", "modules/.."] {
        let result = install(&package, &place.path(bad), &Limits::default());
        assert!(matches!(result, Err(InstallError::BadTarget { .. } | InstallError::AlreadyThere { .. })), "{bad}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A good package with some bytes changed: it installs or is refused, and nothing half done stays.
    #[test]
    fn a_package_with_changed_bytes(changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..12)) {
        let place = Place::new();
        let mut bytes = zip_of(&[("bin/start_prim", b"#!/bin/sh\necho hello hello hello\n", 0o755), ("web/", b"", 0o755)]);
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        let done = place.install(&bytes).is_ok();
        let expected: &[&str] = if done { &["m"] } else { &[] };
        prop_assert_eq!(place.modules(), expected);
        prop_assert_eq!(names(place.dir.path()), ["modules", "p.safe"]);
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let place = Place::new();
        prop_assert!(place.install(&bytes).is_err());
        prop_assert!(place.modules().is_empty());
    }
}
