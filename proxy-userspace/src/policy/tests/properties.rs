//! The index and the machines say what the naive evaluation says.

use proptest::{collection::vec, prelude::*, sample::select};

use super::{naive, *};
use crate::config::{Conditions, Day, Days, HostPattern, PathPattern, Period};

const PREFIXES: [&str; 7] = [
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.2.3/32",
    "0.0.0.0/0",
    "2001:db8::/32",
    "2001:db8::1/128",
    "192.0.2.0/24",
];
const ADDRESSES: [&str; 7] = [
    "10.1.2.3",
    "10.1.2.4",
    "10.9.9.9",
    "192.0.2.7",
    "2001:db8::1",
    "2001:db8::2",
    "::ffff:10.1.2.3",
];
const HOSTS: [&str; 16] = [
    "a.example",
    "b.a.example",
    "example",
    ".example",
    ".a.example",
    ".b.a.example",
    ".com",
    "192.0.2.1",
    "[2001:db8::1]",
    "~^a",
    "~b\\.",
    "~^[ab]+\\.example$",
    "~x*",
    "~(b|c)\\.a",
    "~^[0-9.]+$",
    "~EXAMPLE",
];
const NAMED: [&str; 13] = [
    "a.example",
    "A.EXAMPLE.",
    "a.example:8080",
    "b.a.example",
    "c.b.a.example",
    "example",
    "xexample",
    "example.com",
    "192.0.2.1",
    "[2001:DB8::1]:80",
    "",
    "%61.example",
    "c.a.example",
];
const PATHS: [&str; 12] = [
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/ab",
    "/.",
    "~\\.exe$",
    "~^/a/[0-9]+$",
    "~(?i)admin",
    "~.",
    "~^/[a-z]$",
    "~a.*b",
];
const TARGETS: [&str; 16] = [
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/abc",
    "/b",
    "/a/17",
    "/a/17?x",
    "/x/../a/b",
    "/%61dMin",
    "//a//b",
    "/x.exe",
    "*",
    "a.example:443",
    "http://h.example/a/b?c",
    "/.hidden",
];
const METHODS: [&str; 3] = ["GET", "POST", "PURGE"];
const PERIODS: [&str; 3] = ["08:00-12:00", "22:00-06:00", "11:00-24:00"];

fn some<T: Clone + std::fmt::Debug + 'static>(
    of: &'static [T],
    rarely: f64,
) -> impl Strategy<Value = Vec<T>> {
    let any = prop_oneof![4 => 1_usize..3, 1 => 3..6_usize];
    let list = any.prop_flat_map(move |len| vec(select(of), len));
    prop::option::weighted(rarely, list).prop_map(Option::unwrap_or_default)
}

fn rule() -> impl Strategy<Value = config::Rule> {
    (
        some(&PREFIXES, 0.4),
        some(&PREFIXES, 0.3),
        some(&[80_u16, 8080], 0.1),
        some(&HOSTS, 0.5),
        some(&METHODS, 0.1),
        some(&PATHS, 0.4),
        some(&PERIODS, 0.1),
        some(&Day::ALL, 0.1),
    )
        .prop_map(
            |(clients, destinations, ports, hosts, methods, paths, periods, days)| {
                let prefixes =
                    |texts: Vec<&str>| texts.iter().map(|t| t.parse().unwrap()).collect();
                rule_of(Conditions {
                    clients: prefixes(clients),
                    destinations: prefixes(destinations),
                    ports,
                    hosts: hosts
                        .iter()
                        .map(|text| HostPattern::parse(text).unwrap())
                        .collect(),
                    methods: methods.into_iter().map(str::to_owned).collect(),
                    paths: paths
                        .iter()
                        .map(|text| PathPattern::parse(text).unwrap())
                        .collect(),
                    periods: periods
                        .iter()
                        .map(|text| Period::parse(text).unwrap())
                        .collect(),
                    days: days.into_iter().collect::<Days>(),
                })
            },
        )
}

fn rule_of(conditions: Conditions) -> config::Rule {
    config::Rule {
        name: String::new(),
        conditions,
        action: Action::Allow,
        source: Source::Client,
        log: true,
        request: config::FieldEdits::default(),
        response: config::FieldEdits::default(),
        mark: None,
        tos: None,
    }
}

/// Regular expressions over a few letters, with everything that strings are looked for in.
fn regex() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => "[abx.]{1,3}".prop_map(|text| text.replace('.', "\\.")),
        1 => select(vec!["[ab]", "[^a]", ".", "^", "$", "\\b", "(?i:Ab)", "[a-z]", "[0-9]", "[A-C]x"])
            .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let repeated = (
            inner.clone(),
            select(vec!["*", "+", "?", "{2}", "{1,3}", "{0}", "*?"]),
        );
        prop_oneof![
            vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            vec(inner, 2..4).prop_map(|parts| format!("(?:{})", parts.join("|"))),
            repeated.prop_map(|(inner, times)| format!("(?:{inner}){times}")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn rules_decide_as_if_tried_one_by_one(
        mut rules in vec(rule(), 0..24),
        questions in vec(
            (
                (select(&ADDRESSES[..]), select(&ADDRESSES[..]), select(vec![80_u16, 8080, 81])),
                (select(&METHODS[..]), prop::option::of(select(&NAMED[..])), select(&TARGETS[..])),
                (select(&Day::ALL[..]), 0_u16..1440),
            ),
            1..24,
        ),
    ) {
        for (number, rule) in rules.iter_mut().enumerate() {
            rule.name = number.to_string();
        }
        let policy = Policy::compile(&rules).unwrap();
        prop_assert_eq!(policy.is_empty(), rules.is_empty());
        for ((client, destination, port), (method, host, target), (day, minute)) in questions {
            naive::set_now(day, minute);
            let address = |text: &str, port| std::net::SocketAddr::new(text.parse().unwrap(), port);
            let connection = ConnectionFacts {
                client: ClientAddr(address(client, 50_000)),
                origin: OriginAddr(address(destination, port)),
            };
            let request = RequestFacts { method, host, target: target.as_bytes() };
            let name = |rule: &Rule| rule.name.parse::<usize>().unwrap();
            prop_assert_eq!(
                policy.of_request_at(&connection, &request, naive::now).map(name),
                naive::of_request(&rules, &connection, &request)
            );
            prop_assert_eq!(
                policy.of_connection_at(&connection, naive::now).map(name),
                naive::of_connection(&rules, &connection)
            );
            prop_assert_eq!(
                policy.without_request_at(&connection, naive::now).map(name),
                naive::without_request(&rules, &connection)
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn regexes_match_as_if_asked_one_by_one(
        texts in vec(regex(), 1..40),
        ignore_case: bool,
        questions in vec("[abxABX.7]{0,12}", 1..16),
    ) {
        let patterns: Vec<_> = texts
            .iter()
            .map(|text| config::Pattern::parse(text, ignore_case).unwrap())
            .collect();
        let regexes = Regexes::compile(&patterns.iter().collect::<Vec<_>>()).unwrap();
        let mut found = regexes::Matches::new();
        for question in &questions {
            regexes.find(question.as_bytes(), &mut found);
            for (number, text) in (0..).zip(&texts) {
                let expected = naive::matches(text, ignore_case, question);
                prop_assert_eq!(found.contains(number), expected, "{} on {:?}", text, question);
            }
        }
    }
}
