//! A farm on a LAN of namespaces: servers that greet with their number and echo, and a client.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use hf_net::{
    BUCKETS, Buckets, DEFAULT_SEED, Delivery, FarmGroup, FarmInterface, FarmLoad, FarmPlane, FarmRule, FarmSpec,
    Filter, GroupLoad, MacAddr, Protocol, Station as Seat, bucket,
};
use socket2::{Domain, Protocol as SocketProtocol, Socket, Type};

use crate::lan::{Lan, Station, VIP, VIP6};

pub const VIPS: [IpAddr; 2] = [VIP, VIP6];
const PORT: u16 = 7777;
const PATIENCE: Duration = Duration::from_secs(60);
/// Of the addresses: tests end sooner.
const LIFETIME: Duration = Duration::from_secs(300);
const SECOND: Duration = Duration::from_secs(1);

/// For each server which thirds of the buckets it has: 1, 2 or 3.
pub type Shares<'a> = &'a [&'a [u8]];

pub fn rule(protocol: Protocol, port: Option<u16>, filter: Filter) -> FarmRule {
    FarmRule { address: None, protocol, port, filter }
}

pub fn tcp(filter: Filter) -> FarmRule {
    rule(Protocol::Tcp, Some(PORT), filter)
}

pub fn group(drain: bool, rules: Vec<FarmRule>) -> FarmGroup {
    FarmGroup { name: "FarmProto".to_owned(), rules, drain }
}

pub fn spec(delivery: Delivery, addresses: &[IpAddr], groups: Vec<FarmGroup>) -> FarmSpec {
    let interface = FarmInterface { name: None, delivery, addresses: addresses.to_vec() };
    FarmSpec { module: "farm".to_owned(), interfaces: vec![interface], groups, seed: DEFAULT_SEED }
}

pub fn invisible(addresses: &[IpAddr], groups: Vec<FarmGroup>) -> FarmSpec {
    spec(Delivery::Invisible { vmac: Delivery::default_vmac(addresses[0]) }, addresses, groups)
}

/// The third of a bucket.
fn third(bucket: u8) -> u8 {
    bucket % 3 + 1
}

pub fn buckets_of(thirds: &[u8]) -> Buckets {
    (0..BUCKETS as usize).map(|one| one as u8).filter(|one| thirds.contains(&third(*one))).collect()
}

pub fn server_of(bucket: u8, shares: Shares) -> usize {
    shares.iter().position(|thirds| thirds.contains(&third(bucket))).expect("somebody has each third") + 1
}

/// `from`'s thirds go to `to`.
pub fn inherit(shares: Shares, from: usize, to: usize) -> Vec<Vec<u8>> {
    let mut shares: Vec<Vec<u8>> = shares.iter().map(|thirds| thirds.to_vec()).collect();
    let moved = std::mem::take(&mut shares[from - 1]);
    shares[to - 1].extend(moved);
    shares
}

pub fn borrowed(shares: &[Vec<u8>]) -> Vec<&[u8]> {
    shares.iter().map(Vec::as_slice).collect()
}

/// A port from which the client's connection belongs to `server`.
pub fn port_of(server: usize, shares: Shares) -> u16 {
    let client = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 200));
    let owner = |port| server_of(bucket(Filter::OnPort, client, port, DEFAULT_SEED).unwrap(), shares);
    (20_000..30_000).find(|port| owner(*port) == server).unwrap()
}

/// From Linux 6.9 on a table can be both owned and persistent.
pub fn tables_are_owned() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(6), Some(9))
}

