//! The router's own connections: left alone by default, intercepted with `--output`.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use nix::sys::signal::Signal;
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};
use weir_tests::{
    Connection, Dial, Echo, Family, HostState, LAN, Layout, Options, Said, WAN, Weir, World, dial,
    get, lived_in, until, weir_binary,
};

const SOON: Duration = Duration::from_secs(20);

fn with_output(config: &str) -> Options {
    Options {
        arguments: vec!["--output".to_owned()],
        ..Options::config(config)
    }
}

fn world(config: &str) -> World {
    World::with(&Layout::default(), &with_output(config), |_| {})
}

#[test]
fn by_default_they_are_not_intercepted() {
    let world = World::new();
    for family in Family::BOTH {
        assert!(of_router(&world, family).direct());
        assert!(world.get(family).intercepted(), "clients are");
    }
    assert_eq!(world.weir.flows("intercepted"), 2);
    assert!(world.weir.status()["output"].is_null());
}

#[test]
fn with_output_they_are_and_the_origin_sees_the_router() {
    let world = world("");
    for (count, family) in (1..).zip(Family::BOTH) {
        let echo = of_router(&world, family);
        assert!(echo.intercepted(), "{echo:?}");
        assert_eq!(echo.peer().ip(), family.router_wan());
        until(SOON, "a line of the access log", || {
            let log = world.weir.access_log();
            let client =
                |record: &Value| record["client"].as_str() == Some(&echo.1.ip().to_string());
            log.iter().filter(|record| client(record)).count() == 1
        });
        assert_eq!(own(&world, "intercepted"), count);
    }
    assert_eq!(world.weir.flows("intercepted"), 0, "those are the LAN's");
    for family in Family::BOTH {
        assert!(world.get(family).intercepted(), "clients still are");
    }
    assert_eq!(own(&world, "intercepted"), 2, "other namespaces' are none");
    assert_eq!(world.weir.status()["valve"], Value::Null);
}

#[test]
fn the_configuration_says_it_as_well() {
    let options = Options::config("[intercept]\noutput = true\n[host]\noutput_mark = 0x100\n");
    let world = World::with(&Layout::default(), &options, |_| {});
    assert!(of_router(&world, Family::V4).intercepted());
    let rules = world.net.router.ip(&["rule"]).unwrap();
    assert!(
        rules.contains("from all fwmark 0x100/0x100 iif lo lookup 8780"),
        "{rules}"
    );
    let said = world.weir.reload("");
    assert!(said.contains("intercept.output"), "{said}");
}

/// The port that the origin would see is the router's own socket's.
#[test]
fn a_port_of_ours_is_taken_where_the_clients_cannot_be() {
    let world = world("[spoof]\nsource = \"client-port\"\n");
    for family in Family::BOTH {
        let echo = of_router(&world, family);
        assert!(echo.intercepted(), "{echo:?}");
    }
}

#[test]
fn large_bodies_come_whole_both_ways() {
    let world = world("");
    for family in Family::BOTH {
        let mut connection = connect(&world, any(family), family.http());
        assert_eq!(connection.upload(4 << 20).unwrap().body_length(), 4 << 20);
        connection.download(4 << 20).unwrap();
    }
    assert_eq!(own(&world, "intercepted"), 2);
}

#[test]
fn what_is_bypassed_goes_direct() {
    let world = world("");
    for family in Family::BOTH {
        world.weir.bypass(&["add", &family.origin(0).to_string()]);
        assert!(of_router(&world, family).direct());
        let other = SocketAddr::new(family.origin(1), 80);
        assert!(get(&world.net.router, any(family), other).intercepted());
        world.weir.bypass(&["del", &family.origin(0).to_string()]);
        let router = family.router_wan().to_string();
        world.weir.bypass(&["add", "--src", &router]);
        assert!(of_router(&world, family).direct());
        world.weir.bypass(&["del", "--src", &router]);
    }
}

#[test]
fn other_ports_and_own_addresses_are_left_alone() {
    let world = world("");
    for family in Family::BOTH {
        let other = SocketAddr::new(family.origin(0), 8080);
        assert!(get(&world.net.router, any(family), other).direct());
        for address in [family.router_lan(), loopback(family)] {
            let way = Dial::new((unspecified(family), 0), (address, 80));
            let refused = world.net.router.run(|| dial(&way)).unwrap().map(|_| ());
            let kind = refused.unwrap_err().kind();
            assert_eq!(kind, std::io::ErrorKind::ConnectionRefused, "{address}");
        }
    }
    assert_eq!(own(&world, "intercepted"), 0);
    assert_eq!(own(&world, "own-address") + own(&world, "local-scope"), 4);
}

