//! What `weir bypass` shows: entries, lists, and which entry decides.

use std::time::Duration;

use serde_json::{Value, json};
use weir_tests::{ASIDE, Family, LAN, Layout, Options, World, until};

const SOON: Duration = Duration::from_secs(20);

#[test]
fn entries_in_the_order_of_their_hits() {
    let world = World::new();
    let weir = &world.weir;
    weir.bypass(&["add", "203.0.113.2", "203.0.113.3", "fd77:2::2"]);
    for (family, times) in [(Family::V4, 2), (Family::V6, 5)] {
        for _ in 0..times {
            assert!(world.get(family).direct());
        }
    }
    let text = weir.bypass(&["list", "--json", "--sort", "hits"]);
    let list: Value = serde_json::from_str(&text).unwrap();
    let hits: Vec<_> = entries(&list)
        .map(|entry| (entry["destination"].as_str().unwrap(), &entry["hits"]))
        .collect();
    let expected = [
        ("fd77:2::2/128", &json!(5)),
        ("203.0.113.2/32", &json!(2)),
        ("203.0.113.3/32", &json!(0)),
    ];
    assert_eq!(hits, expected);
    let last: Vec<_> = entries(&list)
        .map(|entry| entry["last_hit"].is_null())
        .collect();
    assert_eq!(last, [false, false, true]);
    let screen = weir.bypass(&["list", "--sort", "hits"]);
    let first: Vec<_> = screen
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(first, ["ENTRY", "fd77:2::2", "203.0.113.2", "203.0.113.3"]);
    // The last hit is later than all others, or in the same second.
    let text = weir.bypass(&["list", "--json", "--sort", "last"]);
    let list: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(list[2]["destination"], "203.0.113.3/32");
}

#[test]
fn entries_that_a_filter_takes() {
    let world = World::new();
    let weir = &world.weir;
    let lines = "203.0.113.0/24  # the Bank\n203.0.113.4\n198.51.100.0/24\nfd77:2::/64\n\
                 any src 203.0.113.128/25\nany port 80 in lan0 owner alice\n";
    weir.say_with(&["import", "-"], lines).done();
    weir.bypass(&["add", "192.0.2.1", "--list", "alicia"]);
    let filtered = |filter: &str| -> Vec<String> {
        let text = weir.bypass(&["list", "--json", "--filter", filter]);
        let list: Value = serde_json::from_str(&text).unwrap();
        let some = |entry: &Value, key: &str| entry[key].as_str().map(str::to_owned);
        let mut found: Vec<_> = entries(&list)
            .map(|entry| {
                let prefix = some(entry, "destination").or_else(|| some(entry, "source"));
                prefix.or_else(|| some(entry, "interface")).unwrap()
            })
            .collect();
        found.sort_unstable();
        found
    };
    for (filter, expected) in [
        // Within, around, and the clients too.
        (
            "203.0.113.0/24",
            &["203.0.113.0/24", "203.0.113.128/25", "203.0.113.4/32"][..],
        ),
        ("203.0.113.4", &["203.0.113.0/24", "203.0.113.4/32"]),
        ("203.0.113.200", &["203.0.113.0/24", "203.0.113.128/25"]),
        ("fd77:2::9", &["fd77:2::/64"]),
        ("fd77::/16", &["fd77:2::/64"]),
        ("192.0.3.0/24", &[]),
        // Text: of the entry or of the list's name.
        ("Bank", &["203.0.113.0/24"]),
        ("bank", &[]),
        ("alic", &["192.0.2.1/32", "lan0"]),
        ("port 80", &["lan0"]),
    ] {
        assert_eq!(filtered(filter), expected, "{filter}");
    }
    let screen = weir.bypass(&["list", "--filter", "fd77:2::9"]);
    assert_eq!(screen.lines().count(), 2, "{screen}");
}

