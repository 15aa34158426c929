//! How a Kafka node is configured and started. In: its place in the cluster, ports, directory;
//! out: a part that can be launched. It must not wait for anything.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::StackError;
use crate::install::Tool;
use crate::layout::{BrokerPorts, Layout};
use crate::part::{Answers, Part, Recipe};
use crate::process::Spawn;
use crate::secured::{Listener, Secured};

/// All stacks share it; a cluster's identity only guards a data directory against another's.
const CLUSTER_ID: &str = "cHVyY2hhc2VzLWRldi1jbA";

/// What all nodes of one cluster have in common.
pub(crate) struct Cluster<'a> {
    pub(crate) libs: &'a Path,
    pub(crate) ports: &'a [BrokerPorts],
    pub(crate) proxied: bool,
    pub(crate) full_jit: bool,
    pub(crate) extra: &'a [(String, String)],
    pub(crate) secured: Option<&'a Secured>,
}

/// Writes the node's configuration and makes the part.
pub(crate) fn part(
    layout: &Layout,
    cluster: &Cluster<'_>,
    index: usize,
) -> Result<Part, StackError> {
    let name = name(index);
    let dir = layout.part(&name)?;
    let write = |file: &str, text: String| {
        let path = dir.join(file);
        fs::write(&path, text)
            .map_err(StackError::io("write", &path))
            .map(|()| path)
    };
    let properties = write("server.properties", properties(cluster, index, &dir))?;
    let log4j = write("log4j2.properties", LOG4J.to_owned())?;
    let log = dir.join("broker.log");
    let spawn = java(&name, cluster, &log4j, &dir)?
        .arg("kafka.Kafka")
        .arg(&properties)
        .log(&log);
    let recipe = Recipe {
        spawn,
        dir,
        log,
        ready_words: "Kafka Server started",
        answers: Answers::Broker { id: node_id(index) },
    };
    let address = format!("127.0.0.1:{}", cluster.ports[index].client);
    Ok(Part::new(name, address, Some(recipe)))
}

/// Gives the node's data directory its identity; `None` if it has one.
pub(crate) fn format(
    layout: &Layout,
    cluster: &Cluster<'_>,
    index: usize,
) -> Result<Option<Spawn>, StackError> {
    let name = name(index);
    let dir = layout.part(&name)?;
    if dir.join("data/meta.properties").exists() {
        return Ok(None);
    }
    let spawn = java(
        &format!("formatting {name}"),
        cluster,
        &dir.join("log4j2.properties"),
        &dir,
    )?
    .args([
        "kafka.tools.StorageTool",
        "format",
        "--ignore-formatted",
        "-t",
        CLUSTER_ID,
        "-c",
    ])
    .arg(dir.join("server.properties"))
    .args(cluster.secured.map(Secured::first_user).unwrap_or_default())
    .log(dir.join("format.log"));
    Ok(Some(spawn))
}

/// The broker's own tool for users; what to do with which is yet to be added.
pub(crate) fn user_tool(layout: &Layout, cluster: &Cluster<'_>) -> Result<Spawn, StackError> {
    let dir = layout.part(&name(0))?;
    let spawn = java(
        "the broker's user tool",
        cluster,
        &dir.join("log4j2.properties"),
        &dir,
    )?;
    let bootstrap = format!("127.0.0.1:{}", cluster.ports[0].client);
    Ok(spawn
        .args(["kafka.admin.ConfigCommand", "--bootstrap-server"])
        .arg(bootstrap)
        .log(dir.join("users.log")))
}

pub(crate) fn node_id(index: usize) -> i32 {
    i32::try_from(index + 1).unwrap_or(i32::MAX)
}

fn name(index: usize) -> String {
    format!("broker-{}", index + 1)
}

fn java(name: &str, cluster: &Cluster<'_>, log4j: &Path, dir: &Path) -> Result<Spawn, StackError> {
    let mut spawn = Spawn::new(name, Tool::JAVA.require()?).args([
        "-Xmx384m",
        "-XX:+UseSerialGC",
        "-XX:-UsePerfData",
        "-Djava.net.preferIPv4Stack=true",
    ]);
    if !cluster.full_jit {
        // Starts a second sooner and costs a third of the compiler's work; benches want the rest.
        spawn = spawn.arg("-XX:TieredStopAtLevel=1");
    }
    let jars: PathBuf = cluster.libs.join("*");
    Ok(spawn
        .arg(format!("-Dlog4j2.configurationFile={}", log4j.display()))
        .arg("-cp")
        .arg(jars)
        .current_dir(dir)
        .env_remove("JAVA_TOOL_OPTIONS")
        .env_remove("_JAVA_OPTIONS"))
}

fn properties(cluster: &Cluster<'_>, index: usize, dir: &Path) -> String {
    let ports = cluster.ports[index];
    let nodes = cluster.ports.len();
    let in_sync = if nodes > 1 { 2 } else { 1 };
    let voters: Vec<String> = (cluster.ports.iter().enumerate())
        .map(|(index, ports)| format!("{}@127.0.0.1:{}", node_id(index), ports.controller))
        .collect();
    // Clients are told the proxy's port; the nodes talk to each other behind the proxies.
    let told = if cluster.proxied {
        ports.proxy
    } else {
        ports.client
    };
    let (mut protocols, mut addresses) = (String::new(), String::new());
    if cluster.secured.is_some() {
        for (listener, port) in Listener::ALL.iter().zip(ports.secured) {
            let (name, protocol) = (listener.name(), listener.protocol());
            protocols.push_str(&format!(",{name}:{protocol}"));
            addresses.push_str(&format!(",{name}://127.0.0.1:{port}"));
        }
    }
    let mut text = format!(
        "process.roles=broker,controller
node.id={id}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
inter.broker.listener.name=INTERNAL
listener.security.protocol.map=CLIENT:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}
listeners=CLIENT://127.0.0.1:{client},INTERNAL://127.0.0.1:{internal},CONTROLLER://127.0.0.1:{controller}{addresses}
advertised.listeners=CLIENT://127.0.0.1:{told},INTERNAL://127.0.0.1:{internal}{addresses}
log.dirs={data}
num.partitions=3
default.replication.factor={nodes}
min.insync.replicas={in_sync}
auto.create.topics.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor={nodes}
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor={nodes}
transaction.state.log.min.isr={in_sync}
share.coordinator.state.topic.num.partitions=4
share.coordinator.state.topic.replication.factor={nodes}
share.coordinator.state.topic.min.isr={in_sync}
# The first join of a group does not wait 3 s for others.
group.initial.rebalance.delay.ms=0
# A node killed with SIGKILL comes back in 5 s instead of 14.
broker.session.timeout.ms=1500
broker.heartbeat.interval.ms=300
",
        id = node_id(index),
        voters = voters.join(","),
        client = ports.client,
        internal = ports.internal,
        controller = ports.controller,
        data = dir.join("data").display(),
    );
    if let Some(secured) = cluster.secured {
        text.push_str(&secured.properties());
    }
    for (key, value) in cluster.extra {
        // Of two lines with one key the later counts.
        text.extend([key, "=", value, "\n"]);
    }
    text
}

/// Everything to standard output, without the pages of settings that each start prints.
const LOG4J: &str = "status=error
appender.out.type=Console
appender.out.name=OUT
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %p %m (%c{1})%n
rootLogger.level=INFO
rootLogger.appenderRefs=out
rootLogger.appenderRef.out.ref=OUT
logger.config.name=org.apache.kafka.common.config.AbstractConfig
logger.config.level=WARN
";
