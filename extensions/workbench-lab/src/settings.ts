/**
 * Plugin 6: the settings, which the other plugins read. Where there is no registry the defaults of the schema stand.
 */
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { Signal } from '@lumino/signaling';

import { IWorkbenchSettings } from './tokens';

const ID = 'workbench-lab:plugin';

class Settings implements IWorkbenchSettings {
  pollInterval = 1000;
  highlightMagics = true;
  hideCode = false;
  reportLimit = '20MiB';
  readonly changed = new Signal<this, void>(this);

  read(composite: Record<string, unknown>): void {
    // The registry has validated them against the schema.
    this.pollInterval = composite.pollInterval as number;
    this.highlightMagics = composite.highlightMagics as boolean;
    this.hideCode = composite.hideCode as boolean;
    this.reportLimit = composite.reportLimit as string;
    this.changed.emit();
  }
}

export const settings: JupyterFrontEndPlugin<IWorkbenchSettings> = {
  id: ID,
  description: 'The settings of Workbench.',
  autoStart: true,
  provides: IWorkbenchSettings,
  optional: [ISettingRegistry],
  activate: (_app: JupyterFrontEnd, registry: ISettingRegistry | null) => {
    const values = new Settings();
    void registry?.load(ID).then(loaded => {
      const read = () => values.read(loaded.composite);
      loaded.changed.connect(read);
      read();
    });
    return values;
  }
};
