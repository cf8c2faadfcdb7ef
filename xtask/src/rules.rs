//! The dependency rule: which crate of ours may see which, and what must not be linked where.
//!
//! ```text
//! types <- wire, rules <- config, membership, module, replica, site <- node <- {simulator, loops} <- binary
//! ```
//! Pure crates decide: no input or output, no clock, no randomness, not even through a dependency. Shell crates do I/O
//! and decide nothing; they see hf-types and their own core, never each other: the loops join them. Say it in
//! ARCHITECTURE.md when something changes here.

/// What a crate of ours is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// Decides. Sees only pure crates of a lower rank.
    Pure { rank: u8 },
    /// Does I/O. Sees the pure crates named.
    Shell { core: &'static [&'static str] },
    /// What the loops have in common on a node (paths, clocks, the applied configuration). Sees pure and shell crates; only
    /// loops and the binary see it.
    Common,
    /// Waits, asks the core, runs its effects; or a face of the product. Sees pure, shell and common crates.
    Loop,
    /// The binary. Sees everything but tools.
    Binary,
    /// Sees pure crates, and the shell crates named; nothing of the product depends on it.
    Tool { core: &'static [&'static str] },
}

use Layer::{Binary, Common, Loop, Pure, Shell, Tool};

/// Every crate of the workspace. A new one must be given its place here.
pub const LAYERS: &[(&str, Layer)] = &[
    ("hf-types", Pure { rank: 0 }),
    ("hf-messages", Pure { rank: 0 }),
    ("hf-wire", Pure { rank: 1 }),
    ("hf-config", Pure { rank: 2 }),
    ("hf-rules", Pure { rank: 1 }),
    ("hf-membership", Pure { rank: 2 }),
    ("hf-module", Pure { rank: 2 }),
    ("hf-replica", Pure { rank: 2 }),
    ("hf-site", Pure { rank: 2 }),
    ("hf-node", Pure { rank: 3 }),
    ("hf-seal", Shell { core: &["hf-types"] }),
    ("hf-net", Shell { core: &["hf-types"] }),
    ("hf-exec", Shell { core: &["hf-types"] }),
    ("hf-systemd", Shell { core: &["hf-types"] }),
    ("hf-store", Shell { core: &["hf-types"] }),
    ("hf-check", Shell { core: &["hf-types", "hf-config"] }),
    ("hf-package", Shell { core: &["hf-types"] }),
    ("hf-ready", Shell { core: &["hf-types"] }),
    ("hf-bus", Shell { core: &["hf-types", "hf-wire"] }),
    ("hf-fs", Shell { core: &["hf-types", "hf-wire", "hf-config", "hf-replica"] }),
    ("hf-lab", Shell { core: &["hf-types", "hf-config"] }),
    ("hf-vhost", Shell { core: &[] }),
    ("hf-host", Common),
    ("hf-daemon", Loop),
    ("hf-heart", Loop),
    ("hf-rfs", Loop),
    ("hf-cli", Loop),
    ("holdfast", Binary),
    ("hf-sim", Tool { core: &[] }),
    ("hf-fuzz", Tool { core: &["hf-package", "hf-seal"] }),
    ("e2e", Tool { core: &[] }),
    ("holdfast-recorder", Tool { core: &[] }),
    ("xtask", Tool { core: &[] }),
];

/// Crates that do input or output, by themselves or for others. Never below a pure crate, nor below hf-seal, which turns
/// bytes into bytes.
pub const IO: &[&str] = &[
    "async-io",
    "async-std",
    "fuser",
    "libc",
    "linux-raw-sys",
    "mio",
    "netlink-sys",
    "nix",
    "polling",
    "procfs",
    "reqwest",
    "rtnetlink",
    "rusqlite",
    "rustix",
    "signal-hook",
    "smol",
    "socket2",
    "tempfile",
    "tokio",
    "tokio-util",
    "zbus",
];

/// Crates that read a clock or draw random numbers. Never below a pure crate.
pub const CLOCK_AND_CHANCE: &[&str] =
    &["aws-lc-rs", "chrono", "fastrand", "getrandom", "jiff", "quanta", "rand", "rand_core", "time", "uuid"];

/// Beside the pure crates, these do no I/O either.
pub const NO_IO: &[&str] = &["hf-seal"];

/// Nowhere, not even in a test: one TLS and cryptography library is enough to watch.
pub const NEVER: &[&str] = &["native-tls", "openssl", "openssl-sys", "ring"];

/// Not in the binary `holdfast`: a bug in what parses strangers' input must not cause a failover.
pub const NOT_IN_HOLDFAST: &[&str] = &[
    "async-snmp",
    "axum",
    "axum-server",
    "h2",
    "http",
    "hyper",
    "jsonwebtoken",
    "ldap3",
    "lettre",
    "p12-keystore",
    "quinn",
    "reqwest",
    "tonic",
    "tower-http",
    "tungstenite",
    "utoipa",
];

/// Words that must not stand in a pure crate's code outside its tests, because the standard library is
/// linked everywhere.
pub const IMPURE_WORDS: &[&str] = &[
    "std::env",
    "std::fs",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "SystemTime",
    "TcpListener",
    "TcpStream",
    "UdpSocket",
    "UnixStream",
    "print!",
    "println!",
    "eprint!",
    "eprintln!",
];

/// The layer of a crate of ours.
pub fn layer(name: &str) -> Option<Layer> {
    LAYERS.iter().find(|(of, _)| *of == name).map(|(_, layer)| *layer)
}