#[test]
fn a_daemon_that_is_gone_or_hangs_is_none() {
    let mut world = world("");
    for end in [Weir::kill9, Weir::stop] {
        for family in Family::BOTH {
            assert!(of_router(&world, family).intercepted());
        }
        end(&mut world.weir);
        for family in Family::BOTH {
            assert!(of_router(&world, family).direct());
        }
        world.weir.start_again();
    }
    world.weir.sigstop();
    for family in Family::BOTH {
        // Until its heartbeat is stale, one may be waited for in vain.
        until(SOON, "direct connections", || direct_within(&world, family));
    }
    world.weir.signal(Signal::SIGCONT);
    for family in Family::BOTH {
        until(SOON, "the heartbeat", || {
            of_router(&world, family).intercepted()
        });
    }
}

#[test]
fn nothing_of_it_stays() {
    let (net, _origin) = lived_in();
    let instance = || format!("output-undo-{}", std::process::id());
    let before = HostState::of(&net.router, &instance());
    let options = || Options {
        instance: Some(instance()),
        ..with_output("")
    };
    let mut weir = Weir::start(&net.router, &options());
    let during = before.difference(&HostState::of(&net.router, &instance()));
    let rule = |line: &&String| line.contains("fwmark 0x8000000/0x8000000 iif lo lookup 8780");
    assert_eq!(during.iter().filter(rule).count(), 2, "{during:?}");
    for family in Family::BOTH {
        // The router's own socket would be in TIME_WAIT otherwise, as it would without us.
        let mut connection = weir_tests::connect(&net.router, any(family), family.http());
        assert!(connection.echo("/").unwrap().intercepted());
        connection.reset();
    }
    weir.stop();
    before.assert_same(&HostState::of(&net.router, &instance()), "after a stop");
    weir.start_again();
    weir.kill9();
    weir.ask(&["down"]);
    before.assert_same(&HostState::of(&net.router, &instance()), "after weir down");
    for family in Family::BOTH {
        assert!(get(&net.router, any(family), family.http()).direct());
    }
}

#[test]
fn sockets_with_a_way_of_their_own_keep_it() {
    let world = world("");
    let peer = |family: Family, prepare: fn(&Socket)| {
        let socket = world.net.router.run(|| {
            let socket = socket(Domain::for_address(family.http()), Protocol::TCP);
            prepare(&socket);
            socket.connect(&family.http().into()).unwrap();
            socket
        });
        echo(socket.unwrap())
    };
    for family in Family::BOTH {
        assert!(peer(family, |_| {}).intercepted());
        assert!(peer(family, |socket| socket.set_mark(0x7).unwrap()).direct());
        assert!(peer(family, |socket| socket.bind_device(Some(b"wan0")).unwrap()).direct());
    }
    assert_eq!(own(&world, "own-way"), 4);
    let mapped = world.net.router.run(|| {
        let socket = socket(Domain::IPV6, Protocol::TCP);
        let IpAddr::V4(origin) = Family::V4.origin(0) else {
            unreachable!("it is IPv4")
        };
        let mapped = SocketAddr::new(origin.to_ipv6_mapped().into(), 80);
        socket.connect(&mapped.into()).unwrap();
        socket
    });
    let report = echo(mapped.unwrap());
    assert_eq!(report.peer().ip(), Family::V4.router_wan());
    assert_ne!(report.peer().port(), report.1.port(), "{report:?}");
    let multipath = world.net.router.run(|| {
        let socket = socket(Domain::IPV4, Protocol::MPTCP);
        socket.connect(&Family::V4.http().into()).unwrap();
        socket
    });
    assert!(echo(multipath.unwrap()).intercepted());
    assert_eq!(own(&world, "intercepted"), 4);
}

/// The address and the port that a program has bound stay what they are; a connect that does not
/// wait, one with the first request in its SYN, and a socket that is used twice.
#[test]
fn every_kind_of_connect() {
    let world = world("");
    for family in Family::BOTH {
        let bound = SocketAddr::new(family.router_lan(), 41_234);
        let report = get(&world.net.router, bound, family.http());
        assert_eq!(report.1, bound);
        assert_eq!(report.peer().ip(), bound.ip());
        assert!(report.intercepted());
        let said = python(&world, family, NON_BLOCKING);
        assert!(said.contains("200 OK"), "{said}");
        let said = python(&world, family, FAST_OPEN);
        assert!(said.contains("200 OK"), "{said}");
        let before = own(&world, "intercepted");
        let said = python(&world, family, TWICE);
        assert_eq!(said.matches("200 OK").count(), 2, "{said}");
        assert_eq!(
            own(&world, "intercepted"),
            before + 1,
            "the second was to port 8080"
        );
    }
}

#[test]
fn curl_gets_what_it_asks_for() {
    let world = world("");
    for family in Family::BOTH {
        let url = format!("http://{}/bytes/1000000", family.http());
        let mut curl = world.net.router.command("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--fail",
            "--noproxy",
            "*",
            "-g",
            &url,
        ]);
        let output = curl.output().unwrap();
        assert_eq!(output.stdout.len(), 1_000_000, "{:?}", Said::of(&output));
    }
    assert_eq!(own(&world, "intercepted"), 2);
}

