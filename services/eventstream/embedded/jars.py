"""Fetches Apache Kafka's jars with Maven, once, into a folder named after the version.

Only Maven speaks to its registry here, with whatever mirrors and proxies the user's own
settings name. Nothing is fetched when the folder is already whole.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from eventstream.embedded.errors import StackError

KAFKA_VERSION = "4.3.1"
SCALA_VERSION = "2.13"
SLF4J_VERSION = "1.7.36"
FETCH_TIMEOUT_SECONDS = 600
FETCH_ATTEMPTS = 3  # a dropped connection is common while 46 files come in

POM = f"""<?xml version="1.0" encoding="UTF-8"?>
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>io.ai-eventstream</groupId>
  <artifactId>kafka-jars</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_{SCALA_VERSION}</artifactId>
      <version>{KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-nop</artifactId>
      <version>{SLF4J_VERSION}</version>
    </dependency>
  </dependencies>
</project>
"""


def default_cache_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """The user's cache folder for this project (XDG_CACHE_HOME or ~/.cache)."""
    base = environment.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ai-eventstream"


def jars_dir(cache_dir: Path) -> Path:
    """Where the jars of the pinned Kafka version are, or will be."""
    return cache_dir / f"kafka-{SCALA_VERSION}-{KAFKA_VERSION}"


def ensure_jars(cache_dir: Path, *, search_path: str | None = None) -> Path:
    """Returns the folder with Kafka's jars, after fetching them when they are not there.

    Maven is looked for in `search_path` (None: the PATH).
    Raises StackError, naming the way out, without Maven or when it fails. Two processes that
    fetch at the same time do not disturb each other: each fills a folder of its own, and the
    first one to finish puts its in place.
    """
    target = jars_dir(cache_dir)
    if target.is_dir():
        return target
    maven = shutil.which("mvn", path=search_path)
    if maven is None:
        raise StackError(
            f"Apache Kafka {KAFKA_VERSION} has to be fetched and Maven (mvn) is not on the PATH. "
            f"Install Maven, or copy the jars of Kafka {KAFKA_VERSION} from another machine into "
            f"{target}, or use the demo broker (--kafka demo), or set KAFKA_BOOTSTRAP_SERVERS."
        )
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StackError(
            f"Apache Kafka's jars can't be kept in {cache_dir}: {error.strerror}. Set"
            " XDG_CACHE_HOME to a folder that may be written to"
        ) from error
    with tempfile.TemporaryDirectory(dir=cache_dir) as work:
        fetched = _copy_dependencies(maven, Path(work))
        try:
            fetched.rename(target)
        except OSError:
            if not target.is_dir():  # else another process was faster
                raise
    return target


def _copy_dependencies(maven: str, work: Path) -> Path:
    (work / "pom.xml").write_text(POM)
    argv = [
        maven,
        *("-q", "-B", "dependency:copy-dependencies"),
        *("-DoutputDirectory=lib", "-DincludeScope=runtime"),
    ]
    output = ""
    for _ in range(FETCH_ATTEMPTS):
        try:
            done = subprocess.run(
                argv,
                cwd=work,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=FETCH_TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            output = f"no end after {FETCH_TIMEOUT_SECONDS} s"
            continue
        if done.returncode == 0 and any((work / "lib").glob(f"kafka_{SCALA_VERSION}-*.jar")):
            return work / "lib"
        output = done.stdout
    last = "\n".join(output.strip().splitlines()[-5:])
    raise StackError(
        f"Maven could not fetch Apache Kafka {KAFKA_VERSION}:\n{last}\nCheck the network and "
        "Maven's settings, or use the demo broker (--kafka demo), or set KAFKA_BOOTSTRAP_SERVERS."
    )
