//! Messages of the bus and of the control sockets. What is understood is written and read again, and is the same.

use super::{Target, answer};
use hf_wire::bus::{DaemonToHeart, HeartToDaemon, HeartToRfs, Hello, Reply, Request, RfsToHeart};
use hf_wire::check::CheckMessage;
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;

pub(super) const BUS: Target = Target {
    name: "bus message",
    examples: || include_str!("../../corpus/bus.txt").lines().map(|line| line.as_bytes().to_vec()).collect(),
    words: &[
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "null",
        "true",
        "-1",
        "1e400",
        "1.5",
        "\\u0000",
        "\\ud800",
        "\"module\":",
        "\"state\"",
        "\"ticket\":",
        "\"epoch\":",
        "\"role\":",
        "{\"request\":",
        "{\"to_heart\":",
        "{\"from_rfs\":",
        "\"PRIM\"",
        "[[[[[[[[",
        "..",
        "/",
        "\\n",
    ],
    take: |bytes| {
        let understood = [
            same::<Hello>(bytes),
            same::<Request>(bytes),
            same::<Reply>(bytes),
            same::<DaemonToHeart>(bytes),
            same::<HeartToDaemon>(bytes),
            same::<HeartToRfs>(bytes),
            same::<RfsToHeart>(bytes),
            same::<CheckMessage>(bytes),
        ];
        answer(understood)
    },
};

/// The variant that was understood.
fn same<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) -> Option<String> {
    let read: T = serde_json::from_slice(bytes).ok()?;
    let written = serde_json::to_vec(&read).unwrap_or_else(|error| panic!("{read:?} can't be written: {error}"));
    match serde_json::from_slice::<T>(&written) {
        Ok(again) => assert_eq!(again, read),
        Err(error) => panic!("{} isn't read again: {error}", String::from_utf8_lossy(&written)),
    }
    let shown = format!("{read:?}");
    Some(shown.chars().take_while(|letter| letter.is_alphanumeric()).collect())
}
