"""The last day: uninstall, and an older release under another name that is brought up to date."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.harness.api import wait_until
from tests.cluster.harness.errors import CommandFailed
from tests.cluster_e2e.installation import CHART, GONE_SECONDS, RELEASE, Installation

pytestmark = pytest.mark.timeout(600)

OLDER = "0.0.9"
NEWER_FIELD = "tokensPerMinute"


def test_uninstall_takes_all_but_data_and_definition(installation: Installation) -> None:
    for stream in ("default", "slow"):
        assert installation.account(stream).balanced
    installation.kubectl("delete", "es", "slow")
    installation.kubectl("delete", "deployment,service", "provider")
    installation.kubectl("delete", "pod/client")
    installation.helm("uninstall", RELEASE, "--wait", "--timeout=3m")

    wait_until(lambda: installation.deployments() == set(), "end of all Deployments", GONE_SECONDS)
    claims = installation.kubectl("get", "pvc", "-o", "name").split()
    assert len(claims) == 3
    assert "eventstreams.ai-eventstream.io" in installation.kubectl("get", "crd")


def test_an_upgrade_brings_a_new_field_and_a_rollback_keeps_it(
    installation: Installation, tmp_path: Path
) -> None:
    older = _older_chart(tmp_path)
    # As if the cluster had never had a newer one: helm leaves a definition alone that is there.
    installation.kubectl("replace", "-f", str(older / "crds/eventstreams.yaml"))
    installation.install("second", older)
    with pytest.raises(CommandFailed, match=f'unknown field "spec.limits.{NEWER_FIELD}"'):
        _try_newer_field(installation)

    installation.upgrade("second")
    _try_newer_field(installation)

    installation.helm("rollback", "second", "--wait", "--timeout=3m")
    assert installation.get("configmap", "second-probe")["metadata"]["labels"]["helm.sh/chart"] == (
        f"ai-eventstream-{OLDER}"
    )
    _try_newer_field(installation)


def test_another_name_works_after_that(installation: Installation) -> None:
    assert "Answered." in installation.helm("test", "second", "--logs")
    installation.helm("uninstall", "second", "--wait", "--timeout=3m")
    assert installation.deployments() == set()


def _older_chart(folder: Path) -> Path:
    """This chart as it was a release ago: its definition lacks a field."""
    chart = folder / CHART.name
    shutil.copytree(CHART, chart)
    about = yaml.safe_load((chart / "Chart.yaml").read_text())
    (chart / "Chart.yaml").write_text(yaml.safe_dump(about | {"version": OLDER}))
    crd: dict[str, Any] = yaml.safe_load((chart / "crds/eventstreams.yaml").read_text())
    crd["metadata"]["annotations"]["ai-eventstream.io/version"] = OLDER
    [version] = crd["spec"]["versions"]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    del spec["properties"]["limits"]["properties"][NEWER_FIELD]
    (chart / "crds/eventstreams.yaml").write_text(yaml.safe_dump(crd))
    return chart


def _try_newer_field(installation: Installation) -> None:
    """Asks the API server whether it takes a stream with the field. Raises CommandFailed."""
    stream = {
        "apiVersion": "ai-eventstream.io/v1alpha1",
        "kind": "EventStream",
        "metadata": {"name": "newer"},
        "spec": {"limits": {NEWER_FIELD: 1000}},
    }
    installation.kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(stream))
