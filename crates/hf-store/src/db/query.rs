use super::ResourceRow;
use super::write::level_letter;
use hf_types::{CommandLine, Level, LogLine, ResourceValue};
use rusqlite::{Connection, Row, params};

/// The last lines of a module at some levels, oldest first.
pub(crate) fn log(
    connection: &Connection,
    module: &str,
    last: u32,
    levels: &[Level],
) -> Result<Vec<LogLine>, rusqlite::Error> {
    let letters: String = levels.iter().map(|level| level_letter(*level)).collect();
    let mut lines: Vec<LogLine> = connection
        .prepare_cached(
            "SELECT at_us, process, level, counter, text FROM log
             WHERE module = ?1 AND instr(?2, level) > 0 ORDER BY id DESC LIMIT ?3",
        )?
        .query_map(params![module, letters, last], line)?
        .collect::<Result<_, _>>()?;
    lines.reverse();
    Ok(lines)
}

fn line(row: &Row<'_>) -> Result<LogLine, rusqlite::Error> {
    Ok(LogLine {
        at_us: row.get(0)?,
        process: row.get(1)?,
        level: level(&row.get::<_, String>(2)?),
        counter: row.get::<_, i64>(3)?.cast_unsigned(),
        text: row.get(4)?,
    })
}

/// A letter of a later version reads as information.
fn level(letter: &str) -> Level {
    [Level::C, Level::U, Level::E, Level::S, Level::D]
        .into_iter()
        .find(|level| level_letter(*level) == letter)
        .unwrap_or(Level::I)
}

/// The lines behind row `after` at some levels, oldest first (without it the last `last`), and the last row of the module.
pub(crate) fn log_after(
    connection: &Connection,
    module: &str,
    after: Option<i64>,
    last: u32,
    levels: &[Level],
) -> Result<(Vec<LogLine>, i64), rusqlite::Error> {
    // First: a line that comes in between is then given twice to nobody, and missed by nobody.
    let next: i64 = connection
        .prepare_cached("SELECT coalesce(max(id), 0) FROM log WHERE module = ?1")?
        .query_row([module], |row| row.get(0))?;
    let letters: String = levels.iter().map(|level| level_letter(*level)).collect();
    let mut lines: Vec<LogLine> = connection
        .prepare_cached(
            "SELECT at_us, process, level, counter, text FROM log
             WHERE module = ?1 AND instr(?2, level) > 0 AND id > ?3 AND id <= ?4 ORDER BY id DESC LIMIT ?5",
        )?
        .query_map(params![module, letters, after.unwrap_or(0), next, after.map_or(last, |_| u32::MAX)], line)?
        .collect::<Result<_, _>>()?;
    lines.reverse();
    Ok((lines, next))
}

/// The last values that resources of a module (or one of them) took, oldest first.
pub(crate) fn resources(
    connection: &Connection,
    module: &str,
    name: Option<&str>,
    last: u32,
) -> Result<Vec<ResourceRow>, rusqlite::Error> {
    let mut rows: Vec<ResourceRow> = connection
        .prepare_cached(
            "SELECT at_us, name, value, set_by FROM resource WHERE module = ?1 AND (?2 IS NULL OR name = ?2)
             ORDER BY id DESC LIMIT ?3",
        )?
        .query_map(params![module, name, last], |row| {
            let value: String = row.get(2)?;
            Ok(ResourceRow {
                at_us: row.get(0)?,
                name: row.get(1)?,
                value: serde_json::from_str(&value).unwrap_or(ResourceValue::Text(value)),
                by: row.get(3)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    rows.reverse();
    Ok(rows)
}

/// The last lines of the commands log, oldest first.
pub(crate) fn commands(connection: &Connection, last: u32) -> Result<Vec<CommandLine>, rusqlite::Error> {
    let mut rows: Vec<CommandLine> = connection
        .prepare_cached("SELECT at_us, kind, module, pid, what, text FROM command_line ORDER BY id DESC LIMIT ?1")?
        .query_map([last], |row| {
            Ok(CommandLine {
                at_us: row.get(0)?,
                kind: row.get(1)?,
                module: row.get(2)?,
                pid: row.get(3)?,
                what: row.get(4)?,
                text: row.get(5)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    rows.reverse();
    Ok(rows)
}
