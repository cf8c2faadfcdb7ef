//! Applications that check what they get, in a directory, until standard input ends: `load DIR`. Fails when one of them sees an error.
//!
//! A process of its own, because one that starts servers must have nothing open in their mounts.

#[path = "../tests/common/load.rs"]
mod load;

use std::io::Read;
use std::path::PathBuf;

fn main() {
    let dir = PathBuf::from(std::env::args_os().nth(1).expect("usage: load DIR"));
    // A thread that panics must not wait for the others: they may wait for ever.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::exit(1);
    }));
    let load = load::Load::start(&dir);
    std::io::stdin().read_to_end(&mut Vec::new()).expect("standard input can be read");
    println!("{}", load.end());
}
