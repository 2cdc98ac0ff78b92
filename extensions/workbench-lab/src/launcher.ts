/**
 * Plugin 7: the card of the tour. The server has the notebook; a copy of it is opened, in which a reader may write.
 */
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, showErrorMessage } from '@jupyterlab/apputils';
import { PathExt } from '@jupyterlab/coreutils';
import { ILauncher } from '@jupyterlab/launcher';

import { tourIcon } from './icons';
import { ask, content, route } from './server';
import { CommandIDs } from './tokens';

const NAME = '00_tour.ipynb';

/** Return the path of the tour in a folder; it is written there unless it is there already. */
async function tourIn(app: JupyterFrontEnd, folder: string): Promise<string> {
  const { contents } = app.serviceManager;
  const listed = await contents.get(folder, { type: 'directory', content: true });
  const path = PathExt.join(folder, NAME);
  if (!(listed.content as { name: string }[]).some(file => file.name === NAME)) {
    const tour = await content<Record<string, unknown>>(await ask(route('tour')));
    await contents.save(path, { type: 'notebook', format: 'json', content: tour });
  }
  return path;
}

export const launcher: JupyterFrontEndPlugin<void> = {
  id: 'workbench-lab:launcher',
  description: 'A card that opens the tour.',
  autoStart: true,
  optional: [ILauncher, ICommandPalette],
  activate: (app: JupyterFrontEnd, cards: ILauncher | null, palette: ICommandPalette | null) => {
    app.commands.addCommand(CommandIDs.tour, {
      label: 'Tour of Workbench',
      caption: 'Open a notebook that shows what Workbench does, in about a minute',
      icon: tourIcon,
      execute: async args => {
        try {
          const path = await tourIn(app, typeof args.cwd === 'string' ? args.cwd : '');
          return await app.commands.execute('docmanager:open', { path, factory: 'Notebook' });
        } catch (error) {
          await showErrorMessage('The tour was not opened', error as Error);
          return undefined;
        }
      }
    });
    cards?.add({ command: CommandIDs.tour, category: 'Workbench', rank: 1 });
    palette?.addItem({ command: CommandIDs.tour, category: 'Workbench' });
  }
};
