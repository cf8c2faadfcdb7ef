//! What the daemon tells the listener: one line, the whole truth each time.

use std::collections::BTreeMap;

use hf_types::ModuleName;

/// The modules that are ready on this node: PRIM or ALONE (green), UP (green). Each with its run: a text that is another one after
/// every start of the application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    ready: BTreeMap<ModuleName, String>,
}

/// A line that no daemon of this version writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadTable;

const FIRST_WORD: &str = "ready";

impl Table {
    /// Says that a module is ready. Of `run` only letters and digits count.
    pub fn add(&mut self, module: ModuleName, run: &str) {
        let run = run.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
        self.ready.insert(module, run);
    }

    /// The module's run if it is ready.
    pub fn run_of(&self, module: &str) -> Option<&str> {
        let name: ModuleName = module.parse().ok()?;
        self.ready.get(&name).map(String::as_str)
    }

    /// `ready AM=RUN AM=RUN` and a line feed.
    pub fn line(&self) -> String {
        let mut line = FIRST_WORD.to_owned();
        for (module, run) in &self.ready {
            line.push_str(&format!(" {module}={run}"));
        }
        line.push('\n');
        line
    }

    /// Reads what [`Table::line`] wrote, without its line feed.
    pub fn parse(line: &str) -> Result<Table, BadTable> {
        let mut words = line.split(' ');
        if words.next() != Some(FIRST_WORD) {
            return Err(BadTable);
        }
        let mut table = Table::default();
        for word in words {
            let (module, run) = word.split_once('=').ok_or(BadTable)?;
            table.add(module.parse().map_err(|_| BadTable)?, run);
        }
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let mut table = Table::default();
        assert_eq!(Table::parse("ready"), Ok(table.clone()));
        table.add("pg".parse().expect("a name"), "1f");
        table.add("web-2".parse().expect("a name"), "a b\n");
        assert_eq!(table.line(), "ready pg=1f web-2=ab\n");
        let read = Table::parse(table.line().trim_end()).expect("a table");
        assert_eq!(read, table);
        assert_eq!((read.run_of("pg"), read.run_of("p"), read.run_of("../pg")), (Some("1f"), None, None));
        for bad in ["", "steady pg=1", "ready pg", "ready  pg=1", "ready ../x=1"] {
            assert_eq!(Table::parse(bad), Err(BadTable), "{bad:?}");
        }
    }
}
