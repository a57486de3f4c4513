"""docs/reference/server-settings.md, generated from the server's settings."""

from __future__ import annotations

from orchestune.server.options import flag, variable
from orchestune.server.settings import SETTABLE

_INTRODUCTION = """\
# Settings of the server

`orchestune server` takes each setting from its flag, else from its environment variable, else from the TOML file
that `--config` (or `ORCHESTUNE_CONFIG`) names, where the key is the setting's name; else the default holds.
`--embedded` is what the command line adds when it starts the server of this user, and `--stop` ends that one. Seconds
may be written as `90`, `30s`, `5m`, `2h` or `90d`.
Set passwords and keys by the variable or in the file: flags are visible in the machine's process list.

```
# server.toml
host = "0.0.0.0"
files = "s3://orchestune/prod"
public_url = "https://orchestune.example.org"
retention = "90d"
outgoing_allow = "mattermost.corp.example, 10.20.0.0/16"
```

| setting | flag | environment | default | what it is |
|---|---|---|---|---|
"""


def page() -> str:
    """The page."""
    rows = []
    for item in SETTABLE:
        default, description = item.metadata["default_text"], item.metadata["description"]
        rows.append(f"| `{item.name}` | `{flag(item)}` | `{variable(item)}` | {default} | {description} |\n")
    return _INTRODUCTION + "".join(rows)
