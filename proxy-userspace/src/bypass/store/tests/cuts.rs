//! Power cuts and failures at every single operation.

use super::{
    simulated::{Fault, Simulated},
    *,
};

/// Edits that go into lists and logs in every order.
fn story() -> Vec<(&'static str, Edit)> {
    vec![
        ("a", Edit::Add(entries(&LONG))),
        ("a", add("192.0.2.9")),
        ("a", remove("192.0.2.0")),
        ("b", add("::1")),
        ("a", Edit::Enable(false)),
        ("a", Edit::Replace(entries(&LONG[2..]))),
        ("a", add("192.0.2.2 src 10.0.0.0/8 port 80 in lan0 # kept?")),
        ("b", Edit::Clear),
        ("a", Edit::Enable(true)),
        ("a", Edit::Clear),
        ("a", Edit::Add(entries(&LONG[..8]))),
        ("a", remove("192.0.2.3")),
    ]
}

fn open(disk: &Simulated) -> Result<(Store, Set), StoreError> {
    Store::open_on(Box::new(disk.clone()), PathBuf::from("d"), CAPACITY)
}

/// Tells the story until an edit fails; what was acknowledged, and what the failed edit wanted.
fn tell(store: &mut Store, set: &mut Set, story: Vec<(&str, Edit)>) -> Option<Set> {
    for (list, edit) in story {
        let change = set.plan(&name(list), edit).unwrap();
        let mut wanted = set.clone();
        wanted.commit(&change);
        if store.append(set, &change).is_err() {
            return Some(wanted);
        }
        *set = wanted;
    }
    None
}

/// Whether one of the disks that a power cut leaves has another state than these.
fn check(disk: &Simulated, acknowledged: &Set, wanted: &Set, when: &str) {
    for (number, image) in disk.images().into_iter().enumerate() {
        let (_, found) =
            open(&image).unwrap_or_else(|error| panic!("{when}, image {number}: {error}"));
        assert!(
            found == *acknowledged || found == *wanted,
            "{when}, image {number}: {found:#?}\nis neither {acknowledged:#?}\nnor {wanted:#?}"
        );
    }
}

#[test]
fn a_power_cut_leaves_what_was_acknowledged_or_what_was_under_way() {
    for fault in [Fault::Cut, Fault::CutHalf] {
        let mut operation = 0;
        loop {
            operation += 1;
            let disk = Simulated::default();
            let (mut store, mut set) = open(&disk).unwrap();
            disk.set_fault(operation, fault);
            let wanted = tell(&mut store, &mut set, story());
            let when = format!("{fault:?} at {operation}");
            check(&disk, &set, wanted.as_ref().unwrap_or(&set), &when);
            if disk.is_before(operation) {
                break;
            }
        }
        assert!(operation > 60, "{operation} operations only");
    }
}

#[test]
fn what_a_power_cut_leaves_can_be_built_on() {
    for fault in [Fault::Cut, Fault::CutHalf] {
        for operation in 1.. {
            let disk = Simulated::default();
            let (mut store, mut set) = open(&disk).unwrap();
            disk.set_fault(operation, fault);
            tell(&mut store, &mut set, story());
            for (number, image) in disk.images().into_iter().enumerate() {
                let when = format!("{fault:?} at {operation}, image {number}");
                let (mut store, mut set) = open(&image).unwrap();
                for (list, edit) in [
                    ("b", add("203.0.113.1")),
                    ("a", add("203.0.113.1")),
                    ("a", remove("203.0.113.1")),
                    ("a", add("203.0.113.2")),
                ] {
                    let wanted = tell(&mut store, &mut set, vec![(list, edit)]);
                    assert_eq!(wanted, None, "{when}");
                    check(&image, &set, &set, &when);
                }
            }
            if disk.is_before(operation) {
                break;
            }
        }
    }
}

#[test]
fn a_power_cut_while_the_last_one_is_mended_changes_nothing() {
    for operation in 1.. {
        let disk = Simulated::default();
        let (mut store, mut set) = open(&disk).unwrap();
        disk.set_fault(operation, Fault::CutHalf);
        tell(&mut store, &mut set, story());
        for image in 0..disk.images().len() {
            for second in 1.. {
                let image = disk.images().swap_remove(image);
                let (_, found) = open(&image.images().swap_remove(0)).unwrap();
                image.set_fault(second, Fault::CutHalf);
                // Mending is tried; what was read is in force in any case.
                assert_eq!(open(&image).unwrap().1, found);
                if image.is_before(second) {
                    // What was read is durable now.
                    check(
                        &image,
                        &found,
                        &found,
                        &format!("cut at {operation}, mended"),
                    );
                    break;
                }
                let wanted = tell_apart(&image, &found, &set);
                assert!(wanted, "cut at {operation} and {second}");
            }
        }
        if disk.is_before(operation) {
            break;
        }
    }
}

/// Whether what a second power cut leaves can be read, and is what was found or acknowledged.
fn tell_apart(disk: &Simulated, found: &Set, acknowledged: &Set) -> bool {
    disk.images()
        .iter()
        .all(|image| open(image).is_ok_and(|(_, again)| again == *found || again == *acknowledged))
}

#[test]
fn an_edit_that_failed_is_no_more_and_the_next_ones_are_kept() {
    for fault in [Fault::Fails, Fault::FailsHalf] {
        for operation in 1.. {
            let disk = Simulated::default();
            let (mut store, mut set) = open(&disk).unwrap();
            disk.set_fault(operation, fault);
            let mut failed = 0;
            for (list, edit) in story() {
                let when = format!("{fault:?} at {operation}, {edit:?}");
                // Where an edit failed, one that builds on it may not be possible.
                let Ok(change) = set.plan(&name(list), edit) else {
                    continue;
                };
                if store.append(&set, &change).is_ok() {
                    set.commit(&change);
                    check(&disk, &set, &set, &when);
                } else {
                    failed += 1;
                    // The daemon may be restarted now, and finds what it had.
                    let crashed = disk.images().swap_remove(0);
                    assert_eq!(open(&crashed).unwrap().1, set, "{when}");
                }
            }
            assert!(failed <= 1);
            if disk.is_before(operation) {
                break;
            }
        }
    }
}

#[test]
fn a_disk_that_has_failed_is_used_again_when_it_works() {
    for operation in 1.. {
        let disk = Simulated::default();
        let (mut store, mut set) = open(&disk).unwrap();
        disk.set_fault(operation, Fault::FailsForGood);
        let wanted = tell(&mut store, &mut set, story());
        let when = format!("failing from {operation}");
        check(&disk, &set, wanted.as_ref().unwrap_or(&set), &when);
        disk.repair();
        // The same generation as the edit that failed, and not the same content.
        for line in ["203.0.113.1", "203.0.113.2", "203.0.113.3"] {
            assert_eq!(tell(&mut store, &mut set, vec![("a", add(line))]), None);
            check(&disk, &set, &set, &when);
        }
        if disk.is_before(operation) {
            break;
        }
    }
}
