//! Rules of iptables before nftables, from the words of `iptables-legacy-save`.
//!
//! The kernel gives those rules as structs of every match and target there is, and only the
//! binary that put them there knows them all.

use std::{fs, io, process::Command};

use super::{
    Base, Chain, Family, Field, Hook, NewMark, Rule, Ruleset, Step, Taking, Test, Tool, Values,
    Verdict, xtables,
};

/// A family's names: the file that tells of tables, and the command that tells what they have.
const SOURCES: [(Family, &str, &str); 2] = [
    (
        Family::Ip,
        "/proc/net/ip_tables_names",
        "iptables-legacy-save",
    ),
    (
        Family::Ip6,
        "/proc/net/ip6_tables_names",
        "ip6tables-legacy-save",
    ),
];

/// Reads the rules of the calling thread's network namespace. None where no table is in use.
///
/// # Errors
///
/// Names the command if tables are in use and it cannot be run.
pub fn read() -> io::Result<Ruleset> {
    let mut ruleset = Ruleset::default();
    for (family, names, command) in SOURCES {
        let tables = match fs::read_to_string(names) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            other => other?,
        };
        // Asking about a table makes it: only those that are there are asked about.
        for table in tables.lines() {
            let failed = |why: String| {
                io::Error::other(format!(
                    "table {table} of {command} is in use, and cannot be read: {why}"
                ))
            };
            let output = Command::new(command).args(["-t", table]).output();
            let output = output.map_err(|error| failed(format!("{command}: {error}")))?;
            if !output.status.success() {
                return Err(failed(
                    String::from_utf8_lossy(&output.stderr).trim().to_owned(),
                ));
            }
            let text = String::from_utf8_lossy(&output.stdout);
            ruleset.chains.extend(parse(&text, family));
        }
    }
    Ok(ruleset)
}

/// The chains in what `iptables-save` printed.
#[must_use]
pub fn parse(text: &str, family: Family) -> Vec<Chain> {
    let mut chains: Vec<Chain> = Vec::new();
    let mut table = "";
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('*') {
            table = name;
        } else if let Some(chain) = line.strip_prefix(':') {
            let mut words = chain.split_whitespace();
            let (Some(name), Some(policy)) = (words.next(), words.next()) else {
                continue;
            };
            chains.push(Chain {
                tool: Tool::Legacy,
                family,
                table: table.to_owned(),
                name: name.to_owned(),
                base: base(table, name, policy == "DROP"),
                rules: Vec::new(),
            });
        } else if let Some(rule) = line.strip_prefix("-A ") {
            let words = words(rule);
            let of = chains.iter_mut().find(|chain| {
                chain.table == table && words.first().is_some_and(|name| *name == chain.name)
            });
            if let Some(chain) = of {
                chain.rules.push(Rule {
                    label: line.to_owned(),
                    steps: Reader::read(&words[1..]),
                });
            }
        }
    }
    chains
}

fn base(table: &str, chain: &str, drops: bool) -> Option<Base> {
    let hook = match chain {
        "PREROUTING" => Hook::Prerouting,
        "INPUT" => Hook::Input,
        "FORWARD" => Hook::Forward,
        "OUTPUT" => Hook::Output,
        "POSTROUTING" => Hook::Postrouting,
        _ => return None,
    };
    let priority = match (table, hook) {
        ("raw", _) => -300,
        ("mangle", _) => -150,
        ("nat", Hook::Prerouting | Hook::Output) => -100,
        ("nat", _) => 100,
        ("security", _) => 50,
        _ => 0,
    };
    Some(Base {
        hook,
        priority,
        drops,
        translates: table == "nat",
        offloaded: false,
        devices: Vec::new(),
    })
}

/// Words, those in double quotes as one.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quoted, mut begun) = (String::new(), false, false);
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => (quoted, begun) = (!quoted, true),
            '\\' if quoted => word.extend(characters.next()),
            ' ' if !quoted => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            other => {
                word.push(other);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

struct Reader<'a> {
    words: std::slice::Iter<'a, String>,
    steps: Vec<Step>,
}

impl<'a> Reader<'a> {
    fn read(words: &'a [String]) -> Vec<Step> {
        let mut reader = Self {
            words: words.iter(),
            steps: Vec::new(),
        };
        let mut not = false;
        while let Some(word) = reader.words.next() {
            if word == "!" {
                not = true;
                continue;
            }
            if matches!(&word[..], "-j" | "-g") {
                reader.target(word == "-g");
                break;
            }
            reader.test(word, not);
            not = false;
        }
        reader.steps
    }

