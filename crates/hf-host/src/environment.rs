use crate::Paths;
use hf_config::User;
use hf_types::ModuleName;
use std::path::Path;

/// What every script of a module gets: SAFE, SAFEVAR, SAFEBIN, SAFEMODULE, SAFEUSERBIN, SAFEUSERVAR (reference 004, 10.1) and the `<var>`s
/// (13.7).
pub fn of_scripts(paths: &Paths, module: &ModuleName, user: Option<&User>) -> Vec<(String, String)> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let fixed = [
        ("SAFE", text(paths.safe())),
        ("SAFEVAR", text(paths.safevar())),
        ("SAFEBIN", text(&paths.safe().join("private/bin"))),
        ("SAFEMODULE", module.as_str().to_owned()),
        ("SAFEUSERBIN", text(&paths.user_bin(module))),
        ("SAFEUSERVAR", text(&paths.user_var(module))),
    ];
    let variables = user.iter().flat_map(|user| &user.variables);
    fixed
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .chain(variables.map(|var| (var.name.clone(), var.value.clone())))
        .collect()
}
