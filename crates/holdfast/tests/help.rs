//! docs/user/commands.md is what `--help` says, docs/user/resources.md what the catalogue says, and what the program itself offers. `HOLDFAST_BLESS=1` writes them
//! anew.

#[path = "../src/elsewhere.rs"]
mod elsewhere;

use std::fs;
use std::path::Path;

use hf_types::catalogue::{Class, ENTRIES, Kind, Setter};

const HEAD: &str = "# Commands\n\nWritten by the program's own help (crates/hf-cli, `holdfast conflict` in crates/hf-rfs, `holdfast lab` in crates/hf-lab); change it there.\n`HOLDFAST_BLESS=1 cargo test -p holdfast --test help` writes it anew.\n";

fn pages(command: &mut clap::Command, path: &str, out: &mut String) {
    let help = command.clone().bin_name(path).term_width(100).render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    out.push_str(&format!("\n## {path}\n\n```text\n{}\n```\n", help.join("\n").trim_end()));
    for verb in command.get_subcommands_mut().filter(|verb| verb.get_name() != "help" && !verb.is_hide_set()) {
        let path = format!("{path} {}", verb.get_name());
        pages(verb, &path, out);
    }
}

fn exit_codes() -> String {
    let mut out = "\n## Exit codes\n\n| command | code | meaning |\n| --- | --- | --- |\n".to_owned();
    for (command, code, meaning) in hf_cli::EXIT_CODES {
        out.push_str(&format!("| {command} | {code} | {meaning} |\n"));
    }
    out
}

fn resources() -> String {
    let mut out = "# Resources\n\nWritten by the catalogue (crates/hf-types/src/catalogue.rs); change it there. `holdfast state -m AM -v` \
                   shows a module's resources, `--history` what they were. Values are `init` (not measured yet), `up`, `down`, \
                   `unknown` (who measured it is gone), `inactive`, or a text. \"Who sets it\": `set` means `holdfast set -r NAME -v \
                   VALUE`.\n"
        .to_owned();
    let mut group = None;
    for entry in ENTRIES {
        let now = Class::of_name(entry.name).map(Class::group);
        if now != group {
            group = now;
            let title = now.map_or("Others", |group| group.title());
            out.push_str(&format!("\n## {title}\n\n| name | meaning | who sets it |\n| --- | --- | --- |\n"));
        }
        let setter = match entry.setter {
            Setter::Holdfast => "Holdfast".to_owned(),
            Setter::Command(command) => format!("`{}`", command.replace('|', "\\|")),
            Setter::Anyone => "a checker, `set`".to_owned(),
        };
        let kept = if entry.kind == Kind::Measure { "; its history has one value a minute" } else { "" };
        out.push_str(&format!("| `{}` | {}{kept} | {setter} |\n", entry.name, entry.about));
    }
    out
}

fn compare(page: &str, text: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/user").join(page);
    if std::env::var_os("HOLDFAST_BLESS").is_some() {
        fs::write(&page, text).expect("the page can be written");
    }
    let found = fs::read_to_string(&page).expect("the page is there");
    assert_eq!(found, text, "run the test with HOLDFAST_BLESS=1");
}

#[test]
fn the_page_of_commands_is_up_to_date() {
    let mut text = HEAD.to_owned();
    text.push_str(&exit_codes());
    let mut command = hf_cli::command(&elsewhere::verbs());
    command.build();
    pages(&mut command, "holdfast", &mut text);
    compare("commands.md", &text);
}

#[test]
fn the_page_of_resources_is_up_to_date() {
    compare("resources.md", &resources());
}

fn holdfast(words: &[&str]) -> (Option<i32>, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_holdfast")).args(words).output().expect("the program");
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn verbs_that_are_served_elsewhere_are_offered_like_the_others() {
    let (code, said) = holdfast(&["conflct"]);
    assert!(code == Some(2) && said.contains("'conflict'"), "{said}");
    let (code, said) = holdfast(&["-o", "json", "lab", "status"]);
    assert!(code == Some(2) && said.contains("'lab' stands first and options after it"), "{said}");
    let (code, said) = holdfast(&["conflict", "--help"]);
    assert!(code == Some(0) && said.contains("Usage: holdfast conflict"), "{said}");
    let (_, script) = holdfast(&["completions", "bash"]);
    assert!(script.contains("conflict") && script.contains("lab"), "{script}");
}
