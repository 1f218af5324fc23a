//! Rules that have frames routed that would be bridged: what a transparent proxy on a bridge needed
//! before it could take them at the ports (`ebtables -t broute`, `meta broute set 1`).
//!
//! Those of ebtables before nftables have no way out of the kernel that other programs understand:
//! `ebtables-legacy` is asked, if their module is there.

use std::{io, path::Path, process::Command};

use super::{Chain, Family, Rule, Ruleset, Step, Tool};

/// The table of ebtables.
pub const TABLE: &str = "broute";
/// Its chain.
pub const CHAIN: &str = "BROUTING";

/// The chains of a ruleset that route frames, with those rules that do.
#[must_use]
pub fn of(ruleset: &Ruleset) -> Vec<(&Chain, Vec<&Rule>)> {
    let routing = |chain: &Chain| chain.table == TABLE && chain.name == CHAIN;
    let chains = ruleset
        .chains
        .iter()
        .filter(|it| it.family == Family::Bridge);
    let found = chains.map(|chain| {
        let rules = chain.rules.iter();
        let rules = rules.filter(|rule| routing(chain) || rule.steps.contains(&Step::Broute));
        (chain, rules.collect::<Vec<_>>())
    });
    found.filter(|(_, rules)| !rules.is_empty()).collect()
}

/// Those of ebtables before nftables. None where its table is not in use.
///
/// # Errors
///
/// Names the command if the table is in use and it cannot be run.
pub fn read_legacy() -> io::Result<Option<Chain>> {
    const COMMAND: &str = "ebtables-legacy";
    if !Path::new("/sys/module/ebtable_broute").exists() {
        return Ok(None);
    }
    let failed = |why: String| io::Error::other(format!("{COMMAND} -t {TABLE}: {why}"));
    let output = Command::new(COMMAND)
        .args(["-t", TABLE, "-L", CHAIN])
        .output();
    let output = output.map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        ));
    }
    Ok(Some(parse(&String::from_utf8_lossy(&output.stdout))))
}

/// From what `ebtables -L` prints: a head for the table, one for the chain, and a line a rule.
fn parse(text: &str) -> Chain {
    let lines = text.lines().map(str::trim);
    let rules = lines.filter(|line| !line.is_empty() && !line.starts_with("Bridge "));
    Chain {
        tool: Tool::Legacy,
        family: Family::Bridge,
        table: TABLE.to_owned(),
        name: CHAIN.to_owned(),
        base: None,
        rules: rules
            .map(|line| Rule {
                label: line.to_owned(),
                steps: vec![Step::Broute],
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{attribute::put, expression},
        *,
    };

    /// As the kernel has `meta broute set 1`, and another key of `meta` that is set.
    #[test]
    fn a_rule_of_nftables() {
        let steps = |key: u32| {
            let (mut data, mut expression, mut list) = (Vec::new(), Vec::new(), Vec::new());
            put(&mut data, 2, &key.to_be_bytes());
            put(&mut data, 3, &1u32.to_be_bytes());
            put(&mut expression, 1, b"meta\0");
            put(&mut expression, 2 | 0x8000, &data);
            put(&mut list, 1 | 0x8000, &expression);
            expression::steps(&list)
        };
        assert_eq!(steps(35), [Step::Broute]);
        assert_eq!(steps(2), []);
    }

    #[test]
    fn what_ebtables_lists() {
        let chain = parse(
            "Bridge table: broute\n\nBridge chain: BROUTING, entries: 2, policy: ACCEPT\n\
             -p IPv4 -i eth0 --ip-proto tcp --ip-dport 80 -j redirect --redirect-target DROP\n\
             -p IPv4 -i eth1 --ip-proto tcp --ip-sport 80 -j redirect --redirect-target DROP\n",
        );
        let labels: Vec<_> = chain.rules.iter().map(|rule| &rule.label[..]).collect();
        assert_eq!(labels.len(), 2, "{labels:?}");
        assert!(labels[1].starts_with("-p IPv4 -i eth1 "), "{labels:?}");
        let ruleset = Ruleset {
            chains: vec![chain],
            flowtables: Vec::new(),
        };
        assert_eq!(of(&ruleset).len(), 1);
        let empty =
            parse("Bridge table: broute\n\nBridge chain: BROUTING, entries: 0, policy: ACCEPT\n");
        assert_eq!(empty.rules, []);
    }
}
