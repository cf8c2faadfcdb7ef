//! A server is killed again and again; applications see pauses and no error (P10). Needs root and kernel 6.9.

mod common;

use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use common::Place;
use common::load::Load;

#[test]
fn thirty_deaths_and_no_application_notices() {
    let mut place = Place::new();
    let load = Load::start(&place.mount());
    for death in 0..30u64 {
        std::thread::sleep(Duration::from_millis(20 + death * 37 % 101));
        place.kill_and_serve();
    }
    std::thread::sleep(Duration::from_millis(100));
    let rounds = load.end();
    assert!(rounds > 60, "the load went on: {rounds} rounds");
}

/// A successor that dies before it came to what its predecessor left.
#[test]
fn deaths_that_follow_each_other_closely_are_not_noticed_either() {
    let mut place = Place::new();
    let load = Load::start(&place.mount());
    for death in 0..60u64 {
        std::thread::sleep(Duration::from_millis(if death % 4 == 0 { 30 } else { 0 }));
        place.kill_and_serve();
    }
    std::thread::sleep(Duration::from_millis(100));
    load.end();
}

#[test]
fn an_open_file_without_a_name_survives_a_death() {
    let mut place = Place::new();
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(place.at("f")).unwrap();
    file.write_all(b"kept").unwrap();
    fs::remove_file(place.at("f")).unwrap();
    let before = fs::metadata(place.mount()).unwrap().ino();
    place.kill_and_serve();
    file.seek(SeekFrom::Start(0)).unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "kept");
    assert_eq!(fs::metadata(place.mount()).unwrap().ino(), before);
}
