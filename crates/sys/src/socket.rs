//! Unix sockets that keep message boundaries and pass descriptors (unix(7), `SOCK_SEQPACKET`, `SCM_RIGHTS`).
//!
//! [`accept`] and [`send`] allocate nothing: the container's init calls them.

use std::ffi::CString;
use std::mem::offset_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use crate::Errno;
use crate::raw::{RawResult, call, owned, retry};

/// Connections that wait to be accepted at most.
const BACKLOG: libc::c_int = 8;

/// Two connected sockets; both close on exec, reads and writes return at once.
pub fn pair() -> RawResult<(OwnedFd, OwnedFd)> {
    let mut ends = [-1i32; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    call!(libc::SYS_socketpair, libc::AF_UNIX, kind, 0, ends.as_mut_ptr())?;
    Ok((owned(ends[0].into()), owned(ends[1].into())))
}

fn unconnected(flags: libc::c_int) -> RawResult<OwnedFd> {
    call!(libc::SYS_socket, libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | flags, 0).map(owned)
}

/// The address of `name` in an open directory. A path has 107 bytes at most, a container's directory may have a longer one:
/// the way by /proc is always short enough.
fn address(dir: BorrowedFd<'_>, name: &str) -> RawResult<(libc::sockaddr_un, libc::socklen_t)> {
    let path = CString::new(format!("/proc/self/fd/{}/{name}", dir.as_raw_fd())).map_err(|_| Errno::EINVAL)?;
    // SAFETY: sockaddr_un is plain integers, all zeroes is valid.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let bytes = path.as_bytes_with_nul();
    let place = address.sun_path.get_mut(..bytes.len()).ok_or(Errno::ENAMETOOLONG)?;
    for (slot, byte) in place.iter_mut().zip(bytes) {
        *slot = *byte as libc::c_char;
    }
    Ok((address, (offset_of!(libc::sockaddr_un, sun_path) + bytes.len()) as libc::socklen_t))
}

/// A listening socket at the new name `name` of directory `dir`; who may connect is decided by the mode (what the umask
/// leaves of 0777). [`accept`] on it returns at once.
pub fn listen(dir: BorrowedFd<'_>, name: &str) -> RawResult<OwnedFd> {
    let socket = unconnected(libc::SOCK_NONBLOCK)?;
    let (address, length) = address(dir, name)?;
    call!(libc::SYS_bind, socket.as_raw_fd(), ptr::from_ref(&address), length)?;
    call!(libc::SYS_listen, socket.as_raw_fd(), BACKLOG)?;
    Ok(socket)
}

/// Connects to the socket `name` of directory `dir`. Reads and writes wait.
pub fn connect(dir: BorrowedFd<'_>, name: &str) -> RawResult<OwnedFd> {
    let socket = unconnected(0)?;
    let (address, length) = address(dir, name)?;
    retry(|| call!(libc::SYS_connect, socket.as_raw_fd(), ptr::from_ref(&address), length))?;
    Ok(socket)
}

/// The next connection, reads and writes of which return at once; `None` if nobody waits.
pub fn accept(listener: BorrowedFd<'_>) -> RawResult<Option<OwnedFd>> {
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    let null = ptr::null::<u8>();
    match retry(|| call!(libc::SYS_accept4, listener.as_raw_fd(), null, null, flags)) {
        Ok(socket) => Ok(Some(owned(socket))),
        // ECONNABORTED: who asked has gone meanwhile.
        Err(Errno::EAGAIN | Errno::ECONNABORTED) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// The next connection, waited for. Reads and writes on it wait too.
pub fn accept_waiting(listener: BorrowedFd<'_>) -> RawResult<OwnedFd> {
    loop {
        crate::files::poll(&mut [crate::files::PollEntry::readable(Some(listener))], None)?;
        let null = ptr::null::<u8>();
        match retry(|| call!(libc::SYS_accept4, listener.as_raw_fd(), null, null, libc::SOCK_CLOEXEC)) {
            // Who asked has gone meanwhile.
            Err(Errno::EAGAIN | Errno::ECONNABORTED) => {}
            result => return result.map(owned),
        }
    }
}

/// Connects to the stream socket `name` of directory `dir` if it takes connections now; `EAGAIN` if it has too many. Reads and
/// writes return at once.
pub fn connect_stream_now(dir: BorrowedFd<'_>, name: &str) -> RawResult<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    let socket = call!(libc::SYS_socket, libc::AF_UNIX, kind, 0).map(owned)?;
    let (address, length) = address(dir, name)?;
    retry(|| call!(libc::SYS_connect, socket.as_raw_fd(), ptr::from_ref(&address), length))?;
    Ok(socket)
}

/// Connects to the stream socket `name` of directory `dir`. Reads and writes wait.
pub fn connect_stream(dir: BorrowedFd<'_>, name: &str) -> RawResult<OwnedFd> {
    let socket = call!(libc::SYS_socket, libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0).map(owned)?;
    let (address, length) = address(dir, name)?;
    retry(|| call!(libc::SYS_connect, socket.as_raw_fd(), ptr::from_ref(&address), length))?;
    Ok(socket)
}

/// Room for the control message of one descriptor (cmsg(3)), aligned as the kernel wants it.
#[repr(C, align(8))]
struct Control([u8; 32]);

/// Bytes of a control message with `count` descriptors, as `CMSG_SPACE` computes them.
const fn control_space(descriptors: usize) -> usize {
    // SAFETY: CMSG_SPACE only computes.
    unsafe { libc::CMSG_SPACE((descriptors * size_of::<libc::c_int>()) as libc::c_uint) as usize }
}

/// Sends one message of one byte, with a copy of `descriptor` if given. Never waits and never raises SIGPIPE.
pub fn send(socket: BorrowedFd<'_>, message: u8, descriptor: Option<BorrowedFd<'_>>) -> RawResult<()> {
    let mut byte = message;
    let mut part = libc::iovec { iov_base: ptr::from_mut(&mut byte).cast(), iov_len: 1 };
    send_part(socket, &mut part, descriptor).map(drop)
}

fn send_part(socket: BorrowedFd<'_>, part: &mut libc::iovec, descriptor: Option<BorrowedFd<'_>>) -> RawResult<usize> {
    let mut control = Control([0; 32]);
    // SAFETY: msghdr is plain integers and pointers, all zeroes is valid.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = ptr::from_mut(part);
    header.msg_iovlen = 1;
    if let Some(descriptor) = descriptor {
        header.msg_control = control.0.as_mut_ptr().cast();
        header.msg_controllen = control_space(1) as _;
        // SAFETY: the header has a control buffer that is large enough for one message header and one descriptor, which
        // control_space(1) <= 32 bytes are; so the first header is in it, and its data follow.
        unsafe {
            let first = libc::CMSG_FIRSTHDR(ptr::from_ref(&header));
            (*first).cmsg_level = libc::SOL_SOCKET;
            (*first).cmsg_type = libc::SCM_RIGHTS;
            (*first).cmsg_len = libc::CMSG_LEN(size_of::<libc::c_int>() as libc::c_uint) as _;
            ptr::write_unaligned(libc::CMSG_DATA(first).cast::<libc::c_int>(), descriptor.as_raw_fd());
        }
    }
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    retry(|| call!(libc::SYS_sendmsg, socket.as_raw_fd(), ptr::from_ref(&header), flags)).map(|sent| sent as usize)
}

/// A message of [`send`]; `None` when the other side has closed.
pub fn receive(socket: BorrowedFd<'_>) -> RawResult<Option<(u8, Option<OwnedFd>)>> {
    let mut byte = [0u8];
    let (length, descriptor) = receive_bytes(socket, &mut byte)?;
    Ok((length > 0).then_some((byte[0], descriptor)))
}

/// The beginning of a message of [`send_bytes`], how long it is, and its descriptor; 0 when the other side has closed.
pub fn receive_bytes(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> RawResult<(usize, Option<OwnedFd>)> {
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let mut control = Control([0; 32]);
    // SAFETY: msghdr is plain integers and pointers, all zeroes is valid.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = ptr::from_mut(&mut part);
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    // Room for one descriptor: the kernel closes what does not fit.
    header.msg_controllen = control_space(1) as _;
    let flags = libc::MSG_CMSG_CLOEXEC;
    let length = retry(|| call!(libc::SYS_recvmsg, socket.as_raw_fd(), ptr::from_mut(&mut header), flags))?;
    if length == 0 {
        return Ok((0, None));
    }
    // SAFETY: the kernel has set the length of the control data, which are in the buffer; the first header is looked at only
    // if there is one, and its data only if it is a descriptor.
    let descriptor = unsafe {
        let first = libc::CMSG_FIRSTHDR(ptr::from_ref(&header));
        let one = libc::CMSG_LEN(size_of::<libc::c_int>() as libc::c_uint) as usize;
        if first.is_null()
            || (*first).cmsg_level != libc::SOL_SOCKET
            || (*first).cmsg_type != libc::SCM_RIGHTS
            || ((*first).cmsg_len as usize) < one
        {
            None
        } else {
            let number = ptr::read_unaligned(libc::CMSG_DATA(first).cast::<libc::c_int>());
            Some(OwnedFd::from_raw_fd(number))
        }
    };
    Ok((length as usize, descriptor))
}

/// Sends the beginning of `bytes`, with a copy of `descriptor` if given; how many bytes that were. Never waits and never raises
/// SIGPIPE.
pub fn send_bytes(socket: BorrowedFd<'_>, bytes: &[u8], descriptor: Option<BorrowedFd<'_>>) -> RawResult<usize> {
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    send_part(socket, &mut part, descriptor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_descriptor_goes_through_a_socket_with_a_long_path() {
        let dir = crate::test_dir("socket").join("x".repeat(200));
        std::fs::create_dir_all(&dir).unwrap();
        let dir_fd = std::fs::File::open(&dir).unwrap();
        let listener = listen(dir_fd.as_fd(), "attach").unwrap();
        assert!(accept(listener.as_fd()).unwrap().is_none());
        let client = connect(dir_fd.as_fd(), "attach").unwrap();
        let server = accept(listener.as_fd()).unwrap().unwrap();
        let (reader, writer) = crate::files::pipe().unwrap();
        send(server.as_fd(), b'T', Some(writer.as_fd())).unwrap();
        send(server.as_fd(), b'B', None).unwrap();
        drop((writer, server));
        let (message, passed) = receive(client.as_fd()).unwrap().unwrap();
        assert_eq!(message, b'T');
        crate::files::write_all(passed.unwrap().as_fd(), b"hello").unwrap();
        let mut buffer = [0; 8];
        assert_eq!(crate::files::read(reader.as_fd(), &mut buffer).unwrap(), 5);
        assert!(matches!(receive(client.as_fd()).unwrap(), Some((b'B', None))));
        assert!(receive(client.as_fd()).unwrap().is_none());
        assert_eq!(send(client.as_fd(), b'x', None), Err(Errno::EPIPE));
        std::fs::remove_dir_all(dir.parent().unwrap()).unwrap();
    }
}
