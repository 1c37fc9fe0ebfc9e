//! What a cluster on this machine stands on: a folder and a network that are nobody else's.

use super::cluster::API_PORT;
use super::host::{PEER_PORT, Wanted};
use anyhow::{Context, bail, ensure};
use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

/// Takes the folder for this cluster. One that holds a cluster, be it at work or not, stays as it is.
pub(super) fn claim(wanted: &Wanted) -> anyhow::Result<()> {
    let folder = &wanted.directory;
    let taken = || format!("{} holds a cluster already; name a folder that does not", folder.display());
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    for number in 1..=wanted.hosts {
        ensure!(!folder.join(format!("host-{number}")).exists(), taken());
    }
    match fs::create_dir(folder.join("shared")) {
        // Of two that begin at once, one comes first.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => bail!(taken()),
        made => Ok(made.with_context(|| folder.display().to_string())?),
    }
}

/// A network on loopback that nobody uses: 127.a.b.0/24.
pub(super) fn free_net(wanted: &Wanted) -> anyhow::Result<[u8; 2]> {
    let print = crate::trust::fingerprint(format!("{}{:?}", std::process::id(), wanted.directory).as_bytes());
    for pair in print.0.chunks_exact(2) {
        let &[first, second] = pair else { continue };
        let address = Ipv4Addr::new(127, first.max(1), second, 1);
        let is_free = |port| {
            let place = SocketAddr::from((address, port));
            TcpListener::bind(place).is_ok() && UdpSocket::bind(place).is_ok()
        };
        if is_free(PEER_PORT) && is_free(API_PORT) {
            return Ok([first.max(1), second]);
        }
    }
    bail!("no network on loopback is free")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::Cluster;
    use std::path::PathBuf;

    #[test]
    fn a_folder_that_holds_a_cluster_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let plan = || Cluster::plan(Wanted::ordinary(folder.path().to_owned(), PathBuf::from("/bin/true")));
        let config = plan().unwrap().machines()[0].config();
        let before = fs::read(&config).unwrap();
        let error = plan().map(drop).unwrap_err().to_string();
        assert!(error.contains("holds a cluster already"), "{error}");
        assert_eq!(fs::read(&config).unwrap(), before, "another UUID would stand there");
        // One of which only a host is left is somebody's, too.
        fs::remove_dir(folder.path().join("shared")).unwrap();
        assert!(plan().is_err());
        assert_eq!(fs::read(&config).unwrap(), before);
    }
}
