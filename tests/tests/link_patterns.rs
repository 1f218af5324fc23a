//! Interfaces by pattern: links that are there or not, few or many.

use std::{fmt::Write as _, process::Stdio, time::Duration};

use weir_tests::{
    ASIDE, Failed, Family, HostState, LAN, Layout, Namespace, Network, Options, Origin, WAN, Weir,
    all_direct, get, known_interfaces, network, run_weir, until, use_it,
};

const SOON: Duration = Duration::from_secs(60);
const DSL: &str = "dsl0";

#[test]
fn a_link_that_comes_late_is_intercepted_on_while_it_is_there() {
    let (net, _origin) = without_lan();
    let weir = Weir::start(&net.router, &lan(&["dsl*"]));
    assert_eq!(links(&weir), [""; 0]);
    assert!(
        weir.output().contains("from dsl* to wan0"),
        "{}",
        weir.output()
    );
    all_direct(&net);
    for times in 1..=2 {
        rename(&net.router, "away0", DSL);
        until(SOON, "it being attached", || links(&weir) == [DSL]);
        assert_eq!(rules(&net, DSL), 2);
        use_it(&net);
        let status = weir.status();
        assert_eq!(status["patterns"][0]["attached"], times, "{status}");
        let interface = &status["interfaces"][1];
        assert_eq!(interface["name"], DSL);
        assert_eq!(
            (&interface["pattern"], &interface["role"]),
            (&"dsl*".into(), &"lan".into())
        );
        let screen = weir.ask(&["status"]);
        assert!(
            screen.contains("dsl*") && screen.contains("1 links"),
            "{screen}"
        );
        rename(&net.router, DSL, "away0");
        until(SOON, "it being let go", || links(&weir).is_empty());
        assert_eq!(rules(&net, DSL), 0);
        assert_eq!(known_interfaces(&net.router, WAN).len(), 1);
        all_direct(&net);
    }
}

#[test]
fn a_wan_that_comes_late() {
    let net = network(&Layout::default());
    let _origin = Origin::start(&net.origin).unwrap();
    rename(&net.router, WAN, "away0");
    let options = Options {
        wan: vec!["ppp?".to_owned()],
        ..Options::default()
    };
    let weir = Weir::start(&net.router, &options);
    // Its route leads out of no WAN.
    all_direct(&net);
    assert!(weir.flows("route-not-wan") > 0);
    rename(&net.router, "away0", "ppp0");
    until(SOON, "it being attached", || links(&weir) == ["ppp0"]);
    use_it(&net);
}

#[test]
fn a_name_comes_before_a_pattern_and_loopback_is_never_meant() {
    let (net, _origin) = two_lans();
    let weir = Weir::start(&net.router, &lan(&["*"]));
    assert_eq!(links(&weir), [ASIDE, LAN]);
    works(&net);
    assert_eq!(weir.status()["warnings"], serde_json::json!([]));
}

#[test]
fn patterns_that_contradict_each_other_are_refused_by_name() {
    let (net, _origin) = two_lans();
    let mut options = lan(&["lan*", "a*"]);
    options.wan = vec![WAN.to_owned(), "*0".to_owned()];
    let before = HostState::of(&net.router, "none yet");
    let Failed {
        instance,
        status,
        output,
    } = Weir::refused(&net.router, &options);
    assert_eq!(status.code(), Some(4), "{output}");
    let words = "interface lan0 is a LAN by \"lan*\" and a WAN by \"*0\"";
    assert!(output.contains(words), "{output}");
    before.assert_same(&HostState::of(&net.router, &instance), "after the refusal");

    // A link that comes later is told, and left alone.
    options.wan = vec![WAN.to_owned(), "*9".to_owned()];
    let weir = Weir::start(&net.router, &options);
    works(&net);
    rename(&net.router, LAN, "lan9");
    let words = "interface lan9 is a LAN by \"lan*\" and a WAN by \"*9\"";
    weir.says(words);
    assert!(weir.status()["warnings"].to_string().contains("lan9"));
    assert_eq!(links(&weir), [ASIDE]);
    all_direct(&net);
    rename(&net.router, "lan9", LAN);
    weir.says("no longer: interface lan9");
    until(SOON, "it being attached", || links(&weir) == [ASIDE, LAN]);
    works(&net);
}

