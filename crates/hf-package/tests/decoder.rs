//! Packages that a process without rights decodes: good ones, hostile ones, and a decoder that was taken over.

use std::fs;
use std::io::{Cursor, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hf_package::{InstallError, Limits, Refused, install_with, pack};
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

const DECODER: &str = env!("CARGO_BIN_EXE_hf-unpack-test");

struct Place(TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().expect("a temporary directory"));
        fs::create_dir(place.path("modules")).expect("a directory in it");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn install(&self, decoder: &mut Command, package: &[u8], limits: &Limits) -> Result<(), InstallError> {
        fs::write(self.path("p.safe"), package).expect("the package is written");
        install_with(decoder, &self.path("p.safe"), &self.path("modules/m"), limits)
    }

    /// Nothing is left of what was refused.
    fn check_empty(&self, case: &str) {
        let left: Vec<_> = fs::read_dir(self.path("modules")).expect("the directory").collect();
        assert!(left.is_empty(), "{case}: {left:?}");
        let names = fs::read_dir(self.0.path()).expect("the directory").count();
        assert_eq!(names, 2, "{case}: something lies beside the modules");
    }
}

fn zip_of(entries: &[(&str, &[u8], u32)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file("conf/userconfig.xml", SimpleFileOptions::default()).expect("an entry");
    writer.write_all(b"<safe/>").expect("its contents");
    for (name, contents, mode) in entries {
        writer.start_file(*name, SimpleFileOptions::default().unix_permissions(*mode)).expect("an entry");
        writer.write_all(contents).expect("its contents");
    }
    writer.finish().expect("the zip file ends").into_inner()
}

#[test]
fn a_good_package_comes_out_as_it_went_in() {
    let place = Place::new();
    let source = place.path("source");
    for (name, contents) in
        [("conf/userconfig.xml", "<safe/>"), ("bin/start_prim", "#!/bin/sh\n"), ("web/a/b.html", "")]
    {
        let path = source.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, contents).expect("a file");
    }
    pack(&source, &place.path("p.safe")).expect("a package");
    let target = place.path("modules/m");
    install_with(&mut Command::new(DECODER), &place.path("p.safe"), &target, &Limits::default()).expect("it is good");
    assert_eq!(fs::read_to_string(target.join("bin/start_prim")).expect("the script"), "#!/bin/sh\n");
    let mode = |name: &str| fs::metadata(target.join(name)).expect(name).permissions().mode() & 0o7777;
    assert_eq!([mode("bin/start_prim"), mode("web/a/b.html"), mode("bin")], [0o755, 0o644, 0o755]);
}

#[test]
fn hostile_packages_leave_nothing_behind() {
    let mut link = ZipWriter::new(Cursor::new(Vec::new()));
    link.start_file("conf/userconfig.xml", SimpleFileOptions::default()).expect("an entry");
    link.add_symlink("bin/start_prim", "/etc/shadow", SimpleFileOptions::default()).expect("a link");
    let link = link.finish().expect("the zip file ends").into_inner();
    let climbing = zip_of(&[("bin/../../../escaped", b"x", 0o644)]);
    let bomb = zip_of(&[("bin/zeros", &vec![0; 32 << 20], 0o644)]);
    let mut cut = zip_of(&[("bin/a", &[7; 9000], 0o644)]);
    cut.truncate(cut.len() / 2);
    let mut flipped = zip_of(&[("bin/a", b"some contents that have a checksum", 0o644)]);
    let at = flipped.windows(4).position(|window| window == b"bin/").expect("the entry") + 12;
    flipped[at] ^= 0x55;
    let cases: [(&str, Vec<u8>, &str); 6] = [
        ("a link", link, "is a symbolic link"),
        ("a climbing name", climbing, "climbs out of the package"),
        ("a bomb", bomb, "times as large as the package"),
        ("cut off", cut, "isn't a sound zip file"),
        ("damaged", flipped, "is damaged"),
        ("nothing", Vec::new(), "isn't a sound zip file"),
    ];
    for (case, package, why) in cases {
        let place = Place::new();
        let error = place.install(&mut Command::new(DECODER), &package, &Limits::default()).expect_err(case);
        assert!(error.to_string().contains(why), "{case}: {error}");
        place.check_empty(case);
    }
}

