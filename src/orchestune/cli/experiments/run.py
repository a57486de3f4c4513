"""`run`: start an experiment and follow it."""

from __future__ import annotations

import argparse
from dataclasses import replace

from orchestune.cli.experiments import destination, upload
from orchestune.cli.experiments.command_words import add_saving, write
from orchestune.cli.experiments.plan import experiment_line, plan_lines, short_plan_lines
from orchestune.cli.experiments.prepare import PreparedExperiment, add_file_options, located, prepare, warmed
from orchestune.cli.experiments.start import add_detach_option, start
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command
from orchestune.cli.terminal.render import one_line
from orchestune.client.local import embedded
from orchestune.client.local.experiment_index import inputs_digest
from orchestune.client.local.launch_context import folder_key, secret_values
from orchestune.domain.lifecycle.ids import slug
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
    if destination_server.embedded and not args.dry_run:
        embedded.start_in_background(console.environ)
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
    if destination.in_images(destination_server):
        from orchestune.cli.experiments import image  # imports clients of clusters and registries

        prepared = replace(prepared, specification=image.pinned(console, prepared))
    if not args.detach and not console.json:
        console.say(*_plan(console, prepared, short=not args.verbose and _is_known(console, prepared)))
    digest = upload.upload(console, prepared)
    return start(
        console,
        lambda: upload.create(console, prepared, prepared.specification, digest, secrets),
        lambda status: [experiment_line(status["handle"], console.paint)],
        folder_key(prepared.folder),
        inputs_digest(prepared.specification.to_json(), upload.launched(console, prepared)),
        args.detach,
    )


def _is_known(console: Console, prepared: PreparedExperiment) -> bool:
    """Return True if an experiment of this name was run in this folder before, so that the user knows its plan."""
    name = slug(prepared.specification.name)
    started = console.experiment_index.of_folder(folder_key(prepared.folder))
    return any(each.handle.rpartition("-")[0] == name for each in started)


def _plan(console: Console, prepared: PreparedExperiment, *, mode: str = "", short: bool = False) -> list[str]:
    """Return the plan under the experiment's name; a short one if the user has seen all of it."""
    paint, place = console.paint, console.place
    name = paint.bold(one_line(prepared.specification.name))
    title = f"{mode}  {name}" if mode else name
    if short:
        where = f"on {destination.in_words(place)}"
        lines = short_plan_lines(prepared.specification, prepared.folder, prepared.notes, paint, where, console.columns)
        return [title, *lines]
    facts = [("where", destination.in_words(place))]
    if destination.in_images(place):
        facts.append(("image", destination.image_in_words(prepared) or "the cluster's default"))
    if prepared.warm_start is not None:
        facts.append(("history", prepared.warm_start.source))
    if project := destination.project_in_words(prepared):
        facts.append(("project", project))
    code = prepared.project.files, prepared.project.size
    lines = plan_lines(prepared.specification, prepared.folder, prepared.notes, code, paint, facts, console.columns)
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
    console.say(*_plan(console, prepared, mode="dry run"), "", "nothing was started; run without --dry-run to start it")
    if worker and worker.title:
        dry_run.show(console, worker)
    return 0