pub fn command(program: &str, args: &str) -> Result<String, String> {
    let output = Command::new(program).args(args.split(' ')).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

pub struct Call {
    stream: TcpStream,
    local: SocketAddr,
    pub server: usize,
}

impl Call {
    /// One byte there and back.
    pub fn ask(&mut self) -> io::Result<()> {
        self.stream.write_all(b"?")?;
        self.stream.read_exact(&mut [0; 1])
    }
}

pub struct Farm {
    pub lan: Lan,
    spec: FarmSpec,
    planes: Vec<Arc<Mutex<Option<FarmPlane>>>>,
    accepted: Arc<AtomicUsize>,
}

impl Farm {
    /// So many servers, with the application running and the addresses away.
    pub fn new(servers: usize, spec: FarmSpec) -> Self {
        let lan = Lan::new(servers + 1);
        let accepted = Arc::new(AtomicUsize::new(0));
        let farm = Self { lan, spec, planes: (0..servers).map(|_| Arc::default()).collect(), accepted };
        for server in 1..=servers {
            farm.serve(server);
            farm.reopen(server);
        }
        farm
    }

    fn serve(&self, server: usize) {
        let accepted = self.accepted.clone();
        self.lan.stations[server - 1].run(move || {
            let listener = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
            listener.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT)).into()).unwrap();
            listener.listen(1024).unwrap();
            let listener = TcpListener::from(listener);
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let mut stream = stream.unwrap();
                    accepted.fetch_add(1, Ordering::Relaxed);
                    std::thread::Builder::new()
                        .stack_size(64 << 10)
                        .spawn(move || {
                            let mut byte = [server as u8];
                            // A client that went away is none of our concern.
                            while stream.write_all(&byte).is_ok() && stream.read_exact(&mut byte).is_ok() {}
                        })
                        .unwrap();
                }
            });
        });
    }

    pub fn client(&self) -> &Station {
        &self.lan.stations[self.planes.len()]
    }

    /// A new process of ours on a server.
    pub fn reopen(&self, server: usize) {
        let (spec, plane) = (self.spec.clone(), self.planes[server - 1].clone());
        self.lan.stations[server - 1].run(move || *plane.lock().unwrap() = Some(FarmPlane::open(spec).unwrap()));
    }

    pub fn kill(&self, server: usize) {
        drop(self.planes[server - 1].lock().unwrap().take());
    }

    /// Runs `job` on a server with its plane.
    pub fn server<T: Send + 'static>(
        &self,
        server: usize,
        job: impl FnOnce(&mut FarmPlane) -> T + Send + 'static,
    ) -> T {
        let plane = self.planes[server - 1].clone();
        self.lan.stations[server - 1].run(move || job(plane.lock().unwrap().as_mut().expect("the process lives")))
    }

    /// All servers, with no buckets yet.
    pub fn start(&mut self) {
        for server in 1..=self.planes.len() {
            let load = FarmLoad { peers: self.peers(server), ..FarmLoad::default() };
            let started = self.server(server, move |plane| plane.start(&load, LIFETIME).unwrap());
            assert_eq!((started.interfaces, started.warnings), (vec!["eth0".to_owned()], Vec::new()));
        }
    }

    fn peers(&self, server: usize) -> std::collections::BTreeMap<String, Vec<Option<Seat>>> {
        let others = (1..=self.planes.len()).filter(|other| *other != server);
        let seats = others.filter(|other| self.planes[other - 1].lock().unwrap().is_some());
        seats.map(|other| (node(other), self.server(other, |plane| plane.stations().unwrap()))).collect()
    }

    pub fn share(&self, shares: Shares) {
        let all: Vec<_> = (1..=self.planes.len()).collect();
        self.share_among(shares, &all);
    }

    /// Tells only these servers.
    pub fn share_among(&self, shares: Shares, servers: &[usize]) {
        servers.iter().for_each(|server| self.load(*server, shares, Buckets::NONE));
    }

    /// `lost`: buckets with connections that nobody has.
    pub fn share_lost(&self, shares: Shares, lost: Buckets) {
        for server in (1..=self.planes.len()).filter(|server| !shares[server - 1].is_empty()) {
            let mine = buckets_of(shares[server - 1]);
            self.load(server, shares, lost.iter().filter(|one| mine.contains(*one)).collect());
        }
    }

    fn load(&self, server: usize, shares: Shares, lost: Buckets) {
        let owners = (1..=shares.len()).filter(|other| *other != server);
        let owners = owners.map(|other| (node(other), buckets_of(shares[other - 1]))).collect();
        let group = GroupLoad { mine: buckets_of(shares[server - 1]), owners, lost };
        let groups = self.spec.groups.iter().map(|one| (one.name.clone(), group.clone())).collect();
        let load = FarmLoad { groups, peers: self.peers(server) };
        self.server(server, move |plane| plane.load(&load).unwrap());
    }

    pub fn announce(&self, server: usize) {
        assert_eq!(self.server(server, |plane| plane.announce()), Vec::<String>::new());
    }

    /// Connections that the servers' applications have got.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    pub fn call(&self, vip: IpAddr, count: usize) -> Vec<Call> {
        self.call_from(None, vip, count)
    }

    pub fn call_from(&self, source: Option<IpAddr>, vip: IpAddr, count: usize) -> Vec<Call> {
        self.client().run(move || (0..count).map(|_| call(source, vip).unwrap()).collect())
    }

    /// How many don't answer any more.
    pub fn broken(&self, calls: &mut [Call]) -> usize {
        calls.iter_mut().filter_map(|call| call.ask().err()).count()
    }

    pub fn assert_owners(&self, calls: &[Call], filter: Filter, shares: Shares) {
        for call in calls {
            let bucket = bucket(filter, call.local.ip(), call.local.port(), DEFAULT_SEED).unwrap();
            assert_eq!(call.server, server_of(bucket, shares), "from {} in bucket {bucket}", call.local);
        }
    }

    /// How many servers answer one ping.
    pub fn pings(&self, vip: IpAddr) -> usize {
        // Busy or not: a second question answers nothing that the first one's second answer wouldn't.
        let said = self.client().run(move || command("ping", &format!("-c 2 -i 0.2 -w 60 {vip}")).unwrap());
        let answers = said.lines().filter(|line| line.contains("icmp_seq=1 ")).count();
        assert!(answers > 0, "{said}");
        answers
    }

    /// What the client believes to be the address's MAC.
    fn neighbour(&self, vip: IpAddr) -> String {
        let said = self.client().run(move || command("ip", &format!("neigh show {vip}")).unwrap());
        said.split_once("lladdr ").expect("the client has asked").1[..17].to_owned()
    }

    /// The servers have to ask for the client's MAC anew.
    pub fn forget_neighbours(&self) {
        self.lan.stations[..self.planes.len()].iter().for_each(|server| server.ip("neigh flush dev eth0"));
    }

    /// The client knows the virtual MAC, and the switch doesn't.
    pub fn assert_virtual_mac(&self, vip: IpAddr) {
        let vmac = Delivery::default_vmac(VIP).to_string();
        assert_eq!(self.neighbour(vip), vmac);
        let learnt = self.lan.switch.run(|| command("bridge", "fdb show").unwrap());
        assert!(!learnt.contains(&vmac), "{learnt}");
        assert!(learnt.contains(&self.mac(1).to_string()), "the switch does learn: {learnt}");
    }

    /// The server that gets the client's frames.
    pub fn holder(&self, vip: IpAddr) -> usize {
        let mac = self.neighbour(vip);
        (1..=self.planes.len()).find(|server| self.mac(*server).to_string() == mac).expect("a server's own MAC")
    }

    pub fn mac(&self, server: usize) -> MacAddr {
        self.server(server, |plane| plane.stations().unwrap()[0].unwrap().mac)
    }

    /// Everything that a farm changes: filter, addresses, interface, settings.
    pub fn traces(&self, server: usize) -> [String; 4] {
        self.lan.stations[server - 1].run(|| {
            let promiscuity = command("ip", "-d link show eth0").unwrap();
            let promiscuity =
                promiscuity.split(' ').skip_while(|word| *word != "promiscuity").nth(1).unwrap().to_owned();
            let addresses = command("ip", "-o addr show dev eth0").unwrap();
            // Lifetimes run, and the link's own address comes when it likes.
            let ours = addresses.lines().filter(|line| line.contains(" 10.77.") || line.contains(" fd77:"));
            let addresses: Vec<_> = ours.map(|line| line.split("valid_lft").next().unwrap()).collect();
            let setting = std::fs::read_to_string("/proc/sys/net/ipv4/conf/eth0/arp_announce").unwrap();
            [command("nft", "list ruleset").unwrap(), addresses.join("\n"), promiscuity, setting]
        })
    }

    pub fn wait_without_address(&self, server: usize) {
        let end = Instant::now() + PATIENCE;
        while self.traces(server)[1].contains(&VIP.to_string()) || self.traces(server)[1].contains(&VIP6.to_string()) {
            assert!(Instant::now() < end, "the addresses outlive the process");
            sleep(Duration::from_millis(50));
        }
    }

    /// IP identifications of packets from 10.77.0.200 to the address that arrive at a server's own MAC.
    pub fn listen(&self, server: usize) -> Receiver<u16> {
        let (tell, told) = channel();
        let mac = self.mac(server);
        self.lan.stations[server - 1].run(move || {
            let protocol = i32::from((libc::ETH_P_IP as u16).to_be());
            let mut socket = Socket::new(Domain::PACKET, Type::RAW, Some(SocketProtocol::from(protocol))).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            std::thread::spawn(move || {
                let mut frame = [0; 256];
                while let Ok(len) = socket.read(&mut frame) {
                    let wanted = len >= 34 && frame[..6] == mac.0 && frame[26..34] == [10, 77, 0, 200, 10, 77, 0, 99];
                    if wanted && tell.send(u16::from_be_bytes([frame[18], frame[19]])).is_err() {
                        return;
                    }
                }
            });
        });
        told
    }

    /// The MACs that announcements of the IPv4 address name, as the client hears them.
    pub fn announcements(&self) -> Receiver<MacAddr> {
        let (tell, told) = channel();
        self.client().run(move || {
            let protocol = i32::from((libc::ETH_P_ARP as u16).to_be());
            let mut socket = Socket::new(Domain::PACKET, Type::RAW, Some(SocketProtocol::from(protocol))).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            std::thread::spawn(move || {
                let mut frame = [0; 256];
                while let Ok(len) = socket.read(&mut frame) {
                    let about_itself =
                        len >= 42 && frame[28..32] == [10, 77, 0, 99] && frame[38..42] == [10, 77, 0, 99];
                    let named = <[u8; 6]>::try_from(&frame[22..28]).unwrap();
                    if about_itself && tell.send(MacAddr(named)).is_err() {
                        return;
                    }
                }
            });
        });
        told
    }

    /// Sends a frame through a server's cable.
    pub fn inject(&self, at: usize, to: MacAddr, from: MacAddr, packet: Vec<u8>) {
        let frame = [&to.0[..], &from.0, &[8, 0], &packet].concat();
        self.lan.stations[at - 1].run(move || {
            let socket = Socket::new(Domain::PACKET, Type::RAW, Some(SocketProtocol::from(0))).unwrap();
            // SAFETY: takes a text that ends with zero.
            let index = unsafe { libc::if_nametoindex(c"eth0".as_ptr()) };
            let mut storage = socket2::SockAddrStorage::zeroed();
            // SAFETY: sockaddr_ll is one of the forms that a sockaddr_storage is made for.
            let address = unsafe { storage.view_as::<libc::sockaddr_ll>() };
            address.sll_family = libc::AF_PACKET as u16;
            address.sll_ifindex = index.cast_signed();
            address.sll_protocol = (libc::ETH_P_IP as u16).to_be();
            let len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            // SAFETY: filled in above, with this length.
            let address = unsafe { socket2::SockAddr::new(storage, len) };
            socket.send_to(&frame, &address).unwrap();
        });
    }

    /// Each server answers datagrams with its number and counts them.
    pub fn serve_datagrams(&self) {
        for server in 1..=self.planes.len() {
            let accepted = self.accepted.clone();
            self.lan.stations[server - 1].run(move || {
                let vips = VIPS.map(|vip| UdpSocket::bind((vip, PORT)).unwrap());
                for socket in vips {
                    let accepted = accepted.clone();
                    std::thread::spawn(move || {
                        let mut bytes = vec![0; 1 << 16];
                        while let Ok((len, client)) = socket.recv_from(&mut bytes) {
                            accepted.fetch_add(1, Ordering::Relaxed);
                            let answer = [&[server as u8][..], &(len as u32).to_be_bytes()].concat();
                            socket.send_to(&answer, client).unwrap();
                        }
                    });
                }
            });
        }
    }

    /// Sends a datagram from each of `count` ports: the servers that answered, with the port.
    pub fn ask_datagrams(&self, vip: IpAddr, count: usize, len: usize) -> Vec<(SocketAddr, usize)> {
        self.client().run(move || (0..count).map(|_| ask_datagram(vip, len)).collect())
    }
}

