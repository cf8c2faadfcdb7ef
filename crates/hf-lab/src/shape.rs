//! Bad links: `shape` and `unshape`. Rate by tbf (or netem, if there is a delay too), loss by the switch's rules, delay by netem.

use std::fs::File;

use crate::error::{LabError, Result};
use crate::process::run_tool;
use crate::state::{Lab, Lan, Shape};
use crate::switch::{apply_rules, namespace};

/// How bad.
#[derive(Debug, Clone, clap::Args)]
pub struct ShapeArgs {
    pub machine: String,
    pub lan: String,
    /// At most so much each way, as tc writes it.
    #[arg(long, value_name = "20mbit")]
    pub rate: Option<String>,
    /// So many of 100 frames are lost, each way.
    #[arg(long, value_name = "5%")]
    pub loss: Option<String>,
    /// So much later each way; needs a kernel with netem.
    #[arg(long, value_name = "5ms")]
    pub delay: Option<String>,
}

/// Makes the link as bad as asked, and no worse than before in what isn't named: it replaces an earlier `shape`.
pub fn shape(lab: &mut Lab, args: &ShapeArgs) -> Result<()> {
    lab.check_machine(&args.machine)?;
    lab.lan(&args.lan)?;
    if args.rate.is_none() && args.loss.is_none() && args.delay.is_none() {
        return Err(LabError::Usage("how bad? --rate, --loss or --delay".to_owned()));
    }
    let shape = Shape {
        machine: args.machine.clone(),
        lan: args.lan.clone(),
        rate: args.rate.as_deref().map(checked_rate).transpose()?,
        delay: args.delay.as_deref().map(checked_delay).transpose()?,
        loss_percent: args.loss.as_deref().map(parse_percent).transpose()?,
    };
    forget(lab, &args.machine, &args.lan)?;
    queue(lab, &shape)?;
    lab.shapes.push(shape);
    lab.save()?;
    apply_rules(&lab.name)
}

/// Makes the link good again.
pub fn unshape(lab: &mut Lab, machine: &str, lan: &str) -> Result<()> {
    lab.check_machine(machine)?;
    lab.lan(lan)?;
    forget(lab, machine, lan)?;
    lab.save()?;
    apply_rules(&lab.name)
}

/// Drops what was there before.
fn forget(lab: &mut Lab, machine: &str, lan: &str) -> Result<()> {
    let before = lab.shapes.len();
    lab.shapes.retain(|s| (s.machine.as_str(), s.lan.as_str()) != (machine, lan));
    if lab.shapes.len() == before {
        return Ok(());
    }
    for (net, device) in ends(lab, machine, lan)? {
        // There is none if only frames were lost.
        let _ = run_tool("tc", &["qdisc", "del", "dev", &device, "root"], "", Some(&net));
    }
    Ok(())
}

/// Both ends of a cable, each with the interface that sends into it. Empty while the machine is off.
fn ends(lab: &Lab, machine: &str, lan: &str) -> Result<Vec<(File, String)>> {
    let Some(init) = lab.machine(machine)?.alive() else {
        return Ok(Vec::new());
    };
    let found = lab.lans.iter().enumerate().find(|(_, l)| l.name == lan);
    let Some((card, lan)): Option<(usize, &Lan)> = found else {
        return Ok(Vec::new());
    };
    Ok(vec![(lan.namespace()?, machine.to_owned()), (namespace(&init, machine)?, format!("eth{card}"))])
}

/// A machine that boots gets its bad links again: its cables are new.
pub fn reapply(lab: &Lab, machine: &str) -> Result<()> {
    lab.shapes.iter().filter(|s| s.machine == machine).try_for_each(|s| queue(lab, s))
}

/// Puts the queues on both ends.
fn queue(lab: &Lab, shape: &Shape) -> Result<()> {
    let args: Vec<&str> = match (&shape.delay, &shape.rate) {
        (Some(delay), None) => vec!["netem", "delay", delay],
        (Some(delay), Some(rate)) => vec!["netem", "delay", delay, "rate", rate],
        (None, Some(rate)) => vec!["tbf", "rate", rate, "burst", "64kb", "latency", "100ms"],
        (None, None) => return Ok(()),
    };
    for (net, device) in ends(lab, &shape.machine, &shape.lan)? {
        let mut all = vec!["qdisc", "replace", "dev", &device, "root"];
        all.extend(&args);
        let done = run_tool("tc", &all, "", Some(&net));
        if let (Err(e), true) = (&done, shape.delay.is_some()) {
            return Err(LabError::Failed(format!("no delay: this kernel has no netem (CONFIG_NET_SCH_NETEM): {e}")));
        }
        done?;
    }
    Ok(())
}

/// `20mbit`: digits and a unit of bits, so that nothing else reaches tc.
fn checked_rate(text: &str) -> Result<String> {
    checked(text, &["kbit", "mbit", "gbit", "bit"], "a rate: 20mbit")
}

fn checked_delay(text: &str) -> Result<String> {
    checked(text, &["ms", "us", "s"], "a delay: 5ms")
}

fn checked(text: &str, units: &[&str], what: &str) -> Result<String> {
    let good = units.iter().any(|unit| text.strip_suffix(unit).is_some_and(|n| n.parse::<u32>().is_ok_and(|n| n > 0)));
    if good {
        return Ok(text.to_owned());
    }
    Err(LabError::Usage(format!("{text:?} is not {what}")))
}

fn parse_percent(text: &str) -> Result<f64> {
    let number = text.strip_suffix('%').unwrap_or(text).parse::<f64>();
    match number {
        Ok(n) if (0.0..=100.0).contains(&n) => Ok(n),
        _ => Err(LabError::Usage(format!("{text:?} is not a loss: 5%"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_with_their_units_pass() {
        assert_eq!(checked_rate("20mbit").unwrap(), "20mbit");
        assert_eq!(checked_delay("5ms").unwrap(), "5ms");
        assert_eq!(parse_percent("0.5%").unwrap(), 0.5);
        for wrong in ["", "mbit", "20", "0mbit", "20mbit loss", "-1mbit"] {
            assert_eq!(checked_rate(wrong).unwrap_err().exit_code(), 2, "{wrong}");
        }
        for wrong in ["", "%", "101%", "-1", "NaN"] {
            assert_eq!(parse_percent(wrong).unwrap_err().exit_code(), 2, "{wrong}");
        }
    }
}
