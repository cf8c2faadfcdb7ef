//! A server dies at each point of each name operation; its successor settles it, and a mirrored copy ends up the same.

use super::*;
use crate::backing::{Inherited, Requested};
use crate::front::mirrored::Node;
use crate::pipeline::Attrs;

/// As the front end does it, through the whole path.
fn change(front: &Arc<Front>, intent: &Intent) {
    let admission = front.pipeline.gate().admit().unwrap().unwrap();
    front.recover(&admission).ok().unwrap();
    let mut intent = intent.clone();
    intent.slot = front.memory.take(intent.request, intent.id).unwrap();
    front.run(&admission, &intent).ok().unwrap();
    front.memory.clear_intent();
}

fn make(front: &Arc<Front>, request: u64, name: &str, kind: u32) -> Intent {
    let id = front.backing.table().new_id();
    let mut intent = Intent::new(request, What::Make, FileId::ROOT, name.as_bytes(), id);
    (intent.kind, intent.target) = (kind, b"target".to_vec());
    let requested = Requested { mode: 0o4711, umask: 0, uid: 77, gid: 78 };
    let root = front.backing.node(FileId::ROOT).unwrap();
    intent.wanted = front.backing.inherit(&root, &intent.new_file(), &requested).unwrap();
    intent
}

/// One of each, on a tree with files `a`, `b` and directories `d`, `e`.
fn operations(front: &Arc<Front>) -> Vec<Intent> {
    let id = |name: &str| front.backing.lookup(FileId::ROOT, &Name::new(name.as_bytes()).unwrap()).unwrap().id;
    let root = FileId::ROOT;
    let moved = |what, name: &str, new_parent, new_name: &str, other| {
        let mut intent = Intent::new(50, what, root, name.as_bytes(), id(name));
        (intent.new_parent, intent.new_name, intent.other) = (new_parent, new_name.as_bytes().to_vec(), other);
        intent
    };
    let mut link = Intent::new(50, What::Link, FileId(0), b"", id("a"));
    (link.new_parent, link.new_name) = (id("d"), b"second".to_vec());
    vec![
        make(front, 50, "file", libc::S_IFREG),
        make(front, 50, "dir", libc::S_IFDIR),
        make(front, 50, "link", libc::S_IFLNK),
        make(front, 50, "fifo", libc::S_IFIFO),
        link,
        Intent::new(50, What::Unlink, root, b"a", id("a")),
        Intent::new(50, What::Rmdir, root, b"e", id("e")),
        moved(What::Rename, "a", id("d"), "moved", None),
        moved(What::Rename, "a", root, "b", Some(id("b"))),
        moved(What::Rename, "d", root, "e", Some(id("e"))),
        moved(What::Exchange, "a", root, "d", Some(id("d"))),
    ]
}

fn prepared() -> (Node, Arc<Front>) {
    let node = Node::new();
    let front = node.front();
    for (n, (name, kind)) in
        [("a", libc::S_IFREG), ("b", libc::S_IFREG), ("d", libc::S_IFDIR), ("e", libc::S_IFDIR)].into_iter().enumerate()
    {
        change(&front, &make(&front, n as u64 + 1, name, kind));
    }
    (node, front)
}

/// Where the server dies.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Death {
    Announced,
    HalfMade,
    Executed,
    Published,
}

#[test]
fn whatever_was_half_done_is_settled_and_both_copies_are_equal() {
    for known in [false, true] {
        for n in 0..11 {
            for death in [Death::Announced, Death::HalfMade, Death::Executed, Death::Published] {
                die_and_settle(known, n, death);
            }
        }
    }
}

fn die_and_settle(known: bool, n: usize, death: Death) {
    let (node, front) = prepared();
    let mut intent = operations(&front).swap_remove(n);
    if known {
        front.backing.table().looked_up(intent.id);
        intent.other.iter().for_each(|id| front.backing.table().looked_up(*id));
    }
    intent.slot = front.memory.take(intent.request, intent.id).unwrap();
    front.memory.set_intent(&intent).unwrap();
    let admission = front.pipeline.gate().admit().unwrap().unwrap();
    match death {
        Death::Announced => {}
        // A file that is there and has neither owner, nor mode, nor its id.
        Death::HalfMade if intent.what == What::Make => {
            let bare = Inherited { attrs: Attrs { mode: 0o600, uid: 0, gid: 0 }, acl: false };
            let name = Name::new(&intent.name).unwrap();
            let other = front.backing.table().new_id();
            front.backing.make(FileId::ROOT, &name, other, &intent.new_file(), &bare).unwrap();
        }
        Death::HalfMade => return,
        Death::Executed => drop(front.execute(&intent).unwrap()),
        Death::Published => {
            let made = front.execute(&intent).unwrap();
            front.publish(&admission, &intent, made.as_ref()).ok().unwrap();
        }
    }
    drop(admission);
    drop(front);

    let context = format!("{:?} {:o}, known {known}, died {death:?}", intent.what, intent.kind);
    let front = node.front();
    let admission = front.pipeline.gate().admit().unwrap().unwrap();
    assert!(front.recover(&admission).is_ok(), "{context}");
    assert_eq!(node.names("data"), node.names("mirror"), "{context}");
    // The kernel delivers the request again: published ones are only answered.
    let slot = front.memory.left_by_predecessor(intent.request).unwrap();
    let published = was_published(front.memory.mark(slot), &*front.pipeline).is_some();
    assert_eq!(published, death != Death::Announced, "{context}");
    if !published {
        drop(admission);
        change(&front, &Intent { request: 51, ..intent.clone() });
        assert_eq!(node.names("data"), node.names("mirror"), "{context}, repeated");
    }
    let held = std::fs::read_dir(node.dir.path().join("data.hold/open")).unwrap().count();
    let loses_last_name = match intent.what {
        What::Unlink => true,
        What::Rename => intent.other.is_some() && intent.kind == 0 && intent.name == b"a",
        _ => false,
    };
    assert_eq!(held, usize::from(known && loses_last_name), "{context}: files without a name");
}
