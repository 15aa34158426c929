//! Ports on the loopback interface that nobody else takes meanwhile. In: nothing or a wished
//! port; out: a port number reserved for this process. It must not open a listener for others.

use std::collections::HashMap;
use std::fs::{self, File};
use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Below the range from which Linux takes source ports of outgoing connections (32768 and up).
/// A port from that range could be taken by any client while the part behind it is down for a
/// restart, or a client could even connect to itself.
const RANGE: std::ops::Range<u16> = 18_000..32_000;

/// Reservations of this process: a locked file a port, so that two test processes never choose
/// the same port between looking and listening. The locks end with the process.
static RESERVED: Mutex<Option<HashMap<u16, File>>> = Mutex::new(None);

/// A free port on 127.0.0.1, reserved until this process ends.
///
/// # Panics
/// If not one port of the range is free, which no test can do anything about.
pub fn free_port() -> u16 {
    let width = u64::from(RANGE.end - RANGE.start);
    let start = RandomState::new().hash_one(std::process::id()) % width;
    (0..width)
        .map(|step| RANGE.start + u16::try_from((start + step) % width).unwrap_or(0))
        .find(|port| reserve(*port))
        .expect("a free port on 127.0.0.1")
}

/// True if nothing listens on this port of 127.0.0.1 now.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Reserves this very port if it is free and no other process has reserved it.
pub fn reserve(port: u16) -> bool {
    let mut guard = RESERVED.lock().unwrap_or_else(PoisonError::into_inner);
    let reserved = guard.get_or_insert_default();
    if reserved.contains_key(&port) || !is_free(port) {
        return false;
    }
    let Ok(file) = lock_file(port) else {
        return false;
    };
    if file.try_lock().is_err() {
        return false;
    }
    reserved.insert(port, file);
    true
}

/// Gives a reservation back, for a stack that has ended.
pub(crate) fn release(port: u16) {
    if let Some(reserved) = RESERVED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .as_mut()
    {
        reserved.remove(&port);
    }
}

fn lock_file(port: u16) -> std::io::Result<File> {
    let user = rustix::process::getuid().as_raw();
    let dir: PathBuf = std::env::temp_dir().join(format!("purchases-ports-{user}"));
    fs::create_dir_all(&dir)?;
    File::options()
        .create(true)
        .append(true)
        .open(dir.join(port.to_string()))
}
