//! Network interfaces by route netlink (rtnetlink(7)): as much of it as moving one to another namespace takes.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crate::raw::{RawResult, call, owned};
use crate::{Errno, files};

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const DUMP: u16 = 0x300;
/// With [`RTM_NEWADDR`]: what is there already is an error.
const CREATE_EXCLUSIVE: u16 = 0x600;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const IFLA_IFNAME: u16 = 3;
const IFLA_NET_NS_FD: u16 = 28;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_FLAGS: u16 = 8;
const IFA_F_PERMANENT: u32 = 0x80;
/// Flags of an address that its owner has chosen: no duplicate detection, home address, managed temporary addresses, no route of
/// the prefix, multicast group joined.
const IFA_F_CHOSEN: u32 = 0x02 | 0x10 | 0x100 | 0x200 | 0x400;
/// Header of every message (`struct nlmsghdr`), of a link (`ifinfomsg`), of an address (`ifaddrmsg`), of an attribute (`rtattr`).
const HEADER: usize = 16;
const LINK: usize = 16;
const ADDRESS: usize = 8;
const ATTRIBUTE: usize = 4;

/// A socket that speaks of the network namespace that it was opened in.
#[derive(Debug)]
pub struct Route(OwnedFd);

/// An address of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    family: u8,
    prefix: u8,
    flags: u32,
    /// Of [`IFA_ADDRESS`], [`IFA_LOCAL`], [`IFA_BROADCAST`], as they are.
    attributes: Vec<(u16, Vec<u8>)>,
}

impl Route {
    /// Opens one in the caller's network namespace.
    pub fn open() -> RawResult<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        call!(libc::SYS_socket, libc::AF_NETLINK, kind, libc::NETLINK_ROUTE).map(|fd| Self(owned(fd)))
    }

    /// The number of the interface `name`; ENODEV if there is none.
    pub fn index(&self, name: &CStr) -> RawResult<u32> {
        let mut request = Message::new(RTM_GETLINK, REQUEST, &[0; LINK]);
        request.attribute(IFLA_IFNAME, name.to_bytes_with_nul());
        self.ask(request)?.first().and_then(|reply| number(reply, 4)).ok_or(Errno::ENODEV)
    }

    /// The numbers of all interfaces.
    pub fn indices(&self) -> RawResult<Vec<u32>> {
        let replies = self.ask(Message::new(RTM_GETLINK, REQUEST | DUMP, &[0; LINK]))?;
        Ok(replies.iter().filter_map(|reply| number(reply, 4)).collect())
    }

    /// The permanent addresses of global scope that an interface has.
    pub fn addresses(&self, index: u32) -> RawResult<Vec<Address>> {
        let replies = self.ask(Message::new(RTM_GETADDR, REQUEST | DUMP, &[0; ADDRESS]))?;
        let own = replies.iter().filter(|reply| number(reply, 4) == Some(index));
        Ok(own.filter_map(|reply| Address::of(reply)).collect())
    }

    /// Moves an interface to another network namespace. It is down there, without addresses; its name is not changed.
    pub fn send_away(&self, index: u32, namespace: BorrowedFd<'_>) -> RawResult<()> {
        let mut request = Message::new(RTM_NEWLINK, REQUEST | ACK, &link(index, 0));
        request.attribute(IFLA_NET_NS_FD, &namespace.as_raw_fd().to_ne_bytes());
        self.ask(request).map(drop)
    }

    /// Gives an interface that is down another name; of one with `%d` the kernel makes one that is free.
    pub fn rename(&self, index: u32, name: &CStr) -> RawResult<()> {
        let mut request = Message::new(RTM_NEWLINK, REQUEST | ACK, &link(index, 0));
        request.attribute(IFLA_IFNAME, name.to_bytes_with_nul());
        self.ask(request).map(drop)
    }

    /// Brings an interface up.
    pub fn up(&self, index: u32) -> RawResult<()> {
        self.ask(Message::new(RTM_NEWLINK, REQUEST | ACK, &link(index, libc::IFF_UP as u32))).map(drop)
    }

    /// Gives an interface an address.
    pub fn add_address(&self, index: u32, address: &Address) -> RawResult<()> {
        let mut header = vec![address.family, address.prefix, 0, 0];
        header.extend(index.to_ne_bytes());
        let mut request = Message::new(RTM_NEWADDR, REQUEST | ACK | CREATE_EXCLUSIVE, &header);
        for (kind, value) in &address.attributes {
            request.attribute(*kind, value);
        }
        request.attribute(IFA_FLAGS, &address.flags.to_ne_bytes());
        self.ask(request).map(drop)
    }

    /// Sends a request and reads what the kernel says to it: the bodies of its messages.
    fn ask(&self, request: Message) -> RawResult<Vec<Vec<u8>>> {
        let several = request.flags & DUMP == DUMP;
        let acknowledged = request.flags & ACK != 0;
        files::write_all(self.0.as_fd(), &request.finish())?;
        let mut buffer = vec![0u8; 1 << 16];
        let mut replies = Vec::new();
        loop {
            let length = files::read(self.0.as_fd(), &mut buffer)?;
            let mut rest = buffer.get(..length).unwrap_or_default();
            while let Some((kind, body, after)) = message(rest) {
                match kind {
                    DONE => return Ok(replies),
                    ERROR => {
                        return match number(body, 0).map_or(0, |errno| (errno as i32).wrapping_neg()) {
                            0 => Ok(replies),
                            errno => Err(Errno::from_raw(errno)),
                        };
                    }
                    _ => replies.push(body.to_vec()),
                }
                rest = after;
            }
            if length == 0 || (!several && !acknowledged && !replies.is_empty()) {
                return Ok(replies);
            }
        }
    }
}

