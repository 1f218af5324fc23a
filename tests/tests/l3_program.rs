//! The program for links without a header on packets that have one in front of the network header
//! all the same, as those have that come out of IPsec: the verdicts are those of the other program.

use aya::programs::{TestRun as _, TestRunOptions};
use proxy_ebpf::{
    counter::Event,
    framing::Framing,
    settings::{FAMILY_IPV4, FAMILY_IPV6, MODE_ENFORCE, Settings},
    verdict::Reason,
};
use proxy_userspace::dataplane::Dataplane;
use weir_tests::{Layout, loaded_here, network};

#[test]
fn a_header_in_front_makes_no_difference() {
    let net = network(&Layout::default());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.unwrap();
    let _inside = runtime.enter();
    let mut dataplane = Dataplane::load(1).unwrap();
    let mut settings = Settings {
        steer_mark: 1 << 28,
        mode: MODE_ENFORCE,
        families: FAMILY_IPV4 | FAMILY_IPV6,
        ..Settings::IDLE
    };
    settings.ports[0] = 80u16.to_be();
    settings.followed[0] = 80u16.to_be();
    dataplane.set_settings(settings).unwrap();
    for framing in [Framing::Ethernet, Framing::None] {
        let program = loaded_here(framing.program());
        for (frame, tcp) in [(ipv4(), 14 + 20), (ipv6(), 14 + 40)] {
            let run = |frame: &[u8]| {
                let before = counted(&dataplane);
                let options = TestRunOptions {
                    data_in: Some(frame),
                    ..TestRunOptions::new()
                };
                net.router
                    .run(|| program.test_run(options).unwrap())
                    .unwrap();
                let after = counted(&dataplane);
                std::array::from_fn::<_, 3, _>(|at| after[at] - before[at])
            };
            // The interface of a test run is loopback, which has no role.
            assert_eq!(run(&frame), [1, 0, 0], "{framing:?}: a SYN not from a LAN");
            let mut acknowledging = frame.clone();
            acknowledging[tcp + 13] = 0x10;
            assert_eq!(
                run(&acknowledging),
                [0, 1, 0],
                "{framing:?}: an ACK of no connection"
            );
            let mut other = frame.clone();
            other[tcp + 3] = 81;
            assert_eq!(run(&other), [0, 0, 0], "{framing:?}: another port");
            assert_eq!(run(&frame[..tcp + 6]), [0, 0, 1], "{framing:?}: cut short");
            let mut wrong = frame.clone();
            wrong[14] = 0x50;
            assert_eq!(run(&wrong), [0, 0, 1], "{framing:?}: no such version");
        }
    }
}

fn counted(dataplane: &Dataplane) -> [u64; 3] {
    let counters = dataplane.counters().unwrap();
    [
        counters.flow(Reason::NotFromLan),
        counters.event(Event::PacketPassed),
        counters.event(Event::Malformed),
    ]
}

/// A SYN to port 80, in an Ethernet frame for loopback.
fn ipv4() -> Vec<u8> {
    let mut frame = vec![0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0x08, 0x00];
    frame.extend([0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0]);
    frame.extend([10, 77, 1, 2, 203, 0, 113, 2]);
    frame.extend(syn());
    frame
}

/// The same over IPv6.
fn ipv6() -> Vec<u8> {
    let mut frame = vec![0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0x86, 0xdd];
    frame.extend([0x60, 0, 0, 0, 0, 20, 6, 64]);
    for net in [1, 2] {
        frame.extend([0xfd, 0x77, 0, net, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    }
    frame.extend(syn());
    frame
}

fn syn() -> [u8; 20] {
    [
        0x9c, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0,
    ]
}
