//! How long a house stands still while its release is switched: for whoever asks its page, and for its PMS.

use crate::stand::{Box, LONGEST, http};
use engawa_stage::wait;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long the house may stand still at a switch. A program with debug checks on a machine that compiles beside it has more time
/// than the two seconds of a hotel's.
const STOPPED: Duration = Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 2 });

/// What was seen of a switch.
pub(crate) struct Standstill {
    /// The longest that somebody waited for the house's page.
    page: Duration,
    /// From the good-bye to the PMS until the link was alive again, the longest.
    pms: Duration,
    /// Requests that were refused or cut, and why the first was.
    cut: (u32, String),
    /// Connections of the PMS that broke.
    broken: u32,
}

impl Standstill {
    /// Printed, and within its bounds: nobody is refused, and no connection is reset.
    pub(crate) fn check(&self, what: &str) {
        let Self { page, pms, cut: (cut, why), broken } = self;
        println!("{what}: the page stood still for {page:.2?}, the PMS was without the house for {pms:.2?}");
        assert!(*page < STOPPED && *pms < STOPPED, "{what}: {page:?}, {pms:?}");
        assert!(*pms > Duration::ZERO, "{what}: the PMS was told good-bye");
        assert_eq!(
            (*cut, *broken),
            (0, 0),
            "{what}: requests that were cut, connections that were reset: {why}"
        );
    }
}

/// Looks on while `work` is done.
pub(crate) fn during<T>(gateway: &mut Box, work: impl FnOnce(&mut Box) -> T) -> (T, Standstill) {
    gateway.pms.begin_anew();
    let page = gateway.page();
    let over = AtomicBool::new(false);
    let (done, (page, cut)) = std::thread::scope(|scope| {
        let asking = scope.spawn(|| longest_wait(page, &over));
        // Also where the work fails: the scope waits for whoever asks.
        let over = Over(&over);
        let done = work(gateway);
        drop(over);
        (done, asking.join().unwrap())
    });
    let (pms, broken) = gateway.pms.left();
    (done, Standstill { page, pms, cut, broken })
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Asks the house's page again and again until `over`.
fn longest_wait(page: SocketAddr, over: &AtomicBool) -> (Duration, (u32, String)) {
    let (mut longest, mut failed, mut first) = (Duration::ZERO, 0, String::new());
    while !over.load(Ordering::Relaxed) {
        let began = Instant::now();
        // One that is cut while the old release ends asks again, and goes on waiting.
        while let Err(error) = http(page, "/api/status", Duration::from_secs(20)) {
            if failed == 0 {
                first = error.to_string();
            }
            failed += 1;
            assert!(began.elapsed() < LONGEST, "nobody answers any more: {error}");
        }
        longest = longest.max(began.elapsed());
        wait::pause(Duration::from_millis(10));
    }
    (longest, (failed, first))
}
