//! `healthcheck`: asks this service's own admin port, for images without a shell.
//!
//! In: `ADMIN_ADDR` and nothing else of the configuration, so that it can be asked also of a service
//! that does not start. Out: one line and an exit code. It blocks, and never for long.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::env::{Env, Reader, Var, socket_addr};
use crate::exit::Code;

/// The variable that says where the admin port is; every service with that port has it.
const ADMIN_ADDR: &str = "ADMIN_ADDR";

/// All steps together. Under the shortest limits that orchestrators have for such a command.
const WITHIN: Duration = Duration::from_secs(2);
/// Longest answer that is read; the pages asked for are a line long.
const ANSWER: u64 = 4096;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    /// Whether to send work here.
    Ready,
    /// Whether the process answers at all.
    Live,
}

impl Page {
    fn path(self) -> &'static str {
        match self {
            Self::Ready => "/readyz",
            Self::Live => "/livez",
        }
    }
}

/// Asks, prints one line, and tells the exit code.
pub(crate) fn run(name: &str, page: Page, tables: &[&[Var]], env: &dyn Env) -> Code {
    let addr = match address(tables, env) {
        Ok(addr) => addr,
        Err(why) => {
            eprintln!("{name}: {why}");
            return Code::Usage;
        }
    };
    let verdict = ask(addr, page.path());
    let (code, said) = match &verdict {
        Ok((200, said)) => (Code::Ok, said.clone()),
        Ok((status, said)) => (Code::Unhealthy, format!("{said} (status {status})")),
        Err(error) => (Code::Unhealthy, error.to_string()),
    };
    let line = format!("{name}: http://{addr}{}: {said}", page.path());
    match code {
        Code::Ok => println!("{line}"),
        _ => eprintln!("{line}"),
    }
    code
}

/// Where the admin port is reached from here.
fn address(tables: &[&[Var]], env: &dyn Env) -> Result<SocketAddr, String> {
    let var = tables.iter().flat_map(|table| table.iter());
    let Some(var) = var.copied().find(|var| var.name == ADMIN_ADDR) else {
        return Err(format!("this service has no {ADMIN_ADDR}"));
    };
    let table: &[Var] = &[var];
    let mut reader = Reader::new(&[table], env);
    let addr = reader.get(ADMIN_ADDR, socket_addr);
    let addr = reader.finish(|| addr).map_err(|error| error.to_string())?;
    match addr.port() {
        0 => Err(format!(
            "{ADMIN_ADDR} leaves the port to the system, so it cannot be known here"
        )),
        port => Ok(SocketAddr::new(reachable(addr.ip()), port)),
    }
}

/// "Every address" is one to listen on and none to connect to.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}

/// Status and body of one page, by the least HTTP that our own port understands.
fn ask(addr: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    let until = Instant::now() + WITHIN;
    let left = || match until.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::Error::from(io::ErrorKind::TimedOut)),
        left => Ok(left),
    };
    let mut stream = TcpStream::connect_timeout(&addr, WITHIN)?;
    stream.set_write_timeout(Some(left()?))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    loop {
        // Each read has what is left of the whole, so that a trickle cannot stretch it.
        stream.set_read_timeout(Some(left()?))?;
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(read) if (answer.len() + read) as u64 <= ANSWER => {
                answer.extend_from_slice(&piece[..read]);
            }
            Ok(_) => return Err(io::Error::other("the answer is too long to be ours")),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("no answer within {WITHIN:?}"),
                ));
            }
            Err(error) => return Err(error),
        }
    }
    parse(&answer).ok_or_else(|| io::Error::other("the answer is no HTTP"))
}

fn parse(answer: &[u8]) -> Option<(u16, String)> {
    let text = std::str::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some((status, body.trim_end().to_owned()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::net::TcpListener;

    use super::*;

    const VARS: &[&[Var]] = &[&[Var::with_default(ADMIN_ADDR, "0.0.0.0:9000", "operators")]];

    fn env(addr: &str) -> HashMap<String, String> {
        HashMap::from([(ADMIN_ADDR.to_owned(), addr.to_owned())])
    }

    #[test]
    fn an_address_to_listen_on_becomes_one_to_connect_to() {
        let of = |addr: &str| address(VARS, &env(addr)).map(|addr| addr.to_string());
        assert_eq!(of("").as_deref(), Ok("127.0.0.1:9000"), "the default");
        assert_eq!(of("[::]:9001").as_deref(), Ok("[::1]:9001"));
        assert_eq!(of("10.1.2.3:80").as_deref(), Ok("10.1.2.3:80"));
        assert!(of("nowhere").is_err_and(|why| why.contains("ADMIN_ADDR: \"nowhere\"")));
        assert!(of("127.0.0.1:0").is_err_and(|why| why.contains("port")));
        assert!(address(&[&[]], &env("")).is_err());
    }

    #[test]
    fn nobody_there_is_unhealthy_and_a_wrong_address_is_usage() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = free.local_addr().unwrap().to_string();
        drop(free);
        assert_eq!(run("x", Page::Ready, VARS, &env(&addr)), Code::Unhealthy);
        assert_eq!(run("x", Page::Ready, VARS, &env("here")), Code::Usage);
    }

    #[test]
    fn a_port_that_says_nothing_is_unhealthy_in_time() {
        // Connections are made by the system, and nobody ever reads.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = silent.local_addr().unwrap().to_string();
        let since = Instant::now();
        assert_eq!(run("x", Page::Live, VARS, &env(&addr)), Code::Unhealthy);
        assert!(since.elapsed() < WITHIN * 3, "{:?}", since.elapsed());
    }

    #[test]
    fn an_answer_is_its_status_and_its_line() {
        let answer = b"HTTP/1.1 503 Service Unavailable\r\na: b\r\n\r\nnot ready: kafka\n";
        assert_eq!(parse(answer), Some((503, "not ready: kafka".to_owned())));
        assert_eq!(parse(b"SSH-2.0-x\r\n\r\n"), None);
    }
}
