"""`run`: start the experiment of a file and follow it."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from orchestune.cli.experiments import destination, image, upload
from orchestune.cli.experiments.command_words import add_saving, write
from orchestune.cli.experiments.plan import plan_lines
from orchestune.cli.experiments.prepare import PreparedExperiment, add_file_options, located, prepare, warmed
from orchestune.cli.experiments.start import add_detach_option, start
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command
from orchestune.cli.terminal.render import one_line
from orchestune.client.local.home import state_path
from orchestune.client.local.launch_context import folder_key, secret_values
from orchestune.sdk.submitting import launch, outgoing


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "run",
        run,
        details="A file or the command line describes it. Ctrl-C leaves it running; pressed again within 3 s it stops"
        " the experiment.",
        example="orchestune run\norchestune run -f search.yml --budget 80 --set stop.patience=20 --detach\n"
        "orchestune run --minimize val/loss lr=1e-5..1e-1:log opt=adam,sgd --budget 40 --parallel 4 \\\n"
        "    -- python train.py {args}",
    )
    add_file_options(parser)
    add_detach_option(parser)
    parser.add_argument("--dry-run", action="store_true", help="print what would happen, and start nothing")
    add_saving(parser)


def run(console: Console, args: argparse.Namespace) -> int:
    """Check, pack, upload, start, follow."""
    place = console.place
    prepared = prepare(args)
    destination.need_image(place, prepared)
    prepared = replace(prepared, notes=(*prepared.notes, *destination.notes(place, prepared)))
    sources = [(secret.name, secret.source) for secret in prepared.specification.secrets]
    with located(prepared):
        secrets = secret_values(sources, console.environ, prepared.folder)
        outgoing(prepared.specification, prepared.folder, console.environ)  # its faults are told before all else
    if args.save:
        write(args.save, prepared.folder, prepared.text, args.force)
    prepared = warmed(console, prepared, start=not args.dry_run)
    if args.dry_run:
        return _dry_run(console, prepared)
    prepared = replace(prepared, specification=image.pinned(console, prepared))
    digest = upload.upload(console, prepared)
    return start(
        console,
        lambda: upload.create(console, prepared, prepared.specification, digest, secrets),
        lambda status: _heading(console, prepared, status["handle"]),
        folder_key(prepared.folder),
        args.detach,
    )


def _heading(console: Console, prepared: PreparedExperiment, handle: str) -> list[str]:
    paint = console.paint
    place = console.place
    where = [("where", destination.in_words(place))]
    if destination.in_images(place):
        where.append(("image", destination.image_in_words(prepared) or "the default one of the cluster"))
    if prepared.warm_start is not None:
        where.append(("history", prepared.warm_start.source))
    code = prepared.files, prepared.size
    lines = plan_lines(prepared.specification, prepared.notes, code, paint, where, console.columns)
    return [f"{paint.bold(handle)}  {one_line(prepared.specification.name)}".strip(), *lines]


def _dry_run(console: Console, prepared: PreparedExperiment) -> int:
    from orchestune.cli.experiments.foreseeing import foresee  # engines and backends, which no other command needs

    specification, warm = prepared.specification, prepared.warm_start
    with located(prepared):
        unknown = foresee(specification, console.place, console.environ)
    objects = _objects(console, prepared)
    if console.json:
        console.document(
            {
                "schema": 1,
                "specification": specification.to_json(),
                "notes": [*prepared.notes, *unknown],
                "warm_start": warm and {"source": warm.source, "results": len(warm.observations)},
                "code": {"files": prepared.files, "size": prepared.size, "links": list(prepared.links)},
                **({"objects": objects} if objects else {}),
            }
        )
        return 0
    prepared = replace(prepared, notes=(*prepared.notes, *unknown))
    console.say(*_heading(console, prepared, "dry run"), "", "nothing was started; leave out --dry-run to start it")
    if objects:
        from orchestune.clusters.existing.text import as_yaml  # a YAML writer, which nobody else needs

        console.say(_EACH[str(console.place.cluster and console.place.cluster.provider)])
        console.out.write(as_yaml(objects))
    return 0


_EACH = {
    "kubernetes": "each worker would be a Job with a Secret of the same name, which holds its token:",
    "docker": "each worker would be a container, into which a file with its token is put:",
    "slurm": "each worker would be a job of Slurm, submitted with these options:",
}


def _objects(console: Console, prepared: PreparedExperiment) -> list[dict[str, Any]]:
    """What would be created for each worker, in a cluster of Kubernetes, by Docker or by Slurm."""
    cluster, specification = console.place.cluster, prepared.specification
    if prepared.install or prepared.dockerfile:
        placement = replace(specification.placement, image="(known once it is built)")
        specification = replace(specification, placement=placement)
    if cluster is not None and cluster.provider == "docker":
        from orchestune.cli.experiments.foreseeing_docker import (
            worker_container,  # Docker's client, which no other command needs
        )

        launched = launch(console.place, prepared.folder, prepared.links, prepared.code, console.environ)
        return [worker_container(specification, launched, state_path(console.environ), console.environ)]
    if cluster is not None and cluster.provider == "slurm":
        from orchestune.backends.slurm import plan  # as above
        from orchestune.cli.experiments.foreseeing import order

        one = order(specification)
        return [{"sbatch": [f"--job-name={plan.name(one)}", *plan.asked(one.each, one.placement, one.grace)]}]
    if cluster is None or cluster.provider != "kubernetes":
        return []
    from orchestune.cli.experiments.foreseeing_there import worker_job  # the backend, which no other command needs

    return [worker_job(cluster, specification, console.environ)]