#[test]
fn a_bypass_entry_for_a_lan_that_is_not_there_yet() {
    let (net, _origin) = without_lan();
    let weir = Weir::start(&net.router, &lan(&["dsl*", "lte0", "a*"]).waiting());
    for family in Family::BOTH {
        let origin = family.origin(0).to_string();
        weir.bypass(&["add", &origin, "--in", DSL]);
        weir.bypass(&["add", &origin, "--in", "dsl1"]);
    }
    let refused = weir.command(&["bypass", "add", "any", "--in", "eth7"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("dsl*, lte0"),
        "{said}"
    );
    let is = |direct: bool| {
        for family in Family::BOTH {
            let origins = [family.http(), (family.origin(1), 80).into()];
            let [here, other] = origins.map(|to| get(&net.client, (family.client(), 0), to));
            assert_eq!(here.direct(), direct, "{here:?}");
            assert!(other.intercepted(), "{other:?}");
        }
    };
    for (name, direct) in [
        (DSL, true),
        ("dsl2", false),
        ("dsl1", true),
        ("lte0", false),
    ] {
        rename(&net.router, "away0", name);
        until(SOON, "it being attached", || is_attached(&weir, name));
        is(direct);
        // Entries about a LAN that is there are in force at once.
        let origin = Family::V4.origin(1).to_string();
        weir.bypass(&["add", &origin, "--in", name]);
        let to = (Family::V4.origin(1), 80);
        assert!(get(&net.client, (Family::V4.client(), 0), to).direct());
        weir.bypass(&["del", &origin, "--in", name]);
        rename(&net.router, name, "away0");
        until(SOON, "it being let go", || !is_attached(&weir, name));
    }
    // Taken away while its LAN is not there.
    for family in Family::BOTH {
        weir.bypass(&["del", &family.origin(0).to_string(), "--in", DSL]);
    }
    rename(&net.router, "away0", DSL);
    until(SOON, "it being attached", || is_attached(&weir, DSL));
    is(false);
    let test = ["test", "10.77.1.2", "203.0.113.2", "--in", "dsl1"];
    assert!(weir.bypass(&test).contains("dsl1"));
}

#[test]
fn many_links_come_and_go_at_once_and_leave_nothing() {
    const MANY: usize = 50;
    let (net, _origin) = without_lan();
    let mut weir = Weir::start(&net.router, &lan(&["dsl*"]));
    rename(&net.router, "away0", DSL);
    for _ in 0..2 {
        add(&net.router, 1..=MANY);
        until(SOON, "all being attached", || {
            links(&weir).len() == MANY + 1
        });
        assert_eq!(known_interfaces(&net.router, WAN).len(), MANY + 2);
        assert_eq!(rules(&net, "dsl"), 2 * (MANY + 1));
        use_it(&net);
        delete(&net.router, 1..=MANY);
        until(SOON, "all being let go", || links(&weir) == [DSL]);
        assert_eq!(known_interfaces(&net.router, WAN).len(), 2);
        assert_eq!(rules(&net, "dsl"), 2);
        use_it(&net);
    }
    add(&net.router, 1..=MANY);
    until(SOON, "all being attached", || {
        links(&weir).len() == MANY + 1
    });
    weir.stop();
    let state = HostState::of(&net.router, &weir.instance);
    for number in 0..=MANY {
        assert!(state.lines(&format!("programs dsl{number}")).is_empty());
    }
    assert_eq!(rules(&net, "dsl"), 0);
    all_direct(&net);
}

/// More messages than the kernel keeps for a daemon that is held up, and more links than there is
/// room for.
#[test]
fn more_links_than_there_can_be() {
    const MANY: usize = 300;
    const ROOM: usize = 256;
    let (net, _origin) = without_lan();
    let weir = Weir::start(&net.router, &lan(&["dsl*"]));
    rename(&net.router, "away0", DSL);
    until(SOON, "it being attached", || links(&weir) == [DSL]);
    weir.sigstop();
    add(&net.router, 1..=MANY);
    weir.signal(nix::sys::signal::Signal::SIGCONT);
    until(SOON, "as many as there is room for", || {
        links(&weir).len() == ROOM - 1
    });
    weir.says("is one too many: nothing is intercepted on it");
    let warnings = || weir.status()["warnings"].as_array().unwrap().len();
    until(SOON, "the others being told", || {
        warnings() == MANY + 2 - ROOM
    });
    use_it(&net);
    // Whoever goes makes room.
    delete(&net.router, 1..=100);
    until(SOON, "the others being attached", || {
        links(&weir).len() == MANY - 100 + 1
    });
    until(SOON, "no warnings", || warnings() == 0);
    assert_eq!(known_interfaces(&net.router, WAN).len(), MANY - 100 + 2);
    use_it(&net);
}

#[test]
fn a_dead_daemon_with_links_by_pattern_is_undone() {
    let (net, _origin) = without_lan();
    let instance = format!("patterns-{}", std::process::id());
    rename(&net.router, "away0", DSL);
    add(&net.router, 1..=5);
    let before = HostState::of(&net.router, &instance);
    let mut options = lan(&["dsl*"]);
    options.instance = Some(instance.clone());
    let mut weir = Weir::start(&net.router, &options);
    until(SOON, "all being attached", || links(&weir).len() == 6);
    use_it(&net);
    weir.kill9();
    all_direct(&net);
    // By the next run, which finds them again, and by `weir down`.
    weir.start_again();
    until(SOON, "all being attached", || links(&weir).len() == 6);
    use_it(&net);
    weir.kill9();
    let down = run_weir(&["down", "--instance", &instance]);
    assert!(down.status.success(), "{down:?}");
    before.assert_same(&HostState::of(&net.router, &instance), "after weir down");
    all_direct(&net);
}

/// Waits for what is named and missing.
trait Waiting {
    fn waiting(self) -> Self;
}

impl Waiting for Options {
    fn waiting(mut self) -> Self {
        self.config.push_str("[intercept]\nmissing = \"wait\"\n");
        self
    }
}

/// A network whose router has no LAN yet: its link is called `away0`.
fn without_lan() -> (Network, Origin) {
    let net = network(&Layout::default());
    let origin = Origin::start(&net.origin).unwrap();
    rename(&net.router, LAN, "away0");
    (net, origin)
}

fn two_lans() -> (Network, Origin) {
    let net = network(&Layout {
        aside: true,
        ..Layout::default()
    });
    let origin = Origin::start(&net.origin).unwrap();
    (net, origin)
}

fn lan(lan: &[&str]) -> Options {
    Options {
        lan: lan.iter().map(ToString::to_string).collect(),
        ..Options::default()
    }
}

/// Clients of both LANs are intercepted.
fn works(net: &Network) {
    let aside = net.aside.as_ref().unwrap();
    for family in Family::BOTH {
        assert!(get(&net.client, (family.client(), 0), family.http()).intercepted());
        assert!(get(aside, (family.aside(), 0), family.http()).intercepted());
    }
}

/// The links that all patterns brought and that are attached, by name.
fn links(weir: &Weir) -> Vec<String> {
    let status = weir.status();
    let interfaces = status["interfaces"].as_array().unwrap().iter();
    let brought = interfaces.filter(|it| it["pattern"].is_string() && it["attached"] == true);
    let mut names: Vec<_> = brought
        .map(|it| it["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

fn is_attached(weir: &Weir, name: &str) -> bool {
    let status = weir.status();
    let mut interfaces = status["interfaces"].as_array().unwrap().iter();
    interfaces.any(|it| it["name"] == name && it["attached"] == true)
}

/// Rules of both families about interfaces whose names begin so.
fn rules(net: &Network, name: &str) -> usize {
    let of = |family| net.router.ip(&[family, "rule"]).unwrap();
    let count = |family| of(family).matches(&format!("iif {name}")).count();
    count("-4") + count("-6")
}

fn rename(namespace: &Namespace, from: &str, to: &str) {
    namespace.ip(&["link", "set", from, "name", to]).unwrap();
}

/// Adds veth pairs whose one end is called `dslN`.
fn add(namespace: &Namespace, numbers: std::ops::RangeInclusive<usize>) {
    batch(namespace, numbers, |line, number| {
        writeln!(line, "link add dsl{number} type veth peer name x{number}").unwrap();
        writeln!(line, "link set dsl{number} up").unwrap();
    });
}

fn delete(namespace: &Namespace, numbers: std::ops::RangeInclusive<usize>) {
    batch(namespace, numbers, |line, number| {
        writeln!(line, "link delete dsl{number}").unwrap();
    });
}

fn batch(
    namespace: &Namespace,
    numbers: std::ops::RangeInclusive<usize>,
    line: impl Fn(&mut String, usize),
) {
    let mut lines = String::new();
    numbers.for_each(|number| line(&mut lines, number));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), lines).unwrap();
    let done = namespace
        .command("ip")
        .arg("-batch")
        .arg(file.path())
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(done.success());
}
