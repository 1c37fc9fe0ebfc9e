//! What hosts and VMs use just now, asked of any host.

use crate::rig::Rig;
use holdfast::api::{HostLive, VmLive};
use holdfast::clock::boottime;
use holdfast::platform::GuestAgent;
use rustix::process::Signal;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_used_is_told_and_who_does_not_answer_holds_up_nobody() {
    let rig = Rig::with_vms(2, |wanted| {
        wanted.fence = None;
        wanted.watchdog = false;
    })
    .await;
    let host = rig.other().await;
    let vm = rig.on(&host).await.remove(0);
    let client = rig.machine(&host).client().unwrap();
    let live: VmLive = client.get(&format!("/v1/vms/{vm}/live")).await.unwrap();
    assert_eq!((&live.host, live.agent), (&host, Some(GuestAgent::None)));
    let load = live.load.expect("it runs");
    assert!(load.resident_mib > 0 && load.busy_millicores.is_some(), "{load:?}");
    let live: HostLive = client.get(&format!("/v1/hosts/{host}/live")).await.unwrap();
    assert!(live.vms.iter().any(|one| one.uuid == load.uuid) && live.used_mib < live.memory_mib, "{live:?}");
    assert!(live.busy_millicores <= u64::from(live.cores) * 1_000);

    rig.machine(&host).signal_all(Signal::STOP).unwrap();
    let master = rig.cluster.client().await.unwrap();
    for path in [format!("/v1/hosts/{host}/live"), format!("/v1/vms/{vm}/live")] {
        let began = boottime();
        master.get::<HostLive>(&path).await.expect_err("it stands still");
        assert!(boottime().since(began) < Duration::from_secs(9));
    }
    rig.machine(&host).signal_all(Signal::CONT).unwrap();
    rig.until_host(&host, "alive").await;
    rig.end().await;
}
