//! Whether given addresses answer. In: a part that is not ours; out: nothing, or an error that
//! names the variable. It must not show passwords.

use crate::error::StackError;
use crate::part::Part;
use crate::wire::{kafka, listens};

/// Makes sure that a given address answers. One with a user or TLS cannot be asked this way; a
/// listener is all that is asked of it then.
pub(super) async fn greet(part: &Part, secured: bool) -> Result<(), StackError> {
    let address = part.address();
    let (variable, outcome) = if part.name() == "database" {
        let hosts = address.split_once("://").map_or(address, |(_, rest)| rest);
        let hosts = hosts.rsplit_once('@').map_or(hosts, |(_, rest)| rest);
        let host = hosts.split(['/', '?', ',']).next().unwrap_or_default();
        let host = if host.contains(':') {
            host.to_owned()
        } else {
            format!("{host}:27017")
        };
        let named = address.starts_with("mongodb+srv://");
        (
            "MONGODB_URI",
            if named { Ok(()) } else { listens(&host).await },
        )
    } else {
        let first = address.split(',').next().unwrap_or_default().trim();
        let answer = if secured {
            listens(first).await
        } else {
            kafka::metadata(first, &[]).await.map(drop)
        };
        ("KAFKA_BOOTSTRAP_SERVERS", answer)
    };
    // The password of a URI is not for a terminal.
    let shown = match (address.split_once("://"), address.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, hosts))) => format!("{scheme}://…@{hosts}"),
        _ => address.to_owned(),
    };
    outcome.map_err(|detail| StackError::Unreachable {
        variable,
        address: shown,
        detail,
    })
}
