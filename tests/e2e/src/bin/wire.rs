//! The attacker of the scenarios: records the datagrams that reach a port, sends them again under their sender's address, sends noise.
//!
//! `wire record PORT COUNT FILE`, `wire replay FROM TO PORT FILE`, `wire noise udp|tcp FROM TO PORT`. FROM is the address that is written into the
//! packets (for tcp the machine's own is used). Needs root; sends some hundred packets and ends.

use anyhow::{Context, bail};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::time::Duration;

const UDP: u8 = 17;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["record", port, count, file] => record(port.parse()?, count.parse()?, file),
        ["replay", from, to, port, file] => replay(from.parse()?, to.parse()?, port.parse()?, file),
        ["noise", "udp", from, to, port] => noise_udp(from.parse()?, to.parse()?, port.parse()?),
        ["noise", "tcp", _, to, port] => noise_tcp(to.parse()?, port.parse()?),
        _ => bail!("use: wire record|replay|noise ..."),
    }
}

/// Payloads in a file: a big-endian length of four bytes before each.
fn record(port: u16, count: usize, file: &str) -> anyhow::Result<()> {
    let mut socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP)).context("a raw socket")?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut out = std::fs::File::create(file)?;
    let mut buffer = vec![0; 65_536];
    let mut found = 0;
    while found < count {
        let length = socket.read(&mut buffer).context("no datagram came")?;
        let packet = &buffer[..length];
        let header = usize::from(packet[0] & 0x0f) * 4;
        if packet.len() < header + 8 || u16::from_be_bytes([packet[header + 2], packet[header + 3]]) != port {
            continue;
        }
        let payload = &packet[header + 8..];
        out.write_all(&u32::try_from(payload.len())?.to_be_bytes())?;
        out.write_all(payload)?;
        found += 1;
    }
    println!("{found}");
    Ok(())
}

fn replay(from: Ipv4Addr, to: Ipv4Addr, port: u16, file: &str) -> anyhow::Result<()> {
    let recorded = std::fs::read(file).with_context(|| format!("reading {file}"))?;
    let mut rest = recorded.as_slice();
    let mut sent = 0;
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        send(from, to, port, &after[..length])?;
        rest = &after[length..];
        sent += 1;
        std::thread::sleep(Duration::from_millis(10));
    }
    println!("{sent}");
    Ok(())
}

/// Random bytes of many lengths, and the frame kinds that a receiver knows with nothing behind them.
fn noise_udp(from: Ipv4Addr, to: Ipv4Addr, port: u16) -> anyhow::Result<()> {
    let mut random = std::fs::File::open("/dev/urandom")?;
    for length in (0..200).map(|n| n * 7) {
        let mut payload = vec![0; length];
        random.read_exact(&mut payload)?;
        if let Some(first) = payload.first_mut() {
            *first = (length % 5) as u8;
        }
        send(from, to, port, &payload)?;
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// One connection that says nothing, some that talk nonsense.
fn noise_tcp(to: Ipv4Addr, port: u16) -> anyhow::Result<()> {
    let connect = || TcpStream::connect_timeout(&SocketAddrV4::new(to, port).into(), Duration::from_secs(2));
    let silent = connect();
    let mut random = std::fs::File::open("/dev/urandom")?;
    for length in [1, 44, 64, 4096, 1 << 20] {
        let mut bytes = vec![0; length];
        random.read_exact(&mut bytes)?;
        if let Ok(mut stream) = connect() {
            stream.set_write_timeout(Some(Duration::from_secs(1)))?;
            stream.write_all(&bytes).ok(); // it may hang up at once: that is what is hoped for
        }
    }
    std::thread::sleep(Duration::from_secs(1));
    drop(silent);
    Ok(())
}

/// A datagram under any sender's address (the checksum of UDP over IPv4 may be left out).
fn send(from: Ipv4Addr, to: Ipv4Addr, port: u16, payload: &[u8]) -> anyhow::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255))).context("a raw socket")?;
    let total = u16::try_from(28 + payload.len())?;
    let mut packet = vec![0x45, 0];
    packet.extend(total.to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, UDP, 0, 0]); // the kernel fills in identification and checksum
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend(port.to_be_bytes());
    packet.extend(port.to_be_bytes());
    packet.extend((total - 20).to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(payload);
    socket.send_to(&packet, &SocketAddrV4::new(to, 0).into()).context("sending")?;
    Ok(())
}
