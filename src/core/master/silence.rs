//! For how long nothing came from a host, as the figures count it: an outage begins with the last sign of life.

use super::{Context, Master};
use crate::core::time::Instant;

impl Master {
    /// For how many milliseconds nothing came from somebody who was last heard then. What was read as this node went on
    /// after it had stood still may have been waiting all the time.
    pub(super) fn unheard_milliseconds(&self, cx: &Context<'_>, heard_at: Instant) -> u64 {
        let waited = self.stood_from < heard_at && heard_at < self.listening_since + self.timing.heartbeat;
        let last_sign = if waited { self.stood_from } else { heard_at };
        u64::try_from(cx.now.since(last_sign).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::action::Event;
    use crate::core::ears::Ears;
    use crate::core::master::Output;
    use crate::core::master::tests::{master, state};
    use std::time::Duration;

    #[test]
    fn what_waited_while_this_node_stood_still_is_as_old_as_that() {
        let (state, ears) = (state(), Ears::default());
        let begun = Instant::ZERO + Duration::from_secs(60);
        let at = |milliseconds| Context {
            now: begun + Duration::from_millis(milliseconds),
            state: &state,
            ears: &ears,
            quorum: None,
        };
        let mut master = master(&at(0));
        for wake in [50, 10_050, 10_100] {
            master.step(&at(wake), Event::Wake, &mut Output::default());
        }
        let unheard = |heard| master.unheard_milliseconds(&at(12_000), begun + Duration::from_millis(heard));
        assert_eq!(unheard(40), 11_960, "it was heard before");
        assert_eq!(unheard(10_049), 11_950, "it was read before the node noticed");
        assert_eq!(unheard(10_060), 11_950, "it was read just after");
        assert_eq!(unheard(10_300), 1_700, "it was sent since");
    }
}
