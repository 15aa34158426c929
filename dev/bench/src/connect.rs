//! Kafka Connect with MongoDB's sink, for the peers that are configured and not written. In: nothing;
//! out: its jars in the cache, and how to start a worker of its own on a topic and a database.
//!
//! Its records hold finished documents as text, so that all it has to do is to parse and store
//! them: its documents are then the same as everybody's, and no conversion of ours is measured.

use std::fs;
use std::path::{Path, PathBuf};

use devstack::install::{Tool, run_step};
use devstack::process::Spawn;
use devstack::{StackError, cache_dir, exclusively, free_port};

use crate::Failure;
use crate::site::{Site, progress};

/// In the cache; other versions make another one.
const NAME: &str = "kafka-connect-4.3.0-mongodb-2.0.1";

/// Maven takes the dependencies of a project, so this is one with nothing but those.
const POM: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId>
  <artifactId>connect</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>connect-runtime</artifactId>
      <version>4.3.0</version>
    </dependency>
    <dependency>
      <groupId>org.mongodb.kafka</groupId>
      <artifactId>mongo-kafka-connect</artifactId>
      <version>2.0.1</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId>
      <artifactId>log4j-slf4j-impl</artifactId>
      <version>2.24.3</version>
    </dependency>
  </dependencies>
</project>
"#;

const LOG4J: &str = "status=error
appender.out.type=Console
appender.out.name=OUT
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %p %m (%c{1})%n
rootLogger.level=WARN
rootLogger.appenderRefs=out
rootLogger.appenderRef.out.ref=OUT
";

/// What `connect-standalone.sh` starts its machine with, but for the largest heap: with its 2 GB the
/// collector hardly ever runs, and memory would be a figure of that, not of what it needs.
const JVM: [&str; 6] = [
    "-Xms256M",
    "-Xmx512M",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
];

/// What it does with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Model {
    /// Its default: replace the document with this id, or insert it.
    Replace,
    /// The fastest: insert, whatever is there.
    Insert,
}

impl Model {
    /// Its strategy's class.
    fn strategy(self) -> &'static str {
        match self {
            Self::Replace => "ReplaceOneDefaultStrategy",
            Self::Insert => "InsertOneDefaultStrategy",
        }
    }
}

/// The jars, and where a worker's files go.
#[derive(Clone, Debug)]
pub(crate) struct Connect {
    java: PathBuf,
    jars: PathBuf,
    files: PathBuf,
}

impl Connect {
    /// Fetches what is missing, once.
    pub(crate) async fn ready(site: &Site) -> Result<Self, Failure> {
        let (java, jars) = tokio::task::spawn_blocking(|| {
            let java = Tool::JAVA.require()?;
            let home = exclusively(NAME, &progress(), fill)?;
            Ok::<_, StackError>((java, home.join("libs")))
        })
        .await??;
        let files = site.logs().join("connect");
        fs::create_dir_all(&files)?;
        Ok(Self { java, jars, files })
    }

    /// How to start a worker with three tasks, one a partition. The connector has the database's
    /// name, and its group is named after that.
    pub(crate) fn spawn(
        &self,
        site: &Site,
        model: Model,
        topic: &str,
        database: &str,
    ) -> Result<Spawn, Failure> {
        let file = |ending: &str| self.files.join(format!("{database}.{ending}"));
        let log4j = file("log4j2.properties");
        fs::write(&log4j, LOG4J)?;
        let worker = file("worker.properties");
        fs::write(&worker, self.worker(site, &file("offsets")))?;
        let connector = file("connector.properties");
        fs::write(&connector, connector_of(site, model, topic, database))?;
        let spawn = site
            .child("connect", self.java.clone())
            .args(JVM)
            .arg(format!("-Dlog4j2.configurationFile={}", log4j.display()))
            .arg("-cp")
            .arg(self.jars.join("*"))
            .arg("org.apache.kafka.connect.cli.ConnectStandalone")
            .arg(worker)
            .arg(connector);
        Ok(spawn)
    }

    fn worker(&self, site: &Site, offsets: &Path) -> String {
        format!(
            "bootstrap.servers={}\n\
             listeners=http://127.0.0.1:{}\n\
             key.converter=org.apache.kafka.connect.storage.StringConverter\n\
             value.converter=org.apache.kafka.connect.storage.StringConverter\n\
             offset.storage.file.filename={}\n\
             plugin.discovery=only_scan\n",
            site.stack().bootstrap_servers(),
            free_port(),
            offsets.display(),
        )
    }
}

/// As durable as everybody's writes, unordered, and in batches of the size that suits the database.
fn connector_of(site: &Site, model: Model, topic: &str, database: &str) -> String {
    format!(
        "name={database}\n\
         connector.class=com.mongodb.kafka.connect.MongoSinkConnector\n\
         tasks.max=3\n\
         topics={topic}\n\
         connection.uri={}&w=majority&journal=true\n\
         database={database}\n\
         collection=purchases\n\
         document.id.strategy=com.mongodb.kafka.connect.sink.processor.id.strategy.ProvidedInValueStrategy\n\
         writemodel.strategy=com.mongodb.kafka.connect.sink.writemodel.strategy.{}\n\
         bulk.write.ordered=false\n\
         consumer.override.auto.offset.reset=earliest\n\
         consumer.override.max.poll.records=2000\n",
        site.stack().mongodb_uri(),
        model.strategy(),
    )
}

fn fill(dir: &Path) -> Result<(), StackError> {
    let maven = Tool::MAVEN.require()?;
    let pom = dir.join("pom.xml");
    let failed = |source| StackError::Io {
        what: "write",
        path: pom.clone(),
        source,
    };
    fs::write(&pom, POM).map_err(failed)?;
    let command = Spawn::new("mvn", maven)
        .args(["--batch-mode", "--no-transfer-progress", "--file"])
        .arg(&pom)
        .arg("dependency:copy-dependencies")
        .arg(format!("-DoutputDirectory={}", dir.join("libs").display()))
        .arg("-DincludeScope=runtime")
        .current_dir(dir);
    run_step(
        "fetching Kafka Connect and MongoDB's sink (once, some 60 MB)",
        &command,
        &cache_dir().join("logs/install-connect.log"),
        &progress(),
    )
}