#[test]
fn a_firewall_that_drops_them_opens_the_valve() {
    let world = World::with(
        &Layout::default(),
        &with_output("[valve]\nprobe = 2\n"),
        |net| {
            net.router
                .nft(
                    "table inet own { chain input { type filter hook input priority 0;
                    iif lo tcp dport 80 drop; }; }",
                )
                .unwrap();
        },
    );
    for family in Family::BOTH {
        until(SOON, "the valve", || direct_within(&world, family));
    }
    world.weir.says("interface=\"lo\"");
    assert_eq!(world.weir.status()["valve"], "not-delivered");
    world.net.router.nft("flush ruleset").unwrap();
    for family in Family::BOTH {
        assert!(world.get(family).intercepted(), "clients were all the time");
        until(SOON, "the valve closed", || {
            of_router(&world, family).intercepted()
        });
    }
}

/// `ip netns exec` mounts a `/sys` of its own, without the host's cgroups.
#[test]
fn without_cgroups_the_start_is_refused_by_name() {
    let net = weir_tests::network(&Layout::default());
    let before = HostState::of(&net.router, "output-refused");
    let files = tempfile::tempdir().unwrap();
    let config = files.path().join("weir.toml");
    let lists = files.path().join("bypass");
    std::fs::write(&config, format!("[bypass]\ndirectory = {lists:?}\n")).unwrap();
    let mut weir = net.router.command(weir_binary().to_str().unwrap());
    weir.args(["run", "--lan", LAN, "--wan", WAN, "--output", "--config"]);
    weir.arg(config);
    let instance = format!("output-refused-{}", std::process::id());
    let output = weir.args(["--instance", &instance]).output().unwrap();
    Said::of(&output).failed(4, &["no cgroup2 file system is mounted here"]);
    before.assert_same(&HostState::of(&net.router, &instance), "after the refusal");
}

const NON_BLOCKING: &str = "
s.setblocking(False)
assert s.connect_ex((host, 80)) == errno.EINPROGRESS
select.select([], [s], [], 20)
s.setblocking(True)
s.sendall(request)
print(s.recv(4096))
";

const FAST_OPEN: &str = "
s.setblocking(True)
s.sendto(request, socket.MSG_FASTOPEN, (host, 80))
print(s.recv(4096))
";

/// `connect(2)`: with `AF_UNSPEC` the association is dissolved.
const TWICE: &str = "
s.connect((host, 80))
s.sendall(request)
print(s.recv(4096))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.connect(s.fileno(), bytes(28), 28) == 0, ctypes.get_errno()
s.connect((host, 8080))
s.sendall(request)
print(s.recv(4096))
";

/// What a program said that has a socket `s`, a `host` and a `request`.
fn python(world: &World, family: Family, program: &str) -> String {
    let kind = match family {
        Family::V4 => "AF_INET",
        Family::V6 => "AF_INET6",
    };
    let begin = format!(
        "import ctypes, errno, select, socket
s = socket.socket(socket.{kind}, socket.SOCK_STREAM)
s.settimeout(20)
host = '{}'
request = b'GET / HTTP/1.1\\r\\nHost: lab\\r\\n\\r\\n'
",
        family.origin(0)
    );
    let mut python = world.net.router.command("python3");
    let output = python.args(["-c", &(begin + program)]).output().unwrap();
    Said::of(&output).done().out
}

fn socket(domain: Domain, protocol: Protocol) -> Socket {
    let socket = Socket::new(domain, Type::STREAM, Some(protocol)).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket
}

fn echo(socket: Socket) -> Echo {
    Connection::new(socket.into(), SOON)
        .unwrap()
        .echo("/")
        .unwrap()
}

/// What the origin reports of a GET of the router's, from an address that the kernel chooses.
fn of_router(world: &World, family: Family) -> Echo {
    get(&world.net.router, any(family), family.http())
}

fn connect(world: &World, from: SocketAddr, to: SocketAddr) -> Connection {
    weir_tests::connect(&world.net.router, from, to)
}

/// Whether a connection that may take a moment goes direct.
fn direct_within(world: &World, family: Family) -> bool {
    let way = Dial {
        deadline: Duration::from_millis(500),
        ..Dial::new(any(family), family.http())
    };
    let dialled = world.net.router.run(|| dial(&way)).unwrap();
    dialled
        .and_then(|mut connection| connection.echo("/"))
        .is_ok_and(|echo| echo.direct())
}

/// How many connections of the router's were counted under that reason.
fn own(world: &World, reason: &str) -> u64 {
    world.weir.status()["output"][reason].as_u64().unwrap()
}

fn any(family: Family) -> SocketAddr {
    SocketAddr::new(unspecified(family), 0)
}

fn unspecified(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
    }
}

fn loopback(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::LOCALHOST.into(),
        Family::V6 => Ipv6Addr::LOCALHOST.into(),
    }
}
