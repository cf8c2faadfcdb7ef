use hf_types::{Action, ModuleState};

/// A script's arguments (reference 004, 14.3): `[force] current next action`.
pub fn arguments(force: bool, current: ModuleState, next: ModuleState, action: Action) -> Vec<String> {
    let words = force.then_some("force").into_iter();
    let words = words.chain([current.as_str(), next.as_str(), action.as_str()]);
    words.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn force_comes_first() {
        let state = (ModuleState::Prim, ModuleState::Stop);
        assert_eq!(arguments(true, state.0, state.1, Action::Stop), ["force", "PRIM", "STOP", "stop"]);
        assert_eq!(arguments(false, state.0, state.1, Action::Stop), ["PRIM", "STOP", "stop"]);
    }
}
