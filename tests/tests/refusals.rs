//! Starts that are refused: with a message that names the object, and the host as it was.

use weir_tests::{Failed, HostState, Options, Weir, lived_in, use_it};

#[test]
fn a_second_instance_on_the_same_interfaces_is_refused() {
    let (net, _origin) = lived_in();
    let weir = Weir::start(&net.router, &Options::default());
    let before = HostState::of(&net.router, &weir.instance);
    let same = Options {
        instance: Some(weir.instance.clone()),
        ..Options::default()
    };
    for options in [Options::default(), same] {
        let Failed {
            instance: _,
            status,
            output,
        } = Weir::refused(&net.router, &options);
        assert_eq!(status.code(), Some(1), "{output}");
        assert!(
            output.contains(&weir.instance),
            "it names the other instance: {output}"
        );
        before.assert_same(
            &HostState::of(&net.router, &weir.instance),
            "after the refusal",
        );
    }
    use_it(&net);
}

#[test]
fn an_interface_that_does_not_exist_is_named() {
    let (net, _origin) = lived_in();
    let before = HostState::of(&net.router, "none yet");
    let mut options = Options::default();
    options.lan.push("nosuch0".to_owned());
    let Failed {
        instance,
        status,
        output,
    } = Weir::refused(&net.router, &options);
    assert!(matches!(status.code(), Some(1 | 2)), "{status}: {output}");
    assert!(output.contains("nosuch0"), "{output}");
    before.assert_same(&HostState::of(&net.router, &instance), "after the refusal");
}

#[test]
fn a_wrong_configuration_is_named_with_its_line() {
    let (net, _origin) = lived_in();
    let before = HostState::of(&net.router, "none yet");
    let options = Options::config("[intercept]\nports = [80]\n\n[limits]\nconections = 7\n");
    let Failed {
        instance,
        status,
        output,
    } = Weir::refused(&net.router, &options);
    assert_eq!(status.code(), Some(2), "{output}");
    assert!(
        output.contains("conections") && output.contains('5'),
        "{output}"
    );
    before.assert_same(&HostState::of(&net.router, &instance), "after the refusal");
}

#[test]
fn a_link_of_an_unknown_type_is_refused() {
    let (net, _origin) = lived_in();
    let before = HostState::of(&net.router, "none yet");
    let mut options = Options::default();
    options.wan.push("lo".to_owned());
    let Failed {
        instance,
        status,
        output,
    } = Weir::refused(&net.router, &options);
    assert_eq!(status.code(), Some(4), "{output}");
    assert!(
        output.contains("interface lo is of link type loopback"),
        "{output}"
    );
    before.assert_same(&HostState::of(&net.router, &instance), "after the refusal");
}
