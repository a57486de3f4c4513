"""`run`: start an experiment and follow it."""

from __future__ import annotations

import argparse
from dataclasses import replace

from orchestune.cli.experiments import destination, image, upload
from orchestune.cli.experiments.command_words import add_saving, write
from orchestune.cli.experiments.plan import plan_lines, short_plan_lines
from orchestune.cli.experiments.prepare import PreparedExperiment, add_file_options, located, prepare, warmed
from orchestune.cli.experiments.start import add_detach_option, start
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command
from orchestune.cli.terminal.render import one_line
from orchestune.client.local.experiment_index import inputs_digest
from orchestune.client.local.launch_context import folder_key, secret_values
from orchestune.sdk.submitting import outgoing


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "run",
        run,
        details="A file or the arguments describe the experiment. Ctrl-C detaches; pressed again within 3 s it stops"
        " the experiment.",
        example="orchestune run\norchestune run -f search.yml --budget 80 --set stop.patience=20 --detach\n"
        "orchestune run --minimize val/loss lr=1e-5..1e-1:log opt=adam,sgd --budget 40 --parallel 4 \\\n"
        "    -- python train.py {args}",
    )
    add_file_options(parser)
    add_detach_option(parser)
    parser.add_argument("--dry-run", action="store_true", help="print the plan without starting anything")
    parser.add_argument(
        "--verbose", "-v", action="store_true", help="print the whole plan also if the experiment was run here before"
    )
    add_saving(parser)


def run(console: Console, args: argparse.Namespace) -> int:
    """Check the file, pack and upload the code, start the experiment and follow it."""
    destination_server = console.place
    prepared = prepare(args)
    destination.need_image(destination_server, prepared)
    destination.need_files(destination_server, prepared.project)
    prepared = replace(prepared, notes=(*prepared.notes, *destination.notes(destination_server, prepared)))
    sources = [(secret.name, secret.source) for secret in prepared.specification.secrets]
    with located(prepared):
        secrets = secret_values(sources, console.environ, prepared.folder)
        outgoing(prepared.specification, prepared.folder, console.environ)  # report its errors first
    if args.save:
        write(args.save, prepared.folder, prepared.text, args.force)
    prepared = warmed(console, prepared, start=not args.dry_run)
    if args.dry_run:
        return _dry_run(console, prepared)
    prepared = replace(prepared, specification=image.pinned(console, prepared))
    digest = upload.upload(console, prepared)
    earlier = [] if args.verbose else _earlier_names(console, prepared)
    return start(
        console,
        lambda: upload.create(console, prepared, prepared.specification, digest, secrets),
        lambda status: _heading(console, prepared, status["handle"], short=_name_of(status["handle"]) in earlier),
        folder_key(prepared.folder),
        inputs_digest(prepared.specification.to_json(), upload.launched(console, prepared)),
        args.detach,
    )


def _earlier_names(console: Console, prepared: PreparedExperiment) -> list[str]:
    """Return the names in the handles of the experiments that were run in this folder before."""
    return [_name_of(started.handle) for started in console.experiment_index.of_folder(folder_key(prepared.folder))]


def _name_of(handle: str) -> str:
    return handle.rpartition("-")[0]


def _heading(console: Console, prepared: PreparedExperiment, handle: str, *, short: bool = False) -> list[str]:
    """Return the plan under the handle; a short one if the user has seen all of it."""
    paint = console.paint
    place = console.place
    title = f"{paint.bold(handle)}  {one_line(prepared.specification.name)}".strip()
    if short:
        where = f"on {destination.in_words(place)}"
        lines = short_plan_lines(prepared.specification, prepared.notes, paint, where, console.columns)
        return [title, *lines]
    facts = [("where", destination.in_words(place))]
    if destination.in_images(place):
        facts.append(("image", destination.image_in_words(prepared) or "the cluster's default"))
    if prepared.warm_start is not None:
        facts.append(("history", prepared.warm_start.source))
    if project := destination.project_in_words(prepared):
        facts.append(("project", project))
    code = prepared.project.files, prepared.project.size
    lines = plan_lines(prepared.specification, prepared.notes, code, paint, facts, console.columns)
    return [title, *lines]


def _dry_run(console: Console, prepared: PreparedExperiment) -> int:
    from orchestune.cli.experiments import dry_run  # imports engines and backends

    specification, warm, project = prepared.specification, prepared.warm_start, prepared.project
    worker, unchecked = dry_run.check(console, prepared)
    if console.json:
        console.document(
            {
                "schema": 1,
                "specification": specification.to_json(),
                "notes": [*prepared.notes, *unchecked],
                "warm_start": warm and {"source": warm.source, "results": len(warm.observations)},
                "code": {
                    "root": str(project.root),
                    "folder": project.code.folder,
                    "files": project.files,
                    "size": project.size,
                    "links": list(project.links),
                },
                **({"objects": list(worker.objects)} if worker and worker.title else {}),
            }
        )
        return 0
    prepared = replace(prepared, notes=(*prepared.notes, *unchecked))
    console.say(*_heading(console, prepared, "dry run"), "", "nothing was started; run without --dry-run to start it")
    if worker and worker.title:
        dry_run.show(console, worker)
    return 0
