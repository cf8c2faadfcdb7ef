//! docs/user/configuration.md, written from the tables.

use std::fmt::Write as _;

use super::{Attribute, Spec, Standing, check, cluster, farm, of_modules};

const HEAD: &str = "\
# Tags and attributes of cluster.xml and userconfig.xml

Written from the tables of crates/hf-config (`HOLDFAST_BLESS=1 cargo test -p hf-config`). A page for each tag, with an example and what each attribute is for: [tags](tags/README.md).

A time is a number with a unit (`700ms`, `30s`, `5m`, `24h`) or a bare number in the unit that the table names. What stands in no table is refused, with the nearest known name.
In the last column: **served**: it works. **Not yet**: accepted with a line that says so; meanwhile it is as the column says.
**Nothing to do**: accepted with a line; there is nothing here that it could change. **Windows**: accepted with a line, without effect. *Running*: `config` changes it while the module is ALONE or WAIT, too; everything else needs `stop` first (`config --dry-run` says which).
";

pub(super) fn standing(standing: Standing) -> String {
    match standing {
        Standing::Served => "served".to_owned(),
        Standing::Later(meanwhile) => format!("not yet: {meanwhile}"),
        Standing::Moot(why) => format!("nothing to do: {why}"),
        Standing::OnlyDefault(what) => format!("only the default; refused: {what}"),
        Standing::Never(instead) => format!("only the default: {instead}"),
        Standing::Windows => "Windows".to_owned(),
    }
}

fn row(attribute: &Attribute) -> String {
    let running = if attribute.dynamic { "; *running*" } else { "" };
    let (form, absence) = (attribute.form.described(), attribute.form.absence());
    format!("| `{}` | {form} | {absence} | {}{running} |\n", attribute.name, standing(attribute.standing))
}

fn section(spec: &Spec) -> String {
    let mut text = match check::home_of(spec) {
        Some(home) => format!("\n### `<{}>` in `<{home}>`\n", spec.tag),
        None => format!("\n### `<{}>`\n", spec.tag),
    };
    if !spec.children.is_empty() {
        let inside: Vec<String> = spec
            .children
            .iter()
            .map(|(tag, state)| match state {
                Standing::Served => format!("`<{tag}>`"),
                other => format!("`<{tag}>` ({})", standing(*other)),
            })
            .collect();
        // Writing to a String can't fail.
        let _ = writeln!(text, "\nInside: {}.", inside.join(", "));
    }
    if !spec.attributes.is_empty() {
        text.push_str("\n| attribute | value | default | |\n| --- | --- | --- | --- |\n");
        text.extend(spec.attributes.iter().map(row));
    }
    if farm::comes_later(spec) {
        text = text.replace("| served |", "| not applied yet |");
        let _ = writeln!(text, "\n{}", farm::LATER);
    }
    text
}

/// The page of all tags and attributes, with form, default and standing (Markdown).
pub fn reference_page() -> String {
    let cluster = cluster::TAGS.into_iter().map(section).collect::<String>();
    let module = of_modules().map(section).collect::<String>();
    format!("{HEAD}\n## cluster.xml\n{cluster}\n## userconfig.xml\n{module}")
}