    fn value(&mut self) -> &'a str {
        self.words.next().map_or("", String::as_str)
    }

    fn test(&mut self, word: &str, not: bool) {
        let test = match word {
            "-i" => Some(interface(Field::InName, self.value(), not)),
            "-o" => Some(interface(Field::OutName, self.value(), not)),
            "-p" => protocol(self.value(), not),
            "--sport" | "--sports" => ports(Field::SourcePort, self.value(), not),
            "--dport" | "--dports" => ports(Field::DestinationPort, self.value(), not),
            "--state" | "--ctstate" => state(self.value(), not),
            "--mark" => mark(self.value(), not),
            // What it says has no effect.
            "--comment" => {
                self.value();
                return;
            }
            "-m" => match self.value() {
                "tcp" | "udp" | "multiport" | "state" | "conntrack" | "mark" | "comment" => return,
                _ => None,
            },
            // The values of matches that are not understood: they have been noticed by `-m`.
            _ if !word.starts_with('-') => return,
            _ => None,
        };
        self.steps
            .push(Step::Test(test.unwrap_or_else(Test::unknown)));
    }

    fn target(&mut self, goto: bool) {
        let target = self.value();
        let options: Vec<_> = self.words.by_ref().map(String::as_str).collect();
        let option = |name: &str| {
            let at = options.iter().position(|it| *it == name)?;
            options.get(at + 1).copied()
        };
        let step = match target {
            "ACCEPT" => Step::Verdict(Verdict::Accept),
            "DROP" => Step::Verdict(Verdict::Drop),
            "REJECT" => Step::Verdict(Verdict::Reject),
            "RETURN" => Step::Verdict(Verdict::Return),
            "NFQUEUE" | "SYNPROXY" => Step::Verdict(Verdict::Queue),
            "TPROXY" => Step::Take(Taking::Tproxy),
            "REDIRECT" => Step::Take(Taking::Redirect),
            "DNAT" => Step::Take(Taking::Dnat),
            "MARK" => {
                let (value, mask) = option("--set-xmark").and_then(masked).unwrap_or((0, 0));
                Step::Mark(NewMark {
                    keep: !mask,
                    value,
                    unknown: 0,
                })
            }
            "CONNMARK" if options.contains(&"--restore-mark") => {
                let mask = |name| option(name).and_then(number).unwrap_or(u32::MAX);
                Step::Mark(NewMark {
                    keep: !mask("--nfmask"),
                    value: 0,
                    unknown: mask("--ctmask"),
                })
            }
            "CONNMARK" | "LOG" | "NFLOG" | "TCPMSS" | "MASQUERADE" | "SNAT" | "CT" | "NOTRACK"
            | "DSCP" | "TOS" | "TTL" | "HL" | "SET" | "TRACE" | "CLASSIFY" | "CHECKSUM" | "TEE" => {
                return;
            }
            // A chain of the operator's.
            chain if goto => Step::Verdict(Verdict::Goto(chain.to_owned())),
            chain => Step::Verdict(Verdict::Jump(chain.to_owned())),
        };
        self.steps.push(step);
    }
}

fn interface(field: Field, name: &str, not: bool) -> Test {
    let name = match name.strip_suffix('+') {
        Some(beginning) => (beginning.to_owned(), true),
        None => (name.to_owned(), false),
    };
    Test {
        field,
        mask: u32::MAX,
        values: Values::Names(vec![name]),
        not,
    }
}

fn protocol(name: &str, not: bool) -> Option<Test> {
    let number = match name {
        "tcp" => 6,
        "udp" => 17,
        "icmp" => 1,
        "ipv6-icmp" | "icmpv6" => 58,
        other => other.parse().ok()?,
    };
    Some(numbers(
        Field::Protocol,
        u32::MAX,
        vec![(number, number)],
        not,
    ))
}

fn ports(field: Field, list: &str, not: bool) -> Option<Test> {
    let ranges = list.split(',').map(|range| {
        let (from, to) = range.split_once(':').unwrap_or((range, range));
        Some((from.parse().ok()?, to.parse().ok()?))
    });
    Some(numbers(
        field,
        u32::MAX,
        ranges.collect::<Option<_>>()?,
        not,
    ))
}

fn state(list: &str, not: bool) -> Option<Test> {
    let mut bits = 0;
    for state in list.split(',') {
        bits |= match state {
            "INVALID" => 1,
            "ESTABLISHED" => 2,
            "RELATED" => 4,
            "NEW" => 8,
            "UNTRACKED" => 1 << 8,
            _ => return None,
        };
    }
    Some(xtables::state(bits, not))
}

fn mark(value: &str, not: bool) -> Option<Test> {
    let (value, mask) = masked(value)?;
    Some(numbers(Field::Mark, mask, vec![(value, value)], not))
}

fn numbers(field: Field, mask: u32, ranges: Vec<(u32, u32)>, not: bool) -> Test {
    Test {
        field,
        mask,
        values: Values::Numbers(ranges),
        not,
    }
}

fn masked(text: &str) -> Option<(u32, u32)> {
    match text.split_once('/') {
        Some((value, mask)) => Some((number(value)?, number(mask)?)),
        None => Some((number(text)?, u32::MAX)),
    }
}

fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}
