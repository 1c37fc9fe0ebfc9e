//! What is read of a definition, and what follows from it.

use super::payload::{LONGEST_NVRAM, Package, PayloadError, pack, unpack};
use super::*;
use crate::core::ids::DatastoreId;
use flate2::Compression;
use flate2::read::DeflateEncoder;
use proptest::prelude::*;
use std::io::Read;
use std::path::PathBuf;

const WHOLE: &str = include_str!("../../../tests/fuzz/seeds/libvirt/domain.xml");

fn whole() -> Described {
    describe(WHOLE).unwrap()
}

fn shared() -> Circumstances {
    Circumstances { datastores: vec!["/shared".into()], ..Circumstances::default() }
}

fn kinds(described: &Described, circumstances: &Circumstances) -> Vec<ObstacleKind> {
    obstacles(described, circumstances).into_iter().map(|obstacle| obstacle.kind).collect()
}

#[test]
fn a_definition_is_read() {
    let described = whole();
    assert_eq!((described.name.as_str(), described.memory_mib, described.vcpus), ("web-1", 2_048, 2));
    assert_eq!(described.nvram, Some("/var/lib/libvirt/qemu/nvram/web-1_VARS.fd".into()));
    let targets: Vec<&str> = described.disks.iter().map(|disk| disk.target.as_str()).collect();
    assert_eq!(targets, ["vda", "vdb", "vdc", "sda"]);
    let disk = &described.disks[0];
    assert!(disk.is_own() && disk.cache == "none" && disk.format == "qcow2");
    assert_eq!(disk.backing, [Source::File("/shared/base.qcow2".into())]);
    assert!(!described.disks[1].is_own(), "others may write to it, too");
    assert_eq!(
        described.disks[1].source,
        Source::Network { protocol: "rbd".to_owned(), name: "pool/web-1".to_owned() }
    );
    assert_eq!(described.disks[3].source, Source::Empty);
    assert_eq!(described.networks.len(), 4);
    assert_eq!(described.tpm, Some(Tpm::Emulator));
    assert_eq!(uuid_of(WHOLE).unwrap().as_u128(), described.uuid);
}

#[test]
fn what_is_no_definition_is_refused() {
    let refused = |text: &str| describe(text).unwrap_err().to_string();
    assert!(refused("nothing").contains("no XML"));
    assert!(refused("<domain/>").contains("`os`"));
    assert!(refused(&WHOLE.replace("<uuid>", "<uuid>x")).contains("`uuid`"));
    assert!(refused(&WHOLE.replace("unit='MiB'", "unit='PiB'")).contains("`memory`"));
    assert!(refused(&WHOLE.replace(">2048<", ">99999999999999999999<")).contains("`memory`"));
    assert!(refused(&" ".repeat(2_000_000)).contains("none is longer"));
    // Entities could make a short text endless.
    let bomb = format!("<!DOCTYPE a [<!ENTITY b 'cc'>]>{WHOLE}");
    assert!(refused(&bomb).contains("no XML"));
    let disks = "<disk type='file'/>".repeat(1_025);
    assert!(refused(&WHOLE.replace("</devices>", &format!("{disks}</devices>"))).contains("more than"));
    let deep = format!("{}{}", "<a>".repeat(50_000), "</a>".repeat(50_000));
    // Depth takes no stack.
    assert_eq!(describe(&WHOLE.replace("<devices>", &format!("{deep}<devices>"))), Ok(whole()));
}

#[test]
fn obstacles_are_found_and_bind_only_if_they_must() {
    use ObstacleKind::*;
    let described = whole();
    assert_eq!(kinds(&described, &shared()), [Passthrough, UnsafeCache, Shareable, UnsafeCache, Tpm, UnknownNetwork],);
    let local = kinds(&described, &Circumstances::default());
    assert_eq!(local.iter().filter(|kind| **kind == LocalFile).count(), 2, "the image and the one below it");
    let circumstances = Circumstances {
        is_transient: true,
        has_managed_save: true,
        snapshots: 2,
        inactive_pools: vec!["guests".to_owned()],
        ..shared()
    };
    let found = kinds(&described, &circumstances);
    assert!([InactivePool, ManagedSave, Transient, Snapshots].iter().all(|kind| found.contains(kind)));
    let warnings = obstacles(&described, &shared()).into_iter().filter(|obstacle| obstacle.kind.is_warning()).count();
    let datastore = |id, path: &str| Datastore { id: Some(DatastoreId(id)), path: PathBuf::from(path) };
    let places = [datastore(1, "/shared"), datastore(2, "/other"), datastore(3, "/sha")];
    let shape = shape(&described, &obstacles(&described, &shared()), &places, Vec::new().into());
    assert_eq!(shape.bonds.len(), 6 - warnings);
    assert_eq!((shape.millicores, shape.datastores), (2_000, [DatastoreId(1)].into()));
    for need in [
        "kind kvm",
        "machine pc-q35-7.2 of x86_64",
        "processor Skylake-Server",
        "program /usr/bin/qemu-system-x86_64",
        "firmware /usr/share/OVMF/OVMF_CODE_4M.fd",
        "network default",
        "port group web of network default",
        "bridge br0",
        "network card eno1",
        "storage pool guests",
        "secret 2ec115d7-3a88-3ceb-bc12-0ac909a6fd87",
    ] {
        assert!(shape.needs.contains(need), "{need}: {:?}", shape.needs);
    }
}

#[test]
fn a_payload_is_bounded_and_hides_what_it_holds() {
    let package = Package { xml: WHOLE.to_owned(), nvram: Some(vec![7; 1_000]), is_saved: false };
    let packed = pack(&package).unwrap();
    assert!(packed.len() < WHOLE.len());
    assert_eq!(unpack(&packed).unwrap(), package);
    assert!(!format!("{package:?}").contains("Skylake"));
    assert_eq!(unpack(&[]), Err(PayloadError::Damaged));
    assert_eq!(unpack(&[9, 1]), Err(PayloadError::Version(9)));
    assert_eq!(unpack(&packed[..packed.len() / 2]), Err(PayloadError::Damaged));
    let long = Package { xml: WHOLE.to_owned(), nvram: Some(vec![0; LONGEST_NVRAM + 1]), is_saved: false };
    assert_eq!(pack(&long), Err(PayloadError::TooLong));
    // What unpacks to more than there may be is not unpacked.
    let mut bomb = vec![packed[0]];
    let zeros = std::io::repeat(0).take(64 * 1_024 * 1_024);
    DeflateEncoder::new(zeros, Compression::best()).read_to_end(&mut bomb).unwrap();
    assert!(bomb.len() < 100_000);
    assert_eq!(unpack(&bomb), Err(PayloadError::TooLong));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_in_a_definition_is_trusted(name in "\\PC{1,40}", path in "\\PC{0,40}") {
        let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('\'', "&apos;");
        let xml = WHOLE.replace("web-1<", &format!("{}<", escaped(&name))).replace("/shared/web-1.qcow2", &escaped(&path));
        if let Ok(described) = describe(&xml) {
            prop_assert!(described.paths().all(|path| path.is_absolute()));
            prop_assert!(crate::laws::is_plain(&described.name));
        }
    }
}
