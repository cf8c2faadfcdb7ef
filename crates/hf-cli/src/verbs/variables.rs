//! `holdfast -p`: where things are (reference 004, 10.1).

use std::process::ExitCode;

use serde_json::{Map, Value};

use crate::args::Output;
use crate::error::CliError;
use crate::paths::Paths;
use crate::print;

pub(crate) fn run(output: Output) -> Result<ExitCode, CliError> {
    let module = match std::env::var("SAFEMODULE") {
        Ok(name) if !name.is_empty() => {
            Some(name.parse().map_err(|bad| CliError::Usage(format!("SAFEMODULE: {bad}")))?)
        }
        _ => None,
    };
    let variables = Paths::from_environment().variables(module.as_ref());
    let shown = variables.into_iter().map(|(name, value)| (name, print::clean_line(&value.to_string_lossy())));
    match output {
        Output::Text => print::text(&shown.map(|(name, value)| format!("{name}={value}\n")).collect::<String>())?,
        Output::Json => {
            let map: Map<String, Value> = shown.map(|(name, value)| (name.to_owned(), Value::String(value))).collect();
            print::json(&map)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
