//! The whole frame in a process of its own: exit codes, signals, logs.
//!
//! The process is this test's own binary, run again for the one test that becomes
//! a service. It ends when its standard input does, so it cannot outlive us.

#![expect(clippy::disallowed_methods, reason = "the test is its own service")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command as Program, Output, Stdio};
use std::time::Duration;

use host::admin::Admin;
use host::env::{self, Reader, Var};
use host::exit::{Code, Failure};
use host::frame::Command;
use host::serve::{Limits, Server};
use host::{Process, Service};
use tokio_util::sync::CancellationToken;

const SERVICE: Service<std::net::SocketAddr> = Service {
    name: "test-svc",
    version: "1.2.3",
    about: "a service of this test",
    vars: &[&[
        Var::with_default("HTTP_ADDR", "127.0.0.1:0", "where it listens"),
        Var::with_default("ADMIN_ADDR", "127.0.0.1:1", "where it is asked how it is"),
        Var::optional("PASSWORD", "what nobody may see").secret(),
    ]],
    configure: |reader: &mut Reader<'_>| {
        let addr = reader.get("HTTP_ADDR", env::socket_addr);
        let admin = reader.get("ADMIN_ADDR", env::socket_addr);
        let password = reader.optional("PASSWORD", |text| match text.len() {
            8.. => Ok(()),
            _ => Err("is shorter than 8 characters"),
        });
        password?;
        admin?;
        addr
    },
    commands: &[Command {
        name: "greet",
        about: "greets",
        usage: "Usage: test-svc greet NAME\n",
        run: |addr, arguments| {
            Box::pin(async move {
                match &arguments[..] {
                    [name] => {
                        println!("hello {name} from {addr}");
                        Ok(())
                    }
                    _ => Err(Failure::new(Code::Unavailable, "nobody to greet")),
                }
            })
        },
    }],
};

/// Serves the admin pages and stops when told; a connection to `/actors` fails it.
async fn serve(addr: std::net::SocketAddr, process: Process) -> Result<(), Failure> {
    let server = Server::bind("http", addr, "HTTP_ADDR", Limits::default())?;
    tracing::info!(addr = %server.local_addr(), answer = 42, "listening");
    let failed = CancellationToken::new();
    let fail = failed.clone();
    let admin = Admin::new(
        process.readiness.clone(),
        process.metrics.clone(),
        process.levels.clone(),
        move || {
            fail.cancel();
            serde_json::Value::Null
        },
    );
    let _running = admin.spawn(server);
    tokio::select! {
        () = process.shutdown.cancelled() => {
            assert!(!process.readiness.ready());
            if std::path::Path::new("/proc/self").exists() && process.levels.current().contains("trace") {
                // A service that cannot drain: only the second signal ends it.
                std::future::pending::<()>().await;
            }
            Ok(())
        }
        () = failed.cancelled() => Err(Failure::new(Code::Software, "the writer melted down")),
    }
}

/// Not a test of anything when run by itself: it is the service of the others.
#[test]
fn as_a_service() {
    let Ok(arguments) = std::env::var("HOST_TEST_SERVICE") else {
        return;
    };
    std::thread::spawn(|| {
        let end = std::io::stdin().read_to_end(&mut Vec::new());
        eprintln!("the parent is gone: {end:?}");
        std::process::exit(99);
    });
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    let code = host::frame::run(&SERVICE, &arguments, &env::ProcessEnv, serve);
    std::process::exit(code as i32);
}

struct Spawned {
    child: Child,
    lines: BufReader<ChildStdout>,
    seen: Vec<String>,
}

fn spawn(arguments: &str, variables: &[(&str, &str)], limit: Option<u32>) -> Spawned {
    let this = std::env::current_exe().expect("this test's binary");
    let mut command = match limit {
        None => Program::new(this),
        Some(files) => {
            let mut shell = Program::new("sh");
            shell
                .args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\"")])
                .arg(this);
            shell
        }
    };
    command.args(["as_a_service", "--exact", "--nocapture", "--test-threads=1"]);
    command
        .env_remove("RUST_LOG")
        .env("HOST_TEST_SERVICE", arguments)
        .envs(variables.iter().copied());
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    let lines = BufReader::new(child.stdout.take().expect("piped"));
    Spawned {
        child,
        lines,
        seen: Vec::new(),
    }
}

