mod naive;
mod properties;

use super::*;
use crate::config::{Config, Day};

/// A policy of the rules in `toml`.
fn policy(toml: &str) -> Policy {
    match Config::parse(toml, "weir.toml") {
        Ok(config) => Policy::compile(&config.rules).unwrap(),
        Err(error) => panic!("{error}"),
    }
}

fn connection(client: &str, origin: &str) -> ConnectionFacts {
    ConnectionFacts {
        client: ClientAddr(client.parse().unwrap()),
        origin: OriginAddr(origin.parse().unwrap()),
    }
}

fn usual() -> ConnectionFacts {
    connection("10.0.0.2:50000", "203.0.113.7:80")
}

/// The name of the rule for a request of the usual client.
fn decided<'p>(policy: &'p Policy, method: &str, host: &str, target: &str) -> &'p str {
    let request = RequestFacts {
        method,
        host: Some(host),
        target: target.as_bytes(),
    };
    let rule = policy.of_request_at(&usual(), &request, naive::now);
    rule.map_or("none", |rule| &rule.name)
}

#[test]
fn without_rules_nothing_is_decided() {
    let none = policy("");
    assert!(none.is_empty());
    assert_eq!(decided(&none, "GET", "a.example", "/"), "none");
    assert!(none.of_connection(&usual()).is_none());
    assert!(!policy("[[rule]]").is_empty());
}

#[test]
fn the_first_rule_that_holds_decides() {
    let policy = policy(
        "[[rule]]\nname = \"exact\"\nhost = \"a.example\"\n\
         [[rule]]\nname = \"regex\"\nhost = \"~^[ab]\"\n\
         [[rule]]\nname = \"domain\"\nhost = [\".example\", \"other\"]\n\
         [[rule]]\nname = \"client\"\nclient = \"10.0.0.0/24\"\nmethod = \"GET\"\n\
         [[rule]]\nname = \"rest\"\n",
    );
    assert_eq!(decided(&policy, "GET", "a.example", "/"), "exact");
    assert_eq!(decided(&policy, "GET", "b.example", "/"), "regex");
    assert_eq!(decided(&policy, "GET", "c.example", "/"), "domain");
    assert_eq!(decided(&policy, "GET", "other", "/"), "domain");
    assert_eq!(decided(&policy, "get", "c.org", "/"), "client");
    assert_eq!(decided(&policy, "POST", "c.org", "/"), "rest");
}

#[test]
fn no_spelling_of_a_host_goes_around_a_rule() {
    let policy =
        policy("[[rule]]\nname = \"hit\"\nhost = [\"a.example\", \"2001:db8::1\", \".b\"]\n");
    for host in [
        "a.example",
        "A.eXample",
        "a.example.",
        "a.example:80",
        "a.example.:8080",
        "%61.example",
        "[2001:db8::1]",
        "[2001:DB8:0::1]:80",
        "b",
        "x.B.",
        "y.x.b:1",
    ] {
        assert_eq!(decided(&policy, "GET", host, "/"), "hit", "{host}");
    }
    for host in [
        "b.a.example",
        "aa.example",
        "a.example.org",
        "xb",
        "[2001:db8::2]",
        "",
    ] {
        assert_eq!(decided(&policy, "GET", host, "/"), "none", "{host}");
    }
}

#[test]
fn no_spelling_of_a_path_goes_around_a_rule() {
    let policy = policy("[[rule]]\nname = \"hit\"\npath = [\"/admin\", \"~(?i)\\\\.EXE$\"]\n");
    for target in [
        "/admin",
        "/admin/x?y",
        "/%61dmin",
        "//admin",
        "/a/../admin",
        "/./admin",
        "/x/%2e%2e/admin",
        "/%2fadmin",
        "/x%5c..%5cadmin",
        "http://a.example/admin",
        "/admin#x",
        "/administrator",
        "/x.exe",
        "/x.%65x%65?y=/z",
        "/a.eXe",
    ] {
        assert_eq!(
            decided(&policy, "GET", "a.example", target),
            "hit",
            "{target}"
        );
    }
    for target in [
        "/",
        "/Admin",
        "/x?/admin",
        "/%2561dmin",
        "*",
        "/admi",
        "/x.exe/",
    ] {
        assert_eq!(
            decided(&policy, "GET", "a.example", target),
            "none",
            "{target}"
        );
    }
    let root = super::tests::policy("[[rule]]\nname = \"hit\"\npath = \"/\"\n");
    assert_eq!(decided(&root, "OPTIONS", "a.example", "*"), "none");
    assert_eq!(
        decided(&root, "CONNECT", "a.example:443", "a.example:443"),
        "none"
    );
    assert_eq!(
        decided(&root, "GET", "a.example", "http://a.example"),
        "hit"
    );
}

#[test]
fn connections_are_told_by_address_port_and_time() {
    let policy = policy(
        "[[rule]]\nname = \"night\"\nclient = \"10.0.0.0/8\"\ntime = \"22:00-06:00\"\n\
         days = \"fri\"\n\
         [[rule]]\nname = \"port\"\nport = 8080\n\
         [[rule]]\nname = \"origin\"\ndestination = [\"192.0.2.0/24\", \"2001:db8::/32\"]\n",
    );
    let decided = |client: &str, origin: &str| {
        let rule = policy.of_connection_at(&connection(client, origin), naive::now);
        rule.map_or("none", |rule| &rule.name)
    };
    naive::set_now(Day::Saturday, 5 * 60);
    assert_eq!(decided("10.1.1.1:1", "192.0.2.1:80"), "night");
    assert_eq!(decided("[::ffff:10.1.1.1]:1", "192.0.2.1:80"), "night");
    assert_eq!(decided("11.1.1.1:1", "192.0.2.1:8080"), "port");
    naive::set_now(Day::Saturday, 6 * 60);
    assert_eq!(decided("10.1.1.1:1", "192.0.2.1:80"), "origin");
    assert_eq!(decided("10.1.1.1:1", "[2001:db8::5]:80"), "origin");
    assert_eq!(decided("10.1.1.1:1", "[2001:db9::5]:80"), "none");
}

