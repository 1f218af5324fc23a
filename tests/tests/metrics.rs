//! The endpoint for Prometheus, and that its documents are true.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use weir_tests::{Dial, Family, GET, OK, Options, Stage, Weir, World, connect, dial, until};

const SOON: Duration = Duration::from_secs(20);
const LISTEN: &str = "[metrics]\nlisten = \"9487\"\n";

/// What the endpoint answers a request of that head.
fn ask(stage: &Stage, to: SocketAddr, request: &str) -> String {
    let from = match to {
        SocketAddr::V4(_) => (Ipv4Addr::LOCALHOST, 0).into(),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::LOCALHOST, 0)),
    };
    let mut asked = connect(&stage.net.router, from, to);
    asked.send(request).unwrap();
    String::from_utf8(asked.to_end().unwrap()).unwrap()
}

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 9487).into()
}

/// Samples by name and labels.
fn scrape(stage: &Stage) -> BTreeMap<String, f64> {
    let answer = ask(
        stage,
        loopback(),
        "GET /metrics HTTP/1.1\r\nHost: lab\r\n\r\n",
    );
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("application/openmetrics-text"), "{head}");
    let length = format!("Content-Length: {}\r\n", body.len());
    assert!(head.contains(&length), "{head}");
    assert!(body.ends_with("# EOF\n"), "{body}");
    let samples = body.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

/// Is it that whole number?
fn is(value: f64, number: u32) -> bool {
    (value - f64::from(number)).abs() < 0.01
}

#[test]
fn it_counts_what_happens() {
    let stage = Stage::with(LISTEN);
    for family in Family::BOTH {
        let before = scrape(&stage);
        let more = |name: &str| {
            let value = |of: &BTreeMap<String, f64>| {
                let value = of.get(name).copied();
                value.unwrap_or_else(|| panic!("no sample {name}: {of:#?}"))
            };
            value(&scrape(&stage)) - value(&before)
        };
        let (mut client, mut origin) = stage.begin(family, GET);
        origin.expect(GET);
        assert!(is(more("weir_connections_active"), 1));
        origin.send(OK).unwrap();
        client.expect(OK);
        until(SOON, "the end of the request", || {
            is(more("weir_requests_total{status=\"2xx\"}"), 1)
        });
        let length = |text: &str| u32::try_from(text.len()).unwrap();
        for (name, expected) in [
            ("weir_flows_total{reason=\"intercepted\"}", 1),
            ("weir_accepts_total", 1),
            ("weir_connections_total", 1),
            ("weir_requests_total{status=\"5xx\"}", 0),
            ("weir_outcomes_total{reason=\"served\"}", 1),
            ("weir_outcomes_total{reason=\"killed\"}", 0),
            ("weir_client_bytes_total{direction=\"in\"}", length(GET)),
            ("weir_client_bytes_total{direction=\"out\"}", length(OK)),
            ("weir_accept_to_connect_seconds_count", 1),
            ("weir_origin_connect_seconds_bucket{le=\"+Inf\"}", 1),
            ("weir_first_byte_seconds_count", 1),
            ("weir_request_seconds_count", 1),
        ] {
            let more = more(name);
            assert!(is(more, expected), "{name}: {more}, not {expected}");
        }
    }
    let now = scrape(&stage);
    let sample = |name: &str| now.get(name).copied().map(f64::round);
    assert_eq!(
        sample("weir_interface_attached{interface=\"lan0\",role=\"lan\"}"),
        Some(1.0)
    );
    assert!(sample("weir_load_limit{measure=\"connections\"}") > Some(0.0));
    assert!(
        now.contains_key("weir_load{measure=\"worker-lag\"}"),
        "{now:?}"
    );
}

#[test]
fn it_answers_nothing_else() {
    let stage = Stage::with(LISTEN);
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: lab\r\n\r\n", "404"),
        ("GET /metrics?x=y HTTP/1.0\r\n\r\n", "200"),
        (
            "POST /metrics HTTP/1.1\r\nHost: lab\r\nContent-Length: 0\r\n\r\n",
            "405",
        ),
        ("nonsense\r\n\r\n", "400"),
    ] {
        let answer = ask(&stage, loopback(), request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request:?}: {answer}"
        );
    }
    let head = ask(
        &stage,
        loopback(),
        "HEAD /metrics HTTP/1.1\r\nHost: lab\r\n\r\n",
    );
    assert!(
        head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    // The port is the loopback device's alone.
    let own = Dial::new((Family::V4.client(), 0), (Family::V4.router_lan(), 9487));
    assert!(stage.net.client.run(|| dial(&own)).unwrap().is_err());
}

#[test]
fn it_moves_with_a_reload_and_lives_through_an_upgrade() {
    let mut stage = Stage::with(LISTEN);
    let said = stage.weir.reload("[metrics]\nlisten = \"[::1]:9488\"\n");
    assert!(said.contains("reloaded"), "{said}");
    let request = "GET /metrics HTTP/1.1\r\nHost: lab\r\n\r\n";
    let moved = SocketAddr::from((Ipv6Addr::LOCALHOST, 9488));
    assert!(ask(&stage, moved, request).contains("# EOF"));
    let gone = Dial::new((Ipv4Addr::LOCALHOST, 0), loopback());
    assert!(stage.net.router.run(|| dial(&gone)).unwrap().is_err());
    // An address of somebody else's: nothing changes.
    let said = stage
        .weir
        .reload("[metrics]\nlisten = \"192.0.2.9:9488\"\n");
    assert!(
        said.contains("not reloaded") && said.contains("192.0.2.9:9488"),
        "{said}"
    );
    assert!(ask(&stage, moved, request).contains("# EOF"));
    stage.weir.configure("[metrics]\nlisten = \"[::1]:9488\"\n");
    stage.weir.upgrade();
    assert!(ask(&stage, moved, request).contains("# EOF"));
}

#[test]
fn a_start_that_cannot_listen_says_so() {
    let world = World::new();
    let options = Options::config("[metrics]\nlisten = \"192.0.2.9:9488\"\n");
    drop(world.weir);
    let failed = Weir::refused(&world.net.router, &options);
    assert!(
        failed.output.contains("metrics.listen"),
        "{}",
        failed.output
    );
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Words that begin with `weir_` and end a metric's name.
fn named(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_part(c));
    words
        .filter(|word| word.starts_with("weir_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_documents_name_what_there_is_and_nothing_else() {
    let stage = Stage::with(LISTEN);
    let text = ask(
        &stage,
        loopback(),
        "GET /metrics HTTP/1.1\r\nHost: lab\r\n\r\n",
    );
    let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let exported: BTreeSet<_> = kinds
        .map(|line| match line.split_once(' ').unwrap() {
            (name, "counter") => format!("{name}_total"),
            (name, _) => name.to_owned(),
        })
        .collect();
    let table = read("docs/METRICS.md");
    let rows = table.lines().filter(|line| line.starts_with("| `weir_"));
    let documented: BTreeSet<_> = rows.flat_map(named).collect();
    assert_eq!(documented, exported);
    let dashboard = read("packaging/grafana/weir.json");
    let shown: serde_json::Value = serde_json::from_str(&dashboard).unwrap();
    let mut queries = 0;
    for panel in shown["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            for name in named(target["expr"].as_str().unwrap()) {
                let base = name.strip_suffix("_bucket").unwrap_or(&name);
                assert!(exported.contains(base), "{name} in {}", panel["title"]);
                queries += 1;
            }
        }
    }
    assert!(queries > 10, "{queries}");
}
