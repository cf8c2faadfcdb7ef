//! `<disk>`.

use crate::check_model::{DiskCheck, Room};
use crate::diagnostic::Code;
use crate::element::Element;
use crate::model::Rfs;
use crate::module::check::Reader;
use crate::spec;

const MAX_PATH: usize = 1024;
const DEFAULT: Room = Room::Percent(5);

impl Reader<'_, '_> {
    pub(super) fn disks(&mut self, check: &Element, rfs: Option<&Rfs>) -> Vec<DiskCheck> {
        let tags = check.children(&spec::DISK, self.context);
        tags.iter().filter_map(|tag| self.disk(tag, rfs)).collect()
    }

    /// `rfs`: what is replicated; nothing may be written there by looking.
    fn disk(&mut self, tag: &Element, rfs: Option<&Rfs>) -> Option<DiskCheck> {
        let (ident, when, action) = (self.ident(tag), self.when(tag), self.action(tag));
        let write = tag.switch("write", self.context);
        let dir = self.directory(tag);
        if let (Some(dir), true) = (&dir, write) {
            self.refuse_replicated(tag, dir, rfs);
        }
        let free = self.room(tag);
        let (interval_ms, timeout_ms) = (self.interval(tag), self.timeout(tag));
        Some(DiskCheck { ident: ident?, when, action, dir: dir?, free: free?, write, interval_ms, timeout_ms })
    }

    fn directory(&mut self, tag: &Element) -> Option<String> {
        let value = tag.require("dir", self.context)?.clone();
        let text = &value.text;
        let parts = || text.split('/').skip(1);
        let plain = text == "/" || parts().all(|part| !part.is_empty() && part != "." && part != "..");
        if text.starts_with('/') && plain && text.len() <= MAX_PATH && !text.contains(char::is_control) {
            return Some(value.text);
        }
        let message = format!("dir=\"{text}\" isn't the path of a directory");
        let help = "absolute and without a slash at its end, such as /srv/shop".to_owned();
        self.context.sink.error(Code::BadValue, value.span, message, Some(help));
        None
    }

    fn refuse_replicated(&mut self, tag: &Element, dir: &str, rfs: Option<&Rfs>) {
        let inside = |of: &str| dir.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let mut replicated = rfs.iter().flat_map(|rfs| &rfs.replicated);
        let (Some(of), Some(value)) = (replicated.find(|one| inside(&one.dir)), tag.get("dir")) else {
            return;
        };
        let message = format!("what is written into {dir} to try its disk would be replicated");
        let above = of.dir.rsplit_once('/').map_or("", |(above, _)| above);
        let above = if above.is_empty() { "/" } else { above };
        let help = format!("dir=\"{above}\" if that is on the same disk; or write=\"off\": then nothing is written");
        self.context.sink.error(Code::Conflict, value.span.clone(), message, Some(help));
    }

    fn room(&mut self, tag: &Element) -> Option<Room> {
        let Some(value) = tag.get("free").cloned() else {
            return Some(DEFAULT);
        };
        let room = room(&value.text);
        if room.is_none() {
            let message = format!("free=\"{}\" is neither a part of the disk nor a size", value.text);
            let help = "such as 5% (0% to 99%), 500M or 10G".to_owned();
            self.context.sink.error(Code::BadValue, value.span, message, Some(help));
        }
        room
    }
}

fn room(text: &str) -> Option<Room> {
    if let Some(percent) = text.strip_suffix('%') {
        return percent.parse().ok().filter(|percent| *percent < 100).map(Room::Percent);
    }
    let digits = text.trim_end_matches(['K', 'M', 'G', 'T']);
    let shift = match &text[digits.len()..] {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift).map(Room::Bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_sizes() {
        assert_eq!(room("5%"), Some(Room::Percent(5)));
        assert_eq!(room("0"), Some(Room::Bytes(0)));
        assert_eq!(room("3K"), Some(Room::Bytes(3072)));
        assert_eq!(room("2T"), Some(Room::Bytes(2 << 40)));
        for text in ["", "%", "100%", "-1", "G", "5GG", "5GM", "5 G", "1.5G", "18446744073709551615K"] {
            assert_eq!(room(text), None, "{text}");
        }
        assert_eq!(Room::Percent(5).bytes(1_000), 50);
    }
}
