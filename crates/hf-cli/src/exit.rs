/// Of `state -lq` when there is no state to tell: a code that no state has.
pub(crate) const CANT_SAY: u8 = 255;

/// Exit codes: command, code, meaning. The page of commands prints this table, the tests hold the program to it.
pub const EXIT_CODES: &[(&str, &str, &str)] = &[
    ("every command", "0", "done, or what was asked is shown"),
    ("every command", "1", "refused or failed; one line on standard error says why, a second one what to do next"),
    ("every command", "2", "wrongly called, or known from the reference and not served by this version"),
    ("`state -lq`", "0", "STOP"),
    ("`state -lq`", "1", "WAIT"),
    ("`state -lq`", "2", "ALONE, or UP"),
    ("`state -lq`", "3", "PRIM"),
    ("`state -lq`", "4", "SECOND"),
    ("`state -lq`", "255", "this node can't say: no daemon, no such module here, wrongly called"),
    ("`checkloop`, `incloop`", "1", "the limit of maxloop is reached"),
    ("`lab exec`", "its own", "what the command ended with; 128 + N if signal N ended it, so 137 if the power was cut"),
    ("`rfsverify`", "3", "the verification ended, and the copies differ"),
];
