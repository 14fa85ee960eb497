//! Random bytes of the kernel.

use nix::errno::Errno;

use crate::{Result, SysError};

/// Fills `buffer` with random bytes (getrandom(2)).
pub fn fill(buffer: &mut [u8]) -> Result<()> {
    let mut rest = buffer;
    while !rest.is_empty() {
        // SAFETY: the pointer and the length are those of a buffer that we hold mutably.
        let got = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(got) {
            Ok(got) => rest = rest.get_mut(got..).unwrap_or_default(),
            Err(_) if Errno::last() == Errno::EINTR => {}
            Err(_) => return Err(SysError::last("getrandom", "")),
        }
    }
    Ok(())
}

/// `N` random bytes.
pub fn bytes<const N: usize>() -> Result<[u8; N]> {
    let mut out = [0; N];
    fill(&mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_draws_differ() {
        assert_ne!(super::bytes::<16>().unwrap(), super::bytes::<16>().unwrap());
    }
}
