//! A rule in front of a chain of somebody else's that accepts what has a bit of ours, put there and
//! taken away with the program that the chain is edited with.

use std::{
    fmt, io,
    process::{Command, Stdio},
};

use serde::{Deserialize, Serialize};

use super::{Chain, Family, Field, Step, Test, Tool, Values, Verdict, read};

/// The rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    tool: Tool,
    family: Family,
    table: String,
    chain: String,
    bit: u32,
}

impl Chain {
    /// The rule that accepts what has this bit. `None` for names that would have to be quoted.
    #[must_use]
    pub fn exception(&self, bit: u32) -> Option<Exception> {
        let plain = |name: &str| {
            let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
            !name.is_empty() && !name.starts_with('-') && name.chars().all(fine)
        };
        (plain(&self.table) && plain(&self.name)).then(|| Exception {
            tool: self.tool,
            family: self.family,
            table: self.table.clone(),
            chain: self.name.clone(),
            bit,
        })
    }
}

/// The command that puts it there.
impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.as_chain().accepting(self.bit))
    }
}

impl Exception {
    /// Puts it there.
    ///
    /// # Errors
    ///
    /// If the program is missing, or refuses.
    pub fn insert(&self) -> io::Result<()> {
        run(&self.to_string())
    }

    /// The command that takes it away. `None` if it is gone already.
    ///
    /// # Errors
    ///
    /// If the rules cannot be read.
    pub fn removal(&self) -> io::Result<Option<String>> {
        let Self { table, chain, .. } = self;
        match self.tool {
            Tool::Nft => {
                let family = self.family.as_str();
                let label = self.find()?;
                Ok(label.map(|label| format!("nft delete rule {family} {table} {chain} {label}")))
            }
            _ => {
                let rule = |verb: &str| self.to_string().replacen(" -I ", verb, 1);
                Ok(run(&rule(" -C ")).is_ok().then(|| rule(" -D ")))
            }
        }
    }

    /// Takes it away. What is gone is fine.
    ///
    /// # Errors
    ///
    /// If the program is missing, or refuses.
    pub fn remove(&self) -> io::Result<()> {
        self.removal()?.map_or(Ok(()), |command| run(&command))
    }

    /// The handle of the first rule of the chain that does just this.
    fn find(&self) -> io::Result<Option<String>> {
        let ours = [
            Step::Test(Test {
                field: Field::Mark,
                mask: self.bit,
                values: Values::Numbers(vec![(self.bit, self.bit)]),
                not: false,
            }),
            Step::Verdict(Verdict::Accept),
        ];
        let ruleset = read()?;
        let of = ruleset.chains.iter().find(|it| {
            (it.tool, it.family) == (self.tool, self.family)
                && (&it.table, &it.name) == (&self.table, &self.chain)
        });
        let mut rules = of.into_iter().flat_map(|chain| &chain.rules);
        Ok(rules
            .find(|rule| rule.steps == ours)
            .map(|rule| rule.label.clone()))
    }

    fn as_chain(&self) -> Chain {
        Chain {
            tool: self.tool,
            family: self.family,
            table: self.table.clone(),
            name: self.chain.clone(),
            base: None,
            rules: Vec::new(),
        }
    }
}

/// Runs a command of plain words.
fn run(command: &str) -> io::Result<()> {
    let mut words = command.split_whitespace();
    let program = words.next().unwrap_or_default();
    let failed = |why: String| io::Error::other(format!("{command}: {why}"));
    let output = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(format!("{program}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let first = errors.lines().next().unwrap_or_default();
    Err(failed(format!("{}: {}", output.status, first.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(tool: Tool, family: Family, table: &str, name: &str) -> Chain {
        Chain {
            tool,
            family,
            table: table.to_owned(),
            name: name.to_owned(),
            base: None,
            rules: Vec::new(),
        }
    }

    #[test]
    fn as_it_is_written() {
        let of = |tool, family| {
            let exception = chain(tool, family, "filter", "INPUT").exception(0x1000_0000);
            exception.unwrap().to_string()
        };
        assert_eq!(
            of(Tool::Nft, Family::Inet),
            "nft insert rule inet filter INPUT meta mark and 0x10000000 == 0x10000000 accept"
        );
        assert_eq!(
            of(Tool::Iptables, Family::Ip),
            "iptables -t filter -I INPUT -m mark --mark 0x10000000/0x10000000 -j ACCEPT"
        );
        assert_eq!(
            of(Tool::Legacy, Family::Ip6),
            "ip6tables-legacy -t filter -I INPUT -m mark --mark 0x10000000/0x10000000 -j ACCEPT"
        );
    }

    #[test]
    fn names_are_no_commands() {
        for name in ["", "a b", "a;flush", "-t", "ü", "a\"b"] {
            let chain = chain(Tool::Nft, Family::Inet, "t", name);
            assert_eq!(chain.exception(1), None, "{name}");
        }
    }
}
