//! The ports of modules, which follow from their ids (reference 004, 10.3.3.2).

/// UDP port of the nodes among each other, unless cluster.xml says otherwise.
pub const MEMBERSHIP: u16 = 4800;
/// TCP port of the web console and of commands from other nodes, unless configured otherwise.
pub const CONSOLE: u16 = 9010;
/// The last id whose ports are all below 65536.
pub const ID_MAX: u32 = 14_984;

/// UDP port of a module's heartbeats: 8888 + (id - 1).
pub fn heart(id: u32) -> u16 {
    port(8888, id, 1)
}

/// TCP port of a module's replication: 5600 + (id - 1) * 4.
pub fn rfs(id: u32) -> u16 {
    port(5600, id, 4)
}

/// UDP port of a farm module's nodes among each other: 4803 + (id - 1) * 3.
pub fn farm(id: u32) -> u16 {
    port(4803, id, 3)
}

fn port(first: u32, id: u32, step: u32) -> u16 {
    let port = first.saturating_add(id.saturating_sub(1).saturating_mul(step));
    u16::try_from(port).unwrap_or(u16::MAX) // ids are small: they are counted from 1, and checked against ID_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_s_examples() {
        assert_eq!((heart(1), rfs(1), farm(2)), (8888, 5600, 4806));
        assert_eq!((heart(3), rfs(3), farm(1)), (8890, 5608, 4803));
        assert_eq!(rfs(ID_MAX), 65532);
        assert_eq!(rfs(ID_MAX + 1), u16::MAX, "beyond the last id that has ports");
    }
}
