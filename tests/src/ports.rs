//! Addresses for processes that have to be told theirs: members of a group know each other before they listen, and come
//! back to where they were.
//!
//! They are below the ports that a machine gives to those who do not mind: so nobody takes one between its choice and its
//! use, or while its process is away.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result};

/// Linux gives away those from 32,768 on.
const PORTS: Range<u16> = 12_000..32_000;

/// A port of this machine at which nobody listens, and that this process has not chosen before.
pub fn free_port() -> Result<u16> {
    /// How many were tried, from a place on that another process hardly begins at.
    static TRIED: AtomicU16 = AtomicU16::new(0);
    let count = PORTS.end - PORTS.start;
    let begin = u32::from(count) * (std::process::id() % 199) / 199;
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let next = |_| {
        let tried = u32::from(TRIED.fetch_add(1, Ordering::Relaxed));
        PORTS.start + ((begin + tried) % u32::from(count)) as u16
    };
    (0..count).map(next).find(free).context("no port is free")
}

/// Such a port with its address.
pub fn free_address() -> Result<String> {
    Ok(format!("{}:{}", Ipv4Addr::LOCALHOST, free_port()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_port_is_chosen_twice_and_none_that_is_taken() {
        let taken: Vec<TcpListener> =
            (0..9).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, free_port().unwrap())).unwrap()).collect();
        let taken: BTreeSet<u16> = taken.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        let chosen: BTreeSet<u16> = (0..99).map(|_| free_port().unwrap()).collect();
        assert_eq!((taken.len(), chosen.len()), (9, 99));
        assert!(chosen.is_disjoint(&taken) && chosen.iter().all(|port| PORTS.contains(port)));
    }
}