/// A decoder that says whatever a package made it say.
fn possessed(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    command
}

#[test]
fn a_decoder_that_was_taken_over_can_do_nothing_but_be_refused() {
    let small = Limits { entries: 3, total_bytes: 10, ..Limits::default() };
    let good = r"printf 'D\0\004confF\0\0\023conf/userconfig.xml\0\0\0\0\0\0\0\0'";
    let flood = format!(r"{good}; printf 'F\0\0\001a\0\0\0\0\177\0\0\0'; cat /dev/zero");
    let no_end = format!("{good}; sleep 0.1");
    let cases = [
        ("climbs", r"printf 'F\0\0\013../../evil1\0\0\0\0\0\0\0\001xZ'", "climbs out"),
        ("absolute", r"printf 'D\0\012/etc/evil1Z'", "is absolute"),
        ("control character", r"printf 'D\0\003a\nbZ'", "control character"),
        ("twice", r"printf 'D\0\001aD\0\001aZ'", "the name a twice"),
        ("too many", r"printf 'D\0\001aD\0\001bD\0\001cD\0\001dZ'", "4 entries; 3 are allowed"),
        ("too large", r"printf 'F\0\0\001a\0\0\0\0\0\0\0\013xxxxxxxxxxxZ'", "more than 10 bytes"),
        ("a flood", &flood, "more than 10 bytes"),
        ("a size beyond all sizes", r"printf 'F\0\0\001a\377\377\377\377\377\377\377\377xxx'", "more than 10 bytes"),
        ("a file as a directory", r"printf 'F\0\0\001a\0\0\0\0\0\0\0\0F\0\0\003a/b\0\0\0\0\0\0\0\0Z'", "can't make"),
        ("no configuration", "printf Z", "no conf/userconfig.xml"),
        ("a directory as configuration", r"printf 'D\0\004confD\0\023conf/userconfig.xmlZ'", "no conf/userconfig.xml"),
        ("broken off", r"printf 'F\0\0\001a\0\0\0\0\0\0\0\005xx'", "is damaged at a"),
        ("not our words", "echo hello", "is damaged"),
        ("silence", "exit 0", "is damaged"),
        ("no end", &no_end, "is damaged"),
        ("endless", "cat /dev/zero", "is damaged"),
    ];
    for (case, script, why) in cases {
        let place = Place::new();
        let error = place.install(&mut possessed(script), b"", &small).expect_err(case);
        assert!(error.to_string().contains(why), "{case}: {error}");
        place.check_empty(case);
    }
    let place = Place::new();
    place
        .install(&mut possessed(&format!("{good}; printf Z")), b"", &small)
        .expect("the same without harm is a module");
}

#[test]
fn what_a_decoder_says_is_no_terminal_sequence() {
    let place = Place::new();
    let error =
        place.install(&mut possessed(r"printf 'E\0\006\033[31m!'"), b"", &Limits::default()).expect_err("refused");
    let InstallError::Refused { reason: Refused::Decoder { why }, .. } = error else { panic!("{error:?}") };
    assert_eq!(why, "\u{fffd}[31m!");
}

#[test]
fn the_decoder_has_no_rights() {
    let mut decoder = Command::new(DECODER).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it starts");
    // It waits for its package; the rights go first, the limit of core files last.
    let file = |name: &str| fs::read_to_string(format!("/proc/{}/{name}", decoder.id())).expect(name);
    let end = Instant::now() + Duration::from_secs(60);
    let limited = |name: &str| {
        let limits = file("limits");
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).expect(name);
        line.split_whitespace().take(2).all(|limit| limit == "0")
    };
    while !limited("Max core file size") && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    let text = file("status");
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned();
    assert_eq!(line("NoNewPrivs:"), "1");
    assert_eq!(line("Uid:"), "65534\t65534\t65534\t65534", "these tests need root");
    assert_eq!(line("Gid:"), "65534\t65534\t65534\t65534");
    assert_eq!(line("Groups:"), "");
    assert_eq!(line("CapEff:"), "0000000000000000");
    assert_eq!(line("CapPrm:"), "0000000000000000");
    assert!(limited("Max file size") && limited("Max processes"), "{}", file("limits"));
    drop(decoder.stdin.take());
    decoder.wait().expect("it ends");
}
