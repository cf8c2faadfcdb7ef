//! `<http>` against servers on this machine's loopback: good ones, wrong ones, hostile ones.

use hf_check::{Found, HttpProbe, Probe};
use hf_config::{HttpBody, HttpCheck, HttpTls, Target, When};
use hf_types::ResourceValue::{self, Down, Unknown, Up};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Far more than any of these takes.
const PATIENCE_MS: u64 = 60_000;
const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys");

fn check(at: SocketAddr) -> HttpCheck {
    HttpCheck {
        ident: "x".to_owned(),
        when: When::Prim,
        action: None,
        target: Target::Address(at.ip()),
        port: at.port(),
        path: "/health?deep=1".to_owned(),
        tls: None,
        host: Target::Name("shop.example".to_owned()),
        status: vec![(200, 299)],
        body: None,
        interval_ms: 100,
        timeout_ms: PATIENCE_MS,
    }
}

/// Serves every connection, one after the other, for as long as the test runs.
fn server(serve: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let at = listener.local_addr().expect("its address");
    std::thread::spawn(move || listener.incoming().flatten().for_each(&serve));
    at
}

fn read_request(stream: &mut impl Read) -> String {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
        request.push(byte[0]);
    }
    String::from_utf8_lossy(&request).into_owned()
}

/// Answers whatever is asked with these bytes and hangs up.
fn answers(bytes: impl Into<Vec<u8>>) -> SocketAddr {
    let bytes = bytes.into();
    server(move |mut stream| {
        read_request(&mut stream);
        // Who asked may have seen enough.
        drop(stream.write_all(&bytes));
    })
}

fn look(check: &HttpCheck) -> Found {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut probe = HttpProbe::new(check);
    let found = runtime.block_on(probe.look());
    runtime.shutdown_background();
    found
}

fn with_body(body: &str) -> impl Fn(&mut HttpCheck) {
    move |check| check.body = Some(HttpBody::Text(body.to_owned()))
}

/// What is found when a server answers so, and why.
fn found(answer: impl Into<Vec<u8>>, change: impl Fn(&mut HttpCheck)) -> (ResourceValue, String) {
    let at = answers(answer);
    let mut check = check(at);
    change(&mut check);
    let found = look(&check);
    (found.value, found.why.replace(&at.to_string(), "HERE"))
}

fn down(why: &str) -> (ResourceValue, String) {
    (Down, why.to_owned())
}

fn up() -> (ResourceValue, String) {
    (Up, String::new())
}

#[test]
fn the_status_decides() {
    let any = |_: &mut HttpCheck| {};
    assert_eq!(found("HTTP/1.1 200 OK\r\n\r\n", any), up());
    assert_eq!(found("HTTP/1.0 204\r\n\r\n", any), up());
    assert_eq!(found("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", any), up());
    let redirected = "HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\n\r\n";
    assert_eq!(found(redirected, any), down("HERE answers with status 302, and 200-299 is expected"));
    assert_eq!(found(redirected, |check| check.status = vec![(200, 299), (302, 302)]), up());
    let wrong = down("HERE answers with status 500, and 200,204 is expected");
    assert_eq!(found("HTTP/1.1 500 Oh\r\n\r\n", |check| check.status = vec![(200, 200), (204, 204)]), wrong);
}

#[test]
fn the_request_names_the_host_and_the_path() {
    let (sender, requests) = std::sync::mpsc::channel();
    let at = server(move |mut stream| {
        sender.send(read_request(&mut stream)).expect("the test is there");
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n"));
    });
    assert_eq!(look(&check(at)), Found::up());
    let request = requests.recv().expect("a request");
    assert!(request.starts_with("GET /health?deep=1 HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("\r\nHost: shop.example:{}\r\n", at.port())), "{request}");
    assert!(request.contains("\r\nConnection: close\r\n"), "{request}");
}

#[test]
fn a_body_is_searched_however_it_is_framed() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\nstatus: fine\r\n",
        "HTTP/1.1 200 OK\r\n\r\nstatus: fine\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nstatu\r\n7\r\ns: fine\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\ncontent-length: 12\n\nstatus: fine",
    ] {
        assert_eq!(found(answer, with_body("status: fine")), up(), "{answer}");
        let pattern = |text: &str| {
            let body = HttpBody::Pattern(text.to_owned());
            move |check: &mut HttpCheck| check.body = Some(body.clone())
        };
        assert_eq!(found(answer, pattern("status: *(ok|fine)")), up(), "{answer}");
        let missing = down("the answer of HERE has not the text that is expected");
        assert_eq!(found(answer, pattern("status: *(ok|well)")), missing, "{answer}");
        assert_eq!(found(answer, with_body("status: good")), missing, "{answer}");
    }
    let none = "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nfine";
    assert_eq!(found(none, with_body("fine")), down("the answer of HERE has not the text that is expected"));
}

