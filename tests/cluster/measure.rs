//! What measures the living cluster measures something.

use crate::rig::wanted;
use holdfast::core::timing::Profile;
use holdfast::demo::measure::{Scale, scale};
use std::time::Duration;

/// Its figures hang on the machine, and on what else runs there; that there are figures, and of whom, does not.
#[tokio::test(flavor = "multi_thread")]
async fn five_agents_of_which_all_vote_are_measured_and_one_is_killed() {
    let (wanted, folder) = wanted(|_| {});
    // Long enough for an idle master to use several hundredths of a second, in which the kernel counts.
    let plan = Scale { profile: Profile::Lan, hosts: 5, voters: 5, lasts: Duration::from_secs(3) };
    let scaled = scale(wanted, &plan, |_| ()).await.unwrap_or_else(|error| crate::rig::lost(folder.path(), &error));
    assert_eq!((scaled.cpu_percent.len(), scaled.pss_mib.len()), (5, 5));
    assert!(scaled.pss_mib.iter().all(|mib| *mib > 0.5) && scaled.cpu_percent.iter().any(|percent| *percent > 0.0));
    assert!(scaled.told.clashes == 0 && !scaled.told.was_master && !scaled.told.vms.is_empty());
}
