/**
 * Plugin: where a notebook's kernel holds the result that a view shows, the view may ask it again on a part of the rows.
 *
 * Views are MIME renderers and know no kernel: they ask by an event, which the notebook around them hears.
 */
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import type { NotebookPanel } from '@jupyterlab/notebook';
import { INotebookTracker } from '@jupyterlab/notebook';

import { ASK, type PlainModel } from './model';

/** The name under which the kernel listens. */
const TARGET = 'workbench.again';

function connect(panel: NotebookPanel, model: PlainModel): void {
  const kernel = panel.sessionContext.session?.kernel;
  if (!kernel || model.connected) {
    return;
  }
  const comm = kernel.createComm(TARGET);
  const restarted = () => {
    if (['restarting', 'autorestarting', 'terminating', 'dead'].includes(kernel.status)) {
      model.connect(null);
    }
  };
  model.connect({
    send: content => {
      if (!comm.isDisposed) {
        comm.send(content as never);
      }
    },
    close: () => {
      kernel.statusChanged.disconnect(restarted);
      if (!comm.isDisposed && !kernel.isDisposed) {
        comm.close();
      }
    }
  });
  kernel.statusChanged.connect(restarted);
  comm.onMsg = message => {
    const content = message.content.data as { live?: boolean };
    if (typeof content.live === 'boolean') {
      model.set('live', content.live);
    } else {
      model.receive(content);
    }
  };
  // The kernel has no such target, or is gone.
  comm.onClose = () => model.connect(null);
  comm.open();
  comm.send({ do: 'hello', key: String(model.get('key')) });
}

export const again: JupyterFrontEndPlugin<void> = {
  id: 'workbench-lab:again',
  description: 'Lets results be asked again on a part of their rows.',
  autoStart: true,
  requires: [INotebookTracker],
  activate: (_app: JupyterFrontEnd, notebooks: INotebookTracker) => {
    const watch = (panel: NotebookPanel) => {
      panel.node.addEventListener(ASK, event => connect(panel, (event as CustomEvent<PlainModel>).detail));
    };
    notebooks.widgetAdded.connect((_, panel) => watch(panel));
    notebooks.forEach(watch);
  }
};
