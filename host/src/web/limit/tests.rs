//! The limiter against a clock of the tests' own.

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

fn limit(every: Duration, burst: u32, clients: usize) -> RateLimit {
    RateLimit {
        every,
        burst,
        clients,
    }
}

fn client(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(number))
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_burst_is_taken_and_then_the_rate_holds() {
    let now = Instant::now();
    let limiter = Limiter::new(&limit(SECOND, 3, 10), now);
    for _ in 0..3 {
        assert_eq!(limiter.admit(client(1), now), Ok(()));
    }
    assert_eq!(limiter.admit(client(1), now), Err(SECOND));
    let later = now + Duration::from_millis(400);
    let wait = Duration::from_millis(600);
    assert_eq!(
        limiter.admit(client(1), later),
        Err(wait),
        "a refusal costs nothing"
    );
    assert_eq!(limiter.admit(client(1), later + wait), Ok(()));
    assert_eq!(limiter.admit(client(1), later + wait), Err(SECOND));
}

#[test]
fn one_client_does_not_use_up_what_another_may_send() {
    let now = Instant::now();
    let limiter = Limiter::new(&limit(SECOND, 1, 10), now);
    assert_eq!(limiter.admit(client(1), now), Ok(()));
    assert!(limiter.admit(client(1), now).is_err());
    assert_eq!(limiter.admit(client(2), now), Ok(()));
}

#[test]
fn after_a_pause_the_whole_burst_is_back_and_not_more() {
    let now = Instant::now();
    let limiter = Limiter::new(&limit(SECOND, 2, 10), now);
    let later = now + SECOND * 3600;
    let admitted = |now| {
        (0..10)
            .filter(|_| limiter.admit(client(1), now).is_ok())
            .count()
    };
    assert_eq!((admitted(now), admitted(later)), (2, 2));
}

#[test]
fn the_clients_that_were_away_longest_are_forgotten_first() {
    let now = Instant::now();
    let limiter = Limiter::new(&limit(SECOND, 1, 4), now);
    // Full: 1 and 2 are the old half, 3 and 4 the young one.
    for number in [1, 2, 3, 4] {
        assert_eq!(limiter.admit(client(number), now), Ok(()));
    }
    assert!(
        limiter.admit(client(1), now).is_err(),
        "1 came back and is young again"
    );
    assert_eq!(limiter.admit(client(2), now), Ok(()), "2 is forgotten");
    assert!(limiter.admit(client(1), now).is_err(), "1 is not");
}

#[test]
fn settings_are_read_and_what_is_no_rate_is_refused() {
    assert_eq!(interval("5"), Ok(Duration::from_millis(200)));
    assert_eq!(interval("0.5"), Ok(SECOND * 2));
    for text in ["0", "-1", "NaN", "inf", "1e9", "5/s", ""] {
        assert!(interval(text).is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn no_number_of_clients_makes_the_book_grow(clients in 2..40_usize, asked in proptest::collection::vec(0..1000_u32, 0..2000)) {
        let now = Instant::now();
        let limiter = Limiter::new(&limit(SECOND, 1, clients), now);
        for number in asked {
            assert!(limiter.admit(client(number), now) <= Err(SECOND));
            prop_assert!(limiter.clients() <= clients);
        }
    }

    #[test]
    fn in_no_stretch_of_time_more_is_admitted_than_burst_and_rate(burst in 1..20_u32, gaps in proptest::collection::vec(0..3000_u64, 1..300)) {
        let born = Instant::now();
        let limiter = Limiter::new(&limit(SECOND, burst, 2), born);
        let (mut now, mut admitted) = (0, Vec::new());
        for gap in gaps {
            now += gap;
            if limiter.admit(client(1), born + Duration::from_millis(now)).is_ok() {
                admitted.push(now);
            }
        }
        for (at, from) in admitted.iter().enumerate() {
            for (more, to) in admitted[at..].iter().enumerate() {
                let count = more as u64 + 1;
                prop_assert!(count <= u64::from(burst) + (to - from) / 1000);
            }
        }
    }
}
