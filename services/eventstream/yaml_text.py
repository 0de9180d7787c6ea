"""YAML as people write it: what PyYAML lets pass, or fails on, as one sentence with a line.

A key that stands twice (the last one would win silently), a part that holds itself, a value that is
not of the kind that it looks like or is said to be.
"""

from __future__ import annotations

from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError
from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode

from eventstream.errors import ConfigurationError

WAY_OUT = "See k8s/examples/reviews.yaml"


class _Loader(yaml.SafeLoader):
    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        node = super().compose_node(parent, index)
        # An alias for what is not complete yet.
        if isinstance(node, CollectionNode) and node.end_mark is None:
            raise ComposerError(None, None, "a part holds itself", node.start_mark)
        return node

    def compose_mapping_node(self, anchor: Any) -> MappingNode:
        node: MappingNode = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, ScalarNode):
                if (key.tag, key.value) in seen:
                    raise ComposerError(
                        None, None, f"{key.value!r} stands twice in one place", key.start_mark
                    )
                seen.add((key.tag, key.value))
        return node

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError) as error:
            # PyYAML trusts that a value that looks like a date is one.
            kind = node.tag.rpartition(":")[2]
            raise ConstructorError(
                None, None, f"{node.value!r} is no {kind}: a text goes in quotes", node.start_mark
            ) from error


def read_documents(text: str, where: str) -> list[object]:
    """The documents of a YAML text, empty ones left out.

    Raises ConfigurationError naming `where` and the line.
    """
    try:
        # S506: it is a SafeLoader.
        documents = yaml.load_all(text, Loader=_Loader)
        return [document for document in documents if document is not None]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None)
        why = f": {problem}" if problem else ""
        raise ConfigurationError(where, f"is not YAML{line}{why}", WAY_OUT) from error
    except RecursionError as error:
        raise ConfigurationError(where, "is nested too deeply", WAY_OUT) from error
