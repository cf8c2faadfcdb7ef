//! Virtual IP addresses on Linux: those of mirror modules (reference 004, 13.5.4.2), those of farms ([`FarmPlane`],
//! docs/internals/farm-network.md), and what is seen of the links. What follows is about mirror modules.
//!
//! # How an address moves without anybody's help
//!
//! The address is put on the interface with a *kernel lifetime*. The heart renews it at a third of that time; when
//! all our processes hang or die, the kernel takes the address away by itself. Therefore [`VirtualIp::renew`]
//! never brings an address back: one that is gone was perhaps taken over by the peer already.
//!
//! # Why a /32, or a /128
//!
//! The reference makes an alias with the interface's own netmask. Here the address is a /32 unless the module
//! sets `netmask`, because
//!
//! * addresses in one subnet hang together in the kernel: the first is primary, the others are removed with it. If the
//!   virtual address ever became the first (an interface that is configured later), its expiry would take
//!   the node's own address along. A /32 is alone in its subnet;
//! * a /32 is never chosen as the source of the node's own connections, so these don't die when it moves;
//! * clients see no difference: the kernel answers ARP for every local address, and answers to clients take the
//!   interface's own route, which stays.
//!
//! `arp_announce=2` is set on the interface, or else the node's own ARP requests, sent while it answers as the virtual
//! address, would teach clients this node's MAC after the address has moved.
//!
//! An IPv6 address is a /128 without a route, *deprecated* from the beginning, so that it is never a source either, and
//! usable at once (`nodad`): whether somebody else has it is asked by [`Guard::probe`], which takes a fifth of the
//! kernel's time and says who.
//!
//! # Threads
//!
//! Everything here is synchronous on sockets of its own, so that the heart's real-time thread can renew
//! without a runtime; a renewal is two exchanges with the kernel, far below a millisecond. Make one
//! [`LinuxVirtualIp`] a thread: it holds sockets only, no state. [`NetWatch`] and [`Guard`] are awaited.
//! The network namespace is that of the thread which opened it.

mod arp;
mod error;
mod ethernet;
mod farm;
mod guard;
mod linux;
mod ndp;
mod netlink;
mod nft;
mod route;
mod sock_diag;
mod vip;
mod watch;

pub use error::{VipCause, VipError};
pub use ethernet::MacAddr;
pub use farm::{
    BUCKETS, Buckets, DEFAULT_SEED, Delivery, FarmError, FarmGroup, FarmInterface, FarmLoad, FarmPlane, FarmRule,
    FarmSpec, Filter, GroupLoad, Lack, PlanError, Protocol, Renewed, Started, Station, Stopped, Verified, bucket,
    clear_leftovers, kernel_bitmaps, lacks,
};
pub use guard::Guard;
pub use linux::LinuxVirtualIp;
pub use nft::NftError;
pub use route::{AddressEntry, Link};
pub use vip::{Cleared, Placed, VipSpec, VirtualIp};
pub use watch::{NetEvent, NetWatch, WatchError};
