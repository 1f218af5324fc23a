use crate::config::Config;

/// `section.key = value` and the beginning of what is said about it, from the column on.
#[rustfmt::skip]
const WRONG: [(&str, &str); 69] = [
    ("intercept.lan = \"eth1\"", "17: expected a list of interface names"),
    ("intercept.lan = [\"eth1\", 2]", "26: expected an interface name, found an integer"),
    ("intercept.lan = [\"\"]", "18: \"\" is no interface name: it is empty"),
    ("intercept.lan = [\"a/b\"]", "18: \"a/b\" is no interface name: it has a slash"),
    ("intercept.lan = [\"a b\"]", "18: \"a b\" is no interface name"),
    ("intercept.lan = [\"a:1\"]", "18: \"a:1\" is no interface name"),
    ("intercept.lan = [\"..\"]", "18: \"..\" is no interface name"),
    ("intercept.lan = [\"0123456789abcdef\"]", "18: \"0123456789abcdef\" is no interface name"),
    ("intercept.lan = [\"a\", \"a\"]", "23: interface \"a\" is listed twice"),
    ("intercept.ports = 80", "19: expected a list of ports, found an integer"),
    ("intercept.ports = []", "19: expected 1 to 8 ports, found 0"),
    ("intercept.ports = [1,2,3,4,5,6,7,8,9]", "19: expected 1 to 8 ports, found 9"),
    ("intercept.ports = [0]", "20: expected an integer between 1 and 65535, found 0"),
    ("intercept.ports = [65536]", "20: expected an integer between 1 and 65535, found 65536"),
    ("intercept.ports = [-80]", "20: expected an integer between 1 and 65535, found -80"),
    ("intercept.ports = [\"80\"]", "20: expected an integer between 1 and 65535, found a string"),
    ("intercept.ports = [80, 80]", "24: port 80 is listed twice"),
    ("intercept.families = []", "22: expected at least one of"),
    ("intercept.families = [\"ipv5\"]", "23: expected \"ipv4\" or \"ipv6\", found \"ipv5\""),
    ("intercept.families = [\"ipv4\", \"ipv4\"]", "31: this address family is listed twice"),
    ("intercept.on_failure = \"closed\"", "24: \"closed\" is not available in this version"),
    ("intercept.on_failure = \"shut\"", "24: expected \"open\", found \"shut\""),
    ("intercept.on_failure = true", "24: expected \"open\", found a boolean"),
    ("intercept.heartbeat_stale = \"50ms\"", "29: 50ms is not between 100ms and 1m"),
    ("intercept.heartbeat_stale = 1", "29: expected a duration with a unit"),
    ("spoof.ports = \"32767-10000\"", "15: the range 32767-10000 is inverted"),
    ("spoof.ports = \"80-1024\"", "15: the range 80-1024 must not begin below 1024"),
    ("spoof.ports = \"10000\"", "15: expected a range of ports"),
    ("spoof.ports = \"10000-70000\"", "15: expected a range of ports"),
    ("spoof.ports = \"+10000-20000\"", "15: expected a range of ports"),
    ("spoof.ports = [10000, 20000]", "15: expected a range of ports"),
    ("http.via = \"yes\"", "12: expected true or false, found a string"),
    ("http.forwarded = \"on\"", "18: expected \"off\", \"x-forwarded-for\" or \"forwarded\", found"),
    ("http.not_http = false", "17: expected \"tunnel\" or \"reject\", found a boolean"),
    ("http.host_check = \"loose\"", "19: expected \"label\", \"strict\" or \"off\", found \"loose\""),
    ("http.host_strict_clients = \"10/8\"", "28: expected a list of prefixes"),
    ("http.host_strict_clients = [\"10/8\"]", "29: expected a prefix, such as"),
    ("http.host_strict_clients = [\"10.0.0.1/8\"]", "29: 10.0.0.1/8 has bits set behind its length"),
    ("http.silence = \"2m\"", "16: 2m is not between 0ms and 1m"),
    ("limits.memory = \"1KiB\"", "17: 1KiB is not between 1MiB and 1024GiB"),
    ("limits.min_send_rate = 64", "24: expected a size with a unit"),
    ("limits.connections = 0", "22: expected an integer between 1 and 1000000, found 0"),
    ("limits.connections = 1.5", "22: expected an integer between 1 and 1000000, found a float"),
    ("limits.head = 65536", "15: expected a size with a unit"),
    ("limits.head = \"64\"", "15: expected a size with a unit"),
    ("limits.head = \"64KB\"", "15: expected a size with a unit (B, KiB, MiB, GiB)"),
    ("limits.head = \"0KiB\"", "15: 0KiB is not between 1KiB and 1MiB"),
    ("limits.head = \"2MiB\"", "15: 2MiB is not between 1KiB and 1MiB"),
    ("limits.head_timeout = \"0s\"", "23: 0s is not between 1ms and 1h"),
    ("limits.head_timeout = \"1.5s\"", "23: expected a duration with a unit"),
    ("limits.head_timeout = \"99999999999999999999h\"", "23: expected a duration"),
    ("limits.head_timeout = \"9999999999999999h\"", "23: expected a duration"),
    ("limits.drain = \"1d\"", "16: expected a duration with a unit (ms, s, m, h)"),
    ("valve.enabled = 1", "17: expected true or false, found an integer"),
    ("valve.probe = 0", "15: expected an integer between 1 and 1000000, found 0"),
    ("log.access = \"access.log\"", "14: expected \"off\", \"stdout\" or the absolute path"),
    ("log.access = \"/var/log/\"", "14: expected \"off\", \"stdout\" or the absolute path"),
    ("log.level = \"inof\"", "13: \"inof\" is no level; there are: off, error, warn"),
    ("log.level = \"a=b=c=d\"", "13: \"a=b=c=d\" is no filter"),
    ("bypass.file = \"bypass.json\"", "15: expected the absolute path of a file"),
    ("host.table = 0", "14: 0 means no table"),
    ("host.table = 253", "14: 253 is the kernel's table \"default\""),
    ("host.table = 255", "14: 255 is the kernel's table \"local\""),
    ("host.table = 254", "14: 254 is the kernel's table \"main\""),
    ("host.table = 4294967296", "14: expected an integer between 0 and 4294967295"),
    ("host.priority = 32766", "17: expected an integer between 1 and 32765, found 32766"),
    ("host.steer_mark = 0x3", "19: a mark is exactly one bit, 0x3 has 2"),
    ("host.socket_mark = 0", "20: a mark is exactly one bit, 0x0 has 0"),
    ("workers.count = 1025", "17: expected an integer between 0 and 1024, found 1025"),
];

#[test]
fn wrong_values_are_located_and_explained() {
    for (line, said) in WRONG {
        let error = match Config::parse(&format!("\n{line}\n"), "weir.toml") {
            Ok(_) => panic!("accepted: {line}"),
            Err(error) => error.to_string(),
        };
        assert!(
            error.starts_with(&format!("weir.toml:2:{said}")),
            "{line}: {error}"
        );
    }
}
