//! The decoding process alone, for the tests of this crate.

use std::process::ExitCode;

fn main() -> ExitCode {
    match hf_package::decode_as_nobody() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