fn ask_datagram(vip: IpAddr, len: usize) -> (SocketAddr, usize) {
    let any = if vip.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let socket = UdpSocket::bind((any, 0)).unwrap();
    socket.connect((vip, PORT)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send(&vec![7; len]).unwrap();
    let mut answer = [0; 5];
    socket.recv(&mut answer).expect("a server answers");
    assert_eq!(answer[1..], (len as u32).to_be_bytes(), "all of it arrived");
    (socket.local_addr().unwrap(), usize::from(answer[0]))
}

fn node(server: usize) -> String {
    format!("node{server}")
}

fn call(source: Option<IpAddr>, vip: IpAddr) -> io::Result<Call> {
    let socket = Socket::new(Domain::for_address(SocketAddr::new(vip, PORT)), Type::STREAM, None)?;
    if let Some(source) = source {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    socket.connect_timeout(&SocketAddr::new(vip, PORT).into(), PATIENCE)?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE / 2))?;
    stream.set_write_timeout(Some(SECOND * 30))?;
    stream.set_nodelay(true)?;
    let mut server = [0];
    stream.read_exact(&mut server)?;
    Ok(Call { local: stream.local_addr()?, stream, server: usize::from(server[0]) })
}

/// An IPv4 packet from 10.77.0.200 to the address.
fn packet(protocol: u8, identification: u16, content: &[u8]) -> Vec<u8> {
    let [high, low] = identification.to_be_bytes();
    let [long, short] = (20 + content.len() as u16).to_be_bytes();
    let head = [0x45, 0, long, short, high, low, 0, 0, 64, protocol, 0, 0, 10, 77, 0, 200, 10, 77, 0, 99];
    [&with_checksum(head, 10)[..], content].concat()
}

/// RFC 1071, put at `at`.
fn with_checksum<const N: usize>(mut bytes: [u8; N], at: usize) -> [u8; N] {
    let words = bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum: u32 = words.sum();
    let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
    bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// The beginning of a connection; its TCP checksum is nobody's concern.
pub fn syn(port: u16, identification: u16) -> Vec<u8> {
    let [p, q] = port.to_be_bytes();
    let [x, y] = PORT.to_be_bytes();
    packet(6, identification, &[p, q, x, y, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0])
}

/// "Too big", said about a packet of the connection from `port`.
pub fn too_big(port: u16, identification: u16) -> Vec<u8> {
    let [p, q] = port.to_be_bytes();
    let [x, y] = PORT.to_be_bytes();
    let head = [3, 4, 0, 0, 0, 0, 0x05, 0x00];
    let quoted = [0x45, 0, 5, 220, 0, 9, 0x40, 0, 64, 6, 0, 0, 10, 77, 0, 99, 10, 77, 0, 200];
    let ports = [x, y, p, q, 0, 0, 0, 1];
    packet(1, identification, &[&head[..], &quoted, &ports].concat())
}
