use hf_config::Boot;

/// Whether a module starts with the machine (reference 004, 9.2, 13.2.3). `told`: `boot -m AM on` was said last; `ran`: it was started
/// before the machine went down, and no administrator stopped it.
pub fn starts_at_boot(attribute: Boot, told: bool, ran: bool) -> bool {
    match attribute {
        Boot::On => true,
        Boot::Off => false,
        Boot::Auto => ran,
        // The attribute goes before the command, unless it is absent.
        Boot::Ignore => told,
    }
}

/// The word for it in `boot status` and the resource `usersetting.boot`.
pub fn boot_word(attribute: Boot, told: bool) -> &'static str {
    match attribute {
        Boot::On => "on",
        Boot::Off => "off",
        Boot::Auto => "auto",
        Boot::Ignore if told => "on",
        Boot::Ignore => "off",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_attribute_goes_before_the_command() {
        for told in [false, true] {
            for ran in [false, true] {
                assert!(starts_at_boot(Boot::On, told, ran));
                assert!(!starts_at_boot(Boot::Off, told, ran));
                assert_eq!(starts_at_boot(Boot::Auto, told, ran), ran);
                assert_eq!(starts_at_boot(Boot::Ignore, told, ran), told);
            }
            assert_eq!(boot_word(Boot::Ignore, told) == "on", told);
            assert_eq!(boot_word(Boot::Auto, told), "auto");
        }
    }
}
