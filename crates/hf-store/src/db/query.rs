use super::write::level_letter;
use super::{CommandRow, ResourceRow};
use hf_types::{Level, LogLine, ResourceValue};
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

/// The last values that resources of a module took, oldest first.
pub(crate) fn resources(connection: &Connection, module: &str, last: u32) -> Result<Vec<ResourceRow>, rusqlite::Error> {
    let mut rows: Vec<ResourceRow> = connection
        .prepare_cached("SELECT at_us, name, value, set_by FROM resource WHERE module = ?1 ORDER BY id DESC LIMIT ?2")?
        .query_map(params![module, last], |row| {
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

/// The last commands given on this node, oldest first.
pub(crate) fn commands(connection: &Connection, last: u32) -> Result<Vec<CommandRow>, rusqlite::Error> {
    let mut rows: Vec<CommandRow> = connection
        .prepare_cached("SELECT at_us, module, command, called_by, outcome FROM command ORDER BY id DESC LIMIT ?1")?
        .query_map([last], |row| {
            Ok(CommandRow {
                at_us: row.get(0)?,
                module: row.get(1)?,
                command: row.get(2)?,
                by: row.get(3)?,
                outcome: row.get(4)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    rows.reverse();
    Ok(rows)
}
