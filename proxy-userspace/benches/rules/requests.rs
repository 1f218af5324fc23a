//! The requests that are measured.

use proxy_userspace::{
    addr::{ClientAddr, OriginAddr},
    policy::{ConnectionFacts, RequestFacts},
};

use crate::{
    rules::{RuleSet, What},
    words::Random,
};

/// What requests are made for.
pub(crate) const KINDS: [&str; 8] = [
    "no rule",
    "no rule, 2,000-byte target",
    "a host",
    "a domain",
    "a client",
    "a destination",
    "a regex on the host",
    "a regex on the path",
];

/// Of each kind.
const EACH: usize = 12_000;

/// A request, and who is to decide it.
pub(crate) struct Question {
    pub(crate) kind: usize,
    pub(crate) connection: ConnectionFacts,
    host: String,
    target: String,
    rule: Option<String>,
}

impl Question {
    pub(crate) fn request(&self) -> RequestFacts<'_> {
        RequestFacts {
            method: "GET",
            host: Some(&self.host),
            target: self.target.as_bytes(),
        }
    }

    /// Panics if it was another rule.
    pub(crate) fn check(&self, rule: Option<&str>) {
        assert_eq!(rule, self.rule.as_deref(), "{} {}", self.host, self.target);
    }
}

/// Requests of all kinds in random order, no two alike.
pub(crate) fn all(set: &RuleSet) -> Vec<Question> {
    let mut random = Random::new(3);
    let mut questions: Vec<Question> = Vec::new();
    for _ in 0..EACH {
        questions.push(of_nobody(&mut random));
    }
    for _ in 0..EACH / 20 {
        let mut long = of_nobody(&mut random);
        long.kind = 1;
        long.target.clear();
        while long.target.len() < 2000 {
            long.target += &format!("/%20{}", random.word());
        }
        questions.push(long);
    }
    for _ in 0..EACH {
        for kind in 2..KINDS.len() {
            questions.push(of_kind(kind, set, &mut random));
        }
    }
    random.shuffle(&mut questions);
    questions
}

/// A page, a picture, an API, as browsers ask for them.
fn of_nobody(random: &mut Random) -> Question {
    let host = format!(
        "{}.{}-{}.{}",
        random.pick(&["www", "api", "static", "m", "img2"]),
        random.word(),
        random.word(),
        random.pick(&["com", "de", "org", "co.uk", "example"]),
    );
    let mut target = String::new();
    for _ in 0..=random.below(4) {
        target += &format!("/{}", random.word());
    }
    target += random.pick(&["", "/", ".html", ".png", ".js", "%20x.css"]);
    if random.below(2) == 0 {
        target += &format!("?id={}&q={}", random.below(1_000_000), random.word());
    }
    let client = format!(
        "192.168.{}.{}:50000",
        random.below(256),
        1 + random.below(254)
    );
    let origin = format!("203.0.{}.{}:80", random.below(256), 1 + random.below(254));
    Question {
        kind: 0,
        connection: ConnectionFacts {
            client: ClientAddr(client.parse().expect("an address")),
            origin: OriginAddr(origin.parse().expect("an address")),
        },
        host,
        target,
        rule: None,
    }
}

fn of_kind(kind: usize, set: &RuleSet, random: &mut Random) -> Question {
    let example = loop {
        let example = &set.examples[random.below(set.examples.len())];
        if kind_of(&example.what) == kind {
            break example;
        }
    };
    let mut question = of_nobody(random);
    question.kind = kind;
    question.rule = Some(example.rule.clone());
    let inside = |prefix: &str, last: &str| {
        let network = prefix.split('/').next().unwrap_or_default();
        network.strip_suffix('0').unwrap_or(network).to_owned() + last
    };
    match &example.what {
        What::Host(host) | What::HostRegex(host) => question.host.clone_from(host),
        What::Domain(domain) => question.host = format!("{}.{domain}", random.word()),
        What::Client(prefix) => {
            let client = format!("{}:50000", inside(prefix, "7"));
            question.connection.client = ClientAddr(client.parse().expect("an address"));
        }
        What::Destination(prefix) => {
            let origin = format!("[{}]:80", inside(prefix, "7"));
            question.connection.origin = OriginAddr(origin.parse().expect("an address"));
        }
        What::PathRegex(path) => question.target.clone_from(path),
    }
    question
}

const fn kind_of(what: &What) -> usize {
    match what {
        What::Host(_) => 2,
        What::Domain(_) => 3,
        What::Client(_) => 4,
        What::Destination(_) => 5,
        What::HostRegex(_) => 6,
        What::PathRegex(_) => 7,
    }
}
