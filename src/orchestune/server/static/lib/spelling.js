// Conversion of a stored specification to an experiment file that can be run.

/** @param {any} stored @returns {Record<string, any>} */
export function asFile(stored) {
  const { retries, oom_retries, memory_factor, checkpoint_every, engine_options, placement, inherit_env, ...same } = stored;
  return {
    ...same,
    program: null, // not a key of the file: set by `tune`
    env: inherit_env === false ? { inherit: false, ...stored.env } : stored.env,
    parameters: byName(stored.parameters, parameter),
    metrics: byName(stored.metrics, metric),
    folds: folds(stored.folds ?? {}),
    resources: resources(stored.resources ?? {}),
    secrets: byName(stored.secrets ?? [], ({ source }) => source),
    stop: stop(stored.stop ?? {}),
    keep: stored.keep?.patterns?.length ? stored.keep : null,
    engine: Object.keys(engine_options ?? {}).length ? { name: stored.engine, ...engine_options } : stored.engine,
    notify: (stored.notify ?? []).map(filled),
    mlflow: stored.mlflow && filled(stored.mlflow),
    config: stored.config?.name,
    constants: stored.constants?.path,
    collect: (stored.collect ?? []).map((/** @type {any} */ { kind, where }) => ({ [kind]: where })),
    retry: oom_retries ? { attempts: retries, oom: oom_retries, memory_factor } : retries || null,
    checkpoint: checkpoint_every ? { every: checkpoint_every } : null,
    ...filled(placement ?? {}),
  };
}

/** @param {any[]} items @param {(rest: any) => any} spelled */
function byName(items, spelled) {
  return Object.fromEntries(items.map(({ name, ...rest }) => [name, spelled(rest)]));
}

/** @param {any} stored */
function parameter({ choices, ...rest }) {
  return choices && rest.type !== "bool" ? { ...rest, choices } : rest;
}

/** The goal of a metric that only has a limit is omitted. @param {any} stored */
function metric({ goal, optimized, ...rest }) {
  return optimized === false ? rest : { goal, ...rest };
}

/** @param {any} stored */
function folds({ count, prune_after }) {
  return prune_after ? { count, prune_after } : count > 1 ? count : null;
}

/** @param {any} stored */
function stop({ futile, ...rest }) {
  return filled({ ...rest, futile: futile && { [futile.side]: futile.limit, after: futile.after } });
}

/** @param {any} stored */
function resources({ gpu, gpu_type, gpu_memory, ...rest }) {
  return { ...filled(rest), ...(gpu_type || gpu_memory ? { gpu: filled({ count: gpu, type: gpu_type, memory: gpu_memory }) } : gpu ? { gpu } : {}) };
}

/** @param {Record<string, any>} values */
function filled(values) {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null && value !== "" && value !== undefined));
}
