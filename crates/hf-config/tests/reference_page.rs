//! docs/user/configuration.md is what the tables say.

use std::fs;
use std::path::Path;

#[test]
fn the_page_of_tags_and_attributes_is_up_to_date() {
    let text = hf_config::reference_page();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/user/configuration.md");
    if std::env::var_os("HOLDFAST_BLESS").is_some() {
        fs::write(&page, &text).expect("the page can be written");
    }
    let found = fs::read_to_string(&page).expect("the page is there");
    assert_eq!(found, text, "run the test with HOLDFAST_BLESS=1");
}
