//! docs/user/commands.md is what `--help` says. `HOLDFAST_BLESS=1` writes it anew.

use std::fs;
use std::path::Path;

const HEAD: &str = "# Commands\n\nWritten by the program's own help (crates/hf-cli); change it there.\n";

fn pages(command: &mut clap::Command, path: &str, out: &mut String) {
    let help = command.clone().bin_name(path).term_width(100).render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    out.push_str(&format!("\n## {path}\n\n```text\n{}\n```\n", help.join("\n").trim_end()));
    for verb in command.get_subcommands_mut().filter(|verb| verb.get_name() != "help") {
        let path = format!("{path} {}", verb.get_name());
        pages(verb, &path, out);
    }
}

#[test]
fn the_page_of_commands_is_up_to_date() {
    let mut text = HEAD.to_owned();
    let mut command = hf_cli::command();
    command.build();
    pages(&mut command, "holdfast", &mut text);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/user/commands.md");
    if std::env::var_os("HOLDFAST_BLESS").is_some() {
        fs::write(&page, &text).expect("the page can be written");
    }
    let found = fs::read_to_string(&page).expect("the page is there");
    assert_eq!(found, text, "run the test with HOLDFAST_BLESS=1");
}
