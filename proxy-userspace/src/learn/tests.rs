use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::{Cause, Event, Kind, Learner, Lesson, Obstacle, Pair, Prefixes, Terms, View};

const WINDOW: Duration = Duration::from_secs(600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const SECOND: Duration = Duration::from_secs(1);

fn terms() -> Terms {
    Terms {
        enabled: true,
        events: 3,
        window: WINDOW,
        lifetime: DAY,
        clients: 3,
        limit: 10_000,
        never: Prefixes::default(),
        named: Prefixes::default(),
    }
}

fn prefixes(texts: &[&str]) -> Prefixes {
    Prefixes::new(texts.iter().map(|text| text.parse().unwrap()))
}

fn client(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0000 + number).into()
}

fn origin(number: u32) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::from_bits(0xcb00_7100 + number).into(), 80)
}

/// A learner and a clock that goes on by a second with each event.
struct Bench {
    learner: Learner,
    now: Instant,
}

impl Bench {
    fn new(terms: Terms) -> Self {
        Self {
            learner: Learner::new(terms),
            now: Instant::now(),
        }
    }

    fn see(&mut self, kind: Kind, client: IpAddr, destination: SocketAddr) -> Option<Lesson> {
        self.now += SECOND;
        let event = Event {
            kind,
            client,
            destination,
        };
        self.learner.observe(&event, self.now)
    }

    /// Three flows that are not HTTP.
    fn not_http(&mut self, from: u32, to: u32) -> Option<Lesson> {
        for _ in 0..2 {
            assert_eq!(self.see(Kind::NotHttp, client(from), origin(to)), None);
        }
        self.see(Kind::NotHttp, client(from), origin(to))
    }

    /// Three connects that fail, while another origin works.
    fn failures(&mut self, from: u32, to: u32) -> Option<Lesson> {
        let mut lesson = None;
        for _ in 0..3 {
            assert_eq!(lesson, None);
            self.see(Kind::Connected, client(99), origin(99));
            lesson = self.see(Kind::ConnectFailed, client(from), origin(to));
        }
        lesson
    }

    /// Three connects whose answers go around us.
    fn around(&mut self, from: u32, to: u32) -> Option<Lesson> {
        for _ in 0..2 {
            assert_eq!(self.see(Kind::WentAround, client(from), origin(to)), None);
        }
        self.see(Kind::WentAround, client(from), origin(to))
    }

    fn view(&self, from: Option<u32>, to: u32) -> Option<View> {
        let views = self.learner.candidates(self.now);
        views
            .into_iter()
            .find(|view| view.source == from.map(client) && view.destination == origin(to).ip())
    }

    fn obstacle(&self, from: u32, to: u32) -> Option<Obstacle> {
        self.view(Some(from), to).unwrap().obstacle
    }
}

fn of_one(from: u32, to: u32, reason: Cause) -> Lesson {
    Lesson {
        destination: Some(origin(to)),
        source: Some(client(from)),
        reason,
        clients: 1,
        events: 3,
        lifetime: DAY,
        replaces: vec![],
    }
}

#[test]
fn three_events_of_one_client_are_a_lesson_for_that_client() {
    let mut bench = Bench::new(terms());
    assert_eq!(bench.not_http(1, 1), Some(of_one(1, 1, Cause::NotHttp)));
    assert_eq!(
        bench.failures(1, 2),
        Some(of_one(1, 2, Cause::ConnectFailed))
    );
    // What had begun before it held.
    assert_eq!(bench.not_http(1, 1), None);
    assert_eq!(bench.learner.lessons(), 2);
    assert_eq!(bench.view(Some(1), 1), None);
}

#[test]
fn kinds_and_pairs_are_counted_apart() {
    let mut bench = Bench::new(terms());
    bench.see(Kind::Connected, client(9), origin(9));
    for (kind, from, to) in [
        (Kind::NotHttp, 1, 1),
        (Kind::NotHttp, 1, 1),
        (Kind::ConnectFailed, 1, 1),
        (Kind::NotHttp, 1, 2),
        (Kind::NotHttp, 2, 1),
    ] {
        assert_eq!(bench.see(kind, client(from), origin(to)), None);
    }
    let view = bench.view(Some(1), 1).unwrap();
    assert_eq!((view.not_http, view.connect_failed), (2, 1));
    assert_eq!(view.obstacle, Some(Obstacle::FewEvents));
    let other_port = SocketAddr::new(origin(1).ip(), 8080);
    assert_eq!(bench.see(Kind::NotHttp, client(1), other_port), None);
    assert!(bench.see(Kind::NotHttp, client(1), origin(1)).is_some());
}

