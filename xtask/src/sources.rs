//! Looks for the standard library's impure parts in the code of pure crates.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::rules::{IMPURE_WORDS, LAYERS, Layer};

/// Every place below `crates` where a pure crate's code, up to its tests, names something impure.
pub fn check(crates: &Path) -> anyhow::Result<Vec<String>> {
    let mut violations = Vec::new();
    for (name, layer) in LAYERS {
        let dir = crates.join(name).join("src");
        if matches!(layer, Layer::Pure { .. }) && dir.is_dir() {
            for file in rust_files(&dir)? {
                let text = fs::read_to_string(&file).with_context(|| format!("can't read {}", file.display()))?;
                let shown = file.strip_prefix(crates).unwrap_or(&file).display().to_string();
                violations
                    .extend(impure_lines(&text).map(|(line, word)| format!("{shown}:{line}: {word} in a pure crate")));
            }
        }
    }
    Ok(violations)
}

/// Line numbers and words. What stands behind `//` is no code; what comes after `#[cfg(test)]` is tests, which stand
/// last in a file.
fn impure_lines(text: &str) -> impl Iterator<Item = (usize, &'static str)> {
    let code = text.lines().take_while(|line| line.trim() != "#[cfg(test)]").enumerate();
    code.flat_map(|(number, line)| {
        let line = line.split("//").next().unwrap_or_default();
        let words = IMPURE_WORDS.iter().filter(move |word| names(line, word));
        words.map(move |word| (number + 1, *word))
    })
}

/// Whether `line` contains `word` as a whole: `println!` doesn't stand in `eprintln!`.
fn names(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(part);
        let after = line[at + word.len()..].chars().next().is_some_and(part);
        !before && !after
    })
}

fn rust_files(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("can't list {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impure_words_are_found_in_code_only() {
        let text = "use std::fs;\n// std::env is not read\nlet x = std::time::Instant::now();\neprintln!(\"x\");\n\
                    use std::time::Instants;\n#[cfg(test)]\nmod tests { use std::fs; }\n";
        let found: Vec<_> = impure_lines(text).collect();
        assert_eq!(found, [(1, "std::fs"), (3, "std::time::Instant"), (4, "eprintln!")]);
    }

    #[test]
    fn this_workspace_obeys() {
        assert_eq!(check(&crate::root().join("crates")).unwrap(), Vec::<String>::new());
    }
}
