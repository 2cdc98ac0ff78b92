/**
 * Plugin 5: "Query this video" for video files in the file browser: a new notebook with two cells filled in.
 */
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { showErrorMessage } from '@jupyterlab/apputils';
import { PathExt } from '@jupyterlab/coreutils';
import { IFileBrowserFactory } from '@jupyterlab/filebrowser';
import type { NotebookPanel } from '@jupyterlab/notebook';

import { queryIcon } from './icons';
import { freePath, isVideo, notebook } from './querytext';
import { CommandIDs } from './tokens';

async function begin(app: JupyterFrontEnd, path: string): Promise<void> {
  const { contents, kernelspecs } = app.serviceManager;
  await kernelspecs.ready;
  const name = kernelspecs.specs?.default ?? '';
  const spec = kernelspecs.specs?.kernelspecs[name];
  const folder = await contents.get(PathExt.dirname(path), { type: 'directory', content: true });
  const taken = (folder.content as { name: string }[]).map(file => file.name);
  const target = freePath(path, taken);
  const content = notebook(PathExt.basename(path), spec ? { name, display_name: spec.display_name } : null);
  await contents.save(target, { type: 'notebook', format: 'json', content });
  const panel = (await app.commands.execute('docmanager:open', { path: target, factory: 'Notebook' })) as NotebookPanel;
  await panel.context.ready;
  panel.content.activeCellIndex = 1;
}

export const video: JupyterFrontEndPlugin<void> = {
  id: 'workbench-lab:video',
  description: 'Begins a notebook that queries a video of the file browser.',
  autoStart: true,
  requires: [IFileBrowserFactory],
  activate: (app: JupyterFrontEnd, browsers: IFileBrowserFactory) => {
    const chosen = () => {
      const items = [...(browsers.tracker.currentWidget?.selectedItems() ?? [])];
      return items.length === 1 && items[0].type !== 'directory' && isVideo(items[0].name) ? items[0] : null;
    };
    // Its place in the menu is in schema/plugin.json. JupyterLab names a file's type by its ending, or not at all.
    app.commands.addCommand(CommandIDs.queryVideo, {
      label: 'Query This Video',
      caption: 'Begin a notebook with a query of this video',
      icon: queryIcon,
      isVisible: () => chosen() !== null,
      execute: async () => {
        const item = chosen();
        if (item !== null) {
          await begin(app, item.path).catch(error => showErrorMessage('No notebook was made', error as Error));
        }
      }
    });
  }
};