#[test]
fn one_client_cannot_blind_the_policy_for_all() {
    let mut bench = Bench::new(terms());
    for round in 0..100 {
        let lesson = bench.not_http(1, 1);
        assert_eq!(lesson.is_some(), round == 0);
        assert!(lesson.is_none_or(|lesson| lesson.source == Some(client(1))));
        // Not by having its lessons forgotten either.
        if round % 2 == 1 {
            bench.learner.forget(Some(origin(1)), Some(client(1)));
            assert_eq!(bench.not_http(1, 1).unwrap().source, Some(client(1)));
        }
    }
    assert_eq!(bench.not_http(2, 1).unwrap().source, Some(client(2)));
    assert_eq!(bench.learner.lessons(), 2);
}

#[test]
fn enough_clients_make_a_lesson_for_all() {
    for cause in Cause::ALL {
        let mut bench = Bench::new(terms());
        let mut learn = |from| match cause {
            Cause::NotHttp => bench.not_http(from, 1),
            Cause::ConnectFailed => bench.failures(from, 1),
            Cause::AsymmetricReturn => bench.around(from, 1),
        };
        assert!(learn(1).is_some() && learn(2).is_some());
        let wide = learn(3).unwrap();
        let replaced = [1, 2].map(|from| Pair::new(client(from), origin(1)));
        assert_eq!((wide.source, wide.clients), (None, 3));
        assert_eq!(wide.replaces, replaced);
        assert_eq!(learn(4), None, "it is learned for that one too");
        assert_eq!(bench.learner.lessons(), 1);
    }
}

#[test]
fn what_works_for_somebody_is_not_learned_for_all() {
    let mut bench = Bench::new(terms());
    bench.see(Kind::Served, client(50), origin(1));
    bench.see(Kind::Connected, client(50), origin(2));
    for from in 1..10 {
        assert_eq!(bench.not_http(from, 1).unwrap().source, Some(client(from)));
        assert_eq!(bench.failures(from, 2).unwrap().source, Some(client(from)));
    }
    // Once that is long ago, it is.
    bench.now += WINDOW;
    assert_eq!(bench.not_http(20, 1).unwrap().clients, 10);
    assert_eq!(bench.failures(20, 2).unwrap().clients, 10);
    // A tunnel needs a connect: that one succeeds says nothing of HTTP.
    let mut bench = Bench::new(terms());
    for from in 1..3 {
        bench.see(Kind::Connected, client(from), origin(1));
        bench.not_http(from, 1);
    }
    assert_eq!(bench.not_http(3, 1).unwrap().source, None);
}

#[test]
fn events_count_within_the_window() {
    let mut bench = Bench::new(terms());
    for _ in 0..10 {
        assert_eq!(bench.see(Kind::NotHttp, client(1), origin(1)), None);
        bench.now += WINDOW / 2;
    }
    assert_eq!(bench.view(Some(1), 1).unwrap().not_http, 1);
    bench.now += WINDOW;
    assert_eq!(bench.view(Some(1), 1), None);
    assert_eq!(bench.not_http(1, 2).unwrap().events, 3);
    assert_eq!(bench.learner.sizes().0, [0; 3], "what is too old is gone");
}

#[test]
fn lessons_end() {
    let mut bench = Bench::new(terms());
    assert!(bench.not_http(1, 1).is_some());
    bench.now += DAY - SECOND * 2;
    assert_eq!(bench.see(Kind::NotHttp, client(1), origin(1)), None);
    assert_eq!(bench.view(Some(1), 1), None);
    bench.now += SECOND * 2;
    assert!(bench.not_http(1, 1).is_some());
    bench.learner.forget(Some(origin(1)), Some(client(1)));
    assert!(bench.not_http(1, 1).is_some());
}