#[test]
fn a_connection_is_decided_only_if_no_earlier_rule_waits_for_the_request() {
    let rules = |first: &str| {
        policy(&format!(
            "[[rule]]\nname = \"first\"\n{first}\n[[rule]]\nname = \"second\"\nclient = \
             \"10.0.0.0/8\"\n[[rule]]\nname = \"third\"\nhost = \"a\"\n[[rule]]\nname = \"rest\"\n"
        ))
    };
    let decided = |policy: &Policy, client: &str| {
        let rule = policy.of_connection_at(&connection(client, "192.0.2.1:80"), naive::now);
        rule.map_or("none".to_owned(), |rule| rule.name.to_string())
    };
    let request_first = rules("path = \"/\"");
    assert_eq!(decided(&request_first, "10.0.0.1:1"), "none");
    let both_first = rules("path = \"/\"\nclient = \"10.0.0.1\"");
    assert_eq!(decided(&both_first, "10.0.0.1:1"), "none");
    assert_eq!(decided(&both_first, "10.0.0.2:1"), "second");
    assert_eq!(decided(&both_first, "11.0.0.2:1"), "none");
    let tunnel_first = rules("destination = \"192.0.2.1\"\naction = \"tunnel\"");
    assert_eq!(decided(&tunnel_first, "11.0.0.1:1"), "first");
}

#[test]
fn without_a_request_no_condition_on_one_holds() {
    let policy = policy(
        "[[rule]]\nname = \"host\"\nhost = \"a\"\n\
         [[rule]]\nname = \"path\"\npath = \"/\"\nclient = \"10.0.0.1\"\n\
         [[rule]]\nname = \"guests\"\nclient = \"10.0.0.0/8\"\n\
         [[rule]]\nname = \"method\"\nmethod = \"GET\"\n\
         [[rule]]\nname = \"port\"\nport = 8080\n",
    );
    let decided = |client: &str, origin: &str| {
        let connection = connection(client, origin);
        assert!(policy.of_connection_at(&connection, naive::now).is_none());
        let rule = policy.without_request_at(&connection, naive::now);
        rule.map_or("none", |rule| &rule.name)
    };
    assert_eq!(decided("10.0.0.1:1", "192.0.2.1:80"), "guests");
    assert_eq!(decided("[::ffff:10.0.0.9]:1", "192.0.2.1:80"), "guests");
    assert_eq!(decided("11.0.0.1:1", "192.0.2.1:8080"), "port");
    assert_eq!(decided("11.0.0.1:1", "192.0.2.1:80"), "none");
}

#[test]
fn a_rule_says_what_is_to_be_done() {
    let policy = policy(
        "[[rule]]\nname = \"all\"\nsource = \"192.0.2.1\"\nlog = false\nmark = 5\ntos = 8\n\
         request = { set = { X-A = \"b\", X-C = \"\" }, remove = [\"Cookie\"] }\n\
         response = { remove = [\"Server\"] }\n",
    );
    let rule = policy.of_connection(&usual()).unwrap();
    assert_eq!((rule.log, rule.mark, rule.tos), (false, Some(5), Some(8)));
    assert_eq!(
        rule.source
            .address("10.0.0.2".parse().unwrap(), "203.0.113.7".parse().unwrap()),
        Some("192.0.2.1".parse().unwrap())
    );
    assert_eq!(&*rule.request.append, b"X-A: b\r\nX-C: \r\n");
    assert!(
        ["x-a", "X-C", "COOKIE"]
            .into_iter()
            .all(|name| rule.request.removes(name))
    );
    assert!(!rule.request.removes("Server") && rule.response.removes("server"));
    assert!(rule.response.append.is_empty() && !rule.response.is_empty());
    assert_eq!(rule.reason(), None);
}

#[test]
fn deciding_allocates_nothing() {
    let policy = policy(
        "[[rule]]\nhost = [\".b.example\", \"~^ads[0-9]+\\\\.\", \"~^[a-f]{4}$\"]\n\
         [[rule]]\npath = [\"/admin\", \"~\\\\.exe$\"]\nclient = \"10.0.0.0/8\"\n",
    );
    let ask = || {
        for (host, target) in [
            ("ads7.example:80", "/x"),
            ("x.b.example", "/"),
            ("none", "/a/../admin"),
            ("n", "/x.exe"),
            ("[2001:db8::1]", "http://x/%C3%A9"),
            ("none.example.org", "/none"),
        ] {
            decided(&policy, "GET", host, target);
        }
    };
    ask();
    let measured = allocation_counter::measure(ask);
    assert_eq!(measured.count_total, 0);
}

#[test]
fn the_routers_own_clock_is_asked() {
    let mut text = String::new();
    for day in Day::ALL {
        let day = day.word();
        text += &format!("[[rule]]\nname = \"{day}\"\ndays = \"{day}\"\n");
    }
    let policy = policy(&text);
    // Whatever day it is, it is one of them.
    assert!(policy.of_connection(&usual()).is_some());
}