impl Address {
    /// Reads an `ifaddrmsg` with its attributes.
    fn of(reply: &[u8]) -> Option<Self> {
        let [family, prefix, old_flags, scope, ..] = *reply else { return None };
        let mut address = Self { family, prefix, flags: u32::from(old_flags), attributes: Vec::new() };
        let mut rest = reply.get(ADDRESS..)?;
        while let Some((kind, value, after)) = attribute(rest) {
            match kind {
                IFA_FLAGS => address.flags = number(value, 0)?,
                IFA_ADDRESS | IFA_LOCAL | IFA_BROADCAST => address.attributes.push((kind, value.to_vec())),
                _ => {}
            }
            rest = after;
        }
        let wanted = address.flags & IFA_F_PERMANENT != 0 && scope == libc::RT_SCOPE_UNIVERSE;
        address.flags &= IFA_F_CHOSEN;
        wanted.then_some(address)
    }
}

/// A request while it is written.
struct Message {
    flags: u16,
    bytes: Vec<u8>,
}

impl Message {
    fn new(kind: u16, flags: u16, header: &[u8]) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        // Sequence number and sender: one request is under way at a time.
        bytes.extend([0; 8]);
        bytes.extend(header);
        Self { flags, bytes }
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(ATTRIBUTE + value.len()).unwrap_or(u16::MAX);
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX).to_ne_bytes();
        self.bytes.splice(..4, length);
        self.bytes
    }
}

/// `struct ifinfomsg` with flags to set.
fn link(index: u32, flags: u32) -> Vec<u8> {
    [0, index, flags, flags].iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

/// The type and the body of the first message, and the rest.
fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::try_from(number(bytes, 0)?).ok()?;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let after = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, bytes.get(HEADER..length)?, after))
}

/// The type and the value of the first attribute, and the rest.
fn attribute(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
    let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?);
    let after = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, bytes.get(ATTRIBUTE..length)?, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_is_found() {
        let route = Route::open().unwrap();
        let index = route.index(c"lo").unwrap();
        assert!(route.indices().unwrap().contains(&index));
        // Its addresses are of host scope.
        assert_eq!(route.addresses(index).unwrap(), []);
        assert_eq!(route.index(c"none-such"), Err(Errno::ENODEV));
    }

    #[test]
    fn broken_messages_end() {
        for bytes in [&[][..], &[0; 3], &[0; 16], &[255; 16], &[4, 0, 0, 0], &[17, 0, 0, 0, 1, 1, 0, 0, 0]] {
            assert_eq!(message(bytes), None);
        }
        for bytes in [&[][..], &[0, 0, 1, 0], &[3, 0, 1, 0], &[9, 0, 1, 0, 5]] {
            assert_eq!(attribute(bytes), None);
        }
        assert_eq!(attribute(&[5, 0, 1, 0, 7, 0, 0, 0]), Some((1, &[7][..], &[][..])));
        assert_eq!(Address::of(&[2, 24]), None);
    }
}