#[test]
fn all_there_is_to_know_of_a_prefix() {
    let world = World::new();
    let weir = &world.weir;
    weir.bypass(&[
        "add",
        "203.0.113.2",
        "--until",
        "2099-01-01T00:00:00Z",
        "--owner",
        "alice",
        "--comment",
        "the bank",
    ]);
    weir.bypass(&[
        "add",
        "--intercept",
        "--src",
        "203.0.113.2",
        "--list",
        "other",
    ]);
    weir.bypass(&["disable", "--list", "other"]);
    assert!(world.get(Family::V4).direct());
    let screen = weir.bypass(&["show", "203.0.113.2/32"]);
    for line in [
        "203.0.113.2\n  action   bypass\n  list     manual\n  hits     1, the last ",
        "\n  until    2099-01-01T00:00:00Z (in ",
        "\n  owner    alice\n  comment  the bank\n",
        "any src 203.0.113.2\n  action   intercept\n  list     other (disabled)\n  hits     0, the \
         last never\n",
    ] {
        assert!(screen.contains(line), "no {line:?} in: {screen}");
    }
    let shown: Value =
        serde_json::from_str(&weir.bypass(&["show", "203.0.113.2", "--json"])).unwrap();
    let fields: Vec<_> = entries(&shown)
        .map(|entry| {
            (
                &entry["list"],
                &entry["enabled"],
                &entry["action"],
                &entry["hits"],
            )
        })
        .collect();
    let (manual, other) = (json!("manual"), json!("other"));
    let (bypass, intercept) = (json!("bypass"), json!("intercept"));
    assert_eq!(
        fields,
        [
            (&manual, &json!(true), &bypass, &json!(1)),
            (&other, &json!(false), &intercept, &json!(0)),
        ]
    );
    weir.say(&["show", "203.0.113.0/24"])
        .failed(2, &["there is no entry 203.0.113.0/24", "--filter"]);
    weir.say(&["show", "bank"])
        .failed(2, &["\"bank\" is neither an address nor a prefix"]);
}

#[test]
fn the_lists() {
    let world = World::new();
    let weir = &world.weir;
    assert_eq!(weir.bypass(&["lists", "--json"]).trim(), "[]");
    weir.bypass(&["add", "203.0.113.2"]);
    weir.bypass(&["add", "203.0.113.2", "203.0.113.3", "--list", "other"]);
    weir.bypass(&["disable", "--list", "other"]);
    let lists: Value = serde_json::from_str(&weir.bypass(&["lists", "--json"])).unwrap();
    let expected = json!([
        {"name": "manual", "enabled": true, "entries": 1, "feed": null},
        {"name": "other", "enabled": false, "entries": 2, "feed": null},
    ]);
    assert_eq!(lists, expected);
    let screen = weir.bypass(&["lists"]);
    let lines: Vec<Vec<_>> = screen
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines[0], ["LIST", "STATE", "ENTRIES", "FEED"]);
    assert_eq!(lines[1], ["manual", "enabled", "1", "-"]);
    assert_eq!(lines[2], ["other", "disabled", "2", "-"]);
    // A list that has become empty is a list still.
    weir.bypass(&["clear", "--list", "other"]);
    let said = weir.bypass(&["lists"]);
    assert!(said.contains("other"), "{said}");
    assert_eq!(weir.exported("other"), Vec::<String>::new());
    for wrong in ["Other", "../etc", "", "a b"] {
        weir.say(&["add", "203.0.113.2", "--list", wrong])
            .failed(2, &["--list"]);
    }
}

