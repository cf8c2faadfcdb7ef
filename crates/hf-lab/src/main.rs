//! The lab alone, without the daemon: what this crate's own tests run. The product's command is `holdfast lab`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args: Vec<std::ffi::OsString> = std::env::args_os().skip(1).collect();
    hf_lab::run(hf_lab::LabArgs::parse_from(args))
}
