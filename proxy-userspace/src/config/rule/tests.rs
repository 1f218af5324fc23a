use std::fs;

use super::*;
use crate::config::Config;

fn rules(text: &str) -> Vec<Rule> {
    match Config::parse(text, "weir.toml") {
        Ok(config) => config.rules,
        Err(error) => panic!("{error}"),
    }
}

/// The error's text for a configuration that must not be accepted.
#[track_caller]
fn error(text: &str) -> String {
    match Config::parse(text, "weir.toml") {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn an_empty_rule_allows_everything() {
    let expected = Rule {
        name: "rule-1".to_owned(),
        conditions: Conditions::default(),
        action: Action::Allow,
        source: Source::Client,
        log: true,
        request: FieldEdits::default(),
        response: FieldEdits::default(),
        mark: None,
        tos: None,
    };
    let expected = [expected];
    assert_eq!(rules("[[rule]]\n"), expected);
    assert_eq!(rules("rule = [{}]\n"), expected);
    assert_eq!(rules("rule = []\n"), []);
}

#[test]
fn every_key_is_read_into_its_type() {
    let read = rules(
        r#"
        [[rule]]
        name = "everything"
        client = ["10.0.0.0/8", "2001:db8::1"]
        destination = "203.0.113.0/24"
        port = [80, 8080]
        host = ["A.example", ".b.example", "~^c"]
        method = ["GET", "purge"]
        path = ["/x", "~y$"]
        time = ["08:00-12:00", "22:00-06:00"]
        days = ["mon", "sun"]
        source = ["192.0.2.1", "2001:db8::2"]
        log = false
        mark = 0x40
        tos = 0x20
        request = { set = { X-A = "b c" }, remove = ["Cookie", "x-b"] }
        [rule.response.set]
        Server = ""
        [[rule]]
        action = "tunnel"
        spoof = false
        "#,
    );
    let [everything, tunnel] = &read[..] else {
        panic!("{read:?}")
    };
    let conditions = Conditions {
        clients: vec![
            "10.0.0.0/8".parse().unwrap(),
            "2001:db8::1/128".parse().unwrap(),
        ],
        destinations: vec!["203.0.113.0/24".parse().unwrap()],
        ports: vec![80, 8080],
        hosts: vec![
            HostPattern::Exact("a.example".to_owned()),
            HostPattern::Below("b.example".to_owned()),
            HostPattern::Regex(Pattern::parse("^c", true).unwrap()),
        ],
        methods: vec!["GET".to_owned(), "PURGE".to_owned()],
        paths: vec![
            PathPattern::Prefix("/x".to_owned()),
            PathPattern::Regex(Pattern::parse("y$", false).unwrap()),
        ],
        periods: vec![
            Period::parse("08:00-12:00").unwrap(),
            Period::parse("22:00-06:00").unwrap(),
        ],
        days: [Day::Monday, Day::Sunday].into_iter().collect(),
    };
    let expected = Rule {
        name: "everything".to_owned(),
        conditions,
        action: Action::Allow,
        source: Source::Addresses {
            v4: Some("192.0.2.1".parse().unwrap()),
            v6: Some("2001:db8::2".parse().unwrap()),
        },
        log: false,
        request: FieldEdits {
            set: vec![("X-A".to_owned(), "b c".to_owned())],
            remove: vec!["Cookie".to_owned(), "x-b".to_owned()],
        },
        response: FieldEdits {
            set: vec![("Server".to_owned(), String::new())],
            remove: Vec::new(),
        },
        mark: Some(0x40),
        tos: Some(0x20),
    };
    assert_eq!(everything, &expected);
    assert_eq!(
        (tunnel.name.as_str(), &tunnel.action, tunnel.source),
        ("rule-2", &Action::Tunnel, Source::Own)
    );
}

#[test]
fn answers_have_their_statuses() {
    let read = rules(
        "[[rule]]\naction = \"deny\"\n[[rule]]\naction = \"deny\"\nstatus = 451\n\
         [[rule]]\naction = \"redirect\"\nlocation = \"https://p.example/?{{url}}\"\n\
         [[rule]]\naction = \"redirect\"\nlocation = \"http://p.example\"\nstatus = 307\n",
    );
    let statuses: Vec<_> = read
        .iter()
        .map(|rule| match &rule.action {
            Action::Deny { status, page: None } | Action::Redirect { status, .. } => *status,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(statuses, [403, 451, 302, 307]);
}

/// One line of a rule, or several, and the beginning of what is said about it, from line and
/// column on. The line of `[[rule]]` is the first.
const WRONG: &[(&str, &str)] = &[
    (
        "hots = \"a\"",
        "2:1: unknown key \"hots\" in [[rule]]; did you mean \"host\"?",
    ),
    (
        "xyzzy = 1",
        "2:1: unknown key \"xyzzy\" in [[rule]]; there are: name, client, destination",
    ),
    (
        "name = \"\"",
        "2:8: \"\" is no name: it has 1 to 64 letters",
    ),
    ("name = \"a b\"", "2:8: \"a b\" is no name"),
    ("name = 7", "2:8: expected a name, found an integer"),
    (
        "client = \"10.0.0.1/8\"",
        "2:10: prefix 10.0.0.1/8 has host bits set; write 10.0.0.0/8, or",
    ),
    (
        "client = \"guests\"",
        "2:10: \"guests\" is neither an address nor a prefix",
    ),
    (
        "client = [\"::1\", \"::ffff:10.0.0.0/104\"]",
        "2:18: ::ffff:10.0.0.0/104 is never seen on",
    ),
    ("client = 10", "2:10: expected an address or a prefix"),
    ("client = []", "2:10: none of nothing can hold"),
    (
        "client = [[\"10.0.0.0/8\"]]",
        "2:11: expected an address or a prefix",
    ),
    (
        "destination = \"a.example\"",
        "2:15: \"a.example\" is neither an address nor a prefix",
    ),
    (
        "port = 0",
        "2:8: expected an integer between 1 and 65535, found 0",
    ),
    (
        "port = [80, \"81\"]",
        "2:13: expected an integer between 1 and 65535, found a string",
    ),
    (
        "host = [\"a\", \"*.b\"]",
        "2:14: \"*.b\" is no host; write \".b\"",
    ),
    (
        "host = \"~a(\"",
        "2:8: \"a(\" is no regex: unclosed group (character 2 of it)",
    ),
    ("host = true", "2:8: expected a host, such as \"a.example\""),
    ("method = \"G T\"", "2:10: \"G T\" is no method"),
    (
        "path = \"admin\"",
        "2:8: expected a path, such as \"/admin\"",
    ),
    (
        "path = [\"/a\", \"/%61\"]",
        "2:15: paths are compared in their normal form",
    ),
    (
        "time = \"8-17\"",
        "2:8: expected a part of the day, such as \"08:00-17:30\", found \"8-17\"",
    ),
    (
        "time = 08:00:00",
        "2:8: expected a part of the day, such as \"08:00-17:30\", found a date",
    ),
    (
        "days = [\"monday\"]",
        "2:9: unknown day \"monday\"; did you mean \"mon\"?",
    ),
    (
        "days = [\"x\"]",
        "2:9: unknown day \"x\"; there are: mon, tue, wed, thu, fri, sat, sun",
    ),
    (
        "action = \"block\"",
        "2:10: unknown action \"block\"; there are: allow, deny, redirect, tunnel",
    ),
    (
        "action = \"dney\"",
        "2:10: unknown action \"dney\"; did you mean \"deny\"?",
    ),
    (
        "action = \"deny\"\nstatus = 302",
        "3:10: expected a status from 400 to 599, found 302",
    ),
    (
        "action = \"deny\"\nstatus = 401",
        "3:10: an answer of 401 needs a field WWW-Authenticate",
    ),
    (
        "action = \"deny\"\nstatus = 421",
        "3:10: 421 is the origin's alone to answer",
    ),
    (
        "action = \"deny\"\nstatus = 1000",
        "3:10: expected an integer between 0 and 999, found 1000",
    ),
    (
        "status = 403",
        "2:1: \"status\" makes no sense with action = \"allow\"; it goes with \"deny\" and",
    ),
    (
        "action = \"deny\"\npage = \"p.html\"",
        "3:8: expected the absolute path of a file",
    ),
    (
        "action = \"deny\"\npage = \"/nowhere/p\"",
        "3:8: cannot use /nowhere/p as a page: No such file",
    ),
    (
        "action = \"deny\"\npage = \"/dev/null\"",
        "3:8: cannot use /dev/null as a page: it is no regular",
    ),
    (
        "action = \"deny\"\nspoof = false",
        "3:1: \"spoof\" makes no sense with action = \"deny\"; it goes \
      with \"allow\" and \"tunnel\"",
    ),
    (
        "action = \"deny\"\nlocation = \"http://a\"",
        "3:1: \"location\" makes no sense with action = ",
    ),
    (
        "action = \"tunnel\"\nrequest = {}",
        "3:1: \"request\" makes no sense with action = \"tunnel\"",
    ),
    (
        "action = \"redirect\"",
        "2:10: a redirect leads somewhere; add e.g. location = ",
    ),
    (
        "action = \"redirect\"\nlocation = \"/login\"",
        "3:12: expected an absolute URL",
    ),
    (
        "action = \"redirect\"\nlocation = \"http:///x\"",
        "3:12: expected an absolute URL",
    ),
    (
        "action = \"redirect\"\nlocation = \"http://a/ b\"",
        "3:12: a URL has no ' ' in it",
    ),
    (
        "action = \"redirect\"\nlocation = \"http://a/\\r\\nX:\"",
        "3:12: a URL has no '\\r' in it",
    ),
    (
        "action = \"redirect\"\nlocation = \"http://a/{{ur}}\"",
        "3:12: unknown variable {{ur}}; there",
    ),
    (
        "action = \"redirect\"\nlocation = \"http://a/\"\nstatus = 304",
        "4:10: expected 301, 302, 303",
    ),
    (
        "spoof = true\nsource = \"192.0.2.1\"",
        "2:9: spoof = true and an own source contradict",
    ),
    ("spoof = 1", "2:9: expected true or false, found an integer"),
    (
        "source = \"192.0.2\"",
        "2:10: \"192.0.2\" is no address; write e.g. \"192.0.2.1\"",
    ),
    (
        "source = [\"192.0.2.1\", \"192.0.2.2\"]",
        "2:24: more than one address of a family",
    ),
    (
        "source = []",
        "2:10: no address; write one, or spoof = false",
    ),
    (
        "source = \"::\"",
        "2:10: :: is no address that packets come from",
    ),
    (
        "source = \"255.255.255.255\"",
        "2:10: 255.255.255.255 is no address that packets come from",
    ),
    (
        "source = \"ff02::1\"",
        "2:10: ff02::1 is no address that packets come from",
    ),
    (
        "source = \"127.0.0.1\"",
        "2:10: no origin can answer 127.0.0.1",
    ),
    (
        "source = \"::ffff:192.0.2.1\"",
        "2:10: write ::ffff:192.0.2.1 as the IPv4 address that it is",
    ),
    (
        "log = \"no\"",
        "2:7: expected true or false, found a string",
    ),
    ("request = []", "2:11: expected a table, such as { set = "),
    (
        "request = { add = {} }",
        "2:13: unknown key \"add\" in request; there are: set, remove",
    ),
    ("request = { set = [] }", "2:19: expected a table of fields"),
    (
        "request = { set = { Host = \"a\" } }",
        "2:21: Host says how messages are framed, carried or",
    ),
    (
        "request = { set = { \"X Y\" = \"a\" } }",
        "2:21: \"X Y\" is no name of a field",
    ),
    (
        "request = { set = { X = 1 } }",
        "2:25: expected the value of a field, found an integer",
    ),
    (
        "request = { set = { X = \"a\\nb\" } }",
        "2:25: the value of a field has no control characters",
    ),
    (
        "request = { set = { X = \" a\" } }",
        "2:25: white space around the value of a field",
    ),
    (
        "request = { set = { X = \"a\", x = \"b\" } }",
        "2:30: x is mentioned twice",
    ),
    (
        "request = { remove = [\"A\", \"a\"] }",
        "2:28: a is mentioned twice",
    ),
    (
        "response = { remove = [\"transfer-encoding\"] }",
        "2:24: transfer-encoding says how messages",
    ),
    (
        "response = { remove = \"Server\" }",
        "2:23: expected a list of field names",
    ),
    (
        "mark = 0",
        "2:8: expected an integer between 1 and 4294967295, found 0",
    ),
    (
        "mark = 0x10000001",
        "2:8: the mark has the bit of host.steer_mark (0x10000000) in it",
    ),
    (
        "mark = 0x30000000\n[host]\nsteer_mark = 1",
        "2:8: the mark has the bit of host.socket_mark (0x2",
    ),
    (
        "tos = 256",
        "2:7: expected an integer between 0 and 255, found 256",
    ),
];

#[test]
fn what_is_wrong_is_located_and_explained() {
    for (lines, said) in WRONG {
        let error = error(&format!("[[rule]]\n{lines}\n"));
        assert!(
            error.starts_with(&format!("weir.toml:{said}")),
            "{lines}: {error}"
        );
    }
}

#[test]
fn every_field_that_is_ours_is_refused() {
    for name in edits::OURS {
        for list in ["request", "response"] {
            let said = error(&format!("[[rule]]\n{list}.remove = [\"{name}\"]\n"));
            assert!(
                said.contains("is not for rules to change"),
                "{name}: {said}"
            );
        }
    }
}

#[test]
fn rules_are_a_list_of_tables() {
    let expected = "is a list of tables, not a section; begin each with [[rule]]";
    assert!(error("[rule]\nhost = \"a\"\n").starts_with("weir.toml:1:2: \"rule\" is a list"));
    assert!(error("[rule]\n").ends_with(expected));
    assert!(error("rule = 1\n").contains("not an integer"));
    assert!(error("rule = [{}, 1]\n").starts_with("weir.toml:1:13: \"rule\" is a list of tables"));
    assert_eq!(
        error("[[rules]]\n"),
        "weir.toml:1:3: unknown list [[rules]]; did you mean [[rule]]?"
    );
}

#[test]
fn no_two_rules_have_one_name() {
    let twice = "[[rule]]\nname = \"a\"\n[[rule]]\nname = \"a\"\n";
    assert_eq!(
        error(twice),
        "weir.toml:4:8: two rules are called \"a\"; rename this one"
    );
    let counted = "[[rule]]\nname = \"rule-2\"\n[[rule]]\n";
    assert!(error(counted).starts_with("weir.toml:2:8: two rules are called \"rule-2\""));
    assert_eq!(rules("[[rule]]\nname = \"rule-1\"\n[[rule]]\n").len(), 2);
}

#[test]
fn the_first_mistake_of_the_text_is_told() {
    let text = "[[rule]]\nport = 0\ntime = \"x\"\n[[rule]]\nhots = \"x\"\n[workers]\ncount = -1\n";
    assert!(error(text).starts_with("weir.toml:2:8: "));
    let text = "[workers]\ncount = -1\n[[rule]]\nport = 0\n";
    assert!(error(text).starts_with("weir.toml:2:9: "));
}

#[test]
fn pages_are_read_and_their_mistakes_located() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("page.html");
    let text = format!(
        "[[rule]]\naction = \"deny\"\npage = \"{}\"\n",
        path.display()
    );

    fs::write(&path, "<p>{{client}}</p>\n").unwrap();
    let read = rules(&text);
    let Action::Deny {
        page: Some(page), ..
    } = &read[0].action
    else {
        panic!("{read:?}")
    };
    assert_eq!(page, &Template::parse("<p>{{client}}</p>\n").unwrap());

    fs::write(&path, "<p>\n ü {{clinet}}\n").unwrap();
    let expected = format!(
        "weir.toml:3:8: {}:2:4: unknown variable {{{{clinet}}}}; did you mean {{{{client}}}}?",
        path.display()
    );
    assert_eq!(error(&text), expected);

    fs::write(&path, b"ab\xff").unwrap();
    assert!(error(&text).ends_with("it is not UTF-8, from byte 2 on"));
    fs::write(&path, vec![b'x'; MAX_PAGE]).unwrap();
    assert_eq!(rules(&text).len(), 1);
    fs::write(&path, vec![b'x'; MAX_PAGE + 1]).unwrap();
    assert!(error(&text).ends_with("it is longer than 64 KiB"));
}

#[test]
fn the_samples_rules_are_rules_when_uncommented() {
    let lines = SAMPLE
        .lines()
        .skip_while(|line| !line.starts_with("# [[rule]]"));
    let text: String = lines
        .map(|line| format!("{}\n", line.trim_start_matches(['#', ' '])))
        .collect();
    let read = rules(&text);
    assert_eq!(read.len(), 4);
    assert!(
        read.iter()
            .any(|rule| matches!(rule.action, Action::Redirect { .. }))
    );
    assert!(read.iter().any(|rule| !rule.response.is_empty()));
}

#[test]
fn sources_give_addresses_by_family() {
    let [client, v4, v6]: [IpAddr; 3] =
        ["10.0.0.2", "203.0.113.7", "2001:db8::7"].map(|address| address.parse().unwrap());
    assert_eq!(Source::Client.address(client, v4), Some(client));
    assert_eq!(Source::Own.address(client, v4), None);
    let one = Source::Addresses {
        v4: Some(Ipv4Addr::new(192, 0, 2, 1)),
        v6: None,
    };
    assert_eq!(one.address(client, v4), Some("192.0.2.1".parse().unwrap()));
    assert_eq!(one.address(client, v6), None);
}
