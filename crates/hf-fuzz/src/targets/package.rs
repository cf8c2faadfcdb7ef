//! Packages of modules: one that is refused leaves nothing, one that is taken leaves plain files, and no more than is allowed.

use super::{Target, answer, shape};
use hf_package::{Limits, install, pack};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const LIMITS: Limits = Limits { package_bytes: 1 << 20, entries: 64, total_bytes: 1 << 20, ratio: 100, depth: 8 };

pub(super) const PACKAGE: Target = Target {
    name: "package",
    examples,
    words: &[
        "PK\u{1}\u{2}",
        "PK\u{3}\u{4}",
        "PK\u{5}\u{6}",
        "../",
        "/etc/passwd",
        "conf/userconfig.xml",
        "bin/",
        "bin/start_prim",
        "\u{0}",
        "\u{8}",
        "\\",
        "a/",
        "\u{feff}",
    ],
    take: |bytes| {
        let place = tempfile::tempdir().expect("a temporary directory");
        let (file, modules) = (place.path().join("p.safe"), place.path().join("modules"));
        fs::write(&file, bytes).expect("the package is written");
        fs::create_dir(&modules).expect("a directory for it");
        let taken = install(&file, &modules.join("m"), &LIMITS);
        let mut seen = Seen::default();
        look(&modules, &mut seen);
        match taken {
            Ok(()) => {
                assert!(modules.join("m/conf/userconfig.xml").is_file(), "taken without a configuration");
                assert!(
                    seen.bytes <= LIMITS.total_bytes && seen.entries <= LIMITS.entries + 1,
                    "more than allowed: {seen:?}"
                );
                answer((seen.entries, seen.bytes))
            }
            Err(error) => {
                assert_eq!(seen.entries, 0, "refused ({error}), and something is there");
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                answer((shape(&error.to_string()), cause.map(|cause| shape(&cause))))
            }
        }
    },
};

fn examples() -> Vec<Vec<u8>> {
    let place = tempfile::tempdir().expect("a temporary directory");
    let module = place.path().join("m");
    for directory in ["conf", "bin", "web/deep"] {
        fs::create_dir_all(module.join(directory)).expect("a directory");
    }
    fs::write(module.join("conf/userconfig.xml"), "<safe><service mode=\"light\"/></safe>").expect("a file");
    fs::write(module.join("bin/start_prim"), "#!/bin/sh\necho started\n".repeat(20)).expect("a file");
    fs::write(module.join("web/deep/empty"), "").expect("a file");
    let package = place.path().join("m.safe");
    pack(&module, &package).expect("it can be packed");
    vec![fs::read(package).expect("it was packed")]
}

#[derive(Debug, Default)]
struct Seen {
    entries: usize,
    bytes: u64,
}

fn look(directory: &Path, seen: &mut Seen) {
    for entry in fs::read_dir(directory).expect("it can be read").flatten() {
        let about = entry.path().symlink_metadata().expect("it is there");
        seen.entries += 1;
        assert_eq!(about.permissions().mode() & 0o7000, 0, "a file with more rights than others: {:?}", entry.path());
        if about.is_dir() {
            look(&entry.path(), seen);
        } else {
            assert!(about.is_file(), "neither file nor directory: {:?}", entry.path());
            seen.bytes += about.len();
        }
    }
}
