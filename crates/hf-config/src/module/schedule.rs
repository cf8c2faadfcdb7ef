//! `syncat`: when a scheduled synchronisation begins (reference 004, 13.6.4.10).

use crate::context::Context;
use crate::diagnostic::Code;
use crate::element::Element;
use crate::schedule::Schedule;

pub(super) fn sync_at(rfs: &Element, context: &mut Context) -> Option<Schedule> {
    let value = rfs.get("syncat")?;
    match Schedule::parse(&value.text) {
        Ok(schedule) => Some(schedule),
        Err(wrong) => {
            let message = format!("syncat=\"{}\" isn't a schedule: {wrong}", value.text);
            let help = "minute, hour, day, month, weekday, as in \"01 0 * * *\"".to_owned();
            context.sink.error(Code::BadValue, value.span.clone(), message, Some(help));
            None
        }
    }
}
