//! What an OCF resource agent says of itself with the action `meta-data` (Open Cluster Framework, resource agent API 1.1).

use crate::model::OcfAgent;
use hf_types::{OcfCall, nearest};
use roxmltree::{Document, Node};

/// Longer than any agent's description: pgsql's has 50 KiB.
const TEXT_MAX: usize = 1 << 20;
/// Where neither the module nor the agent says anything.
const TIMEOUT_MS: u64 = 60_000;
const INTERVAL_MS: u64 = 30_000;

/// An agent's description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OcfMetaData {
    pub parameters: Vec<OcfParameter>,
    /// What it can do: name, `timeout` and `interval` in milliseconds, in the order of the text.
    pub actions: Vec<(String, Option<u64>, Option<u64>)>,
}

/// One parameter of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OcfParameter {
    pub name: String,
    pub required: bool,
}

impl OcfMetaData {
    /// Reads what the agent printed; the error is a sentence.
    pub fn parse(text: &str) -> Result<OcfMetaData, String> {
        if text.len() > TEXT_MAX {
            return Err(format!("its description is longer than {TEXT_MAX} bytes"));
        }
        // Agents write a document type that points to a file which nobody has; it is not read.
        let options = roxmltree::ParsingOptions { allow_dtd: true, nodes_limit: 100_000, ..Default::default() };
        let document = Document::parse_with_options(text, options)
            .map_err(|error| format!("its description isn't XML: {error}"))?;
        let root = document.root_element();
        if !root.has_tag_name("resource-agent") {
            return Err("its description has no <resource-agent>".to_owned());
        }
        let named = |tag: &'static str| root.descendants().filter(move |node| node.has_tag_name(tag));
        let parameters = named("parameter").filter_map(parameter).collect();
        let action = |node: Node| {
            let name = node.attribute("name")?.to_owned();
            Some((name, node.attribute("timeout").and_then(ms), node.attribute("interval").and_then(ms)))
        };
        Ok(OcfMetaData { parameters, actions: named("action").filter_map(action).collect() })
    }

    /// What is wrong with a module's use of this agent: a sentence each.
    pub fn objections(&self, agent: &OcfAgent) -> Vec<String> {
        let names = || self.parameters.iter().map(|parameter| parameter.name.as_str());
        let mut found = Vec::new();
        for (name, _) in agent.parameters.iter().filter(|(name, _)| names().all(|known| known != name)) {
            let hint = match nearest(name, names()) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("it has {}", names().collect::<Vec<_>>().join(", ")),
            };
            found.push(format!("{} has no parameter {name}: {hint}", agent.name()));
        }
        let missing = |parameter: &&OcfParameter| {
            parameter.required && agent.parameters.iter().all(|(name, _)| *name != parameter.name)
        };
        for parameter in self.parameters.iter().filter(missing) {
            found.push(format!("{} needs the parameter {}", agent.name(), parameter.name));
        }
        for action in ["start", "stop", "monitor"].into_iter().filter(|action| self.times(action).is_none()) {
            found.push(format!("{} can't {action}: it isn't made for this", agent.name()));
        }
        found
    }

    /// How the module calls it: its own times, else the agent's.
    pub fn call(&self, agent: &OcfAgent) -> OcfCall {
        let timeout = |own: u64, action: &str| match own {
            0 => self.times(action).and_then(|(timeout, _)| timeout).unwrap_or(TIMEOUT_MS),
            own => own,
        };
        OcfCall {
            class: agent.class.as_str().to_owned(),
            ident: agent.ident.clone(),
            provider: agent.provider.clone(),
            kind: agent.kind.clone(),
            interval_ms: match agent.interval_ms {
                0 => self.times("monitor").and_then(|(_, interval)| interval).unwrap_or(INTERVAL_MS),
                own => own,
            },
            timeout_ms: timeout(agent.timeout_ms, "monitor"),
            start_timeout_ms: timeout(agent.start_timeout_ms, "start"),
            stop_timeout_ms: timeout(agent.stop_timeout_ms, "stop"),
            parameters: agent.parameters.clone(),
        }
    }

    /// Of several (one a role or depth) the first: that of a resource which isn't promoted.
    fn times(&self, action: &str) -> Option<(Option<u64>, Option<u64>)> {
        let found = self.actions.iter().find(|(name, ..)| name == action)?;
        Some((found.1, found.2.filter(|interval| *interval > 0)))
    }
}

fn parameter(node: Node) -> Option<OcfParameter> {
    let name = node.attribute("name")?.to_owned();
    Some(OcfParameter { name, required: matches!(node.attribute("required"), Some("1" | "true" | "yes")) })
}

/// `40s`, `40`, `500ms`, `2min`: as Pacemaker reads them.
fn ms(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = match text[digits..].trim() {
        "ms" | "msec" => 1,
        "" | "s" | "sec" => 1_000,
        "m" | "min" => 60_000,
        "h" | "hr" => 3_600_000,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::OcfClass;

    const DESCRIPTION: &str = r#"<?xml version="1.0"?>
<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd">
<resource-agent name="web" version="1.0"><version>1.0</version>
<parameters>
<parameter name="configfile" required="0" unique="1"><content type="string" default="/etc/web.conf"/></parameter>
<parameter name="port" required="1"><content type="integer"/></parameter>
</parameters>
<actions>
<action name="start" timeout="40s"/><action name="stop" timeout="1min"/>
<action name="monitor" timeout="30" depth="0" interval="10s"/><action name="monitor" timeout="45s" depth="20"/>
</actions></resource-agent>"#;

    fn agent(parameters: &[(&str, &str)]) -> OcfAgent {
        OcfAgent {
            ident: "web".into(),
            provider: "heartbeat".into(),
            kind: "web".into(),
            class: OcfClass::Prim,
            interval_ms: 0,
            timeout_ms: 0,
            start_timeout_ms: 0,
            stop_timeout_ms: 5_000,
            action: None,
            parameters: parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        }
    }

    #[test]
    fn times_are_the_modules_own_else_the_agents() {
        let call = OcfMetaData::parse(DESCRIPTION).unwrap().call(&agent(&[("port", "80")]));
        assert_eq!((call.start_timeout_ms, call.stop_timeout_ms), (40_000, 5_000));
        assert_eq!((call.timeout_ms, call.interval_ms), (30_000, 10_000));
    }

    #[test]
    fn parameters_are_compared_with_the_agents() {
        let known = OcfMetaData::parse(DESCRIPTION).unwrap();
        assert_eq!(known.objections(&agent(&[("port", "80"), ("configfile", "/x")])), [""; 0]);
        let wrong = known.objections(&agent(&[("configfil", "/x"), ("colour", "red")]));
        assert_eq!(
            wrong,
            [
                "heartbeat:web has no parameter configfil: did you mean configfile?",
                "heartbeat:web has no parameter colour: it has configfile, port",
                "heartbeat:web needs the parameter port",
            ]
        );
        let bare = OcfMetaData::parse("<resource-agent><actions><action name='start'/></actions></resource-agent>");
        assert_eq!(bare.unwrap().objections(&agent(&[])).len(), 2, "no stop, no monitor");
    }

    #[test]
    fn what_is_no_description_is_refused() {
        for text in ["", "usage: web start|stop", "<other/>"] {
            assert!(OcfMetaData::parse(text).is_err(), "{text}");
        }
    }
}
