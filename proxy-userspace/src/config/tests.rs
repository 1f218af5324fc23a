use std::{path::PathBuf, time::Duration};

use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, "weir.toml")
}

/// The error's text for a configuration that must not be accepted.
#[track_caller]
fn error(text: &str) -> String {
    match parse(text) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn an_empty_file_is_the_defaults() {
    assert_eq!(parse("").unwrap(), Config::default());
    assert_eq!(parse("[intercept]\n[limits]\n").unwrap(), Config::default());
}

#[test]
fn the_sample_is_the_defaults() {
    assert_eq!(parse(&Config::sample()).unwrap(), Config::default());
}

const EVERYTHING: &str = r#"
[intercept]
lan = ["eth1", "wg*"]
wan = ["eth0"]
missing = "wait"
ports = [80, 8080]
families = ["ipv6"]
mode = "shadow"
share = 5
on_failure = "closed"
fail_closed = ["guest*"]
on_overload = "queue"
heartbeat_stale = "500ms"
output = true
defragment = true
[spoof]
ports = "20000-20999"
source = "client-port"
dscp = "clear"
ttl = "own"
[http]
via = true
forwarded = "x-forwarded-for"
not_http = "reject"
http2_preface = "tunnel"
silence = "0s"
host_check = "strict"
host_strict_clients = ["10.0.0.0/8", "fd00::1"]
host_dns = true
[limits]
client_connections = 4
accept_queue = 12
worker_lag = "70ms"
memory = "3GiB"
min_send_rate = "0B"
min_receive_rate = "1KiB"
rate_grace = "2s"
client_timeout = "1m"
origin_timeout = "90s"
connections = 5
head = "2KiB"
fields = 7
head_timeout = "1s"
idle_timeout = "2m"
tunnel_idle_timeout = "3h"
connect_timeout = "1500ms"
drain = "0s"
[valve]
enabled = false
window = "2s"
probe = 10
[log]
format = "combined"
query = "redact"
extra = false
journal = "/tmp/journal"
access = "/var/log/we\"ir/\u0001access.json"
level = "warn,proxy_userspace::session=debug"
[bypass]
directory = "/srv/bypass"
entries = 1000
damaged = "direct"
feeds = ["/srv/feeds/banks.txt", "/srv/feeds/tax-offices.json"]
[bypass.learn]
enabled = true
events = 5
window = "1m"
for = "48h"
clients = 7
limit = 11
never = ["10.0.0.0/8", "2001:db8::1"]
[metrics]
listen = "9487"
[control]
group = "netops"
read_group = "staff"
[security]
user = "weir"
landlock = false
[host]
table = 100
priority = 50
steer_mark = 0x40
socket_mark = 0b1000_0000
output_mark = 0x100
[workers]
count = 3
"#;

#[test]
fn every_key_is_read_into_its_type() {
    let expected = Config {
        intercept: Intercept {
            lan: vec!["eth1".into(), "wg*".into()],
            wan: vec!["eth0".into()],
            missing: Missing::Wait,
            ports: vec![80, 8080],
            families: Families {
                ipv4: false,
                ipv6: true,
            },
            mode: Mode::Shadow,
            share: 5,
            on_failure: OnFailure::Closed,
            fail_closed: vec!["guest*".into()],
            on_overload: OnOverload::Queue,
            heartbeat_stale: Duration::from_millis(500),
            output: true,
            defragment: true,
        },
        spoof: Spoof {
            ports: 20_000..=20_999,
            source: SpoofSource::ClientPort,
            dscp: Dscp::Clear,
            ttl: Ttl::Own,
        },
        http: Http {
            via: true,
            forwarded: Forwarded::XForwardedFor,
            not_http: Unknown::Reject,
            http2_preface: Unknown::Tunnel,
            silence: Duration::ZERO,
            host_check: HostCheck::Strict,
            host_strict_clients: vec![
                "10.0.0.0/8".parse().unwrap(),
                "fd00::1/128".parse().unwrap(),
            ],
            host_dns: true,
        },
        limits: Limits {
            connections: 5,
            client_connections: 4,
            accept_queue: 12,
            worker_lag: Duration::from_millis(70),
            memory: 3 << 30,
            head: 2048,
            fields: 7,
            head_timeout: Duration::from_secs(1),
            min_send_rate: 0,
            min_receive_rate: 1024,
            rate_grace: Duration::from_secs(2),
            idle_timeout: Duration::from_secs(120),
            client_timeout: Duration::from_secs(60),
            origin_timeout: Duration::from_secs(90),
            tunnel_idle_timeout: Duration::from_secs(10_800),
            connect_timeout: Duration::from_millis(1500),
            drain: Duration::ZERO,
        },
        valve: Valve {
            enabled: false,
            window: Duration::from_secs(2),
            probe: 10,
        },
        log: Log {
            access: AccessTarget::File("/var/log/we\"ir/\u{1}access.json".into()),
            format: LogFormat::Combined,
            query: LogQuery::Redact,
            extra: false,
            journal: Some("/tmp/journal".into()),
            level: "warn,proxy_userspace::session=debug".into(),
        },
        bypass: Bypass {
            directory: Some("/srv/bypass".into()),
            entries: 1000,
            damaged: Damaged::Direct,
            feeds: vec![
                "/srv/feeds/banks.txt".into(),
                "/srv/feeds/tax-offices.json".into(),
            ],
            learn: Learn {
                enabled: true,
                events: 5,
                window: Duration::from_secs(60),
                lifetime: Duration::from_secs(2 * 24 * 3600),
                clients: 7,
                limit: 11,
                never: vec![
                    "10.0.0.0/8".parse().unwrap(),
                    "2001:db8::1/128".parse().unwrap(),
                ],
            },
        },
        metrics: Metrics {
            listen: Some("127.0.0.1:9487".parse().unwrap()),
        },
        control: Control {
            group: Some("netops".into()),
            read_group: Some("staff".into()),
        },
        security: Security {
            user: Some("weir".into()),
            landlock: false,
        },
        host: Host {
            table: 100,
            priority: 50,
            steer_mark: 0x40,
            socket_mark: 0x80,
            output_mark: 0x100,
        },
        workers: Workers { count: 3 },
        rules: Vec::new(),
    };
    assert_eq!(parse(EVERYTHING).unwrap(), expected);
}

#[test]
fn what_is_shown_reads_back() {
    let config = parse(EVERYTHING).unwrap();
    assert_eq!(parse(&keys::sample(&config)).unwrap(), config);
}

#[test]
fn dotted_keys_and_inline_tables_are_the_same_toml() {
    let config = parse("limits.fields = 7\nhost = { table = 9 }\n").unwrap();
    assert_eq!((config.limits.fields, config.host.table), (7, 9));
    for text in [
        "bypass.learn.events = 7\n",
        "[bypass]\nlearn = { events = 7 }\n",
        "[bypass]\nlearn.events = 7\n",
    ] {
        assert_eq!(parse(text).unwrap().bypass.learn.events, 7);
    }
}

#[test]
fn unknown_words_are_located_and_explained() {
    assert_eq!(
        error("# a comment\n[intercept]\n  prots = [80]\n"),
        "weir.toml:3:3: unknown key \"prots\" in [intercept]; did you mean \"ports\"?"
    );
    assert_eq!(
        error("[intercept]\nconnections = 1\n"),
        "weir.toml:2:1: unknown key \"connections\" in [intercept]; it belongs to [limits]"
    );
    assert_eq!(
        error("[valve]\nxyzzy = 1\n"),
        "weir.toml:2:1: unknown key \"xyzzy\" in [valve]; there are: enabled, window, probe"
    );
    assert_eq!(
        error("[intercpt]\nports = [80]\n"),
        "weir.toml:1:2: unknown section [intercpt]; did you mean [intercept]?"
    );
    assert_eq!(
        error("[xyzzy]\n"),
        "weir.toml:1:2: unknown section [xyzzy]; there are: intercept, spoof, http, limits, valve, \
         log, bypass, metrics, control, security, host, workers; and [[rule]]"
    );
    for wrong in ["x", "0", "70000", "localhost:80", "[::1]"] {
        let said = error(&format!("[metrics]\nlisten = \"{wrong}\"\n"));
        assert!(said.starts_with("weir.toml:2:10: "), "{said}");
    }
    assert_eq!(
        error("lan = [\"eth1\"]\n"),
        "weir.toml:1:1: key \"lan\" stands in no section; put it below [intercept]"
    );
    assert_eq!(
        error("xyzzy = 1\n"),
        "weir.toml:1:1: unknown key \"xyzzy\" outside of any section"
    );
    assert_eq!(
        error("log = \"info\"\n"),
        "weir.toml:1:1: \"log\" is a section, not a string; write [log] on a line of its own"
    );
    assert_eq!(
        error("[bypass.lern]\nevents = 1\n"),
        "weir.toml:1:9: unknown key \"lern\" in [bypass]; did you mean \"learn\"?"
    );
    assert_eq!(
        error("[bypass.learn]\nevnts = 1\n"),
        "weir.toml:2:1: unknown key \"evnts\" in [bypass.learn]; did you mean \"events\"?"
    );
    assert_eq!(
        error("[bypass]\nevents = 1\n"),
        "weir.toml:2:1: unknown key \"events\" in [bypass]; it belongs to [bypass.learn]"
    );
    assert_eq!(
        error("[bypass]\nlearn = true\n"),
        "weir.toml:2:1: \"bypass.learn\" is a section, not a boolean; \
         write [bypass.learn] on a line of its own"
    );
    assert!(error("[[log]]\nlevel = \"info\"\n").contains("\"log\" is a section, not a list"));
}

#[test]
fn what_is_not_toml_is_located() {
    assert!(
        error("[intercept\n").starts_with("weir.toml:1:11: "),
        "{}",
        error("[intercept\n")
    );
    assert!(error("[log]\nlevel = \n").starts_with("weir.toml:2:"));
    assert!(error("[log]\nlevel = \"info\"\nlevel = \"warn\"\n").starts_with("weir.toml:3:1: "));
}

#[test]
fn the_first_mistake_of_the_text_is_told() {
    let text = "[workers]\ncount = \"x\"\n[intercept]\nprots = [80]\n";
    assert!(error(text).starts_with("weir.toml:2:9: "));
    let text = "[intercept]\nprots = [80]\n[workers]\ncount = \"x\"\n";
    assert!(error(text).starts_with("weir.toml:2:1: "));
}

#[test]
fn keys_that_contradict_each_other_are_located() {
    let equal = error("[host]\nsteer_mark = 0x40\nsocket_mark = 0x40\n");
    assert!(
        equal.starts_with("weir.toml:3:15: host.steer_mark and host.socket_mark are both 0x40")
    );
    // Equal to the default of the other, which the file does not show.
    assert!(error("[host]\nsteer_mark = 0x20000000\n").starts_with("weir.toml:2:14: "));
}

#[test]
fn flags_replace_the_files_interfaces() {
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let config = parse("[intercept]\nlan = [\"a\"]\nwan = [\"b\"]\n").unwrap();
    let with = |lan: &[&str], wan: &[&str]| {
        config
            .clone()
            .with_interfaces(&names(lan), &names(wan))
            .map(|config| config.intercept)
    };

    let intercept = with(&[], &[]).unwrap();
    assert_eq!(
        (intercept.lan, intercept.wan),
        (names(&["a"]), names(&["b"]))
    );
    let intercept = with(&["c", "d"], &[]).unwrap();
    assert_eq!(
        (intercept.lan, intercept.wan),
        (names(&["c", "d"]), names(&["b"]))
    );

    let said = |lan: &[&str], wan: &[&str]| with(lan, wan).unwrap_err().to_string();
    assert_eq!(
        said(&["c", "c"], &[]),
        "--lan: interface \"c\" is listed twice"
    );
    assert!(said(&[], &["x/y"]).starts_with("--wan: \"x/y\" is no interface name"));
    let intercept = with(&["c"], &["c"]).unwrap();
    assert_eq!(intercept.lan, intercept.wan, "a one-armed router");
}

#[test]
fn a_reload_names_what_it_cannot_change() {
    let old = Config::default();
    assert!(old.unchangeable_differences(&old).is_empty());
    let new = parse(EVERYTHING).unwrap();
    let fixed = old.unchangeable_differences(&new);
    let paths: Vec<_> = fixed.iter().map(|it| it.path).collect();
    assert_eq!(
        paths,
        [
            "intercept.lan",
            "intercept.wan",
            "intercept.families",
            "intercept.heartbeat_stale",
            "intercept.output",
            "spoof.ports",
            "log.level",
            "bypass.directory",
            "bypass.entries",
            "bypass.damaged",
            "control.group",
            "control.read_group",
            "security.user",
            "security.landlock",
            "host.table",
            "host.priority",
            "host.steer_mark",
            "host.socket_mark",
            "host.output_mark",
            "workers.count",
        ]
    );
    assert_eq!(
        fixed[14].to_string(),
        "host.table (8780 is in force, 100 in the file)"
    );
    assert!(
        old.differences(&new)
            .any(|it| it.path == "limits.head" && it.live)
    );
    let ruled = parse("[[rule]]\naction = \"deny\"\n").unwrap();
    assert!(old != ruled && old.unchangeable_differences(&ruled).is_empty());
}

#[test]
fn the_bypass_list_is_the_instances_own_unless_placed() {
    let placed = Bypass {
        directory: Some("/srv/b.json".into()),
        ..Bypass::default()
    };
    assert_eq!(placed.path("x"), PathBuf::from("/srv/b.json"));
    assert_eq!(
        Bypass::default().path("x"),
        PathBuf::from("/var/lib/weir/x/bypass")
    );
}

#[test]
fn files_are_loaded_and_named_in_errors() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weir.toml");
    let missing = Config::load(&path).unwrap_err();
    assert!(missing.is_not_found());
    assert!(missing.to_string().contains(&path.display().to_string()));

    fs::write(&path, "[workers]\ncount = 2\n").unwrap();
    assert_eq!(Config::load(&path).unwrap().workers.count, 2);

    fs::write(&path, "[workers]\ncuont = 2\n").unwrap();
    let expected = format!("{}:2:1: unknown key \"cuont\"", path.display());
    assert!(
        Config::load(&path)
            .unwrap_err()
            .to_string()
            .starts_with(&expected)
    );

    fs::write(&path, b"# \xff\n").unwrap();
    let invalid = Config::load(&path).unwrap_err();
    assert!(!invalid.is_not_found());
    assert!(invalid.to_string().contains("UTF-8"), "{invalid}");
}
