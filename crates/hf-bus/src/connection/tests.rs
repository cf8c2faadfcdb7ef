use super::*;
use crate::Outbox;
use hf_wire::bus::{Reply, Request};
use proptest::prelude::*;
use tokio::io::{AsyncWriteExt, duplex};

fn hello(version: u16, oldest: u16) -> Hello {
    Hello { version, oldest, role: Role::Command, pid: 7 }
}

async fn meet(left: Hello, right: Hello) -> (Result<Hello, BusError>, Result<Hello, BusError>) {
    let (a, b) = duplex(1 << 16);
    let (a, b) = tokio::join!(handshake_as(a, left, HELLO_TIMEOUT), handshake_as(b, right, HELLO_TIMEOUT));
    (a.map(|c| c.peer), b.map(|c| c.peer))
}

#[tokio::test]
async fn both_ends_learn_each_other_over_a_real_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let server = async {
        let mut c = accept(listener.accept().await.unwrap().0, Role::Daemon).await.unwrap();
        assert_eq!(c.peer.role, Role::Command);
        let request: Request = c.receive().await.unwrap().unwrap();
        assert_eq!(request, Request::ClusterConfinfo);
        c.send(&Reply::Done).await.unwrap();
    };
    let client = async {
        let mut c = connect(&path, Role::Command).await.unwrap();
        assert_eq!(c.peer.role, Role::Daemon);
        c.send(&Request::ClusterConfinfo).await.unwrap();
        assert_eq!(c.receive::<Reply>().await.unwrap(), Some(Reply::Done));
        assert_eq!(c.receive::<Reply>().await.unwrap(), None);
    };
    tokio::join!(server, client);
}

#[tokio::test]
async fn a_newer_version_that_still_speaks_ours_is_accepted_on_both_ends() {
    let (a, b) = meet(hello(2, 1), hello(1, 1)).await;
    assert_eq!((a.unwrap().version, b.unwrap().version), (1, 2));
}

#[tokio::test]
async fn versions_without_common_ground_are_refused_on_both_ends() {
    let (a, b) = meet(hello(3, 2), hello(1, 1)).await;
    assert!(matches!(a, Err(BusError::Version { their_version: 1, our_oldest: 2, .. })), "{a:?}");
    assert!(matches!(b, Err(BusError::Version { their_oldest: 2, our_version: 1, .. })), "{b:?}");
}

async fn after_bytes(bytes: &[u8]) -> BusError {
    let (a, mut b) = duplex(1 << 16);
    b.write_all(bytes).await.unwrap();
    b.shutdown().await.unwrap();
    let result = handshake_as(a, hello(1, 1), Duration::from_secs(20)).await;
    drop(b);
    result.unwrap_err()
}

#[tokio::test]
async fn garbage_and_half_frames_are_named() {
    let http = after_bytes(b"GET / HTTP/1.1\r\n\r\n").await;
    assert!(matches!(http, BusError::TooLong { max: HELLO_MAX, .. }), "{http:?}");
    let not_json = after_bytes(b"\0\0\0\x03abc").await;
    assert!(matches!(not_json, BusError::Json(_)), "{not_json:?}");
    let half = after_bytes(b"\0\0\0\x09{\"ver").await;
    assert!(matches!(half, BusError::HalfFrame { got: 9 }), "{half:?}");
    let nothing = after_bytes(b"").await;
    assert!(matches!(nothing, BusError::NoHello), "{nothing:?}");
}

#[tokio::test]
async fn silence_instead_of_a_hello_ends_by_itself() {
    let (a, _b) = duplex(1 << 16);
    let result = handshake_as(a, hello(1, 1), Duration::from_millis(50)).await;
    let error = result.unwrap_err();
    assert!(matches!(error, BusError::HelloTimeout { ms: 50 }), "{error:?}");
}

#[tokio::test]
async fn after_the_hello_a_frame_above_the_limit_is_refused_before_it_comes() {
    let (a, b) = duplex(1 << 16);
    let (a, b) = tokio::join!(handshake(a, Role::Daemon), handshake(b, Role::Command));
    let mut raw = b.unwrap().writer.into_inner();
    raw.write_all(&(FRAME_MAX as u32 + 1).to_be_bytes()).await.unwrap();
    let error = a.unwrap().receive::<Request>().await.unwrap_err();
    assert!(matches!(error, BusError::TooLong { .. }), "{error:?}");
}

#[tokio::test]
async fn a_receive_that_is_dropped_in_the_middle_loses_nothing() {
    let (a, b) = duplex(8);
    let mut reader = Reader::new(a);
    let sender = tokio::spawn(async move {
        let mut writer = Writer::new(b);
        for n in 0..50_u32 {
            writer.send(&n).await.unwrap();
            tokio::time::sleep(Duration::from_micros(50)).await;
        }
    });
    let mut got = Vec::new();
    while got.len() < 50 {
        tokio::select! {
            biased;
            n = reader.receive::<u32>() => got.push(n.unwrap().unwrap()),
            () = tokio::time::sleep(Duration::from_micros(20)) => {}
        }
    }
    sender.await.unwrap();
    assert_eq!(got, (0..50).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_outbox_never_waits_for_a_reader_that_sleeps() {
    let (a, b) = duplex(64);
    let outbox = Outbox::spawn(Writer::new(a), 4);
    let mut refused = 0;
    for _ in 0..100 {
        refused += usize::from(outbox.send("a message of some length, to fill the pipe").is_err());
        tokio::task::yield_now().await;
    }
    assert!(refused > 80, "{refused}");
    drop(b);
}

#[tokio::test]
async fn a_sender_that_gave_up_is_not_taken_for_a_silent_one() {
    let (a, b) = tokio::net::UnixStream::pair().unwrap();
    let (_still_read, write) = tokio::io::split(a);
    let outbox = Outbox::spawn(Writer::new(write), 4);
    outbox.send("the last word").unwrap();
    drop(outbox);
    let mut reader = Reader::new(b);
    assert_eq!(reader.receive::<String>().await.unwrap(), Some("the last word".to_owned()));
    let end = tokio::time::timeout(Duration::from_secs(60), reader.receive::<String>()).await;
    assert_eq!(end.expect("the end is said").unwrap(), None);
}

proptest! {
    #[test]
    fn random_bytes_never_panic_and_never_hang(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut reader = Reader::new(bytes.as_slice());
            while let Ok(Some(_)) = reader.receive::<Request>().await {}
        });
    }
}