#[test]
fn what_was_learned_before_is_remembered() {
    let mut bench = Bench::new(terms());
    let until = bench.now + DAY;
    for from in [1, 2] {
        bench
            .learner
            .remember(Some(origin(1)), Some(client(from)), Cause::NotHttp, until);
    }
    bench
        .learner
        .remember(Some(origin(2)), None, Cause::NotHttp, until);
    assert_eq!(bench.learner.lessons(), 3);
    assert_eq!(bench.not_http(1, 1), None);
    assert_eq!(bench.not_http(1, 2), None);
    assert_eq!(bench.not_http(3, 1).unwrap().source, None);
}

#[test]
fn the_never_list_and_rules_keep_both_sides_out() {
    let mut bench = Bench::new(Terms {
        never: prefixes(&["203.0.113.1/32", "10.0.0.7/32", "fd00::/8"]),
        named: prefixes(&["203.0.113.8/29"]),
        ..terms()
    });
    for (from, to, obstacle) in [
        (1, 1, Obstacle::NeverList),
        (7, 2, Obstacle::NeverList),
        (1, 9, Obstacle::NamedByRule),
    ] {
        assert_eq!(bench.not_http(from, to), None);
        assert_eq!(bench.failures(from, to), None);
        assert_eq!(bench.obstacle(from, to), Some(obstacle));
    }
    assert!(bench.not_http(1, 2).is_some());
    assert!(bench.not_http(1, 16).is_some());
}

#[test]
fn connects_that_fail_count_only_while_others_work() {
    let mut bench = Bench::new(terms());
    for _ in 0..10 {
        assert_eq!(bench.see(Kind::ConnectFailed, client(1), origin(1)), None);
    }
    assert_eq!(bench.obstacle(1, 1), Some(Obstacle::NoConnectWorks));
    // The uplink comes, and goes again: one failure counts, those of the outage do not.
    bench.see(Kind::Connected, client(2), origin(2));
    for _ in 0..10 {
        assert_eq!(bench.see(Kind::ConnectFailed, client(1), origin(1)), None);
    }
    assert_eq!(bench.view(Some(1), 1).unwrap().connect_failed, 1);
    for lesson in [false, true] {
        bench.see(Kind::Connected, client(2), origin(2));
        let learned = bench.see(Kind::ConnectFailed, client(1), origin(1));
        assert_eq!(learned.is_some(), lesson);
    }
    // Successes are forgotten after the window.
    bench.see(Kind::Connected, client(2), origin(2));
    bench.now += WINDOW;
    assert_eq!(bench.see(Kind::ConnectFailed, client(1), origin(3)), None);
    assert_eq!(bench.view(Some(1), 3).unwrap().connect_failed, 0);
}

#[test]
fn answers_that_go_around_count_at_any_time() {
    let mut bench = Bench::new(terms());
    let lesson = of_one(1, 1, Cause::AsymmetricReturn);
    assert_eq!(bench.around(1, 1), Some(lesson));
    assert_eq!(bench.see(Kind::WentAround, client(1), origin(1)), None);
    // Of two destinations, nothing follows for a third.
    assert!(bench.around(1, 2).is_some());
    assert_eq!(bench.see(Kind::ConnectFailed, client(1), origin(3)), None);
    assert_eq!(bench.learner.lessons(), 2);
}

#[test]
fn a_client_to_which_all_answers_go_around_is_learned_as_a_whole() {
    let mut bench = Bench::new(terms());
    assert!(bench.around(1, 1).is_some() && bench.not_http(1, 2).is_some());
    assert!(bench.not_http(2, 2).is_some());
    assert_eq!(bench.see(Kind::WentAround, client(1), origin(3)), None);
    let lesson = bench.see(Kind::WentAround, client(1), origin(4)).unwrap();
    assert_eq!((lesson.destination, lesson.source), (None, Some(client(1))));
    assert_eq!(lesson.reason, Cause::AsymmetricReturn);
    let mut replaced = lesson.replaces;
    replaced.sort();
    let own = [1, 2].map(|to| Pair::new(client(1), origin(to)));
    assert_eq!(replaced, own, "what it had alone is needless");
    assert_eq!(bench.learner.lessons(), 2);
    assert!(bench.learner.candidates(bench.now).is_empty());
    for kind in [Kind::WentAround, Kind::NotHttp] {
        for to in 1..9 {
            assert_eq!(bench.see(kind, client(1), origin(to)), None, "covered");
        }
    }
    bench.learner.forget(None, Some(client(1)));
    assert!(bench.not_http(1, 2).is_some());
}

