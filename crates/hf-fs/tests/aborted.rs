//! A connection that was aborted (an administrator, the watchdog, a request's time-out) can't be served again: the keeper lets it go, and
//! the next server mounts anew. Needs root.

mod common;

use std::fs;

use common::Place;
use hf_fs::front::mountpoint::abort_connection;

#[test]
fn after_an_aborted_connection_the_next_server_mounts_anew() {
    let mut place = Place::new();
    fs::write(place.at("f"), b"kept").unwrap();
    place.kill_and_serve();
    let connection = place.connection();
    abort_connection(connection.unwrap()).unwrap();
    assert_eq!(place.connection(), connection, "still mounted");
    let lost = fs::metadata(place.at("g")).unwrap_err().raw_os_error();
    assert!(matches!(lost, Some(libc::ENOTCONN | libc::ECONNABORTED)), "{lost:?}");
    place.kill_and_serve();
    assert_eq!(fs::read(place.at("f")).unwrap(), b"kept");
    fs::write(place.at("g"), b"new").unwrap();
    assert_eq!(fs::read(place.backing().join("g")).unwrap(), b"new");
}
