//! The `holdfast` binary: every process of Holdfast but the web server, and the command line.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args: Vec<std::ffi::OsString> = std::env::args_os().collect();
    // The lab forks and enters namespaces, so it must run before anything starts a thread.
    if args.get(1).is_some_and(|verb| verb == "lab") {
        return hf_lab::run(hf_lab::LabArgs::parse_from(&args[1..]));
    }
    hf_cli::main(args)
}
