//! Configuration: every error at once, by name; nothing secret shown.

use std::collections::HashMap;
use std::time::Duration;

use host::env::{self, ConfigErrors, Reader, Var};

const VARS: &[Var] = &[
    Var::with_default("HTTP_ADDR", "0.0.0.0:8000", "where to listen"),
    Var::with_default("DRAIN_TIMEOUT", "30s", "how long a shutdown may take"),
    Var::required("API_URL", "the other service"),
    Var::optional("LIMIT", "how many"),
    Var::optional("DATABASE_URI", "where data is").secret(),
];

type Read = (
    std::net::SocketAddr,
    Duration,
    http::Uri,
    Option<usize>,
    Option<env::Secret>,
);

fn read(set: &[(&str, &str)]) -> Result<Read, ConfigErrors> {
    let env: HashMap<String, String> = set
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    let mut reader = Reader::new(&[VARS], &env);
    let addr = reader.get("HTTP_ADDR", env::socket_addr);
    let drain = reader.get("DRAIN_TIMEOUT", env::duration);
    let url = reader.get("API_URL", env::http_url);
    let limit = reader.optional("LIMIT", env::count);
    let uri = reader.optional("DATABASE_URI", |text| {
        match text.starts_with("mongodb://") {
            true => env::secret(text).map_err(|_| "cannot be"),
            false => Err("does not begin with mongodb://"),
        }
    });
    reader.finish(|| Some((addr?, drain?, url?, limit?, uri?)))
}

#[test]
fn defaults_hold_where_nothing_is_set() {
    let (addr, drain, url, limit, uri) = read(&[
        ("API_URL", "http://consumer-svc:8001"),
        // Set to nothing is not set.
        ("HTTP_ADDR", ""),
        ("DRAIN_TIMEOUT", " \t"),
        ("LIMIT", ""),
        ("DATABASE_URI", "  "),
        ("OTHER", "x"),
    ])
    .expect("a valid configuration");
    assert_eq!(addr.to_string(), "0.0.0.0:8000");
    assert_eq!(drain, Duration::from_secs(30));
    assert_eq!(
        url.authority().map(|a| a.as_str()),
        Some("consumer-svc:8001")
    );
    assert_eq!((limit, uri), (None, None));
}

#[test]
fn all_errors_come_at_once_and_by_name() {
    let set = [
        ("HTTP_ADDR", "here"),
        ("DRAIN_TIMEOUT", "30"),
        ("API_URL", " "),
        ("LIMIT", "-1"),
        ("DATABASE_URI", "hunter2"),
    ];
    let errors = read(&set).expect_err("everything is wrong");
    let names: Vec<_> = errors.0.iter().map(|error| error.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "HTTP_ADDR",
            "DRAIN_TIMEOUT",
            "API_URL",
            "LIMIT",
            "DATABASE_URI"
        ]
    );
    let text = errors.to_string();
    assert!(text.starts_with("5 errors in the configuration"), "{text}");
    assert!(
        text.contains("\n  DRAIN_TIMEOUT: \"30\" is not a duration with a unit"),
        "{text}"
    );
    assert!(
        text.contains("\n  API_URL: is required and not set"),
        "{text}"
    );
}

#[test]
fn a_secret_is_not_shown_even_when_it_is_wrong() {
    let errors =
        read(&[("API_URL", "http://a"), ("DATABASE_URI", "hunter2")]).expect_err("not a URI");
    assert!(!format!("{errors} {errors:?}").contains("hunter2"));
    assert!(
        errors
            .to_string()
            .contains("DATABASE_URI: (value hidden) does not begin with mongodb://")
    );
    let good = read(&[
        ("API_URL", "http://a"),
        ("DATABASE_URI", "mongodb://u:hunter2@h"),
    ])
    .expect("valid");
    assert!(!format!("{good:?}").contains("hunter2"));
    assert_eq!(good.4.expect("set").expose(), "mongodb://u:hunter2@h");
}

#[test]
fn help_names_every_variable_with_meaning_and_default() {
    let help = env::help_text("svc", "does things", "Usage: svc", &[VARS]);
    assert!(help.contains("set to nothing counts as not set"), "{help}");
    for var in [
        "HTTP_ADDR",
        "DRAIN_TIMEOUT",
        "API_URL",
        "LIMIT",
        "DATABASE_URI",
    ] {
        assert!(help.contains(&format!("  {var} ")), "{help}");
    }
    assert!(
        help.contains("[default: 0.0.0.0:8000]\n      where to listen"),
        "{help}"
    );
    assert!(
        help.contains("[required]\n      the other service"),
        "{help}"
    );
    assert!(
        help.contains("[optional] [never shown]\n      where data is"),
        "{help}"
    );
}

#[test]
#[should_panic(expected = "in a table but never read: [\"LIMIT\"]")]
fn a_variable_that_help_promises_must_be_read() {
    const TABLE: &[Var] = &[Var::optional("LIMIT", "how many")];
    let env = HashMap::new();
    let result = Reader::new(&[TABLE], &env).finish(|| Some(()));
    assert!(result.is_ok());
}

#[test]
#[should_panic(expected = "NOWHERE is in no table")]
fn a_variable_that_help_conceals_cannot_be_read() {
    let env = HashMap::new();
    let mut reader = Reader::new(&[], &env);
    assert!(reader.optional("NOWHERE", env::text).is_none());
}

#[test]
fn durations_need_a_unit() {
    let millis = |text| env::duration(text).map(|d| d.as_millis());
    assert_eq!(millis("250ms"), Ok(250));
    assert_eq!(millis("30s"), Ok(30_000));
    assert_eq!(millis("5m"), Ok(300_000));
    assert_eq!(millis("1h"), Ok(3_600_000));
    assert_eq!(millis("0s"), Ok(0));
    for wrong in [
        "",
        "30",
        "s",
        "-1s",
        "1.5s",
        "1 s",
        "1d",
        "1S",
        "99999999999999999999s",
        "18446744073709551615h",
    ] {
        assert!(millis(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn other_values_are_read_strictly() {
    assert_eq!(env::bytes("64KiB"), Ok(65_536));
    assert_eq!(env::bytes("512"), Ok(512));
    assert_eq!(env::bytes("2GiB"), Ok(1 << 31));
    for wrong in ["", "64kb", "64 KiB", "-1", "99999999999GiB"] {
        assert!(env::bytes(wrong).is_err(), "{wrong}");
    }
    assert_eq!(env::count("7"), Ok(7));
    assert!(env::count("0").is_err());
    assert_eq!(
        env::count_in(1..=5)("6"),
        Err("is not a whole number from 1 to 5".to_owned())
    );
    assert_eq!((env::flag("true"), env::flag("0")), (Ok(true), Ok(false)));
    assert!(env::flag("yes").is_err());
    assert!(env::socket_addr("localhost:80").is_err());
    for wrong in [
        "consumer:8001",
        "ftp://a",
        "http://",
        "http://a?b",
        "http://u:p@a",
        "/path",
    ] {
        assert!(env::http_url(wrong).is_err(), "{wrong}");
    }
    assert!(env::text("a\nb").is_err());
}
