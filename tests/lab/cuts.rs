//! Hosts without their network, without their storage, and without both.

use crate::kvm::Guest::Linux;
use crate::kvm::Kvm;

#[test]
fn networks_and_storage_are_lost_apart_and_together() {
    let Some(kvm) = Kvm::up(&[], &[("web", "kvm1", Linux)]) else { return };
    let host = kvm.beside("");
    kvm.holdfast(&["vm", "move", "web", &host]);
    // The network: it is seen to live by its records, and its VMs run on.
    kvm.must(&["isolate", &host]);
    kvm.until_host(&host, "isolated");
    kvm.until_writing("web");
    kvm.must(&["heal"]);
    unlock(&kvm);
    kvm.until_host(&host, "alive");
    assert_eq!(kvm.starts("web"), 1);

    // The storage: nobody else may have the VM as long as the host is heard.
    for fault in ["eio", "hang"] {
        for datastore in ["ds1", "ds2"] {
            kvm.must(&["storage", &host, datastore, fault]);
        }
        kvm.until("that to be seen", |kvm| (kvm.host(&host).record_milliseconds? > 5_000).then_some(()));
        assert_eq!(kvm.vm("web").host.as_ref(), Some(&host));
        kvm.must(&["heal"]);
        unlock(&kvm);
        kvm.until_writing("web");
    }
    assert_eq!(kvm.starts("web"), 1);

    // Both: nothing tells of it any more, and what hangs in the kernel goes with its power.
    for datastore in ["ds1", "ds2"] {
        kvm.must(&["storage", &host, datastore, "hang"]);
    }
    kvm.must(&["isolate", &host]);
    kvm.until_recovered("web", &host, "fenced");
    kvm.until_writing("web");
    kvm.must(&["heal"]);
    unlock(&kvm);
    kvm.until_host(&host, "alive");
    assert_eq!(kvm.starts("web"), 2);

    // By policy an isolated host lets its VMs go, which it is told through the storage.
    kvm.holdfast(&["policy", "set", "isolation=release"]);
    let host = kvm.vm("web").host.expect("it runs");
    let host = if host == kvm.master() { kvm.beside("") } else { host };
    kvm.holdfast(&["vm", "move", "web", &host]);
    kvm.must(&["isolate", &host]);
    kvm.until_recovered("web", &host, "released");
    kvm.until_writing("web");
    kvm.must(&["heal"]);
    unlock(&kvm);
    kvm.until_host(&host, "alive");
    kvm.settle();
}

/// To heal storage is to mend its locks, which are not to help.
fn unlock(kvm: &Kvm) {
    kvm.must(&["locks", "ds1", "off"]);
    kvm.must(&["locks", "ds2", "off"]);
}