#[test]
fn a_client_of_which_anything_works_is_not_learned_as_a_whole() {
    let all = |bench: &mut Bench, from| {
        (10..20).find_map(|to| bench.see(Kind::WentAround, client(from), origin(to)))
    };
    let mut bench = Bench::new(terms());
    bench.see(Kind::Connected, client(1), origin(9));
    assert_eq!(all(&mut bench, 1), None);
    bench.now += WINDOW;
    assert!(all(&mut bench, 1).is_some());
    bench.see(Kind::WentAround, client(2), origin(1));
    bench.see(Kind::WentAround, client(2), origin(2));
    bench.see(Kind::Connected, client(2), origin(9));
    assert_eq!(bench.see(Kind::WentAround, client(2), origin(3)), None);

    // Nor where that would go around a rule, or is not wanted.
    for terms in [
        Terms {
            named: prefixes(&["192.0.2.0/24"]),
            ..terms()
        },
        Terms {
            never: prefixes(&["10.0.0.1/32"]),
            ..terms()
        },
        Terms {
            enabled: false,
            ..terms()
        },
    ] {
        assert_eq!(all(&mut Bench::new(terms), 1), None);
    }
}

#[test]
fn clients_that_all_go_astray_take_no_more_room_than_there_is() {
    let mut strays = super::strays::Strays::default();
    let mut now = Instant::now();
    let mut see = |from, now| {
        strays.went_around(client(from), origin(1).ip(), now, WINDOW, 3);
        strays.sizes().0
    };
    for from in 0..10_000 {
        see(from, now);
    }
    assert_eq!(see(0, now), super::strays::CAPACITY);
    now += WINDOW + SECOND;
    assert_eq!(see(20_000, now), 1, "what is too old makes room");
}

#[test]
fn limits_hold_for_all_and_for_each_client() {
    let mut bench = Bench::new(Terms {
        limit: 8,
        ..terms()
    });
    assert!(bench.not_http(1, 1).is_some() && bench.not_http(1, 2).is_some());
    assert_eq!(bench.not_http(1, 3), None, "a quarter is its share");
    assert_eq!(bench.obstacle(1, 3), Some(Obstacle::ClientLimit));
    for from in 2..5 {
        assert!(bench.not_http(from, 10 + from).is_some());
        assert!(bench.not_http(from, 20 + from).is_some());
    }
    assert_eq!(bench.not_http(9, 4), None);
    assert_eq!(bench.obstacle(9, 4), Some(Obstacle::Limit));
    bench.learner.forget(Some(origin(1)), Some(client(1)));
    assert!(bench.see(Kind::NotHttp, client(9), origin(4)).is_some());
}

#[test]
fn widening_needs_no_room() {
    let mut bench = Bench::new(Terms {
        limit: 2,
        ..terms()
    });
    assert!(bench.not_http(1, 1).is_some() && bench.not_http(2, 1).is_some());
    assert_eq!(bench.not_http(3, 1).unwrap().source, None);
    assert_eq!(bench.learner.lessons(), 1);
}

#[test]
fn a_dry_run_learns_nothing_and_says_what_it_would() {
    let mut bench = Bench::new(Terms {
        enabled: false,
        ..terms()
    });
    for from in 1..4 {
        assert_eq!(bench.not_http(from, 1), None);
        assert_eq!(bench.obstacle(from, 1), Some(Obstacle::Disabled));
    }
    let all = bench.view(None, 1).unwrap();
    assert_eq!((all.clients, all.not_http), (3, 9));
    assert_eq!(all.obstacle, Some(Obstacle::Disabled));
    bench.see(Kind::Served, client(9), origin(1));
    let all = bench.view(None, 1).unwrap();
    assert_eq!(all.obstacle, Some(Obstacle::WorksForSomebody));
    assert_eq!(bench.learner.lessons(), 0);
    assert_eq!(
        serde_json::to_string(&all).unwrap(),
        "{\"destination\":\"203.0.113.1\",\"port\":80,\"source\":null,\"not_http\":9,\
         \"connect_failed\":0,\"asymmetric_return\":0,\"clients\":3,\"obstacle\":\"works-for-somebody\"}"
    );
    bench.learner.set_terms(terms());
    assert_eq!(bench.obstacle(1, 1), None);
    assert!(bench.see(Kind::NotHttp, client(1), origin(1)).is_some());
}

