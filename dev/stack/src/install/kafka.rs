//! Apache Kafka's jars from Maven Central. In: a JDK and Maven; out: the directory of the jars.

use std::fs;
use std::path::PathBuf;

use super::{Tool, step};
use crate::cache::{cache_dir, exclusively};
use crate::error::StackError;
use crate::process::Spawn;
use crate::progress::Progress;

const VERSION: &str = "4.3.0";
const NAME: &str = "kafka-4.3.0";

/// Maven takes the dependencies of a project, so this is one with nothing but those.
const POM: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>4.3.0</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId>
      <artifactId>log4j-slf4j-impl</artifactId>
      <version>2.24.3</version>
    </dependency>
  </dependencies>
</project>
"#;

pub(super) fn is_installed() -> bool {
    cache_dir().join(NAME).is_dir()
}

/// The directory of the jars, installed first if needed.
pub(crate) fn ensure(progress: &Progress) -> Result<PathBuf, StackError> {
    let home = exclusively(NAME, progress, |dir| {
        let missing: Vec<Tool> = [Tool::JAVA, Tool::MAVEN]
            .into_iter()
            .filter(|tool| tool.path().is_none())
            .collect();
        if !missing.is_empty() {
            return Err(StackError::Missing(missing));
        }
        let pom = dir.join("pom.xml");
        fs::write(&pom, POM).map_err(StackError::io("write", &pom))?;
        let libs = dir.join("libs");
        let command = Spawn::new("mvn", "mvn")
            .args(["--batch-mode", "--no-transfer-progress", "--file"])
            .arg(&pom)
            .arg("dependency:copy-dependencies")
            .arg(format!("-DoutputDirectory={}", libs.display()))
            .arg("-DincludeScope=runtime")
            .current_dir(dir);
        let log = cache_dir().join("logs/install-kafka.log");
        let what = format!("installing Apache Kafka {VERSION} (43 MB)");
        step::run(&what, &command, &log, progress)?;
        let jar = libs.join(format!("kafka_2.13-{VERSION}.jar"));
        fs::metadata(&jar).map_err(StackError::io("find", &jar))?;
        Ok(())
    })?;
    Ok(home.join("libs"))
}