#[test]
fn which_entry_decides_and_why_the_others_do_not() {
    let layout = Layout {
        aside: true,
        ..Layout::default()
    };
    let mut options = Options::config("[intercept]\nports = [80, 8080]\n");
    options.lan.push(ASIDE.to_owned());
    let world = World::with(&layout, &options, |_| {});
    let weir = &world.weir;
    for (client, wide, origin) in [
        ("10.77.1.2", "203.0.113.0/24", "203.0.113.2"),
        ("fd77:1::2", "fd77:2::/64", "fd77:2::2"),
    ] {
        weir.bypass(&["add", wide]);
        weir.bypass(&["add", origin, "--src", client, "--port", "8080"]);
        weir.bypass(&["add", origin, "--src", client, "--in", ASIDE]);
        weir.bypass(&["add", "--intercept", origin]);
        weir.bypass(&["add", origin, "--src", client, "--list", "off"]);
        weir.bypass(&["add", "any", "--in", LAN]);
        weir.bypass(&["disable", "--list", "off"]);
        let test = |arguments: &[&str]| -> (Vec<String>, Value) {
            let all = [&["test", client], arguments].concat();
            let screen = weir.bypass(&all);
            let json = weir.bypass(&[&all[..], &["--json"]].concat());
            (
                screen.lines().map(str::to_owned).collect(),
                serde_json::from_str(&json).unwrap(),
            )
        };
        let (screen, json) = test(&[origin, "--in", LAN]);
        assert_eq!(
            screen[0],
            format!(
                "intercepted by {} (list manual)",
                format_args!("intercept {origin}")
            )
        );
        for line in [
            format!("  not by {wide} (list manual): another one is more specific"),
            format!(
                "  not by {origin} src {client} port 8080 (list manual): it is for another port"
            ),
            format!(
                "  not by {origin} src {client} in {ASIDE} (list manual): it is for another LAN"
            ),
            format!("  not by {origin} src {client} (list off): its list is disabled"),
            format!("  not by any in {LAN} (list manual): another one is more specific"),
        ] {
            assert!(screen.contains(&line), "no {line:?} in: {screen:#?}");
        }
        assert_eq!(screen.len(), 6, "{screen:#?}");
        let decides = json!({
            "list": "manual", "action": "intercept", "entry": format!("intercept {origin}"),
        });
        assert_eq!(json["decides"], decides);
        assert_eq!(entries(&json["others"]).count(), 5);

        let (screen, _) = test(&[origin, "--in", ASIDE]);
        let by = format!("bypassed by {origin} src {client} in {ASIDE} (list manual)");
        assert_eq!(screen[0], by);
        let port = if origin.contains(':') {
            format!("[{origin}]:8080")
        } else {
            format!("{origin}:8080")
        };
        let (screen, _) = test(&[&port]);
        let by = format!("bypassed by {origin} src {client} port 8080 (list manual)");
        assert_eq!(screen[0], by);
        weir.bypass(&["enable", "--list", "off"]);
        let (screen, _) = test(&[origin]);
        assert_eq!(
            screen[0],
            format!("bypassed by {origin} src {client} (list off)")
        );
        for list in ["manual", "off"] {
            weir.bypass(&["clear", "--list", list]);
        }
        let (screen, json) = test(&[origin]);
        assert_eq!(
            screen,
            ["intercepted, as far as the lists decide: no entry matches"]
        );
        assert_eq!(json, json!({"decides": null, "others": []}));
    }
    weir.say(&["test", "10.77.1.2", "fd77:2::2"])
        .failed(2, &["10.77.1.2 and fd77:2::2 are of different families"]);
    weir.say(&["test", "10.77.1.2", "203.0.113.2", "--in", "wan0"])
        .failed(2, &["wan0 is no LAN of this instance"]);
}

#[test]
fn what_has_ended_does_not_decide() {
    let world = World::new();
    let weir = &world.weir;
    weir.bypass(&["add", "203.0.113.2", "--for", "3s"]);
    // It is swept soon after it has ended; until then, this is what there is to say of it.
    let (mut held, mut told) = (false, String::new());
    until(SOON, "the end of the entry", || {
        told = weir.bypass(&["test", "10.77.1.2", "203.0.113.2"]);
        held |= told.starts_with("bypassed by 203.0.113.2 until ");
        !told.starts_with("bypassed")
    });
    assert!(held);
    let mut lines = told.lines();
    let none = "intercepted, as far as the lists decide: no entry matches";
    assert_eq!(lines.next(), Some(none));
    for line in lines {
        assert!(line.ends_with("(list manual): it has ended"), "{told}");
    }
}

fn entries(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().expect("an array").iter()
}
