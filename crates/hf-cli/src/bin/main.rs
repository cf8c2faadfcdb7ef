//! The command line alone, for the tests of this crate.

use std::process::ExitCode;

fn main() -> ExitCode {
    hf_cli::main(std::env::args_os().collect(), &[])
}
