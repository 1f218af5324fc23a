//! What the programs tell those who watch, by test runs: as long as they are told to, and no
//! longer; and what they leave out is counted.

use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use proxy_ebpf::{
    abi::{DECISIONS_LEN, MAX_WATCHES},
    framing::Framing,
    settings::{FAMILY_IPV4, FAMILY_IPV6, MODE_ENFORCE, Settings},
    verdict::Reason,
    watch::{DIRECT, Decision, PORT_NOT_WATCHED, Watch},
};
use proxy_userspace::dataplane::{
    Dataplane,
    watch::{Untold, now},
};
use weir_tests::{Layout, Network, loaded_here, network};

const MINUTE: u64 = 60_000_000_000;

/// The programs, on whose behalf nobody writes maps.
struct Kernel {
    dataplane: Dataplane,
    program: SchedClassifier,
    net: Network,
}

impl Kernel {
    /// A SYN from loopback, which is no LAN, so many times; what of it is told.
    fn syn(&mut self, port: u8, times: u32) -> Vec<Decision> {
        let mut frame = vec![0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0x08, 0x00];
        frame.extend([0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0]);
        frame.extend([10, 77, 1, 2, 203, 0, 113, 2]);
        frame.extend([0x9c, 0x40, 0, port, 0, 0, 0, 1, 0, 0, 0, 0]);
        frame.extend([0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
        let options = TestRunOptions {
            data_in: Some(&frame),
            repeat: times,
            ..TestRunOptions::new()
        };
        let run = || self.program.test_run(options).unwrap();
        self.net.router.run(run).unwrap();
        std::iter::from_fn(|| self.dataplane.next_decision()).collect()
    }

    fn settings(&mut self, watch: u32) {
        let mut settings = Settings {
            steer_mark: 1 << 28,
            mode: MODE_ENFORCE,
            families: FAMILY_IPV4 | FAMILY_IPV6,
            watch,
            ..Settings::IDLE
        };
        settings.ports[0] = 80u16.to_be();
        settings.followed[0] = 80u16.to_be();
        self.dataplane.set_settings(settings).unwrap();
    }

    /// Everything is wanted at that place, for a minute.
    fn watch(&mut self, place: u32, rate: u32, sample: u32) {
        self.dataplane.reset_watch(place).unwrap();
        let watch = Watch {
            until: now() + MINUTE,
            reasons: u64::MAX,
            rate,
            sample,
            ..Watch::NONE
        };
        self.dataplane.set_watch(place, watch).unwrap();
    }

    fn untold(&self, place: u32) -> Untold {
        self.dataplane.untold(place).unwrap()
    }
}

#[test]
fn what_is_told_and_what_is_counted() {
    let net = network(&Layout::default());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let dataplane = Dataplane::load(1).unwrap();
    let mut kernel = Kernel {
        program: loaded_here(Framing::Ethernet.program()),
        dataplane,
        net,
    };
    kernel.settings(1);
    assert_eq!(kernel.syn(80, 3), [], "nobody is in a place");

    kernel.watch(2, u32::MAX, 1);
    let told = kernel.syn(80, 2);
    assert_eq!(told.len(), 2);
    for decision in &told {
        assert_eq!(decision.reason, Reason::NotFromLan as u32);
        let place = (decision.watch, decision.ifindex, decision.outcome);
        assert_eq!(place, (2, 1, DIRECT));
        assert_eq!(decision.client(), "10.77.1.2:40000".parse().unwrap());
        let origin = decision.flow.destination();
        assert_eq!(origin, "203.0.113.2:80".parse().unwrap());
        assert_eq!(decision.vlan(), None);
    }
    assert!(told[0].time < told[1].time && told[1].time < now());
    assert_eq!(kernel.syn(81, 1)[0].reason, PORT_NOT_WATCHED);

    // Everybody who wants it is told.
    kernel.watch(0, u32::MAX, 1);
    let places: Vec<_> = kernel.syn(80, 1).iter().map(|it| it.watch).collect();
    assert_eq!(places, [0, 2]);
    kernel.dataplane.set_watch(0, Watch::NONE).unwrap();

    kernel.settings(0);
    assert_eq!(kernel.syn(80, 3), [], "nobody is said to watch");
    kernel.settings(1);

    // As those of a daemon that has died.
    let over = Watch {
        until: now(),
        reasons: u64::MAX,
        rate: u32::MAX,
        ..Watch::NONE
    };
    kernel.dataplane.set_watch(2, over).unwrap();
    assert_eq!(kernel.syn(80, 3), [], "it has ended");
    assert_eq!(kernel.untold(2), Untold::default());

    kernel.watch(2, 0, 1);
    assert_eq!(kernel.syn(80, 7), []);
    assert_eq!(kernel.untold(2).limited, 7);

    kernel.watch(2, u32::MAX, 4);
    let told = u64::try_from(kernel.syn(80, 1000).len()).unwrap();
    assert_eq!(told + kernel.untold(2).sampled, 1000);
    assert!((100..500).contains(&told), "{told} of 1000, one in 4");

    // More than the ring has room for, with nobody who empties it meanwhile.
    let last = MAX_WATCHES - 1;
    kernel.dataplane.set_watch(2, Watch::NONE).unwrap();
    kernel.watch(last, u32::MAX, 1);
    let told = u64::try_from(kernel.syn(80, 10_000).len()).unwrap();
    assert_eq!(told + kernel.untold(last).lost, 10_000);
    let room = u64::from(DECISIONS_LEN) / (8 + size_of::<Decision>() as u64);
    assert!((room - 1..=room).contains(&told), "{told} of {room}");
}