#[test]
fn a_client_pushes_out_nobody_elses_candidates() {
    let mut bench = Bench::new(terms());
    for _ in 0..2 {
        bench.see(Kind::NotHttp, client(1), origin(1));
    }
    let event = |to| Event {
        kind: Kind::NotHttp,
        client: client(2),
        destination: origin(to),
    };
    for to in 0..200_000 {
        bench.learner.observe(&event(to), bench.now);
    }
    assert_eq!(bench.learner.sizes().0, [super::table::PER_CLIENT + 1; 3]);
    assert!(bench.see(Kind::NotHttp, client(1), origin(1)).is_some());
}

#[test]
fn a_million_events_take_no_more_room_than_there_is() {
    let mut bench = Bench::new(Terms {
        limit: 1000,
        ..terms()
    });
    let mut random = 1u32;
    for number in 0..1_000_000u32 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let kind = match number % 8 {
            0 => Kind::Connected,
            1 => Kind::Served,
            2..4 => Kind::ConnectFailed,
            4 => Kind::WentAround,
            _ => Kind::NotHttp,
        };
        bench.now += Duration::from_micros(100);
        let event = Event {
            kind,
            client: client((random >> 8) % 100_000),
            destination: origin((random >> 4) % 1_000_000),
        };
        bench.learner.observe(&event, bench.now);
    }
    let (candidates, recent, known) = bench.learner.sizes();
    assert_eq!(candidates, [super::table::CAPACITY; 3]);
    assert!(recent <= 6 * super::recent::GENERATION);
    assert!(known <= 1000);
    assert!(bench.learner.candidates(bench.now).len() <= 2 * super::table::CAPACITY);
}

#[test]
fn where_it_is_not_known_whether_it_works_it_may() {
    let mut bench = Bench::new(terms());
    for to in 0..=super::recent::GENERATION {
        let event = Event {
            kind: Kind::Served,
            client: client(9),
            destination: origin(1000 + u32::try_from(to).unwrap()),
        };
        bench.learner.observe(&event, bench.now);
    }
    for from in 1..4 {
        assert_eq!(bench.not_http(from, 1).unwrap().source, Some(client(from)));
    }
}

proptest! {
    /// Whatever comes: limits hold, and what is for all has been shown by enough clients.
    #[test]
    fn whatever_comes(
        events in proptest::collection::vec((0..5u8, 0..6u32, 0..4u32, 0..400u64), 1..400),
        limit in 1..6usize,
    ) {
        let mut bench = Bench::new(Terms { limit, ..terms() });
        let mut seen = std::collections::HashMap::<SocketAddr, Vec<IpAddr>>::new();
        for (kind, from, to, pause) in events {
            let kind = [
                Kind::NotHttp,
                Kind::ConnectFailed,
                Kind::WentAround,
                Kind::Connected,
                Kind::Served,
            ][usize::from(kind)];
            bench.now += Duration::from_secs(pause);
            let clients = seen.entry(origin(to)).or_default();
            if !clients.contains(&client(from)) {
                clients.push(client(from));
            }
            if let Some(lesson) = bench.see(kind, client(from), origin(to)) {
                prop_assert!(!matches!(kind, Kind::Connected | Kind::Served));
                prop_assert!(lesson.events >= 3);
                match lesson.source {
                    Some(source) => prop_assert_eq!(source, client(from)),
                    None => prop_assert!(lesson.clients >= 3 && clients.len() >= 3),
                }
            }
            prop_assert!(bench.learner.lessons() <= limit);
            let [pairs, order, own] = bench.learner.sizes().0;
            prop_assert!(pairs == order && order == own);
            let _ = bench.learner.candidates(bench.now);
        }
    }
}
