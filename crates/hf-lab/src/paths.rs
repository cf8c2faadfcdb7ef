//! Where a lab keeps things on the host. `down` removes all of it.

use std::path::{Path, PathBuf};

/// State of labs: JSON, sockets, console logs. Small.
pub const RUN: &str = "/run/holdfast-lab";
/// Disk images, the client's root, the binary under test. Large, sparse.
pub const IMAGES: &str = "/var/lib/holdfast-lab";

/// The library of virtual host names: its file's name, beside the binary and in `SAFE/private/lib`.
pub const VHOST_LIBRARY: &str = "libhf_vhost.so";

/// The paths of one lab.
#[derive(Debug, Clone)]
pub struct Paths {
    /// `/run/holdfast-lab/NAME`
    pub run: PathBuf,
    /// `/var/lib/holdfast-lab/NAME`
    pub images: PathBuf,
}

impl Paths {
    pub fn new(lab: &str) -> Self {
        Self { run: Path::new(RUN).join(lab), images: Path::new(IMAGES).join(lab) }
    }

    /// What the lab is, as `up` made it.
    pub fn lab_json(&self) -> PathBuf {
        self.run.join("lab.json")
    }

    /// Held by every command that changes the lab, a machine, or the rules.
    pub fn lock(&self, what: &str) -> PathBuf {
        self.run.join(format!("{what}.lock"))
    }

    /// What one machine is now.
    pub fn machine_json(&self, machine: &str) -> PathBuf {
        self.run.join(format!("{machine}.json"))
    }

    /// What the machine's init and daemon print: its serial console.
    pub fn console(&self, machine: &str) -> PathBuf {
        self.run.join(format!("{machine}.console"))
    }

    /// Where the machine's root is put together before it is entered. Empty on the host.
    pub fn root(&self, machine: &str) -> PathBuf {
        self.run.join(format!("{machine}.root"))
    }

    /// Where the disk server mounts its one file, in a namespace of its own. Empty on the host.
    pub fn disk_mount(&self, machine: &str) -> PathBuf {
        self.run.join(format!("{machine}.disk"))
    }

    /// The disk server's control socket.
    pub fn disk_socket(&self, machine: &str) -> PathBuf {
        self.run.join(format!("{machine}.disk.sock"))
    }

    /// The disk itself: what is in here survives a power cut.
    pub fn image(&self, machine: &str) -> PathBuf {
        self.images.join(format!("{machine}.img"))
    }

    /// The client's root; it has no disk, because nobody cuts its power.
    pub fn client_root(&self) -> PathBuf {
        self.images.join("client")
    }

    /// The binary that every node runs, copied at `up` so that a new build can't change a running lab.
    pub fn binary(&self) -> PathBuf {
        self.images.join("holdfast")
    }

    /// What `<vhost>` preloads; there only if it was built beside the binary.
    pub fn vhost_library(&self) -> PathBuf {
        self.images.join(VHOST_LIBRARY)
    }

    /// Packaged modules that every node finds in `SAFE/Application_Modules`.
    pub fn packages(&self) -> PathBuf {
        self.images.join("packages")
    }

    /// The cluster's configuration and key, placed on every node before its first boot.
    pub fn cluster(&self) -> PathBuf {
        self.run.join("cluster")
    }
}
