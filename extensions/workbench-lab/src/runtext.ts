/**
 * What the panel says of runs: plain data in, words out. Counts, percents and times read as they do under a cell.
 */

/** A record, as `GET workbench/runs` gives it. */
export interface IRun {
  run_id: string;
  kind: string;
  title: string;
  state: string;
  done: number | null;
  total: number | null;
  unit: string;
  eta_s: number | null;
  started: number | null;
  updated: number | null;
  ended: number | null;
  workers: number;
  partial: boolean;
  message: string;
  kernel_id: string;
  notebook: string;
  cell_id: string;
}

const ENDED = new Set(['finished', 'cancelled', 'failed', 'lost']);

export function hasEnded(run: IRun): boolean {
  return ENDED.has(run.state);
}

function known(value: number | null): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

function count(value: number): string {
  return value.toLocaleString('en-US', Number.isInteger(value) ? {} : { maximumSignificantDigits: 4 });
}

export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) {
    return `${whole} s`;
  }
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  const rest = String(whole % 60).padStart(2, '0');
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, '0')}:${rest} h` : `${minutes}:${rest} min`;
}

/** Return how much is done, from 0 to 1, or null where nobody knows. */
export function share(run: IRun): number | null {
  if (run.state === 'finished') {
    return 1;
  }
  if (known(run.total) && run.total > 0) {
    return Math.min(1, Math.max(0, (run.done ?? 0) / run.total));
  }
  return hasEnded(run) ? 0 : null;
}

/** Return the line below a run's title. */
export function line(run: IRun): string {
  const ended = hasEnded(run);
  const parts = [run.state];
  const part = known(run.total) && run.total > 0 ? share(run) : null;
  if (run.state === 'finished' && known(run.total) && run.total > 0 && run.done === run.total) {
    parts.push(`${count(run.total)} ${run.unit}`.trim());
  } else if (part !== null && known(run.total)) {
    parts.push(`${count(run.done ?? 0)} of ${count(run.total)} ${run.unit}`.trim());
    if (!ended) {
      parts.push(`${Math.floor(100 * part)} %`); // floored, so that 100 % means done
    }
  } else if (known(run.done) && run.done > 0) {
    parts.push(`${count(run.done)} ${run.unit}`.trim());
  }
  if (!ended && known(run.eta_s)) {
    parts.push(`${duration(run.eta_s)} left`);
  } else if (ended && known(run.ended) && known(run.started)) {
    parts.push(run.ended - run.started < 0.5 ? 'under 1 s' : duration(run.ended - run.started));
  }
  if (!ended && run.workers > 0) {
    parts.push(run.workers === 1 ? '1 worker' : `${run.workers} workers`);
  }
  // A line is broken between its parts only: "16:40 min" stays together, and nothing jumps while numbers grow.
  return parts.map(each => each.replace(/ /g, '\u00a0')).join(' · ');
}

/** Return what stands below that line: the run's own words, or what a word such as "lost" means. */
export function remark(run: IRun): string {
  if (run.state === 'lost' && run.message === '') {
    return 'Its kernel is gone. Run the cell again: what was finished is in the store.';
  }
  return run.message;
}

/** Return what a screen reader is told: runs that have ended since `before`; null before is the first look. */
export function news(before: IRun[] | null, after: IRun[]): string {
  const going = new Set((before ?? []).filter(run => !hasEnded(run)).map(run => run.run_id));
  return after
    .filter(run => hasEnded(run) && going.has(run.run_id))
    .map(run => `${run.title || run.kind} ${run.state}.`)
    .join(' ');
}

/** Return the caption of the panel's tab. */
export function caption(runs: IRun[]): string {
  const going = runs.filter(run => !hasEnded(run)).length;
  return going ? `Runs: ${going} running` : 'Runs';
}

/**
 * Return the path, as the contents manager names it, of the notebook that a run belongs to; null where nobody knows.
 *
 * The session of its kernel knows best, as notebooks are renamed. `serverRoot` may begin with `~`, whose place the
 * browser does not know.
 */
export function notebookOf(run: IRun, sessions: { path: string; kernelId: string }[], serverRoot: string): string | null {
  const session = sessions.find(each => run.kernel_id !== '' && each.kernelId === run.kernel_id);
  if (session) {
    return session.path;
  }
  const path = run.notebook.replace(/\\/g, '/');
  if (!path.endsWith('.ipynb')) {
    return null;
  }
  const root = serverRoot.replace(/\\/g, '/').replace(/\/+$/, '');
  if (root.startsWith('~')) {
    const at = root === '~' ? -1 : path.indexOf(`${root.slice(1)}/`);
    return at < 0 ? null : path.slice(at + root.length);
  }
  return path.startsWith(`${root}/`) ? path.slice(root.length + 1) : null;
}
