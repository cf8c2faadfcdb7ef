use super::{ResourceRow, lost_line};
use crate::ring::{RingBatch, RingPosition};
use hf_types::{CommandLine, Level, LogLine};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

/// Adds what rings gave, merged by time, together with how far they are read now. `read` gets the stored position.
pub(crate) fn ingest<E: From<rusqlite::Error>>(
    connection: &mut Connection,
    module: &str,
    processes: &[&str],
    mut read: impl FnMut(&str, RingPosition) -> Result<RingBatch, E>,
) -> Result<Ingested, E> {
    let transaction = connection.transaction()?;
    let (mut lines, mut more, mut count) = (Vec::new(), false, 0);
    for process in processes {
        let before = position(&transaction, module, process)?;
        let batch = read(process, before)?;
        more |= batch.more;
        if batch.position != before {
            set_position(&transaction, module, process, batch.position)?;
        }
        for (resource, always) in &batch.resources {
            add_resource(&transaction, module, &resource.clone().into(), *always)?;
            count += 1;
        }
        lines.push(with_lost(process, batch));
    }
    for line in merge(lines) {
        add_line(&transaction, module, &line)?;
        count += 1;
    }
    transaction.commit()?;
    Ok(Ingested { lines: count, more })
}

/// What an ingestion did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ingested {
    /// Lines and resources.
    pub lines: u64,
    pub more: bool,
}

fn with_lost(process: &str, batch: RingBatch) -> Vec<LogLine> {
    let mut lines = batch.lines;
    if batch.lost > 0 {
        let (at, counter) = lines.first().map_or((0, 0), |l| (l.at_us, l.counter));
        lines.insert(0, lost_line(process, batch.lost, at, counter));
    }
    lines
}

/// Merges by time without changing the order within a process, whatever its clock did.
fn merge(sources: Vec<Vec<LogLine>>) -> Vec<LogLine> {
    let mut sources: Vec<_> = sources.into_iter().map(|lines| lines.into_iter().peekable()).collect();
    let mut merged = Vec::new();
    loop {
        let earliest = sources.iter_mut().filter_map(|source| source.peek().map(|line| line.at_us)).min();
        let Some(earliest) = earliest else {
            return merged;
        };
        for source in &mut sources {
            if let Some(line) = source.next_if(|line| line.at_us == earliest) {
                merged.push(line);
            }
        }
    }
}

fn position(transaction: &Transaction<'_>, module: &str, process: &str) -> Result<RingPosition, rusqlite::Error> {
    let row = transaction
        .prepare_cached("SELECT ring, seq, line FROM ring WHERE module = ?1 AND process = ?2")?
        .query_row(params![module, process], |row| {
            Ok(RingPosition {
                ring: row.get::<_, i64>(0)?.cast_unsigned(),
                seq: row.get::<_, i64>(1)?.cast_unsigned(),
                line: row.get::<_, i64>(2)?.cast_unsigned(),
            })
        });
    Ok(row.optional()?.unwrap_or_default())
}

fn set_position(
    transaction: &Transaction<'_>,
    module: &str,
    process: &str,
    position: RingPosition,
) -> Result<(), rusqlite::Error> {
    transaction.prepare_cached("INSERT OR REPLACE INTO ring VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
        module,
        process,
        position.ring.cast_signed(),
        position.seq.cast_signed(),
        position.line.cast_signed()
    ])?;
    Ok(())
}

pub(crate) fn add_line(connection: &Connection, module: &str, line: &LogLine) -> Result<(), rusqlite::Error> {
    connection
        .prepare_cached(
            "INSERT INTO log (module, at_us, process, level, counter, text) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            module,
            line.at_us,
            line.process,
            level_letter(line.level),
            line.counter.cast_signed(),
            line.text
        ])?;
    Ok(())
}

/// Adds a resource's value if it is not the last one stored, or in any case.
pub(crate) fn add_resource(
    connection: &Connection,
    module: &str,
    row: &ResourceRow,
    always: bool,
) -> Result<(), rusqlite::Error> {
    connection
        .prepare_cached(
            "INSERT INTO resource (module, at_us, name, value, set_by) SELECT ?1, ?2, ?3, ?4, ?5
             WHERE ?6 OR ?4 IS NOT (SELECT value FROM resource WHERE module = ?1 AND name = ?3 ORDER BY id DESC LIMIT 1)",
        )?
        .execute(params![module, row.at_us, row.name, value_text(row), row.by, always])?;
    Ok(())
}

fn value_text(row: &ResourceRow) -> String {
    // Our own type always serialises; the display text is only for the eye.
    serde_json::to_string(&row.value).unwrap_or_else(|_| row.value.to_string())
}

pub(crate) fn add_command(connection: &Connection, line: &CommandLine) -> Result<(), rusqlite::Error> {
    connection
        .prepare_cached(
            "INSERT INTO command_line (at_us, kind, module, pid, what, text) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![line.at_us, line.kind, line.module, line.pid, line.what, line.text])?;
    Ok(())
}

/// Forgets a module's log. What was read of its rings stays read.
pub(crate) fn clean_log(connection: &Connection, module: &str) -> Result<(), rusqlite::Error> {
    connection.execute("DELETE FROM log WHERE module = ?1", [module]).map(drop)
}

/// Forgets what a module's resources were.
pub(crate) fn clean_resources(connection: &Connection, module: &str) -> Result<(), rusqlite::Error> {
    connection.execute("DELETE FROM resource WHERE module = ?1", [module]).map(drop)
}

/// Keeps the newest `keep` rows of each module, and of the commands.
pub(crate) fn trim(connection: &Connection, keep: u64) -> Result<(), rusqlite::Error> {
    let keep = i64::try_from(keep).unwrap_or(i64::MAX);
    for table in ["log", "resource"] {
        let modules = format!("SELECT DISTINCT module FROM {table}");
        let modules: Vec<String> =
            connection.prepare(&modules)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let delete = format!(
            "DELETE FROM {table} WHERE module = ?1 AND id <=
             (SELECT id FROM {table} WHERE module = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)"
        );
        for module in modules {
            connection.execute(&delete, params![module, keep])?;
        }
    }
    connection.execute(
        "DELETE FROM command_line WHERE id <= (SELECT id FROM command_line ORDER BY id DESC LIMIT 1 OFFSET ?1)",
        [keep],
    )?;
    Ok(())
}

pub(super) fn level_letter(level: Level) -> &'static str {
    match level {
        Level::C => "C",
        Level::U => "U",
        Level::E => "E",
        Level::S => "S",
        Level::I => "I",
        Level::D => "D",
    }
}