#[test]
fn what_is_no_answer() {
    let many = (0..200).fold("HTTP/1.1 200 OK\r\n".to_owned(), |all, n| all + &format!("H{n}: x\r\n")) + "\r\n";
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(20_000));
    let hints = "HTTP/1.1 103 Early\r\n\r\n".repeat(20);
    for (answer, why) in [
        ("SSH-2.0-OpenSSH_9.2\r\n", "that is no HTTP/1"),
        ("", "it ends before its headers do"),
        ("HTTP/1.1 200 OK\r\n", "it ends before its headers do"),
        ("HTTP/1.1 2x0 OK\r\n\r\n", "that is no HTTP/1"),
        ("\r\n\r\n", "that is no HTTP/1"),
        (&many, "that is no HTTP/1"),
        (&long, "its headers are longer than 16 KiB"),
        (&hints, "it never comes to the point"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfin", "it ends too early"),
        ("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nfin", "its length is no number"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "the size of a chunk is no number"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc", "it ends too early"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n", "a chunk is longer than it says"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
            "the size of a chunk is no number",
        ),
    ] {
        let expected = down(&format!("the answer of HERE is not understood: {why}"));
        assert_eq!(found(answer, with_body("fine")), expected, "{answer:.60}");
    }
    let packed = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f";
    assert_eq!(
        found(packed, with_body("fine")),
        down("the answer of HERE is compressed, though that was not asked for")
    );
}

#[test]
fn an_endless_body_is_read_no_further_than_its_bound() {
    for head in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n"] {
        let at = server(move |mut stream| {
            read_request(&mut stream);
            let mut sent = stream.write_all(head.as_bytes());
            while sent.is_ok() {
                sent = stream.write_all(&[b'x'; 4096]);
            }
        });
        let mut check = check(at);
        with_body("fine")(&mut check);
        let why = format!("the answer of {at} has not the text that is expected in its first 256 KiB");
        assert_eq!(look(&check), Found::down(why));
        check.body = None;
        assert_eq!(look(&check), Found::up(), "the body doesn't matter");
    }
}

#[test]
fn a_slow_drip_ends_with_the_time_out() {
    let at = server(|mut stream| {
        read_request(&mut stream);
        let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while sent.is_ok() {
            std::thread::sleep(Duration::from_millis(20));
            sent = stream.write_all(b"x");
        }
    });
    let mut check = check(at);
    with_body("fine")(&mut check);
    check.timeout_ms = 400;
    let began = Instant::now();
    assert_eq!(look(&check), Found::down(format!("{at} did not answer to the end within 400 ms")));
    assert!(began.elapsed() < Duration::from_millis(PATIENCE_MS / 2));
}

#[test]
fn a_port_without_a_service() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let at = listener.local_addr().expect("its address");
    drop(listener);
    assert_eq!(look(&check(at)), Found::down(format!("{at} refuses connections")));
}

/// A server with the certificate of `shop.example` and 127.0.0.1.
fn tls_server() -> SocketAddr {
    let chain = CertificateDer::pem_file_iter(format!("{KEYS}/server.pem")).expect("the certificate");
    let chain = chain.collect::<Result<_, _>>().expect("PEM");
    let key = PrivateKeyDer::from_pem_file(format!("{KEYS}/server.key")).expect("the key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("key and certificate fit");
    let config = Arc::new(config);
    server(move |stream| {
        let session = ServerConnection::new(config.clone()).expect("a session");
        let mut stream = StreamOwned::new(session, stream);
        if !read_request(&mut stream).is_empty() {
            // Without close_notify, as many servers end.
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nfine"));
        }
    })
}

#[test]
fn certificates() {
    let at = tls_server();
    let tls = |ca: Option<&str>, verify| {
        let mut check = check(at);
        check.tls = Some(HttpTls { ca: ca.map(|name| format!("{KEYS}/{name}")), verify });
        with_body("fine")(&mut check);
        check
    };
    let good = tls(Some("ca.pem"), true);
    assert_eq!(look(&good), Found::up());
    let by_address = HttpCheck { host: Target::Address(IpAddr::V4(Ipv4Addr::LOCALHOST)), ..good.clone() };
    assert_eq!(look(&by_address), Found::up());

    let refused = |check: &HttpCheck| {
        let found = look(check);
        let why = format!("the certificate of {at} is not accepted: ");
        assert!(found.value == Down && found.why.starts_with(&why), "{found:?}");
    };
    refused(&HttpCheck { host: Target::Name("other.example".to_owned()), ..good.clone() });
    refused(&tls(Some("server.pem"), true));
    assert_eq!(look(&HttpCheck { host: Target::Name("other.example".to_owned()), ..tls(None, false) }), Found::up());

    // No reason to act: it says nothing of the service.
    for file in ["none.pem", "server.key"] {
        let found = look(&tls(Some(file), true));
        assert_eq!(found.value, Unknown, "{found:?}");
        assert!(found.why.contains(file), "{found:?}");
    }
    // TLS is asked of a server that doesn't speak it, and the other way round.
    let plain = server(|mut stream| drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")));
    let found = look(&HttpCheck { port: plain.port(), ..good.clone() });
    assert!(found.value == Down && found.why.starts_with(&format!("no TLS connection to {plain}: ")), "{found:?}");
    assert_eq!(look(&HttpCheck { tls: None, ..good }).value, Down);
}
