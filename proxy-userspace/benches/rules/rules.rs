//! The rules that are measured.

use std::{collections::HashSet, fmt::Write as _};

use crate::words::Random;

/// Rules as a file, and one example of what each holds for.
pub(crate) struct RuleSet {
    pub(crate) toml: String,
    pub(crate) examples: Vec<Example>,
    pub(crate) description: &'static str,
}

/// A request that the rule of this name, and no other, holds for.
pub(crate) struct Example {
    pub(crate) rule: String,
    pub(crate) what: What,
}

/// What a rule looks at, with a value for which it holds.
pub(crate) enum What {
    Host(String),
    Domain(String),
    Client(String),
    Destination(String),
    HostRegex(String),
    PathRegex(String),
}

/// One rule: its condition as TOML, and the example.
type Made = (String, What);

impl RuleSet {
    /// What the goals are about.
    pub(crate) fn usual() -> Self {
        let description = "\
            6,000 hosts, 2,000 domains, 1,000 prefixes (half clients, half destinations),\n\
            1,000 regexes (half on hosts, half on paths), in random order, one condition each.\n\
            Of the regexes, 9 of 10 have a string in them that must be there, 2 to 30 characters\n\
            long, like ^ads017[0-9]*\\.  (^|\\.)track(er|ing)-bola[0-9]+\\.  \\.(exe|scr)017$\n\
            (?i)/makoti_popup(under)?\\.js$; 1 of 10 has none, like ^[0-9a-f]{17}\\.";
        let mut random = Random::new(1);
        let mut made = names_and_prefixes(&mut random);
        for number in 0..500 {
            made.push(host_regex(number, number % 10 == 9, &mut random));
            made.push(path_regex(number, number % 10 == 9, &mut random));
        }
        Self::of(made, description, &mut random)
    }

    /// The same, but for regexes of the kind that nothing can be done about beforehand.
    pub(crate) fn without_strings() -> Self {
        let description = "\
            For comparison, no goal: the same with 1,000 regexes without any string to look for.";
        let mut random = Random::new(2);
        let mut made = names_and_prefixes(&mut random);
        for number in 0..500 {
            made.push(host_regex(number, true, &mut random));
            made.push(path_regex(number, true, &mut random));
        }
        Self::of(made, description, &mut random)
    }

    fn of(mut made: Vec<Made>, description: &'static str, random: &mut Random) -> Self {
        random.shuffle(&mut made);
        let (mut toml, mut examples) = (String::new(), Vec::new());
        for (number, (condition, what)) in (1..).zip(made) {
            let rule = format!("rule-{number}");
            let _infallible = write!(toml, "[[rule]]\n{condition}\naction = \"deny\"\n");
            examples.push(Example { rule, what });
        }
        Self {
            toml,
            examples,
            description,
        }
    }
}

fn names_and_prefixes(random: &mut Random) -> Vec<Made> {
    let mut made: Vec<Made> = Vec::new();
    let mut taken = HashSet::new();
    while made.len() < 8000 {
        let name = format!(
            "{}{}.{}",
            random.word(),
            random.below(100),
            random.pick(&["com", "net", "org"])
        );
        if !taken.insert(name.clone()) {
            continue;
        }
        made.push(if made.len() < 6000 {
            let host = format!("www.{name}");
            (format!("host = \"{host}\""), What::Host(host))
        } else {
            (format!("host = \".{name}\""), What::Domain(name))
        });
    }
    for number in 0..500 {
        // Apart from each other, so that each has its own request.
        let client = format!("10.{}.{}.0/24", number / 250, number % 250);
        made.push((format!("client = \"{client}\""), What::Client(client)));
        let destination = format!("2001:db8:{number:x}::/48");
        made.push((
            format!("destination = \"{destination}\""),
            What::Destination(destination),
        ));
    }
    made
}

fn host_regex(number: usize, without_string: bool, random: &mut Random) -> Made {
    let word = random.word();
    let (regex, example) = if without_string {
        // Digits in one of 50 numbers, and a letter at one of 10 places behind them.
        let (digits, letters) = (4 + number % 50, number / 50);
        let hex = "0123456789abcdef".repeat(4);
        (
            format!("^[0-9a-f]{{{digits}}}-[g-z]{{{letters}}}[0-9]\\\\."),
            format!("{}-{}7.x", &hex[..digits], &"ghijklmnop"[..letters]),
        )
    } else {
        match number % 4 {
            0 => (
                format!("^ads{number:03}[0-9]*\\\\."),
                format!("ads{number:03}.x"),
            ),
            1 => (
                format!("(^|\\\\.)track(er|ing)-{word}{number}[a-f]+\\\\."),
                format!("a.tracking-{word}{number}b.x"),
            ),
            2 => (
                format!("{word}-(cdn|img|static)[0-9]{{1,3}}\\\\.n{number}$"),
                format!("{word}-img7.n{number}"),
            ),
            _ => (
                format!("^[a-z0-9-]+\\\\.{word}{number}\\\\.(co|example)$"),
                format!("any.{word}{number}.co"),
            ),
        }
    };
    (format!("host = \"~{regex}\""), What::HostRegex(example))
}

fn path_regex(number: usize, without_string: bool, random: &mut Random) -> Made {
    let word = random.word();
    let (regex, example) = if without_string {
        let (digits, letters) = (4 + number % 50, number / 50);
        let hex = "0123456789ABCDEF".repeat(4);
        (
            format!("/[0-9A-F]{{{digits}}}_[g-z]{{{letters}}}[0-9]$"),
            format!("/x/{}_{}7", &hex[..digits], &"ghijklmnop"[..letters]),
        )
    } else {
        match number % 4 {
            0 => (
                format!("\\\\.(exe|scr){number:03}$"),
                format!("/a/b.scr{number:03}"),
            ),
            1 => (
                format!("^/banner/[0-9]+/{word}{number}_"),
                format!("/banner/17/{word}{number}_"),
            ),
            2 => (
                format!("/{word}{number}/[^/]+/(click|view)$"),
                format!("/x/{word}{number}/abc/view"),
            ),
            _ => (
                format!("(?i)/{word}{number}_popup(under)?\\\\.js$"),
                format!("/js/{word}{number}_PopUp.js"),
            ),
        }
    };
    (format!("path = \"~{regex}\""), What::PathRegex(example))
}
