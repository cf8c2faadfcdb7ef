use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// 1: the first. 2: a command is a line when it begins and one when it has ended.
pub(crate) const SCHEMA_VERSION: i64 = 2;

const SCHEMA: &str = "
CREATE TABLE log (
    id INTEGER PRIMARY KEY, module TEXT NOT NULL, at_us INTEGER NOT NULL, process TEXT NOT NULL,
    level TEXT NOT NULL, counter INTEGER NOT NULL, text TEXT NOT NULL);
CREATE INDEX log_module ON log (module, id);
CREATE TABLE ring (
    module TEXT NOT NULL, process TEXT NOT NULL, ring INTEGER NOT NULL, seq INTEGER NOT NULL, line INTEGER NOT NULL,
    PRIMARY KEY (module, process)) WITHOUT ROWID;
CREATE TABLE resource (
    id INTEGER PRIMARY KEY, module TEXT NOT NULL, at_us INTEGER NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,
    set_by TEXT NOT NULL);
CREATE INDEX resource_module ON resource (module, id);
CREATE TABLE command_line (
    id INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, kind TEXT NOT NULL, module TEXT, pid INTEGER NOT NULL,
    what TEXT NOT NULL, text TEXT NOT NULL);
";

/// From version 1: what is known of a command becomes one line.
const FROM_1: &str = "
CREATE TABLE command_line (
    id INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, kind TEXT NOT NULL, module TEXT, pid INTEGER NOT NULL,
    what TEXT NOT NULL, text TEXT NOT NULL);
INSERT INTO command_line (at_us, kind, module, pid, what, text)
    SELECT at_us, 'safekit', module, 0, 'START', command || ' -u ' || called_by FROM command ORDER BY id;
DROP TABLE command;
";

/// A database that is ready, and what had to be done to have it.
pub(crate) struct Opened {
    pub connection: Connection,
    /// Where a damaged or foreign one was moved, and why.
    pub moved_aside: Option<(PathBuf, String)>,
}

/// Opens the database for writing; one that is damaged, or of a later version, is moved aside.
pub(crate) fn open(path: &Path) -> Result<Opened, rusqlite::Error> {
    match open_here(path) {
        Ok(connection) => Ok(Opened { connection, moved_aside: None }),
        Err(why) if is_damage(&why) => {
            let aside = move_aside(path).map_err(|_| why_not(&why))?;
            Ok(Opened { connection: open_here(path)?, moved_aside: Some((aside, why.to_string())) })
        }
        Err(other) => Err(other),
    }
}

fn why_not(why: &rusqlite::Error) -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
    rusqlite::Error::SqliteFailure(code, Some(format!("{why}; and it could not be moved aside")))
}

fn open_here(path: &Path) -> Result<Connection, rusqlite::Error> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "normal")?;
    check(&connection)?;
    migrate(&mut connection)?;
    Ok(connection)
}

/// Reads every page once: the database is bounded, and a damage found now is found before anything depends on it.
fn check(connection: &Connection) -> Result<(), rusqlite::Error> {
    let said: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if said == "ok" {
        return Ok(());
    }
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    Err(rusqlite::Error::SqliteFailure(code, Some(said)))
}

fn migrate(connection: &mut Connection) -> Result<(), rusqlite::Error> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version == SCHEMA_VERSION {
        return Ok(());
    }
    if !matches!(version, 0 | 1) {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_NOTADB);
        let text = format!("its schema version is {version}, this program knows {SCHEMA_VERSION}");
        return Err(rusqlite::Error::SqliteFailure(code, Some(text)));
    }
    let transaction = connection.transaction()?;
    transaction.execute_batch(if version == 0 { SCHEMA } else { FROM_1 })?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()
}

/// A connection that can only read, beside the writer's.
pub(crate) fn open_to_read(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    Ok(connection)
}

/// Whether the file, not the machine, is at fault.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Renames the database and its companions; the new name.
pub(crate) fn move_aside(path: &Path) -> io::Result<PathBuf> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let stamp = now.map_or(0, |d| d.as_millis());
    let aside = with_suffix(path, &format!(".damaged-{stamp}"));
    std::fs::rename(path, &aside)?;
    for companion in ["-wal", "-shm"] {
        match std::fs::rename(with_suffix(path, companion), with_suffix(&aside, companion)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(aside)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
