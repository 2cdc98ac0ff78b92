/**
 * Plugin 3: a panel on the left with the runs of all kernels: how far they are, Cancel, "Go to cell", Clear.
 */
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ILayoutRestorer } from '@jupyterlab/application';
import { ICommandPalette, showErrorMessage } from '@jupyterlab/apputils';
import { PageConfig } from '@jupyterlab/coreutils';
import type { NotebookPanel } from '@jupyterlab/notebook';
import { KernelAPI } from '@jupyterlab/services';
import { Poll } from '@lumino/polling';

import { runsIcon } from './icons';
import { RunsPanel } from './runspanel';
import { caption, hasEnded, type IRun, notebookOf } from './runtext';
import { ask, content, reason, route } from './server';
import { CommandIDs, IWorkbenchSettings } from './tokens';

/** Milliseconds between looks while the panel is not seen, at least. */
const HIDDEN = 10_000;

/** What the panel shows: runs, or what is busy where the server cannot list them. */
interface IFound {
  runs: IRun[];
  note: string;
}

/** Return a kernel that is busy as if it were a run: all that is known without our part of the server. */
function busyKernels(app: JupyterFrontEnd): IRun[] {
  return [...app.serviceManager.sessions.running()]
    .filter(session => session.kernel?.execution_state === 'busy')
    .map(session => ({
      run_id: session.kernel!.id,
      kind: 'kernel',
      title: session.name || session.path,
      state: 'running',
      done: null,
      total: null,
      unit: '',
      eta_s: null,
      started: null,
      updated: null,
      ended: null,
      workers: 0,
      partial: false,
      message: '',
      kernel_id: session.kernel!.id,
      notebook: session.path,
      cell_id: ''
    }));
}

async function look(app: JupyterFrontEnd): Promise<IFound> {
  const answer = await ask(route('runs', { no_track_activity: '1' }));
  if (answer.status === 404) {
    return {
      runs: busyKernels(app),
      note: 'This server does not have the part that lists runs. Busy kernels are shown; Cancel interrupts them.'
    };
  }
  return { runs: (await content<{ runs: IRun[] }>(answer)).runs, note: '' };
}

/** Ask the server to cancel a run; where it has no such route, interrupt the kernel. */
async function cancel(app: JupyterFrontEnd, run: IRun): Promise<void> {
  if (run.kind !== 'kernel') {
    const answer = await ask(route(`runs/${run.run_id}/cancel`), { method: 'POST' });
    if (answer.ok || answer.status === 409) {
      return; // it is being cancelled, or it has ended in the meantime
    }
    if (answer.status !== 404) {
      throw new Error(await reason(answer));
    }
  }
  const kernels = await KernelAPI.listRunning(app.serviceManager.serverSettings);
  if (kernels.some(kernel => kernel.id === run.kernel_id)) {
    await KernelAPI.interruptKernel(run.kernel_id, app.serviceManager.serverSettings);
  }
}

async function clear(runs: IRun[]): Promise<void> {
  const answers = await Promise.all(
    runs.filter(hasEnded).map(run => ask(route(`runs/${run.run_id}`), { method: 'DELETE' }))
  );
  const bad = answers.find(answer => !answer.ok && answer.status !== 404);
  if (bad) {
    throw new Error(await reason(bad));
  }
}

function placeOf(app: JupyterFrontEnd, run: IRun): string | null {
  const sessions = [...app.serviceManager.sessions.running()].map(session => ({
    path: session.path,
    kernelId: session.kernel?.id ?? ''
  }));
  return run.kind === 'kernel' ? run.notebook : notebookOf(run, sessions, PageConfig.getOption('serverRoot'));
}

/** Open the notebook of a run and select the cell that began it. */
async function goTo(app: JupyterFrontEnd, run: IRun): Promise<void> {
  const path = placeOf(app, run);
  if (path === null) {
    throw new Error('The run does not say which notebook began it.');
  }
  const panel = (await app.commands.execute('docmanager:open', { path })) as NotebookPanel | undefined;
  if (!panel?.content?.widgets) {
    return;
  }
  await panel.context.ready;
  app.shell.activateById(panel.id);
  const index = panel.content.widgets.findIndex(cell => cell.model.id === run.cell_id);
  if (index >= 0) {
    panel.content.deselectAll();
    panel.content.activeCellIndex = index;
    await panel.content.scrollToItem(index, 'center');
    panel.content.activate();
  }
}

export const runs: JupyterFrontEndPlugin<void> = {
  id: 'workbench-lab:runs',
  description: 'A panel with the runs of all kernels.',
  autoStart: true,
  requires: [IWorkbenchSettings],
  optional: [ILayoutRestorer, ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    settings: IWorkbenchSettings,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null
  ) => {
    const told = async (work: Promise<void>, title: string): Promise<void> => {
      await work.catch(error => showErrorMessage(title, error as Error));
      await poll.refresh();
    };
    const panel: RunsPanel = new RunsPanel({
      cancel: run => told(cancel(app, run), 'The run was not cancelled'),
      clear: shown => told(clear(shown), 'The runs were not cleared'),
      goTo: run => told(goTo(app, run), 'The cell is not to be found'),
      hasPlace: run => placeOf(app, run) !== null
    });
    panel.id = 'workbench-runs';
    panel.title.icon = runsIcon;
    panel.title.caption = 'Runs';
    app.shell.add(panel, 'left', { rank: 350, type: 'Workbench runs' });
    restorer?.add(panel, panel.id);

    const interval = (): number => (panel.isVisible ? settings.pollInterval : Math.max(HIDDEN, settings.pollInterval));
    const poll: Poll<void> = new Poll<void>({
      auto: false,
      name: 'workbench-lab:runs',
      standby: 'when-hidden',
      frequency: { interval: interval(), backoff: true, max: 60_000 },
      factory: async () => {
        try {
          const found = await look(app);
          panel.showRuns(found.runs, found.note);
          panel.title.caption = caption(found.runs);
          panel.title.className = found.runs.some(run => !hasEnded(run)) ? 'wb-runs-tab wb-runs-busy' : 'wb-runs-tab';
        } catch (error) {
          panel.fail(`The runs cannot be read: ${(error as Error).message}`);
          throw error;
        }
      }
    });
    const adjust = () => {
      poll.frequency = { ...poll.frequency, interval: interval() };
      void poll.refresh();
    };
    panel.seen.connect(adjust);
    settings.changed.connect(adjust);
    void app.restored.then(() => poll.start());

    app.commands.addCommand(CommandIDs.showRuns, {
      label: 'Show Runs',
      caption: 'Show the runs of all kernels',
      execute: () => app.shell.activateById(panel.id)
    });
    palette?.addItem({ command: CommandIDs.showRuns, category: 'Workbench' });
  }
};
