/**
 * Plugin 4: the report button. It saves the notebook, asks what the report shall hold, and downloads it.
 */
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Dialog, ICommandPalette, Notification, showDialog, showErrorMessage } from '@jupyterlab/apputils';
import { PathExt } from '@jupyterlab/coreutils';
import type { NotebookPanel } from '@jupyterlab/notebook';
import { INotebookTracker } from '@jupyterlab/notebook';
import { Widget } from '@lumino/widgets';

import { reportIcon } from './icons';
import { ask, content, reason, route } from './server';
import { describe, type IEstimate } from './sizetext';
import { CommandIDs, IWorkbenchSettings } from './tokens';

/** The dialog's body: whether code is hidden, and how large the report will be. */
class Choice extends Widget implements Dialog.IBodyWidget<boolean> {
  constructor(
    private readonly path: string,
    private readonly limit: string,
    hideCode: boolean
  ) {
    super();
    this.addClass('wb-report-dialog');
    const label = document.createElement('label');
    this.box.type = 'checkbox';
    this.box.checked = hideCode;
    this.box.addEventListener('change', () => void this.estimate());
    label.append(this.box, ' Hide code');
    this.size.setAttribute('role', 'status');
    this.node.append(label, this.size);
    void this.estimate();
  }

  getValue(): boolean {
    return this.box.checked;
  }

  private async estimate(): Promise<void> {
    const hide = this.box.checked;
    this.write('Working out the size.');
    try {
      const query = { path: this.path, limit: this.limit, hide_code: hide ? '1' : '0' };
      const found = await content<IEstimate>(await ask(route('report', query)));
      if (hide === this.box.checked) {
        this.write(...describe(found, this.limit));
      }
    } catch (error) {
      this.write(`The size is not known: ${(error as Error).message}`);
    }
  }

  private write(...lines: string[]): void {
    this.size.replaceChildren(
      ...lines.filter(Boolean).map(text => {
        const made = document.createElement('div');
        made.textContent = text;
        return made;
      })
    );
  }

  private readonly box = document.createElement('input');
  private readonly size = document.createElement('div');
}

function download(page: Blob, name: string): void {
  const url = URL.createObjectURL(page);
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  // The browser reads the blob after this turn of the event loop.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

async function write(path: string, hideCode: boolean, limit: string): Promise<string> {
  const body = JSON.stringify({ path, hide_code: hideCode, limit });
  const answer = await ask(route('report'), { method: 'POST', body });
  if (!answer.ok) {
    throw new Error(await reason(answer));
  }
  const name = `${PathExt.basename(path, '.ipynb')}.html`;
  download(await answer.blob(), name);
  return name;
}

async function report(panel: NotebookPanel, settings: IWorkbenchSettings): Promise<void> {
  await panel.context.ready;
  if (panel.context.model.dirty && !panel.context.model.readOnly) {
    await panel.context.save();
  }
  const path = panel.context.localPath;
  const result = await showDialog({
    title: `Report of ${PathExt.basename(path)}`,
    body: new Choice(path, settings.reportLimit, settings.hideCode),
    buttons: [Dialog.cancelButton(), Dialog.okButton({ label: 'Download' })],
    focusNodeSelector: '.jp-mod-accept'
  });
  if (!result.button.accept) {
    return;
  }
  const made = write(path, result.value ?? settings.hideCode, settings.reportLimit);
  Notification.promise(made, {
    pending: { message: 'The report is being written.', options: { autoClose: false } },
    success: { message: name => `${name} was downloaded: one file that works offline.`, options: { autoClose: 5000 } },
    error: { message: error => `No report was written. ${(error as Error).message}`, options: { autoClose: false } }
  });
}

export const reports: JupyterFrontEndPlugin<void> = {
  id: 'workbench-lab:report',
  description: 'A button that downloads a notebook as one offline HTML file.',
  autoStart: true,
  requires: [INotebookTracker, IWorkbenchSettings],
  optional: [ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    notebooks: INotebookTracker,
    settings: IWorkbenchSettings,
    palette: ICommandPalette | null
  ) => {
    app.commands.addCommand(CommandIDs.report, {
      label: 'Download Report',
      caption: 'Save the notebook and download it as one HTML file that works offline',
      icon: reportIcon,
      isEnabled: () => notebooks.currentWidget !== null,
      execute: async () => {
        const panel = notebooks.currentWidget;
        if (panel !== null) {
          await report(panel, settings).catch(error => showErrorMessage('No report was written', error as Error));
        }
      }
    });
    // The button's place in the toolbar is in schema/plugin.json, where a reader can move or hide it.
    notebooks.currentChanged.connect(() => app.commands.notifyCommandChanged(CommandIDs.report));
    palette?.addItem({ command: CommandIDs.report, category: 'Workbench' });
  }
};
