//! Before a stopped module is configured: what both nodes must have alike, or enough of (reference 004, 2.2 and 13.6), and what of the
//! replicated directories can't be the same on both. The other node's daemon is asked; what it says is judged in
//! `hf_node::daemon::compare_nodes`.

mod walk;

use hf_config::{Exclusions, Rfs};
use hf_host::clock::wall_us;
use hf_node::daemon::{Asked, Finding};
use hf_wire::inquiry::{Answer, DIRS_MAX, Dir, OWNERS_MAX, Owner, OwnerThere, Question, Room};
use nix::unistd::{Gid, Group, Uid, User};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long all replicated directories are looked at.
const LOOK_FOR: Duration = Duration::from_secs(10);
/// Files with names elsewhere that are named.
const NAMED_MAX: usize = 3;

/// What is to be asked of the other node, and what is to be said whatever it answers. Waits for the disk.
pub fn of_this_node(rfs: Option<&Rfs>) -> (Asked, Vec<Finding>) {
    let (mut asked, mut found) = (Asked::default(), Vec::new());
    let Some(rfs) = rfs else { return (asked, found) };
    let (mut users, mut groups) = (BTreeSet::new(), BTreeSet::new());
    let share = LOOK_FOR / u32::try_from(rfs.replicated.len().max(1)).unwrap_or(u32::MAX);
    for replicated in rfs.replicated.iter().take(DIRS_MAX) {
        let dir = Dir { dir: replicated.dir.clone(), data: rfs.data_dir(replicated) };
        // Patterns were checked with the configuration.
        let left_out = Exclusions::new(replicated).unwrap_or_default();
        let mut seen = walk::walk(&place(&dir), &left_out, share);
        found.extend(links(&dir.dir, &seen));
        users.append(&mut seen.users);
        groups.append(&mut seen.groups);
        asked.question.dirs.push(dir);
        asked.bytes.push(seen.bytes);
    }
    asked.question.users = users.into_iter().take(OWNERS_MAX).map(|id| Owner { id, name: user(id) }).collect();
    asked.question.groups = groups.into_iter().take(OWNERS_MAX).map(|id| Owner { id, name: group(id) }).collect();
    (asked, found)
}

/// A file with a name in the directory and one elsewhere is two files on the other node, and after a failover here.
fn links(dir: &str, seen: &walk::Seen) -> Option<Finding> {
    if seen.incomplete {
        let text = format!(
            "{dir} is large: owners and hard links were looked for in a part of it only ('find {dir} -links +1 -type f' finds all files with \
             several names)"
        );
        return Some(Finding::Warning(text));
    }
    if seen.outside.is_empty() {
        return None;
    }
    let named: Vec<String> = seen
        .outside
        .iter()
        .take(NAMED_MAX)
        .map(|(path, names)| format!("{} ({names} elsewhere)", path.display()))
        .collect();
    let more = seen.outside.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(Finding::Warning(format!(
        "files in {dir} have other names outside of what is replicated: {}{more}. On the other node each is a file of its own: copy them \
         ('cp --preserve FILE FILE.new; mv FILE.new FILE'), or move the other names into {dir}",
        named.join(", ")
    )))
}

/// Answers for this node. Waits for the disk and for whoever knows users.
pub fn answer(question: &Question) -> Answer {
    let user_there = |owner: &Owner| OwnerThere {
        name: user(owner.id),
        id: owner.name.as_ref().and_then(|name| User::from_name(name).ok()?).map(|user| user.uid.as_raw()),
    };
    let group_there = |owner: &Owner| OwnerThere {
        name: group(owner.id),
        id: owner.name.as_ref().and_then(|name| Group::from_name(name).ok()?).map(|group| group.gid.as_raw()),
    };
    Answer {
        ticket: question.ticket,
        users: question.users.iter().map(user_there).collect(),
        groups: question.groups.iter().map(group_there).collect(),
        dirs: question.dirs.iter().map(room).collect(),
        // Last, so that it is as fresh as it can be.
        clock_us: wall_us(),
    }
}

fn user(id: u32) -> Option<String> {
    User::from_uid(Uid::from_raw(id)).ok()?.map(|user| user.name)
}

fn group(id: u32) -> Option<String> {
    Group::from_gid(Gid::from_raw(id)).ok()?.map(|group| group.name)
}

fn room(dir: &Dir) -> Room {
    let place = place(dir);
    let used = std::fs::read_dir(&place).is_ok_and(|mut entries| entries.next().is_some());
    let nearest = place.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let free = rustix::fs::statvfs(nearest).ok().map(|fs| fs.f_bavail.saturating_mul(fs.f_frsize));
    Room { used, free }
}

/// Where the data is: beside the directory once the module has run here.
fn place(dir: &Dir) -> PathBuf {
    let data = PathBuf::from(&dir.data);
    if data.is_dir() { data } else { PathBuf::from(&dir.dir) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_knows_its_own_users_and_how_much_room_it_has() {
        let place = tempfile::tempdir().expect("a directory");
        let full = place.path().join("full");
        std::fs::create_dir(&full).expect("a directory");
        std::fs::write(full.join("file"), "x").expect("a file");
        let dir = |path: PathBuf| Dir { data: format!("{}_Data", path.display()), dir: path.display().to_string() };
        let owner = |id, name: &str| Owner { id, name: Some(name.to_owned()) };
        let question = Question {
            ticket: 9,
            users: vec![owner(0, "root"), owner(4_000_000_000, "nobody-has-this-name")],
            groups: vec![owner(0, "root")],
            dirs: vec![dir(full), dir(place.path().join("not/there"))],
        };
        let answer = answer(&question);
        let root = OwnerThere { name: Some("root".to_owned()), id: Some(0) };
        assert_eq!((answer.ticket, &answer.users[0], &answer.groups[0]), (9, &root, &root));
        assert_eq!(answer.users[1], OwnerThere::default());
        assert!(answer.dirs[0].used && !answer.dirs[1].used);
        assert!(answer.dirs.iter().all(|room| room.free.is_some_and(|free| free > 0)));
        assert!((answer.clock_us - wall_us()).abs() < 600_000_000);
    }

    #[test]
    fn names_outside_are_told_with_a_way_out() {
        let outside = (0..5).map(|n| (PathBuf::from(format!("/data/{n}")), 1)).collect();
        let seen = walk::Seen { outside, ..walk::Seen::default() };
        let found = links("/data", &seen).expect("a warning");
        assert!(found.text().contains("/data/0 (1 elsewhere)") && found.text().contains("and 2 more"), "{found:?}");
        assert_eq!(links("/data", &walk::Seen::default()), None);
        assert!(links("/data", &walk::Seen { incomplete: true, ..seen }).is_some());
    }
}
