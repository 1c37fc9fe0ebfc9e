//! The UDP sockets.

use rustix::net::sockopt::{set_socket_recv_buffer_size_force, set_socket_send_buffer_size_force};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// A thousand heartbeats that arrive at once must not be lost because the process was not scheduled: with the
/// system's default of some 200 KiB a tenth of them was.
const BUFFER: usize = 4 * 1024 * 1024;

/// Binds a socket with large buffers.
pub(super) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // The same port of IPv4 is a socket of its own.
        socket.set_only_v6(true)?;
    }
    // Beyond the system's limit goes root only; others get as much as the limit allows.
    if set_socket_recv_buffer_size_force(&socket, BUFFER).is_err() {
        socket.set_recv_buffer_size(BUFFER)?;
    }
    if set_socket_send_buffer_size_force(&socket, BUFFER).is_err() {
        socket.set_send_buffer_size(BUFFER)?;
    }
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)?;
    report_buffers(address, &socket);
    Ok(socket.into())
}

fn report_buffers(address: SocketAddr, socket: &Socket) {
    // The kernel doubles what is asked for, for its own needs, and shows the double.
    let granted = |size: io::Result<usize>| size.unwrap_or(0) / 2;
    let (receive, send) = (granted(socket.recv_buffer_size()), granted(socket.send_buffer_size()));
    match receive.min(send) >= BUFFER {
        true => tracing::info!(%address, receive, send, "listening"),
        false => tracing::warn!(
            %address, receive, send, wanted = BUFFER,
            "the UDP buffers are small and bursts may be lost: run as root, or raise net.core.rmem_max and wmem_max"
        ),
    }
}

/// From which of this machine's addresses the kernel would send to that one. Nothing is sent for it.
pub(super) fn source_for(remote: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match remote {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let probe = UdpSocket::bind((any, 0)).ok()?;
    probe.connect(remote).ok()?;
    probe.local_addr().ok().map(|address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_have_buffers_and_a_source() {
        let socket = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        assert_ne!(socket.local_addr().unwrap().port(), 0);
        assert_eq!(source_for(socket.local_addr().unwrap()), Some(IpAddr::from([127, 0, 0, 1])));
        assert!(bind(socket.local_addr().unwrap()).is_err(), "the port is taken");
    }
}
