"""The scripts of each library, fetched into a folder by the registries' ordinary clients."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import plotly

FOLDER = Path(__file__).parent
_SITE = "bokeh/server/static/js"


@dataclass(frozen=True)
class Library:
    """One of those that are measured."""

    name: str
    drawing: str
    """the script here that draws with it"""
    scripts: tuple[str, ...]
    """its own, below the folder of its package"""
    npm: tuple[str, ...] = ()
    pypi: tuple[str, ...] = ()
    set_up: str = ""
    """a script that comes first"""

    def get(self, folder: Path) -> list[Path]:
        """The scripts, fetched at need. CalledProcessError when a registry cannot be reached."""
        if self.npm:
            command = ["npm", "install", "--no-fund", "--no-audit", "--prefix", str(folder), *self.npm]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            root = folder / "node_modules"
        elif self.pypi:
            command = [sys.executable, "-m", "pip", "install", "-q", "--target", str(folder / "pypi"), "--upgrade"]
            subprocess.run([*command, *self.pypi], check=True)
            root = folder / "pypi"
        else:
            root = Path(plotly.__file__).parent / "package_data"
        return [root / script for script in self.scripts]


LIBRARIES = (
    Library("Plotly", "plotly.js", ("plotly.min.js",)),
    Library("ECharts", "echarts.js", ("echarts/dist/echarts.min.js",), npm=("echarts",)),
    Library("Bokeh", "bokeh.js", (f"{_SITE}/bokeh.min.js", f"{_SITE}/bokeh-api.min.js"), pypi=("bokeh",),
            set_up='window.backend = "canvas";'),
    Library("Bokeh, by WebGL", "bokeh.js", tuple(f"{_SITE}/bokeh{part}.min.js" for part in ("", "-api", "-gl")),
            pypi=("bokeh",), set_up='window.backend = "webgl";'),
    Library("Vega-Lite", "vega.js", ("vega/build/vega.min.js", "vega-lite/build/vega-lite.min.js"),
            npm=("vega", "vega-lite")),
    Library("Chart.js", "chartjs.js", ("chart.js/dist/chart.umd.js",), npm=("chart.js",)),
    Library("uPlot", "uplot.js", ("uplot/dist/uPlot.iife.min.js",), npm=("uplot",)),
)  # fmt: skip