impl Spawned {
    /// Reads lines until one contains `text`.
    fn until(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.lines.read_line(&mut line).expect("lines of text");
            assert!(read > 0, "ended without {text:?}: {:?}", self.seen);
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    fn listening(&mut self) -> String {
        let line = self.until("listening");
        let at = line.find("127.0.0.1:").expect("an address");
        line[at..]
            .split(|c: char| c.is_whitespace() || c == '"')
            .next()
            .expect("an address")
            .to_owned()
    }

    fn signal(&self, name: &str) {
        let sent = Program::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status();
        assert!(sent.expect("kill runs").success());
    }

    /// Exit code, the rest of standard output, and standard error.
    fn end(mut self) -> (Option<i32>, String, String) {
        let mut out = self.seen.concat();
        self.lines.read_to_string(&mut out).expect("text");
        let Output { status, stderr, .. } = self.child.wait_with_output().expect("it ends");
        (
            status.code(),
            out,
            String::from_utf8_lossy(&stderr).into_owned(),
        )
    }
}

fn ask(addr: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(
        format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn a_signal_stops_the_service_with_exit_code_0() {
    for signal in ["TERM", "INT"] {
        let mut service = spawn("", &[], None);
        let addr = service.listening();
        assert!(
            ask(&addr, "/readyz")
                .expect("an answer")
                .starts_with("HTTP/1.1 200")
        );
        service.signal(signal);
        let (code, out, _) = service.end();
        assert_eq!(code, Some(0), "{out}");
        assert!(
            out.contains(&format!("SIG{signal}")) && out.contains("stopped"),
            "{out}"
        );
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for (signal, expected) in [("TERM", 143), ("INT", 130)] {
        let mut service = spawn("", &[("RUST_LOG", "info,host=trace")], None);
        service.listening();
        service.signal(signal);
        service.until("shutting down");
        service.signal(signal);
        let (code, out, _) = service.end();
        assert_eq!(code, Some(expected), "{out}");
        assert!(out.contains("second signal"), "{out}");
    }
}

#[test]
fn all_configuration_errors_come_at_once_with_exit_code_64() {
    let wrong = [
        ("HTTP_ADDR", "here"),
        ("PASSWORD", "short"),
        ("LOG_FORMAT", "xml"),
        ("RUST_LOG", "=?="),
    ];
    for arguments in ["", "check-config"] {
        let (code, _, err) = spawn(arguments, &wrong, None).end();
        assert_eq!(code, Some(64), "{err}");
        assert!(
            err.contains("test-svc: 4 errors in the configuration"),
            "{err}"
        );
        for name in ["HTTP_ADDR", "PASSWORD", "LOG_FORMAT", "RUST_LOG"] {
            assert!(err.contains(&format!("\n  {name}: ")), "{err}");
        }
        assert!(!err.contains("short\""), "{err}");
    }
}

#[test]
fn the_command_line_is_small_and_strict() {
    let (code, out, _) = spawn("--version", &[], None).end();
    assert_eq!(code, Some(0));
    assert!(out.contains("test-svc 1.2.3\n"), "{out}");
    let (code, out, _) = spawn("--help", &[("HTTP_ADDR", "nonsense")], None).end();
    assert_eq!(code, Some(0), "help works whatever the configuration");
    for part in [
        "HTTP_ADDR",
        "[default: 127.0.0.1:0]",
        "where it listens",
        "[never shown]",
        "LOG_FORMAT",
        "RUST_LOG",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    let (code, out, _) = spawn("check-config", &[], None).end();
    assert_eq!(code, Some(0));
    assert!(out.contains("the configuration is valid"), "{out}");
    let (code, out, _) = spawn("greet Ann", &[], None).end();
    assert_eq!(code, Some(0));
    assert!(out.contains("hello Ann from 127.0.0.1:0"), "{out}");
    let (code, out, _) = spawn("greet --help", &[], None).end();
    assert_eq!(code, Some(0));
    assert!(out.contains("Usage: test-svc greet NAME"), "{out}");
    let (code, _, err) = spawn("greet", &[], None).end();
    assert_eq!(code, Some(69));
    assert!(err.contains("test-svc greet: nobody to greet"), "{err}");
    let (code, _, err) = spawn("greet Ann", &[("HTTP_ADDR", "x")], None).end();
    assert_eq!(code, Some(64));
    assert!(err.contains("HTTP_ADDR"), "{err}");
    let (code, _, err) = spawn("--verbose", &[], None).end();
    assert_eq!(code, Some(64));
    assert!(err.contains("unknown argument \"--verbose\""), "{err}");
}

#[test]
fn a_running_service_can_be_asked_how_it_is_whatever_else_is_configured() {
    let mut service = spawn("", &[], None);
    let addr = service.listening();
    let asked = [("ADMIN_ADDR", &*addr), ("HTTP_ADDR", "nonsense")];
    for (arguments, page) in [
        ("healthcheck", "/readyz: ready"),
        ("healthcheck --live", "/livez: alive"),
    ] {
        let (code, out, err) = spawn(arguments, &asked, None).end();
        assert_eq!(code, Some(0), "{out} {err}");
        let line = format!("test-svc: http://{addr}{page}\n");
        assert!(out.contains(&line), "{out}");
    }
    let (code, _, err) = spawn("healthcheck --loud", &asked, None).end();
    assert_eq!(code, Some(64), "{err}");
    service.signal("TERM");
    assert_eq!(service.end().0, Some(0));
    let (code, _, err) = spawn("healthcheck", &asked, None).end();
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("Connection refused"), "{err}");
}

#[test]
fn a_taken_port_ends_it_with_exit_code_69_and_the_remedy() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = taken.local_addr().expect("an address").to_string();
    let (code, out, _) = spawn("", &[("HTTP_ADDR", &addr)], None).end();
    assert_eq!(code, Some(69), "{out}");
    assert!(
        out.contains(&format!("cannot listen on {addr}")) && out.contains("set HTTP_ADDR to"),
        "{out}"
    );
}

#[test]
fn a_failure_inside_ends_it_with_exit_code_70() {
    let mut service = spawn("", &[], None);
    let addr = service.listening();
    let answer = ask(&addr, "/actors");
    let (code, out, _) = service.end();
    assert_eq!(code, Some(70), "{out} {answer:?}");
    assert!(out.contains("the writer melted down"), "{out}");
}

#[test]
fn json_logs_are_one_flat_object_per_line() {
    let mut service = spawn("", &[("LOG_FORMAT", "json")], None);
    let line = service.until("listening");
    let object: HashMap<String, serde_json::Value> =
        serde_json::from_str(&line).expect("one JSON object");
    assert_eq!(object["message"], "listening");
    assert_eq!(object["answer"], 42);
    assert_eq!(object["level"], "INFO");
    assert!(
        object.contains_key("timestamp") && object.contains_key("target"),
        "{line}"
    );
    service.signal("TERM");
    assert_eq!(service.end().0, Some(0));
}

#[test]
fn without_file_descriptors_it_waits_and_recovers() {
    let mut service = spawn("", &[], Some(24));
    let addr = service.listening();
    let mut held: Vec<TcpStream> = (0..40)
        .map(|_| TcpStream::connect(&addr).expect("the queue takes it"))
        .collect();
    let complaint = service.until("cannot accept connections");
    assert!(complaint.contains("Too many open files"), "{complaint}");
    held.clear();
    assert!(
        ask(&addr, "/livez")
            .expect("it recovers")
            .starts_with("HTTP/1.1 200")
    );
    service.signal("TERM");
    let (code, out, _) = service.end();
    assert_eq!(code, Some(0), "{out}");
    let complaints = out.matches("cannot accept connections").count();
    assert!(complaints <= 5, "{complaints} complaints: {out}");
}
