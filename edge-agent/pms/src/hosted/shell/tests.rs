//! Pauses of the feed.

use super::*;

#[test]
fn a_feed_is_not_opened_again_sooner_than_it_says() {
    let now: Timestamp = "2026-07-15T10:00:00Z".parse().unwrap();
    let mut backoff = Backoff::new(60, 7);
    let pause = |backoff: &mut Backoff, least| {
        later(now, SignedDuration::from_secs(least), backoff).duration_since(now).as_millis()
    };
    assert_eq!(pause(&mut backoff, 15), 15_000);
    for _ in 0..20 {
        pause(&mut backoff, 0);
    }
    // Our own pauses have grown past it.
    assert!((30_000..=60_000).contains(&pause(&mut backoff, 15)));
    assert_eq!(later(Timestamp::MAX, SignedDuration::from_secs(1), &mut backoff), Timestamp::MAX);
}
