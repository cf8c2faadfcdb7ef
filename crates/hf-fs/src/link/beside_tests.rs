//! Long frames travel beside the link's own connection, and nothing changes but that.

use super::beside::LONG;
use super::harness::*;
use super::*;
use crate::pipeline::FileId;

const RING: usize = 16 << 20;
const ROOT: FileId = FileId::ROOT;
const SIDES: usize = 3;

fn many(local: std::net::SocketAddr, peer: std::net::SocketAddr) -> LinkOptions {
    let mut options = options(local, peer, true);
    // Only what is done here breaks the link, however slow the machine is.
    options.silence = Duration::from_secs(60);
    options.tuning = Tuning::new(3, Duration::from_secs(150), true).with_connections(1 + SIDES as u32);
    options
}

fn wait_beside(primary: &Node, secondary: &Node) {
    let end = Instant::now() + Duration::from_secs(60);
    while primary.link.out.beside() < SIDES || secondary.link.beside.count() < SIDES {
        assert!(Instant::now() < end, "the connections beside the link's don't come");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn with_sides(sealed: bool) -> (Node, Node) {
    let (a, b) = (free_address(), free_address());
    let node = |options, range| match sealed {
        true => Node::proving(options, range, RING, Toy::default()),
        false => Node::new(options, range, RING),
    };
    let (primary, secondary) = (node(many(a, b), 1), node(many(b, a), 2));
    connect(&primary, &secondary);
    wait_beside(&primary, &secondary);
    (primary, secondary)
}

/// Long and short operations on few files, so that each depends on the one before.
fn work(node: &Node, rounds: u64) {
    let hands = node.hands();
    for n in 0..rounds {
        let file = hands.create(ROOT, "new").unwrap();
        hands.write(file, 0, &vec![n as u8; LONG + n as usize]).unwrap();
        hands.write(file, 10, b"short, over the long one").unwrap();
        hands.write(file, 4096, &vec![!n as u8; 3 << 20]).unwrap();
        hands.truncate(file, (2 << 20) + n).unwrap();
        hands.rename((ROOT, "new"), (ROOT, &format!("file{}", n % 7)), false).unwrap();
    }
}

#[test]
fn long_frames_go_beside_and_everything_stays_in_order() {
    for sealed in [false, true] {
        let (primary, secondary) = with_sides(sealed);
        work(&primary, 20);
        let before = primary.link.out.bytes.load(Ordering::Relaxed);
        let count = primary.synchronise();
        assert!(count.bytes_sent > 10 << 20, "{count:?}");
        work(&primary, 20);
        assert_equal(&primary, &secondary);
        assert!(primary.link.out.bytes.load(Ordering::Relaxed) > before + (60 << 20), "counted wherever it goes");
        let connections = secondary.link.statistics.connections.load(Ordering::Relaxed);
        assert_eq!(connections, 1, "nothing broke");
    }
}

#[test]
fn a_lost_connection_beside_ends_the_link_which_goes_on_where_it_was() {
    let (primary, secondary) = with_sides(true);
    primary.synchronise();
    assert_equal(&primary, &secondary);
    for round in 0..6 {
        if round % 2 == 0 {
            secondary.link.beside.lose_one();
        } else {
            primary.link.out.lose_one();
        }
        work(&primary, 8);
        primary.wait_link();
        wait_beside(&primary, &secondary);
    }
    assert_equal(&primary, &secondary);
    assert!(secondary.link.statistics.connections.load(Ordering::Relaxed) >= 6);
}

/// Another stream begins while frames of the one before wait beside: nothing of them is sent any more, nor read where others are by now.
#[test]
fn what_waits_beside_goes_with_its_stream() {
    let (primary, secondary) = with_sides(false);
    primary.synchronise();
    assert_equal(&primary, &secondary);
    let stuck = secondary.link.applying.lock().unwrap();
    let hands = primary.hands();
    let file = hands.create(ROOT, "file").unwrap();
    for n in 0..11u64 {
        hands.write(file, n << 20, &vec![n as u8; 1 << 20]).unwrap();
    }
    primary.link.set_gate(Mode::Pass, GateState::Open { epoch: 1 }, Some(Flow::Alone));
    // It ended already if something waited; no other one can stand before the secondary goes on.
    primary.link.out.shutdown();
    drop(stuck);
    primary.wait_link();
    wait_beside(&primary, &secondary);
    primary.synchronise();
    assert_equal(&primary, &secondary);
}

#[test]
fn a_connection_beside_another_one_than_the_present_is_shown_out() {
    let (a, b) = (free_address(), free_address());
    let (primary, secondary) = (Node::new(many(a, b), 1, RING), Node::new(many(b, a), 2, RING));
    connect(&primary, &secondary);
    wait_beside(&primary, &secondary);
    let lane = LinkLane { name: "as the link".into(), local: std::net::SocketAddr::new(a.ip(), 0), peer: b };
    let (main, _) = lanes::connect_any(&[lane]).unwrap();
    primary.link.connect_one(&Arc::new(main), 77).unwrap();
    work(&primary, 3);
    primary.synchronise();
    assert_equal(&primary, &secondary);
    assert_eq!((primary.link.out.beside(), secondary.link.beside.count()), (SIDES, SIDES));
    assert_eq!(secondary.link.statistics.connections.load(Ordering::Relaxed), 1, "nothing broke");
}

/// Who comes first is served, and whoever is told of it afterwards doesn't take it for the one before.
#[test]
fn a_connection_that_is_served_already_is_not_ended_by_its_own_arrival() {
    let node = Node::new(options(free_address(), free_address(), true), 1, RING);
    let listener = std::net::TcpListener::bind(free_address()).unwrap();
    let socket = Arc::new(std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap());
    let _other_end = listener.accept().unwrap();
    node.link.out.open((socket.clone(), 2), None, || None);
    node.link.out.shutdown_before(2);
    assert!(!node.link.out.is_shut());
    node.link.out.shutdown_before(3);
    assert!(node.link.out.is_shut());
    node.link.out.open((socket, 0), None, || None);
    assert!(!node.link.out.is_shut());
}
