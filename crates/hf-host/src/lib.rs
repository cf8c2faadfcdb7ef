//! What our processes on one node share: where files are, the clocks, the applied configuration, the scripts' environment.

pub mod clock;
pub mod cluster;
pub mod datagram;
pub mod environment;
pub mod files;
pub mod fuse;
pub mod journal;
pub mod machine;
pub mod module;
pub mod paths;
pub mod process_log;
pub mod random;
pub mod settings;
pub mod wake;

pub use paths::Paths;
pub use process_log::ProcessLog;
